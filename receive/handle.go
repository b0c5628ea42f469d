package receive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/safe"
)

// dedupeTimeout bounds each call of a Deduper, so that the sender, which waits 5
// seconds, still gets its response.
const dedupeTimeout = 3 * time.Second

// process handles or queues a verified event and returns the status.
func (r *Receiver) process(ctx context.Context, e webhook.Event) int {
	if err := r.gate.enter(); err != nil {
		return statusOf(err)
	}
	if r.queue != nil && !e.Test {
		return r.enqueue(ctx, e)
	}
	defer r.gate.leave()
	if e.Test {
		return statusOf(r.run(ctx, e))
	}
	m, err := r.begin(ctx, e)
	if err != nil {
		return statusOf(err)
	}
	ctx, cancel := r.handlerContext(ctx, m)
	defer cancel()
	err = errHandler
	defer func() { r.settle(ctx, e, m, err == nil) }() // also if the handler ends its goroutine
	err = r.run(ctx, e)
	return statusOf(err)
}

// begin marks e as in progress.
func (r *Receiver) begin(ctx context.Context, e webhook.Event) (m Mark, err error) {
	ctx, cancel := context.WithTimeout(ctx, dedupeTimeout)
	defer cancel()
	err = safe.Call(func() (err error) {
		m, err = r.cfg.Deduper.Begin(ctx, DedupeKey{e.EndpointID, e.ID}, r.cfg.Lease)
		return err
	})
	if err == nil || errors.Is(err, ErrDuplicate) || errors.Is(err, ErrInProgress) {
		return m, err
	}
	r.cfg.Logger.Error("webhook: de-duplication failed; the sender will try again", "error", err, eventAttrs(e))
	return m, errDedupe
}

// settle ends the mark of e. The work is done or undone by now, whatever the
// Deduper returns; an event whose mark could not be committed runs again if a
// duplicate of it arrives.
func (r *Receiver) settle(ctx context.Context, e webhook.Event, m Mark, done bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dedupeTimeout)
	defer cancel()
	end := r.cfg.Deduper.Abandon
	if done {
		end = r.cfg.Deduper.Commit
	}
	if err := safe.Call(func() error { return end(ctx, m) }); err != nil {
		r.cfg.Logger.Error("webhook: de-duplication mark not settled", "error", err, "handled", done, eventAttrs(e))
	}
}

// handlerContext returns the context of one event. It outlives the request: if a
// sender that hangs up after 5 seconds ended work that is nearly done, its retries
// would all be cut off at the same point.
func (r *Receiver) handlerContext(ctx context.Context, m Mark) (context.Context, context.CancelFunc) {
	ctx = context.WithValue(context.WithoutCancel(ctx), markKey{}, m)
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Lease)
	unhook := context.AfterFunc(r.stopping, cancel)
	return ctx, func() { unhook(); cancel() }
}

// run calls the handlers of e and logs what goes wrong in them.
func (r *Receiver) run(ctx context.Context, e webhook.Event) error {
	r.gate.begin()
	defer r.gate.end()
	handlers := r.handlersOf(e)
	for _, h := range handlers {
		err := safe.Call(func() error { return h(ctx, e) })
		if err == nil {
			continue
		}
		r.cfg.Logger.Error("webhook: handler failed", "error", err, eventAttrs(e))
		return fmt.Errorf("%w: %w", errHandler, err)
	}
	switch {
	case len(handlers) > 0:
	case !e.Test && undecoded(e):
		r.cfg.Logger.Warn("webhook: event dropped, its data does not decode and OnOther has no handler", eventAttrs(e))
	default:
		r.cfg.Logger.Debug("webhook: no handler for this event", "test", e.Test, eventAttrs(e))
	}
	return nil
}

// undecoded reports whether e is of a known type and its data did not decode.
func undecoded(e webhook.Event) bool {
	_, raw := e.Data.(json.RawMessage)
	return raw && slices.Contains(webhook.EventTypes(), e.Type)
}

func (r *Receiver) handlersOf(e webhook.Event) []handler {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if e.Test {
		return r.test
	}
	if undecoded(e) {
		return r.other
	}
	if h := r.handlers[e.Type]; len(h) > 0 {
		return h
	}
	return r.other
}
