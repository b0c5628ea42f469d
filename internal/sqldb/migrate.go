package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
)

// Exclusive runs f while no other process does so under the same name. On
// PostgreSQL and SQLite all that f does happens or nothing. f can run again after an
// error that [Again] repeats.
func Exclusive(ctx context.Context, db *sql.DB, d Dialect, name string, f func(Tx) error) error {
	number := int64(crc32.ChecksumIEEE([]byte("webhook migration " + name)))
	return Again(ctx, db, func() error {
		switch d {
		case Postgres:
			return exclusivePostgres(ctx, db, number, f)
		case MySQL:
			return exclusiveMySQL(ctx, db, name, f)
		}
		return exclusiveSQLite(ctx, db, f)
	})
}

// exclusivePostgres holds an advisory lock of the transaction, which needs no
// session and so works behind PgBouncer.
func exclusivePostgres(ctx context.Context, db *sql.DB, number int64, f func(Tx) error) error {
	t, err := BeginServer(ctx, db)
	if err != nil {
		return err
	}
	_, err = t.ExecContext(ctx, `select pg_advisory_xact_lock($1)`, number)
	if err == nil {
		err = f(t)
	}
	return t.End(err)
}

func exclusiveSQLite(ctx context.Context, db *sql.DB, f func(Tx) error) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { giveBack(conn, err) }()
	if _, err := conn.ExecContext(ctx, `begin immediate`); err != nil {
		return err
	}
	if err := f(conn); err != nil {
		if _, undo := conn.ExecContext(context.WithoutCancel(ctx), `rollback`); undo != nil {
			discard(conn)
		}
		return err
	}
	_, err = conn.ExecContext(ctx, `commit`)
	if err != nil {
		discard(conn)
	}
	return err
}

// ErrNoDatabase means that the data source names no database. MySQL wants one for
// derived tables, even where all tables are named with theirs.
var ErrNoDatabase = errors.New("the data source names no database")

// exclusiveMySQL holds a lock of the session on one connection, for as long as
// the server waits by itself.
func exclusiveMySQL(ctx context.Context, db *sql.DB, prefix string, f func(Tx) error) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { giveBack(conn, err) }()
	name, err := lockName(ctx, conn, prefix)
	if err != nil {
		return err
	}
	for got := (sql.NullInt64{}); got.Int64 != 1; {
		if err := conn.QueryRowContext(ctx, `select get_lock(?, 1)`, name).Scan(&got); err != nil {
			return err
		}
		if !got.Valid { // out of memory, or the thread was killed
			return errors.New("get_lock returned NULL: the server could not tell whether the lock is held")
		}
	}
	defer func() {
		var released sql.NullInt64
		err := conn.QueryRowContext(context.WithoutCancel(ctx), `select release_lock(?)`, name).Scan(&released)
		if err != nil || released.Int64 != 1 {
			discard(conn) // its end releases the lock
		}
	}()
	return f(conn)
}

// lockName returns the name of the lock for tables of one prefix in one database.
// Locks are the server's, and a name has at most 64 characters, which that of the
// database alone may have.
func lockName(ctx context.Context, q Tx, prefix string) (string, error) {
	var database sql.NullString
	if err := q.QueryRowContext(ctx, `select database()`).Scan(&database); err != nil {
		return "", err
	}
	if !database.Valid {
		return "", ErrNoDatabase
	}
	schema, bare, qualified := strings.Cut(prefix, ".")
	if qualified {
		database.String = strings.Trim(schema, "`")
	} else {
		bare = prefix
	}
	return fmt.Sprintf("webhook_%08x_%08x", crc32.ChecksumIEEE([]byte(database.String)), crc32.ChecksumIEEE([]byte(bare))), nil
}

// HasTable is the query for how many tables of this name there are: 0 or 1. A
// statement that fails for want of a table would end PostgreSQL's transaction. The
// name may be quoted.
func HasTable(d Dialect, table string) string {
	switch d {
	case Postgres:
		return `select count(*) from pg_class where oid = to_regclass('` + table + `')`
	case MySQL:
		bare := "replace('" + table + "', '`', '')"
		return "select count(*) from information_schema.tables where concat(table_schema, '.', table_name) in " +
			"(" + bare + ", concat(database(), '.', " + bare + "))"
	}
	return `select count(*) from sqlite_master where type = 'table' and name = replace('` + table + `', '"', '')`
}

// Apply runs the numbered migrations in files whose numbers are above have, with
// prefix instead of webhook_, the one in the files.
func Apply(ctx context.Context, q Tx, d Dialect, files fs.FS, have int, prefix string) error {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return err
	}
	for _, f := range entries {
		n, err := strconv.Atoi(f.Name()[:6])
		if err != nil || n <= have {
			continue
		}
		text, err := fs.ReadFile(files, f.Name())
		if err != nil {
			return err
		}
		for _, stmt := range statements(d, string(text), prefix) {
			if _, err := q.ExecContext(ctx, stmt); err != nil {
				return fmt.Errorf("%s: %w", f.Name(), err)
			}
		}
	}
	return nil
}

var (
	comments  = regexp.MustCompile(`(?m)^--.*$`)
	indexName = regexp.MustCompile(`(create (?:unique )?index )webhook_([a-z_]+)`)
	fileName  = regexp.MustCompile(`webhook_([a-z_]+)`)
)

// statements returns the statements of a migration with names of the caller's own.
// An index is in the schema of its table and cannot name it.
func statements(d Dialect, text, prefix string) (stmts []string) {
	bare := prefix[strings.LastIndexByte(prefix, '.')+1:]
	text = comments.ReplaceAllString(text, "")
	text = indexName.ReplaceAllString(text, "${1}{i}$2")
	text = fileName.ReplaceAllString(text, "{p}$1")
	text = Named(d, strings.ReplaceAll(Named(d, text, prefix), "{i}", "{p}"), bare)
	for _, stmt := range strings.Split(text, ";\n") {
		if stmt = strings.TrimSpace(stmt); stmt != "" {
			stmts = append(stmts, stmt)
		}
	}
	return stmts
}
