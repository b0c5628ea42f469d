package webhook

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ringyo-ai/webhook/internal/batch"
	"github.com/ringyo-ai/webhook/internal/safe"
)

// These bound what Emit calls share one Enqueue, in events and in bytes of data:
// enough to make a write worth its round trip, little enough to keep a transaction
// short. The bytes are a quarter of what MariaDB takes in one packet by default,
// 16 MiB, since a driver that writes them into the text can double them. A single
// call may be larger; it is written alone.
const (
	maxShared      = 512
	maxSharedBytes = 4 << 20
)

// Emit implements [Dispatcher].
func (e *Engine) Emit(ctx context.Context, events ...Event) error {
	records, err := e.prepare(ctx, events)
	if err != nil || len(records) == 0 {
		return err
	}
	return emitError(e.emits.Do(ctx, records))
}

// emitError names what became of a call whose context ended while it waited.
func emitError(err error) error {
	if cut, ok := err.(*batch.Interrupted); ok && cut.Begun {
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, cut.Cause)
	} else if ok {
		return fmt.Errorf("webhook: emit: %w", cut.Cause)
	}
	return err
}

// newCoalescer makes what lets Emit calls that arrive while the store is busy share
// the next Enqueue.
func (e *Engine) newCoalescer(places int) *batch.Coalescer[[]EventRecord] {
	return batch.NewCoalescer(batch.CoalescerConfig[[]EventRecord]{
		Places: places, MaxItems: maxShared, MaxBytes: maxSharedBytes,
		Size: func(group []EventRecord) (events, data int) {
			for i := range group {
				data += len(group[i].Data)
			}
			return len(group), data
		},
		Write: e.enqueue,
	})
}

// EmitTx implements [Dispatcher].
func (e *Engine) EmitTx(ctx context.Context, tx Enqueuer, events ...Event) error {
	if tx == nil {
		return invalid("tx", "is required")
	}
	records, err := e.prepare(ctx, events)
	if err != nil || len(records) == 0 {
		return err
	}
	// The deadline is the caller's: a timeout of ours could break a transaction
	// that is not ours.
	stored, err := enqueueIn(ctx, tx, EnqueueRequest{Groups: [][]EventRecord{records}})
	switch {
	case err != nil:
	case len(stored.Errs) != 1:
		err = fmt.Errorf("%w: Enqueue returned %d errors for one group", ErrStore, len(stored.Errs))
	default:
		err = stored.Errs[0]
	}
	return storeError(err)
}

// enqueueIn turns a panic of tx into an error.
func enqueueIn(ctx context.Context, tx Enqueuer, r EnqueueRequest) (stored Enqueued, err error) {
	defer safe.Recover(storePanic(&err))
	return tx.Enqueue(ctx, r)
}

// prepare validates events and renders their data, once.
func (e *Engine) prepare(ctx context.Context, events []Event) ([]EventRecord, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("webhook: emit: %w", err)
	}
	return validateEvents(events, e.cfg.MaxPayload)
}

// enqueue stores groups and takes on what is handed off; it returns one error
// for each.
func (e *Engine) enqueue(ctx context.Context, groups [][]EventRecord) []error {
	// When others have waited in the store for long, half of the room is left to
	// these: they are older, and nobody would claim them as long as new ones fill
	// what becomes free.
	terms, release := e.terms(e.feed.Overdue(claimWait))
	begin := time.Now()
	stored, err := call(ctx, e.store, func(ctx context.Context) (Enqueued, error) {
		return e.store.Enqueue(ctx, EnqueueRequest{Groups: groups, Handoff: terms})
	})
	if err == nil && len(stored.Errs) != len(groups) {
		err = fmt.Errorf("%w: Enqueue returned %d errors for %d groups", ErrStore, len(stored.Errs), len(groups))
	}
	if err != nil {
		release(0)
		// A write that was cut off may have happened.
		if ctxErr := context.Cause(ctx); ctxErr != nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			err = fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
		}
		errs := make([]error, len(groups))
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	e.clock.Observe(begin, stored.Now)
	held := terms.from(begin)
	e.take(e.usable(stored.Leased, terms.Max, held), held, release)
	if stored.Ready > 0 {
		e.Wake()
	}
	for i := range stored.Errs {
		stored.Errs[i] = storeError(stored.Errs[i])
	}
	return stored.Errs
}
