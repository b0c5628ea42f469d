package itest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook/sqlstore"
)

// hooks are called by a database driver before it does what it is asked to, and
// committed after it has. Each may be nil; an error is answered instead.
type hooks struct {
	begin     func(driver.TxOptions) error
	run       func(query string) error
	commit    func() error
	committed func() error
	rollback  func() error // the connection is closed before its error is answered
}

// hooked opens a second store on the database of s, with hooks in its driver.
func (s *testStore) hooked(t testing.TB, dsn string, h *hooks) *testStore {
	t.Helper()
	inner, err := sql.Open(s.driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = inner.Close() })
	db := sql.OpenDB(&hookedConnector{inner.Driver(), dsn, h})
	t.Cleanup(func() { _ = db.Close() })
	store, err := sqlstore.New(db, s.dialect, nil)
	require.NoError(t, err)
	return &testStore{Store: store, database: s.database, db: db, dsn: dsn}
}

type hookedConnector struct {
	driver driver.Driver
	dsn    string
	h      *hooks
}

func (c *hookedConnector) Driver() driver.Driver { return c.driver }

func (c *hookedConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	return &hookedConn{Conn: conn, h: c.h}, nil
}

type hookedConn struct {
	driver.Conn
	h    *hooks
	dead bool
}

func (c *hookedConn) before(query string) error {
	if c.h.run == nil {
		return nil
	}
	return c.h.run(query)
}

func (c *hookedConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if c.h.begin != nil {
		if err := c.h.begin(opts); err != nil {
			return nil, err
		}
	}
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
	return &hookedTx{tx, c}, err
}

func (c *hookedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.before(query); err != nil {
		return nil, err
	}
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c *hookedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.before(query); err != nil {
		return nil, err
	}
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (c *hookedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	st, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return &hookedStmt{st, c, query}, nil
}

func (c *hookedConn) CheckNamedValue(v *driver.NamedValue) error {
	if k, ok := c.Conn.(driver.NamedValueChecker); ok {
		return k.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *hookedConn) ResetSession(ctx context.Context) error {
	if r, ok := c.Conn.(driver.SessionResetter); ok && !c.dead {
		return r.ResetSession(ctx)
	}
	return nil
}

// IsValid returns as a driver does that lost its connection.
func (c *hookedConn) IsValid() bool { return !c.dead }

type hookedStmt struct {
	driver.Stmt
	c     *hookedConn
	query string
}

func (s *hookedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if err := s.c.before(s.query); err != nil {
		return nil, err
	}
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (s *hookedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if err := s.c.before(s.query); err != nil {
		return nil, err
	}
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

type hookedTx struct {
	driver.Tx
	c *hookedConn
}

func (t *hookedTx) Commit() error {
	if t.c.h.commit != nil {
		if err := t.c.h.commit(); err != nil {
			return err
		}
	}
	if err := t.Tx.Commit(); err != nil || t.c.h.committed == nil {
		return err
	}
	return t.c.h.committed()
}

func (t *hookedTx) Rollback() error {
	if t.c.h.rollback != nil {
		if err := t.c.h.rollback(); err != nil {
			t.c.dead = true
			_ = t.c.Close()
			return err
		}
	}
	return t.Tx.Rollback()
}
