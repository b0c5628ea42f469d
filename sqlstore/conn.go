package sqlstore

import (
	"context"
	"database/sql"
	"sync"
	"time"

	"github.com/ringyo-ai/webhook/internal/sqldb"
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
	flat   flat     // see parameters
	wanted []string // to be prepared once the connection is back in the pool
}

// unwatched returns the context of a statement. In a transaction that holds
// SQLite's write lock nothing waits for others and each statement is short, while
// being ready to interrupt it takes the driver a goroutine and as long as the
// statement itself: there a context is looked at between statements.
func (t *txn) unwatched(ctx context.Context) (context.Context, error) {
	if !t.steady {
		return ctx, nil
	}
	return context.WithoutCancel(ctx), ctx.Err()
}

// clock returns the database's time in microseconds, the same one for the whole
// of a transaction.
func (t *txn) clock(ctx context.Context) (int64, error) {
	if t.micros == 0 {
		if t.s.dialect.ownClock {
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

// stmt returns the prepared form of a statement, or nil: where preparing does
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

// pool is what a single statement runs on.
func (s *Store) pool() Tx {
	if s.within != nil {
		return s.within
	}
	return s.db
}

// onConn runs f, whose statements are transactions of their own, on one connection.
func (s *Store) onConn(ctx context.Context, f func(*txn) error) error {
	if s.within != nil {
		return f(&txn{s: s, q: s.within})
	}
	return sqldb.OnConn(ctx, s.db, func(q sqldb.Tx) error { return f(&txn{s: s, q: q}) })
}

// read runs f on one connection, or on the pool where statements are prepared on it. f
// can run again after an error.
func (s *Store) read(ctx context.Context, f func(*txn) error) error {
	return s.again(ctx, func() error {
		if !s.dialect.prepare || s.within != nil {
			return s.onConn(ctx, f)
		}
		t := &txn{s: s, q: s.db, pooled: true}
		err := f(t)
		s.prepared.add(ctx, s.db, t.wanted)
		return err
	})
}

// view is read for several statements. On SQLite they share a connection and a
// transaction, which is much of what a small statement costs there.
func (s *Store) view(ctx context.Context, f func(*txn) error) error {
	if !s.dialect.oneWriter || s.within != nil {
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
	if s.within != nil {
		return s.onConn(ctx, f)
	}
	begin := sqldb.BeginSnapshot
	if s.dialect.oneWriter {
		begin = sqldb.BeginAny
	}
	return s.again(ctx, func() error {
		t, err := begin(ctx, s.db)
		if err != nil {
			return err
		}
		return t.Undo(f(&txn{s: s, q: t.Tx}))
	})
}

// write runs f in a transaction and commits it. f can run again after a
// conflict with another transaction, so it has to begin from nothing each time.
func (s *Store) write(ctx context.Context, f func(*txn) error) error {
	if s.within != nil {
		return s.onConn(ctx, f)
	}
	if err := s.meet(ctx, s.db); err != nil {
		return err
	}
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

// ownTxn is a transaction that the store began.
type ownTxn struct {
	txn
	own *sqldb.OwnTx
}

// end commits, or rolls back after an error.
func (t *ownTxn) end(err error) error {
	if err != nil {
		return t.own.End(err)
	}
	return afterCommit(t.own.End(nil))
}

func beginServer(ctx context.Context, s *Store) (*ownTxn, error) {
	t, err := sqldb.BeginServer(ctx, s.db)
	if err != nil {
		return nil, err
	}
	return &ownTxn{txn: txn{s: s, q: t.Tx, tx: t.Tx}, own: t}, nil
}

func beginFile(ctx context.Context, s *Store) (*ownTxn, error) {
	t := &ownTxn{}
	own, err := sqldb.BeginFile(ctx, s.db, s.writer, func(tx *sql.Tx) error {
		t.txn = txn{s: s, q: tx, tx: tx}
		return t.exec(ctx, s.sql.Lock)
	})
	if err != nil {
		return nil, err
	}
	t.own, t.steady = own, true
	return t, nil
}
