package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
)

// PgxTag is the shape of pgconn.CommandTag.
type PgxTag interface{ RowsAffected() int64 }

// PgxRows is the shape of pgx.Rows.
type PgxRows interface {
	Close()
	Err() error
	Next() bool
	Values() ([]any, error)
}

// PgxConn is the shape of pgx.Tx, and of whatever else of pgx runs statements.
type PgxConn[T PgxTag, R PgxRows] interface {
	Exec(ctx context.Context, sql string, args ...any) (T, error)
	Query(ctx context.Context, sql string, args ...any) (R, error)
}

// PgxTx makes a Tx of a transaction of pgx, or nil of nil. Statements go through
// database/sql, whose Rows no other package can make, and arrive at conn as they are;
// errors come back as they are.
func PgxTx[T PgxTag, R PgxRows](conn PgxConn[T, R]) Tx {
	if conn == nil {
		return nil
	}
	return pgxTx[T, R]{conn}
}

type pgxTx[T PgxTag, R PgxRows] struct{ conn PgxConn[T, R] }

// pool returns a pool whose only connection is the transaction. Closed at once, it
// still serves the statement that has begun, and leaves nothing behind after it.
func (t pgxTx[T, R]) pool() *sql.DB { return sql.OpenDB(pgxConnector[T, R](t)) }

func (t pgxTx[T, R]) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	db := t.pool()
	defer func() { _ = db.Close() }()
	return db.ExecContext(ctx, query, args...)
}

func (t pgxTx[T, R]) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	db := t.pool()
	defer func() { _ = db.Close() }()
	return db.QueryContext(ctx, query, args...)
}

func (t pgxTx[T, R]) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	db := t.pool()
	defer func() { _ = db.Close() }()
	return db.QueryRowContext(ctx, query, args...)
}

var errPgxUnused = errors.New("sqldb: a transaction of pgx runs statements and nothing else")

type pgxConnector[T PgxTag, R PgxRows] struct{ conn PgxConn[T, R] }

// Connect implements driver.Connector.
func (c pgxConnector[T, R]) Connect(context.Context) (driver.Conn, error) {
	return pgxSession[T, R](c), nil
}

// Driver implements driver.Connector.
func (c pgxConnector[T, R]) Driver() driver.Driver { return pgxDriver{} }

type pgxDriver struct{}

// Open implements driver.Driver.
func (pgxDriver) Open(string) (driver.Conn, error) { return nil, errPgxUnused }

// pgxSession is a driver's connection that runs its statements in the transaction.
type pgxSession[T PgxTag, R PgxRows] struct{ conn PgxConn[T, R] }

// Prepare implements driver.Conn.
func (pgxSession[T, R]) Prepare(string) (driver.Stmt, error) { return nil, errPgxUnused }

// Begin implements driver.Conn.
func (pgxSession[T, R]) Begin() (driver.Tx, error) { return nil, errPgxUnused }

// Close implements driver.Conn. The transaction is its owner's.
func (pgxSession[T, R]) Close() error { return nil }

// ExecContext implements driver.ExecerContext.
func (s pgxSession[T, R]) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	tag, err := s.conn.Exec(ctx, query, plainArgs(args)...)
	if err != nil {
		return nil, err
	}
	return driver.RowsAffected(tag.RowsAffected()), nil
}

// QueryContext implements driver.QueryerContext.
func (s pgxSession[T, R]) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := s.conn.Query(ctx, query, plainArgs(args)...)
	if err != nil {
		return nil, err
	}
	r := &pgxResult{rows: rows}
	if r.first, err = r.read(); err != nil && err != io.EOF {
		rows.Close()
		return nil, err
	}
	return r, nil
}

func plainArgs(args []driver.NamedValue) []any {
	plain := make([]any, len(args))
	for i, a := range args {
		plain[i] = a.Value
	}
	return plain
}

// pgxResult hands out the rows of a query. The first one is read at once, since
// database/sql asks for the number of columns before it.
type pgxResult struct {
	rows  PgxRows
	first []any // nil once it was handed out, and without rows
}

// Columns implements driver.Rows. The store reads columns by their place.
func (r *pgxResult) Columns() []string { return make([]string, len(r.first)) }

// Close implements driver.Rows.
func (r *pgxResult) Close() error {
	r.rows.Close()
	return r.rows.Err()
}

// Next implements driver.Rows.
func (r *pgxResult) Next(dest []driver.Value) (err error) {
	values := r.first
	if r.first = nil; values == nil {
		if values, err = r.read(); err != nil {
			return err
		}
	}
	for i := range dest {
		if dest[i], err = plainValue(values[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *pgxResult) read() ([]any, error) {
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return nil, err
		}
		return nil, io.EOF
	}
	return r.rows.Values()
}

// plainValue returns what a driver of database/sql would have read.
func plainValue(v any) (driver.Value, error) {
	switch v := v.(type) {
	case int16:
		return int64(v), nil
	case int32:
		return int64(v), nil
	case float32:
		return float64(v), nil
	case driver.Valuer: // pgtype.Numeric and its like
		return v.Value()
	}
	return v, nil
}
