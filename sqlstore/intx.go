package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/sqldb"
)

// InTx runs f in a transaction and commits it: either everything that f writes with tx
// and all events that it passes to emit are stored, or nothing is. After the commit it
// wakes d, which is the *[webhook.Engine], so that the events need not wait for a poll.
//
// The transaction is rolled back when f returns an error, which InTx then returns as
// it is, and when f panics. emit returns the errors of [webhook.Dispatcher.EmitTx]; f
// may go on after one that left the transaction as it was (an invalid event, one that
// is too large, an id that is in use). After any other one InTx commits nothing,
// whatever f returns.
//
// f is called once. A deadlock or a serialization failure is returned like every other
// error, with the driver's in it: only the author of f knows whether it may be
// repeated. An error of the commit that wraps [webhook.ErrUnknownOutcome] leaves open
// whether it happened.
//
// The transaction has the isolation of the database's default; on SQLite it holds the
// write lock from its start, so f must not wait for anything else that writes, Emit
// included. f must not end the transaction itself. It must not keep tx or emit for use
// after it has returned, and not call InTx of the same store with its ctx, which
// returns an error: give emit to what f calls. For other options, or a transaction
// that exists already, use [Store.Tx].
func (s *Store) InTx(ctx context.Context, d webhook.Dispatcher, f func(ctx context.Context, tx *sql.Tx, emit func(...webhook.Event) error) error) error {
	switch {
	case d == nil:
		return invalid("d", "is nil: it is the Engine that emits")
	case f == nil:
		return invalid("f", "is nil")
	case ctx.Value(inTx{s}) != nil:
		return invalid("ctx", "is that of a function in InTx: a transaction within would wait for the one around it, so pass emit on instead")
	}
	own, err := s.beginJoint(ctx)
	if err != nil {
		return s.ofStore("begin", err)
	}
	j := &joint{s: s, d: d, tx: own.Tx}
	ended := false
	defer func() {
		if !ended { // f panicked
			_ = own.End(errPanicked)
		}
	}()
	within := context.WithValue(ctx, inTx{s}, true)
	err = f(within, own.Tx, func(events ...webhook.Event) error { return j.emit(within, events) })
	emitted, broken := j.close()
	if err == nil {
		err = broken
	}
	ended = true
	if err != nil {
		return own.End(err)
	}
	err = own.End(nil)
	switch {
	case errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil:
		return fmt.Errorf("sqlstore: commit: %w", context.Cause(ctx)) // database/sql rolled back
	case errors.Is(err, sql.ErrTxDone):
		err = errEnded
	default:
		err = s.ofStore("commit", afterCommit(err))
	}
	if emitted && (err == nil || err == errEnded || errors.Is(err, webhook.ErrUnknownOutcome)) {
		if w, ok := d.(interface{ Wake() }); ok {
			w.Wake()
		}
	}
	return err
}

// ofStore is failed, for an error that reaches the caller without the Engine.
func (s *Store) ofStore(op string, err error) error {
	if err = s.failed(op, err); err != nil {
		err = fmt.Errorf("%w: %w", webhook.ErrStore, err)
	}
	return err
}

var (
	errPanicked = errors.New("the function panicked")
	errEnded    = errors.New("sqlstore: the function of InTx ended the transaction itself")
	errReturned = errors.New("sqlstore: emit was called after the function of InTx had returned")
)

// inTx is the key under which the context of a function in InTx has its store.
type inTx struct{ s *Store }

// beginJoint begins a transaction for others to write in.
func (s *Store) beginJoint(ctx context.Context) (own *sqldb.OwnTx, err error) {
	if s.dialect.oneWriter {
		t, err := s.dialect.begin(ctx, s)
		if err != nil {
			return nil, err
		}
		return t.own, nil
	}
	err = s.again(ctx, func() error {
		own, err = sqldb.BeginAny(ctx, s.db)
		return err
	})
	return own, err
}

// joint is a transaction that InTx began.
type joint struct {
	s  *Store
	d  webhook.Dispatcher
	tx *sql.Tx

	mu      sync.Mutex
	emitted bool
	broken  error // the first error after which part of an emission may be in the transaction
	closed  bool
}

func (j *joint) emit(ctx context.Context, events []webhook.Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return errReturned
	}
	err := j.d.EmitTx(ctx, j.s.Tx(j.tx), events...)
	if err == nil {
		j.emitted = true
	} else if j.broken == nil && !leavesIntact(err) {
		j.broken = err
	}
	return err
}

// leavesIntact reports whether an error of EmitTx says that the transaction is as it
// was before.
func leavesIntact(err error) bool {
	for _, refusal := range []error{webhook.ErrInvalidArgument, webhook.ErrPayloadTooLarge, webhook.ErrIDConflict} {
		if errors.Is(err, refusal) {
			return !errors.Is(err, webhook.ErrStore)
		}
	}
	return false
}

func (j *joint) close() (emitted bool, broken error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	return j.emitted, j.broken
}
