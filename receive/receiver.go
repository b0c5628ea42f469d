package receive

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/safe"
)

// ReceiverConfig configures a [Receiver]. Only Secrets is required.
type ReceiverConfig struct {
	// Secrets are those of the endpoint, the newest first: one, or two while a
	// rotation lasts. A receiver of several endpoints lists the secrets of all.
	// [Receiver.SetSecrets] replaces them later.
	Secrets []webhook.Secret

	// Scheme is how requests are signed. Defaults to Standard Webhooks.
	Scheme webhook.Scheme

	// Tolerance is how far a request's timestamp may be from this machine's
	// clock. Defaults to 5 minutes; -1 accepts any.
	Tolerance time.Duration

	// Clock defaults to time.Now.
	Clock func() time.Time

	// MaxBody bounds a request's body in bytes. Defaults to 2 MiB; -1 means any
	// number.
	MaxBody int64

	// ReadTimeout bounds the time that a body may take to arrive, in place of the
	// server's own ReadTimeout. Defaults to 10 seconds; -1 leaves it to the server.
	ReadTimeout time.Duration

	// Deduper recognises duplicates. Defaults to a [MemoryDeduper] of its
	// default size; [NoDedupe] switches it off.
	Deduper Deduper

	// Lease is how long one event may be worked on. Then the handler's context
	// ends, and a duplicate may run again. After a crash no retry gets in before
	// it is over, so it should be shorter than the sender's last pause of 10
	// minutes. Defaults to 1 minute; with Async, where it covers the time in the
	// queue too, to 15 minutes.
	Lease time.Duration

	// Async, unless nil, answers as soon as an event is queued. See
	// [AsyncConfig] for what that costs.
	Async *AsyncConfig

	// Logger hears of refused requests, at most once a minute, and of every
	// handler that failed. Defaults to slog.Default().
	Logger *slog.Logger

	// Explain logs each refused request together with what most likely went
	// wrong. It is a help while setting up: it takes time for each refusal, and
	// anybody can cause refusals. The answer to the sender stays the same.
	Explain bool
}

// Receiver is an [http.Handler] for the URL of an endpoint. It verifies each
// request, recognises duplicates, and passes the event to the handler for its
// type. It answers with a 2xx only when that has returned nil, or, with
// [AsyncConfig], when the event is queued.
//
// The status says what became of a request; the body of the answer never says
// more than the status:
//
//	200  handled, handled before, queued, a test, or a type without a handler
//	400  verified, but not an event; or the body broke off
//	401  the signature, its headers or its timestamp are not in order
//	405  not a POST
//	408  the body took longer than ReadTimeout
//	409  a duplicate of this event is being handled at this moment
//	413  the body is larger than MaxBody
//	415  not JSON in UTF-8, or compressed
//	500  the handler failed or panicked, or something read the body before
//	503  the queue is full, the Deduper failed, or Shutdown was called
//
// The sender tries all but 200 again later.
//
// Handlers are registered with [On], OnType, OnOther and OnTest, usually before
// serving. A type may have several handlers: they run one after the other, in
// the order of registration, and the first error ends the run; the sender's
// retry then starts with the first one again. A handler that is registered while
// requests are served sees the events that arrive afterwards. All methods are
// safe for concurrent use.
type Receiver struct {
	cfg      ReceiverConfig
	verifier *webhook.Verifier
	gate     *gate
	workers  chan struct{} // one token per running asynchronous handler
	refusals refusalLog

	stopping context.Context // ends when Shutdown runs out of time
	stop     context.CancelFunc

	mu       sync.RWMutex
	handlers map[webhook.EventType][]handler
	other    []handler
	test     []handler
}

type handler func(context.Context, webhook.Event) error

// NewReceiver makes a Receiver. It answers all mistakes in cfg in one
// [*webhook.ValidationError].
func NewReceiver(cfg ReceiverConfig) (*Receiver, error) {
	v, err := webhook.NewVerifier(webhook.VerifierConfig{
		Secrets: cfg.Secrets, Scheme: cfg.Scheme, Tolerance: cfg.Tolerance, Clock: cfg.Clock, MaxBody: cfg.MaxBody,
	})
	if err := cfg.complete(err); err != nil {
		return nil, err
	}
	r := &Receiver{cfg: cfg, verifier: v, gate: newGate(0), handlers: make(map[webhook.EventType][]handler)}
	if cfg.Async != nil {
		r.gate = newGate(cfg.Async.Queue)
		r.workers = make(chan struct{}, cfg.Async.Workers)
	}
	r.stopping, r.stop = context.WithCancel(context.Background())
	return r, nil
}

// SetSecrets replaces the secrets, without a restart, for the requests that
// arrive from now on. On an error the old ones stay.
func (r *Receiver) SetSecrets(secrets ...webhook.Secret) error {
	return r.verifier.SetSecrets(secrets...)
}

// On registers f for the events whose payload is P: On(r, func(ctx
// context.Context, e Event, c CallCompleted) error {…}). A payload that does not
// decode, since the sender is newer, goes to [Receiver.OnOther]; without one it is
// acknowledged and dropped, with a warning in the log.
func On[P webhook.Payload](r *Receiver, f func(ctx context.Context, e webhook.Event, data P) error) {
	var p P
	r.add(p.EventType(), func(ctx context.Context, e webhook.Event) error {
		data, ok := e.Data.(P)
		if !ok {
			return errUndecoded // dispatch keeps these away
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
// those of known types whose data does not decode: their Data is the
// json.RawMessage. Without it such events are acknowledged and dropped; the log
// names them, at debug level, or as a warning if their data did not decode.
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

// complete fills in the defaults and adds its own findings to those of
// NewVerifier.
func (c *ReceiverConfig) complete(verifierErr error) error {
	bad := c.problems()
	var v *webhook.ValidationError
	if errors.As(verifierErr, &v) {
		bad = append(v.Fields, bad...)
	} else if verifierErr != nil {
		return verifierErr
	}
	if bad != nil {
		return &webhook.ValidationError{Fields: bad}
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Logger = safe.Logger(c.Logger)
	if c.ReadTimeout == 0 {
		c.ReadTimeout = 10 * time.Second
	}
	if c.Lease == 0 {
		c.Lease = time.Minute
		if c.Async != nil {
			c.Lease = 15 * time.Minute
		}
	}
	if c.Async != nil {
		c.Async = c.Async.withDefaults()
	}
	if c.Deduper != nil {
		return nil
	}
	d, err := NewMemoryDeduper(MemoryDeduperConfig{Clock: c.Clock, Logger: c.Logger})
	c.Deduper = d
	return err
}

func (c *ReceiverConfig) problems() (bad []webhook.FieldError) {
	if c.Lease < 0 {
		bad = append(bad, webhook.FieldError{Field: "Lease", Problem: "must not be negative"})
	}
	if c.ReadTimeout < -1 {
		bad = append(bad, webhook.FieldError{Field: "ReadTimeout", Problem: "must be positive, 0 (10 seconds) or -1 (none)"})
	}
	if c.Async == nil {
		return bad
	}
	if c.Async.Queue < 0 {
		bad = append(bad, webhook.FieldError{Field: "Async.Queue", Problem: "must not be negative"})
	}
	if c.Async.Workers < 0 {
		bad = append(bad, webhook.FieldError{Field: "Async.Workers", Problem: "must not be negative"})
	}
	return bad
}
