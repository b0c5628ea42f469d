// Package sqlites tests drivers of SQLite that cannot be in one program with those of
// package itest, since they register the same names.
package sqlites

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/glebarez/go-sqlite"
	_ "github.com/ncruces/go-sqlite3/driver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/itest/rewind"
	"github.com/ringyo-ai/webhook/sqlstore"
	"github.com/ringyo-ai/webhook/storetest"
)

var ctx = context.Background()

var drivers = []struct{ name, driver, settings string }{
	{"glebarez", "sqlite", "?_pragma=journal_mode(wal)&_pragma=synchronous(full)"},
	{"ncruces", "sqlite3", "?_pragma=journal_mode(wal)&_pragma=synchronous(full)"},
}

type store struct {
	*sqlstore.Store
	db *sql.DB
}

func open(t testing.TB, driver, dsn string) store {
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(8)
	s, err := sqlstore.New(db, sqlstore.SQLite, nil)
	require.NoError(t, err)
	return store{s, db}
}

func TestOtherDriversOfSQLiteKeepTheContract(t *testing.T) {
	if os.Getenv("WEBHOOK_TEST_LONG") == "" {
		t.Skip("skipped: it takes a minute; WEBHOOK_TEST_LONG=1 and make long run it")
	}
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, storetest.Harness{
				New: func(t testing.TB) webhook.Store {
					s := open(t, d.driver, "file:"+filepath.Join(t.TempDir(), "webhook.db")+d.settings)
					require.NoError(t, s.Migrate(ctx))
					return s
				},
				Advance: func(t testing.TB, s webhook.Store, by time.Duration) {
					require.NoError(t, rewind.Store(ctx, s.(store).db, by))
				},
				Begin: func(t testing.TB, s webhook.Store) (webhook.Enqueuer, func() error, func() error) {
					tx, err := s.(store).db.BeginTx(ctx, nil)
					require.NoError(t, err)
					return s.(store).Tx(tx), tx.Commit, tx.Rollback
				},
				OneWriter: true,
			})
		})
	}
}

// What the store has to know about their errors: that a table is missing, that the file
// is locked, which it waits out, and that an id is used already.
func TestErrorsOfOtherDriversOfSQLiteAreUnderstood(t *testing.T) {
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			dsn := "file:" + filepath.Join(t.TempDir(), "webhook.db") + d.settings + "&_pragma=busy_timeout(0)"
			s := open(t, d.driver, dsn)
			_, err := s.GetEvent(ctx, "a", "evt_1")
			require.ErrorContains(t, err, "call Migrate")
			require.NoError(t, s.Migrate(ctx))

			c := webhook.EndpointCreate{Record: webhook.EndpointRecord{
				Endpoint: webhook.Endpoint{ID: "wh_1", AccountID: "a", URL: "https://example.com", Events: []webhook.EventType{"*"}, Status: webhook.EndpointActive},
				Secrets:  []webhook.EndpointSecret{{Secret: webhook.NewSecret()}},
			}}
			_, err = s.CreateEndpoint(ctx, c)
			require.NoError(t, err)
			_, err = s.CreateEndpoint(ctx, c)
			require.ErrorIs(t, err, webhook.ErrIDConflict)

			other, err := open(t, d.driver, dsn).db.Conn(ctx)
			require.NoError(t, err)
			_, err = other.ExecContext(ctx, "begin immediate")
			require.NoError(t, err)
			emit := func(ctx context.Context) error {
				_, err := s.Enqueue(ctx, webhook.EnqueueRequest{Groups: [][]webhook.EventRecord{{{
					ID: "evt_1", AccountID: "a", Type: "call.completed", Timestamp: time.UnixMilli(1), Data: []byte("{}"),
				}}}})
				return err
			}
			soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			require.Error(t, emit(soon), "the writer did not go away")
			done := make(chan error, 1)
			go func() { done <- emit(ctx) }()
			_, err = other.ExecContext(ctx, "commit")
			require.NoError(t, err)
			require.NoError(t, <-done)
			require.NoError(t, emit(ctx), "the same event again")
			require.NoError(t, other.Close())
			var n int
			require.NoError(t, s.db.QueryRowContext(ctx, "select count(*) from webhook_delivery").Scan(&n))
			assert.Equal(t, 1, n)
		})
	}
}
