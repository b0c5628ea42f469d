package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ringyo-ai/webhook/internal/id"
	"github.com/ringyo-ai/webhook/internal/redact"
)

// DeliveryStatus is the state of a delivery.
type DeliveryStatus string

const (
	// DeliveryPending is due now, waits for a retry, or is being attempted.
	DeliveryPending DeliveryStatus = "pending"
	// DeliveryHeld waits for its endpoint to be enabled.
	DeliveryHeld DeliveryStatus = "held"
	// DeliveryDelivered got a 2xx.
	DeliveryDelivered DeliveryStatus = "delivered"
	// DeliveryExhausted ended undelivered; Reason says why.
	DeliveryExhausted DeliveryStatus = "exhausted"
	// DeliveryCancelled ended undelivered because its endpoint was deleted, or its
	// event redacted; Reason says which.
	DeliveryCancelled DeliveryStatus = "cancelled"
)

// DeliveryReason says why a delivery ended undelivered.
type DeliveryReason string

const (
	// ReasonAttempts means that every attempt of the schedule failed.
	ReasonAttempts DeliveryReason = "attempts_exhausted"
	// ReasonGone means that the endpoint responded with 410 Gone.
	ReasonGone DeliveryReason = "gone"
	// ReasonEndpointDeleted means that the endpoint was deleted.
	ReasonEndpointDeleted DeliveryReason = "endpoint_deleted"
	// ReasonEventRedacted means that the event's payload was removed, by
	// [Engine.RedactEvent].
	ReasonEventRedacted DeliveryReason = "event_redacted"
	// ReasonAbandoned means that processes kept dying while they attempted it.
	ReasonAbandoned DeliveryReason = "abandoned"
	// ReasonSenderFault means that faults of the sending side kept it from
	// being attempted for 24 hours.
	ReasonSenderFault DeliveryReason = "sender_fault"
)

// Delivery is the sending of one event to one endpoint, with all its attempts.
type Delivery struct {
	ID            string         `json:"id"` // dlv_…
	AccountID     string         `json:"account_id"`
	EndpointID    string         `json:"endpoint_id"`
	EventID       string         `json:"event_id"`
	EventType     EventType      `json:"event"`
	Status        DeliveryStatus `json:"status"`
	Reason        DeliveryReason `json:"reason,omitempty"`
	Attempts      int            `json:"attempts"`                 // rows of the attempt log, including redeliveries
	NextAttemptAt time.Time      `json:"next_attempt_at,omitzero"` // while pending: when it is due; in flight: the end of its lease
	CreatedAt     time.Time      `json:"created_at"`
	CompletedAt   time.Time      `json:"completed_at,omitzero"`
}

// Attempt is one request, as logged.
type Attempt struct {
	ID         string        `json:"id"` // att_…
	DeliveryID string        `json:"delivery_id"`
	Number     int           `json:"number"` // 1 for the first
	At         time.Time     `json:"at"`     // when it began, by the store's clock
	Duration   time.Duration `json:"duration_ns"`
	StatusCode int           `json:"status_code,omitempty"` // 0: no response

	// Failure is empty when the attempt succeeded.
	Failure FailureKind `json:"failure,omitempty"`
	// Detail explains Failure in fixed words of this library: it holds no
	// address, no text of the operating system and nothing that the peer sent.
	Detail string `json:"detail,omitempty"`
	// ResponseBody is the beginning of the response's body: bytes of the peer, to
	// be shown as such. The HTTPTransport keeps 1 KiB unless told otherwise; of
	// any Transport's response at most 4 KiB are stored.
	ResponseBody []byte `json:"response_body,omitempty"`

	// Revision is [Endpoint.Revision] as it was when the delivery was claimed for this
	// attempt: [Engine.EndpointRevisions] says where that led. 0 is not known.
	Revision int64 `json:"revision,omitempty"`
	// Location is where a redirect leads, in the words of the peer: at most 2 KiB, never
	// followed. A customer who sees one should register that URL.
	Location string `json:"location,omitempty"`
}

// DeliveryQuery selects a page of an account's deliveries. What is empty selects all.
type DeliveryQuery struct {
	EndpointID string
	EventID    string
	Status     DeliveryStatus
	Types      []EventType // of the event: each a type, a prefix such as "call.*", or "*"
	From       time.Time   // by CreatedAt, inclusive
	Until      time.Time   // by CreatedAt, exclusive
	Cursor     string      // Next of the page before
	Limit      int         // 1 to 1,000; defaults to 100
	MaxScan    int         // about how many deliveries are looked at for the page; defaults to at least 100,000
}

// ListDeliveries returns a page of deliveries, newest first. A page may hold fewer
// than Limit and still have a Next: a query that matches little ends its page once
// MaxScan deliveries were looked at. Those of a deleted endpoint are returned
// too. It fails with [ErrNotFound] for an endpoint that does not exist, and with
// [ErrInvalidArgument] for a Status that is none of the constants and for malformed
// Types. For an event that does not exist, or no longer, the page is empty.
func (e *Engine) ListDeliveries(ctx context.Context, accountID string, q DeliveryQuery) (Page[Delivery], error) {
	limit, err := pageLimit(q.Limit)
	if q.MaxScan < 0 {
		err = errors.Join(err, invalid("MaxScan", "must not be negative"))
	}
	if err = errors.Join(err, checkPatterns(q.Types)); err != nil {
		return Page[Delivery]{}, err
	}
	p, err := e.deliveries(ctx, DeliveryFilter{
		AccountID: accountID, EndpointID: q.EndpointID, EventID: q.EventID, Status: q.Status,
		Types: q.Types, From: q.From, Until: q.Until, Cursor: q.Cursor, Limit: limit, MaxScan: q.MaxScan,
	})
	return p, orNotFound(err, errNoEndpoint)
}

// checkPatterns checks the Types of a query: they are what a subscription may hold.
func checkPatterns(types []EventType) error {
	var v ValidationError
	for i, t := range types {
		if problem := subscriptionProblem(t, nil); problem != "" {
			v.add(fmt.Sprintf("Types[%d]", i), problem)
		}
	}
	if len(types) > 100 {
		v.add("Types", "must hold at most 100 types")
	}
	return v.orNil()
}

func (e *Engine) deliveries(ctx context.Context, f DeliveryFilter) (Page[Delivery], error) {
	return call(ctx, e.store, func(ctx context.Context) (Page[Delivery], error) { return e.store.ListDeliveries(ctx, f) })
}

// GetDelivery returns one delivery of the account, or [ErrNotFound].
func (e *Engine) GetDelivery(ctx context.Context, accountID, id string) (Delivery, error) {
	p, err := e.deliveries(ctx, DeliveryFilter{AccountID: accountID, DeliveryID: id, Limit: 1})
	if err == nil && len(p.Items) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Delivery{}, orNotFound(err, errNoDelivery)
	}
	return p.Items[0], nil
}

// ListAttempts returns the attempts of a delivery, oldest first, or
// [ErrNotFound]. Attempts that failed for reasons of the sender are not among
// them: they use up nothing. The exception is [FailureInternal] for an attempt
// during which the sending process died several times.
func (e *Engine) ListAttempts(ctx context.Context, accountID, deliveryID string) ([]Attempt, error) {
	all, err := call(ctx, e.store, func(ctx context.Context) ([]Attempt, error) {
		return e.store.ListAttempts(ctx, accountID, deliveryID)
	})
	return all, orNotFound(err, errNoDelivery)
}

// MaxRevisions is how many revisions of an endpoint are kept, besides the present one.
const MaxRevisions = 100

// EndpointRevision is what requests to an endpoint were made with from one change of
// its URL, its secrets or its headers to the next.
type EndpointRevision struct {
	// Revision is the first [Endpoint.Revision] of it: other changes make the number
	// grow too.
	Revision    int64        `json:"revision"`
	URL         string       `json:"url,omitempty"` // empty: it cannot be read
	Secrets     []SecretHint `json:"secrets"`       // newest first; empty: they could not be read
	HeaderNames []string     `json:"header_names,omitempty"`
	Since       time.Time    `json:"since"`
	Until       time.Time    `json:"until,omitzero"` // zero: it still holds
}

// Format prints r with the host alone of its URL.
func (r EndpointRevision) Format(f fmt.State, verb rune) { format(f, verb, r.shown()) }

// LogValue returns what Format prints.
func (r EndpointRevision) LogValue() slog.Value { return slog.AnyValue(r.shown()) }

func (r EndpointRevision) shown() any {
	type shown EndpointRevision // without the methods
	r.URL = redact.Host(r.URL)
	return shown(r)
}

// SecretHint tells which secret it was, without the secret.
type SecretHint struct {
	Hint      string    `json:"hint"` // see [Secret.Hint]
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// EndpointRevisions are the revisions of one endpoint, newest first.
type EndpointRevisions []EndpointRevision

// Of returns the revision under which an attempt of that endpoint was sent, with the
// secrets that signed it: those that had expired by then are left out. ok is false when
// it is not kept any more, or not known.
func (all EndpointRevisions) Of(a Attempt) (r EndpointRevision, ok bool) {
	for _, r := range all {
		if r.Revision > a.Revision {
			continue
		}
		var live []SecretHint
		for _, s := range r.Secrets {
			if s.ExpiresAt.IsZero() || a.At.Before(s.ExpiresAt) {
				live = append(live, s)
			}
		}
		r.Secrets = live
		return r, true
	}
	return EndpointRevision{}, false
}

// EndpointRevisions returns what requests to an endpoint are made with and what they
// were made with before, so that each attempt in the log can say where it went:
// [EndpointRevisions.Of]. An old one is kept until Config.Retention after the change
// that ended it, though at most the latest [MaxRevisions] are; those of a deleted
// endpoint are too. An unknown endpoint, and a deleted one of which nothing is kept, is
// [ErrNotFound].
func (e *Engine) EndpointRevisions(ctx context.Context, accountID, id string) (EndpointRevisions, error) {
	all, err := call(ctx, e.store, func(ctx context.Context) (EndpointRevisions, error) {
		return e.store.ListRevisions(ctx, accountID, id)
	})
	return all, orNotFound(err, errNoEndpoint)
}

// GetEvent returns a stored event of the account, typed as on receive, or
// [ErrNotFound]. One that was redacted has neither Data nor Raw.
func (e *Engine) GetEvent(ctx context.Context, accountID, id string) (Event, error) {
	r, err := call(ctx, e.store, func(ctx context.Context) (EventRecord, error) {
		return e.store.GetEvent(ctx, accountID, id)
	})
	if err != nil {
		return Event{}, orNotFound(err, errNoEvent)
	}
	ev := Event{ID: r.ID, Type: r.Type, AccountID: r.AccountID, Timestamp: r.Timestamp}
	if len(r.Data) == 0 {
		return ev, nil
	}
	ev.Raw = r.Data
	ev.Data = ev.Raw
	if data, ok := decodePayload(r.Type, r.Data); ok {
		ev.Data = data
	}
	return ev, nil
}

// Redeliver makes a delivery due, whatever its status. One that had ended starts its
// schedule again; one that waits for its next attempt, or is held, goes on with its
// schedule. The event keeps its id, so a receiver that de-duplicates acknowledges
// and skips it if it was handled before. One that is being attempted at this moment
// is left alone. It fails with [ErrNotFound] when there is no such delivery, or when
// its endpoint is deleted or its event is redacted.
func (e *Engine) Redeliver(ctx context.Context, accountID, deliveryID string) (Delivery, error) {
	d, err := call(ctx, e.store, func(ctx context.Context) (Delivery, error) {
		return e.store.Redeliver(ctx, accountID, deliveryID)
	})
	if err == nil {
		e.Wake()
	}
	return d, orNotFound(err, errNoDelivery)
}

// replayBatch bounds the work of one call of the Store, and countBatch that of one which
// changes nothing and is about the endpoint's own deliveries.
const (
	replayBatch = 200
	countBatch  = 100_000
)

// ReplayQuery selects what to replay. The zero value is all that the endpoint did not
// receive.
type ReplayQuery struct {
	// Since and Until are compared with the time at which the Store took the event in,
	// and not with its Timestamp: at or after Since, before Until. Zero is no bound, so
	// that events from before the endpoint existed are replayed too.
	Since, Until time.Time

	// Types are types, prefixes such as "call.*", or "*"; empty: all that the endpoint
	// is subscribed to.
	Types []EventType

	// Statuses are what the event's delivery to the endpoint is: delivered, exhausted
	// or cancelled. Empty takes exhausted and cancelled ones, and events without a
	// delivery to the endpoint. Delivered ones are sent again only if they are named.
	Statuses []DeliveryStatus

	DryRun bool // count, and change nothing
}

// Replay makes pending for an endpoint the events that it is subscribed to and that
// it did not receive. It returns their number. Use it after an endpoint was repaired or
// its subscription extended. Repeating it is safe, unless the query names delivered
// ones: what is pending is left alone. If it fails midway, the number says how many
// were made pending. An unknown endpoint returns [ErrNotFound]; malformed Types, and
// Statuses that cannot be replayed, [ErrInvalidArgument].
func (e *Engine) Replay(ctx context.Context, accountID, endpointID string, q ReplayQuery) (int, error) {
	n := 0
	for cursor := ""; ; {
		part, err := e.ReplayPart(ctx, accountID, endpointID, q, cursor)
		n += part.Count
		if cursor = part.Next; err != nil || cursor == "" {
			return n, err
		}
	}
}

// ReplayPart is a part of Replay, for callers that show how far they are: it looks at
// about 200 events, or at 100,000 of a dry run with Statuses, and returns how many of them
// it made pending, or would. Next is the cursor of the next part, and empty after the
// last one; the first part has an empty one. Parts of the same q together are one Replay,
// and whoever stops between two of them has replayed what was counted so far. The errors
// are those of Replay, and [ErrInvalidArgument] for a cursor that is not a Next. Set
// q.Until where delivered ones are replayed: what is delivered between two parts can be in
// a later one.
func (e *Engine) ReplayPart(ctx context.Context, accountID, endpointID string, q ReplayQuery, cursor string) (Replayed, error) {
	if err := checkPatterns(q.Types); err != nil {
		return Replayed{}, err
	}
	r := ReplayRequest{
		AccountID: accountID, EndpointID: endpointID, Since: q.Since, Until: q.Until,
		Types: q.Types, Statuses: q.Statuses, DryRun: q.DryRun, Cursor: cursor, Limit: replayBatch,
	}
	if q.DryRun && len(q.Statuses) > 0 {
		r.Limit = countBatch
	}
	part, err := call(ctx, e.store, func(ctx context.Context) (Replayed, error) { return e.store.Replay(ctx, r) })
	if part.Count > 0 && !q.DryRun {
		e.Wake()
	}
	return part, orNotFound(err, errNoEndpoint)
}

// RedactEvent removes what an event says: its payload, and the response bodies of
// its attempts, in which receivers may have repeated it. What else is known of the
// event stays, with the log of its deliveries; those that have not ended are
// cancelled with [ReasonEventRedacted]. Its id stays in use, so that emitting the
// event once more sends and stores nothing. An attempt in flight goes on to its end,
// and so do the few that other processes hold in memory, for as long as a lease.
// An unknown id is [ErrNotFound]; an event that was redacted before is no error.
//
// It cannot reach what the payload was copied to: see "Personal data" in
// docs/operating.md.
func (e *Engine) RedactEvent(ctx context.Context, accountID, id string) error {
	err := do(ctx, e.store, func(ctx context.Context) error { return e.store.RedactEvent(ctx, accountID, id) })
	if err == nil {
		e.sched.Withdraw(func(j job) bool { return j.Event.ID == id && j.Event.AccountID == accountID })
	}
	return orNotFound(err, errNoEvent)
}

// deleteBatch bounds the work of one call of the Store.
const deleteBatch = 500

// DeleteAccount removes what is stored of an account: its endpoints with their
// secrets, its events, its deliveries and their attempts, and its idempotency keys.
// Attempts in flight go on to
// their end and leave nothing behind. It works through the account in small
// transactions, for as long as ctx lets it, and returns what it removed. When it
// fails midway call it again: it goes on with what is left. For an account of which
// nothing is stored it does nothing.
//
// Nothing marks the account: stop emitting for it before. The endpoints go first,
// so that what is emitted meanwhile is sent to nobody; it may stay stored, as may what
// a transaction stores that is open at that time. Another call removes that. The ids
// of deleted endpoints stay for Config.Retention, since none is given twice.
//
// An account that does not exist is no error. See "Personal data" in
// docs/operating.md for what no store can reach.
func (e *Engine) DeleteAccount(ctx context.Context, accountID string) (AccountDeleted, error) {
	r := AccountDelete{AccountID: accountID, Limit: deleteBatch}
	var sum AccountDeleted
	for {
		d, err := call(ctx, e.store, func(ctx context.Context) (AccountDeleted, error) { return e.store.DeleteAccount(ctx, r) })
		if err != nil {
			return sum, err
		}
		sum.Endpoints += d.Endpoints
		sum.Deliveries += d.Deliveries
		sum.Events += d.Events
		sum.Next = d.Next
		if d.Endpoints > 0 || d.Next == "" {
			e.sched.Withdraw(func(j job) bool { return j.Target.AccountID == accountID })
		}
		if d.Next == "" {
			return sum, nil
		}
		r.Cursor = d.Next
	}
}

// Stats counts what is under way, for all accounts together.
type Stats struct {
	Due          int           // deliveries that could be sent now
	OldestDue    time.Duration // how long the oldest of them has been due
	Waiting      int           // for a later retry
	InFlight     int           // leased, by any process
	Held         int           // for inactive endpoints
	HooksDropped int           // hook calls that this process dropped
}

// Stats counts what the Store holds unfinished. The count takes time in
// proportion to it: ask once a minute, not once a request.
func (e *Engine) Stats(ctx context.Context) (Stats, error) {
	q, err := call(ctx, e.store, func(ctx context.Context) (QueueStats, error) { return e.store.QueueStats(ctx, "", "") })
	if err != nil {
		return Stats{}, err
	}
	return Stats{
		Due: q.Ready, OldestDue: q.OldestReady, Waiting: q.Waiting, InFlight: q.Leased, Held: q.Held,
		HooksDropped: e.hooks.Dropped(),
	}, nil
}

// NewDeliveryID makes an id for a delivery, "dlv_" and a UUIDv7 without dashes:
// for implementers of a [Store].
func NewDeliveryID() string { return id.New("dlv_") }
