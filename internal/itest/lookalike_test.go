package itest

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// fakeServer is a database that says what it is, and fails whatever else it is
// asked. It notes that.
type fakeServer struct {
	values map[string]string // by what a query contains; what it does not name is ""

	mu    sync.Mutex
	other []string
}

var errAsked = errors.New("asked for more than the version")

func (f *fakeServer) Connect(context.Context) (driver.Conn, error) { return f, nil }
func (f *fakeServer) Driver() driver.Driver                        { return f }
func (f *fakeServer) Open(string) (driver.Conn, error)             { return f, nil }
func (f *fakeServer) Prepare(query string) (driver.Stmt, error)    { return nil, f.note(query) }
func (f *fakeServer) Close() error                                 { return nil }
func (f *fakeServer) Begin() (driver.Tx, error)                    { return nil, f.note("begin") }

func (f *fakeServer) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	return nil, f.note("begin")
}

func (f *fakeServer) ExecContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Result, error) {
	return nil, f.note(query)
}

func (f *fakeServer) note(query string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.other = append(f.other, query)
	return errAsked
}

func (f *fakeServer) QueryContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	var row []driver.Value
	switch {
	case strings.Contains(query, "current_setting('server_version')"):
		row = []driver.Value{f.values["'server_version'"], f.values["schema"]}
	case strings.Contains(query, "sqlite_version()"):
		row = []driver.Value{f.values["sqlite_version()"]}
	case strings.Contains(query, "@@version_comment"):
		row = []driver.Value{f.values["version()"], f.values["@@version_comment"]}
	case strings.Contains(query, "version()"):
		row = []driver.Value{f.values["version()"]}
	default:
		return nil, f.note(query)
	}
	return &oneRow{row: row}, nil
}

// oneRow is what a fakeServer returns.
type oneRow struct {
	row  []driver.Value
	read bool
}

func (r *oneRow) Columns() []string { return make([]string, len(r.row)) }
func (r *oneRow) Close() error      { return nil }

func (r *oneRow) Next(into []driver.Value) error {
	if r.read {
		return io.EOF
	}
	r.read = true
	copy(into, r.row)
	return nil
}

// genuine is what a PostgreSQL of Debian says.
const genuine = "PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc (Debian 12.2.0-14+deb12u1) 12.2.0, 64-bit"

// lookalikes are what databases say of themselves that take the statements of
// another one.
var lookalikes = []struct {
	dialect          sqlstore.Dialect
	name             string
	version, comment string // for PostgreSQL comment is server_version
	schema           string
}{
	{sqlstore.Postgres, "CockroachDB", "CockroachDB CCL v24.3.1 (x86_64-pc-linux-gnu, built 2024/12/05, go1.22.8)", "13.0.0", ""},
	{sqlstore.Postgres, "CockroachDB", genuine, "13.0.0", "crdb_internal"},
	{sqlstore.Postgres, "YugabyteDB", "PostgreSQL 15.2-YB-2025.1.0.0-b0 on x86_64-pc-linux-gnu, compiled by clang version 17.0.6, 64-bit", "15.2-YB-2025.1.0.0-b0", ""},
	{sqlstore.Postgres, "Aurora DSQL", "PostgreSQL 16", "16.9", "iam_pg_role_mappings"},
	{sqlstore.Postgres, "Spanner", "PostgreSQL 14.1", "14.1", "spanner_sys"},
	{sqlstore.Postgres, "Redshift", "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2, Redshift 1.0.12103", "8.0.2", ""},
	{sqlstore.Postgres, "Greenplum", "PostgreSQL 14.4 (Greenplum Database 7.3.0 build commit:1) on x86_64-pc-linux-gnu, compiled by gcc 8.5.0, 64-bit", "14.4", ""},
	{sqlstore.Postgres, "Cloudberry", "PostgreSQL 14.4 (Apache Cloudberry 2.0.0 build 1) on x86_64-pc-linux-gnu, compiled by gcc 11, 64-bit", "14.4", ""},
	{sqlstore.Postgres, "Materialize", "PostgreSQL 14.0 on x86_64-unknown-linux-gnu (Materialize v0.120.0)", "14.0", ""},
	{sqlstore.Postgres, "RisingWave", "PostgreSQL 13.14.0-RisingWave-2.1.0 (abc)", "13.14.0", ""},
	{sqlstore.Postgres, "CrateDB", "CrateDB 5.9.4 (built 2024-12-01/Linux amd64)", "14.0", ""},
	{sqlstore.Postgres, "QuestDB", "PostgreSQL 12.3, compiled by Visual C++ build 1914, 64-bit, QuestDB", "14.0", ""},
	{sqlstore.MySQL, "TiDB", "8.0.11-TiDB-v8.5.6", "TiDB Server (Apache License 2.0) Community Edition, MySQL 8.0 compatible", ""},
	{sqlstore.MySQL, "TiDB", "8.0.36", "TiDB Server (Apache License 2.0) Community Edition, MySQL 8.0 compatible", ""},
	{sqlstore.MySQL, "Vitess", "8.0.40-Vitess", "Version: 21.0.0", ""},
	{sqlstore.MySQL, "PlanetScale", "8.0.23-PlanetScale", "MySQL Community Server - GPL", ""},
	{sqlstore.MySQL, "SingleStore", "8.0.32", "SingleStoreDB source distribution (compatible; MySQL Enterprise & MySQL Commercial)", ""},
	{sqlstore.MySQL, "MatrixOne", "8.0.30-MatrixOne-v2.0.1", "MatrixOne", ""},
	{sqlstore.MySQL, "OceanBase", "8.0.32", "OceanBase_CE 4.3.5.0 (r100000202024123117)", ""},
	{sqlstore.MySQL, "Dolt", "8.0.33", "Dolt", ""},
	{sqlstore.MySQL, "StarRocks", "8.0.33", "StarRocks version 3.4.0", ""},
}

// useEach calls everything of a store that asks what the database is.
func useEach(s *sqlstore.Store, tx sqlstore.Tx) map[string]error {
	_, enqueue := s.Enqueue(ctx, groups([]webhook.EventRecord{event("evt_1")}))
	_, enqueueTx := s.Tx(tx).Enqueue(ctx, groups([]webhook.EventRecord{event("evt_1")}))
	_, claim := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(1, 1)})
	_, create := s.CreateEndpoint(ctx, endpoint("wh_1"))
	_, settle := s.Settle(ctx, []webhook.Settlement{{DeliveryID: "00000000-0000-0000-0000-000000000001", EndpointID: "wh_1", Outcome: webhook.OutcomeDelivered}})
	return map[string]error{
		"Migrate": s.Migrate(ctx), "Validate": s.Validate(ctx), "Enqueue": enqueue, "Enqueue in a transaction": enqueueTx,
		"Claim": claim, "CreateEndpoint": create, "Settle": settle,
	}
}

// What takes a dialect's statements and does other things with them is refused by
// its name before anything is written, unless the options name it.
func TestADatabaseThatOnlyLooksLikeOneIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range lookalikes {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			fake := &fakeServer{values: map[string]string{
				"version()": c.version, "@@version_comment": c.comment, "'server_version'": c.comment, "schema": c.schema,
			}}
			db := sql.OpenDB(fake)
			t.Cleanup(func() { _ = db.Close() })
			s, err := sqlstore.New(db, c.dialect, nil)
			require.NoError(t, err)
			for call, err := range useEach(s, db) {
				var refused *sqlstore.ServerError
				require.ErrorAs(t, err, &refused, call)
				assert.Equal(t, c.name, refused.Name, call)
				assert.NotEmpty(t, refused.Reason)
				assert.ErrorContains(t, err, refused.Reason)
				assert.ErrorIs(t, err, errors.ErrUnsupported)
			}
			assert.Empty(t, fake.other, "nothing but the version was asked, and nothing written")

			s, err = sqlstore.New(db, c.dialect, &sqlstore.Options{AllowServers: []string{c.name}, Logger: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			for call, err := range useEach(s, db) {
				require.ErrorIs(t, err, errAsked, call)
			}
		})
	}
}

func TestADatabaseThatNobodyKnowsPassesWithAWarning(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		dialect       sqlstore.Dialect
		version, more string
		warns         bool
	}{
		{"PostgreSQL of Debian", sqlstore.Postgres, genuine, "15.18 (Debian 15.18-0+deb12u1)", false},
		{"PostgreSQL on Windows", sqlstore.Postgres, "PostgreSQL 16.1, compiled by Visual C++ build 1937, 64-bit", "16.1", false},
		{"PostgreSQL of AWS", sqlstore.Postgres, "PostgreSQL 16.6 on aarch64-unknown-linux-gnu, compiled by aarch64-unknown-linux-gnu-gcc (GCC) 9.5.0, 64-bit", "16.6", false},
		{"a beta of PostgreSQL", sqlstore.Postgres, "PostgreSQL 19beta1 on x86_64-pc-linux-gnu, compiled by clang version 19, 64-bit", "19beta1", false},
		{"something like PostgreSQL", sqlstore.Postgres, "PostgreSQL 17.0 (Foo)", "17.0", true},
		{"MySQL", sqlstore.MySQL, "8.4.3", "MySQL Community Server - GPL", false},
		{"MySQL of Ubuntu", sqlstore.MySQL, "8.0.40-0ubuntu0.24.04.1", "(Ubuntu)", false},
		{"Percona Server", sqlstore.MySQL, "8.0.39-30", "Percona Server (GPL), Release 30, Revision 41ebc5d9", false},
		{"MySQL of AWS", sqlstore.MySQL, "8.0.40", "Source distribution", false},
		{"MariaDB", sqlstore.MySQL, "11.4.2-MariaDB", "mariadb.org binary distribution", false},
		{"something like MySQL", sqlstore.MySQL, "8.0.99-Foo", "Foo Server 1.0", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			fake := &fakeServer{values: map[string]string{"version()": c.version, "@@version_comment": c.more, "'server_version'": c.more}}
			db := sql.OpenDB(fake)
			t.Cleanup(func() { _ = db.Close() })
			var log bytes.Buffer
			s, err := sqlstore.New(db, c.dialect, &sqlstore.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			require.NoError(t, err)
			for call, err := range useEach(s, db) {
				require.ErrorIs(t, err, errAsked, call)
			}
			if c.warns {
				assert.Equal(t, 1, strings.Count(log.String(), "not tested on this database"), "once: %s", &log)
			} else {
				assert.Empty(t, log.String())
			}
		})
	}
}

func TestAllowServersTakesOnlyNamesThatItKnows(t *testing.T) {
	t.Parallel()
	db := sql.OpenDB(&fakeServer{})
	t.Cleanup(func() { _ = db.Close() })
	_, err := sqlstore.New(db, sqlstore.MySQL, &sqlstore.Options{AllowServers: []string{"TiDB", "tidb"}})
	require.ErrorIs(t, err, webhook.ErrInvalidArgument)
	assert.ErrorContains(t, err, "Options.AllowServers[1]")
	assert.ErrorContains(t, err, "TiDB")
}

// New asks nothing, not even SQLite, and each question is asked once of a database
// that will do.
func TestNewAsksNothingAndTheStoreAsksOnce(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		fake := &fakeServer{}
		db := sql.OpenDB(fake)
		_, err := sqlstore.New(db, d.dialect, nil)
		require.NoError(t, err)
		assert.Empty(t, fake.other, d.name)
		assert.Zero(t, db.Stats().OpenConnections, "it did not even connect")
		_ = db.Close()
	}
}
