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
//     somebody else is reported by [ErrNotFound], exactly like what does not exist.
//     The exceptions are for the operator: FailingEndpoints, OldestDue, and QueueStats
//     of the whole store.
//   - What cannot be read of one endpoint or one event concerns that one alone:
//     it is reported by [Endpoint.Unreadable], [Target.Err] or [Leased.Err], and fails
//     no call that others share.
//   - A cursor that the store did not return fails with [ErrInvalidArgument]. One that
//     a tenant can see says nothing about other tenants, such as how many there are.
//   - Nothing is decided by "the last id seen": what a transaction commits ten
//     minutes late is found like everything else.
//
// A Store may have more abilities than this interface. Each is an interface of
// one method, found by type assertion; see [ConcurrencyHinter] and [Heartbeater].
type Store interface {
	EndpointStore
	Queue
	Log
	Eraser
	IdempotencyStore

	// Now returns the store's clock in UTC.
	Now(ctx context.Context) (time.Time, error)
}

// EndpointStore keeps endpoints. The engine has validated what it passes.
type EndpointStore interface {
	// CreateEndpoint stores a new endpoint and returns it as stored: the store
	// sets CreatedAt, UpdatedAt, Revision, Generation and HeaderNames. It fails with
	// [ErrEndpointLimit] when the account already has c.Max endpoints (0 means
	// any number), checked so that two concurrent calls cannot both pass, and
	// with [ErrIDConflict] when the id is or was in use: an id is not given
	// twice while anything remembers it, so that old deliveries never reach a new
	// URL; see Maintain. No other fault is reported as that.
	CreateEndpoint(ctx context.Context, c EndpointCreate) (EndpointRecord, error)

	// GetEndpoint returns one endpoint with its secrets and headers, or ErrNotFound.
	GetEndpoint(ctx context.Context, accountID, id string) (EndpointRecord, error)

	// UpdateEndpoint replaces the configuration of u.Record.ID (URL, Events,
	// Description, Metadata, Headers, Secrets), switches it on or off by
	// u.Record.Status, and returns the endpoint as it then is, with a higher
	// Revision. It changes nothing and fails with [ErrVersionConflict] unless the
	// stored Revision is u.Record.Revision, and with ErrNotFound when there is no
	// such endpoint. Counters and times in u.Record are ignored: Settle owns them.
	// Empty Secrets or Events leave those that are stored unchanged: an endpoint
	// always has both, so empty ones could not be read. Metadata and Headers that are
	// nil while they are Unreadable stay as well. HeaderNames in u.Record are ignored.
	//
	// Switching off ([EndpointInactive], with u.Record.DisabledReason) sets
	// DisabledAt and keeps pending deliveries: from then on no Claim returns
	// them and Maintain holds them, those that wait for a retry when they are
	// due at the latest. Switching on clears the reason and makes Maintain
	// release them. One that is inactive by its failures and is switched off with
	// [DisabledManually] has that reason from then on, and no trials any more.
	UpdateEndpoint(ctx context.Context, u EndpointUpdate) (EndpointRecord, error)

	// ListEndpoints returns the endpoints of one account, newest first; none
	// when the account has none. A Status that is none of the constants fails with
	// [ErrInvalidArgument].
	ListEndpoints(ctx context.Context, f EndpointFilter) (Page[EndpointRecord], error)

	// GetEndpoints returns those of the endpoints that exist, in any order.
	GetEndpoints(ctx context.Context, accountID string, ids []string) ([]EndpointRecord, error)

	// CountEndpoints returns how many endpoints the account has, of one status or, if
	// that is empty, of all. Another status fails with [ErrInvalidArgument].
	CountEndpoints(ctx context.Context, accountID string, status EndpointStatus) (int, error)

	// FailingEndpoints returns endpoints of all accounts that are failing or inactive,
	// newest first. A Status that is neither, nor empty, fails with [ErrInvalidArgument].
	FailingEndpoints(ctx context.Context, q FailingQuery) (Page[EndpointRecord], error)

	// DeleteEndpoint removes an endpoint: no Get, List, fan-out or Claim returns
	// it again. What is unfinished is cancelled, with the reason
	// [ReasonEndpointDeleted], and reads so at once, although Maintain may record it
	// later. The log of its deliveries stays. A Settle that arrives later
	// does not fail and makes nothing pending again. DeleteEndpoint fails with
	// ErrNotFound when there is no such endpoint, or no longer, and with
	// [ErrVersionConflict] unless d.IfRevision is 0 or the stored Revision.
	DeleteEndpoint(ctx context.Context, d EndpointDelete) error
}

// EndpointDelete is the argument of [EndpointStore.DeleteEndpoint].
type EndpointDelete struct {
	AccountID, ID string
	IfRevision    int64 // 0: any
}

// Enqueuer stores events and their fan-out. A [Queue] is one; so is what a
// transactional store makes of the caller's own transaction, for
// [Dispatcher.EmitTx].
type Enqueuer interface {
	// Enqueue stores each group whole or not at all, each independently of the
	// others, and returns one error per group (nil: durable; in a caller's
	// transaction: durable once that commits). Only a fault that concerns all
	// groups is returned as the second result.
	//
	// For each event it stores the event once, finds the account's endpoints
	// subscribed to it (any of [EventType.Patterns]; each endpoint once), and
	// creates one delivery for each: held when the endpoint is inactive, leased
	// to the caller while r.Handoff has room, otherwise ready. Nothing of a paused
	// endpoint is handed off.
	//
	// An id that the account already used, with the same type, timestamp and
	// data, is stored already: no second fan-out, no error; the data of one that was
	// redacted is not compared. With any of them different the group fails with [ErrIDConflict] and stores nothing. The
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
	// endpoint as many as r.Room takes, oldest due first. It takes endpoints in
	// turn, going on after r.Cursor, also where Room takes less than one turn of all
	// brings, so that none starves. What it costs depends
	// on what it leases and on the endpoints that it asks Room for, of which it
	// may leave some to the next call: neither waiting deliveries nor those of a
	// paused endpoint, nor the backlog of one without room cost anything. Inactive
	// and deleted endpoints are passed over. A paused endpoint is a [Candidate]
	// for one delivery when its next probe is due, and so is one that was disabled by its
	// failures when its trial is.
	Claim(ctx context.Context, r ClaimRequest) (Claimed, error)

	// Settle records the results of leased deliveries, each one atomically:
	// attempt, delivery, endpoint counters and disabling together or not at all.
	// One that cannot be recorded does not lose the others; it has its own error
	// in the result. Results of one endpoint apply in the order given.
	//
	// A stale token, or the id of a delivery that is not there any more, changes
	// nothing and returns [SettleStale], except that [OutcomeDelivered] wins from
	// every state but delivered: held, exhausted, cancelled or leased to somebody
	// else.
	Settle(ctx context.Context, s []Settlement) (Settled, error)

	// Maintain does housekeeping, at most about r.Limit rows of each kind: what
	// has become due is made ready, expired leases too (each adds one to
	// [Leased.Expired]); deliveries of inactive endpoints are held, those of
	// active ones released, those of deleted ones cancelled; idempotency keys whose time
	// is over are forgotten; history older than
	// r.Retention is purged, and so are endpoints that were deleted longer ago and
	// have no deliveries left. Any number of processes may call it.
	Maintain(ctx context.Context, r MaintainRequest) (Maintained, error)
}

// Log reads what happened, and makes deliveries pending again.
type Log interface {
	// GetEvent returns one stored event, without Data if it was redacted, or
	// ErrNotFound.
	GetEvent(ctx context.Context, accountID, id string) (EventRecord, error)

	// ListEvents returns the account's events without their data, newest first by
	// CreatedAt. A filter that matches little does not end the page before 100,000 events
	// were looked at.
	ListEvents(ctx context.Context, f EventFilter) (Page[EventInfo], error)

	// ListDeliveries returns deliveries, newest first. A Status that is none of the
	// constants fails with [ErrInvalidArgument]. An endpoint that there never was, or
	// that Maintain has purged, fails with ErrNotFound; the deliveries of a deleted one
	// are still returned. An event or a delivery need not exist, since retention takes
	// them away: the page is empty then. A filter that matches little does not end the
	// page before MaxScan deliveries were looked at, or 100,000 if that is 0.
	ListDeliveries(ctx context.Context, f DeliveryFilter) (Page[Delivery], error)

	// ListAttempts returns the attempts of one delivery, oldest first, or
	// ErrNotFound when there is no such delivery.
	ListAttempts(ctx context.Context, accountID, deliveryID string) ([]Attempt, error)

	// LastAttempts returns the latest attempts of an endpoint, newest first, at most
	// limit. It looks at the attempts of at least the endpoint's latest 500 deliveries.
	// It fails with ErrNotFound as ListDeliveries does.
	LastAttempts(ctx context.Context, accountID, endpointID string, limit int) ([]Attempt, error)

	// ListRevisions returns what requests to an endpoint are made with, unless it is
	// deleted, and before that what they were made with, newest first: an
	// UpdateEndpoint that changes URL, Secrets or Headers ends one revision, and so
	// does DeleteEndpoint. At most the latest [MaxRevisions] of those that ended are
	// kept. It fails with ErrNotFound when there is no such endpoint, or nothing is
	// kept of a deleted one.
	ListRevisions(ctx context.Context, accountID, endpointID string) (EndpointRevisions, error)

	// Redeliver makes a delivery due, whatever its status: ready, or held when the
	// endpoint is inactive. One that had ended starts its schedule again. One that is
	// pending or held goes on with its schedule, so that repeated calls do not keep it
	// from ending. One that is leased at this moment is left alone. It fails with
	// ErrNotFound when there is no such delivery, its endpoint is deleted or its
	// event is redacted.
	Redeliver(ctx context.Context, accountID, deliveryID string) (Delivery, error)

	// Replay makes every event that the account stored at or after r.Since and before
	// r.Until, that matches the endpoint's subscription and r.Types, and was not
	// delivered to it, pending for that endpoint: deliveries that ended are
	// redelivered, missing ones are created, pending and held ones are left alone. With
	// r.Statuses it takes those events alone whose delivery to the endpoint has one of
	// them. With r.DryRun it changes nothing and counts what a replay of the same
	// request would make pending. It works through at most r.Limit events a call. It
	// fails with ErrNotFound when there is no such endpoint, and with
	// [ErrInvalidArgument] for a status that is none of delivered, exhausted and
	// cancelled.
	Replay(ctx context.Context, r ReplayRequest) (Replayed, error)

	// QueueStats counts what is not finished, of one endpoint or, with an empty
	// endpointID, of the whole store (accountID is then ignored). It fails with
	// ErrNotFound when there is no such endpoint.
	QueueStats(ctx context.Context, accountID, endpointID string) (QueueStats, error)

	// QueueStatsOf is QueueStats of several endpoints of the account. Those that do not
	// exist are left out.
	QueueStatsOf(ctx context.Context, accountID string, endpointIDs []string) (map[string]QueueStats, error)

	// OldestDue returns the endpoints, of all accounts, at which deliveries have been
	// due for longest, that one first, at most limit: with the deliveries that QueueStats
	// counts as Ready.
	OldestDue(ctx context.Context, limit int) ([]EndpointBacklog, error)
}

// Eraser removes what must not be kept any longer.
type Eraser interface {
	// RedactEvent removes what one event says: its Data, and the response bodies and
	// Locations of its attempts, which may repeat it. The event stays, without Data, with its id,
	// type and times, and so do its deliveries and attempts. Those that have not
	// ended, leased ones too, are cancelled with the reason [ReasonEventRedacted]:
	// their leases are over, and a late success is recorded without the body of its
	// response. Redeliver fails for them with ErrNotFound, and Replay passes the
	// event over. Its id stays in use: the same id with the same type and timestamp
	// is stored already, whatever the data. An event that was redacted before stays
	// as it is, without an error. RedactEvent fails with ErrNotFound when there is no
	// such event.
	RedactEvent(ctx context.Context, accountID, id string) error

	// DeleteAccount removes what is stored of an account: at first its endpoints, so
	// that nothing is added any more, then its deliveries, whatever their status,
	// with their attempts, its events, the revisions of its endpoints, and its idempotency keys. Its event ids are free then; those of its
	// endpoints may stay in use, as after DeleteEndpoint. A Settle of a delivery that
	// is gone is stale. One call removes about r.Limit rows of each kind, and the
	// caller goes on with Next. An account of which nothing is stored is no error.
	DeleteAccount(ctx context.Context, r AccountDelete) (AccountDeleted, error)
}

// QueueStats counts unfinished deliveries.
type QueueStats struct {
	Ready       int           // can be claimed now
	Waiting     int           // for a later retry
	Leased      int           // with some process
	Held        int           // endpoint inactive
	OldestReady time.Duration // how long the oldest ready one has been due
}

// ConcurrencyHinter is an optional ability of a [Store].
type ConcurrencyHinter interface {
	// ConcurrencyHint returns how many Enqueue calls, and as many Settle calls,
	// the store likes to see at once. Calls beyond it wait and share the next
	// one. Without this ability the engine uses 4.
	ConcurrencyHint() int
}

// Heartbeater is an optional ability of a [Store]: leases that end with the process
// that has them, long before [LeaseTerms].Lease is over, when it is killed.
type Heartbeater interface {
	// Heartbeat begins a process, reports that it is alive, or ends it, and ends
	// those of h.Dead. The row of a process and its leases end in one step:
	// deliveries under a lease that names it are then made ready by Maintain, as
	// after any lease. Nothing else ends a process. One whose time is over stays
	// alive if it sends a heartbeat before another process has ended it. One that
	// was ended never comes back: its caller is a new process from then on.
	Heartbeat(ctx context.Context, h Heartbeat) (Heartbeaten, error)
}

// Signaler is an optional ability of a [Store] that several processes share.
type Signaler interface {
	// Signal notifies the processes that listen, see Config.Listen, that deliveries
	// may be ready. The engine calls it after commits and never within a transaction,
	// at most once per 5 ms, and not again once it returned an error that wraps
	// [errors.ErrUnsupported]: that says that signals are switched off. A signal that
	// fails is not repeated; the others find the deliveries when they poll.
	Signal(ctx context.Context) error
}

// Page is one page of a list. Next is the cursor of the following page and
// empty on the last one. A page can hold fewer items than asked for, even none,
// and still have a Next. A cursor that the store did not return fails with
// [ErrInvalidArgument].
type Page[T any] struct {
	Items []T
	Next  string
}

// AccountDelete is the argument of [Eraser.DeleteAccount].
type AccountDelete struct {
	AccountID string
	Cursor    string // from the last call; empty begins anew
	Limit     int    // at least 1
}

// AccountDeleted is the result of [Eraser.DeleteAccount] and of
// [Engine.DeleteAccount].
type AccountDeleted struct {
	Endpoints  int
	Deliveries int
	Events     int
	Next       string // cursor; empty: nothing is left
}
