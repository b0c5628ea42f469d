package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"math/rand/v2"
	"reflect"
	"time"
)

// Waits between repetitions, and their number where the database itself makes
// sure that somebody gets on.
const (
	firstWait    = time.Millisecond
	longestWait  = 100 * time.Millisecond
	maxConflicts = 30
)

// maxLost bounds how many connections one call finds lost where it cannot be seen how
// many wait in the pool.
const maxLost = 16

// Again repeats f while another transaction is in its way: after a deadlock up
// to maxConflicts times, while SQLite is busy until ctx ends. When the connection that f
// ran on was lost, or can no longer be used, f runs again on another one, at once, until
// one that did not wait in the pool has failed too. What [Unrepeatable] made of an
// error is not repeated for that.
func Again(ctx context.Context, db *sql.DB, f func() error) error {
	wait, others := firstWait, -1 // connections yet to try
	for n := 1; ; n++ {
		err := f()
		if ctx.Err() == nil && OfConnection(err) && !unrepeatable(err) {
			if others < 0 {
				others = idle(db) + 1
			}
			if others--; others >= 0 {
				continue
			}
			return err
		}
		switch k := KindOf(err); {
		case err == nil, k != Busy && k != Conflict, k == Conflict && n >= maxConflicts:
			return err
		}
		// Half of it at random, so that two that met do not meet again.
		if !sleep(ctx, wait/2+rand.N(wait)) { // #nosec G404 -- jitter, not a secret
			return err
		}
		wait = min(2*wait, longestWait)
	}
}

// idle returns how many connections may wait in the pool. One that keeps none itself can
// have another pool behind it, as that of stdlib.OpenDBFromPool has.
func idle(db *sql.DB) int {
	stats := db.Stats()
	if stats.MaxIdleClosed > 0 {
		return max(stats.Idle, maxLost)
	}
	return stats.Idle
}

// Unrepeatable marks the error of what may have happened all the same, and must not
// happen twice.
func Unrepeatable(err error) error { return once{err} }

type once struct{ error }

func (o once) Unwrap() error { return o.error }

func unrepeatable(err error) bool { return errors.As(err, new(once)) }

// Spoiled marks an error that may be of the connection alone: another one is tried, and
// the one that had it is closed.
func Spoiled(err error) error { return spoiled{err} }

// Unspoiled takes the mark of [Spoiled] off.
func Unspoiled(err error) error {
	if s, ok := err.(spoiled); ok {
		return s.error
	}
	return err
}

type spoiled struct{ error }

func (s spoiled) Unwrap() error { return s.error }

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// Parting is the context of tidying up after a failure, which may be the end of
// ctx. It is short: the caller waits, and what is left behind ends by itself.
func Parting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), time.Second)
}

// OnConn runs f on one connection of db. The connection is closed instead of being
// given back if the error of f says that it was lost, or is not to be used any more.
func OnConn(ctx context.Context, db *sql.DB, f func(Tx) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return Unrepeatable(err) // no other connection is better than a new one
	}
	err = f(conn)
	giveBack(conn, err)
	return err
}

// OwnTx is a transaction that this package began.
type OwnTx struct {
	*sql.Tx
	conn   *sql.Conn
	writer chan struct{} // of BeginFile
}

// BeginServer begins a transaction at READ COMMITTED, whatever the default of
// the database is: each statement sees what was committed before it, and MySQL
// takes no gap locks.
func BeginServer(ctx context.Context, db *sql.DB) (*OwnTx, error) {
	return begin(ctx, ctx, db, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
}

// BeginSnapshot begins a transaction in which all statements see one moment.
func BeginSnapshot(ctx context.Context, db *sql.DB) (*OwnTx, error) {
	return begin(ctx, ctx, db, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
}

// BeginAny begins a transaction as the database does by itself.
func BeginAny(ctx context.Context, db *sql.DB) (*OwnTx, error) { return begin(ctx, ctx, db, nil) }

// begin waits for a connection under ctx, and begins a transaction that whole ends.
func begin(ctx, whole context.Context, db *sql.DB, opts *sql.TxOptions) (*OwnTx, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, Unrepeatable(err) // no other connection is better than a new one
	}
	tx, err := conn.BeginTx(whole, opts)
	if err != nil {
		giveBack(conn, err)
		return nil, err
	}
	return &OwnTx{Tx: tx, conn: conn}, nil
}

// BeginFile begins a transaction that holds SQLite's write lock from its start.
// database/sql knows BEGIN alone, which takes no lock; the statement of lock, which
// follows, changes nothing but takes the write lock, exactly as BEGIN IMMEDIATE
// does, so that the transaction never has to turn from reading to writing, which
// can fail for good. writer, of capacity 1, is held until the end: goroutines of one
// process wait there for each other, in turn.
func BeginFile(ctx context.Context, db *sql.DB, writer chan struct{}, lock func(*sql.Tx) error) (*OwnTx, error) {
	select {
	case writer <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	t, err := begin(ctx, context.WithoutCancel(ctx), db, nil)
	if err != nil {
		<-writer
		return nil, err
	}
	t.writer = writer
	if err := lock(t.Tx); err != nil { // may wait for others
		return nil, t.End(err)
	}
	return t, nil
}

// End commits, or rolls back after an error, which it returns.
func (t *OwnTx) End(err error) error {
	if t.writer != nil {
		defer func() { <-t.writer }()
	}
	var undo error
	if err == nil {
		if err = t.Commit(); err != nil && t.writer != nil {
			// SQLite keeps a transaction open whose commit found a reader in its way.
			_, undo = t.conn.ExecContext(context.Background(), "rollback")
		}
	} else if undo = t.Rollback(); undo == sql.ErrTxDone {
		undo = nil
	}
	if undo != nil {
		discard(t.conn)
	}
	giveBack(t.conn, err)
	return err
}

// Undo rolls back what has only read, and returns err or what goes wrong.
func (t *OwnTx) Undo(err error) error {
	if undo := t.Rollback(); err == nil && undo != sql.ErrTxDone {
		err = undo
	}
	giveBack(t.conn, err)
	return err
}

// giveBack gives a connection back to the pool, or closes it if err is its own.
func giveBack(c *sql.Conn, err error) {
	if OfConnection(err) {
		discard(c)
	}
	_ = c.Close() // does nothing after discard
}

// discard closes a connection in an unknown state instead of giving it back to
// the pool. What the driver would give back to another pool, as pgx does for that of
// stdlib.OpenDBFromPool, is closed there too.
func discard(c *sql.Conn) {
	_ = c.Raw(func(conn any) error {
		if inner := reflect.ValueOf(conn).MethodByName("Conn"); inner.IsValid() && inner.Type().NumIn() == 0 && inner.Type().NumOut() == 1 {
			if c, ok := inner.Call(nil)[0].Interface().(interface{ Close(context.Context) error }); ok {
				ctx, cancel := Parting(context.Background())
				defer cancel()
				_ = c.Close(ctx)
			}
		}
		return driver.ErrBadConn
	})
}
