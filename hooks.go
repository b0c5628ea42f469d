package webhook

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ringyo-ai/webhook/internal/safe"
)

// Hooks are functions that the engine calls when something has happened. Any of
// them may be nil.
//
// All but AllowDisable are called after the store has committed, one after
// another, by a goroutine of their own: a slow hook delays no delivery and holds
// no lease or transaction, a panic is recovered and logged. Up to 4,096 calls
// wait; further ones are dropped and counted in [Stats] and the log. A hook is a
// notification and not a promise: one can get lost when the process dies, and when
// the connection to the database breaks at a commit OnEndpointFailing can get lost
// and the others can come twice. In [Engine.DeliverDue] they are called before it
// returns.
//
// A hook may call every method of the Engine, with the hook's own context: Stop
// then answers [ErrStopFromHook], and DeliverDue does not wait for hooks. With
// another context these two would wait for the very hook that calls them.
type Hooks struct {
	// OnAttempt is called after every attempt, a failed one of ours included.
	OnAttempt func(ctx context.Context, a AttemptInfo)
	// OnDelivered is called once a delivery is recorded as delivered.
	OnDelivered func(ctx context.Context, d DeliveryInfo)
	// OnExhausted is called once a delivery has ended undelivered, but not when it
	// was cancelled because its endpoint was deleted.
	OnExhausted func(ctx context.Context, d DeliveryInfo)
	// OnEndpointFailing warns before an endpoint is disabled: when its
	// consecutive failures reach half and four fifths of the number that
	// disables it.
	OnEndpointFailing func(ctx context.Context, f EndpointFailures)
	// OnEndpointDisabled is called once an endpoint was disabled by its failures
	// or by answering 410 Gone. Tell its owner.
	OnEndpointDisabled func(ctx context.Context, f EndpointFailures)

	// AllowDisable is asked before a failure that counts is recorded, whether
	// the endpoint may be disabled should this failure reach the threshold;
	// false holds it back until the next failure. It is not asked for 410 Gone.
	// It is called while a batch of results waits for it, so it must be quick: all
	// questions of a batch together get one second, after which, or after a
	// panic, the answer is false.
	AllowDisable func(ctx context.Context, accountID, endpointID string) bool
}

// AttemptInfo is what [Hooks.OnAttempt] is told.
type AttemptInfo struct {
	DeliveryInfo
	StatusCode int           // 0: no answer
	Failure    FailureKind   // empty: success
	Detail     string        // fixed words
	Err        error         // cause of a failure to connect or send, for the operator alone; may hold addresses
	Duration   time.Duration // of the attempt
	NextIn     time.Duration // pause before the next attempt, if Status is pending
}

// DeliveryInfo names a delivery.
type DeliveryInfo struct {
	DeliveryID string
	AccountID  string
	EndpointID string
	EventID    string
	EventType  EventType
	Attempts   int            // made on the current schedule, this one included
	Status     DeliveryStatus // after this attempt
	Reason     DeliveryReason // why it ended undelivered
}

// hookBacklog bounds the memory of a hook that does not keep up.
const hookBacklog = 4096

// hookRunner calls hooks in order. Its goroutine exists only while there is
// something to call.
type hookRunner struct {
	e *Engine

	mu      sync.Mutex
	queue   []func(context.Context)
	running bool
	dropped int
	idle    chan struct{} // closed when the goroutine ends
}

type hookKey struct{}

func (r *hookRunner) init(e *Engine) { r.e = e }

// fromHook reports whether ctx was given to a hook of this engine.
func (r *hookRunner) fromHook(ctx context.Context) bool { return ctx.Value(hookKey{}) == r }

// enqueue adds one call; run says whether to start the goroutine for it.
func (r *hookRunner) enqueue(f func(context.Context)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) >= hookBacklog {
		if r.dropped++; r.dropped&(r.dropped-1) == 0 { // 1, 2, 4, 8 …: said, but not for each
			r.e.log.Warn("webhook: hooks are too slow, calls were dropped", "dropped", r.dropped)
		}
		return
	}
	r.queue = append(r.queue, f)
	if !r.running {
		r.running = true
		r.idle = make(chan struct{})
		go r.run()
	}
}

func (r *hookRunner) run() {
	ctx := context.WithValue(context.Background(), hookKey{}, r)
	var batch []func(context.Context)
	ended := false
	defer func() {
		if !ended { // by the hook, as testing's FailNow does: the others go on
			r.mu.Lock()
			r.queue = append(batch, r.queue...)
			r.mu.Unlock()
			go r.run()
		}
	}()
	for {
		r.mu.Lock()
		batch, r.queue = r.queue, nil
		if len(batch) == 0 {
			r.running, ended = false, true
			close(r.idle)
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		for len(batch) > 0 {
			f := batch[0]
			batch = batch[1:]
			r.call(ctx, f)
		}
	}
}

func (r *hookRunner) call(ctx context.Context, f func(context.Context)) {
	defer safe.Recover(func(p *safe.Panic) { p.Log(r.e.log, "a hook") })
	f(ctx)
}

// wait returns once no hook is running or waiting, or with ctx's error.
func (r *hookRunner) wait(ctx context.Context) error {
	for {
		r.mu.Lock()
		running, idle := r.running, r.idle
		r.mu.Unlock()
		if !running {
			return nil
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return fmt.Errorf("webhook: a hook is still running: %w", ctx.Err())
		}
	}
}

func (r *hookRunner) droppedCalls() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}

// vetoTime is the context of the questions of one batch: were each to have its own
// second, the leases of the batch could expire meanwhile.
func (r *hookRunner) vetoTime() (context.Context, context.CancelFunc) {
	if r.e.cfg.Hooks.AllowDisable == nil {
		return context.Background(), func() {}
	}
	return context.WithTimeout(context.WithValue(context.Background(), hookKey{}, r), time.Second)
}

// allowDisable asks the veto hook. The goroutine that asks is waited for by
// nobody only when the hook outstays its second.
func (r *hookRunner) allowDisable(ctx context.Context, accountID, endpointID string) bool {
	ask := r.e.cfg.Hooks.AllowDisable
	if ask == nil {
		return true
	}
	if ctx.Err() != nil {
		return false
	}
	answer := make(chan bool, 1)
	go func() {
		allowed := false
		defer func() { answer <- allowed }()
		r.call(ctx, func(ctx context.Context) { allowed = ask(ctx, accountID, endpointID) })
	}()
	select {
	case allowed := <-answer:
		return allowed
	case <-ctx.Done():
		r.e.log.Warn("webhook: AllowDisable did not answer within a second", "endpoint", endpointID)
		return false
	}
}
