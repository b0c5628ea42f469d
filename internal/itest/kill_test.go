package itest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// suicide is a database driver that kills its own process, without any clean-up,
// just before the nth thing that it is asked to do: begin, commit, or run a
// statement. It stands for a crash at every step of the store, each of which
// lies between two of them.
type suicide struct {
	driver.Driver
	left *atomic.Int64
	note func(query string, args []driver.NamedValue) // told of each statement; may be nil
	ran  *atomic.Int64

	point failPoint
	mu    sync.Mutex
	step  string // the one that the process is in
	ops   int    // asked of the database in this step
}

// failPoint is where a process dies: in a step that a story names (see stepped),
// before the nth thing that the step asks of the database, or once the step is
// over. The zero failPoint is nowhere.
type failPoint struct {
	Step   string
	Before int // 1 is before the step, and the last one before its commit
	After  bool
}

// in runs one step.
func (d *suicide) in(step string, f func()) {
	d.enter(step)
	f()
	if step == d.point.Step && d.point.After {
		die()
	}
	d.enter("")
}

func (d *suicide) enter(step string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.step, d.ops = step, 0
}

// here counts one operation of the step, and reports whether it is the last.
func (d *suicide) here() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ops++
	return d.point.Step != "" && d.step == d.point.Step && d.ops == d.point.Before
}

// openSuicidal opens a database whose process dies before its nth operation, 0
// meaning never, and at the given point.
func openSuicidal(name, dsn string, n int64, at failPoint) (*sql.DB, *suicide, error) {
	inner, err := sql.Open(name, dsn)
	if err != nil {
		return nil, nil, err
	}
	d := &suicide{Driver: inner.Driver(), left: new(atomic.Int64), point: at}
	d.left.Store(n)
	return sql.OpenDB(&connector{d, dsn}), d, inner.Close()
}

// openRecorded opens a database that tells of each statement.
func openRecorded(name, dsn string, r *recorder) (*sql.DB, error) {
	inner, err := sql.Open(name, dsn)
	if err != nil {
		return nil, err
	}
	d := &suicide{Driver: inner.Driver(), left: new(atomic.Int64), note: r.note, ran: &r.ran}
	return sql.OpenDB(&connector{d, dsn}), inner.Close()
}

func (d *suicide) statement(query string, args []driver.NamedValue) {
	if d.note != nil {
		d.note(query, args)
	}
	d.operation()
}

// taken counts a statement, unless the driver wants it prepared first.
func (d *suicide) taken(err error) {
	if d.ran != nil && err != driver.ErrSkip {
		d.ran.Add(1)
	}
}

func (d *suicide) operation() {
	if d.here() || d.left.Add(-1) == 0 {
		die()
	}
}

// die ends the process as kill -9 does.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // until it arrives
}

type connector struct {
	d   *suicide
	dsn string
}

func (c *connector) Driver() driver.Driver { return c.d }

func (c *connector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.d.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	return &mortal{conn, c.d}, nil
}

// mortal is one connection. All three drivers know what it asks for.
type mortal struct {
	driver.Conn
	d *suicide
}

func (c *mortal) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	c.d.operation()
	c.d.taken(nil)
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
	return &mortalTx{tx, c.d}, err
}

func (c *mortal) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.d.statement(query, args)
	res, err := c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
	c.d.taken(err)
	return res, err
}

func (c *mortal) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.d.statement(query, args)
	rows, err := c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
	c.d.taken(err)
	return rows, err
}

func (c *mortal) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	st, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return &mortalStmt{st, c.d, query}, nil
}

func (c *mortal) CheckNamedValue(v *driver.NamedValue) error {
	if k, ok := c.Conn.(driver.NamedValueChecker); ok {
		return k.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *mortal) ResetSession(ctx context.Context) error {
	if r, ok := c.Conn.(driver.SessionResetter); ok {
		return r.ResetSession(ctx)
	}
	return nil
}

type mortalStmt struct {
	driver.Stmt
	d     *suicide
	query string
}

func (s *mortalStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.d.statement(s.query, args)
	s.d.taken(nil)
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (s *mortalStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.d.statement(s.query, args)
	s.d.taken(nil)
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

type mortalTx struct {
	driver.Tx
	d *suicide
}

func (t *mortalTx) Commit() error {
	t.d.operation()
	t.d.taken(nil)
	return t.Tx.Commit()
}

func (t *mortalTx) Rollback() error {
	t.d.taken(nil)
	return t.Tx.Rollback()
}
