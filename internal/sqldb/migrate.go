package sqldb

import (
	"context"
	"database/sql"
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
			return exclusiveMySQL(ctx, db, number, f)
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

// exclusiveMySQL holds a lock of the session on one connection, for as long as
// the server waits by itself.
func exclusiveMySQL(ctx context.Context, db *sql.DB, number int64, f func(Tx) error) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { giveBack(conn, err) }()
	name := fmt.Sprintf("webhook_%d", number)
	var got sql.NullInt64
	for got.Int64 != 1 {
		if err := conn.QueryRowContext(ctx, `select get_lock(concat(database(), ?), 1)`, name).Scan(&got); err != nil {
			return err
		}
	}
	defer func() {
		if _, err := conn.ExecContext(context.WithoutCancel(ctx), `do release_lock(concat(database(), ?))`, name); err != nil {
			discard(conn) // its end releases the lock
		}
	}()
	return f(conn)
}

// HasTable is the query for how many tables of this name there are: 0 or 1. A
// statement that fails for want of a table would end PostgreSQL's transaction.
func HasTable(d Dialect, table string) string {
	switch d {
	case Postgres:
		return `select count(*) from pg_class where oid = to_regclass('` + table + `')`
	case MySQL:
		return "select count(*) from information_schema.tables where concat(table_schema, '.', table_name) in " +
			"(replace('" + table + "', '`', ''), concat(database(), '.', '" + table + "'))"
	}
	return `select count(*) from sqlite_master where type = 'table' and name = '` + table + `'`
}

// Apply runs the numbered migrations in files whose numbers are above have, with
// prefix in the place of the one that is in the files, webhook_.
func Apply(ctx context.Context, q Tx, files fs.FS, have int, prefix string) error {
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
		for _, stmt := range statements(string(text), prefix) {
			if _, err := q.ExecContext(ctx, stmt); err != nil {
				return fmt.Errorf("%s: %w", f.Name(), err)
			}
		}
	}
	return nil
}

var (
	indexName = regexp.MustCompile(`(create (?:unique )?index )webhook_`)
	comments  = regexp.MustCompile(`(?m)^--.*$`)
)

// statements returns the statements of a migration with names of one's own. An
// index is in the schema of its table and cannot name it.
func statements(text, prefix string) (stmts []string) {
	bare := prefix[strings.LastIndexByte(prefix, '.')+1:]
	text = comments.ReplaceAllString(text, "")
	text = indexName.ReplaceAllString(text, "${1}\x00")
	text = strings.ReplaceAll(text, "webhook_", prefix)
	text = strings.ReplaceAll(text, "\x00", bare)
	for _, stmt := range strings.Split(text, ";\n") {
		if stmt = strings.TrimSpace(stmt); stmt != "" {
			stmts = append(stmts, stmt)
		}
	}
	return stmts
}
