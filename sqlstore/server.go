package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// tooOld answers the error for a server whose version is below the least one.
func tooOld(name, have, need string) error {
	return fmt.Errorf("sqlstore: %s %s is too old, %s or newer is needed: %w", name, have, need, errors.ErrUnsupported)
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

// ask answers a text of the server.
func ask(ctx context.Context, q Tx, name, query string) (text string, err error) {
	if err = q.QueryRowContext(ctx, query).Scan(&text); err != nil {
		err = fmt.Errorf("sqlstore: ask for the version of %s (is the dialect the driver's?): %w", name, err)
	}
	return text, err
}

func postgresVersion(ctx context.Context, q Tx) error {
	v, err := ask(ctx, q, "PostgreSQL", `select current_setting('server_version')`)
	if err == nil && !newEnough(v, 13) {
		err = tooOld("PostgreSQL", v, "13")
	}
	return err
}

func mysqlVersion(ctx context.Context, q Tx) error {
	v, err := ask(ctx, q, "MySQL", `select version()`)
	switch {
	case err != nil:
		return err
	case strings.Contains(v, "MariaDB"):
		// Old clients are told 5.5.5- before the real version.
		if !newEnough(strings.TrimPrefix(v, "5.5.5-"), 10, 6) {
			return tooOld("MariaDB", v, "10.6")
		}
	case !newEnough(v, 8, 0, 1):
		return tooOld("MySQL", v, "8.0.1")
	}
	return nil
}

func sqliteVersion(ctx context.Context, q Tx) error {
	v, err := ask(ctx, q, "SQLite", `select sqlite_version()`)
	if err == nil && !newEnough(v, 3, 35) {
		err = tooOld("SQLite", v, "3.35")
	}
	return err
}

// lockNumber names the migration lock of one set of tables.
func (s *Store) lockNumber() int64 {
	return int64(crc32.ChecksumIEEE([]byte("webhook migration " + s.prefix)))
}

// migratePostgres holds an advisory lock of the transaction, which needs no
// session and so works behind PgBouncer.
func migratePostgres(ctx context.Context, s *Store, f func(Tx) error) error {
	return inTx(ctx, s, func(t *ownTxn) error {
		if err := t.exec(ctx, `select pg_advisory_xact_lock($1)`, s.lockNumber()); err != nil {
			return err
		}
		return f(t.q)
	})
}

func migrateSQLite(ctx context.Context, s *Store, f func(Tx) error) error {
	s.writer <- struct{}{}
	defer func() { <-s.writer }()
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
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

// migrateMySQL holds a lock of the session on one connection, for as long as
// the server waits by itself.
func migrateMySQL(ctx context.Context, s *Store, f func(Tx) error) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	name := fmt.Sprintf("webhook_%d", s.lockNumber())
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

// inTx runs f in a transaction without repeating it.
func inTx(ctx context.Context, s *Store, f func(*ownTxn) error) error {
	t, err := s.dialect.begin(ctx, s)
	if err != nil {
		return err
	}
	return t.end(f(t))
}
