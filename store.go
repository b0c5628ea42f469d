package webhook

import (
	"context"
	"time"
)

// Store is the only place where state lives: endpoints, events, deliveries and
// attempts. The library ships two: memstore (in the process, for tests and for
// events that may die with it) and sqlstore (PostgreSQL, MySQL/MariaDB,
// SQLite). Package storetest proves any other one.
//
// Rules that hold for every method:
//
//   - One clock. Due times, leases and expiries are computed by the store's own
//     clock, from durations that the engine passes. Processes whose clocks
//     differ neither steal live leases nor starve.
//   - Bytes in are bytes out: an event's Data comes back as it went in.
//   - A method is safe for concurrent use, keeps no slice or map that it was
//     given, hands out none that it still uses, and returns early when ctx ends.
//   - An error means that nothing changed, unless it wraps
//     [ErrUnknownOutcome]: then the change may or may not have happened, and
//     repeating the call is safe.
//   - An account's id never reaches another account's data: what belongs to
//     somebody else answers [ErrNotFound], exactly like what does not exist.
//   - Nothing is decided by "the last id seen": what a transaction commits ten
//     minutes late is found like everything else.
//
// A Store may have more abilities than this interface. Each is an interface of
// one method, found by type assertion; see [ConcurrencyHinter].
type Store interface {
	EndpointStore
	Queue
	Log

	// Now answers the store's clock in UTC.
	Now(ctx context.Context) (time.Time, error)
}

// EndpointStore keeps endpoints. The engine has validated what it passes.
type EndpointStore interface {
	// CreateEndpoint stores a new endpoint and answers it as stored: the store
	// sets CreatedAt, UpdatedAt, Version and Generation. It fails with
	// [ErrEndpointLimit] when the account already has c.Max endpoints (0 means
	// any number), checked so that two concurrent calls cannot both pass, and
	// with [ErrIDConflict] when the id is or was in use: an id is not given
	// twice, so that old deliveries never reach a new URL.
	CreateEndpoint(ctx context.Context, c EndpointCreate) (EndpointRecord, error)

	// GetEndpoint answers one endpoint with its secrets, or ErrNotFound.
	GetEndpoint(ctx context.Context, accountID, id string) (EndpointRecord, error)

	// UpdateEndpoint replaces the configuration of u.Record.ID (URL, Events,
	// Description, Metadata, Headers, Secrets), switches it on or off by
	// u.Record.Status, and answers the endpoint as it then is, with Version one
	// higher. It changes nothing and fails with [ErrVersionConflict] unless the
	// stored Version is u.Record.Version. Counters and times in u.Record are
	// ignored: Settle owns them.
	//
	// Switching off ([EndpointInactive], with u.Record.DisabledReason) sets
	// DisabledAt and keeps pending deliveries: from then on no Claim answers
	// them and Maintain holds them, those that wait for a retry when they are
	// due at the latest. Switching on clears the reason and makes Maintain
	// release them.
	UpdateEndpoint(ctx context.Context, u EndpointUpdate) (EndpointRecord, error)

	// ListEndpoints answers the endpoints of one account, newest first; none
	// when the account has none.
	ListEndpoints(ctx context.Context, f EndpointFilter) (Page[EndpointRecord], error)

	// DeleteEndpoint removes an endpoint: no Get, List, fan-out or Claim answers
	// it again. Maintain cancels what is still pending, with the reason
	// [ReasonEndpointDeleted]; what waits for a retry or is leased can take until
	// it is due. The log of its deliveries stays. A Settle that arrives later
	// does not fail and makes nothing pending again.
	DeleteEndpoint(ctx context.Context, accountID, id string) error
}

// Enqueuer stores events and their fan-out. A [Queue] is one; so is what a
// transactional store makes of the caller's own transaction, for
// [Dispatcher.EmitTx].
type Enqueuer interface {
	// Enqueue stores each group whole or not at all, each independently of the
	// others, and answers one error per group (nil: durable; in a caller's
	// transaction: durable once that commits). Only a fault that concerns all
	// groups is returned as the second result.
	//
	// For each event it stores the event once, finds the account's endpoints
	// subscribed to it (any of [EventType.Patterns]; each endpoint once), and
	// creates one delivery for each: held when the endpoint is inactive, leased
	// to the caller while r.Handoff has room, otherwise ready.
	//
	// An id that the account already used, with the same type, timestamp and
	// data, is stored already: no second fan-out, no error. With any of them
	// different the group fails with [ErrIDConflict] and stores nothing. The
	// same holds for an id that occurs twice in one call. A caller's transaction
	// stays usable after such a conflict.
	//
	// In a caller's transaction nothing is retried and nothing is handed off;
	// the driver's error comes back wrapped.
	Enqueue(ctx context.Context, r EnqueueRequest) (Enqueued, error)
}

// Queue is the part of a Store that delivering runs on. No transaction, lock or
// row is held between two calls.
type Queue interface {
	Enqueuer

	// Claim leases deliveries that are ready, at most r.Max, and of each
	// endpoint at most its free slots, oldest due first. It takes endpoints in
	// turn, going on after r.Cursor, so that none starves, and never looks at
	// more than it can answer: neither waiting deliveries nor the backlog of an
	// endpoint without a free slot cost anything. Inactive and deleted endpoints
	// are passed over.
	Claim(ctx context.Context, r ClaimRequest) (Claimed, error)

	// Settle records the results of leased deliveries, each one atomically:
	// attempt, delivery, endpoint counters and disabling together or not at all.
	// One that cannot be recorded does not lose the others; it has its own error
	// in the answer. Results of one endpoint apply in the order given.
	//
	// A stale token, or the id of a delivery that is not there any more, changes
	// nothing and answers [SettleStale], except that [OutcomeDelivered] wins from
	// every state but delivered: held, exhausted, cancelled or leased to somebody
	// else.
	Settle(ctx context.Context, s []Settlement) (Settled, error)

	// Maintain does housekeeping, at most about r.Limit rows of each kind: what
	// has become due is made ready, expired leases too (each adds one to
	// [Leased.Expired]); deliveries of inactive endpoints are held, those of
	// active ones released, those of deleted ones cancelled; history older than
	// r.Retention is purged. Any number of processes may call it.
	Maintain(ctx context.Context, r MaintainRequest) (Maintained, error)
}

// Log reads what happened, and makes deliveries pending again.
type Log interface {
	// GetEvent answers one stored event, or ErrNotFound.
	GetEvent(ctx context.Context, accountID, id string) (EventRecord, error)

	// ListDeliveries answers deliveries, newest first. The filter names an
	// endpoint, an event or a delivery; one that names none fails with
	// [ErrInvalidArgument], since no index serves it. What the filter names need
	// not exist: the page is empty then. The deliveries of a deleted endpoint
	// are still answered.
	ListDeliveries(ctx context.Context, f DeliveryFilter) (Page[Delivery], error)

	// ListAttempts answers the attempts of one delivery, oldest first, or
	// ErrNotFound when there is no such delivery.
	ListAttempts(ctx context.Context, accountID, deliveryID string) ([]Attempt, error)

	// Redeliver makes a delivery pending again, whatever its status, with a full
	// schedule before it: ready, or held when the endpoint is inactive. One that
	// is leased at this moment is left alone. It fails with ErrNotFound when
	// there is no such delivery or its endpoint is deleted.
	Redeliver(ctx context.Context, accountID, deliveryID string) (Delivery, error)

	// Replay makes every event that the account stored at or after r.Since, that
	// matches the endpoint's subscription and was not delivered to it, pending
	// for that endpoint: deliveries that ended are redelivered, missing ones are
	// created, pending and held ones are left alone. It works through at most
	// r.Limit events a call.
	Replay(ctx context.Context, r ReplayRequest) (Replayed, error)

	// QueueStats counts what is not finished, of one endpoint or, with an empty
	// endpointID, of the whole store (accountID is then ignored). It fails with
	// ErrNotFound when there is no such endpoint.
	QueueStats(ctx context.Context, accountID, endpointID string) (QueueStats, error)
}

// ConcurrencyHinter is an optional ability of a [Store].
type ConcurrencyHinter interface {
	// ConcurrencyHint answers how many Enqueue calls, and as many Settle calls,
	// the store likes to see at once. Calls beyond it wait and share the next
	// one. Without this ability the engine uses 4.
	ConcurrencyHint() int
}

// Page is one page of a list. Next is the cursor of the following page and
// empty on the last one. A page can hold fewer items than asked for, even none,
// and still have a Next. A cursor that the store did not answer fails with
// [ErrInvalidArgument].
type Page[T any] struct {
	Items []T
	Next  string
}

// EndpointRecord is an endpoint with what only the store and the engine see.
type EndpointRecord struct {
	Endpoint
	Secrets    []EndpointSecret // newest first, never empty
	Version    int64            // grows with each UpdateEndpoint and each automatic disabling
	Generation int64            // grows with each update that has Reset, and with each disabling
}

// EndpointSecret is one signing secret of an endpoint.
type EndpointSecret struct {
	Secret    Secret
	ExpiresAt time.Time // by the store's clock; zero: does not expire
}

// EndpointCreate is the argument of [EndpointStore.CreateEndpoint].
type EndpointCreate struct {
	Record EndpointRecord
	Max    int // endpoints that the account may have; 0: any number
}

// EndpointUpdate is the argument of [EndpointStore.UpdateEndpoint].
type EndpointUpdate struct {
	Record EndpointRecord

	// Reset starts a new generation with no failures: results of attempts that
	// were claimed before no longer count. The engine sets it when the endpoint
	// is enabled or disabled, and when its URL or its secrets change.
	Reset bool
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
	Data      []byte    // the payload, one JSON value, verbatim
	CreatedAt time.Time // when the store accepted it; set by the store
}

// LeaseTerms say what a caller can take on: [ClaimRequest] and a hand-off share
// them.
type LeaseTerms struct {
	Max         int           // deliveries in all
	PerEndpoint int           // deliveries of each endpoint that Slots does not name
	Slots       []Slots       // endpoints with another number of free slots
	Lease       time.Duration // how long the caller may keep them
}

// Slots is the number of further deliveries that the caller can take of one
// endpoint; 0 means none.
type Slots struct {
	EndpointID string
	Free       int
}

// EnqueueRequest is the argument of [Enqueuer.Enqueue].
type EnqueueRequest struct {
	Groups  [][]EventRecord
	Handoff LeaseTerms // zero: nothing is handed off
}

// Enqueued is the answer of [Enqueuer.Enqueue].
type Enqueued struct {
	Errs   []error   // one per group
	Leased []Leased  // handed off to the caller
	Ready  int       // deliveries left for Claim
	Held   int       // deliveries recorded as held
	Now    time.Time // the store's clock
}

// LeaseToken is proof of a lease. A store chooses it at random for each call
// that leases, so that the token of an expired lease fits no later one. It holds
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
}

// Target is where a delivery goes, as of its lease.
type Target struct {
	EndpointID string
	AccountID  string
	URL        string
	Headers    map[string]string
	Secrets    []EndpointSecret // newest first; expired ones may be among them
	Generation int64
}

// ClaimRequest is the argument of [Queue.Claim].
type ClaimRequest struct {
	LeaseTerms
	Cursor string // from the last answer; empty at the first call
}

// Claimed is the answer of [Queue.Claim].
type Claimed struct {
	Deliveries []Leased
	Cursor     string
	More       bool // stopped at Max: another call may find more

	// NextIn is the time until Maintain has something to make ready, hold,
	// release or cancel: 0 means now, negative nothing known.
	NextIn time.Duration
	Now    time.Time // the store's clock
}

// Outcome is what became of a leased delivery.
type Outcome int

const (
	// OutcomeDelivered ends it: the endpoint answered 2xx.
	OutcomeDelivered Outcome = iota + 1
	// OutcomeRetry makes it due again after Settlement.Delay.
	OutcomeRetry
	// OutcomeExhausted ends it: no attempt is left.
	OutcomeExhausted
	// OutcomeReleased gives it back after Settlement.Delay without using up an
	// attempt. A release with a delay adds one to [Leased.Releases].
	OutcomeReleased
	// OutcomeGone ends it and disables the endpoint, which asked for that by
	// answering 410, if Settlement.Generation is still the endpoint's. It is
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
	// over redeliveries too, and Delivery.Attempts is their number. Every
	// outcome but released uses up one attempt of the schedule, with or without
	// a log row. A failed one that has a row makes the endpoint
	// [EndpointFailing], a delivered one [EndpointActive], unless it is inactive.
	Attempt *Attempt

	// Counts adds one to the endpoint's consecutive failures, if Generation is
	// still the endpoint's. Delivered sets them to zero by itself.
	Counts bool
	// DisableAfter is the number of consecutive failures that disables the
	// endpoint; 0 holds disabling back, without forgetting the failure.
	DisableAfter int
	// MinFailing is how long the endpoint must have been failing besides.
	MinFailing time.Duration
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

// SettleResult is the answer to one [Settlement].
type SettleResult struct {
	Status SettleStatus
	// Delivery is the delivery's status after an applied settlement.
	Delivery DeliveryStatus
	Err      error
}

// EndpointFailures reports an endpoint whose failures a Settle call counted, or
// that it disabled.
type EndpointFailures struct {
	EndpointID string
	AccountID  string
	Failures   int            // consecutive failures now
	Added      int            // how many of them this call added
	Disabled   DisabledReason // set when this very call disabled it
}

// Settled is the answer of [Queue.Settle].
type Settled struct {
	Results []SettleResult // in the order of the argument
	Failing []EndpointFailures
	Now     time.Time // the store's clock
}

// MaintainRequest is the argument of [Queue.Maintain].
type MaintainRequest struct {
	Limit int // at least 1
	// Retention purges finished deliveries with their attempts, and events
	// without deliveries, that ended longer ago; 0 purges nothing. An event with
	// a pending or held delivery is never purged.
	Retention time.Duration
}

// Maintained is the answer of [Queue.Maintain].
type Maintained struct {
	Readied   int  // due retries and expired leases made ready
	Held      int  // deliveries of inactive endpoints
	Released  int  // deliveries of endpoints that are active again
	Cancelled int  // deliveries of deleted endpoints
	Purged    int  // finished deliveries and events
	More      bool // a limit was reached: call again
	Now       time.Time
}

// DeliveryFilter selects deliveries of one account by endpoint, event or id.
type DeliveryFilter struct {
	AccountID  string
	DeliveryID string
	EndpointID string
	EventID    string
	Status     DeliveryStatus // empty: any
	Cursor     string
	Limit      int // at least 1
}

// ReplayRequest is the argument of [Log.Replay].
type ReplayRequest struct {
	AccountID  string
	EndpointID string
	Since      time.Time // by EventRecord.CreatedAt
	Cursor     string    // from the last answer
	Limit      int       // at least 1
}

// Replayed is the answer of [Log.Replay].
type Replayed struct {
	Count int    // deliveries made pending or held by this call
	Next  string // cursor; empty: done
}

// QueueStats counts unfinished deliveries.
type QueueStats struct {
	Ready       int           // can be claimed now
	Waiting     int           // for a later retry
	Leased      int           // with some process
	Held        int           // endpoint inactive
	OldestReady time.Duration // how long the oldest ready one has been due
}
