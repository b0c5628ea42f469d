package itest

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
	"github.com/ringyo-ai/webhook/sqlinbox"
)

// tables lists the tables of a database, and how many columns of each are of its
// primary key.
func tables(t testing.TB, d database, db *sql.DB) map[string]int {
	t.Helper()
	query := `select t.table_name, count(k.column_name) from information_schema.tables t
		left join information_schema.table_constraints c on c.table_schema = t.table_schema
			and c.table_name = t.table_name and c.constraint_type = 'PRIMARY KEY'
		left join information_schema.key_column_usage k on k.table_schema = c.table_schema
			and k.table_name = c.table_name and k.constraint_name = c.constraint_name
		where t.table_schema = `
	switch sqlinbox.Dialect(d.dialect) {
	case sqlinbox.Postgres:
		query += "current_schema() group by t.table_name"
	case sqlinbox.MySQL:
		query += "database() group by t.table_name"
	case sqlinbox.SQLite:
		query = `select m.name, sum(c.pk > 0) from sqlite_master m, pragma_table_info(m.name) c where m.type = 'table' group by m.name`
	}
	rows, err := db.QueryContext(ctx, query)
	require.NoError(t, err)
	defer func() { _ = rows.Close() }()
	all := map[string]int{}
	for rows.Next() {
		var name string
		var n int
		require.NoError(t, rows.Scan(&name, &n))
		all[name] = n
	}
	require.NoError(t, rows.Err())
	return all
}

// Some servers refuse a table without a primary key.
func TestInboxHasTwoTablesWithPrimaryKeys(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		i := d.inbox(t)
		assert.Equal(t, map[string]int{"webhook_inbox": 1, "webhook_inbox_schema": 1}, tables(t, d, i.db))
		require.NoError(t, i.Migrate(ctx), "again")
	})
}

func TestAStoreHasNoInbox(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		before := tables(t, d, s.db)
		assert.NotContains(t, before, "webhook_inbox")
		d.inboxOn(t, s.dsn, nil)
		assert.Len(t, tables(t, d, s.db), len(before)+2, "both in one database")
		require.NoError(t, s.Validate(ctx))
	})
}

func TestProcessesThatMigrateAnInboxAtOnceAllEndWell(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		dsn := d.create(t)
		var wg sync.WaitGroup
		errs := make([]error, 4)
		for n := range errs {
			i, err := sqlinbox.New(d.open(t, dsn), sqlinbox.Dialect(d.dialect), nil)
			require.NoError(t, err)
			wg.Go(func() {
				if errs[n] = i.Migrate(ctx); errs[n] == nil {
					_, errs[n] = i.Begin(ctx, receive.DedupeKey{EventID: string(rune('a' + n))}, time.Minute)
				}
			})
		}
		wg.Wait()
		require.NoError(t, errors.Join(errs...))
	})
}

func TestAnInboxWithoutTablesSaysMigrate(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		i, err := sqlinbox.New(d.open(t, d.create(t)), sqlinbox.Dialect(d.dialect), nil)
		require.NoError(t, err)
		_, err = i.Begin(ctx, receive.DedupeKey{EventID: "evt_1"}, time.Minute)
		require.ErrorContains(t, err, "call Migrate")
		err = i.Validate(ctx)
		require.ErrorIs(t, err, sqlinbox.ErrSchema)
		require.ErrorContains(t, err, "call Migrate")
		require.NoError(t, i.Migrate(ctx))
		require.NoError(t, i.Validate(ctx))
	})
}

func TestANewerInboxIsLeftAlone(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		i := d.inbox(t)
		i.exec(t, "update webhook_inbox_schema set version = 99")
		require.ErrorIs(t, i.Migrate(ctx), sqlinbox.ErrSchema)
		require.ErrorIs(t, i.Validate(ctx), sqlinbox.ErrSchema)
	})
}

// MySQL commits each statement, so that a migration can be cut off between any two.
func TestAnInboxMigrationThatWasCutOffIsTakenUpAgain(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		stmts := inboxStatements(t, sqlinbox.Dialect(d.dialect))
		if sqlinbox.Dialect(d.dialect) != sqlinbox.MySQL {
			t.Skip("skipped: the whole migration is one transaction here")
		}
		for n := range stmts {
			dsn := d.create(t)
			for _, stmt := range stmts[:n] {
				run(t, d.driver, dsn, stmt)
			}
			i := d.inboxOn(t, dsn, nil)
			assert.EqualValues(t, 1, i.number(t, "select count(*) from webhook_inbox_schema"))
		}
	})
}

// The files, run by somebody else's tool, are what Migrate makes.
func TestTheFilesAloneMakeAnInbox(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		dsn := d.create(t)
		for _, stmt := range inboxStatements(t, sqlinbox.Dialect(d.dialect)) {
			run(t, d.driver, dsn, stmt)
		}
		i, err := sqlinbox.New(d.open(t, dsn), sqlinbox.Dialect(d.dialect), nil)
		require.NoError(t, err)
		require.NoError(t, i.Validate(ctx))
		_, err = i.Begin(ctx, receive.DedupeKey{EventID: "evt_1"}, time.Minute)
		require.NoError(t, err)
	})
}

func inboxStatements(t testing.TB, d sqlinbox.Dialect) (stmts []string) {
	t.Helper()
	files, err := fs.ReadDir(sqlinbox.Migrations(d), ".")
	require.NoError(t, err)
	require.Len(t, files, sqlinbox.SchemaVersion)
	for _, f := range files {
		assert.Regexp(t, regexp.MustCompile(`^\d{6}_[a-z_]+\.up\.sql$`), f.Name())
		text, err := fs.ReadFile(sqlinbox.Migrations(d), f.Name())
		require.NoError(t, err)
		assert.True(t, strings.HasPrefix(string(text), "-- +goose Up\n"))
		for _, stmt := range strings.Split(string(text), ";\n") {
			if strings.TrimSpace(stmt) != "" {
				stmts = append(stmts, stmt)
			}
		}
	}
	return stmts
}

func TestInboxesOfOtherNamesAreApart(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		dsn := d.create(t)
		key := receive.DedupeKey{EventID: "evt_1"}
		for _, prefix := range []string{"", "a_", "b_"} {
			_, err := d.inboxOn(t, dsn, &sqlinbox.Options{TablePrefix: prefix}).Begin(ctx, key, time.Minute)
			require.NoError(t, err, prefix)
		}
		if sqlinbox.Dialect(d.dialect) == sqlinbox.SQLite {
			return
		}
		schema := randomName()
		run(t, d.driver, dsn, "create schema "+schema)
		t.Cleanup(func() {
			if sqlinbox.Dialect(d.dialect) == sqlinbox.MySQL { // where it is a database
				run(t, d.driver, dsn, "drop schema "+schema)
			}
		})
		i := d.inboxOn(t, dsn, &sqlinbox.Options{Schema: schema})
		_, err := i.Begin(ctx, key, time.Minute)
		require.NoError(t, err)
		_, err = i.Begin(ctx, key, time.Minute)
		require.ErrorIs(t, err, receive.ErrInProgress)
		require.NoError(t, i.Migrate(ctx), "again")
	})
}

func TestNewInboxRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	file, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "a.db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = file.Close() })
	memory, err := sql.Open("sqlite", ":memory:")
	require.NoError(t, err)
	t.Cleanup(func() { _ = memory.Close() })
	for _, c := range []struct {
		name    string
		db      *sql.DB
		dialect sqlinbox.Dialect
		opts    *sqlinbox.Options
		want    string
	}{
		{"no database", nil, sqlinbox.SQLite, nil, "db is nil"},
		{"no dialect", file, 0, nil, "dialect must be"},
		{"the dialect of another driver", file, sqlinbox.Postgres, nil, "is PostgreSQL, but the driver of db, modernc.org/sqlite, is of SQLite"},
		{"a pool of databases in memory", memory, sqlinbox.SQLite, nil, "SetMaxOpenConns(1)"},
		{"a prefix that is SQL", file, sqlinbox.SQLite, &sqlinbox.Options{TablePrefix: "a; --"}, "TablePrefix"},
		{"a schema where there is none", file, sqlinbox.SQLite, &sqlinbox.Options{Schema: "s"}, "Schema"},
		{"a negative window", file, sqlinbox.SQLite, &sqlinbox.Options{Window: -1}, "Window"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := sqlinbox.New(c.db, c.dialect, c.opts)
			require.ErrorContains(t, err, c.want)
			assert.ErrorIs(t, err, webhook.ErrInvalidArgument)
		})
	}
	db := sql.OpenDB(oldServer("12.22"))
	t.Cleanup(func() { _ = db.Close() })
	i, err := sqlinbox.New(db, sqlinbox.Postgres, nil)
	require.NoError(t, err)
	require.ErrorIs(t, i.Migrate(ctx), errors.ErrUnsupported)
	require.ErrorIs(t, i.Validate(ctx), errors.ErrUnsupported)
	files, _ := fs.ReadDir(sqlinbox.Migrations(0), ".")
	assert.Empty(t, files)
}

// A pool of one connection is enough.
func TestInboxNeedsOneConnection(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		i := d.inbox(t)
		i.db.SetMaxOpenConns(1)
		apply := effects(t, i)
		r := inboxReceiver(t, i)
		sqlinbox.On(r, i.Inbox, func(_ context.Context, tx *sql.Tx, e webhook.Event, _ webhook.CreditsLow) error { return apply(tx, e) })
		var wg sync.WaitGroup
		for n := range 4 {
			req := inboxRequest(t, "evt_"+string(rune('a'+n)))
			wg.Go(func() { assert.Equal(t, 200, answer(r, req)) })
		}
		wg.Wait()
		assert.EqualValues(t, 4, i.number(t, "select count(*) from effect"))
	})
}
