package itest

import (
	"context"
	"database/sql"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	_ "github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"
	_ "github.com/uptrace/bun/driver/pgdriver"
	_ "modernc.org/sqlite"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/itest/rewind"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// database is one kind of database that the tests run on.
type database struct {
	name    string
	dialect sqlstore.Dialect
	driver  string
	// create makes a database of the test's own and returns its data source.
	create func(t testing.TB) (dsn string)
}

var databases = []database{
	{"sqlite", sqlstore.SQLite, "sqlite", createFile},
	{"postgres", sqlstore.Postgres, "pgx", createPostgres},
	{"mysql", sqlstore.MySQL, "mysql", createMySQL},
}

// others are ways to reach the same databases that are to work as well: without
// prepared statements, as behind PgBouncer, and with other drivers.
var others = []database{
	{"postgres without prepared statements", sqlstore.Postgres, "pgx", with(createPostgres, "default_query_exec_mode", "simple_protocol")},
	{"postgres by lib/pq", sqlstore.Postgres, "postgres", with(createPostgres, "sslmode", "disable")},
	{"postgres by bun's pgdriver", sqlstore.Postgres, "pg", with(createPostgres, "sslmode", "disable")},
	{"mysql with parameters in the text", sqlstore.MySQL, "mysql", createInterpolated},
	{"sqlite by mattn", sqlstore.SQLite, "sqlite3", createMattn},
}

// with adds a parameter to a PostgreSQL data source.
func with(create func(testing.TB) string, name, value string) func(testing.TB) string {
	return func(t testing.TB) string {
		u, err := url.Parse(create(t))
		require.NoError(t, err)
		q := u.Query()
		q.Set(name, value)
		u.RawQuery = q.Encode()
		return u.String()
	}
}

// createInterpolated makes a MySQL database whose sessions are as hostile as a
// configuration can be: no strict mode, a time zone with summer time, another
// character set, and parameters written into the text.
func createInterpolated(t testing.TB) string {
	cfg, err := mysql.ParseDSN(createMySQL(t))
	require.NoError(t, err)
	cfg.InterpolateParams = true
	cfg.ParseTime, cfg.Loc = true, summerTime(t)
	cfg.Params = map[string]string{"sql_mode": "''", "time_zone": "'+13:00'"}
	return cfg.FormatDSN()
}

func summerTime(t testing.TB) *time.Location {
	loc, err := time.LoadLocation("America/New_York")
	require.NoError(t, err)
	return loc
}

func createMattn(t testing.TB) string {
	return "file:" + filepath.Join(t.TempDir(), "webhook.db") + "?_busy_timeout=0"
}

// onEach runs f on every database, in parallel. With the race detector, which makes
// everything several times as slow, it leaves out one of the two servers, by the test's
// name, unless WEBHOOK_TEST_LONG is set.
func onEach(t *testing.T, f func(t *testing.T, d database)) {
	t.Helper()
	h := fnv.New32a()
	_, _ = h.Write([]byte(t.Name()))
	server := 1 + int(h.Sum32()>>16&1)
	for i, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			if raceEnabled && !long() && i > 0 && i != server {
				t.Skip("skipped: with the race detector it runs on " + databases[server].name)
			}
			f(t, d)
		})
	}
}

// dsnOf returns the data source of a server, skips the test without one, and
// fails it where there should be one.
func dsnOf(t testing.TB, variable string) string {
	t.Helper()
	dsn := os.Getenv(variable)
	if dsn == "" {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not set, and CI is: the test must run", variable)
		}
		t.Skipf("skipped: %s is not set", variable)
	}
	return dsn
}

func createFile(t testing.TB) string {
	return filepath.Join(t.TempDir(), "webhook.db") + "?_pragma=journal_mode(wal)&_pragma=synchronous(full)"
}

func randomName() string { return fmt.Sprintf("webhook_test_%d_%08x", os.Getpid(), rand.Uint32()) }

func createPostgres(t testing.TB) string {
	t.Helper()
	u, err := url.Parse(dsnOf(t, "WEBHOOK_TEST_POSTGRES_DSN"))
	require.NoError(t, err)
	name := randomName()
	server := u.String()
	run(t, "pgx", server, "create database "+name)
	t.Cleanup(func() { run(t, "pgx", server, "drop database "+name+" with (force)") })
	u.Path = "/" + name
	return u.String()
}

func createMySQL(t testing.TB) string {
	t.Helper()
	cfg, err := mysql.ParseDSN(dsnOf(t, "WEBHOOK_TEST_MYSQL_DSN"))
	require.NoError(t, err)
	name := randomName()
	server := cfg.FormatDSN()
	run(t, "mysql", server, "create database "+name)
	t.Cleanup(func() { run(t, "mysql", server, "drop database "+name) })
	cfg.DBName = name
	return cfg.FormatDSN()
}

// run executes one statement on a connection of its own.
func run(t testing.TB, driver, dsn, text string) {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(context.Background(), text)
	require.NoError(t, err)
}

func (d database) open(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(d.driver, dsn)
	require.NoError(t, err)
	db.SetMaxOpenConns(8)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// store makes a migrated store on an empty database.
func (d database) store(t testing.TB) *testStore {
	t.Helper()
	return d.storeOn(t, d.create(t), nil)
}

// pool holds databases that a test leaves empty for the next one: making tables
// is by far the slowest thing that a test does.
type pool struct {
	database
	mu   sync.Mutex
	free []string
}

func (p *pool) store(t testing.TB, owner testing.TB) *testStore {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) == 0 {
		p.free = append(p.free, p.create(owner))
	}
	last := len(p.free) - 1
	s := p.storeOn(t, p.free[last], nil)
	p.free = p.free[:last]
	t.Cleanup(func() {
		for _, table := range []string{"account", "endpoint", "subscription", "event", "unmatched", "delivery", "queue", "lease", "process", "attempt", "revision", "idempotency", "count", "tally"} {
			s.exec(t, "delete from webhook_"+table)
		}
		if s.dialect == sqlstore.SQLite {
			s.exec(t, "delete from webhook_history")
			s.exec(t, "update webhook_history_end set delivery = x''")
			s.exec(t, "delete from webhook_timeline")
			s.exec(t, "update webhook_timeline_end set num = 0")
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.free = append(p.free, s.dsn)
	})
	return s
}

func (d database) storeOn(t testing.TB, dsn string, opts *sqlstore.Options) *testStore {
	t.Helper()
	db := d.open(t, dsn)
	s, err := sqlstore.New(db, d.dialect, opts)
	require.NoError(t, err)
	require.NoError(t, s.Migrate(context.Background()))
	return &testStore{Store: s, database: d, db: db, dsn: dsn}
}

// testStore is a store with what the tests need besides.
type testStore struct {
	*sqlstore.Store
	database
	db  *sql.DB
	dsn string
}

// rewind lets d pass for the store: every time that is stored goes back by d.
func (s *testStore) rewind(t testing.TB, d time.Duration) {
	t.Helper()
	require.NoError(t, rewind.Store(context.Background(), s.db, d))
}

// endLeases lets the leases of dead processes end and retries fall due.
func (s *testStore) endLeases(t testing.TB) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		_, err := s.db.ExecContext(context.Background(), fmt.Sprintf("update webhook_queue set due = due - %d where state = 5", time.Minute.Microseconds()))
		if err == nil {
			_, err = s.db.ExecContext(context.Background(), fmt.Sprintf("update webhook_lease set due = due - %d", time.Minute.Microseconds()))
		}
		if err == nil {
			return
		}
		// It locks the rows in any order, beside an engine at work.
		if !time.Now().Before(deadline) {
			t.Fatal(err)
		}
	}
}

// unfinished counts the deliveries that an engine has yet to finish.
func (s *testStore) unfinished(t testing.TB) int64 {
	t.Helper()
	return s.number(t, `select count(*) from webhook_delivery d
		join webhook_endpoint p on p.num = d.endpoint where d.status in (0, 1) and p.status in (1, 2, 4, 5)`)
}

func (s *testStore) exec(t testing.TB, text string) {
	t.Helper()
	_, err := s.db.ExecContext(context.Background(), text)
	require.NoError(t, err, text)
}

// number returns the single number that a query yields.
func (s *testStore) number(t testing.TB, query string) (n int64) {
	t.Helper()
	require.NoError(t, s.db.QueryRowContext(context.Background(), query).Scan(&n), query)
	return n
}

func (s *testStore) begin(t testing.TB) (tx *sql.Tx, q webhook.Enqueuer) {
	t.Helper()
	tx, err := s.db.BeginTx(context.Background(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx, s.Tx(tx)
}
