package itest

import (
	"context"
	"database/sql"
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// spoil runs statements on n connections of the pool at once, and gives them back as
// they are then.
func spoil(t testing.TB, db *sql.DB, n int, texts ...string) {
	t.Helper()
	db.SetMaxIdleConns(n)
	conns := make([]*sql.Conn, n)
	for i := range conns {
		conn, err := db.Conn(ctx)
		require.NoError(t, err)
		conns[i] = conn
		for _, text := range texts {
			_, _ = conn.ExecContext(ctx, text) // some are to fail
		}
	}
	for _, conn := range conns {
		require.NoError(t, conn.Close())
	}
}

// spoilings are what leaves the connections of a pool useless for the store while new
// ones work: those to the old primary after a failover, which is read-only from then
// on, those on which somebody left something behind, and those that the server ended.
var spoilings = []struct {
	name    string
	dialect sqlstore.Dialect
	texts   []string
}{
	{"read-only", sqlstore.Postgres, []string{"set session characteristics as transaction read only"}},
	{"prepared statements are gone", sqlstore.Postgres, []string{"deallocate all"}},
	{"ended", sqlstore.Postgres, []string{"select pg_terminate_backend(pg_backend_pid())"}},
	{"read-only", sqlstore.MySQL, []string{"set session transaction read only"}},
	{"tables are locked", sqlstore.MySQL, []string{"create table if not exists other (n int)", "lock tables other read"}},
	{"ended", sqlstore.MySQL, []string{"kill connection_id()"}},
}

// works runs every kind of call of the store, while spoil has spoiled the connections
// before each, and requires that all succeed.
func works(t *testing.T, s *testStore, spoil func()) {
	t.Helper()
	_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
	require.NoError(t, err)
	mustEnqueue(t, s, event("evt_0")) // from now on the store remembers who wants it
	for _, id := range []string{"evt_1", "evt_2"} {
		spoil()
		_, err := s.Enqueue(ctx, groups([]webhook.EventRecord{event(id)}))
		require.NoError(t, err)
	}
	spoil()
	c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(10, 10)})
	require.NoError(t, err)
	require.Len(t, c.Deliveries, 3)
	spoil()
	r, err := s.Settle(ctx, []webhook.Settlement{delivered(c.Deliveries[0])})
	require.NoError(t, err)
	require.Equal(t, webhook.SettleApplied, r.Results[0].Status)
	spoil()
	failed := delivered(c.Deliveries[1])
	failed.Outcome, failed.Attempt.StatusCode, failed.Attempt.Failure = webhook.OutcomeRetry, 500, webhook.FailureHTTPStatus
	r, err = s.Settle(ctx, []webhook.Settlement{failed})
	require.NoError(t, err)
	require.Equal(t, webhook.SettleApplied, r.Results[0].Status)
	spoil()
	_, err = s.Maintain(ctx, webhook.MaintainRequest{Limit: 10})
	require.NoError(t, err)
	spoil()
	_, err = s.GetEndpoint(ctx, "a", "wh_1")
	require.NoError(t, err)
	spoil()
	_, err = s.Now(ctx)
	require.NoError(t, err)
	spoil()
	_, err = s.CreateEndpoint(ctx, endpoint("wh_2"))
	require.NoError(t, err)
	spoil()
	_, err = s.Replay(ctx, webhook.ReplayRequest{AccountID: "a", EndpointID: "wh_2", Limit: 10})
	require.NoError(t, err)
	spoil()
	respond(t, s, "1", "{}")
	spoil()
	begun, err := s.BeginIdempotent(ctx, keyed("1"))
	require.NoError(t, err)
	require.Equal(t, "{}", string(begun.Response))
	spoil()
	require.NoError(t, s.Migrate(ctx))
	spoil()
	require.NoError(t, s.Validate(ctx))
}

func TestSpoiledConnectionsLeaveThePool(t *testing.T) {
	t.Parallel()
	for _, sp := range spoilings {
		d := databases[sp.dialect%3]
		t.Run(d.name+" "+sp.name, func(t *testing.T) {
			t.Parallel()
			s := d.store(t)
			works(t, s, func() { spoil(t, s.db, 4, sp.texts...) })
		})
	}
}

// With OpenDBFromPool the connections are those of pgx's pool, to which database/sql
// gives them back instead of closing them.
func TestSpoiledConnectionsLeaveThePoolOfPgx(t *testing.T) {
	t.Parallel()
	for _, sp := range spoilings[:3] {
		t.Run(sp.name, func(t *testing.T) {
			t.Parallel()
			s, pool := pooled(t)
			works(t, s, func() {
				db := stdlib.OpenDBFromPool(pool)
				defer func() { _ = db.Close() }()
				spoil(t, db, 4, sp.texts...)
			})
		})
	}
}

// The inbox has the same connections. A handler is not run twice by itself: when its
// transaction began on a spoiled connection, the sender's retry finds another one.
func TestSpoiledConnectionsLeaveThePoolOfAnInbox(t *testing.T) {
	for _, sp := range spoilings {
		d := databases[sp.dialect%3]
		t.Run(d.name+" "+sp.name, func(t *testing.T) {
			t.Parallel()
			i := d.inbox(t)
			apply := effects(t, i)
			r := inboxReceiver(t, i)
			within := false
			r.OnOther(func(ctx context.Context, e webhook.Event) error {
				if within {
					within = false
					spoil(t, i.db, 2, sp.texts...)
				}
				return i.InTx(ctx, func(tx *sql.Tx) error { return apply(tx, e) })
			})
			spoil(t, i.db, 4, sp.texts...)
			assert.Equal(t, http.StatusOK, answer(r, inboxRequest(t, "evt_1")))
			within = true
			code := 0
			for try := 0; try < 3 && code != http.StatusOK; try++ {
				code = answer(r, inboxRequest(t, "evt_2"))
			}
			assert.Equal(t, http.StatusOK, code)
			assert.EqualValues(t, 2, i.number(t, "select count(*) from effect"))
		})
	}
}

// A server that is read-only altogether fails the call, with its own error, and soon.
func TestAReadOnlyServerIsSaid(t *testing.T) {
	t.Parallel()
	s := databases[1].store(t)
	s.exec(t, "do $$ begin execute 'alter database ' || current_database() || ' set default_transaction_read_only = on'; end $$")
	spoil(t, s.db, 4, "set session characteristics as transaction read only")
	_, err := s.Enqueue(ctx, groups([]webhook.EventRecord{event("evt_1")}))
	require.ErrorContains(t, err, "25006")
	require.NotErrorIs(t, err, webhook.ErrUnknownOutcome)
	assert.Zero(t, s.db.Stats().OpenConnections)
}

// A database in memory ends with its connection: one whose setting is bad is told so,
// and keeps what it has.
func TestABadSettingCostsADatabaseInMemoryNothing(t *testing.T) {
	db, err := sql.Open("sqlite", ":memory:")
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	s, err := sqlstore.New(db, sqlstore.SQLite, nil)
	require.NoError(t, err)
	require.NoError(t, s.Migrate(ctx))
	_, err = s.CreateEndpoint(ctx, endpoint("wh_1"))
	require.NoError(t, err)
	_, err = db.ExecContext(ctx, "pragma query_only = 1")
	require.NoError(t, err)
	require.ErrorAs(t, s.Validate(ctx), new(*sqlstore.SettingError))
	_, err = db.ExecContext(ctx, "pragma query_only = 0")
	require.NoError(t, err)
	_, err = s.GetEndpoint(ctx, "a", "wh_1")
	require.NoError(t, err)
}
