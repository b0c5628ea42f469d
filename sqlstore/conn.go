package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"math/rand/v2"
	"sync"
	"time"
)

// txn is what statements run on: a transaction of the store or of the caller, or
// the pool, where each statement is a transaction of its own.
type txn struct {
	s      *Store
	q      Tx
	tx     *sql.Tx // of the store's own; nil otherwise
	pooled bool    // q is the pool
	micros int64   // the clock, once asked
	steady bool    // statements do not watch their context, see unwatched
	stmts  map[string]*sql.Stmt
	wanted []string // to be prepared once the connection is back in the pool
}

// unwatched answers the context of a statement. In a transaction that holds
// SQLite's write lock nothing waits for others and each statement is short, while
// being ready to interrupt it takes the driver a goroutine and as long as the
// statement itself: there a context is looked at between statements.
func (t *txn) unwatched(ctx context.Context) (context.Context, error) {
	if !t.steady {
		return ctx, nil
	}
	return context.WithoutCancel(ctx), ctx.Err()
}

// clock answers the database's time in microseconds, the same one for the whole
// of a transaction.
func (t *txn) clock(ctx context.Context) (int64, error) {
	if t.micros == 0 {
		if t.s.sql.Now == "" {
			t.micros = time.Now().UnixMicro()
			return t.micros, ctx.Err()
		}
		if err := t.row(ctx, t.s.sql.Now).Scan(&t.micros); err != nil {
			return 0, err
		}
	}
	return t.micros, nil
}

func (t *txn) exec(ctx context.Context, text string, args ...any) error {
	_, err := t.execResult(ctx, text, args...)
	return err
}

func (t *txn) execResult(ctx context.Context, text string, args ...any) (sql.Result, error) {
	ctx, err := t.unwatched(ctx)
	if err != nil {
		return nil, err
	}
	if st := t.stmt(ctx, text); st != nil {
		return st.ExecContext(ctx, args...)
	}
	return t.q.ExecContext(ctx, text, args...)
}

func (t *txn) row(ctx context.Context, text string, args ...any) *sql.Row {
	if st := t.stmt(ctx, text); st != nil {
		return st.QueryRowContext(ctx, args...)
	}
	return t.q.QueryRowContext(ctx, text, args...)
}

// query calls scan for each row.
func (t *txn) query(ctx context.Context, text string, scan func(*sql.Rows) error, args ...any) error {
	ctx, err := t.unwatched(ctx)
	if err != nil {
		return err
	}
	var rows *sql.Rows
	if st := t.stmt(ctx, text); st != nil {
		rows, err = st.QueryContext(ctx, args...)
	} else {
		rows, err = t.q.QueryContext(ctx, text, args...)
	}
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err says what there is to say
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// stmt answers the prepared form of a statement, or nil: where preparing does
// not help, in a caller's transaction, and the first time, since preparing takes
// a connection and the transaction may hold the only one.
func (t *txn) stmt(ctx context.Context, text string) *sql.Stmt {
	if t.tx == nil && !t.pooled || !t.s.dialect.prepare {
		return nil
	}
	st, ok := t.stmts[text]
	if !ok {
		p := t.s.prepared.get(text)
		switch {
		case p != nil && t.pooled:
			st = p
		case p != nil:
			st = t.tx.StmtContext(ctx, p)
		default:
			t.wanted = append(t.wanted, text)
		}
		if t.stmts == nil {
			t.stmts = make(map[string]*sql.Stmt)
		}
		t.stmts[text] = st
	}
	return st
}

// preparedSet holds statements prepared on the pool, which closes them with
// itself. Their number is that of the store's statements.
type preparedSet struct {
	mu sync.Mutex
	m  map[string]*sql.Stmt
}

func (p *preparedSet) get(text string) *sql.Stmt {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.m[text]
}

func (p *preparedSet) add(ctx context.Context, db *sql.DB, texts []string) {
	for _, text := range texts {
		st, err := db.PrepareContext(ctx, text)
		if err != nil {
			return // it runs unprepared, and tells its error then
		}
		p.mu.Lock()
		if p.m == nil {
			p.m = make(map[string]*sql.Stmt)
		}
		if p.m[text] == nil {
			p.m[text] = st
			st = nil
		}
		p.mu.Unlock()
		if st != nil {
			_ = st.Close()
		}
	}
}

// pool answers what runs each statement on the pool.
func (s *Store) pool() *txn { return &txn{s: s, q: s.db, pooled: true} }

// read runs f on the pool. f can run again after an error.
func (s *Store) read(ctx context.Context, f func(*txn) error) error {
	return s.again(ctx, func() error {
		t := s.pool()
		err := f(t)
		s.prepared.add(ctx, s.db, t.wanted)
		return err
	})
}

// view is read for several statements. On SQLite they share a connection and a
// transaction, which is much of what a small statement costs there.
func (s *Store) view(ctx context.Context, f func(*txn) error) error {
	if !s.dialect.oneWriter {
		return s.read(ctx, f)
	}
	return s.again(ctx, func() error {
		tx, err := s.db.BeginTx(context.WithoutCancel(ctx), nil)
		if err != nil {
			return err
		}
		t := &txn{s: s, q: tx, tx: tx}
		err = f(t)
		if undo := tx.Rollback(); err == nil && undo != sql.ErrTxDone {
			err = undo
		}
		s.prepared.add(ctx, s.db, t.wanted)
		return err
	})
}

// snapshot is read where all of what f reads is of one moment.
func (s *Store) snapshot(ctx context.Context, f func(*txn) error) error {
	var opts *sql.TxOptions // on SQLite, any transaction
	if s.dialect.forUpdate != "" {
		opts = &sql.TxOptions{Isolation: sql.LevelRepeatableRead}
	}
	return s.again(ctx, func() error {
		tx, err := s.db.BeginTx(ctx, opts)
		if err != nil {
			return err
		}
		err = f(&txn{s: s, q: tx})
		if undo := tx.Rollback(); err == nil && undo != sql.ErrTxDone {
			err = undo
		}
		return err
	})
}

// write runs f in a transaction and commits it. f can run again after a
// conflict with another transaction, so it has to begin from nothing each time.
func (s *Store) write(ctx context.Context, f func(*txn) error) error {
	return s.again(ctx, func() error {
		t, err := s.dialect.begin(ctx, s)
		if err != nil {
			return err
		}
		err = f(&t.txn)
		err = t.end(err)
		s.prepared.add(ctx, s.db, t.wanted)
		return err
	})
}

// Waits between repetitions, and their number where the database itself makes
// sure that somebody gets on.
const (
	firstWait    = time.Millisecond
	longestWait  = 100 * time.Millisecond
	maxConflicts = 30
)

// parting is the context of tidying up after a failure, which may be the end of
// ctx. It is short: the caller waits, and what is left behind ends by itself.
func parting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), time.Second)
}

// again repeats f while another transaction is in its way: after a deadlock up
// to maxConflicts times, while SQLite is busy until ctx ends.
func (s *Store) again(ctx context.Context, f func() error) error {
	wait := firstWait
	for n := 1; ; n++ {
		err := f()
		switch k := kindOf(err); {
		case err == nil, k != kindBusy && k != kindConflict, k == kindConflict && n >= maxConflicts:
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

// ownTxn is a transaction that the store began.
type ownTxn struct {
	txn
	conn    *sql.Conn // where one connection is held around the transaction
	release func()
}

// end commits, or rolls back after an error.
func (t *ownTxn) end(err error) error {
	if t.release != nil {
		defer t.release()
	}
	if err == nil {
		err = afterCommit(t.tx.Commit())
		if err == nil || t.conn == nil {
			return err
		}
		// SQLite keeps a transaction open whose commit found a reader in its way.
		if _, undo := t.conn.ExecContext(context.Background(), "rollback"); undo != nil {
			discard(t.conn)
		}
		return err
	}
	if undo := t.tx.Rollback(); undo != nil && undo != sql.ErrTxDone && t.conn != nil {
		discard(t.conn)
	}
	return err
}

// discard closes a connection in an unknown state instead of giving it back to
// the pool.
func discard(c *sql.Conn) {
	_ = c.Raw(func(any) error { return driver.ErrBadConn })
}

// beginServer begins a transaction at READ COMMITTED, whatever the default of
// the database is: each statement sees what was committed before it, and MySQL
// takes no gap locks.
func beginServer(ctx context.Context, s *Store) (*ownTxn, error) {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return nil, err
	}
	return &ownTxn{txn: txn{s: s, q: tx, tx: tx}}, nil
}

// beginFile begins a transaction that holds SQLite's write lock from its start.
// database/sql knows BEGIN alone, which takes no lock; the statement that
// follows changes nothing but takes the write lock, exactly as BEGIN IMMEDIATE
// does, so that the transaction never has to turn from reading to writing, which
// can fail for good.
func beginFile(ctx context.Context, s *Store) (*ownTxn, error) {
	select {
	case s.writer <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	t, err := lockFile(ctx, s)
	if err != nil {
		<-s.writer
		return nil, err
	}
	t.release = func() {
		_ = t.conn.Close() // back to the pool
		<-s.writer
	}
	return t, nil
}

func lockFile(ctx context.Context, s *Store) (*ownTxn, error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	tx, err := conn.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	t := &ownTxn{txn: txn{s: s, q: tx, tx: tx}, conn: conn}
	if err := t.exec(ctx, s.sql.Lock); err != nil { // may wait for others
		err = t.end(err)
		_ = conn.Close()
		return nil, err
	}
	t.steady = true
	return t, nil
}
