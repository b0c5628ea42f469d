package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ringyo-ai/webhook/receive"
)

// Inbox is a [receive.Deduper] in the database of a receiving server: it knows
// what any process has handled, before and after restarts.
//
// It can do what no Deduper beside the database can: [Inbox.InTx] commits the
// mark in the same transaction as the handler's own work, so that the event has
// exactly one effect there, whatever crashes when. That is also the durable form
// of working later: a handler that only writes the event, or a job, to a table
// of its own returns within milliseconds and loses nothing.
//
// With that mark the event is handled. So a type whose handler calls InTx or
// [Inbox.Mark] has no other handler, and what that does afterwards must not fail:
// nothing would be tried again.
//
// A row is about 100 bytes; rows go when their window ends. An Inbox is safe for
// concurrent use.
type Inbox struct {
	s      *Store
	window time.Duration
	begun  atomic.Uint64
}

var _ receive.Deduper = (*Inbox)(nil)

// Errors of an Inbox.
var (
	// ErrMarkLost means that the lease of the event's mark is over and somebody
	// else has taken it. The transaction must be rolled back; [Inbox.InTx] does.
	ErrMarkLost = errors.New("sqlstore: the event was taken over when its lease ended")
	// ErrAlreadyMarked means that the event of this handler's context was marked
	// as handled before, by another handler of its type or an earlier run of this
	// one. The transaction must be rolled back; [Inbox.InTx] does. See [Inbox].
	ErrAlreadyMarked = errors.New("sqlstore: the event is marked as handled already")
	// ErrNoMark means that the context is not that of a handler whose Receiver
	// has this Inbox as its Deduper.
	ErrNoMark = errors.New("sqlstore: no mark in the context: is the Inbox the Receiver's Deduper?")
)

// States of a row of the inbox table.
const (
	inboxBegun   = 0
	inboxHandled = 1
)

// Every purgeEvery events the Inbox drops up to purgeRows old rows: more than
// come in between.
const (
	purgeEvery = 100
	purgeRows  = 500
)

// Inbox makes an Inbox that remembers handled events for the given window; 0
// means 24 hours. It uses the table inbox, which [Store.Migrate] makes with the
// others.
func (s *Store) Inbox(window time.Duration) (*Inbox, error) {
	if window < 0 {
		return nil, invalid("window", "must not be negative")
	}
	if window == 0 {
		window = 24 * time.Hour
	}
	return &Inbox{s: s, window: window}, nil
}

// Begin implements [receive.Deduper].
func (i *Inbox) Begin(ctx context.Context, key receive.DedupeKey, lease time.Duration) (receive.Mark, error) {
	m := receive.Mark{Key: key, Token: newToken()}
	var state int
	var holder int64
	err := i.s.read(ctx, func(t *txn) error {
		now, err := t.clock(ctx)
		if err != nil {
			return err
		}
		args := []any{inboxID(key), m.Token, later(now, lease), now}
		if i.s.dialect == &mysql {
			args = append(args, now, now)
		}
		if err := t.exec(ctx, i.s.sql.InboxBegin, args...); err != nil {
			return err
		}
		return t.row(ctx, i.s.sql.InboxState, args[0]).Scan(&state, &holder)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows): // abandoned in between: the next retry gets it
		return receive.Mark{}, receive.ErrInProgress
	case err != nil:
		// The mark may be there, and would keep the sender's retries out for the
		// time of its lease, though nobody handles the event.
		ctx, cancel := parting(ctx)
		defer cancel()
		_ = i.Abandon(ctx, m)
		return receive.Mark{}, i.s.failed("inbox", err)
	case state == inboxHandled:
		return receive.Mark{}, receive.ErrDuplicate
	case holder != m.Token:
		return receive.Mark{}, receive.ErrInProgress
	}
	return m, nil
}

// Commit implements [receive.Deduper].
func (i *Inbox) Commit(ctx context.Context, m receive.Mark) error {
	err := i.s.read(ctx, func(t *txn) error {
		now, err := t.clock(ctx)
		if err != nil {
			return err
		}
		return t.exec(ctx, i.s.sql.InboxCommit, inboxID(m.Key), m.Token, later(now, i.window))
	})
	if err != nil {
		return i.s.failed("inbox", err)
	}
	if i.begun.Add(1)%purgeEvery == 0 {
		return i.purge(ctx)
	}
	return nil
}

// Abandon implements [receive.Deduper].
func (i *Inbox) Abandon(ctx context.Context, m receive.Mark) error {
	return i.s.failed("inbox", i.s.read(ctx, func(t *txn) error {
		return t.exec(ctx, i.s.sql.InboxAbandon, inboxID(m.Key), m.Token)
	}))
}

// purge drops rows whose window or lease is over. A handler that is still at
// work on one finds its mark lost, as it would if somebody had taken it over.
func (i *Inbox) purge(ctx context.Context) error {
	return i.s.failed("inbox", i.s.read(ctx, func(t *txn) error {
		now, err := t.clock(ctx)
		if err != nil {
			return err
		}
		return t.exec(ctx, i.s.sql.InboxPurge, now, purgeRows)
	}))
}

// Mark marks the event whose handler got ctx as handled, in a transaction that
// the caller began on the same database: the mark is there after the caller's
// commit, together with everything else in the transaction, and never was after
// a rollback. It fails with [ErrMarkLost] when the event has been taken over,
// with [ErrAlreadyMarked] the second time; the caller then rolls back. It belongs
// at the end of the transaction, since duplicates wait for its lock.
func (i *Inbox) Mark(ctx context.Context, tx Tx) error {
	if tx == nil {
		return i.s.failed("inbox", errTxArgument)
	}
	return i.mark(ctx, &txn{s: i.s, q: tx})
}

func (i *Inbox) mark(ctx context.Context, t *txn) error {
	m, ok := receive.MarkFromContext(ctx)
	if !ok {
		return ErrNoMark
	}
	now, err := t.clock(ctx)
	if err != nil {
		return i.s.failed("inbox", err)
	}
	id := inboxID(m.Key)
	res, err := t.execResult(ctx, i.s.sql.InboxMark, later(now, i.window), id, m.Token)
	if err != nil {
		return i.s.failed("inbox", err)
	}
	n, err := res.RowsAffected()
	if err == nil && n == 1 {
		return nil
	}
	var state int
	var holder int64
	if t.row(ctx, i.s.sql.InboxState, id).Scan(&state, &holder) == nil && state == inboxHandled && holder == m.Token {
		return ErrAlreadyMarked
	}
	return errors.Join(ErrMarkLost, err)
}

// InTx runs f in a transaction of its own and marks the event whose handler got
// ctx as handled in the same transaction: what f did and the mark are there
// together or not at all. An error or a panic of f, a lost mark and a failed
// commit roll back; the handler returns the error, and the sender's retry gets
// in. On SQLite the transaction holds the write lock from its start: f should be
// short and use tx alone.
func (i *Inbox) InTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	if _, ok := receive.MarkFromContext(ctx); !ok {
		return ErrNoMark
	}
	// Until it has begun nothing was done, so a busy database is waited for.
	var t *ownTxn
	err := i.s.again(ctx, func() (err error) {
		t, err = i.s.dialect.begin(ctx, i.s)
		return err
	})
	if err != nil {
		return i.s.failed("inbox", err)
	}
	err = errPanicked
	defer func() {
		if err == errPanicked {
			_ = t.end(err)
		}
	}()
	err = f(t.tx)
	if err == nil {
		err = i.mark(ctx, &t.txn)
	}
	switch ended := t.end(err); {
	case err != nil:
		return err
	case ended != nil:
		return i.s.failed("inbox", ended)
	}
	return nil
}

var errPanicked = errors.New("sqlstore: the handler panicked")

// inboxID is the primary key of a row: a digest, since a sender chooses the
// ids, their length too.
func inboxID(key receive.DedupeKey) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d.%s%s", len(key.EndpointID), key.EndpointID, key.EventID))
	return hex.EncodeToString(sum[:])
}
