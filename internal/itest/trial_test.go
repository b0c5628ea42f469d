package itest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

var storeTables = []string{"account", "endpoint", "revision", "subscription", "event", "unmatched", "delivery", "queue", "lease", "process", "attempt", "idempotency", "count", "tally"}

// contents returns the number of rows of each table.
func contents(t *testing.T, db *sql.DB) map[string]int {
	t.Helper()
	rows := make(map[string]int)
	for _, name := range storeTables {
		var n int
		require.NoError(t, db.QueryRowContext(ctx, "select count(*) from webhook_"+name).Scan(&n), name)
		rows[name] = n
	}
	return rows
}

// checks are what tries the store before the first event.
func checks(s *sqlstore.Store) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{"Validate": s.Validate, "Migrate": s.Migrate}
}

func TestATrialLeavesNothingAndIsInNobodysWay(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		dsn := d.create(t)
		s := d.storeOn(t, dsn, nil)
		db := d.open(t, dsn)
		_, err := s.CreateEndpoint(ctx, endpoint("wh_1", "call.failed"))
		require.NoError(t, err)
		ev := event("evt_1")
		ev.Type = webhook.EventCallFailed
		mustEnqueue(t, s, ev)
		before := contents(t, db)
		for call, check := range checks(s.Store) {
			require.NoError(t, check(ctx), call)
			assert.Equal(t, before, contents(t, db), call)
		}
		if d.dialect == sqlstore.SQLite {
			return
		}
		// Somebody has every row locked.
		tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		require.NoError(t, err)
		defer func() { _ = tx.Rollback() }()
		for _, name := range []string{"account", "endpoint", "event", "delivery", "queue"} {
			rows, err := tx.QueryContext(ctx, "select 1 from webhook_"+name+" for update")
			require.NoError(t, err)
			require.NoError(t, rows.Close())
		}
		soon, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		require.NoError(t, s.Validate(soon))
	})
}

func TestAMissingPrivilegeIsNamedBeforeTheFirstEvent(t *testing.T) {
	notUnderRace(t)
	onEach(t, func(t *testing.T, d database) {
		if d.dialect == sqlstore.SQLite {
			t.Skip("skipped: SQLite has no users")
		}
		dsn := d.create(t)
		d.storeOn(t, dsn, nil)
		user := strings.TrimPrefix(randomName(), "webhook_test_")
		admin, restricted := d.open(t, dsn), ""
		do := func(text string) {
			_, err := admin.ExecContext(ctx, text)
			require.NoError(t, err, text)
		}
		name := "u" + user
		if d.dialect == sqlstore.Postgres {
			u, err := url.Parse(dsn)
			require.NoError(t, err)
			do("create role " + name + " login password 'x'")
			do("grant " + name + " to current_user") // so that what is its own can be dropped
			t.Cleanup(func() {
				// What a process closed can end after it: nobody else may end that once the role is gone.
				do("select pg_terminate_backend(pid, 60000) from pg_stat_activity where usename = '" + name + "'")
				do("drop owned by " + name)
				do("drop role " + name)
			})
			u.User = url.UserPassword(name, "x")
			restricted = u.String()
		} else {
			cfg, err := mysql.ParseDSN(dsn)
			require.NoError(t, err)
			cfg.User, cfg.Passwd = name, "x"
			name += "@'%'"
			do("create user " + name + " identified by 'x'")
			t.Cleanup(func() { do("drop user " + name) })
			restricted = cfg.FormatDSN()
		}
		for _, table := range append(storeTables, "schema") {
			do("grant select, insert, update, delete on webhook_" + table + " to " + name)
		}
		store := func() *sqlstore.Store {
			s, err := sqlstore.New(d.open(t, restricted), d.dialect, nil)
			require.NoError(t, err)
			return s
		}
		require.NoError(t, store().Validate(ctx), "with all that is needed")
		for _, c := range []struct{ right, table, tried string }{
			{"insert", "account", "create an endpoint"},
			{"insert", "endpoint", "create an endpoint"},
			{"insert", "event", "store events"},
			{"insert", "unmatched", "store events"},
			{"insert", "lease", "store events"},
			{"delete", "event", "store events in a transaction of the caller"},
			{"delete", "queue", "claim a delivery"},
			{"update", "queue", map[sqlstore.Dialect]string{
				sqlstore.Postgres: "claim a delivery", sqlstore.MySQL: "move the deliveries of an endpoint",
			}[d.dialect]},
			{"update", "delivery", "claim a delivery"},
			{"insert", "attempt", "record results"},
			{"insert", "revision", "delete an endpoint"},
			{"insert", "idempotency", "keep an idempotency key"},
			{"update", "idempotency", "keep an idempotency key"},
			{"delete", "idempotency", "keep an idempotency key"},
			{"insert", "count", "record results"},
			{"delete", "count", "count results"},
			{"insert", "tally", "count results"},
			{"update", "tally", "count results"},
			{"delete", "tally", "count results"},
			{"update", "lease", "end a lease"},
			{"delete", "subscription", "move the deliveries of an endpoint"},
			{"delete", "attempt", "purge"},
			{"delete", "unmatched", "purge"},
			{"delete", "revision", "purge"},
			{"delete", "endpoint", "purge"},
			{"delete", "process", "end a process"},
		} {
			t.Run(fmt.Sprintf("%s on %s", c.right, c.table), func(t *testing.T) {
				do("revoke " + c.right + " on webhook_" + c.table + " from " + name)
				defer do("grant " + c.right + " on webhook_" + c.table + " to " + name)
				before := contents(t, admin)
				err := store().Validate(ctx)
				var failed *sqlstore.TrialError
				require.ErrorAs(t, err, &failed)
				assert.Equal(t, c.tried, failed.Tried, err)
				assert.Empty(t, failed.Setting)
				assert.ErrorContains(t, err, "webhook_"+c.table)
				assert.Equal(t, before, contents(t, admin))
			})
		}
	})
}

func TestATriggerThatRefusesOrSwallowsIsFound(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		for _, c := range []struct {
			dialect sqlstore.Dialect
			name    string
			ddl     []string
			says    string
		}{
			{sqlstore.Postgres, "refuses", []string{
				`create function no() returns trigger language plpgsql as $$ begin raise exception 'frozen'; end $$`,
				`create trigger no before delete on webhook_delivery for each row execute function no()`,
			}, "frozen"},
			{sqlstore.Postgres, "swallows", []string{
				`create function no() returns trigger language plpgsql as $$ begin return null; end $$`,
				`create trigger no before insert on webhook_queue for each row execute function no()`,
			}, "a trigger"},
			{sqlstore.MySQL, "refuses", []string{
				`create trigger no before delete on webhook_delivery for each row signal sqlstate '45000' set message_text = 'frozen'`,
			}, "frozen"},
			{sqlstore.SQLite, "refuses", []string{
				`create trigger no before delete on webhook_delivery begin select raise(abort, 'frozen'); end`,
			}, "frozen"},
			{sqlstore.SQLite, "swallows", []string{
				`create trigger no before insert on webhook_queue begin select raise(ignore); end`,
			}, "a trigger"},
		} {
			if c.dialect != d.dialect {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				dsn := d.create(t)
				s, db := d.storeOn(t, dsn, nil), d.open(t, dsn)
				for _, text := range c.ddl {
					_, err := db.ExecContext(ctx, text)
					require.NoError(t, err)
				}
				for call, check := range checks(s.Store) {
					err := check(ctx)
					var failed *sqlstore.TrialError
					require.ErrorAs(t, err, &failed, call)
					require.ErrorContains(t, err, c.says, call)
				}
			})
		}
	})
}
