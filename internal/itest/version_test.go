package itest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"regexp"
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

// oldServer is a database that answers its version to the first question, and
// errAsked to whatever else it is asked.
type oldServer string

var versionQuery = regexp.MustCompile(`version(\(\)|'\))`)

var errAsked = errors.New("asked for more than the version")

func (v oldServer) Connect(context.Context) (driver.Conn, error) { return v, nil }
func (v oldServer) Driver() driver.Driver                        { return v }
func (v oldServer) Open(string) (driver.Conn, error)             { return v, nil }
func (v oldServer) Prepare(string) (driver.Stmt, error)          { return nil, errAsked }
func (v oldServer) Close() error                                 { return nil }
func (v oldServer) Begin() (driver.Tx, error)                    { return nil, errAsked }

func (v oldServer) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	return nil, errAsked
}

func (v oldServer) QueryContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	if !versionQuery.MatchString(query) {
		return nil, errAsked
	}
	return &oneRow{text: string(v)}, nil
}

// oneRow is the answer.
type oneRow struct {
	text string
	read bool
}

func (r *oneRow) Columns() []string { return []string{"version"} }
func (r *oneRow) Close() error      { return nil }

func (r *oneRow) Next(into []driver.Value) error {
	if r.read {
		return io.EOF
	}
	r.read, into[0] = true, r.text
	return nil
}
