package batch

import (
	"context"
	"slices"
	"sync"
)

// Coalescer lets calls that arrive while others write share the next write. It has no
// goroutine and no timer: the caller that finds a place free writes for all that wait,
// and its place passes to one of those that came meanwhile. It is safe for concurrent
// use.
type Coalescer[T any] struct {
	cfg CoalescerConfig[T]

	mu      sync.Mutex
	busy    int
	waiting []*call[T]
}

// CoalescerConfig is the argument of [NewCoalescer]. All of it is required.
type CoalescerConfig[T any] struct {
	// Places is the number of writes under way at once.
	Places int
	// MaxItems and MaxBytes bound what calls share one write. A single call may be
	// larger; it is written alone.
	MaxItems, MaxBytes int
	// Size returns how much a call has to write.
	Size func(T) (items, bytes int)
	// Write writes what one or more calls have, and returns an error or nil for each of
	// them. ctx ends once the contexts of all of them have.
	Write func(ctx context.Context, all []T) []error
}

// NewCoalescer makes a Coalescer.
func NewCoalescer[T any](cfg CoalescerConfig[T]) *Coalescer[T] { return &Coalescer[T]{cfg: cfg} }

// Interrupted is the error of a call whose context ended while it waited.
type Interrupted struct {
	// Begun says that a write which includes the call had begun, so that its outcome is
	// unknown. Otherwise nothing was written.
	Begun bool
	// Cause is the context's error.
	Cause error
}

// Error says which of the two it was.
func (e *Interrupted) Error() string {
	if e.Begun {
		return "interrupted while it was written: " + e.Cause.Error()
	}
	return "interrupted before it was written: " + e.Cause.Error()
}

// Unwrap returns the Cause.
func (e *Interrupted) Unwrap() error { return e.Cause }

// call is one call of Do.
type call[T any] struct {
	ctx   context.Context
	value T
	taken bool          // by a write; guarded by the Coalescer's lock
	err   error         // valid once done is closed
	done  chan struct{} // closed when err is known
	lead  chan struct{} // receives when this caller shall write for all that wait
}

// Do writes v, with what others have or alone. The error is what Write returned for it,
// or [*Interrupted].
func (c *Coalescer[T]) Do(ctx context.Context, v T) error {
	c.mu.Lock()
	if c.busy < c.cfg.Places && len(c.waiting) == 0 {
		c.busy++
		c.mu.Unlock()
		// Nobody waits, so the call is this caller's alone and so is its context.
		err := c.cfg.Write(ctx, []T{v})[0]
		c.pass()
		return err
	}
	w := &call[T]{ctx: ctx, value: v, done: make(chan struct{}), lead: make(chan struct{}, 1)}
	c.waiting = append(c.waiting, w)
	c.mu.Unlock()

	select {
	case <-w.lead:
		c.write(w)
		c.pass()
		return w.err
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return c.giveUp(w)
	}
}

// giveUp ends the wait of a caller whose context ended: without a trace if what it has
// was not taken yet.
func (c *Coalescer[T]) giveUp(w *call[T]) error {
	c.mu.Lock()
	select {
	case <-w.lead: // chosen to write in the meantime: pass that on
		c.mu.Unlock()
		c.pass()
		return &Interrupted{Cause: w.ctx.Err()}
	default:
	}
	defer c.mu.Unlock()
	if !w.taken {
		c.remove(w)
		return &Interrupted{Cause: w.ctx.Err()}
	}
	select {
	case <-w.done:
		return w.err
	default:
		return &Interrupted{Begun: true, Cause: w.ctx.Err()}
	}
}

// remove takes w out of the queue; the caller holds the lock.
func (c *Coalescer[T]) remove(w *call[T]) {
	if i := slices.Index(c.waiting, w); i >= 0 {
		c.waiting = slices.Delete(c.waiting, i, i+1)
	}
}

// pass hands a place to the first that waits, or gives it up.
func (c *Coalescer[T]) pass() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		c.busy--
		return
	}
	first := c.waiting[0]
	c.waiting = append(c.waiting[:0:0], c.waiting[1:]...)
	first.taken = true
	first.lead <- struct{}{}
}

// write writes what first has and what else waits, as far as it fits.
func (c *Coalescer[T]) write(first *call[T]) {
	batch := []*call[T]{first}
	items, bytes := c.cfg.Size(first.value)
	c.mu.Lock()
	taken := 0
	for _, w := range c.waiting {
		n, b := c.cfg.Size(w.value)
		items, bytes = items+n, bytes+b
		if items > c.cfg.MaxItems || bytes > c.cfg.MaxBytes {
			break
		}
		w.taken = true
		batch = append(batch, w)
		taken++
	}
	c.waiting = append(c.waiting[:0:0], c.waiting[taken:]...)
	c.mu.Unlock()

	all := make([]T, len(batch))
	for i, w := range batch {
		all[i] = w.value
	}
	ctx, cancel := sharedContext(batch)
	errs := c.cfg.Write(ctx, all)
	cancel()
	for i, w := range batch {
		w.err = errs[i]
		close(w.done)
	}
}

// sharedContext ends once all the callers' contexts have: one that gives up
// must not take the others with it.
func sharedContext[T any](batch []*call[T]) (context.Context, context.CancelFunc) {
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
