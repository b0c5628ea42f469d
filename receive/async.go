package receive

import (
	"context"
	"errors"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/check"
	"github.com/ringyo-ai/webhook/internal/safe"
)

// AsyncConfig makes a [Receiver] acknowledge an event as soon as it is queued, and
// handle it afterwards: for handlers that take longer than the 5 seconds that the
// sender waits.
//
// The queue is in memory. Its events have been acknowledged, so the sender does not
// send them again: if the process dies, they are lost. [Receiver.Shutdown] is
// therefore part of every deployment, and work that must not be lost goes to
// sqlinbox's Inbox instead, where an event is durable before it is acknowledged.
//
// A type whose handler fails, is slow or hangs delays only its own events: it may
// hold as many places in the queue, and as many workers, as it leaves free, so one
// such type gets half, and two get a third each. A receiver of several endpoints
// also keeps places from an endpoint that floods: it gets a third with one type, and
// three quarters with any number of them. Types that have work are served in turn.
type AsyncConfig struct {
	// Queue bounds the events that wait, run, or wait for their next try, of all
	// types together. If there is no place for an event, the response is 503 with
	// Retry-After, and the log names the event's type. Each event holds its payload
	// in memory. Defaults to 512, of which one type can have 256.
	Queue int

	// Workers is how many handlers run at once, of all types together. Defaults
	// to 8, of which one type can have 4. With fewer than 2 a handler that hangs
	// stops all the others.
	Workers int

	// Retry decides when an event whose handler failed is tried again, since
	// nobody else will. Defaults to [webhook.DefaultRetry]. While Shutdown drains,
	// what waits is tried once more, at once.
	Retry webhook.RetryPolicy

	// OnLost is called with each event that was acknowledged and not handled: its
	// handler failed for the last time, or Shutdown ran out of time. It can write
	// a dead-letter file. The event is logged in any case, without its data.
	OnLost func(e webhook.Event, err error)
}

// Reasons to give up a queued event, beside the handler's own.
var (
	errGoexit = errors.New("webhook: the handler ended its goroutine")
	errCutOff = errors.New("webhook: Shutdown or the lease ended before a worker was free")
)

// fill fills in the defaults and notes in s what is wrong.
func (c *AsyncConfig) fill(s *check.Settings) {
	check.Positive(s, "Async.Queue", &c.Queue, 512)
	check.Positive(s, "Async.Workers", &c.Workers, 8)
	if c.Retry == nil {
		c.Retry = webhook.DefaultRetry()
	}
}

// enqueue takes on an event that has passed the gate.
func (r *Receiver) enqueue(ctx context.Context, e webhook.Event) int {
	f := flowOf(e)
	if !r.queue.enter(f) {
		r.gate.leave()
		if n := r.full.due(time.Now()); n > 0 {
			r.cfg.Logger.Warn("webhook: no place in the queue; the sender will try again", "refused", n, eventAttrs(e))
		}
		return statusOf(errFull)
	}
	m, err := r.begin(ctx, e)
	if err != nil {
		r.queue.leave(f)
		r.gate.leave()
		return statusOf(err)
	}
	go r.work(ctx, e, m) // Shutdown waits for it, by the gate
	return statusOf(nil)
}

// work handles one queued event until that succeeds or the policy gives up.
func (r *Receiver) work(ctx context.Context, e webhook.Event, m Mark) {
	defer r.gate.leave()
	defer r.queue.leave(flowOf(e))
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

// runInTurn runs the handlers of e once it is the turn of its flow.
func (r *Receiver) runInTurn(ctx context.Context, e webhook.Event) error {
	f := flowOf(e)
	if err := r.queue.begin(ctx, f); err != nil {
		return err
	}
	defer r.queue.end(f)
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
