package storetest

import (
	"fmt"
	"time"

	"github.com/ringyo-ai/webhook"
)

// The pauses of most cases last 20, 40 and 60 minutes, and no longer.
const (
	firstPause   = 20 * time.Minute
	longestPause = 60 * time.Minute
)

// paced makes a settlement that says how the endpoint responded.
func paced(l webhook.Leased, o webhook.Outcome, p webhook.Pace) webhook.Settlement {
	s := result(l, o)
	s.Pace = p
	return s
}

// timedOut makes the settlement of an attempt that got no response.
func timedOut(l webhook.Leased, o webhook.Outcome) webhook.Settlement {
	s := paced(l, o, webhook.PacePaused)
	s.Pause, s.MaxPause = firstPause, longestPause
	s.Attempt.StatusCode, s.Attempt.Failure = 0, webhook.FailureTimeout
	return s
}

// paused creates the endpoint wh_1 and pauses it, with n deliveries that were not
// attempted. It returns the one whose attempt timed out and which has ended.
func (e *env) paused(n int) webhook.Leased {
	e.Helper()
	e.endpoint("wh_1")
	e.enqueue(events("evt", n+1)...)
	all := e.claim(terms(1, 1)).Deliveries
	if len(all) != 1 {
		e.Fatalf("Claim: got %d deliveries, want 1", len(all))
	}
	e.applied(timedOut(all[0], webhook.OutcomeExhausted))
	e.maintain()
	return all[0]
}

// pausedFor checks that wh_1 is paused for about d from now.
func (e *env) pausedFor(what string, d time.Duration) {
	e.Helper()
	r := e.get("wh_1")
	if r.Pace != webhook.PacePaused {
		e.Fatalf("Pace %s: got %d, want paused", what, r.Pace)
	}
	got := r.PausedTill.Sub(e.now())
	e.check(got > d-2*time.Minute && got < d+2*time.Minute, "pause %s: got %v, want about %v", what, got, d)
}

// notPaused checks the pace of wh_1.
func (e *env) notPaused(what string, want webhook.Pace) {
	e.Helper()
	r := e.get("wh_1")
	same(e, "Pace "+what, r.Pace, want)
	e.check(r.PausedTill.IsZero(), "PausedTill %s: got %v, want the zero time", what, r.PausedTill)
}

// claimable checks that so many deliveries can be claimed at once.
func (e *env) claimable(what string, want int) []webhook.Leased {
	e.Helper()
	e.maintain()
	all := e.claimAll()
	same(e, "claimed "+what, len(all), want)
	return all
}

var pauseRules = []rule{
	{
		name:     "PaceIsShown",
		sentence: "EndpointRecord has the Pace that the endpoint's settlements told, and PausedTill while it is paused; only Settle sets them.",
		run: func(e *env) {
			r := record(acct, "wh_1", "*")
			r.Pace, r.PausedTill = webhook.PacePaused, e.now().Add(time.Hour)
			r = e.create(r)
			same(e, "Pace as created", r.Pace, webhook.PaceUnknown)
			e.notPaused("of a new endpoint", webhook.PaceUnknown)
			e.enqueue(events("evt", 4)...)
			l := e.claimAll()
			e.applied(result(l[0], webhook.OutcomeRetry))
			e.notPaused("after a result that tells nothing", webhook.PaceUnknown)
			e.applied(paced(l[1], webhook.OutcomeDelivered, webhook.PaceQuick))
			e.notPaused("after the first that was quick", webhook.PaceQuick)
			e.applied(result(l[2], webhook.OutcomeRetry))
			e.notPaused("after another result that tells nothing", webhook.PaceQuick)
			e.applied(timedOut(l[3], webhook.OutcomeRetry))
			e.pausedFor("after a timeout", firstPause)
			p, err := e.store.ListEndpoints(e.ctx, webhook.EndpointFilter{AccountID: acct, Limit: 10})
			e.must("ListEndpoints", err)
			if len(p.Items) != 1 {
				e.Fatalf("ListEndpoints: got %d endpoints, want 1", len(p.Items))
			}
			same(e, "Pace as listed", p.Items[0].Pace, webhook.PacePaused)
			near(e, "PausedTill as listed", p.Items[0].PausedTill, e.get("wh_1").PausedTill)
			r = e.update("wh_1", false, func(r *webhook.EndpointRecord) { r.Pace, r.PausedTill = webhook.PaceQuick, time.Time{} })
			same(e, "Pace in the result of an update", r.Pace, webhook.PacePaused)
			e.pausedFor("after an update", firstPause)
		},
	},
	{
		name:     "PausedEndpointIsLeftAlone",
		sentence: "The deliveries of a paused endpoint are pending, but none is handed off, and while the pause lasts none is claimed that was not attempted; Room is not asked.",
		run: func(e *env) {
			e.paused(3)
			alone := func(what string, t webhook.LeaseTerms, got []webhook.Leased) {
				e.Helper()
				same(e, what, len(got), 0)
				same(e, what+": candidates", len(roomOf(t).asked), 0)
			}
			t := terms(pausedMax, 10)
			alone("claimed at once", t, e.claim(t).Deliveries)
			e.maintain()
			t = terms(10, 10)
			alone("claimed", t, e.claim(t).Deliveries)
			t = terms(10, 10)
			r := e.groups(e.store, t, events("more", 2))
			alone("handed off", t, r.Leased)
			same(e, "Ready", r.Ready, 2)
			same(e, "Held", r.Held, 0)
			e.maintain()
			e.none("the endpoint is paused")
			pending := 0
			for _, d := range e.list(webhook.DeliveryFilter{EndpointID: "wh_1"}) {
				if d.Status == webhook.DeliveryPending {
					pending++
				}
			}
			same(e, "pending", pending, 5)
		},
	},
	{
		name:     "PausesGrow",
		sentence: "The first pause takes Pause, each further one twice as long as the one before, and none longer than MaxPause.",
		run: func(e *env) {
			e.paused(6)
			for i, d := range []time.Duration{20 * time.Minute, 40 * time.Minute, 60 * time.Minute, 60 * time.Minute} {
				e.pausedFor(fmt.Sprintf("number %d", i+1), d)
				e.advance(d - 5*time.Minute)
				e.none("the pause has 5 minutes left")
				e.advance(6 * time.Minute)
				e.applied(timedOut(e.one(), webhook.OutcomeExhausted))
				e.maintain()
			}
			e.advance(61 * time.Minute)
			s := timedOut(e.one(), webhook.OutcomeExhausted)
			s.Pause, s.MaxPause = 1<<61, 1<<62 // 146 years: doubled four times it is none at all
			e.applied(s)
			e.check(e.get("wh_1").PausedTill.After(e.now().Add(24*365*50*time.Hour)), "a very long pause is over")
		},
	},
	{
		name:     "TimeoutsWithinAPauseChangeNothing",
		sentence: "PacePaused begins a pause, or the next one if the last is over; while one lasts it changes nothing.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 8)...)
			l := e.claim(terms(5, 5)).Deliveries
			e.applied(timedOut(l[0], webhook.OutcomeExhausted), timedOut(l[1], webhook.OutcomeExhausted))
			e.pausedFor("after two timeouts in one batch", firstPause)
			e.advance(10 * time.Minute)
			e.applied(timedOut(l[2], webhook.OutcomeExhausted))
			e.pausedFor("after a timeout while it lasts", firstPause-10*time.Minute)
			e.advance(11 * time.Minute)
			probe := e.one()
			e.applied(timedOut(l[3], webhook.OutcomeExhausted))
			e.pausedFor("after a timeout when it is over", 2*firstPause)
			e.applied(timedOut(probe, webhook.OutcomeExhausted), timedOut(l[4], webhook.OutcomeExhausted))
			e.pausedFor("after timeouts while the next one lasts", 2*firstPause)
		},
	},
	{
		name:     "AnAnswerEndsThePause",
		sentence: "PaceQuick and PaceSlow end a pause: all deliveries are ready, new ones are handed off, and the next pause is a first one.",
		run: func(e *env) {
			e.paused(2)
			for i, p := range []webhook.Pace{webhook.PaceQuick, webhook.PaceSlow} {
				e.advance(firstPause + time.Minute)
				e.applied(timedOut(e.one(), webhook.OutcomeExhausted))
				e.pausedFor("number 2", 2*firstPause)
				e.enqueue(events(fmt.Sprint("more_", i), 5)...)
				e.advance(2*firstPause + time.Minute)
				late := e.one()
				e.applied(paced(late, webhook.OutcomeExhausted, p))
				e.notPaused("after a response", p)
				r := e.groups(e.store, terms(1, 1), events(fmt.Sprint("new_", i), 1))
				same(e, "handed off", len(r.Leased), 1)
				all := e.claimable("after a response", 5)
				e.applied(timedOut(all[0], webhook.OutcomeExhausted))
				e.pausedFor("after a response", firstPause)
				e.deliver(append(all[1:], r.Leased...)...)
				e.enqueue(events(fmt.Sprint("last_", i), 2)...)
			}
		},
	},
	{
		name:     "OnlyThisGenerationHasAPace",
		sentence: "Pace counts if Generation is still the endpoint's; a stale settlement tells nothing.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 8)...)
			old := e.claim(terms(4, 4)).Deliveries
			e.update("wh_1", true, func(r *webhook.EndpointRecord) { r.URL = "https://example.org/new" })
			e.applied(timedOut(old[0], webhook.OutcomeExhausted))
			e.notPaused("after a timeout of an old generation", webhook.PaceUnknown)
			e.applied(paced(old[1], webhook.OutcomeExhausted, webhook.PaceQuick))
			e.notPaused("after a response of an old generation", webhook.PaceUnknown)
			all := e.claimable("after a timeout of an old generation", 4)
			e.applied(timedOut(all[0], webhook.OutcomeExhausted))
			e.pausedFor("after a timeout", firstPause)
			e.applied(paced(old[2], webhook.OutcomeExhausted, webhook.PaceQuick))
			e.pausedFor("after a response of an old generation", firstPause)
			e.stale("what was settled", paced(all[0], webhook.OutcomeExhausted, webhook.PaceQuick))
			e.pausedFor("after a stale response", firstPause)
			e.applied(paced(all[1], webhook.OutcomeExhausted, webhook.PaceQuick))
			e.stale("what was settled", timedOut(all[1], webhook.OutcomeExhausted))
			e.notPaused("after a stale timeout", webhook.PaceQuick)
		},
	},
	{
		name:     "ResetEndsThePause",
		sentence: "Pace is PaceUnknown after an update that has Reset: the pause has ended. Other updates leave it.",
		run: func(e *env) {
			e.paused(3)
			e.update("wh_1", false, func(r *webhook.EndpointRecord) { r.Description = "changed" })
			e.pausedFor("after an update without Reset", firstPause)
			e.maintain()
			e.none("the endpoint is paused still")
			r := e.update("wh_1", true, func(r *webhook.EndpointRecord) { r.URL = "https://example.org/new" })
			same(e, "Pace in the result", r.Pace, webhook.PaceUnknown)
			e.notPaused("after a reset", webhook.PaceUnknown)
			all := e.claimable("after a reset", 3)
			e.applied(timedOut(all[0], webhook.OutcomeExhausted))
			e.pausedFor("after a reset", firstPause)
		},
	},
	{
		name:     "SwitchingEndsThePause",
		sentence: "A paused endpoint that is disabled, by an update or by its failures, has its deliveries held and, enabled again, released as any other; it is not paused then.",
		run: func(e *env) {
			e.paused(6)
			e.disable("wh_1")
			e.notPaused("of one that is disabled", webhook.PaceUnknown)
			same(e, "Held by Maintain", e.maintain().Held, 6)
			same(e, "Held", e.stats("wh_1").Held, 6)
			e.advance(firstPause + time.Minute)
			e.none("it is disabled")
			e.enable("wh_1")
			same(e, "Released by Maintain", e.maintain().Released, 6)
			e.notPaused("of one that is enabled", webhook.PaceUnknown)
			all := e.claimable("when it is enabled", 6)

			e.applied(timedOut(all[0], webhook.OutcomeRetry), timedOut(all[1], webhook.OutcomeExhausted),
				result(all[2], webhook.OutcomeReleased), result(all[3], webhook.OutcomeReleased))
			e.pausedFor("after a timeout", firstPause)
			last := timedOut(all[4], webhook.OutcomeExhausted)
			last.Counts, last.DisableAfter = true, 1
			e.applied(last)
			same(e, "Status", e.get("wh_1").Status, webhook.EndpointInactive)
			e.notPaused("of one that its failures disabled", webhook.PaceUnknown)
			e.advance(11 * time.Minute)
			same(e, "Held", e.stats("wh_1").Held, 3)
			e.enable("wh_1")
			e.claimable("when it is enabled", 3)
		},
	},
	{
		name:     "DeletingCancelsWhatIsParked",
		sentence: "The deliveries of a paused endpoint that is deleted are cancelled as those of any other.",
		run: func(e *env) {
			e.paused(5)
			e.advance(firstPause + time.Minute)
			probe := e.one()
			e.delete("wh_1")
			e.advance(2 * lease)
			e.none("the endpoint is deleted")
			got := e.settle(timedOut(probe, webhook.OutcomeRetry)).Results[0]
			e.check(got.Status == webhook.SettleApplied || got.Status == webhook.SettleStale, "Settle: got status %d (%v)", got.Status, got.Err)
			e.advance(2 * lease)
			cancelled := 0
			for _, d := range e.list(webhook.DeliveryFilter{EndpointID: "wh_1"}) {
				if d.Status == webhook.DeliveryCancelled {
					cancelled++
				}
			}
			same(e, "cancelled", cancelled, 5)
			same(e, "unfinished deliveries", e.stats(""), webhook.QueueStats{})
		},
	},
	{
		name:     "ParkedDeliveriesAreReady",
		sentence: "QueueStats counts the deliveries of a paused endpoint as others: ready, waiting for a retry or leased.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 6)...)
			l := e.claim(terms(3, 3)).Deliveries
			e.applied(timedOut(l[0], webhook.OutcomeExhausted), timedOut(l[1], webhook.OutcomeRetry))
			count := func(what string, want webhook.QueueStats) {
				e.Helper()
				e.maintain()
				for _, id := range []string{"wh_1", ""} {
					got := e.stats(id)
					e.check(got.OldestReady >= want.OldestReady, "OldestReady of %q %s: got %v, want %v or more", id, what, got.OldestReady, want.OldestReady)
					got.OldestReady = want.OldestReady
					same(e, fmt.Sprintf("stats of %q %s", id, what), got, want)
				}
			}
			count("at once", webhook.QueueStats{Ready: 3, Waiting: 1, Leased: 1})
			e.advance(15 * time.Minute)
			count("when the retry is due", webhook.QueueStats{Ready: 4, Leased: 1, OldestReady: 14 * time.Minute})
			e.one()
			count("while it is probed", webhook.QueueStats{Ready: 3, Leased: 2, OldestReady: 14 * time.Minute})
		},
	},
	{
		name:     "WhatIsMadePendingWaitsToo",
		sentence: "What Redeliver and Replay make pending for a paused endpoint waits as the others do.",
		run: func(e *env) {
			ended := e.paused(0)
			same(e, "Status", e.redeliver(ended).Status, webhook.DeliveryPending)
			e.maintain()
			e.none("the endpoint is paused")
			same(e, "Ready", e.stats("wh_1").Ready, 1)
			unheard := event("evt_unheard")
			e.update("wh_1", false, func(r *webhook.EndpointRecord) { r.Events = []webhook.EventType{"credits.low"} })
			e.enqueue(unheard)
			e.update("wh_1", false, func(r *webhook.EndpointRecord) { r.Events = []webhook.EventType{"*"} })
			same(e, "replayed", e.replay("wh_1", time.Time{}, 10), 1)
			e.maintain()
			e.none("the endpoint is paused")
			same(e, "Ready", e.stats("wh_1").Ready, 2)
			e.advance(firstPause + time.Minute)
			probe := e.one()
			e.applied(paced(probe, webhook.OutcomeDelivered, webhook.PaceQuick))
			e.claimable("after a response", 1)
		},
	},
}
