package sqldb

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Identity is what a database says of itself.
type Identity struct {
	Name    string // such as "PostgreSQL", "MariaDB" or "CockroachDB"
	Version string
	// Unfit says why it must not be taken for what it looks like: it understands the
	// dialect and does not do what the dialect's own servers do. Empty: no reason is
	// known.
	Unfit string
	// Known reports whether it is one of the dialect's own servers. One that is
	// neither known nor unfit may work.
	Known bool
	least string // the oldest version that will do, if it is older than that
}

// TooOld reports a server that is older than the packages above work with.
func (i Identity) TooOld() error {
	if i.least == "" {
		return nil
	}
	return fmt.Errorf("%s %s is too old, %s or newer is needed: %w", i.Name, i.Version, i.least, errors.ErrUnsupported)
}

// Ask asks a database what it is. What it does not say is known by
// the driver, whose type is looked at.
func Ask(ctx context.Context, q Tx, drv driver.Driver, d Dialect) (Identity, error) {
	switch d {
	case Postgres:
		return askPostgres(ctx, q)
	case MySQL:
		return askMySQL(ctx, q)
	}
	return askSQLite(ctx, q, drv)
}

// CheckVersion reports a server that is older than the packages above work with.
func CheckVersion(ctx context.Context, q Tx, d Dialect) error {
	s, err := Ask(ctx, q, nil, d)
	if err != nil {
		return err
	}
	if s.Unfit != "" {
		return nil // its version says nothing about what it can do
	}
	return s.TooOld()
}

// Unfit returns the names of the servers that [Identity.Unfit] can be about.
func Unfit() []string {
	var names []string
	for _, list := range [][]lookalike{postgresLike, mysqlLike, sqliteLike} {
		for _, l := range list {
			names = append(names, l.name)
		}
	}
	return names
}

// lookalike is a database that understands a dialect without being one of its
// servers.
type lookalike struct {
	mark string // what its version, or the import path of its driver, contains, in lower case
	name string
	why  string
}

const (
	lockless   = "its SELECT … FOR UPDATE SKIP LOCKED does not lock as the dialect's servers do, so that two processes could send the same delivery"
	atCommit   = "its transactions find out at their commit that another one changed the same rows, so that claims of several processes would fail each other"
	analytical = "it is built for analysis, without the indexes and row locks that a queue needs"
	sharded    = "a transaction over several of its shards is not atomic, so that an event could be stored without its deliveries"
	untested   = "its locks and its index order are its own, and nobody has shown that a queue is safe on them"
	noTx       = "its transactions do not span several statements of a client, as storing an event with its deliveries needs"
	remoteTx   = "it is asked over a network and ends a transaction that takes longer than a few seconds, while each statement of the store is a round trip"
)

// postgresLike are known by version(), except for those that name themselves
// PostgreSQL there: see schemaOf.
var postgresLike = []lookalike{
	{"cockroachdb", "CockroachDB", untested},
	{"-yb-", "YugabyteDB", untested},
	{"dsql", "Aurora DSQL", atCommit},
	{"spanner", "Spanner", atCommit},
	{"redshift", "Redshift", analytical},
	{"greenplum", "Greenplum", analytical},
	{"greengage", "Greengage", analytical},
	{"cloudberry", "Cloudberry", analytical},
	{"materialize", "Materialize", analytical},
	{"risingwave", "RisingWave", analytical},
	{"cratedb", "CrateDB", noTx},
	{"questdb", "QuestDB", noTx},
	{"opengauss", "openGauss", untested},
	{"gaussdb", "GaussDB", untested},
	{"doltgres", "Doltgres", lockless},
	{"duckdb", "DuckDB", analytical},
	{"hologres", "Hologres", analytical},
}

// schemaOf names a schema that only one of postgresLike has.
var schemaOf = map[string]string{
	"crdb_internal": "CockroachDB",
	"spanner_sys":   "Spanner",
	"mz_catalog":    "Materialize",
	"rw_catalog":    "RisingWave",
	"gp_toolkit":    "Greenplum",
}

// mysqlLike are known by version() or @@version_comment.
var mysqlLike = []lookalike{
	{"tidb", "TiDB", lockless},
	{"vitess", "Vitess", sharded},
	{"planetscale", "PlanetScale", sharded},
	{"singlestore", "SingleStore", untested},
	{"memsql", "SingleStore", untested},
	{"matrixone", "MatrixOne", untested},
	{"oceanbase", "OceanBase", untested},
	{"polardb-x", "PolarDB-X", sharded},
	{"tddl", "PolarDB-X", sharded},
	{"dolt", "Dolt", lockless},
	{"starrocks", "StarRocks", analytical},
	{"doris", "Doris", analytical},
	{"clickhouse", "ClickHouse", analytical},
	{"databend", "Databend", analytical},
	{"greptime", "GreptimeDB", analytical},
	{"xpand", "Xpand", untested},
	{"readyset", "Readyset", "what it reads comes from a cache that is behind its database"},
}

// sqliteLike are known by the import path of their driver: they return SQLite's own
// version.
var sqliteLike = []lookalike{
	{"libsql-client-go", "libSQL", remoteTx},
	{"tursodatabase/go-libsql", "libSQL", "its replicas send writes to another machine and read what that had a while ago"},
	{"gorqlite", "rqlite", noTx},
	{"go-dqlite", "dqlite", remoteTx},
	{"cfd1", "D1", noTx},
}

// find returns the lookalike that a text names, if any.
func find(list []lookalike, texts ...string) *lookalike {
	text := strings.ToLower(strings.Join(texts, "\n"))
	for i := range list {
		if strings.Contains(text, list[i].mark) {
			return &list[i]
		}
	}
	return nil
}

func (l *lookalike) server(version string) Identity {
	return Identity{Name: l.name, Version: version, Unfit: l.why}
}

// asked explains a server that does not even tell its version.
func asked(err error, name string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("ask for the version of %s (is the dialect the driver's?): %w", name, err)
}

// ownPostgres is what version() of PostgreSQL returns, on every platform.
var ownPostgres = regexp.MustCompile(`^PostgreSQL \d[\w.~+-]*( \([^)]*\))?( on [^,]+)?, compiled by .*, (32|64)-bit$`)

func askPostgres(ctx context.Context, q Tx) (Identity, error) {
	var text, version, schema string
	if err := q.QueryRowContext(ctx, `select version()`).Scan(&text); err != nil {
		return Identity{}, asked(err, "PostgreSQL")
	}
	if l := find(postgresLike, text); l != nil {
		return l.server(text), nil
	}
	// Aurora DSQL has a schema whose name others use too.
	err := q.QueryRowContext(ctx, `
		select current_setting('server_version'), coalesce((
			select min(n.nspname) from pg_namespace n
			where n.nspname in ('crdb_internal', 'spanner_sys', 'mz_catalog', 'rw_catalog', 'gp_toolkit')), (
			select min(c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
			where n.nspname = 'sys' and c.relname = 'iam_pg_role_mappings'), '')`).Scan(&version, &schema)
	if err != nil {
		return Identity{}, asked(err, "PostgreSQL")
	}
	name := schemaOf[schema]
	if schema == "iam_pg_role_mappings" {
		name = "Aurora DSQL"
	}
	for i := range postgresLike {
		if l := &postgresLike[i]; l.name == name {
			return l.server(text), nil
		}
	}
	s := Identity{Name: "PostgreSQL", Version: version, Known: ownPostgres.MatchString(text)}
	if !newEnough(version, 13) {
		s.least = "13"
	}
	return s, nil
}

// ownMySQL is what @@version_comment holds of MySQL, of Percona's, of those that
// distributions build, and of the ones that AWS and Google run.
var ownMySQL = regexp.MustCompile(`(?i)mysql|percona|source distribution|^\([a-z .0-9]+\)$|debian|ubuntu|homebrew|^[0-9a-f]{6,40}$`)

func askMySQL(ctx context.Context, q Tx) (Identity, error) {
	var version, comment string
	// With sql_select_limit = 0 what has no limit of its own returns nothing.
	if err := q.QueryRowContext(ctx, `select version(), @@version_comment limit 1`).Scan(&version, &comment); err != nil {
		return Identity{}, asked(err, "MySQL")
	}
	if l := find(mysqlLike, version, comment); l != nil {
		return l.server(version + ", " + comment), nil
	}
	if strings.Contains(version, "MariaDB") {
		s := Identity{Name: "MariaDB", Version: version, Known: true}
		// Old clients are told 5.5.5- before the real version.
		if !newEnough(strings.TrimPrefix(version, "5.5.5-"), 10, 6) {
			s.least = "10.6"
		}
		return s, nil
	}
	s := Identity{Name: "MySQL", Version: version, Known: ownMySQL.MatchString(comment)}
	if !newEnough(version, 8, 0, 1) {
		s.least = "8.0.1"
	}
	return s, nil
}

func askSQLite(ctx context.Context, q Tx, drv driver.Driver) (Identity, error) {
	if drv != nil {
		if path := packageOf(drv); path != "" {
			if l := find(sqliteLike, path); l != nil {
				return l.server(path), nil
			}
		}
	}
	s := Identity{Name: "SQLite", Known: true}
	if err := q.QueryRowContext(ctx, `select sqlite_version()`).Scan(&s.Version); err != nil {
		return Identity{}, asked(err, "SQLite")
	}
	if !newEnough(s.Version, 3, 35) {
		s.least = "3.35"
	}
	return s, nil
}

// newEnough compares the numbers at the beginning of a version.
func newEnough(version string, least ...int) bool {
	parts := strings.FieldsFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	for i, want := range least {
		have := 0
		if i < len(parts) {
			_, _ = fmt.Sscanf(parts[i], "%d", &have)
		}
		if have != want {
			return have > want
		}
	}
	return true
}
