package sqlinbox

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ringyo-ai/webhook/internal/sqldb"
	"github.com/ringyo-ai/webhook/receive"
)

// Errors of an Inbox.
var (
	// ErrMarkLost means that the lease of the event's mark is over and somebody
	// else has taken it. The transaction must be rolled back; [Inbox.InTx] does.
	ErrMarkLost = errors.New("sqlinbox: the event was taken over when its lease ended")
	// ErrAlreadyMarked means that the event of this handler's context was marked
	// as handled before, by another handler of its type or an earlier run of this
	// one. The transaction must be rolled back; [Inbox.InTx] does. See [Inbox].
	ErrAlreadyMarked = errors.New("sqlinbox: the event is marked as handled already")
	// ErrNoMark means that the context is not that of a handler whose Receiver
	// has this Inbox as its Deduper.
	ErrNoMark = errors.New("sqlinbox: no mark in the context: is the Inbox the Receiver's Deduper?")
)

// stateHandled is the state of a row whose event was handled; that of one in
// progress is 0.
const stateHandled = 1

// Every purgeEvery events the Inbox drops up to purgeRows old rows: more than
// come in between.
const (
	purgeEvery = 100
	purgeRows  = 500
)

// Begin implements [receive.Deduper].
func (i *Inbox) Begin(ctx context.Context, key receive.DedupeKey, lease time.Duration) (receive.Mark, error) {
	m := receive.Mark{Key: key, Token: rand.Int64N(1<<62) + 1} // #nosec G404 -- has to differ, not to be secret
	var state int
	var holder int64
	err := i.onConn(ctx, func(q sqldb.Tx) error {
		now, err := i.clock(ctx, q)
		if err != nil {
			return err
		}
		args := []any{rowID(key), m.Token, later(now, lease), now}
		if i.sql.nowAgain {
			args = append(args, now, now)
		}
		if _, err := q.ExecContext(ctx, i.sql.begin, args...); err != nil {
			return err
		}
		return q.QueryRowContext(ctx, i.sql.state, args[0]).Scan(&state, &holder)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows): // abandoned in between: the next retry gets it
		return receive.Mark{}, receive.ErrInProgress
	case err != nil:
		// The mark may be there, and would keep the sender's retries out for the
		// time of its lease, though nobody handles the event.
		ctx, cancel := sqldb.Parting(ctx)
		defer cancel()
		_ = i.Abandon(ctx, m)
		return receive.Mark{}, i.failed(err)
	case state == stateHandled:
		return receive.Mark{}, receive.ErrDuplicate
	case holder != m.Token:
		return receive.Mark{}, receive.ErrInProgress
	}
	return m, nil
}

// Commit implements [receive.Deduper].
func (i *Inbox) Commit(ctx context.Context, m receive.Mark) error {
	err := i.exec(ctx, i.sql.commit, func(now int64) []any {
		return []any{rowID(m.Key), m.Token, later(now, i.window)}
	})
	if err == nil && i.begun.Add(1)%purgeEvery == 0 {
		return i.purge(ctx)
	}
	return err
}

// Abandon implements [receive.Deduper].
func (i *Inbox) Abandon(ctx context.Context, m receive.Mark) error {
	return i.failed(i.onConn(ctx, func(q sqldb.Tx) error {
		_, err := q.ExecContext(ctx, i.sql.abandon, rowID(m.Key), m.Token)
		return err
	}))
}

// purge drops rows whose window or lease is over. A handler that is still at
// work on one finds its mark lost, as it would if somebody had taken it over.
func (i *Inbox) purge(ctx context.Context) error {
	return i.exec(ctx, i.sql.purge, func(now int64) []any { return []any{now, purgeRows} })
}

// exec runs one statement, whose arguments depend on the time.
func (i *Inbox) exec(ctx context.Context, text string, args func(now int64) []any) error {
	return i.failed(i.onConn(ctx, func(q sqldb.Tx) error {
		now, err := i.clock(ctx, q)
		if err != nil {
			return err
		}
		_, err = q.ExecContext(ctx, text, args(now)...)
		return err
	}))
}

// onConn runs f on one connection. f can run again after an error: all that an Inbox does
// outside a transaction may happen twice, since it goes by the mark's token.
func (i *Inbox) onConn(ctx context.Context, f func(sqldb.Tx) error) error {
	return sqldb.Again(ctx, i.db, func() error { return sqldb.OnConn(ctx, i.db, f) })
}

// rowID is the primary key of a row: a digest, since a sender chooses the
// ids, their length too.
func rowID(key receive.DedupeKey) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d.%s%s", len(key.EndpointID), key.EndpointID, key.EventID))
	return hex.EncodeToString(sum[:])
}
