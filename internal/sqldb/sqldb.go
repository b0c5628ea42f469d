// Package sqldb is what the packages that keep something in a caller's *sql.DB have
// in common: which database it is, what its errors mean, transactions of its own,
// and migrations that no two processes run at once.
package sqldb

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// Dialect is the kind of database.
type Dialect int

// The numbers are those of the packages above, which convert theirs.
const (
	Postgres Dialect = iota + 1
	MySQL
	SQLite
)

var names = map[Dialect]string{Postgres: "PostgreSQL", MySQL: "MySQL", SQLite: "SQLite"}

// String returns the name of the dialect.
func (d Dialect) String() string {
	return cmp.Or(names[d], "Dialect("+strconv.Itoa(int(d))+")")
}

// Tx is what statements run on: a transaction, a connection, or the pool.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Problem is what is wrong with an argument of a constructor.
type Problem struct{ Field, Text string }

// CheckDriver refuses a driver that is known to be of another dialect.
func CheckDriver(db *sql.DB, d Dialect) *Problem {
	pkg := packageOf(db.Driver())
	for path, of := range knownDrivers {
		if of != d && strings.HasPrefix(pkg, path) {
			return &Problem{"dialect", fmt.Sprintf("is %v, but the driver of db, %s, is of %v", d, path, of)}
		}
	}
	return nil
}

// packageOf returns the import path of a driver.
func packageOf(d driver.Driver) string {
	t := reflect.TypeOf(d)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath()
}

var knownDrivers = map[string]Dialect{
	"github.com/jackc/pgx":                   Postgres,
	"github.com/lib/pq":                      Postgres,
	"github.com/uptrace/bun/driver/pgdriver": Postgres,
	"github.com/go-sql-driver/mysql":         MySQL,
	"modernc.org/sqlite":                     SQLite,
	"github.com/mattn/go-sqlite3":            SQLite,
	"github.com/glebarez/go-sqlite":          SQLite,
	"github.com/ncruces/go-sqlite3":          SQLite,
}

// CheckMemory refuses a SQLite database in memory when the pool db may open several
// connections: each would be a database of its own. It asks q, which is of that pool.
func CheckMemory(ctx context.Context, db *sql.DB, q Tx) (*Problem, error) {
	if db.Stats().MaxOpenConnections == 1 {
		return nil, nil
	}
	var file string
	if err := q.QueryRowContext(ctx, `select coalesce(file, '') from pragma_database_list where name = 'main'`).Scan(&file); err != nil {
		return nil, fmt.Errorf("open SQLite: %w", err)
	}
	if file == "" {
		return &Problem{"db", "is a SQLite database in memory, of which each connection of the pool would have its own: call db.SetMaxOpenConns(1)"}, nil
	}
	return nil, nil
}

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

// Prefix returns what stands before each table's name. Its parts are checked
// strictly, since they become part of the SQL text.
func Prefix(d Dialect, prefix, schema string) (string, *Problem) {
	const form = "must be lower-case letters, digits and underscores, at most 32, beginning with a letter"
	switch {
	case !nameForm.MatchString(prefix):
		return "", &Problem{"Options.TablePrefix", form}
	case schema == "":
		return prefix, nil
	case d == SQLite:
		return "", &Problem{"Options.Schema", "is not for SQLite: name another file in the data source instead"}
	case !nameForm.MatchString(schema):
		return "", &Problem{"Options.Schema", form}
	}
	return quoted(d, schema) + "." + prefix, nil
}

// quoted returns a name that is not taken for a word of the language.
func quoted(d Dialect, name string) string {
	if d == MySQL {
		return "`" + name + "`"
	}
	return `"` + name + `"`
}

// defaultPrefix begins names that are no word of any database.
const defaultPrefix = "webhook_"

var placeOfName = regexp.MustCompile(`\{p\}([a-z_]+)`)

// Named puts the names of tables into a text, in which {p} stands before each. They
// are quoted, since a prefix can make a word of the language of one, such as release.
func Named(d Dialect, text, prefix string) string {
	i := strings.LastIndexByte(prefix, '.') + 1
	schema, prefix := prefix[:i], prefix[i:]
	return placeOfName.ReplaceAllStringFunc(text, func(place string) string {
		name := prefix + strings.TrimPrefix(place, "{p}")
		if prefix != defaultPrefix {
			name = quoted(d, name)
		}
		return schema + name
	})
}

// Number turns each ? into $1, $2, … .
func Number(text string) string {
	parts := strings.Split(text, "?")
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	return b.String()
}
