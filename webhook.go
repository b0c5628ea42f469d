package webhook

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/ringyo-ai/webhook/internal/batch"
	"github.com/ringyo-ai/webhook/internal/check"
	"github.com/ringyo-ai/webhook/internal/heartbeat"
	"github.com/ringyo-ai/webhook/internal/hookrun"
	"github.com/ringyo-ai/webhook/internal/lanes"
	"github.com/ringyo-ai/webhook/internal/outage"
	"github.com/ringyo-ai/webhook/internal/pulse"
	"github.com/ringyo-ai/webhook/internal/safe"
	"github.com/ringyo-ai/webhook/internal/signature"
	"github.com/ringyo-ai/webhook/internal/storeclock"
)

// Dispatcher is what code that emits depends on. *[Engine] is one; package
// webhooktest has another for tests. The interface will not grow.
type Dispatcher interface {
	// Emit stores events and their fan-out, all or nothing: nil means that they
	// are durable in the Store and will be delivered. It needs no Start, and
	// works after Stop. Invalid events return one [*ValidationError] that names
	// each field, and nothing is stored. An error that wraps
	// [ErrUnknownOutcome], or any other error of the Store, means that the call may be
	// repeated with the same events: their ids make that safe.
	//
	// Once Emit has returned, ctx has no influence on the delivery.
	Emit(ctx context.Context, events ...Event) error

	// EmitTx stores events within the caller's own transaction: they are delivered
	// once it has committed, and never if it is rolled back. tx is what a Store
	// makes of the transaction, such as sqlstore's Tx of a *sql.Tx. Nothing is
	// retried. After an [ErrInvalidArgument], an [ErrPayloadTooLarge] and an
	// [ErrIDConflict] the transaction is as it was before, so it may go on and
	// commit. After an [ErrStore], which wraps the database's, roll it back: part
	// of the events may be in it, and PostgreSQL has aborted it. Call [Engine.Wake]
	// after the commit to save the wait for the next poll, at most
	// Config.PollInterval; sqlstore's InTx does.
	EmitTx(ctx context.Context, tx Enqueuer, events ...Event) error

	// Start begins delivering and returns at once; ctx bounds starting only. A
	// second call returns [ErrStarted], one after Stop [ErrStopped].
	Start(ctx context.Context) error

	// Stop ends delivering: it takes on nothing new, waits for the attempts in
	// flight until ctx ends, or five eighths of Config.StopTimeout are over, and
	// then cancels them and gives them back, which costs them no attempt. Recording
	// that takes up to Config.StoreTimeout and a second more, but Stop as a whole
	// takes no longer than Config.StopTimeout. It returns nil when everything
	// drained in time, otherwise an error that wraps ctx's or
	// [context.DeadlineExceeded]. Before Start it only waits for a signal to other
	// processes that is on its way; a second call waits for the first.
	Stop(ctx context.Context) error
}

// Engine stores events, delivers them, and manages endpoints. Make one with
// [New]. All methods are safe for concurrent use.
type Engine struct {
	cfg    Config
	store  safeStore
	log    *slog.Logger
	clock  *storeclock.Clock
	odd    oddities
	outage outage.Detector

	emits   *batch.Coalescer[[]EventRecord]
	results *batch.Recorder[result]
	sched   *lanes.Scheduler[job]
	hooks   *hookrun.Runner
	feed    *feeder
	signal  *pulse.Sender    // nil where the store has no signals
	beats   *heartbeat.Pulse // nil unless the store is a Heartbeater

	life lifecycle
}

var _ Dispatcher = (*Engine)(nil)

// Config configures an [Engine]. Only Store is required; the zero value of
// every other field is its documented default.
type Config struct {
	// Store keeps everything. Required.
	Store Store

	// Transport sends requests. Defaults to NewHTTPTransport(HTTPConfig{}).
	Transport Transport

	// Signer signs requests. Defaults to the Standard Webhooks scheme.
	Signer Signer

	// Retry decides when a failed delivery is attempted again. Defaults to
	// [DefaultRetry].
	Retry RetryPolicy

	// Jitter is the largest part of a pause that is added to it at random, so
	// that the retries of an outage do not all come at once. Defaults to 0.1
	// (10 %); -1 adds none. At most 1.
	Jitter float64

	// Disable says when an endpoint that keeps failing is disabled. Defaults to
	// 10 consecutive exhausted deliveries.
	Disable DisablePolicy

	// Hooks are called when something has happened.
	Hooks Hooks

	// Logger gets what the operator should know. Defaults to slog.Default().
	Logger *slog.Logger

	// Concurrency is the number of attempts in flight at once, at endpoints that
	// respond within 100 ms. Attempts at all others are counted separately, up to
	// four times as many, so that slow endpoints do not use up the room of the
	// others. Both are shared among the accounts that have something to send: one
	// that is alone uses seven eighths of the former and a third of the latter, so
	// that there is room at once for the next. Defaults to 64.
	Concurrency int

	// PerEndpoint is the number of attempts in flight at one endpoint, in this
	// process. An endpoint that times out gets fewer until it responds again.
	// Defaults to 4.
	PerEndpoint int

	// AccountWeight returns the weight of an account, at least 1 and at most 1,000:
	// where there is too little room for all, accounts get shares of it by their
	// weights, and the endpoints of an account share what it gets. It is called
	// often and under a lock, so it must be quick and call nothing of the Engine.
	// Defaults to 1 for every account.
	AccountWeight func(accountID string) int

	// MaxInMemory is how many bytes of events' data this process may hold in memory
	// for deliveries that wait or are in flight; what is beyond that waits in the
	// Store. A single event may exceed it. An attempt in flight needs as much memory
	// again for its request. Defaults to 32 MiB; -1 sets no limit.
	MaxInMemory int

	// AttemptTimeout bounds one attempt from connecting to the end of the
	// response, whatever the Transport. Defaults to 10 s.
	AttemptTimeout time.Duration

	// Lease is how long a process may keep a delivery before others may take it
	// over. It must cover the wait for a slot, one attempt and its recording:
	// at least two AttemptTimeouts and one StoreTimeout. Defaults to 60 s, or to
	// that least value if it is longer. Where the Store is a [Heartbeater], as those
	// of the library are, the leases of a started process that was killed end
	// after one AttemptTimeout and 6 s.
	Lease time.Duration

	// PollInterval is how often the store is asked for work that this process
	// cannot know of: other processes' events, and transactional ones without a
	// Wake. While polls find work they come more often, so that an event waits at
	// most an eighth of the time that has passed since the one before it. Defaults
	// to 1 s.
	PollInterval time.Duration

	// Listen saves that wait: it waits for signals from the processes that emit,
	// such as PostgreSQL's notifications on the channel of sqlstore's
	// Options.NotifyChannel, and calls wake for each. Start calls it in a goroutine
	// of its own, which Stop waits for, so it must return when ctx ends. When it
	// returns before that, or panics, the engine logs it and calls it again, after a
	// pause that grows from 100 ms to 5 s. wake never blocks and may be called from
	// anywhere. Defaults to nil: polling alone.
	Listen func(ctx context.Context, wake func()) error

	// StoreTimeout bounds each call of the Store. Defaults to 10 s.
	StoreTimeout time.Duration

	// StopTimeout is how long Stop takes at most, whatever its context. Defaults to
	// 8 s, since most supervisors kill a process 10 s after they asked it to end;
	// of these, attempts in flight have 5 s, as long as a response may take by
	// default. -1 leaves it to Stop's context.
	StopTimeout time.Duration

	// Retention is how long finished deliveries, their attempts and their events
	// are kept. Defaults to 30 days; -1 keeps them for ever.
	Retention time.Duration

	// PurgeInterval is how often the engine looks for history that is older than
	// Retention. Defaults to 1 h.
	PurgeInterval time.Duration

	// MaxPayload is how many bytes an event's data may have. Defaults to 1 MiB less
	// 4 KiB, so that the whole body fits into the 1 MiB that nginx lets through by
	// default; -1 sets no limit. Receivers of this library refuse bodies above 2 MiB
	// unless their MaxBody says otherwise.
	MaxPayload int

	// EventTypes are the types that endpoints may subscribe to: an endpoint's Events
	// with another type, or with a prefix that covers none of them, are refused, so that
	// a mistyped one is noticed. "*" is accepted, and any type can be emitted. List the
	// catalogue by [EventTypes], and types of your own. Defaults to nil: every type.
	EventTypes []EventType

	// Tallies keeps statistics of each endpoint by the hour, see [Engine.Tallies]. The
	// Store must be a [Tallier]; set it in all processes. Defaults to false.
	Tallies bool

	// MaxEndpoints is the number of endpoints of one account. Defaults to 100;
	// -1 sets no limit.
	MaxEndpoints int

	// SecretOverlap is how long a secret remains valid after it was rotated.
	// Defaults to 24 h.
	SecretOverlap time.Duration

	// MaxSecrets is the number of secrets of one endpoint that are valid at once,
	// all of which sign each request. Defaults to 5, which is also the maximum: a
	// receiver checks no more than 5 ed25519 signatures of a request.
	MaxSecrets int
}

const defaultMaxPayload = 1<<20 - 4<<10

// New makes an Engine. It starts no goroutine and does not call the Store. All
// mistakes in cfg come back in one [*ValidationError].
func New(cfg Config) (*Engine, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, log: safe.Logger(cfg.Logger)}
	e.store = safeStore{cfg.Store, cfg.StoreTimeout}
	e.clock = storeclock.New(e.log)
	e.hooks = hookrun.New(e.log)
	parallel := 0
	if err := e.guarded("Store", func() error { parallel = storeConcurrency(cfg.Store); return nil }); err != nil {
		return nil, err
	}
	e.emits = e.newCoalescer(parallel)
	e.results = e.newRecorder(parallel)
	e.beats = e.newBeats()
	e.feed = e.newFeeder()
	e.signal = e.newSignal()
	e.sched = e.newScheduler()
	return e, nil
}

// complete fills in defaults and checks everything.
func (c *Config) complete() error {
	var s check.Settings
	if c.Store == nil {
		s.Fail("Store", "is required: memstore.New() or sqlstore.New(…)")
	}
	if _, able := c.Store.(Tallier); c.Tallies && !able && c.Store != nil {
		s.Fail("Tallies", "needs a Store that is a Tallier")
	}
	if c.Transport == nil {
		t, err := NewHTTPTransport(HTTPConfig{})
		if err != nil {
			return err
		}
		c.Transport = t
	}
	if c.Signer == nil {
		c.Signer = StandardSigner()
	}
	if c.Retry == nil {
		c.Retry = DefaultRetry()
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Jitter = cmp.Or(c.Jitter, 0.1)
	if c.Jitter != -1 && (c.Jitter < 0 || c.Jitter > 1) {
		s.Fail("Jitter", "must lie between 0 and 1, or be -1 for none")
	}
	c.Disable.complete(&s)
	check.Positive(&s, "Concurrency", &c.Concurrency, 64)
	check.Positive(&s, "PerEndpoint", &c.PerEndpoint, 4)
	check.Positive(&s, "AttemptTimeout", &c.AttemptTimeout, 10*time.Second)
	check.Positive(&s, "StoreTimeout", &c.StoreTimeout, 10*time.Second)
	check.Positive(&s, "PollInterval", &c.PollInterval, time.Second)
	check.Positive(&s, "PurgeInterval", &c.PurgeInterval, time.Hour)
	check.Positive(&s, "SecretOverlap", &c.SecretOverlap, 24*time.Hour)
	check.Positive(&s, "MaxSecrets", &c.MaxSecrets, signature.MaxEd25519)
	if c.MaxSecrets > signature.MaxEd25519 {
		s.Fail("MaxSecrets", fmt.Sprintf("must be at most %d: receivers try no more signatures of keys", signature.MaxEd25519))
	}
	check.OrOff(&s, "StopTimeout", &c.StopTimeout, 8*time.Second)
	check.OrOff(&s, "Retention", &c.Retention, 30*24*time.Hour)
	check.OrOff(&s, "MaxInMemory", &c.MaxInMemory, 32<<20)
	check.OrOff(&s, "MaxPayload", &c.MaxPayload, defaultMaxPayload)
	check.OrOff(&s, "MaxEndpoints", &c.MaxEndpoints, 100)
	c.EventTypes = slices.Clone(c.EventTypes)
	for i, t := range c.EventTypes {
		if !check.EventType(string(t)) {
			s.Fail(fmt.Sprintf("EventTypes[%d]", i), "must be 1 to 128 of the characters A-Z a-z 0-9 _ . -")
		}
	}
	least := 2*c.AttemptTimeout + c.StoreTimeout
	c.Lease = cmp.Or(c.Lease, max(60*time.Second, least))
	if c.Lease < least {
		s.Fail("Lease", "must cover two AttemptTimeouts and one StoreTimeout, here "+least.String())
	}
	return invalidSettings(s)
}
