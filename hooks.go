package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/ringyo-ai/webhook/internal/redact"
)

// Hooks are functions that the engine calls when something has happened. Any of
// them may be nil.
//
// All but AllowDisable are called after the store has committed, one after
// another, by a goroutine of their own: a slow hook delays no delivery and holds
// no lease or transaction, a panic is recovered and logged. Up to 4,096 calls
// wait; further ones are dropped and counted in [Stats] and the log. A hook is a
// notification and not a promise: one can get lost when the process dies, and when
// the connection to the database breaks at a commit OnEndpointFailing and
// OnEndpointEnabled can get lost and the others can come twice. In [Engine.DeliverDue] they are called before it
// returns.
//
// A hook may call every method of the Engine, with the hook's own context: Stop
// then returns [ErrStopFromHook], and DeliverDue does not wait for hooks. With
// another context they would wait for the hook that calls them, without end.
type Hooks struct {
	// OnAttempt is called after every attempt, including those that failed by the
	// sender's own fault.
	OnAttempt func(ctx context.Context, a AttemptInfo)
	// OnDelivered is called once a delivery is recorded as delivered.
	OnDelivered func(ctx context.Context, d DeliveryInfo)
	// OnExhausted is called once a delivery has ended undelivered, but not when it
	// was cancelled because its endpoint was deleted.
	OnExhausted func(ctx context.Context, d DeliveryInfo)
	// OnEndpointFailing warns before an endpoint is disabled: when its
	// consecutive failures, see [Endpoint], reach half and four fifths of the number
	// that disables it.
	OnEndpointFailing func(ctx context.Context, f EndpointFailures)
	// OnEndpointDisabled is called once an endpoint was disabled by its failures
	// or by responding with 410 Gone. Tell its owner: f has all that a letter needs.
	OnEndpointDisabled func(ctx context.Context, f EndpointFailures)
	// OnEndpointEnabled is called once an endpoint that its failures had disabled was
	// enabled by a delivery that succeeded; see [DisablePolicy].RecoverAfter.
	OnEndpointEnabled func(ctx context.Context, r EndpointEnabled)

	// AllowDisable is asked before a failure that counts is recorded, whether
	// the endpoint may be disabled should this failure reach the threshold;
	// false holds it back until the next failure. It is not asked for 410 Gone.
	// It is called while a batch of results waits for it, so it must be quick: all
	// questions of a batch together get one second, after which, or after a
	// panic, it counts as false.
	AllowDisable func(ctx context.Context, accountID, endpointID string) bool
}

// EndpointEnabled reports an endpoint that a trial enabled.
type EndpointEnabled struct {
	EndpointID string
	AccountID  string
	DisabledAt time.Time // since when it was inactive
	Trials     int       // that it took, the successful one included
}

// AttemptInfo is the argument of [Hooks.OnAttempt].
type AttemptInfo struct {
	DeliveryInfo
	StatusCode int           // 0: no response
	Failure    FailureKind   // empty: success
	Detail     string        // fixed words
	Location   string        // where a redirect leads, in the words of the peer; at most 2 KiB, never followed
	Err        error         // cause of a failure to connect or send, for the operator alone; may hold addresses
	Duration   time.Duration // of the attempt
	Revision   int64         // of the endpoint, as in [Attempt]
	NextIn     time.Duration // pause before the next attempt, if Status is pending
}

// Format prints a with the host alone of its Location, which can repeat all of the
// endpoint's URL.
func (a AttemptInfo) Format(f fmt.State, verb rune) { format(f, verb, a.shown()) }

// LogValue returns what Format prints.
func (a AttemptInfo) LogValue() slog.Value { return slog.AnyValue(a.shown()) }

func (a AttemptInfo) shown() any {
	type shown AttemptInfo // without the methods
	a.Location = redact.Host(a.Location)
	return shown(a)
}

// format prints v in place of the value that holds it.
func format(f fmt.State, verb rune, v any) { _, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), v) }

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

// vetoTime is how long all questions of one batch may take: were each to have its
// own second, the leases of the batch could expire meanwhile.
const vetoTime = time.Second

// vetoContext is the context of the questions of one batch.
func (e *Engine) vetoContext() (context.Context, context.CancelFunc) {
	if e.cfg.Hooks.AllowDisable == nil {
		return context.Background(), func() {}
	}
	return e.hooks.WithTimeout(vetoTime)
}

// allowDisable asks the veto hook.
func (e *Engine) allowDisable(ctx context.Context, accountID, endpointID string) bool {
	ask := e.cfg.Hooks.AllowDisable
	if ask == nil {
		return true
	}
	if ctx.Err() != nil {
		return false
	}
	allowed, ok := e.hooks.Ask(ctx, func(ctx context.Context) bool { return ask(ctx, accountID, endpointID) })
	if !ok {
		e.log.Warn("webhook: AllowDisable did not return within a second", "endpoint", endpointID)
	}
	return allowed
}
