package itest

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
	"github.com/ringyo-ai/webhook/sqlinbox"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// A server can demand it: MySQL with sql_require_primary_key, as managed ones and
// group replication do, and MariaDB with innodb_force_primary_key.
func TestEveryTableHasAPrimaryKey(t *testing.T) {
	t.Parallel()
	table := regexp.MustCompile(`(?s)create table (?:if not exists )?(\w+) \(.*?\n?\)[^,]*?;\n`)
	for _, d := range databases {
		for _, files := range []fs.FS{sqlstore.Migrations(d.dialect), sqlinbox.Migrations(sqlinbox.Dialect(d.dialect))} {
			names, err := fs.Glob(files, "*.sql")
			require.NoError(t, err)
			require.NotEmpty(t, names)
			for _, name := range names {
				text, err := fs.ReadFile(files, name)
				require.NoError(t, err)
				tables := table.FindAllStringSubmatch(string(text), -1)
				require.Len(t, tables, strings.Count(string(text), "create table "), "%s %s: the expression sees each table", d.name, name)
				for _, m := range tables {
					assert.Contains(t, m[0], "primary key", "%s: %s", d.name, m[1])
				}
			}
		}
	}
}

func TestAServerThatDemandsPrimaryKeysIsMigrated(t *testing.T) {
	t.Parallel()
	notUnderRace(t)
	srv := privateMariaDB(t)
	run(t, srv.driver, srv.dsn, "create database hooks")
	run(t, srv.driver, srv.dsn, "set global innodb_force_primary_key = on")
	cfg, err := mysql.ParseDSN(srv.dsn)
	require.NoError(t, err)
	cfg.DBName = "hooks"
	d := databases[2]
	s := d.storeOn(t, cfg.FormatDSN(), nil)
	require.NoError(t, s.Validate(ctx))
	cycle(t, s)
	_, err = d.inboxOn(t, cfg.FormatDSN(), nil).Begin(ctx, receive.DedupeKey{EventID: "evt_1"}, time.Minute)
	require.NoError(t, err)
}

// A lock of a name that is NULL is no lock, and asking for it again and again gets
// none.
func TestADataSourceWithoutADatabaseIsAnError(t *testing.T) {
	t.Parallel()
	d := databases[2]
	cfg, err := mysql.ParseDSN(d.create(t))
	require.NoError(t, err)
	name := cfg.DBName
	cfg.DBName = ""
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()

	s, err := sqlstore.New(d.open(t, cfg.FormatDSN()), d.dialect, nil)
	require.NoError(t, err)
	require.ErrorContains(t, s.Migrate(ctx), "names no database")
	i, err := sqlinbox.New(d.open(t, cfg.FormatDSN()), sqlinbox.MySQL, nil)
	require.NoError(t, err)
	require.ErrorContains(t, i.Migrate(ctx), "names no database")

	s, err = sqlstore.New(d.open(t, cfg.FormatDSN()), d.dialect, &sqlstore.Options{Schema: name})
	require.NoError(t, err)
	require.ErrorContains(t, s.Migrate(ctx), "names no database", "derived tables want one all the same")
}

// The name of a lock has at most 64 characters, as that of a database.
func TestADatabaseWithALongNameIsMigrated(t *testing.T) {
	t.Parallel()
	d := databases[2]
	dsn := d.create(t)
	name := fmt.Sprintf("%s_%0*d", randomName(), 63-len(randomName()), 7)
	run(t, d.driver, dsn, "create database "+name)
	t.Cleanup(func() { run(t, d.driver, dsn, "drop database "+name) })
	cfg, err := mysql.ParseDSN(dsn)
	require.NoError(t, err)
	cfg.DBName = name
	cycle(t, d.storeOn(t, cfg.FormatDSN(), nil))
}

// release is a word of MySQL, and current_schema one of PostgreSQL.
func TestAPrefixMayMakeWordsOfTheLanguage(t *testing.T) {
	notUnderRace(t)
	onEach(t, func(t *testing.T, d database) {
		dsn := d.create(t)
		for _, prefix := range []string{"re", "current_"} {
			s := d.storeOn(t, dsn, &sqlstore.Options{TablePrefix: prefix})
			require.NoError(t, s.Validate(ctx))
			require.NoError(t, s.Migrate(ctx), "a second time")
			cycle(t, s)
			_, err := s.Maintain(ctx, webhook.MaintainRequest{Limit: 100, Retention: time.Hour})
			require.NoError(t, err)
			i := d.inboxOn(t, dsn, &sqlinbox.Options{TablePrefix: prefix})
			_, err = i.Begin(ctx, receive.DedupeKey{EventID: "evt_1"}, time.Minute)
			require.NoError(t, err)
		}
		var n int
		db, err := sql.Open(d.driver, dsn)
		require.NoError(t, err)
		defer func() { _ = db.Close() }()
		quote := map[sqlstore.Dialect]string{sqlstore.MySQL: "`"}[d.dialect]
		require.NoError(t, db.QueryRow("select count(*) from "+quote+"release"+quote).Scan(&n), "the table has that name")
	})
}
