package receive

import (
	"context"
	"net/http"
	"sync"

	"github.com/ringyo-ai/webhook"
)

// Receiver is an [http.Handler] for the URL of an endpoint. It verifies each
// request, recognises duplicates, and passes the event to the handler for its
// type. It responds with a 2xx only when that has returned nil, or, with
// [AsyncConfig], when the event is queued.
//
// The status says what became of a request; the response's body never says more:
//
//	200  handled, handled before, queued, a test, or a type without a handler
//	400  verified, but not an event; or the body broke off
//	401  the signature, its headers or its timestamp are not in order; or the body
//	     is empty and no length was announced
//	405  not a POST
//	408  the body took longer than ReadTimeout
//	409  a duplicate of this event is being handled at this moment
//	413  the body is larger than MaxBody
//	415  not JSON in UTF-8, or compressed
//	500  the handler failed or panicked, or something read the body before
//	503  no place in the queue, the Deduper failed, or Shutdown was called
//
// The sender retries everything but 200.
//
// Handlers are registered with [On], OnType, OnOther and OnTest, usually before
// serving. A type may have several handlers: they run one after the other, in
// the order of registration, and the first error ends the run; the sender's
// retry starts with the first one again. A handler that is registered while
// requests are served gets the events that arrive afterwards. All methods are
// safe for concurrent use.
type Receiver struct {
	cfg      Config
	verifier *webhook.Verifier
	gate     *gate
	queue    *queue // nil: events are handled before the response
	refusals refusalLog
	full     refusalLog

	stopping context.Context // ends when Shutdown runs out of time
	stop     context.CancelFunc

	mu       sync.RWMutex
	handlers map[webhook.EventType][]handler
	other    []handler
	test     []handler
}

type handler func(context.Context, webhook.Event) error

// New makes a Receiver. All mistakes in cfg come back in one
// [*webhook.ValidationError].
func New(cfg Config) (*Receiver, error) {
	v, err := webhook.NewVerifier(webhook.VerifierConfig{
		Secrets: cfg.Secrets, Scheme: cfg.Scheme, Tolerance: cfg.Tolerance, Clock: cfg.Clock, MaxBody: cfg.MaxBody,
	})
	if err := cfg.complete(err); err != nil {
		return nil, err
	}
	r := &Receiver{cfg: cfg, verifier: v, gate: newGate(), handlers: make(map[webhook.EventType][]handler)}
	if cfg.Async != nil {
		r.queue = newQueue(cfg.Async.Queue, cfg.Async.Workers)
	}
	r.stopping, r.stop = context.WithCancel(context.Background())
	return r, nil
}

// SetSecrets replaces the secrets, without a restart, for the requests that
// arrive from now on. On an error the old ones stay.
func (r *Receiver) SetSecrets(secrets ...webhook.Secret) error {
	return r.verifier.SetSecrets(secrets...)
}

// On registers f for the events whose payload is P:
//
//	receive.On(r, func(ctx context.Context, e webhook.Event, c webhook.CallCompleted) error { … })
//
// A payload that does not decode, since the sender is newer, goes to
// [Receiver.OnOther]; without such a handler the event is acknowledged and
// dropped, with a warning in the log.
func On[P webhook.Payload](r *Receiver, f func(ctx context.Context, e webhook.Event, data P) error) {
	var p P
	r.add(p.EventType(), func(ctx context.Context, e webhook.Event) error {
		data, ok := e.Data.(P)
		if !ok {
			return errUndecoded // handlersOf keeps these away
		}
		return f(ctx, e, data)
	})
}

// OnType registers f for the events of one type, known to the library or not. Data
// of a known type that does not decode goes to [Receiver.OnOther] instead.
func (r *Receiver) OnType(t webhook.EventType, f func(ctx context.Context, e webhook.Event) error) {
	r.add(t, f)
}

// OnOther registers f for the events that no handler is registered for, and for
// those of known types whose data does not decode: their Data is a
// [json.RawMessage]. Without it such events are acknowledged and dropped; they are
// logged, at debug level, or as a warning if their data did not decode.
func (r *Receiver) OnOther(f func(ctx context.Context, e webhook.Event) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.other = append(r.other, f)
}

// OnTest registers f for test events. They are verified like any other and then
// acknowledged: their data is made up, so no other handler sees them, and they
// are not de-duplicated.
func (r *Receiver) OnTest(f func(ctx context.Context, e webhook.Event) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.test = append(r.test, f)
}

func (r *Receiver) add(t webhook.EventType, h handler) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handlers[t] = append(r.handlers[t], h)
}

// ServeHTTP implements [http.Handler].
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	e, status := r.accept(w, req)
	if status == 0 {
		status = r.process(req.Context(), e)
	}
	reply(w, status)
}
