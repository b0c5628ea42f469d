package storetest

import (
	"fmt"
	"time"

	"github.com/ringyo-ai/webhook"
)

// emitSome emits a new event, with room for some deliveries.
func (m *model) emitSome() {
	ev := event(fmt.Sprint("evt_", len(m.events)))
	ev.Type = modelTypes[m.rnd.IntN(len(modelTypes))]
	m.events = append(m.events, ev)
	room := m.rnd.IntN(3)
	t := terms(room, 1+m.rnd.IntN(2))
	t.Lease = modelLease
	r := m.groups(m.store, t, []webhook.EventRecord{ev})
	m.must("Enqueue", r.Errs[0])
	on, off, paused := 0, 0, 0
	for _, ep := range m.endpoints {
		if ep.deleted || !ep.matches(ev.Type) {
			continue
		}
		m.all = append(m.all, &modelDelivery{ep: ep, event: ev.ID})
		switch {
		case !ep.on:
			off++
		case ep.pace == webhook.PacePaused:
			paused++
		default:
			on++
		}
	}
	same(m.env, "handed off", len(r.Leased), min(room, on))
	same(m.env, "Ready", r.Ready, on+paused-len(r.Leased))
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
		m.leaseProbe(d)
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
		if ep.pace == webhook.PacePaused && ep.on && !ep.deleted {
			sure, perhaps := m.probes(ep)
			least, most = least+sure, most+perhaps
			continue
		}
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

// pick returns a random delivery of those that fit, or nil.
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
	m.choosePace(&s)
	m.trace = append(m.trace, fmt.Sprintf("outcome %d of %s, pace %d", s.Outcome, d.ep.id, s.Pace))
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
	d.ep.probeLess = true
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
	m.applyPace(ep, s)
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
		ep.pace = webhook.PaceUnknown
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

// generation returns the store's generation of the endpoint, 0 when deleted.
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
		m.reset(ep)
	}
}

func (m *model) reset(ep *modelEndpoint) {
	m.update(ep.id, true, func(r *webhook.EndpointRecord) {
		r.Secrets = append([]webhook.EndpointSecret{{Secret: webhook.NewSecret()}}, r.Secrets[0])
	})
	ep.fresh()
}

func (ep *modelEndpoint) fresh() {
	ep.failures, ep.failing = 0, false
	ep.generation++
	ep.pace = webhook.PaceUnknown
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
	switch d.state {
	case mLeased:
	case mReady, mWaiting, mHeld:
		d.state, d.due, d.early = mReady, m.now, false
	default:
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
