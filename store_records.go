package webhook

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/ringyo-ai/webhook/internal/redact"
)

// EndpointRecord is an endpoint with what only the store and the engine see.
type EndpointRecord struct {
	Endpoint
	Headers    Headers          // by canonical name; HeaderNames are theirs, and set by the store
	Secrets    []EndpointSecret // newest first, never empty unless they are Unreadable
	Generation int64            // grows with each update that has Reset, and with each disabling
	Pace       Pace             // PaceUnknown after an update that has Reset
	PausedTill time.Time        // while Pace is PacePaused: when the pause is over
	TrialAt    time.Time        // zero unless it is to recover by itself: when its next trial is due, or the latest was; see [Settlement]

	// LastFailure is the latest failed attempt, without what the receiver said
	// (ResponseBody, Location), or zero. It may lag like LastFailureAt, but not behind a
	// failure that counts or disables.
	LastFailure Attempt
}

// Format prints r with the host alone of its URL, and without the values of headers
// and secrets.
func (r EndpointRecord) Format(f fmt.State, verb rune) { format(f, verb, r.shown()) }

// LogValue returns what Format prints.
func (r EndpointRecord) LogValue() slog.Value { return slog.AnyValue(r.shown()) }

func (r EndpointRecord) shown() any {
	return struct { // with the Endpoint as a field: embedded, its methods would print it alone
		Endpoint   any
		Headers    Headers
		Secrets    []EndpointSecret
		Generation int64
		Pace       Pace
		PausedTill time.Time
		TrialAt    time.Time
	}{r.Endpoint.shown(), r.Headers, r.Secrets, r.Generation, r.Pace, r.PausedTill, r.TrialAt}
}

// EndpointSecret is one signing secret of an endpoint.
type EndpointSecret struct {
	Secret    Secret
	ExpiresAt time.Time // by the store's clock; zero: does not expire
}

// EndpointCreate is the argument of [EndpointStore.CreateEndpoint].
type EndpointCreate struct {
	Record      EndpointRecord
	Max         int                // endpoints that the account may have; 0: any number
	Idempotency *IdempotencyFinish // nil: none
}

// EndpointUpdate is the argument of [EndpointStore.UpdateEndpoint].
type EndpointUpdate struct {
	Record EndpointRecord

	// Reset starts a new generation with no failures: results of attempts that
	// were claimed before no longer count. The engine sets it when the endpoint
	// is enabled or disabled, and when its URL or its secrets change.
	Reset bool

	Idempotency *IdempotencyFinish // nil: none
}

// EndpointFilter selects endpoints of one account.
type EndpointFilter struct {
	AccountID string
	Status    EndpointStatus // empty: any
	Cursor    string
	Limit     int // at least 1
}

// EventRecord is an event as stored.
type EventRecord struct {
	ID        string // unique within the account
	AccountID string
	Type      EventType
	Timestamp time.Time // UTC, whole milliseconds
	Data      []byte    // the payload, one JSON value, verbatim; empty once it was redacted
	CreatedAt time.Time // when the store accepted it; set by the store
}

// EventFilter selects events of one account. What is empty selects all.
type EventFilter struct {
	AccountID string
	Types     []EventType // each a type, a prefix such as "call.*", or "*"
	From      time.Time   // by CreatedAt, inclusive
	Until     time.Time   // by CreatedAt, exclusive
	Cursor    string
	Limit     int // at least 1
}

// LeaseTerms say what a caller can take on: [ClaimRequest] and a hand-off share
// them.
type LeaseTerms struct {
	Max      int           // deliveries in all; 0: none
	MaxBytes int           // bytes of their events' data in all, though one delivery always fits; 0: any number
	Lease    time.Duration // how long the caller may keep them
	Room     Room          // how many of each endpoint; required if Max is not 0

	// Process, unless it is 0, is whose leases these are: they end with it, and
	// after Lease at the latest. A store that is no [Heartbeater] ignores it.
	Process ProcessID
}

// ProcessID is a process as a [Heartbeater] knows it; 0 is none.
type ProcessID int64

// Heartbeat is the argument of [Heartbeater.Heartbeat].
type Heartbeat struct {
	Process ProcessID // the caller; 0 begins a new process

	// For is how long the caller counts as alive, by the store's clock, unless it
	// sends another heartbeat. 0 ends it.
	For time.Duration

	// Dead are processes to end, as an earlier call returned them. One that has
	// sent a heartbeat since, or whose time is not over, is left alone.
	Dead []QuietProcess
}

// QuietProcess is a process that has sent no heartbeat for long.
type QuietProcess struct {
	Process ProcessID
	Until   time.Time // when its time is over, by the store's clock
}

// Heartbeaten is the result of [Heartbeater.Heartbeat].
type Heartbeaten struct {
	// Process is the caller from now on: a new one if it was 0, or was ended. It is 0
	// after a call that ends it.
	Process ProcessID
	// Quiet are other processes that have less than half of For left.
	Quiet []QuietProcess
	Ended int       // how many processes this call ended
	Now   time.Time // the store's clock
}

// Room decides how many deliveries of each endpoint its owner can take on. A store
// asks it while it chooses what to lease, perhaps under a lock or in a transaction,
// so the methods are quick, never block and never call a store. One call of a store
// uses a Room from one goroutine at a time.
type Room interface {
	// Take takes room for at most n deliveries of an endpoint, n being at least 1,
	// and returns the number for which there was room.
	Take(c Candidate, n int) int

	// Reset gives back all that was taken. A store calls it when it begins its
	// choice anew, since it repeats a transaction.
	Reset()
}

// Candidate is an endpoint whose deliveries could be leased, as the store knows it.
type Candidate struct {
	EndpointID string
	AccountID  string
	Pace       Pace
	Bytes      int // of the event's data in a hand-off; 0: not known
}

// Pace is how an endpoint responded lately, as reported by [Settlement].
type Pace int

const (
	// PaceUnknown is the pace of an endpoint that was not tried yet, or not since
	// its URL changed.
	PaceUnknown Pace = iota
	// PaceQuick means that it responds within 100 ms.
	PaceQuick
	// PaceSlow means that it responds, but takes longer.
	PaceSlow
	// PacePaused means that it did not respond in time, or responded that it takes no
	// more at the moment, and that deliveries to it wait; see [Settlement].
	PacePaused
)

// EnqueueRequest is the argument of [Enqueuer.Enqueue].
type EnqueueRequest struct {
	Groups  [][]EventRecord
	Handoff LeaseTerms // zero: nothing is handed off
}

// Enqueued is the result of [Enqueuer.Enqueue].
type Enqueued struct {
	Errs   []error   // one per group
	Leased []Leased  // handed off to the caller
	Ready  int       // deliveries left for Claim
	Held   int       // deliveries recorded as held
	Now    time.Time // the store's clock
}

// LeaseToken is proof of a lease. A store chooses it at random for each call that
// leases, so that the token of an expired lease fits no later one. It is valid
// until the delivery is settled or Maintain finds the lease expired.
type LeaseToken int64

// Leased is one delivery leased to the caller. Event and Target are shared
// between deliveries, and with the store: they must not be changed.
type Leased struct {
	DeliveryID string
	Token      LeaseToken
	Attempts   int // attempts made on the current schedule, before this one
	Releases   int // times that it was released with a delay, since the last attempt that was used up
	Expired    int // leases in a row that ended without a Settle
	Event      *EventRecord
	Target     *Target

	// Err, if set, says why the store cannot read what is to be sent, such as an
	// event whose row is damaged or gone. Nothing is sent then: the engine gives
	// the delivery back with a growing pause, and ends it after a day of that.
	Err error
}

// Target is where a delivery goes, as of its lease.
type Target struct {
	EndpointID string
	AccountID  string
	URL        string
	Headers    Headers
	Secrets    []EndpointSecret // newest first; expired ones may be among them
	Generation int64
	Revision   int64 // of the endpoint: an Attempt tells it

	// Err, if set, says why the store cannot read where the endpoint's deliveries
	// go or how they are signed, such as secrets that were sealed with a key that
	// it does not have. It concerns this endpoint alone: the engine sends nothing
	// to it, gives its deliveries back with a growing pause, for as long as it
	// takes, and logs it.
	Err error
}

// Format prints t with the host alone of its URL.
func (t Target) Format(f fmt.State, verb rune) { format(f, verb, t.shown()) }

// LogValue returns what Format prints.
func (t Target) LogValue() slog.Value { return slog.AnyValue(t.shown()) }

func (t Target) shown() any {
	type shown Target // without the methods
	t.URL = redact.Host(t.URL)
	return shown(t)
}

// ClaimRequest is the argument of [Queue.Claim].
type ClaimRequest struct {
	LeaseTerms
	Cursor string // from the last call; empty at the first call
}

// Claimed is the result of [Queue.Claim].
type Claimed struct {
	Deliveries []Leased
	Cursor     string
	More       bool // stopped before it had looked at all: another call may find more

	// NextIn is the time until Maintain has something to make ready, hold, release
	// or cancel: 0 means now, and a negative value that nothing is known. A store
	// that cannot know, and wants to look again, returns a positive value.
	NextIn time.Duration
	Now    time.Time // the store's clock
}

// Outcome is what became of a leased delivery.
type Outcome int

const (
	// OutcomeDelivered ends it: the endpoint responded with 2xx.
	OutcomeDelivered Outcome = iota + 1
	// OutcomeRetry makes it due again after Settlement.Delay.
	OutcomeRetry
	// OutcomeExhausted ends it: no attempt is left.
	OutcomeExhausted
	// OutcomeReleased gives it back after Settlement.Delay without using up an
	// attempt. A release with a delay adds one to [Leased.Releases].
	OutcomeReleased
	// OutcomeGone ends it and disables the endpoint, which requested that by
	// responding with 410, if Settlement.Generation is still the endpoint's. It is
	// exhausted, with the reason [ReasonGone].
	OutcomeGone
)

// Settlement is the result of one leased delivery.
type Settlement struct {
	DeliveryID string
	Token      LeaseToken
	EndpointID string
	Outcome    Outcome

	// Generation is the Target's. When it is not the endpoint's any more, the
	// result is recorded for the delivery but changes nothing at the endpoint:
	// neither counters, nor status, nor times.
	Generation int64

	Delay  time.Duration  // for retry and released
	Reason DeliveryReason // for exhausted

	// Attempt is the attempt's log row; nil when no request was made. The store
	// sets its DeliveryID and Number: rows of one delivery are numbered from 1,
	// including redeliveries, and Delivery.Attempts is their number. Every outcome
	// but released uses up one attempt of the schedule, with or without a log row.
	// A failed one that has a row makes the endpoint [EndpointFailing], a delivered
	// one [EndpointActive], unless it is inactive.
	Attempt *Attempt

	// Counts adds one to the endpoint's consecutive failures, if Generation is
	// still the endpoint's. It comes with an Attempt. Delivered sets them to zero by
	// itself.
	Counts bool
	// DisableAfter is the number of consecutive failures that disables the
	// endpoint; 0 holds disabling back, without forgetting the failure.
	DisableAfter int
	// MinFailing is how long the endpoint must also have been failing.
	MinFailing time.Duration
	// Tally counts it in the tally of its endpoint and hour, if the store is a [Tallier].
	Tally bool

	// Pace is how the endpoint responded, if Generation is still the endpoint's;
	// PaceUnknown says nothing. A store need not write a change between quick and
	// slow at once: within about 10 s will do.
	//
	// PacePaused begins a pause, or the next one if the last is over; while one
	// lasts it changes nothing. The first pause takes Pause, each further one twice
	// as long as the one before, and none longer than MaxPause. PaceQuick and
	// PaceSlow end it.
	//
	// The deliveries of a paused endpoint are pending, but cost a Claim nothing,
	// however many there are, and none is handed off. One at a time is leased as a
	// probe: when the pause is over a delivery that was not attempted yet, otherwise
	// one whose next attempt is due. The next probe is leased when that one is
	// settled, or its lease has ended. When the pause is ended by a response, all are
	// ready.
	Pace            Pace
	Pause, MaxPause time.Duration

	// Recover, unless it is 0, lets an endpoint that this settlement disables for
	// [DisabledFailing] recover by itself. After that time the oldest of its held
	// deliveries is leased as a trial, one at a time among all processes; without a
	// held one the trial waits for one. Delivered enables the endpoint if Generation
	// is still its own. A trial that fails uses up an attempt like any other, and the
	// next one is due after twice the pause, at most MaxRecover. One that is released is
	// repeated after Delay, and one whose lease ends, at once. A settlement of a trial
	// without Recover ends the trials and does not enable.
	Recover, MaxRecover time.Duration
}

// SettleStatus says what became of a [Settlement].
type SettleStatus int

const (
	// SettleApplied means recorded.
	SettleApplied SettleStatus = iota + 1
	// SettleStale means that the lease was not the caller's any more: nothing
	// changed.
	SettleStale
	// SettleFailed means that the store could not record it: SettleResult.Err
	// says why, and the call can be repeated for it.
	SettleFailed
)

// SettleResult is the result of one [Settlement].
type SettleResult struct {
	Status SettleStatus
	// Delivery is the delivery's status after an applied settlement.
	Delivery DeliveryStatus
	Err      error
}

// EndpointFailures reports an endpoint whose failures a Settle call counted, or
// that it disabled. It prints and logs with the host alone of its URL.
type EndpointFailures struct {
	EndpointID  string
	AccountID   string
	URL         string         // where LastFailure was sent; a Store leaves it empty
	Failures    int            // consecutive failures now, see [Endpoint.ConsecutiveFailures]
	Added       int            // how many of them this call added
	Disabled    DisabledReason // set when this very call disabled it
	LastFailure Attempt        // of the endpoint after this call, see [EndpointRecord]
}

// Settled is the result of [Queue.Settle].
type Settled struct {
	Results []SettleResult // in the order of the argument
	Failing []EndpointFailures
	Enabled []EndpointEnabled // by a trial, in this very call
	Now     time.Time         // the store's clock
}

// MaintainRequest is the argument of [Queue.Maintain].
type MaintainRequest struct {
	Limit int // at least 1
	// Retention purges finished deliveries with their attempts, events without
	// deliveries, revisions of endpoints and tallies, that ended longer ago; 0 purges nothing.
	// An event with a pending or held delivery is never purged.
	Retention time.Duration
}

// Maintained is the result of [Queue.Maintain].
type Maintained struct {
	Readied   int  // due retries and expired leases made ready
	Held      int  // deliveries of inactive endpoints
	Released  int  // deliveries of endpoints that are active again
	Cancelled int  // deliveries of deleted endpoints
	Purged    int  // finished deliveries, events, and deleted endpoints
	Dropped   int  // entries of the queue whose endpoint or delivery somebody deleted by hand
	More      bool // a limit was reached: call again
	PurgeMore bool // More is set, and there may be more to purge: call again with Retention
	Now       time.Time
}

// DeliveryFilter selects deliveries of one account. What is empty selects all.
type DeliveryFilter struct {
	AccountID  string
	DeliveryID string
	EndpointID string
	EventID    string
	Status     DeliveryStatus
	Types      []EventType // of the event: each a type, a prefix such as "call.*", or "*"
	From       time.Time   // by CreatedAt, inclusive
	Until      time.Time   // by CreatedAt, exclusive
	Cursor     string
	Limit      int // at least 1
	MaxScan    int // see ListDeliveries
}

// ReplayRequest is the argument of [Log.Replay].
type ReplayRequest struct {
	AccountID  string
	EndpointID string
	Since      time.Time // by EventRecord.CreatedAt, inclusive
	Until      time.Time // by EventRecord.CreatedAt, exclusive; zero: no end
	Types      []EventType
	Statuses   []DeliveryStatus // see [ReplayQuery]
	DryRun     bool             // change nothing
	Cursor     string           // from the last call
	Limit      int              // at least 1
}

// Replayed is the result of [Log.Replay] and [Engine.ReplayPart].
type Replayed struct {
	Count int    // deliveries made pending or held by this call, or that would be
	Next  string // cursor; empty: done
}
