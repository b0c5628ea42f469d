package memstore

import (
	"container/list"
	"maps"
	"slices"
	"time"

	"github.com/ringyo-ai/webhook"
)

// account is one customer: its endpoints, who of them subscribed to what, and
// its events.
type account struct {
	id          string
	live        int // endpoints not deleted
	endpoints   history[*endpoint]
	subscribers map[webhook.EventType][]*endpoint // by pattern
	events      map[string]*event
	timeline    history[*event]
	log         history[*delivery]
}

type endpoint struct {
	rec     webhook.EndpointRecord
	target  *webhook.Target // rec as shared with the callers; replaced, never changed
	seq     uint64
	acc     *account
	deleted bool
	ended   int64 // Unix nanoseconds: when it was deleted

	revised   int64 // the first Revision that was sent to as it is now
	revisedAt time.Time
	revisions []webhook.EndpointRevision // before that, oldest first
	tallies   map[int64]*webhook.Tally   // by the Unix seconds of their hour

	ready, begun queue // both of the phase ready: not yet attempted on their schedule, and attempted
	held         queue
	counts       [phases]int
	log          history[*delivery]
	turn         *list.Element // in Store.turns
	moving       bool          // in Store.moving
	cancelled    uint64        // of a deleted one: the newest delivery that Maintain has looked at

	// While it is paused; see Store.place.
	pauses  int           // in a row
	probed  *delivery     // leased as its latest probe
	probeAt int64         // Unix nanoseconds: when the next one may be
	pausing int           // in Store.pauses, until then, or notPausing
	probe   *list.Element // in Store.probes, from then on

	// While its failures have it disabled and it is to recover; rec.TrialAt is when the
	// next trial is due. A trial is a probe of a delivery that is held.
	trials int // the number of the next one; 0: it does not recover
}

type event struct {
	rec        webhook.EventRecord // never changed once stored, so that it can be shared
	seq        uint64
	acc        *account
	deliveries history[*delivery]
	first      [1]*delivery // room for deliveries, most have one
	purged     bool
	redacted   bool
	unheard    *list.Element // in Store.unheard
}

type delivery struct {
	id  string
	seq uint64
	ep  *endpoint
	ev  *event

	phase     phase
	purged    bool
	pos       int   // in the queue of its phase
	due       int64 // Unix nanoseconds; end of the lease while leased
	token     webhook.LeaseToken
	process   webhook.ProcessID // whose lease it is; 0 for none
	attempts  int
	releases  int
	expired   int
	reason    webhook.DeliveryReason
	created   int64 // Unix nanoseconds
	completed int64 // likewise; 0 while not finished
	log       []webhook.Attempt

	older, newer *delivery // in Store.finished
}

func (e *endpoint) order() uint64 { return e.seq }
func (e *endpoint) gone() bool    { return e.deleted }
func (e *event) order() uint64    { return e.seq }
func (e *event) gone() bool       { return e.purged }
func (d *delivery) order() uint64 { return d.seq }
func (d *delivery) gone() bool    { return d.purged }

// phase is the state of a delivery. The public status is coarser.
type phase uint8

const (
	ready   phase = iota // in endpoint.ready or endpoint.begun
	waiting              // in Store.timers, for a retry
	leased               // in Store.timers, for the end of its lease
	held                 // in endpoint.held
	delivered
	exhausted
	cancelled
	phases // their number
)

func (p phase) ended() bool { return p >= delivered }

func (p phase) status() webhook.DeliveryStatus {
	switch p {
	case held:
		return webhook.DeliveryHeld
	case delivered:
		return webhook.DeliveryDelivered
	case exhausted:
		return webhook.DeliveryExhausted
	case cancelled:
		return webhook.DeliveryCancelled
	default:
		return webhook.DeliveryPending
	}
}

// endedWithItsEndpoint reports whether it was unfinished when its endpoint was deleted,
// whether or not Maintain got to recording that.
func (d *delivery) endedWithItsEndpoint() bool {
	return d.ep.deleted && (!d.phase.ended() || d.reason == webhook.ReasonEndpointDeleted)
}

func (d *delivery) status() webhook.DeliveryStatus {
	if d.endedWithItsEndpoint() {
		return webhook.DeliveryCancelled
	}
	return d.phase.status()
}

// active reports whether deliveries of the endpoint may be claimed.
func (e *endpoint) active() bool {
	return !e.deleted && e.rec.Status != webhook.EndpointInactive
}

// refresh makes the Target again after a change of the configuration or the
// generation. Leases given before keep the old one.
func (e *endpoint) refresh() {
	e.target = &webhook.Target{
		EndpointID: e.rec.ID,
		AccountID:  e.rec.AccountID,
		URL:        e.rec.URL,
		Headers:    maps.Clone(e.rec.Headers),
		Secrets:    slices.Clone(e.rec.Secrets),
		Generation: e.rec.Generation,
		Revision:   e.rec.Revision,
	}
}

func cloneEndpoint(r webhook.EndpointRecord) webhook.EndpointRecord {
	r.Events = slices.Clone(r.Events)
	r.Metadata = maps.Clone(r.Metadata)
	r.Headers = maps.Clone(r.Headers)
	r.HeaderNames = slices.Clone(r.HeaderNames)
	r.Secrets = slices.Clone(r.Secrets)
	return r
}

func cloneEvent(r webhook.EventRecord) webhook.EventRecord {
	r.Data = slices.Clone(r.Data)
	return r
}

func cloneAttempt(a webhook.Attempt) webhook.Attempt {
	a.ResponseBody = slices.Clone(a.ResponseBody)
	return a
}

// public returns the delivery as the log shows it.
func (d *delivery) public() webhook.Delivery {
	p := webhook.Delivery{
		ID:         d.id,
		AccountID:  d.ev.rec.AccountID,
		EndpointID: d.ep.rec.ID,
		EventID:    d.ev.rec.ID,
		EventType:  d.ev.rec.Type,
		Status:     d.status(),
		Reason:     d.reason,
		Attempts:   len(d.log),
		CreatedAt:  time.Unix(0, d.created).UTC(),
	}
	switch {
	case d.endedWithItsEndpoint():
		p.Reason, p.CompletedAt = webhook.ReasonEndpointDeleted, time.Unix(0, d.ep.ended).UTC()
	case d.phase.ended():
		p.CompletedAt = time.Unix(0, d.completed).UTC()
	}
	if p.Status == webhook.DeliveryPending {
		p.NextAttemptAt = time.Unix(0, d.due).UTC()
	}
	return p
}
