package storetest

import (
	"slices"
	"time"

	"github.com/ringyo-ai/webhook"
)

// Pauses in the model last 13, 26, 52 and 65 minutes: each ends minutes away from
// what the model looks at, which are multiples of tick and real time on top.
const (
	modelPause   = 13 * time.Minute
	modelLongest = 65 * time.Minute
)

// choosePace makes a settlement that says how the endpoint responded.
func (m *model) choosePace(s *webhook.Settlement) {
	s.Pause, s.MaxPause = modelPause, modelLongest
	switch s.Outcome {
	case webhook.OutcomeReleased:
	case webhook.OutcomeRetry, webhook.OutcomeExhausted:
		s.Pace = []webhook.Pace{webhook.PaceUnknown, webhook.PaceQuick, webhook.PacePaused, webhook.PacePaused}[m.rnd.IntN(4)]
	default:
		s.Pace = []webhook.Pace{webhook.PaceQuick, webhook.PaceSlow}[m.rnd.IntN(2)]
	}
}

// applyPace is what a settlement of its generation tells of the endpoint.
func (m *model) applyPace(ep *modelEndpoint, s webhook.Settlement) {
	paused := ep.pace == webhook.PacePaused
	switch {
	case s.Pace == webhook.PaceUnknown, s.Pace == webhook.PacePaused && paused && m.now < ep.till:
		return
	case s.Pace != webhook.PacePaused:
		ep.pace = s.Pace
		return
	case !paused:
		ep.pace, ep.pauses, ep.probe = webhook.PacePaused, 0, nil
	}
	ep.till = m.now + min(modelPause<<min(ep.pauses, 3), modelLongest)
	ep.pauses++
}

// comparePace allows a store to be late between quick and slow.
func (m *model) comparePace(ep *modelEndpoint, got webhook.EndpointRecord) {
	m.Helper()
	allowed := []webhook.Pace{ep.pace}
	if ep.pace == webhook.PaceQuick || ep.pace == webhook.PaceSlow {
		allowed = []webhook.Pace{webhook.PaceQuick, webhook.PaceSlow}
	}
	m.check(slices.Contains(allowed, got.Pace), "%s: got pace %d, want one of %v", ep.id, got.Pace, allowed)
	if got.Pace != webhook.PacePaused {
		m.check(got.PausedTill.IsZero(), "%s: PausedTill is set, and it is not paused", ep.id)
		return
	}
	left := got.PausedTill.Sub(m.env.now())
	m.check((left-(ep.till-m.now)).Abs() < 2*time.Minute, "%s: got a pause of %v, want %v", ep.id, left, ep.till-m.now)
}

// begun reports whether the delivery was attempted before on its schedule.
func (d *modelDelivery) begun() bool { return d.attempts > 0 }

// probes returns how many deliveries of a paused endpoint, 0 or 1, a claim leases
// for sure, and perhaps.
func (m *model) probes(ep *modelEndpoint) (sure, perhaps int) {
	if p := ep.probe; p != nil && p.state == mLeased && !ep.probeLess {
		return 0, 0
	}
	for _, d := range m.all {
		if d.ep != ep || !d.begun() && m.now < ep.till {
			continue
		}
		switch {
		case d.state == mReady:
			sure, perhaps = 1, 1
		case d.early:
			perhaps = 1
		}
	}
	if p := ep.probe; p != nil && p.state == mLeased {
		sure = 0
	}
	return sure, perhaps
}

// leaseProbe checks that the delivery may be leased, if its endpoint is paused.
func (m *model) leaseProbe(d *modelDelivery) {
	m.Helper()
	ep := d.ep
	if ep.pace != webhook.PacePaused {
		return
	}
	_, perhaps := m.probes(ep)
	m.check(perhaps == 1, "leased %s to %s, which is paused and has no probe to make", d.event, ep.id)
	if !d.begun() {
		m.check(m.now >= ep.till, "leased %s to %s, which is paused still", d.event, ep.id)
	}
	ep.probe, ep.probeLess = d, false
}
