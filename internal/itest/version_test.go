package itest

import (
	"database/sql"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook/sqlstore"
)

// A server that is too old is refused by its name, with what is needed, before
// anything is changed.
func TestAServerThatIsTooOldIsNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dialect       sqlstore.Dialect
		version, want string // want is empty where it is new enough
	}{
		{sqlstore.Postgres, "12.22", "PostgreSQL 12.22 is too old, 13"},
		{sqlstore.Postgres, "13.0 (Debian 13.0-1)", ""},
		{sqlstore.Postgres, "18beta1", ""},
		{sqlstore.MySQL, "8.0.0-dmr", "MySQL 8.0.0-dmr is too old, 8.0.1"},
		{sqlstore.MySQL, "5.7.44-log", "MySQL 5.7.44-log is too old, 8.0.1"},
		{sqlstore.MySQL, "8.0.1", ""},
		{sqlstore.MySQL, "9.1.0", ""},
		{sqlstore.MySQL, "10.5.27-MariaDB", "MariaDB 10.5.27-MariaDB is too old, 10.6"},
		{sqlstore.MySQL, "5.5.5-10.6.3-MariaDB-log", ""},
		{sqlstore.MySQL, "11.4.2-MariaDB", ""},
		{sqlstore.SQLite, "3.34.1", "SQLite 3.34.1 is too old, 3.35"},
		{sqlstore.SQLite, "3.35.0", ""},
	} {
		t.Run(c.version, func(t *testing.T) {
			db := sql.OpenDB(oldServer(c.version))
			defer func() { _ = db.Close() }()
			db.SetMaxOpenConns(1)
			s, err := sqlstore.New(db, c.dialect, nil)
			require.NoError(t, err)
			for _, err := range []error{s.Migrate(ctx), s.Validate(ctx)} {
				if c.want == "" {
					require.ErrorIs(t, err, errAsked, "the version is no obstacle")
					continue
				}
				require.ErrorContains(t, err, c.want)
				assert.ErrorIs(t, err, errors.ErrUnsupported)
			}
		})
	}
}

// oldServer returns a database of that version which is nothing else.
func oldServer(version string) *fakeServer {
	return &fakeServer{values: map[string]string{
		"version()": version, "@@version_comment": "MySQL Community Server - GPL", "'server_version'": version, "sqlite_version()": version,
	}}
}
