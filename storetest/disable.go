package storetest

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/ringyo-ai/webhook"
)

var disableRules = []rule{
	{
		name:     "FailuresAreCounted",
		sentence: "Counts adds one to the endpoint's consecutive failures, and Failing reports it; delivered sets them to zero by itself.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.endpoint("wh_2", "credits.low")
			e.enqueue(events("evt", 8)...)
			l := e.claimAll()
			e.applied(result(l[0], webhook.OutcomeExhausted))
			same(e, "failures after one that does not count", e.get("wh_1").ConsecutiveFailures, 0)
			r := e.applied(failure(l[1], 0), failure(l[2], 0))
			same(e, "Failing", bare(r.Failing), []webhook.EndpointFailures{{EndpointID: "wh_1", AccountID: acct, Failures: 2, Added: 2}})
			ep := e.get("wh_1")
			same(e, "ConsecutiveFailures", ep.ConsecutiveFailures, 2)
			e.recent("FailingSince", ep.FailingSince)
			since := ep.FailingSince
			retry := result(l[3], webhook.OutcomeRetry)
			retry.Counts = true
			r = e.applied(retry)
			same(e, "Failing after a retry that counts", bare(r.Failing), []webhook.EndpointFailures{{EndpointID: "wh_1", AccountID: acct, Failures: 3, Added: 1}})
			near(e, "FailingSince after another failure", e.get("wh_1").FailingSince, since)
			same(e, "failures of another endpoint", e.get("wh_2").ConsecutiveFailures, 0)
			e.deliver(l[4])
			ep = e.get("wh_1")
			same(e, "failures after a success", ep.ConsecutiveFailures, 0)
			e.check(ep.FailingSince.IsZero(), "FailingSince is still set after a success")
			same(e, "endpoint's status", ep.Status, webhook.EndpointActive)
			r = e.applied(failure(l[5], 0))
			same(e, "Failing after a success", bare(r.Failing), []webhook.EndpointFailures{{EndpointID: "wh_1", AccountID: acct, Failures: 1, Added: 1}})
		},
	},
	{
		name:     "TheLastFailureIsReported",
		sentence: "A failure that counts or disables is the endpoint's LastFailure, as ListAttempts returns it but without ResponseBody and Location, and reported with it; it stays until the next.",
		run: func(e *env) {
			made := e.endpoint("wh_1")
			same(e, "LastFailure of a new endpoint", made.LastFailure, webhook.Attempt{})
			e.enqueue(events("evt", 8)...)
			l := e.claimAll()
			retry := result(l[0], webhook.OutcomeRetry)
			retry.Attempt.StatusCode, retry.Attempt.Failure, retry.Attempt.Detail = 0, webhook.FailureTimeout, "no response in time"
			e.applied(retry)
			e.lastFailure("after a retry", nil, l[0])
			first := failure(l[1], 0)
			first.Attempt.ResponseBody, first.Attempt.Location, first.Attempt.Revision = []byte("of the peer"), "/of the peer", 7
			e.lastFailure("after a failure that counts", e.applied(first).Failing, l[1])
			e.lastFailure("after two in one call", e.applied(failure(l[2], 0), failure(l[3], 0)).Failing, l[3])
			e.deliver(l[4])
			e.lastFailure("after a success", nil, l[3])
			old := l[5]
			e.update("wh_1", true, func(r *webhook.EndpointRecord) {
				r.URL, r.LastFailure = "https://example.org/new", webhook.Attempt{DeliveryID: "another"}
			})
			e.lastFailure("after an update", nil, l[3])
			e.applied(failure(old, 1))
			e.lastFailure("after a failure of the old generation", nil, l[3])

			e.applied(result(l[6], webhook.OutcomeReleased), result(l[7], webhook.OutcomeReleased))
			l = e.claimAll()
			e.lastFailure("after the one that disabled, with others in the call", e.applied(failure(l[0], 1), failure(l[1], 1)).Failing, l[0])
		},
	},
	{
		name:     "NineOneNineIsNotDisabled",
		sentence: "DisableAfter is the number of consecutive failures that disables: nine, a success and nine more do not reach ten.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 38)...)
			l := e.claimAll()
			for i, x := range l[:19] {
				s := failure(x, 10)
				if i == 9 {
					s = result(x, webhook.OutcomeDelivered)
				}
				for _, f := range e.applied(s).Failing {
					same(e, "Disabled", f.Disabled, "")
				}
			}
			same(e, "endpoint's status", e.get("wh_1").Status, webhook.EndpointFailing)
			same(e, "ConsecutiveFailures", e.get("wh_1").ConsecutiveFailures, 9)
			e.enable("wh_1") // a new generation, whose results are in one batch
			for _, x := range l[19:] {
				e.applied(result(x, webhook.OutcomeReleased))
			}
			var batch []webhook.Settlement
			for i, x := range e.claimAll() {
				s := failure(x, 10)
				if i == 9 {
					s = result(x, webhook.OutcomeDelivered)
				}
				batch = append(batch, s)
			}
			same(e, "Failing of nineteen in one batch", bare(e.applied(batch...).Failing),
				[]webhook.EndpointFailures{{EndpointID: "wh_1", AccountID: acct, Failures: 9, Added: 18}})
			same(e, "endpoint's status", e.get("wh_1").Status, webhook.EndpointFailing)
		},
	},
	{
		name:     "TenFailuresDisableOnce",
		sentence: "The settlement that reaches the threshold disables the endpoint, exactly once: Revision and Generation grow, and later failures of the old generation do not count.",
		run: func(e *env) {
			was := e.endpoint("wh_1")
			e.enqueue(events("evt", 25)...)
			l := e.claim(terms(20, 20)).Deliveries
			var disabled []webhook.EndpointFailures
			for _, x := range l[:12] {
				for _, f := range e.applied(failure(x, 10)).Failing {
					if f.Disabled != "" {
						disabled = append(disabled, f)
					}
				}
			}
			same(e, "disabled", bare(disabled), []webhook.EndpointFailures{
				{EndpointID: "wh_1", AccountID: acct, Failures: 10, Added: 1, Disabled: webhook.DisabledFailing},
			})
			ep := e.get("wh_1")
			same(e, "Status", ep.Status, webhook.EndpointInactive)
			same(e, "DisabledReason", ep.DisabledReason, webhook.DisabledFailing)
			same(e, "ConsecutiveFailures", ep.ConsecutiveFailures, 10)
			e.recent("DisabledAt", ep.DisabledAt)
			e.check(ep.Revision > was.Revision, "Revision did not grow")
			e.check(ep.Generation > was.Generation, "Generation did not grow")
			same(e, "Held by Maintain", e.maintain().Held, 5)

			e.enable("wh_1")
			e.maintain()
			for _, x := range l[12:] { // of the generation before: they count no more
				same(e, "Failing of the old generation", len(e.applied(failure(x, 1)).Failing), 0)
			}
			same(e, "Status", e.get("wh_1").Status, webhook.EndpointActive)
			e.enqueue(events("more", 10)...)
			var batch []webhook.Settlement
			for _, x := range e.claimAll() {
				batch = append(batch, failure(x, 10))
			}
			same(e, "Failing of fifteen in one batch", bare(e.applied(batch...).Failing),
				[]webhook.EndpointFailures{{EndpointID: "wh_1", AccountID: acct, Failures: 10, Added: 10, Disabled: webhook.DisabledFailing}})
		},
	},
	{
		name:     "DisablingHappensOnceInARace", // D7
		sentence: "The threshold is crossed exactly once, however many processes settle at once.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 5*racedThreshold)...)
			l := e.claimAll()
			var disabled, added atomic.Int32
			parallel(racedThreshold, func(i int) {
				for _, x := range l[5*i : 5*i+5] {
					r, err := e.store.Settle(e.ctx, []webhook.Settlement{failure(x, racedThreshold)})
					if err != nil || r.Results[0].Status != webhook.SettleApplied {
						e.Errorf("Settle: got %+v, %v", r.Results, err)
						return
					}
					for _, f := range r.Failing {
						added.Add(int32(f.Added))
						if f.Disabled != "" {
							disabled.Add(1)
						}
					}
				}
			})
			same(e, "times disabled", disabled.Load(), 1)
			same(e, "failures counted", added.Load(), racedThreshold)
			same(e, "ConsecutiveFailures", e.get("wh_1").ConsecutiveFailures, racedThreshold)
		},
	},
	{
		name:     "MinFailingDelaysDisabling",
		sentence: "MinFailing is how long the endpoint must also have been failing.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 5)...)
			l := e.claimAll()
			fail := func(x webhook.Leased) webhook.EndpointStatus {
				e.Helper()
				s := failure(x, 2)
				s.MinFailing = 20 * time.Minute
				e.applied(s)
				return e.get("wh_1").Status
			}
			fail(l[0])
			e.h.Advance(e.TB, e.store, 5*time.Minute)
			same(e, "after 3 failures in 5 minutes", fail(l[1]), webhook.EndpointFailing)
			same(e, "after 3 failures in 5 minutes", fail(l[2]), webhook.EndpointFailing)
			e.h.Advance(e.TB, e.store, 20*time.Minute)
			same(e, "after 4 failures in 25 minutes", fail(l[3]), webhook.EndpointInactive)
		},
	},
	{
		name:     "DisableAfterZeroHoldsBack",
		sentence: "DisableAfter 0 holds disabling back, without forgetting the failure.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 13)...)
			l := e.claimAll()
			for _, x := range l[:12] {
				for _, f := range e.applied(failure(x, 0)).Failing {
					same(e, "Disabled", f.Disabled, "")
				}
			}
			same(e, "ConsecutiveFailures", e.get("wh_1").ConsecutiveFailures, 12)
			r := e.applied(failure(l[12], 10))
			same(e, "Failing", bare(r.Failing), []webhook.EndpointFailures{
				{EndpointID: "wh_1", AccountID: acct, Failures: 13, Added: 1, Disabled: webhook.DisabledFailing},
			})
		},
	},
	{
		name:     "OldGenerationChangesNoEndpoint", // D6
		sentence: "When Generation is not the endpoint's any more, the result is recorded for the delivery but changes nothing at the endpoint: neither counters, nor status, nor times.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 4)...)
			old := e.claim(terms(3, 3)).Deliveries
			e.update("wh_1", true, func(r *webhook.EndpointRecord) { r.URL = "https://example.org/new" })
			r := e.applied(failure(old[0], 1))
			same(e, "Failing of an old failure", len(r.Failing), 0)
			e.status(old[0], webhook.DeliveryExhausted)
			ep := e.get("wh_1")
			same(e, "Status", ep.Status, webhook.EndpointActive)
			same(e, "ConsecutiveFailures", ep.ConsecutiveFailures, 0)
			e.check(ep.LastFailureAt.IsZero() && ep.LastTriggeredAt.IsZero(), "a time of the endpoint was set by an old generation")
			e.applied(failure(e.one(), 0))
			e.deliver(old[1])
			e.status(old[1], webhook.DeliveryDelivered)
			ep = e.get("wh_1")
			same(e, "failures after an old success", ep.ConsecutiveFailures, 1)
			same(e, "status after an old success", ep.Status, webhook.EndpointFailing)
			e.disable("wh_1")
			e.deliver(old[2])
			same(e, "status after a success of an inactive endpoint", e.get("wh_1").Status, webhook.EndpointInactive)
		},
	},
}

// bare returns the reports without the failures that they tell of.
func bare(failing []webhook.EndpointFailures) []webhook.EndpointFailures {
	list := slices.Clone(failing)
	for i := range list {
		list[i].LastFailure = webhook.Attempt{}
	}
	return list
}

// lastFailure compares the LastFailure of wh_1, and the one reported if any was, with
// the latest attempt of a delivery.
func (e *env) lastFailure(what string, failing []webhook.EndpointFailures, l webhook.Leased) {
	e.Helper()
	log := e.attempts(l)
	want := log[len(log)-1]
	want.ResponseBody, want.Location = nil, ""
	same(e, "LastFailure "+what, e.get("wh_1").LastFailure, want)
	for _, f := range failing {
		same(e, "LastFailure reported "+what, f.LastFailure, want)
	}
}
