package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/ringyo-ai/webhook"
)

// So many endpoints hang in the cases about many.
const (
	manyPaused  = 1000
	somePaused  = 200
	mostLooked  = 200 // candidates of one Claim, at most
	pausedMax   = 77  // tells the claim of PausedEndpointIsLeftAlone
	manyClaims  = 100
	goodID      = "wh_good"
	goodType    = webhook.EventCreditsLow
	hangingType = webhook.EventCallCompleted
)

func hangingID(i int) string { return fmt.Sprint("wh_h", i) }

// hanging creates n endpoints that are paused, each with a delivery that was not
// attempted.
func (e *env) hanging(n int) {
	e.Helper()
	for i := range n {
		e.endpoint(hangingID(i), hangingType)
	}
	e.enqueue(event("evt_first"))
	all := e.claimAll()
	same(e, "claimed of the first event", len(all), n)
	for len(all) > 0 {
		batch := make([]webhook.Settlement, min(len(all), 250))
		for i := range batch {
			batch[i] = timedOut(all[i], webhook.OutcomeExhausted)
		}
		e.applied(batch...)
		all = all[len(batch):]
	}
	e.enqueue(event("evt_parked"))
	e.maintain()
}

var probeRules = []rule{
	{
		name:     "OneProbeAtATime",
		sentence: "When the pause is over one delivery is leased as a probe; the next one when that is settled, or its lease has ended.",
		run: func(e *env) {
			e.paused(4)
			e.advance(firstPause + time.Minute)
			probe := e.one()
			e.none("a probe is leased")
			e.maintain()
			e.none("a probe is leased")
			e.applied(result(probe, webhook.OutcomeReleased)) // which tells nothing, so that no other pause begins
			e.maintain()
			probe = e.one()
			e.none("another probe is leased")
			e.applied(result(probe, webhook.OutcomeExhausted))
			e.maintain()
			probe = e.one()
			e.advance(lease - 5*time.Minute)
			e.none("the lease of the probe has 5 minutes left")
			e.advance(6 * time.Minute)
			again := e.one()
			e.none("another probe is leased")
			e.stale("the probe whose lease ended", timedOut(probe, webhook.OutcomeRetry))
			e.applied(paced(again, webhook.OutcomeDelivered, webhook.PaceQuick))
			e.claimable("after a response", 2)
		},
	},
	{
		name:     "RetriesKeepTheirSchedule",
		sentence: "A delivery that was attempted before is a probe when it is due, though the pause lasts, and any other when the pause is over, which then comes first.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 4)...)
			l := e.claimAll()
			e.applied(timedOut(l[0], webhook.OutcomeRetry), timedOut(l[1], webhook.OutcomeRetry), // in 10 minutes
				result(l[2], webhook.OutcomeReleased), result(l[3], webhook.OutcomeReleased))
			e.maintain()
			e.none("no retry is due and the pause lasts")
			e.advance(11 * time.Minute)
			later := func(l webhook.Leased, d time.Duration) {
				e.Helper()
				s := timedOut(l, webhook.OutcomeRetry)
				s.Delay = d
				e.applied(s)
				e.maintain()
			}
			retry := func() webhook.Leased {
				e.Helper()
				l := e.one()
				e.check(l.Attempts > 0, "probe: got one that was not attempted, want a retry that is due")
				e.none("a probe is leased")
				return l
			}
			later(retry(), 0)
			later(retry(), 10*time.Hour)
			e.applied(result(retry(), webhook.OutcomeReleased))
			e.maintain()
			later(retry(), 10*time.Hour)
			e.none("no retry is due and the pause lasts")
			e.pausedFor("after timeouts while it lasts", firstPause-11*time.Minute)
			e.advance(10 * time.Minute)
			probe := e.one()
			same(e, "Attempts", probe.Attempts, 0)
			e.none("a probe is leased")
			e.applied(result(probe, webhook.OutcomeReleased))
			e.advance(10 * time.Hour)
			for range 2 {
				l := e.one()
				same(e, "Attempts, when the pause is over", l.Attempts, 0)
				e.applied(result(l, webhook.OutcomeExhausted))
				e.maintain()
			}
			for range 2 {
				e.applied(result(retry(), webhook.OutcomeExhausted))
				e.maintain()
			}
		},
	},
	{
		name:     "NextInCoversProbes",
		sentence: "NextIn is the time until the next probe is due, and not 0 while one is due for which there is no room.",
		run: func(e *env) {
			e.paused(2)
			c := e.claim(terms(10, 10))
			e.check(c.NextIn > 0 && c.NextIn <= firstPause, "NextIn while paused: got %v, want up to %v", c.NextIn, firstPause)
			e.advance(firstPause + time.Minute)
			for range 3 {
				c = e.claim(terms(10, 0))
				same(e, "claimed without room", len(c.Deliveries), 0)
				e.check(c.NextIn != 0, "NextIn is 0 while the probe is due but refused")
			}
			same(e, "pace of the candidate", e.probed(), webhook.PacePaused)
			c = e.claim(terms(10, 10))
			e.check(c.NextIn > 0 && c.NextIn <= lease, "NextIn while probed: got %v, want up to %v", c.NextIn, lease)
		},
	},
	{
		name:     "ManyPausedDelayNobody",
		sentence: "The deliveries of paused endpoints cost a Claim nothing; of those whose probe is due it asks Room for a bounded number, and another endpoint's delivery is claimed all the same.",
		run: func(e *env) {
			e.hanging(manyPaused)
			e.endpoint(goodID, goodType)
			claim := func(what string, most int) {
				e.Helper()
				ev := event("evt_" + webhook.NewDeliveryID())
				ev.Type = goodType
				e.enqueue(ev)
				t := terms(100, 0, slots{goodID, 10})
				c := e.claim(t)
				same(e, "claimed "+what, eventIDs(c.Deliveries), []string{ev.ID})
				got := len(roomOf(t).candidates())
				e.check(got <= most, "candidates %s: got %d, want at most %d", what, got, most)
			}
			claim("while all are paused", 1)
			e.advance(firstPause + time.Minute)
			for range 3 {
				claim("while all probes are due", mostLooked)
			}
		},
	},
	{
		name:     "RefusedProbesHideNothing",
		sentence: "Probes for which there is no room do not keep Claim from those for which there is: it goes on after them.",
		run: func(e *env) {
			e.hanging(somePaused)
			e.advance(firstPause + time.Minute)
			left, named := wanted()
			e.findWith(left, named, func(webhook.Claimed) bool { return len(left) == 0 })
		},
	},
	{
		name:     "RefusedEndpointsHideNothing",
		sentence: "Endpoints for which there is no room do not keep Claim from those for which there is; it may leave some to the next call, and says More until it has gone round once.",
		run: func(e *env) {
			for i := range somePaused {
				e.endpoint(hangingID(i), hangingType)
			}
			e.enqueue(events("evt", 2)...)
			left, named := wanted()
			e.findWith(left, named, func(c webhook.Claimed) bool { return !c.More })
		},
	},
}

// wanted names a few of the endpoints that hanging creates, with room for one
// delivery each.
func wanted() (left map[string]bool, named []slots) {
	left = map[string]bool{}
	for _, i := range []int{0, somePaused / 2, somePaused - 1} {
		left[hangingID(i)] = true
		named = append(named, slots{hangingID(i), 1})
	}
	return left, named
}

// findWith claims, with room for none but the named ones, until it is done. What
// was found is left no more.
func (e *env) findWith(left map[string]bool, named []slots, done func(webhook.Claimed) bool) {
	e.Helper()
	cursor, ended := "", false
	for n := 0; !ended && n < manyClaims; n++ {
		c := e.claimFrom(cursor, terms(10, 0, named...))
		cursor = c.Cursor
		for _, l := range c.Deliveries {
			id := l.Target.EndpointID
			e.check(left[id], "claimed of %s, for which there is no room", id)
			delete(left, id)
			named = slices.DeleteFunc(named, func(s slots) bool { return s.id == id })
		}
		ended = done(c)
	}
	e.check(ended, "no end after %d claims", manyClaims)
	same(e, "not found", len(left), 0)
}

// probed claims the probe of wh_1 and returns the pace that Room was told.
func (e *env) probed() webhook.Pace {
	e.Helper()
	t := terms(10, 10)
	same(e, "claimed when the probe is due", len(e.claim(t).Deliveries), 1)
	return roomOf(t).candidates()["wh_1"].Pace
}
