package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringyo-ai/webhook/internal/safe"
)

// storeConcurrency returns how many Enqueue calls, and as many Settle calls, to
// have under way at once.
func storeConcurrency(s Store) int {
	if h, ok := s.(ConcurrencyHinter); ok {
		return max(1, h.ConcurrencyHint())
	}
	return 4
}

// safeStore bounds every call of a Store in time, turns a panic into an error,
// and marks errors as the store's.
type safeStore struct {
	Store
	timeout time.Duration
}

// call runs f with a context that ends after the timeout.
func call[T any](ctx context.Context, s safeStore, f func(context.Context) (T, error)) (v T, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	defer safe.Recover(storePanic(&err))
	v, err = f(ctx)
	return v, storeError(err)
}

// storePanic makes an error of the store of a panic.
func storePanic(err *error) func(*safe.Panic) {
	return func(p *safe.Panic) { *err = fmt.Errorf("%w: %w", ErrStore, p) }
}

// do is call for methods that return nothing but an error.
func do(ctx context.Context, s safeStore, f func(context.Context) error) error {
	_, err := call(ctx, s, func(ctx context.Context) (struct{}, error) { return struct{}{}, f(ctx) })
	return err
}

var (
	errResultCount = errors.New("the store returned another number of results than Settle was given")
	errRefused     = errors.New("a result failed without a reason")
)

// storeError marks an error as the store's, unless it is one of the
// sentinels of the Store contract.
func storeError(err error) error {
	if err == nil || errors.Is(err, ErrStore) {
		return err
	}
	for _, sentinel := range []error{ErrNotFound, ErrIDConflict, ErrVersionConflict, ErrEndpointLimit, ErrInvalidArgument, ErrIdempotencyRunning, ErrIdempotencyReused} {
		if errors.Is(err, sentinel) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrStore, err)
}

// usable returns what of a store's result can be worked with: of each delivery
// once, with its event and its target, at most most. The rest is given back. A
// store that is wrong about one delivery must not end what serves all.
func (e *Engine) usable(leased []Leased, most int, h hold) []Leased {
	var kept []Leased // once something is wrong
	var back []result
	seen := make(map[string]bool, len(leased))
	for i, l := range leased {
		fault, delay := l.fault(), releasePause(l.Releases)
		switch {
		case fault != "":
		case seen[l.DeliveryID]:
			fault = "a delivery twice"
		case i >= most:
			fault, delay = "more deliveries than were asked for", 0
		}
		if fault == "" && kept != nil {
			kept = append(kept, l)
		}
		if fault != "" {
			e.odd.store(e.log, fault)
			if kept == nil {
				kept = append(make([]Leased, 0, len(leased)), leased[:i]...)
			}
			if l.DeliveryID != "" && !seen[l.DeliveryID] {
				back = append(back, l.returned(h, delay))
			}
		}
		seen[l.DeliveryID] = true
	}
	if kept == nil {
		return leased
	}
	e.settleOrLeave(back)
	return kept
}

// fault says what is missing in a delivery that cannot be worked with.
func (l *Leased) fault() string {
	switch {
	case l.DeliveryID == "":
		return "a delivery without an id"
	case l.Event == nil:
		return "a delivery without its event"
	case l.Target == nil || l.Target.EndpointID == "":
		return "a delivery without its target"
	}
	return ""
}

// returned is the result of a delivery that was not tried, whatever it lacks.
func (l Leased) returned(h hold, delay time.Duration) result {
	if l.Event == nil {
		l.Event = &EventRecord{}
	}
	if l.Target == nil {
		l.Target = &Target{}
	}
	j := job{Leased: l, hold: h}
	r := result{job: j, settlement: j.settlement(OutcomeReleased)}
	r.settlement.Delay = delay
	return r
}

// unsendable returns why the store cannot read what is to be sent or where to, or
// nil.
func (l *Leased) unsendable() error {
	if l.Target.Err != nil {
		return l.Target.Err
	}
	return l.Err
}

// Bounds of what is said about rows that cannot be read: each thing once in
// oddPeriod, and no more than maxOddities things.
const (
	oddPeriod   = 10 * time.Minute
	maxOddities = 100
)

// oddities logs what is wrong with the stored data, without telling it for each
// delivery.
type oddities struct {
	some atomic.Bool // something was logged: saves the lock for those that are well

	mu    sync.Mutex
	since time.Time
	told  map[string]oddity
}

type oddity int

const (
	oddityTold oddity = iota + 1
	oddityOver
)

// first reports whether a thing was not logged yet, and whether it is the last one
// that will be.
func (o *oddities) first(thing string) (first, last bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := time.Now(); o.told == nil || now.Sub(o.since) >= oddPeriod {
		o.since, o.told = now, make(map[string]oddity)
	}
	if o.told[thing] != 0 || len(o.told) >= maxOddities {
		return false, false
	}
	o.told[thing] = oddityTold
	o.some.Store(true)
	return true, len(o.told) == maxOddities
}

func (o *oddities) store(log *slog.Logger, fault string) {
	if first, _ := o.first("store: " + fault); first {
		log.Error("webhook: the store handed out what cannot be sent", "fault", fault)
	}
}

// unsendable logs an endpoint or a delivery that cannot be sent.
func (o *oddities) unsendable(log *slog.Logger, l *Leased) {
	var first, last bool
	if err := l.Target.Err; err != nil {
		if first, last = o.first(l.Target.EndpointID); first {
			log.Error("webhook: an endpoint cannot be read, its deliveries wait",
				"endpoint", l.Target.EndpointID, "account", l.Target.AccountID, "error", err)
		}
	} else if first, last = o.first(l.DeliveryID); first {
		log.Error("webhook: a delivery cannot be read, it waits",
			"delivery", l.DeliveryID, "event", l.Event.ID, "endpoint", l.Target.EndpointID, "account", l.Target.AccountID, "error", l.Err)
	}
	if last {
		log.Error("webhook: too much of the store cannot be read, no more is named for a while", "named", maxOddities, "pause", oddPeriod)
	}
}

// sendable logs that an endpoint which was reported is well again.
func (o *oddities) sendable(log *slog.Logger, t *Target) {
	if !o.some.Load() {
		return
	}
	o.mu.Lock()
	over := o.told[t.EndpointID] == oddityTold
	if over {
		o.told[t.EndpointID] = oddityOver
	}
	o.mu.Unlock()
	if over {
		log.Info("webhook: an endpoint can be read again, its deliveries are sent", "endpoint", t.EndpointID, "account", t.AccountID)
	}
}
