package receive

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/safe"
)

// AsyncConfig makes a [Receiver] answer as soon as an event is queued, and
// handle it afterwards: for handlers that take longer than the 5 seconds that
// the sender waits.
//
// The queue is in memory. Its events have been acknowledged, so the sender does
// not send them again: when the process dies, they are lost. [Receiver.Shutdown]
// is therefore part of every deployment, and work that must not be lost goes to
// sqlstore's Inbox instead, which is durable when the sender gets its answer.
type AsyncConfig struct {
	// Queue bounds the events that wait, run, or wait for their next try. When
	// it is full the sender is told to come back (503 and Retry-After). Each
	// holds its payload in memory. Defaults to 256.
	Queue int

	// Workers is how many handlers run at once. Defaults to 4.
	Workers int

	// Retry decides when an event whose handler failed is tried again, since
	// nobody else will. Defaults to [webhook.DefaultRetry]. While Shutdown drains, what
	// waits is tried once more, at once.
	Retry webhook.RetryPolicy

	// OnLost hears of each event that was acknowledged and not handled: its
	// handler failed for the last time, or Shutdown ran out of time. It is the
	// place for a dead-letter file. The event is logged in any case, without its
	// data.
	OnLost func(e webhook.Event, err error)
}

// Reasons to answer 503.
var (
	errGateFull   = errors.New("webhook: the queue is full")
	errGateClosed = errors.New("webhook: the receiver is shutting down")
	errGoexit     = errors.New("webhook: the handler ended its goroutine")
	errCutOff     = errors.New("webhook: Shutdown or the lease ended before a worker was free")
)

// withDefaults answers a copy: the caller's own stays as it is.
func (c AsyncConfig) withDefaults() *AsyncConfig {
	if c.Queue == 0 {
		c.Queue = 256
	}
	if c.Workers == 0 {
		c.Workers = 4
	}
	if c.Retry == nil {
		c.Retry = webhook.DefaultRetry()
	}
	return &c
}

// queue takes on an event that has passed the gate.
func (r *Receiver) queue(ctx context.Context, e webhook.Event) int {
	m, err := r.begin(ctx, e)
	if err != nil {
		r.gate.leave()
		return statusOf(err)
	}
	go r.work(ctx, e, m) // Shutdown waits for it, by the gate
	return statusOf(nil)
}

// work handles one queued event until that succeeds or the policy gives up.
func (r *Receiver) work(ctx context.Context, e webhook.Event, m Mark) {
	defer r.gate.leave()
	ctx, cancel := r.handlerContext(ctx, m)
	defer cancel()
	ended := false
	defer func() {
		if !ended {
			r.lost(ctx, e, m, errGoexit)
		}
	}()
	for attempt := 1; ; attempt++ {
		last := r.gate.isClosed()
		err := r.runInTurn(ctx, e)
		if err == nil {
			ended = true
			r.settle(ctx, e, m, true)
			return
		}
		pause, again := r.nextTry(attempt)
		if last || !again || ctx.Err() != nil {
			ended = true
			r.lost(ctx, e, m, err)
			return
		}
		r.pause(ctx, pause)
	}
}

// runInTurn runs the handlers of e once a worker is free.
func (r *Receiver) runInTurn(ctx context.Context, e webhook.Event) error {
	select {
	case r.workers <- struct{}{}:
	case <-ctx.Done():
		return errCutOff
	}
	defer func() { <-r.workers }()
	return r.run(ctx, e)
}

func (r *Receiver) nextTry(attempt int) (pause time.Duration, again bool) {
	err := safe.Call(func() error {
		pause, again = r.cfg.Async.Retry.Next(attempt, webhook.Result{})
		return nil
	})
	return pause, again && err == nil
}

// pause waits until the next try is due or there is no more time to wait.
func (r *Receiver) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-r.gate.closing:
	}
}

func (r *Receiver) lost(ctx context.Context, e webhook.Event, m Mark, err error) {
	r.settle(ctx, e, m, false) // a redelivery by hand gets in
	r.cfg.Logger.Error("webhook: acknowledged event was not handled", "error", err, eventAttrs(e))
	if f := r.cfg.Async.OnLost; f != nil {
		if err := safe.Call(func() error { f(e, err); return nil }); err != nil {
			r.cfg.Logger.Error("webhook: OnLost failed", "error", err, eventAttrs(e))
		}
	}
}

// lostTime is how long Shutdown waits for reports of what is lost.
const lostTime = 5 * time.Second

// Shutdown refuses further requests with 503 and waits for the events that are
// being handled or queued. When ctx ends first it ends the handlers' contexts,
// reports what was still waiting as lost, for up to 5 seconds, and returns ctx's
// error; a second call then waits for handlers that have not returned yet. Call
// it after http.Server's Shutdown. A Receiver cannot be used again.
func (r *Receiver) Shutdown(ctx context.Context) error {
	r.gate.close()
	select {
	case <-r.gate.empty:
		r.stop()
		return nil
	case <-ctx.Done():
		r.stop()
	}
	t := time.NewTimer(lostTime)
	defer t.Stop()
	select {
	case <-r.gate.handlersOnly():
	case <-t.C:
	}
	return ctx.Err()
}

// gate counts the events inside a Receiver, so that they can be bounded and
// waited for.
type gate struct {
	limit   int           // 0: none
	closing chan struct{} // closed by close
	empty   chan struct{} // closed when closed and nobody is inside

	mu      sync.Mutex
	inside  int
	running int           // of those, in a handler
	only    chan struct{} // closed when only these are left; nil: nobody asks
	closed  bool
}

func newGate(limit int) *gate {
	return &gate{limit: limit, closing: make(chan struct{}), empty: make(chan struct{})}
}

// enter lets an event in; bounded, if there is room.
func (g *gate) enter(bounded bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return errGateClosed
	case bounded && g.limit > 0 && g.inside >= g.limit:
		return errGateFull
	}
	g.inside++
	return nil
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.closed && g.inside == 0 {
		close(g.empty)
	}
	g.tell()
}

// begin and end enclose a handler.
func (g *gate) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running++
	g.tell()
}

func (g *gate) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
}

// handlersOnly answers a channel that is closed once all who are inside are in a
// handler.
func (g *gate) handlersOnly() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.only == nil {
		g.only = make(chan struct{})
	}
	only := g.only
	g.tell()
	return only
}

func (g *gate) tell() {
	if g.only != nil && g.running == g.inside {
		close(g.only)
		g.only = nil
	}
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	g.closed = true
	close(g.closing)
	if g.inside == 0 {
		close(g.empty)
	}
}

func (g *gate) isClosed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}
