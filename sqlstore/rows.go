package sqlstore

import (
	"cmp"

	"github.com/ringyo-ai/webhook"
)

// The rows of the statements for many rows. Each type says what a statement takes,
// and its encode the order, which is the same in every dialect.

// A key alone is looked up, in the tables of events, deliveries and the queue.
func (k key) encode(to encoder) { to.key(k) }

// number is the number of an endpoint that is looked up.
type number int64

func (n number) encode(to encoder) { to.num(int64(n)) }

// accountName is an account that is looked up.
type accountName string

func (a accountName) encode(to encoder) { to.text(string(a)) }

// A topic is looked up by Match.
func (t topic) encode(to encoder) {
	to.text(t.account)
	to.text(string(t.typ))
}

// subscription is a row of InsertSubscriptions.
type subscription struct {
	topic
	endpoint int64
}

func (s subscription) encode(to encoder) {
	s.topic.encode(to)
	to.num(s.endpoint)
}

// A new event alone is a row of postgresEnqueue.
func (ev *newEvent) encode(to encoder) {
	ev.encodeHead(to)
	to.blob(ev.data())
}

func (ev *newEvent) encodeHead(to encoder) {
	to.key(ev.k)
	to.text(ev.rec.AccountID)
	to.text(ev.rec.ID)
	to.text(string(ev.rec.Type))
	to.num(ev.rec.Timestamp.UnixMicro())
}

// data is never nil, which would be null.
func (ev *newEvent) data() []byte { return notNil(ev.rec.Data) }

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// createdEvent is a row of InsertEvents.
type createdEvent struct {
	*newEvent
	created int64
}

func (ev createdEvent) encode(to encoder) {
	ev.encodeHead(to)
	to.num(ev.created)
	to.blob(ev.data())
}

// markedEvent is a row of InsertMarked.
type markedEvent struct {
	createdEvent
	origin int64 // the call that inserts it
}

func (ev markedEvent) encode(to encoder) {
	ev.createdEvent.encode(to)
	to.num(ev.origin)
}

// unmatched is a row of InsertUnmatched and DropUnmatched: an event that nobody was
// subscribed to.
type unmatched struct {
	account string
	created int64
	event   key
}

func (u unmatched) encode(to encoder) {
	to.text(u.account)
	to.num(u.created)
	to.key(u.event)
}

// createdDelivery is a row of InsertDeliveries.
type createdDelivery struct {
	k, event             key
	endpoint             int64
	status               int
	token, ends, created int64
}

func (d createdDelivery) encode(to encoder) {
	to.key(d.k)
	to.key(d.event)
	to.num(d.endpoint)
	to.num(int64(d.status))
	to.num(d.token)
	to.num(d.ends)
	to.num(d.created)
}

// queuePlace is a row of InsertQueue.
type queuePlace struct {
	k                    key
	endpoint, state, due int64
}

func (q queuePlace) encode(to encoder) {
	to.key(q.k)
	to.num(q.endpoint)
	to.num(q.state)
	to.num(q.due)
}

// newState is a row of MoveRows: the state that a row of the queue gets.
type newState struct {
	state int64
	k     key
}

func (s newState) encode(to encoder) {
	to.num(s.state)
	to.key(s.k)
}

// cancellation is a row of Cancel.
type cancellation struct {
	ends   int64
	k      key
	reason webhook.DeliveryReason
}

func (c cancellation) encode(to encoder) {
	to.num(statusCancelled)
	to.num(c.ends)
	to.text(string(c.reason))
	to.key(c.k)
}

// pick is a row of PickRows: so many rows of the endpoint.
type pick struct {
	endpoint int64
	most     int
}

func (p pick) encode(to encoder) {
	to.num(p.endpoint)
	to.num(int64(p.most))
}

// leasing is a row of Lease.
type leasing struct {
	lease
	k key
}

func (l leasing) encode(to encoder) {
	l.lease.encode(to)
	to.key(l.k)
}

// A lease is a row of EndLeases.
func (l lease) encode(to encoder) {
	to.num(l.due)
	to.num(l.token)
}

// closing is a row of CloseLeases: a lease that ends at another time.
type closing struct {
	at int64
	lease
}

func (c closing) encode(to encoder) {
	to.num(c.at)
	c.lease.encode(to)
}

// stateOf is a row of ProbeRows: the oldest row of an endpoint in a state.
type stateOf struct{ state, endpoint int64 }

func (s stateOf) encode(to encoder) {
	to.num(s.state)
	to.num(s.endpoint)
}

// endpointAt is a row of LockProbes and EndProbes.
type endpointAt struct{ now, endpoint int64 }

func (e endpointAt) encode(to encoder) {
	to.num(e.now)
	to.num(e.endpoint)
}

// probeTime is a row of SetProbes and UnsetProbes.
type probeTime struct{ at, token, endpoint int64 }

func (p probeTime) encode(to encoder) {
	to.num(p.at)
	to.num(p.token)
	to.num(p.endpoint)
}

// waking is a row of Wake.
type waking struct {
	now      int64
	begun    bool
	endpoint int64
}

func (w waking) encode(to encoder) {
	to.num(w.now)
	to.num(int64(boolNumber(w.begun)))
	to.num(w.endpoint)
}

// finish is a row of Finish: a delivery that is not pending any more.
type finish struct {
	*delivery
	now int64
}

func (f finish) encode(to encoder) {
	to.num(int64(f.status))
	to.num(f.now)
	to.num(int64(f.attempts))
	to.num(int64(f.made))
	to.text(string(f.reason))
	if f.sent == nil {
		to.null()
		encodeOutcome(to, &webhook.Attempt{}, nil)
	} else {
		to.text(f.sent.ID)
		encodeOutcome(to, f.sent, notNil(f.sent.ResponseBody))
	}
	to.key(f.k)
}

// encodeOutcome writes the columns of an attempt that delivered, after its id.
func encodeOutcome(to encoder, a *webhook.Attempt, body []byte) {
	to.num(toMicros(a.At))
	to.num(int64(a.Duration))
	to.num(int64(a.StatusCode))
	to.num(a.Revision)
	to.blob(body)
}

// requeue is a row of Requeue: a delivery that goes back to the queue.
type requeue struct{ *delivery }

func (r requeue) encode(to encoder) {
	to.num(int64(r.attempts))
	to.num(int64(r.made))
	to.num(int64(r.releases))
	to.key(r.k)
}

// loggedAttempt is a row of InsertAttempts.
type loggedAttempt struct {
	k      key
	number int
	*webhook.Attempt
}

func (a loggedAttempt) encode(to encoder) {
	to.key(a.k)
	to.num(int64(a.number))
	to.text(a.ID)
	to.num(toMicros(a.At))
	to.num(int64(a.Duration))
	to.num(int64(a.StatusCode))
	to.text(string(a.Failure))
	to.text(a.Detail)
	to.num(a.Revision)
	to.text(a.Location)
	to.blob(notNil(a.ResponseBody))
}

// success is a row of Record: a delivery that its attempt delivered.
type success struct {
	item
	now int64
}

func (s success) encode(to encoder) {
	to.key(s.k)
	to.num(int64(s.Token))
	to.num(s.now)
	to.text(s.Attempt.ID)
	encodeOutcome(to, s.Attempt, notNil(s.Attempt.ResponseBody))
}

// successOf is a row of Changing: whether a success changes the endpoint, whose
// times are as old as since, and whose pace it tells.
type successOf struct {
	endpoint, since int64
	pace            webhook.Pace
}

func (s successOf) encode(to encoder) {
	to.num(s.endpoint)
	to.num(s.since)
	to.num(int64(s.pace))
}

// healthChange is a row of SetHealth.
type healthChange struct {
	*health
	moving bool // its deliveries have to follow it
}

func (h healthChange) encode(to encoder) {
	to.num(int64(h.status))
	to.num(int64(boolNumber(h.moving)))
	to.num(h.version)
	to.num(h.generation)
	to.text(h.reason)
	to.num(h.disabledAt)
	to.num(int64(h.failures))
	to.num(h.since)
	to.num(h.triggered)
	to.num(h.success)
	to.num(h.failure)
	if h.last == nil {
		to.null() // it stays
	} else {
		to.text(toJSON(h.last))
	}
	to.num(int64(h.pace))
	to.num(int64(h.pauses))
	to.num(h.pausedUntil)
	to.num(h.probeAt)
	to.num(h.probeToken)
	to.num(h.num)
}

// listed is a row of InsertHistory and DropHistory.
type listed struct {
	endpoint int64
	k        key
}

func (l listed) encode(to encoder) {
	to.num(l.endpoint)
	to.key(l.k)
}

// eventOf is a row of DeliveriesOf: an event, and an endpoint that may have it.
type eventOf struct {
	event    key
	endpoint int64
}

func (e eventOf) encode(to encoder) {
	to.key(e.event)
	to.num(e.endpoint)
}

// The rows of PostgreSQL's own statements.

// newDelivery is a row of postgresEnqueue.
type newDelivery struct {
	k, event        key
	endpoint, state int64
}

func (d newDelivery) encode(to encoder) {
	to.key(d.k)
	to.key(d.event)
	to.num(d.endpoint)
	to.num(d.state)
}

// eventWithout is a row of postgresEnqueue: an event without deliveries.
type eventWithout struct {
	account string
	event   key
}

func (e eventWithout) encode(to encoder) {
	to.text(e.account)
	to.key(e.event)
}

// accountVersion is a row of postgresEnqueue: the version that an account must have.
type accountVersion struct {
	account string
	version int64
}

func (a accountVersion) encode(to encoder) {
	to.text(a.account)
	to.num(a.version)
}

// chosenRow is a row of postgresLease.
type chosenRow struct {
	k     key
	state int64
	at    string
}

func (r chosenRow) encode(to encoder) {
	to.key(r.k)
	to.num(r.state)
	to.text(cmp.Or(r.at, "(0,0)")) // where no row ever is
}

// delivered is a row of postgresDelivered.
type delivered struct{ item }

func (d delivered) encode(to encoder) {
	a := d.Attempt
	to.key(d.k)
	to.num(int64(d.Token))
	to.num(d.Generation)
	to.text(a.ID)
	to.num(toMicros(a.At))
	to.num(int64(a.Duration))
	to.num(int64(a.StatusCode))
	to.num(int64(d.Pace))
	to.num(a.Revision)
	to.blob(a.ResponseBody)
}

// A lease that is finishing is a row of postgresDelivered.
func (f finishing) encode(to encoder) {
	f.lease.encode(to)
	to.num(int64(f.n))
}
