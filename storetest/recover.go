package storetest

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ringyo-ai/webhook"
)

// The trials of most cases are due after 20, 40 and 60 minutes, and no longer.
func recovering(s webhook.Settlement) webhook.Settlement {
	s.Recover, s.MaxRecover = firstPause, longestPause
	return s
}

// failedEndpoint creates the endpoint wh_1, which a failure disables, and which is to
// recover. n deliveries are held for it.
func (e *env) failedEndpoint(n int) {
	e.Helper()
	e.endpoint("wh_1")
	e.enqueue(events("evt", n+1)...)
	all := e.claim(terms(1, 1)).Deliveries
	if len(all) != 1 {
		e.Fatalf("Claim: got %d deliveries, want 1", len(all))
	}
	e.applied(recovering(failure(all[0], 1)))
	e.maintain()
	same(e, "Held", e.stats("wh_1").Held, n)
	e.trialIn("after the endpoint was disabled", firstPause)
}

// trialIn checks that the next trial of wh_1, which is inactive, is due in about d.
func (e *env) trialIn(what string, d time.Duration) {
	e.Helper()
	r := e.get("wh_1")
	if r.Status != webhook.EndpointInactive || r.DisabledReason != webhook.DisabledFailing {
		e.Fatalf("wh_1 %s: got %q, %q, want inactive by its failures", what, r.Status, r.DisabledReason)
	}
	got := r.TrialAt.Sub(e.now())
	e.check(got > d-2*time.Minute && got < d+2*time.Minute, "TrialAt %s: in %v, want in about %v", what, got, d)
}

// noTrials checks that nothing is tried though much time passes.
func (e *env) noTrials(what string) {
	e.Helper()
	e.check(e.get("wh_1").TrialAt.IsZero(), "TrialAt %s: got a time, want zero", what)
	e.advance(2 * longestPause)
	e.none("there are no trials " + what)
}

var recoverRules = []rule{
	{
		name:     "NothingRecoversByDefault",
		sentence: "Without Recover, and disabled by hand or by 410, an endpoint stays disabled.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 6)...)
			e.applied(failure(e.claim(terms(1, 1)).Deliveries[0], 1))
			e.maintain()
			e.noTrials("without Recover")
			e.enable("wh_1")
			e.maintain()
			e.applied(recovering(result(e.claim(terms(1, 1)).Deliveries[0], webhook.OutcomeGone)))
			e.maintain()
			e.noTrials("after 410")
			e.enable("wh_1")
			e.maintain()
			e.disable("wh_1")
			e.maintain()
			e.noTrials("of one that was disabled by hand")
		},
	},
	{
		name:     "OneTrialAtATime",
		sentence: "After Recover the oldest held delivery is leased as a trial; the next one after it was settled, or its lease has ended. Room is asked as for one that is paused.",
		run: func(e *env) {
			e.failedEndpoint(3)
			e.none("the trial is not due")
			c := e.claim(terms(10, 10))
			e.check(c.NextIn > 0 && c.NextIn <= firstPause, "NextIn: got %v, want up to %v", c.NextIn, firstPause)
			e.advance(firstPause + time.Minute)
			c = e.claim(terms(10, 0))
			same(e, "claimed without room", len(c.Deliveries), 0)
			t := terms(10, 10)
			all := e.claim(t).Deliveries
			if len(all) != 1 {
				e.Fatalf("Claim: got %d deliveries, want 1", len(all))
			}
			same(e, "pace of the candidate", roomOf(t).candidates()["wh_1"].Pace, webhook.PacePaused)
			trial := all[0]
			same(e, "trial", trial.Event.ID, events("evt", 4)[1].ID)
			same(e, "Generation of the target", trial.Target.Generation, e.get("wh_1").Generation)
			e.none("a trial is leased")
			same(e, "stats", bareStats(e.stats("wh_1")), webhook.QueueStats{Leased: 1, Held: 2})
			e.advance(lease - 5*time.Minute)
			e.none("the lease of the trial has 5 minutes left")
			e.advance(6 * time.Minute)
			again := e.one()
			e.none("another trial is leased")
			e.stale("the trial whose lease ended", recovering(result(trial, webhook.OutcomeRetry)))
			e.applied(recovering(result(again, webhook.OutcomeRetry)))
			e.trialIn("after one that failed", 2*firstPause)
			e.maintain()
			e.none("the next trial is not due")
		},
	},
	{
		name:     "ATrialIsOfOneProcess",
		sentence: "However many processes claim at once, a trial that is due is leased by one.",
		run: func(e *env) {
			e.failedEndpoint(20)
			e.advance(firstPause + time.Minute)
			var got atomic.Int32
			parallel(8, func(int) {
				c, err := e.store.Claim(e.ctx, webhook.ClaimRequest{LeaseTerms: terms(10, 10)})
				if err != nil {
					e.Errorf("Claim: %v", err)
				}
				got.Add(int32(len(c.Deliveries)))
			})
			same(e, "leased by all", got.Load(), 1)
		},
	},
	{
		name:     "TheTrialOfADeadProcess",
		sentence: "When the process that has a trial is ended, the trial is repeated at once.",
		run: func(e *env) {
			watch, dies := e.process(), e.process()
			e.failedEndpoint(3)
			e.advance(firstPause + time.Minute)
			dies = e.beat(webhook.Heartbeat{Process: dies, For: alive}).Process
			same(e, "trials", len(e.claim(of(dies)).Deliveries), 1)
			e.none("a trial is leased")
			e.h.Advance(e.TB, e.store, alive+time.Minute)
			same(e, "Ended", e.lives(watch, e.quiet(watch, 1)...).Ended, 1)
			e.maintain()
			e.one()
			e.none("another trial is leased")
		},
	},
	{
		name:     "TrialsBecomeRarer",
		sentence: "A trial that fails uses up an attempt, and the next one is due after twice the pause, at most MaxRecover; one that is released is repeated after Delay.",
		run: func(e *env) {
			e.failedEndpoint(3)
			for i, d := range []time.Duration{20 * time.Minute, 40 * time.Minute, 60 * time.Minute, 60 * time.Minute} {
				e.trialIn(fmt.Sprintf("number %d", i+1), d)
				e.advance(d - 5*time.Minute)
				e.none("the trial is due in 5 minutes")
				e.advance(6 * time.Minute)
				trial := e.one()
				s := result(trial, webhook.OutcomeReleased)
				s.Delay = 10 * time.Minute
				e.applied(recovering(s))
				e.trialIn("after one that was released", 10*time.Minute)
				e.advance(11 * time.Minute)
				trial = e.one()
				s = result(trial, webhook.OutcomeRetry)
				s.Delay = 0
				e.applied(recovering(s))
				same(e, "attempts made", len(e.attempts(trial)), trial.Attempts+1)
				e.maintain()
			}
		},
	},
	{
		name:     "ATrialThatSucceedsEnables",
		sentence: "Delivered enables the endpoint, which Enabled reports once, without failures and under a higher Revision; all that is held is released, and new deliveries are handed off.",
		run: func(e *env) {
			e.failedEndpoint(5)
			e.advance(firstPause + time.Minute)
			e.applied(recovering(result(e.one(), webhook.OutcomeExhausted)))
			e.advance(2*firstPause + time.Minute)
			was := e.get("wh_1")
			r := e.applied(recovering(result(e.one(), webhook.OutcomeDelivered)))
			if len(r.Enabled) != 1 {
				e.Fatalf("Enabled: got %d endpoints, want 1", len(r.Enabled))
			}
			near(e, "DisabledAt", r.Enabled[0].DisabledAt, was.DisabledAt)
			r.Enabled[0].DisabledAt = time.Time{}
			same(e, "Enabled", r.Enabled[0], webhook.EndpointEnabled{EndpointID: "wh_1", AccountID: acct, Trials: 2})
			is := e.get("wh_1")
			same(e, "Status", is.Status, webhook.EndpointActive)
			same(e, "DisabledReason", is.DisabledReason, "")
			same(e, "ConsecutiveFailures", is.ConsecutiveFailures, 0)
			e.check(is.DisabledAt.IsZero() && is.TrialAt.IsZero(), "DisabledAt or TrialAt is still set")
			e.check(is.Revision > was.Revision, "Revision did not grow")
			same(e, "handed off", len(e.groups(e.store, terms(1, 1), events("new", 1)).Leased), 1)
			same(e, "released", e.maintain().Released, 3)
			all := e.claimAll()
			same(e, "claimed", len(all), 3)
			same(e, "Enabled by another success", len(e.applied(recovering(result(all[0], webhook.OutcomeDelivered))).Enabled), 0)
			e.applied(recovering(failure(all[1], 1)))
			e.trialIn("after it was disabled again", firstPause)
		},
	},
	{
		name:     "ATrialWaitsForADelivery",
		sentence: "Without a held delivery the trial waits for one.",
		run: func(e *env) {
			e.failedEndpoint(0)
			e.advance(firstPause + time.Minute)
			e.none("nothing is held")
			e.enqueue(events("new", 2)...)
			e.maintain()
			e.applied(recovering(result(e.one(), webhook.OutcomeDelivered)))
			same(e, "Status", e.get("wh_1").Status, webhook.EndpointActive)
			e.claimable("when it is enabled", 1)
		},
	},
	{
		name:     "TrialsEnd",
		sentence: "Disabled by hand or by 410, enabled by hand, or settled without Recover, an endpoint has no trials any more; they end with its deletion.",
		run: func(e *env) {
			e.failedEndpoint(8)
			e.disable("wh_1")
			same(e, "DisabledReason", e.get("wh_1").DisabledReason, webhook.DisabledManually)
			e.noTrials("of one that was then disabled by hand")
			again := func() webhook.Leased {
				e.Helper()
				e.enable("wh_1")
				e.check(e.get("wh_1").TrialAt.IsZero(), "TrialAt is set of one that was enabled")
				e.maintain()
				e.applied(recovering(failure(e.claim(terms(1, 1)).Deliveries[0], 1)))
				e.advance(firstPause + time.Minute)
				return e.one()
			}
			f := e.applied(recovering(result(again(), webhook.OutcomeGone))).Failing
			same(e, "Failing after 410", bare(f), []webhook.EndpointFailures{{EndpointID: "wh_1", AccountID: acct, Failures: 1, Disabled: webhook.DisabledGone}})
			e.noTrials("after a trial that got 410")
			same(e, "Enabled without Recover", len(e.applied(result(again(), webhook.OutcomeDelivered)).Enabled), 0)
			same(e, "Status", e.get("wh_1").Status, webhook.EndpointInactive)
			e.noTrials("after a success without Recover")
			again()
			e.delete("wh_1")
			e.advance(2 * longestPause)
			e.none("the endpoint is deleted")
		},
	},
	{
		name:     "OldResultsAreNoTrials",
		sentence: "What was sent before the endpoint was disabled, or before its URL changed, neither enables it nor makes a trial later.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 6)...)
			l := e.claim(terms(3, 3)).Deliveries
			e.applied(recovering(failure(l[0], 1)))
			same(e, "Enabled by an old success", len(e.applied(recovering(result(l[1], webhook.OutcomeDelivered))).Enabled), 0)
			e.applied(recovering(result(l[2], webhook.OutcomeRetry)))
			e.trialIn("after results of before", firstPause)
			e.advance(firstPause + time.Minute)
			trial := e.one()
			e.update("wh_1", true, func(r *webhook.EndpointRecord) { r.URL = "https://example.org/new" })
			e.none("a trial is leased")
			same(e, "Enabled by a trial of the old URL", len(e.applied(recovering(result(trial, webhook.OutcomeDelivered))).Enabled), 0)
			same(e, "Status", e.get("wh_1").Status, webhook.EndpointInactive)
			trial = e.one()
			same(e, "URL of the next trial", trial.Target.URL, "https://example.org/new")
			same(e, "Enabled by a trial", len(e.applied(recovering(result(trial, webhook.OutcomeDelivered))).Enabled), 1)
		},
	},
}

func bareStats(s webhook.QueueStats) webhook.QueueStats {
	s.OldestReady = 0
	return s
}
