package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/ringyo-ai/webhook"
)

// Enqueue implements [webhook.Enqueuer].
func (s *Store) Enqueue(ctx context.Context, r webhook.EnqueueRequest) (webhook.Enqueued, error) {
	if err := checkTerms(r.Handoff); err != nil {
		return webhook.Enqueued{}, err
	}
	in := s.newIntake(r)
	if in.variants {
		return oneByOne(ctx, s, r)
	}
	if err := s.meet(ctx, s.db); err != nil {
		return webhook.Enqueued{}, s.failed("enqueue", err)
	}
	if s.dialect.enqueue != nil {
		if done, err := s.dialect.enqueue(ctx, s, in); done || err != nil {
			return in.enqueued(s.failed("enqueue", err))
		}
	}
	err := s.write(ctx, func(t *txn) error {
		in.restart()
		return in.run(ctx, t)
	})
	if ofOneGroup(err) && len(r.Groups) > 1 {
		return oneByOne(ctx, s, r)
	}
	return in.enqueued(s.failed("enqueue", err))
}

// ofOneGroup reports whether an error concerns what one group holds, which the
// others of the call can be stored without.
func ofOneGroup(err error) bool { return kindOf(err) == kindData || errors.Is(err, errInvisible) }

// enqueuer stores events in a transaction of the caller.
type enqueuer struct {
	s  *Store
	tx Tx
}

// Enqueue implements [webhook.Enqueuer]. The transaction is the caller's: what
// fails is not repeated, and nothing is handed off, since nobody may send before
// the commit.
func (e *enqueuer) Enqueue(ctx context.Context, r webhook.EnqueueRequest) (webhook.Enqueued, error) {
	if e.tx == nil {
		return webhook.Enqueued{}, e.s.failed("enqueue", errTxArgument)
	}
	in := e.s.newIntake(webhook.EnqueueRequest{Groups: r.Groups})
	if in.variants {
		return oneByOne(ctx, e, r)
	}
	if err := e.s.meet(ctx, e.tx); err != nil {
		return webhook.Enqueued{}, e.s.failed("enqueue in the caller's transaction", err)
	}
	in.restart()
	return in.enqueued(e.s.failed("enqueue in the caller's transaction", in.run(ctx, &txn{s: e.s, q: e.tx})))
}

// oneByOne enqueues the groups of a call that has an id with several contents:
// which of them counts depends on which of the groups before can be stored. And
// those of a call of which the database refuses something, so that the others are
// stored. Nothing of it is handed off.
func oneByOne(ctx context.Context, q webhook.Enqueuer, r webhook.EnqueueRequest) (all webhook.Enqueued, err error) {
	for _, group := range r.Groups {
		one, err := q.Enqueue(ctx, webhook.EnqueueRequest{Groups: [][]webhook.EventRecord{group}})
		switch {
		case err != nil && ofOneGroup(err) && len(r.Groups) > 1:
			all.Errs = append(all.Errs, err)
			continue
		case err != nil && len(all.Errs) > 0: // some may be stored
			return webhook.Enqueued{}, errors.Join(webhook.ErrUnknownOutcome, err)
		case err != nil:
			return webhook.Enqueued{}, err
		}
		all.Errs = append(all.Errs, one.Errs...)
		all.Ready += one.Ready
		all.Held += one.Held
		all.Now = one.Now
	}
	return all, nil
}

// intake is one Enqueue call at work.
type intake struct {
	s        *Store
	terms    webhook.LeaseTerms
	errs     []error     // per group
	bad      []error     // of them, what no attempt changes
	events   []*newEvent // each id once
	asked    bool        // Room was
	bytes    int         // of what is handed off
	full     bool        // nothing more is handed off
	ready    int
	held     int
	leased   []handed
	handed   int // leased ones, those included that could not be handed out
	micros   int64
	token    int64
	targets  map[int64]*webhook.Target
	variants bool // some id has several contents
}

// newEvent is an event to be stored.
type newEvent struct {
	rec    webhook.EventRecord
	k      key
	groups []int // that have it
	fresh  bool  // inserted by this call
	found  bool  // there already
}

// handed is a delivery leased to the caller.
type handed struct {
	k        key
	event    *newEvent
	endpoint int64
	version  int64
}

func (s *Store) newIntake(r webhook.EnqueueRequest) *intake {
	in := &intake{s: s, terms: r.Handoff, bad: make([]error, len(r.Groups))}
	byID := make(map[[2]string]*newEvent)
	for g, group := range r.Groups {
		in.bad[g] = in.add(byID, g, group)
	}
	kept := in.events[:0]
	for _, ev := range in.events {
		if ev.wanted(in.bad) {
			kept = append(kept, ev)
		}
	}
	in.events = kept
	return in
}

// add takes one group in, unless something in it can never be stored. An id that
// an earlier group of the call has is that group's.
func (in *intake) add(byID map[[2]string]*newEvent, g int, group []webhook.EventRecord) error {
	for i, rec := range group {
		if err := checkEvent(i, rec); err != nil {
			return err
		}
		id := [2]string{rec.AccountID, rec.ID}
		old := byID[id]
		switch {
		case old == nil || !old.wanted(in.bad):
			ev := &newEvent{rec: rec, k: eventKey(rec.AccountID, rec.ID), groups: []int{g}}
			byID[id] = ev
			in.events = append(in.events, ev)
		case !same(&old.rec, &rec):
			in.variants = in.variants || old.groups[0] != g || len(old.groups) > 1
			return webhook.ErrIDConflict
		default:
			old.groups = append(old.groups, g)
		}
	}
	return nil
}

// wanted reports whether some group that has the event did not fail.
func (ev *newEvent) wanted(errs []error) bool {
	return slices.ContainsFunc(ev.groups, func(g int) bool { return errs[g] == nil })
}

func checkEvent(i int, rec webhook.EventRecord) error {
	return errors.Join(
		checkText(fmt.Sprintf("events[%d].ID", i), rec.ID, maxID),
		checkText(fmt.Sprintf("events[%d].AccountID", i), rec.AccountID, maxAccount),
		checkText(fmt.Sprintf("events[%d].Type", i), string(rec.Type), maxType))
}

// stored reports whether b is the stored event a, as far as that is known: one without
// data was redacted.
func stored(a, b *webhook.EventRecord) bool {
	if len(a.Data) == 0 {
		c := *b
		c.Data = nil
		b = &c
	}
	return same(a, b)
}

// same reports whether b is a as it was first given. Stored times have whole
// microseconds. Two events with one key but not one id are not the same either.
func same(a, b *webhook.EventRecord) bool {
	return a.ID == b.ID && a.AccountID == b.AccountID && a.Type == b.Type && a.Timestamp.UnixMicro() == b.Timestamp.UnixMicro() && bytes.Equal(a.Data, b.Data)
}

// restart forgets what an attempt that was rolled back found.
func (in *intake) restart() {
	in.errs = append(in.errs[:0], in.bad...)
	if in.asked {
		in.terms.Room.Reset()
	}
	in.asked, in.bytes, in.full = false, 0, false
	in.ready, in.held, in.leased, in.handed = 0, 0, nil, 0
	in.token = newToken()
	for _, ev := range in.events {
		ev.fresh, ev.found = false, false
	}
}

func (in *intake) byKey() map[key]*newEvent {
	m := make(map[key]*newEvent, len(in.events))
	for _, ev := range in.events {
		m[ev.k] = ev
	}
	return m
}

// newToken makes a lease token. 0 means no lease.
func newToken() int64 { return rand.Int64N(1<<62) + 1 } // #nosec G404 -- has to differ, not to be secret

// run stores everything in the transaction.
func (in *intake) run(ctx context.Context, t *txn) error {
	if len(in.events) == 0 {
		return nil
	}
	now, err := t.clock(ctx)
	if err != nil {
		return err
	}
	in.micros = now
	if err := in.s.dialect.insertEvents(ctx, t, in); err != nil {
		return err
	}
	if err := in.compare(ctx, t); err != nil {
		return err
	}
	if err := in.fanOut(ctx, t); err != nil || !in.s.dialect.history {
		return err
	}
	return in.s.listEvents(ctx, t, len(in.events))
}

// compare looks at what was there already. A group that has other content under
// a used id stores nothing: what was inserted for it is taken out again, which
// leaves a caller's transaction usable.
func (in *intake) compare(ctx context.Context, t *txn) error {
	byKey := make(map[key]*newEvent)
	var keys []key
	for _, ev := range in.events {
		if !ev.fresh {
			byKey[ev.k] = ev
			keys = append(keys, ev.k)
		}
	}
	err := t.queryAll(ctx, in.s.sql.ReadEvents.of(keys), func(r *sql.Rows) error {
		var k key
		old, bad, err := scanReadable(r, &k)
		if err != nil {
			return err
		}
		ev := byKey[k]
		if ev == nil {
			return nil
		}
		ev.found = true
		if bad != nil || !stored(&old, &ev.rec) { // a damaged row concerns those alone who use its id again
			for _, g := range ev.groups {
				in.errs[g] = webhook.ErrIDConflict
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return in.drop(ctx, t)
}

// drop takes out what was inserted for groups that failed.
func (in *intake) drop(ctx context.Context, t *txn) error {
	var keys []key
	for _, ev := range in.events {
		switch {
		case !ev.fresh && !ev.found:
			return errInvisible
		case ev.fresh && !ev.wanted(in.errs):
			keys = append(keys, ev.k)
			ev.fresh = false
		}
	}
	return in.s.dropEvents(ctx, t, keys)
}

// errInvisible means that an id is used by something that this transaction
// cannot see: a caller's transaction at REPEATABLE READ that began before.
var errInvisible = errors.New("an event with this id was stored by a transaction that this one cannot see: repeat in a new one")

// fanOut creates the deliveries.
func (in *intake) fanOut(ctx context.Context, t *txn) error {
	m, err := in.matches(ctx, t)
	if err != nil {
		return err
	}
	f := in.match(m)
	if err := in.park(ctx, t, f.deliveries); err != nil {
		return err
	}
	due := later(in.micros, in.terms.Lease)
	deliveries, queue := make([]createdDelivery, len(f.deliveries)), make([]queuePlace, 0, len(f.deliveries))
	for i, d := range f.deliveries {
		deliveries[i] = createdDelivery{k: d.k, event: d.event, endpoint: d.endpoint, status: statusQueued, created: in.micros}
		if d.state == stateHanded {
			deliveries[i].status, deliveries[i].token, deliveries[i].ends = statusLeased, in.token, due
			continue
		}
		queue = append(queue, queuePlace{d.k, d.endpoint, d.state, in.micros})
	}
	without := make([]unmatched, len(f.unmatched))
	for i, u := range f.unmatched {
		without[i] = unmatched{u.account, in.micros, u.event}
	}
	sq := in.s.sql
	if err := in.s.insertDeliveries(ctx, t, deliveries); err != nil {
		return err
	}
	if err := t.execAll(ctx, sq.InsertQueue.of(queue), sq.InsertUnmatched.of(without)); err != nil {
		return err
	}
	if len(in.leased) > 0 {
		if err := t.exec(ctx, sq.InsertLease, due, in.token, int64(in.terms.Process), in.leasedKeys()); err != nil {
			return err
		}
	}
	in.handed = len(in.leased)
	return in.readTargets(ctx, t)
}

// leasedKeys returns the deliveries that are handed off, as a lease holds them.
func (in *intake) leasedKeys() []byte {
	keys := make([]key, len(in.leased))
	for i, h := range in.leased {
		keys[i] = h.k
	}
	return joinKeys(keys)
}

// stateHanded is the state of a new delivery that is leased to the caller, and so
// does not go to the queue.
const stateHanded = 1

// readTargets reads where the deliveries go that are handed off.
func (in *intake) readTargets(ctx context.Context, t *txn) (err error) {
	want := make(map[int64]int64, len(in.leased))
	for _, h := range in.leased {
		want[h.endpoint] = h.version
	}
	in.targets, err = in.s.targetsOf(ctx, t, want)
	return err
}

// place decides on the state of a new delivery.
func (in *intake) place(k key, ev *newEvent, sub subscriber) (state int64) {
	switch {
	case sub.status == endpointInactive:
		in.held++
		return stateHeld
	case in.hasRoom(ev, sub):
		in.leased = append(in.leased, handed{k: k, event: ev, endpoint: sub.num, version: sub.version})
		return stateHanded
	}
	in.ready++
	if isPaused(sub.status) {
		return stateParked
	}
	return stateReady
}

// hasRoom reports whether the caller takes the delivery. Once one was too large, it
// takes no more, since a later one would overtake it.
func (in *intake) hasRoom(ev *newEvent, sub subscriber) bool {
	n := len(ev.rec.Data)
	switch {
	case isPaused(sub.status) || sub.version == unknownVersion || len(in.leased) >= in.terms.Max || in.full:
		return false
	case in.terms.MaxBytes > 0 && len(in.leased) > 0 && in.bytes+n > in.terms.MaxBytes:
		in.full = true
		return false
	}
	in.asked = true
	of := webhook.Candidate{EndpointID: sub.id, AccountID: ev.rec.AccountID, Pace: sub.paceNow(), Bytes: n}
	if in.terms.Room.Take(of, 1) < 1 {
		return false
	}
	in.bytes += n
	return true
}

// park makes the parked ones among new deliveries ready, if there is nothing else to
// probe their endpoints with: see parkedAt.
func (in *intake) park(ctx context.Context, t *txn, deliveries []newDelivery) error {
	var nums []number
	asked := make(map[int64]bool)
	for _, d := range deliveries {
		if d.state == stateParked && !asked[d.endpoint] {
			asked[d.endpoint] = true
			nums = append(nums, number(d.endpoint))
		}
	}
	if len(nums) == 0 {
		return nil
	}
	states, err := in.s.parkedAt(ctx, t, nums)
	for i, d := range deliveries {
		if d.state == stateParked {
			deliveries[i].state = states[d.endpoint]
		}
	}
	return err
}

// enqueued makes what Enqueue returns, once everything is committed.
func (in *intake) enqueued(err error) (webhook.Enqueued, error) {
	if err != nil {
		return webhook.Enqueued{}, err
	}
	in.s.leases.add(in.micros, lease{due: later(in.micros, in.terms.Lease), token: in.token}, in.handed)
	out := webhook.Enqueued{Errs: in.errs, Ready: in.ready, Held: in.held, Now: fromMicros(in.micros)}
	records := make(map[*newEvent]*webhook.EventRecord, len(in.leased))
	for _, h := range in.leased {
		rec := records[h.event]
		if rec == nil {
			rec = new(webhook.EventRecord)
			*rec = h.event.rec
			rec.Data = bytes.Clone(rec.Data) // the caller may use its own again
			rec.Timestamp = rec.Timestamp.UTC()
			rec.CreatedAt = out.Now
			records[h.event] = rec
		}
		out.Leased = append(out.Leased, webhook.Leased{
			DeliveryID: h.k.id(), Token: webhook.LeaseToken(in.token), Event: rec, Target: in.targets[h.endpoint],
		})
	}
	return out, nil
}
