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

	pace      webhook.Pace
	pauses    int           // in a row
	till      time.Duration // end of the pause
	probe     *modelDelivery
	probeLess bool // something was settled since the probe was leased: a store may lease another
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
	m.comparePace(ep, got)
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
		switch {
		case ep.deleted:
		case !ep.on:
			m.enable(ep.id)
			ep.on = true
			ep.fresh()
		case ep.pace == webhook.PacePaused:
			m.reset(ep)
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
