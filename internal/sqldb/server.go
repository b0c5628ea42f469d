package sqldb

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// tooOld returns the error for a server whose version is below the least one.
func tooOld(name, have, need string) error {
	return fmt.Errorf("%s %s is too old, %s or newer is needed: %w", name, have, need, errors.ErrUnsupported)
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

// ask returns a text of the server.
func ask(ctx context.Context, q Tx, name, query string) (text string, err error) {
	if err = q.QueryRowContext(ctx, query).Scan(&text); err != nil {
		err = fmt.Errorf("ask for the version of %s (is the dialect the driver's?): %w", name, err)
	}
	return text, err
}

// CheckVersion reports a server that is older than the packages above work with.
func CheckVersion(ctx context.Context, q Tx, d Dialect) error {
	switch d {
	case Postgres:
		return postgresVersion(ctx, q)
	case MySQL:
		return mysqlVersion(ctx, q)
	}
	return sqliteVersion(ctx, q)
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
