package webhook

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
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
	return e.emits.emit(ctx, records)
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
	answer, err := enqueueIn(ctx, tx, EnqueueRequest{Groups: [][]EventRecord{records}})
	switch {
	case err != nil:
	case len(answer.Errs) != 1:
		err = fmt.Errorf("%w: Enqueue answered %d errors for one group", ErrStore, len(answer.Errs))
	default:
		err = answer.Errs[0]
	}
	return storeError(err)
}

// enqueueIn turns a panic of tx into an error.
func enqueueIn(ctx context.Context, tx Enqueuer, r EnqueueRequest) (answer Enqueued, err error) {
	defer recovered(&err)
	return tx.Enqueue(ctx, r)
}

// prepare validates events and renders their data, once.
func (e *Engine) prepare(ctx context.Context, events []Event) ([]EventRecord, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("webhook: emit: %w", err)
	}
	return validateEvents(events, e.cfg.MaxPayload)
}

// coalescer lets Emit calls that arrive while the store is busy share the next
// Enqueue. It has no goroutine and no timer: the caller that finds a place free
// writes for all that wait, and its place passes to one of those that came
// meanwhile.
type coalescer struct {
	e      *Engine
	places int // Enqueue calls under way at once

	mu      sync.Mutex
	busy    int
	waiting []*emission
}

// emission is one Emit call.
type emission struct {
	ctx   context.Context
	group []EventRecord
	state emissionState // guarded by the coalescer's lock
	err   error         // valid once done is closed
	done  chan struct{} // closed when err is known
	lead  chan struct{} // receives when this caller shall write for all that wait
}

func (em *emission) dataSize() (n int) {
	for i := range em.group {
		n += len(em.group[i].Data)
	}
	return n
}

type emissionState int

const (
	emissionWaiting emissionState = iota
	emissionTaken
)

func (c *coalescer) init(e *Engine, places int) { c.e, c.places = e, places }

func (c *coalescer) emit(ctx context.Context, group []EventRecord) error {
	c.mu.Lock()
	if c.busy < c.places && len(c.waiting) == 0 {
		c.busy++
		c.mu.Unlock()
		// Nobody waits, so the call is this caller's alone and so is its context.
		err := c.e.enqueueAlone(ctx, group)
		c.pass()
		return err
	}
	em := &emission{ctx: ctx, group: group, done: make(chan struct{}), lead: make(chan struct{}, 1)}
	c.waiting = append(c.waiting, em)
	c.mu.Unlock()

	select {
	case <-em.lead:
		c.write(em)
		c.pass()
		return em.err
	case <-em.done:
		return em.err
	case <-ctx.Done():
		return c.giveUp(em)
	}
}

// giveUp ends the wait of a caller whose context ended: without a trace if its
// events were not taken yet.
func (c *coalescer) giveUp(em *emission) error {
	c.mu.Lock()
	select {
	case <-em.lead: // chosen to write in the meantime: pass that on
		c.mu.Unlock()
		c.pass()
		return fmt.Errorf("webhook: emit: %w", em.ctx.Err())
	default:
	}
	defer c.mu.Unlock()
	if em.state == emissionWaiting {
		c.remove(em)
		return fmt.Errorf("webhook: emit: %w", em.ctx.Err())
	}
	select {
	case <-em.done:
		return em.err
	default:
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, em.ctx.Err())
	}
}

// remove takes em out of the queue; the caller holds the lock.
func (c *coalescer) remove(em *emission) {
	for i, w := range c.waiting {
		if w == em {
			c.waiting = append(c.waiting[:i], c.waiting[i+1:]...)
			return
		}
	}
}

// pass hands a place to the first that waits, or gives it up.
func (c *coalescer) pass() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		c.busy--
		return
	}
	first := c.waiting[0]
	c.waiting = append(c.waiting[:0:0], c.waiting[1:]...)
	first.state = emissionTaken
	first.lead <- struct{}{}
}

// write stores em and what else waits in one call.
func (c *coalescer) write(em *emission) {
	batch := []*emission{em}
	size, data := len(em.group), em.dataSize()
	c.mu.Lock()
	taken := 0
	for _, w := range c.waiting {
		size, data = size+len(w.group), data+w.dataSize()
		if size > maxShared || data > maxSharedBytes {
			break
		}
		w.state = emissionTaken
		batch = append(batch, w)
		taken++
	}
	c.waiting = append(c.waiting[:0:0], c.waiting[taken:]...)
	c.mu.Unlock()

	groups := make([][]EventRecord, len(batch))
	for i, w := range batch {
		groups[i] = w.group
	}
	ctx, cancel := sharedContext(batch)
	errs := c.e.enqueue(ctx, groups)
	cancel()
	for i, w := range batch {
		w.err = errs[i]
		close(w.done)
	}
}

// sharedContext ends once all the callers' contexts have: one that gives up
// must not take the others with it.
func sharedContext(batch []*emission) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(batch[0].ctx))
	var mu sync.Mutex
	left := len(batch)
	stops := make([]func() bool, 0, len(batch))
	for _, w := range batch {
		stops = append(stops, context.AfterFunc(w.ctx, func() {
			mu.Lock()
			defer mu.Unlock()
			if left--; left == 0 {
				cancel()
			}
		}))
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}

func (e *Engine) enqueueAlone(ctx context.Context, group []EventRecord) error {
	return e.enqueue(ctx, [][]EventRecord{group})[0]
}

// enqueue stores groups and takes on what is handed off; it answers one error
// per group.
func (e *Engine) enqueue(ctx context.Context, groups [][]EventRecord) []error {
	// When others have waited in the store for long, half of the room is left to
	// these: they are older, and nobody would claim them as long as new ones fill
	// what becomes free.
	terms, release := e.terms(e.feed.overdue())
	begin := time.Now()
	answer, err := call(ctx, e.store, func(ctx context.Context) (Enqueued, error) {
		return e.store.Enqueue(ctx, EnqueueRequest{Groups: groups, Handoff: terms})
	})
	if err == nil && len(answer.Errs) != len(groups) {
		err = fmt.Errorf("%w: Enqueue answered %d errors for %d groups", ErrStore, len(answer.Errs), len(groups))
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
	e.clock.observe(begin, answer.Now)
	leaseEnd := begin.Add(terms.Lease)
	e.take(e.usable(answer.Leased, terms.Max, leaseEnd), leaseEnd, release)
	if answer.Ready > 0 {
		e.feed.wake()
	}
	for i := range answer.Errs {
		answer.Errs[i] = storeError(answer.Errs[i])
	}
	return answer.Errs
}
