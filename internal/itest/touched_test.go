package itest

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// G1: what a hot call touches is in proportion to its batch, whatever the backlog:
// of a hundred thousand rows that wait and as many that are due at an endpoint
// without room, and of 10,000 paused endpoints, none is looked at. The servers count the rows and index entries
// that they read; SQLite does not, but each of its statements reads no more rows
// than it has parameters or a LIMIT, so that it is the statements that count.
func TestHotCallsTouchTheirBatchAlone(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: the race detector slows SQLite down, and finds nothing here")
	}
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		for _, id := range []string{"wh_full", "wh_1", "wh_2"} {
			_, err := s.CreateEndpoint(ctx, endpoint(id))
			require.NoError(t, err)
		}
		s.fill(t, backlog, 10_000, "1")
		s.analyse(t)
		rec := &recorder{}
		db, err := openRecorded(d.driver, s.dsn, rec)
		require.NoError(t, err)
		t.Cleanup(func() { _ = db.Close() })
		db.SetMaxOpenConns(1) // the counters are a session's
		hot, err := sqlstore.New(db, d.dialect, nil)
		require.NoError(t, err)
		_, err = hot.Maintain(ctx, webhook.MaintainRequest{Limit: 100})
		require.NoError(t, err)
		for _, step := range hotSteps(t, hot, 0) {
			before := rowsRead(t, d, db)
			rec.during(step.run)
			statements := rec.count()
			rows := rowsRead(t, d, db) - before
			t.Logf("%s: %d statements, %d rows", step.name, statements, rows)
			most := int64(200)
			if strings.HasPrefix(step.name, "Maintain") {
				// 500 endpoints with held and 500 with parked deliveries, two rows of each, which
				// it looks at if its last look was more than a second ago.
				most += 2 * 2 * 500
			}
			assert.LessOrEqual(t, rows, most, step.name)
			assert.LessOrEqual(t, statements, 100, step.name)
		}
	})
}

// count returns how many statements ran.
func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen)
}

// rowsRead returns how many rows and index entries a connection's server has
// read for it; 0 for SQLite.
func rowsRead(t *testing.T, d database, db *sql.DB) (n int64) {
	t.Helper()
	switch d.dialect {
	case sqlstore.Postgres:
		if _, err := db.Exec("select pg_stat_force_next_flush()"); err != nil {
			t.Skipf("skipped: PostgreSQL before 15 tells too late what it read: %v", err)
		}
		require.NoError(t, db.QueryRow(`select (select sum(seq_tup_read) from pg_stat_user_tables where relname like 'webhook%')
			+ (select sum(idx_tup_read) from pg_stat_user_indexes where relname like 'webhook%')`).Scan(&n))
	case sqlstore.MySQL:
		rows, err := db.Query("show session status like 'Handler_read%'")
		require.NoError(t, err)
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var name string
			var v int64
			require.NoError(t, rows.Scan(&name, &v))
			n += v
		}
		require.NoError(t, rows.Err())
	}
	return n
}
