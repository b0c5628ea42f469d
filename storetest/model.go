package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ringyo-ai/webhook"
)

// Times in the model: everything begins at a multiple of tick and is due half a
// tick beside one, so that the real time which passes meanwhile, on a slow
// database, decides nothing.
const (
	tick       = 10 * time.Minute
	modelLease = 65 * time.Minute
	disableAt  = 3
	modelSteps = 200
	modelSeeds = 3
)

var modelRules = []rule{{
	name:     "RandomHistoriesMatchTheModel",
	sentence: "After any sequence of calls every delivery and every endpoint is in the state that the contract says.",
	run: func(e *env) {
		for seed := range uint64(modelSeeds) {
			own := *e
			own.store = e.h.New(e.TB)
			m := newModel(&own, seed)
			for step := range modelSteps {
				m.step()
				if step%10 == 9 {
					m.compare()
				}
				if e.Failed() {
					e.Fatalf("seed %d, after these steps: %v", seed, m.trace)
				}
			}
			m.finish()
			if e.Failed() {
				e.Fatalf("seed %d, at its end, after these steps: %v", seed, m.trace)
			}
		}
	},
}}

type modelState int

const (
	mReady modelState = iota
	mWaiting
	mLeased
	mHeld
	mDelivered
	mExhausted
	mCancelled
)

func (s modelState) ended() bool { return s >= mDelivered }

// model is the contract as a few maps, without batches, indexes or clocks.
type model struct {
	*env
	rnd       *rand.Rand
	now       time.Duration
	endpoints []*modelEndpoint
	all       []*modelDelivery
	events    []webhook.EventRecord
	stale     []webhook.Leased // leases that are over
	cursor    string
	trace     []string
}

type modelEndpoint struct {
	id          string
	types       []webhook.EventType
	on, deleted bool
	failing     bool
	failures    int
	generation  int
}

type modelDelivery struct {
	ep       *modelEndpoint
	event    string
	state    modelState
	due      time.Duration
	early    bool // waiting, but its endpoint was inactive: it may have been held and released
	attempts int
	releases int
	expired  int
	rows     int
	lease    webhook.Leased
	leaseGen int
}

func newModel(e *env, seed uint64) *model {
	m := &model{env: e, rnd: rand.New(rand.NewPCG(seed, 1))} // #nosec G404 -- a test that can be repeated
	for range 3 {
		m.addEndpoint()
	}
	return m
}

var modelTypes = []webhook.EventType{webhook.EventCallCompleted, webhook.EventCallFailed, webhook.EventCreditsLow}

func (m *model) addEndpoint() {
	ep := &modelEndpoint{
		id: fmt.Sprint("wh_", len(m.endpoints)), on: true,
		types: [][]webhook.EventType{{"*"}, {"call.*"}, {"call.failed", "credits.low"}}[m.rnd.IntN(3)],
	}
	m.endpoint(ep.id, ep.types...)
	m.endpoints = append(m.endpoints, ep)
}

func (ep *modelEndpoint) matches(t webhook.EventType) bool {
	for _, p := range t.Patterns() {
		if slices.Contains(ep.types, p) {
			return true
		}
	}
	return false
}

// step does one random thing, in the store and in the model.
func (m *model) step() {
	m.Helper()
	steps := []struct {
		weight int
		name   string
		do     func()
	}{
		{25, "emit", m.emitSome},
		{5, "repeat", m.repeat},
		{25, "claim", m.claimSome},
		{30, "settle", m.settleSome},
		{5, "settle stale", m.settleStale},
		{12, "advance", m.pass},
		{8, "disable", m.switchOff},
		{8, "enable", m.switchOn},
		{2, "rotate", m.rotate},
		{2, "delete", m.deleteOne},
		{2, "create", m.addEndpoint},
		{4, "redeliver", m.redeliverOne},
		{2, "replay", m.replayOne},
	}
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	n := m.rnd.IntN(total)
	for _, s := range steps {
		if n -= s.weight; n < 0 {
			m.trace = append(m.trace, s.name)
			s.do()
			break
		}
	}
	m.maintain()
	m.settleDown()
}

// settleDown is what Maintain does.
func (m *model) settleDown() {
	for _, d := range m.all {
		if d.state.ended() {
			continue
		}
		if (d.state == mWaiting || d.state == mLeased) && d.due <= m.now {
			if d.state == mLeased {
				d.expired++
				m.stale = append(m.stale, d.lease)
			}
			d.state = mReady
		}
		if d.state == mReady || d.state == mHeld {
			switch {
			case d.ep.deleted:
				d.state = mCancelled
			case d.ep.on:
				d.state = mReady
			default:
				d.state = mHeld
			}
		}
		if d.state != mWaiting {
			d.early = false
		} else if !d.ep.on {
			d.early = true
		}
	}
}

func (m *model) emitSome() {
	ev := event(fmt.Sprint("evt_", len(m.events)))
	ev.Type = modelTypes[m.rnd.IntN(len(modelTypes))]
	m.events = append(m.events, ev)
	room := m.rnd.IntN(3)
	t := terms(room, 1+m.rnd.IntN(2))
	t.Lease = modelLease
	r := m.groups(m.store, t, []webhook.EventRecord{ev})
	m.must("Enqueue", r.Errs[0])
	on, off := 0, 0
	for _, ep := range m.endpoints {
		if ep.deleted || !ep.matches(ev.Type) {
			continue
		}
		m.all = append(m.all, &modelDelivery{ep: ep, event: ev.ID})
		if ep.on {
			on++
		} else {
			off++
		}
	}
	same(m.env, "handed off", len(r.Leased), min(room, on))
	same(m.env, "Ready", r.Ready, on-len(r.Leased))
	same(m.env, "Held", r.Held, off)
	m.leaseAll(r.Leased)
}

// repeat emits an old event again, unchanged or changed.
func (m *model) repeat() {
	if len(m.events) == 0 {
		return
	}
	ev := m.events[m.rnd.IntN(len(m.events))]
	changed := m.rnd.IntN(2) == 0
	if changed {
		ev.Data = []byte(`"changed"`)
	}
	r := m.groups(m.store, terms(5, 5), []webhook.EventRecord{ev})
	if changed {
		m.wantErr("changed event", r.Errs[0], webhook.ErrIDConflict)
	} else {
		m.must("repeated event", r.Errs[0])
	}
	same(m.env, "deliveries of a repeated event", len(r.Leased)+r.Ready+r.Held, 0)
}

// leaseAll checks that each lease is one that the model allows, and notes it.
func (m *model) leaseAll(leased []webhook.Leased) {
	m.Helper()
	for _, l := range leased {
		d := m.find(l.Target.EndpointID, l.Event.ID)
		if d == nil {
			m.Errorf("leased %s to %s, which is not in the model", l.Event.ID, l.Target.EndpointID)
			continue
		}
		m.check(d.state == mReady || d.early, "leased %s to %s in state %d", d.event, d.ep.id, d.state)
		m.check(d.ep.on && !d.ep.deleted, "leased %s to %s, which is off or deleted", d.event, d.ep.id)
		same(m.env, "Attempts", l.Attempts, d.attempts)
		same(m.env, "Releases", l.Releases, d.releases)
		same(m.env, "Expired", l.Expired, d.expired)
		d.state, d.due, d.lease, d.leaseGen = mLeased, m.now+modelLease, l, d.ep.generation
	}
}

func (m *model) find(endpoint, event string) *modelDelivery {
	for _, d := range m.all {
		if d.ep.id == endpoint && d.event == event {
			return d
		}
	}
	return nil
}

func (m *model) claimSome() {
	n, per := 1+m.rnd.IntN(8), 1+m.rnd.IntN(3)
	least, most := 0, 0
	for _, ep := range m.endpoints {
		ready, early := 0, 0
		for _, d := range m.all {
			switch {
			case d.ep != ep || !ep.on || ep.deleted:
			case d.state == mReady:
				ready++
			case d.early:
				early++
			}
		}
		least += min(per, ready)
		most += min(per, ready+early)
	}
	t := terms(n, per)
	t.Lease = modelLease
	c := m.claimFrom(m.cursor, t)
	m.cursor = c.Cursor
	got := len(c.Deliveries)
	m.check(got >= min(n, least) && got <= min(n, most), "claimed %d, want %d to %d", got, min(n, least), min(n, most))
	m.leaseAll(c.Deliveries)
}

// pick answers a random delivery of those that fit, or nil.
func (m *model) pick(fits func(*modelDelivery) bool) *modelDelivery {
	var some []*modelDelivery
	for _, d := range m.all {
		if fits(d) {
			some = append(some, d)
		}
	}
	if len(some) == 0 {
		return nil
	}
	return some[m.rnd.IntN(len(some))]
}

func (m *model) settleSome() {
	d := m.pick(func(d *modelDelivery) bool { return d.state == mLeased })
	if d == nil {
		return
	}
	outcomes := []webhook.Outcome{
		webhook.OutcomeDelivered, webhook.OutcomeDelivered, webhook.OutcomeRetry, webhook.OutcomeRetry,
		webhook.OutcomeExhausted, webhook.OutcomeExhausted, webhook.OutcomeReleased, webhook.OutcomeReleased, webhook.OutcomeGone,
	}
	s := result(d.lease, outcomes[m.rnd.IntN(len(outcomes))])
	if m.rnd.IntN(4) > 0 && s.Outcome == webhook.OutcomeGone {
		s = result(d.lease, webhook.OutcomeExhausted)
	}
	s.Delay = time.Duration(m.rnd.IntN(4))*tick + tick/2
	if s.Outcome == webhook.OutcomeReleased && m.rnd.IntN(2) == 0 {
		s.Delay = 0
	}
	if s.Outcome == webhook.OutcomeExhausted {
		s.Counts, s.DisableAfter = m.rnd.IntN(4) > 0, disableAt*m.rnd.IntN(2)
	}
	m.trace = append(m.trace, fmt.Sprintf("outcome %d of %s", s.Outcome, d.ep.id))
	r := m.settle(s)
	if d.ep.deleted { // the store may have cancelled it already
		m.check(r.Results[0].Status != webhook.SettleFailed, "Settle after a deletion failed: %v", r.Results[0].Err)
	} else {
		same(m.env, "Settle", r.Results[0].Status, webhook.SettleApplied)
	}
	m.stale = append(m.stale, d.lease)
	m.apply(d, s)
	m.applyToEndpoint(d, s, r.Failing)
}

// apply is what a settlement does to its delivery.
func (m *model) apply(d *modelDelivery, s webhook.Settlement) {
	if s.Attempt != nil {
		d.rows++
	}
	d.expired = 0
	if s.Outcome == webhook.OutcomeReleased {
		if s.Delay > 0 {
			d.releases++
		}
	} else {
		d.attempts++
		d.releases = 0
	}
	d.due = m.now + s.Delay
	switch s.Outcome {
	case webhook.OutcomeDelivered:
		d.state = mDelivered
	case webhook.OutcomeExhausted, webhook.OutcomeGone:
		d.state = mExhausted
	default:
		d.state = mWaiting
	}
}

// applyToEndpoint is what a settlement does to its endpoint.
func (m *model) applyToEndpoint(d *modelDelivery, s webhook.Settlement, failing []webhook.EndpointFailures) {
	ep := d.ep
	want := webhook.DisabledReason("")
	if ep.deleted || d.leaseGen != ep.generation {
		same(m.env, "Failing of an old generation", len(failing), 0)
		return
	}
	if s.Outcome == webhook.OutcomeDelivered {
		ep.failures, ep.failing = 0, false
	} else if s.Attempt != nil {
		ep.failing = true
	}
	if s.Counts {
		ep.failures++
		if s.DisableAfter > 0 && ep.failures >= s.DisableAfter {
			want = webhook.DisabledFailing
		}
	}
	if s.Outcome == webhook.OutcomeGone {
		want = webhook.DisabledGone
	}
	got := webhook.EndpointFailures{}
	if len(failing) > 0 {
		got = failing[0]
	}
	same(m.env, "Disabled", got.Disabled, want)
	if s.Counts {
		same(m.env, "Failures", got.Failures, ep.failures)
	}
	if want != "" {
		ep.on = false
		ep.generation++
	}
}

// settleStale settles a lease that is over.
func (m *model) settleStale() {
	if len(m.stale) == 0 {
		return
	}
	l := m.stale[m.rnd.IntN(len(m.stale))]
	d := m.find(l.Target.EndpointID, l.Event.ID)
	s := result(l, []webhook.Outcome{webhook.OutcomeDelivered, webhook.OutcomeRetry, webhook.OutcomeExhausted}[m.rnd.IntN(3)])
	got := m.settle(s).Results[0].Status
	if s.Outcome != webhook.OutcomeDelivered || d.state == mDelivered {
		same(m.env, "stale Settle", got, webhook.SettleStale)
		return
	}
	same(m.env, "late success", got, webhook.SettleApplied)
	if d.state == mLeased {
		m.stale = append(m.stale, d.lease)
	}
	m.apply(d, s)
	if gen := m.generation(d.ep); gen == l.Target.Generation {
		d.ep.failures, d.ep.failing = 0, false
	}
}

// generation answers the store's generation of the endpoint, 0 when deleted.
func (m *model) generation(ep *modelEndpoint) int64 {
	if ep.deleted {
		return 0
	}
	return m.get(ep.id).Generation
}

func (m *model) pass() {
	d := tick * time.Duration(1+m.rnd.IntN(4))
	m.now += d
	m.h.Advance(m.TB, m.store, d)
}

func (m *model) endpointThat(fits func(*modelEndpoint) bool) *modelEndpoint {
	var some []*modelEndpoint
	for _, ep := range m.endpoints {
		if !ep.deleted && fits(ep) {
			some = append(some, ep)
		}
	}
	if len(some) == 0 {
		return nil
	}
	return some[m.rnd.IntN(len(some))]
}

func (m *model) switchOff() {
	if ep := m.endpointThat(func(ep *modelEndpoint) bool { return ep.on }); ep != nil {
		m.disable(ep.id)
		ep.on = false
		ep.fresh()
	}
}

func (m *model) switchOn() {
	if ep := m.endpointThat(func(ep *modelEndpoint) bool { return !ep.on }); ep != nil {
		m.enable(ep.id)
		ep.on = true
		ep.fresh()
	}
}

func (m *model) rotate() {
	if ep := m.endpointThat(func(ep *modelEndpoint) bool { return true }); ep != nil {
		m.update(ep.id, true, func(r *webhook.EndpointRecord) {
			r.Secrets = append([]webhook.EndpointSecret{{Secret: webhook.NewSecret()}}, r.Secrets[0])
		})
		ep.fresh()
	}
}

func (ep *modelEndpoint) fresh() {
	ep.failures, ep.failing = 0, false
	ep.generation++
}

func (m *model) deleteOne() {
	if ep := m.endpointThat(func(ep *modelEndpoint) bool { return true }); ep != nil {
		m.delete(ep.id)
		ep.deleted = true
	}
}

func (m *model) redeliverOne() {
	d := m.pick(func(d *modelDelivery) bool { return d.lease.DeliveryID != "" && !d.ep.deleted })
	if d == nil {
		return
	}
	m.redeliver(d.lease)
	if d.state != mLeased {
		m.restart(d)
	}
}

func (m *model) restart(d *modelDelivery) {
	d.state, d.due, d.early = mReady, m.now, false
	d.attempts, d.releases, d.expired = 0, 0, 0
}

func (m *model) replayOne() {
	ep := m.endpointThat(func(ep *modelEndpoint) bool { return true })
	if ep == nil {
		return
	}
	want := 0
	for _, ev := range m.events {
		if !ep.matches(ev.Type) {
			continue
		}
		d := m.find(ep.id, ev.ID)
		if d == nil {
			d = &modelDelivery{ep: ep, event: ev.ID}
			m.all = append(m.all, d)
		} else if !d.state.ended() || d.state == mDelivered {
			continue
		}
		m.restart(d)
		want++
	}
	same(m.env, "replayed", m.env.replay(ep.id, time.Time{}, 1000), want)
}

// compare compares every endpoint and delivery with the store.
func (m *model) compare() {
	m.Helper()
	for _, ep := range m.endpoints {
		if !ep.deleted {
			m.compareEndpoint(ep)
		}
		stored := map[string]webhook.Delivery{}
		for _, d := range m.list(webhook.DeliveryFilter{EndpointID: ep.id}) {
			stored[d.EventID] = d
		}
		for _, d := range m.all {
			if d.ep == ep {
				m.compareDelivery(d, stored[d.event])
				delete(stored, d.event)
			}
		}
		m.check(len(stored) == 0, "%s has deliveries that are not in the model: %v", ep.id, stored)
	}
}

func (m *model) compareEndpoint(ep *modelEndpoint) {
	m.Helper()
	got := m.get(ep.id)
	want := webhook.EndpointActive
	switch {
	case !ep.on:
		want = webhook.EndpointInactive
	case ep.failing:
		want = webhook.EndpointFailing
	}
	same(m.env, ep.id+": Status", got.Status, want)
	same(m.env, ep.id+": ConsecutiveFailures", got.ConsecutiveFailures, ep.failures)
}

func (m *model) compareDelivery(d *modelDelivery, got webhook.Delivery) {
	m.Helper()
	allowed := map[modelState][]webhook.DeliveryStatus{
		mReady: {webhook.DeliveryPending}, mWaiting: {webhook.DeliveryPending}, mLeased: {webhook.DeliveryPending},
		mHeld: {webhook.DeliveryHeld}, mDelivered: {webhook.DeliveryDelivered},
		mExhausted: {webhook.DeliveryExhausted}, mCancelled: {webhook.DeliveryCancelled},
	}[d.state]
	if d.early {
		allowed = append(allowed, webhook.DeliveryHeld)
	}
	if d.ep.deleted && d.state != mDelivered { // cancelled at once or when due
		allowed = append(allowed, webhook.DeliveryCancelled)
	}
	m.check(slices.Contains(allowed, got.Status), "%s to %s: got status %q, want one of %v", d.event, d.ep.id, got.Status, allowed)
	if !d.ep.deleted {
		same(m.env, d.event+" to "+d.ep.id+": Attempts", got.Attempts, d.rows)
	}
}

// finish lets everything end: nothing is lost on the way.
func (m *model) finish() {
	for _, ep := range m.endpoints {
		if !ep.deleted && !ep.on {
			m.enable(ep.id)
			ep.on = true
			ep.fresh()
		}
	}
	m.now += 20 * tick
	m.advance(20 * tick)
	m.settleDown()
	for _, l := range m.claimAll() {
		m.leaseAll([]webhook.Leased{l})
		m.deliver(l)
		if d := m.find(l.Target.EndpointID, l.Event.ID); d != nil {
			m.apply(d, result(l, webhook.OutcomeDelivered))
			d.ep.failures, d.ep.failing = 0, false
		}
	}
	same(m.env, "unfinished deliveries", m.stats(""), webhook.QueueStats{})
	m.compare()
}
