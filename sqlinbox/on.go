package sqlinbox

import (
	"context"
	"database/sql"
	"errors"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/sqldb"
	"github.com/ringyo-ai/webhook/receive"
)

// On registers f for the events whose payload is P, as [receive.On] does, with a
// transaction of in, which has to be the Deduper of r:
//
//	sqlinbox.On(r, inbox, func(ctx context.Context, tx *sql.Tx, e webhook.Event, c webhook.CallCompleted) error { … })
//
// What f did in tx and the mark that the event is handled are committed together, or
// neither is; see [Inbox.InTx]. f must not commit or roll back. A type that is registered
// here has no other handler. A test of f calls it with a transaction of the test's own
// and needs neither a Receiver nor an Inbox.
func On[P webhook.Payload](r *receive.Receiver, in *Inbox, f func(ctx context.Context, tx *sql.Tx, e webhook.Event, data P) error) {
	receive.On(r, func(ctx context.Context, e webhook.Event, data P) error {
		return in.InTx(ctx, func(tx *sql.Tx) error { return f(ctx, tx, e, data) })
	})
}

// InTx runs f in a transaction of its own and marks the event whose handler got
// ctx as handled in the same transaction: what f did and the mark are there
// together or not at all. It is for the handlers of OnType and OnOther; [On] calls it
// for those of one payload. An error or a panic of f, a lost mark and a failed
// commit roll back; the handler returns the error, and the sender's retry gets
// in. On SQLite the transaction holds the write lock from its start: f should be
// short and use tx alone. It fails with [ErrNoMark] outside a handler.
func (i *Inbox) InTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	if _, ok := receive.MarkFromContext(ctx); !ok {
		return ErrNoMark
	}
	// Until it has begun nothing was done, so a busy database is waited for.
	var t *sqldb.OwnTx
	err := sqldb.Again(ctx, i.db, func() (err error) {
		t, err = i.beginTx(ctx)
		return err
	})
	if err != nil {
		return i.failed(err)
	}
	err = errPanicked
	defer func() {
		if err == errPanicked {
			_ = t.End(err)
		}
	}()
	err = f(t.Tx)
	if err == nil {
		err = i.mark(ctx, t.Tx)
	}
	if err != nil {
		return t.End(err)
	}
	return i.failed(t.End(nil))
}

var errPanicked = errors.New("sqlinbox: the handler panicked")

func (i *Inbox) beginTx(ctx context.Context) (*sqldb.OwnTx, error) {
	if i.dialect != SQLite {
		return sqldb.BeginServer(ctx, i.db)
	}
	return sqldb.BeginFile(ctx, i.db, i.writer, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, i.sql.lock)
		return err
	})
}

// Tx is what [Inbox.Mark] needs of a transaction: a *sql.Tx, or a *sql.Conn on which a
// transaction was begun; sqlx's and bun's Tx; of gorm's transaction
// tx.Statement.ConnPool; for ent the *sql.Tx that its driver was made of; [PgxTx] makes
// one of a pgx.Tx.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Mark marks the event whose handler got ctx as handled, in a transaction that the
// caller began on the same database: the mark exists once the caller has committed,
// together with everything else in the transaction, and never if the caller rolls
// back. It fails with [ErrMarkLost] when the event has been taken over, with
// [ErrAlreadyMarked] the second time; the caller then rolls back. It belongs at the
// end of the transaction, since duplicates wait for its lock.
func (i *Inbox) Mark(ctx context.Context, tx Tx) error {
	if tx == nil {
		return errTxArgument
	}
	return i.mark(ctx, sqldb.Transaction(tx))
}

func (i *Inbox) mark(ctx context.Context, q sqldb.Tx) error {
	m, ok := receive.MarkFromContext(ctx)
	if !ok {
		return ErrNoMark
	}
	now, err := i.clock(ctx, q)
	if err != nil {
		return i.failed(err)
	}
	id := rowID(m.Key)
	res, err := q.ExecContext(ctx, i.sql.mark, later(now, i.window), id, m.Token)
	if err != nil {
		return i.failed(err)
	}
	n, err := res.RowsAffected()
	if err == nil && n == 1 {
		return nil
	}
	var state int
	var holder int64
	if q.QueryRowContext(ctx, i.sql.state, id).Scan(&state, &holder) == nil && state == stateHandled && holder == m.Token {
		return ErrAlreadyMarked
	}
	return errors.Join(ErrMarkLost, err)
}
