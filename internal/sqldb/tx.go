package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"math/rand/v2"
	"time"
)

// Waits between repetitions, and their number where the database itself makes
// sure that somebody gets on.
const (
	firstWait    = time.Millisecond
	longestWait  = 100 * time.Millisecond
	maxConflicts = 30
)

// Again repeats f while another transaction is in its way: after a deadlock up
// to maxConflicts times, while SQLite is busy until ctx ends.
func Again(ctx context.Context, f func() error) error {
	wait := firstWait
	for n := 1; ; n++ {
		err := f()
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

// OwnTx is a transaction that this package began.
type OwnTx struct {
	*sql.Tx
	conn    *sql.Conn // where one connection is held around the transaction
	release func()
}

// BeginServer begins a transaction at READ COMMITTED, whatever the default of
// the database is: each statement sees what was committed before it, and MySQL
// takes no gap locks.
func BeginServer(ctx context.Context, db *sql.DB) (*OwnTx, error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return nil, err
	}
	return &OwnTx{Tx: tx}, nil
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
	t, err := lockFile(ctx, db, lock)
	if err != nil {
		<-writer
		return nil, err
	}
	t.release = func() {
		_ = t.conn.Close() // back to the pool
		<-writer
	}
	return t, nil
}

func lockFile(ctx context.Context, db *sql.DB, lock func(*sql.Tx) error) (*OwnTx, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	tx, err := conn.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	t := &OwnTx{Tx: tx, conn: conn}
	if err := lock(tx); err != nil { // may wait for others
		err = t.End(err)
		_ = conn.Close()
		return nil, err
	}
	return t, nil
}

// End commits, or rolls back after an error, which it returns.
func (t *OwnTx) End(err error) error {
	if t.release != nil {
		defer t.release()
	}
	if err == nil {
		err = t.Commit()
		if err == nil || t.conn == nil {
			return err
		}
		// SQLite keeps a transaction open whose commit found a reader in its way.
		if _, undo := t.conn.ExecContext(context.Background(), "rollback"); undo != nil {
			discard(t.conn)
		}
		return err
	}
	if undo := t.Rollback(); undo != nil && undo != sql.ErrTxDone && t.conn != nil {
		discard(t.conn)
	}
	return err
}

// discard closes a connection in an unknown state instead of giving it back to
// the pool.
func discard(c *sql.Conn) {
	_ = c.Raw(func(any) error { return driver.ErrBadConn })
}
