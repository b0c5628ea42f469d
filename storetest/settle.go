package storetest

import (
	"strings"
	"time"

	"github.com/ringyo-ai/webhook"
)

var settleRules = []rule{
	{
		name:     "DeliveredEnds",
		sentence: "OutcomeDelivered ends a delivery, with its attempt in the log, and makes its endpoint active.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(event("evt_1"))
			l := e.one()
			pending := e.delivery(l.DeliveryID)
			same(e, "status while leased", pending.Status, webhook.DeliveryPending)
			r := e.applied(result(l, webhook.OutcomeDelivered))
			same(e, "status in the result", r.Results[0].Delivery, webhook.DeliveryDelivered)
			same(e, "endpoints reported", len(r.Failing), 0)
			d := e.delivery(l.DeliveryID)
			same(e, "Status", d.Status, webhook.DeliveryDelivered)
			same(e, "Attempts", d.Attempts, 1)
			same(e, "Reason", d.Reason, "")
			same(e, "EventID", d.EventID, "evt_1")
			same(e, "EventType", d.EventType, webhook.EventCallCompleted)
			same(e, "EndpointID", d.EndpointID, "wh_1")
			same(e, "AccountID", d.AccountID, acct)
			e.recent("CompletedAt", d.CompletedAt)
			e.recent("CreatedAt", d.CreatedAt)
			e.check(d.NextAttemptAt.IsZero(), "NextAttemptAt of a finished delivery is set")
			ep := e.get("wh_1")
			same(e, "endpoint's status", ep.Status, webhook.EndpointActive)
			e.recent("LastSuccessAt", ep.LastSuccessAt)
			e.recent("LastTriggeredAt", ep.LastTriggeredAt)
			e.advance(2 * lease)
			e.none("it is delivered")
		},
	},
	{
		name:     "RetryIsDueAfterItsDelay",
		sentence: "OutcomeRetry makes the delivery due again after the delay and uses up one attempt.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(event("evt_1"))
			for i, delay := range []time.Duration{10 * time.Minute, 3 * time.Hour, 0} {
				l := e.one()
				same(e, "Attempts", l.Attempts, i)
				s := result(l, webhook.OutcomeRetry)
				s.Delay = delay
				r := e.applied(s)
				same(e, "status in the result", r.Results[0].Delivery, webhook.DeliveryPending)
				if delay > 0 {
					near(e, "NextAttemptAt", e.delivery(l.DeliveryID).NextAttemptAt, r.Now.Add(delay))
					e.advance(delay - 5*time.Minute)
					e.none("the delay has 5 minutes left")
				}
				e.advance(6 * time.Minute)
			}
			same(e, "Attempts", e.one().Attempts, 3)
			same(e, "endpoint's status", e.get("wh_1").Status, webhook.EndpointFailing)
		},
	},
	{
		name:     "ExhaustedEnds",
		sentence: "OutcomeExhausted ends a delivery with its reason: no attempt is left.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 2)...)
			l := e.claimAll()
			r := e.applied(result(l[0], webhook.OutcomeExhausted))
			same(e, "status in the result", r.Results[0].Delivery, webhook.DeliveryExhausted)
			d := e.delivery(l[0].DeliveryID)
			same(e, "Status", d.Status, webhook.DeliveryExhausted)
			same(e, "Reason", d.Reason, webhook.ReasonAttempts)
			e.recent("CompletedAt", d.CompletedAt)
			ep := e.get("wh_1")
			same(e, "endpoint's status", ep.Status, webhook.EndpointFailing)
			e.recent("LastFailureAt", ep.LastFailureAt)
			same(e, "failures of one that does not count", ep.ConsecutiveFailures, 0)
			poison := result(l[1], webhook.OutcomeExhausted)
			poison.Attempt, poison.Reason = nil, webhook.ReasonAbandoned
			e.applied(poison)
			same(e, "Reason", e.delivery(l[1].DeliveryID).Reason, webhook.ReasonAbandoned)
			e.advance(2 * lease)
			e.none("both have ended")
		},
	},
	{
		name:     "ReleaseCostsNothing",
		sentence: "OutcomeReleased gives a delivery back after the delay without using up an attempt; a release with a delay adds one to Releases, until an attempt is used up.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(event("evt_1"))
			release := func(d time.Duration) {
				e.Helper()
				s := result(e.one(), webhook.OutcomeReleased)
				s.Delay = d
				e.applied(s)
				if d > 0 {
					e.maintain()
					e.none("the release has a delay")
				}
				e.advance(d)
			}
			release(0)
			release(10 * time.Minute)
			release(0)
			release(10 * time.Minute)
			l := e.one()
			sameLeased(e, l, leasedWant{url: l.Target.URL, releases: 2})
			same(e, "attempts logged", len(e.attempts(l)), 0)
			same(e, "endpoint's status", e.get("wh_1").Status, webhook.EndpointActive)
			e.applied(result(l, webhook.OutcomeRetry))
			e.advance(11 * time.Minute)
			sameLeased(e, e.one(), leasedWant{url: l.Target.URL, attempts: 1})
		},
	},
	{
		name:     "GoneEndsAndDisables",
		sentence: "OutcomeGone ends a delivery, exhausted with the reason gone, and disables the endpoint, if the generation is still the endpoint's; its other deliveries are held.",
		run: func(e *env) {
			was := e.endpoint("wh_1")
			e.enqueue(events("evt", 4)...)
			l := e.claim(terms(3, 3)).Deliveries
			r := e.applied(result(l[0], webhook.OutcomeGone))
			d := e.delivery(l[0].DeliveryID)
			same(e, "Status", d.Status, webhook.DeliveryExhausted)
			same(e, "Reason", d.Reason, webhook.ReasonGone)
			if len(r.Failing) != 1 || r.Failing[0].Disabled != webhook.DisabledGone || r.Failing[0].EndpointID != "wh_1" || r.Failing[0].AccountID != acct {
				e.Errorf("Failing: got %+v, want wh_1 disabled because it is gone", r.Failing)
			}
			ep := e.get("wh_1")
			same(e, "endpoint's status", ep.Status, webhook.EndpointInactive)
			same(e, "DisabledReason", ep.DisabledReason, webhook.DisabledGone)
			e.recent("DisabledAt", ep.DisabledAt)
			e.check(ep.Revision > was.Revision && ep.Generation > was.Generation, "Revision and Generation did not grow: %d, %d", ep.Revision, ep.Generation)
			same(e, "Held by Maintain", e.maintain().Held, 1)
			e.none("the endpoint is inactive")

			e.enable("wh_1")
			r = e.applied(result(l[1], webhook.OutcomeGone))
			same(e, "endpoints reported for an old generation", len(r.Failing), 0)
			same(e, "status after a 410 of an old generation", e.get("wh_1").Status, webhook.EndpointActive)
			same(e, "Reason of the old delivery", e.delivery(l[1].DeliveryID).Reason, webhook.ReasonGone)
		},
	},
	{
		name:     "AttemptsAreLogged",
		sentence: "Attempts of one delivery are numbered from 1, over redeliveries too; ListAttempts returns them oldest first; without a row an attempt is used up all the same.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(event("evt_1"))
			l := e.one()
			first := result(l, webhook.OutcomeRetry)
			first.Attempt.At = e.now().Truncate(time.Millisecond)
			first.Attempt.Detail, first.Attempt.ResponseBody = "responded with 500", []byte{0, 0xff, 'x'}
			e.applied(first)
			e.advance(11 * time.Minute)
			unlogged := result(e.one(), webhook.OutcomeRetry)
			unlogged.Attempt = nil
			e.applied(unlogged)
			e.advance(11 * time.Minute)
			l = e.one()
			same(e, "Attempts used up", l.Attempts, 2)
			e.deliver(l)
			e.redeliver(l)
			e.deliver(e.one())
			log := e.attempts(l)
			if len(log) != 3 {
				e.Fatalf("attempts logged: got %d, want 3", len(log))
			}
			for i, a := range log {
				same(e, "Number", a.Number, i+1)
				same(e, "DeliveryID", a.DeliveryID, l.DeliveryID)
				e.check(a.ID != "", "an attempt has no id")
			}
			got, want := log[0], *first.Attempt
			same(e, "ID", got.ID, want.ID)
			same(e, "StatusCode", got.StatusCode, want.StatusCode)
			same(e, "Failure", got.Failure, want.Failure)
			same(e, "Detail", got.Detail, want.Detail)
			same(e, "ResponseBody", string(got.ResponseBody), string(want.ResponseBody))
			same(e, "Duration", got.Duration.Round(time.Millisecond), want.Duration)
			same(e, "failure of the last", log[2].Failure, "")
			same(e, "status of the last", log[2].StatusCode, 200)
			same(e, "Delivery.Attempts", e.delivery(l.DeliveryID).Attempts, 3)
			e.redeliver(l)
			before := e.one()
			released := result(before, webhook.OutcomeReleased)
			released.Attempt = &webhook.Attempt{ID: "att_" + strings.Repeat("f", 32), At: e.now(), Failure: webhook.FailureDNSTemporary}
			e.applied(released)
			e.maintain()
			same(e, "Attempts after a release with a row", e.one().Attempts, before.Attempts)
			log = e.attempts(l)
			same(e, "attempts logged with a release", len(log), 4)
			same(e, "Number of a release's row", log[3].Number, 4)
			same(e, "endpoint's status after a release with a row", e.get("wh_1").Status, webhook.EndpointActive)
			_, err := e.store.ListAttempts(e.ctx, acct, webhook.NewDeliveryID())
			e.wantErr("ListAttempts of no delivery", err, webhook.ErrNotFound)
		},
	},
	{
		name:     "AttemptsTellWhereTheyWent",
		sentence: "A Target has its endpoint's Revision; an attempt comes back with its Revision and Location, whatever became of it.",
		run: func(e *env) {
			first := e.endpoint("wh_1")
			e.enqueue(event("evt_1"))
			l := e.one()
			same(e, "Revision of the target", l.Target.Revision, first.Revision)
			failed := result(l, webhook.OutcomeRetry)
			failed.Attempt.Revision, failed.Attempt.Location = l.Target.Revision, oddURL
			e.applied(failed)
			second := e.update("wh_1", true, func(r *webhook.EndpointRecord) { r.URL = "https://example.org/moved" })
			e.advance(11 * time.Minute)
			l = e.one()
			same(e, "Revision of the target after a change", l.Target.Revision, second.Revision)
			sent := func(l webhook.Leased) {
				s := result(l, webhook.OutcomeDelivered)
				s.Attempt.Revision = l.Target.Revision
				e.applied(s)
			}
			sent(l)
			e.enqueue(event("evt_2"), event("evt_3"))
			for _, l := range e.claimAll() { // with nothing to change of the endpoint
				sent(l)
				same(e, "Revision of what was delivered", e.attempts(l)[0].Revision, second.Revision)
			}
			e.redeliver(l)
			sent(e.one())
			log := e.attempts(l)
			if len(log) != 3 {
				e.Fatalf("attempts logged: got %d, want 3", len(log))
			}
			same(e, "Revision of the first", log[0].Revision, first.Revision)
			same(e, "Location of the first", log[0].Location, oddURL)
			same(e, "Revision of one before a redelivery", log[1].Revision, second.Revision)
			same(e, "Revision of the last", log[2].Revision, second.Revision)
			same(e, "Location of the last", log[2].Location, "")
			r := e.groups(e.store, terms(1, 1), []webhook.EventRecord{event("evt_4")})
			same(e, "Revision of what is handed off", r.Leased[0].Target.Revision, second.Revision)
			off := e.disable("wh_1")
			e.check(off.Revision > second.Revision, "Revision did not grow with disabling")
		},
	},
	{
		name:     "SettleAnswersInOrder", // E26
		sentence: "Settle returns results in the order of the argument; one that cannot be recorded does not lose the others.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 4)...)
			l := e.claimAll()
			wrong := result(l[1], webhook.OutcomeRetry)
			wrong.Token++
			missing := result(l[1], webhook.OutcomeRetry)
			missing.DeliveryID = webhook.NewDeliveryID()
			r := e.settle(result(l[0], webhook.OutcomeDelivered), wrong, result(l[2], webhook.OutcomeExhausted), missing,
				result(l[3], webhook.OutcomeRetry), result(l[3], webhook.OutcomeExhausted))
			want := []webhook.SettleResult{
				{Status: webhook.SettleApplied, Delivery: webhook.DeliveryDelivered},
				{Status: webhook.SettleStale},
				{Status: webhook.SettleApplied, Delivery: webhook.DeliveryExhausted},
				{Status: webhook.SettleStale},
				{Status: webhook.SettleApplied, Delivery: webhook.DeliveryPending},
				{Status: webhook.SettleStale},
			}
			for i, got := range r.Results {
				if got.Status == webhook.SettleStale {
					got.Delivery = "" // only an applied one has it
				}
				same(e, "result", got, want[i])
			}
			same(e, "empty batch", len(e.settle().Results), 0)
		},
	},
}

var fenceRules = []rule{
	{
		name:     "StaleTokenChangesNothing", // D12
		sentence: "A stale token, or the id of a delivery that is not there any more, changes nothing and returns SettleStale.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(event("evt_1"))
			old := e.one()
			failures := []webhook.Outcome{webhook.OutcomeRetry, webhook.OutcomeExhausted, webhook.OutcomeReleased, webhook.OutcomeGone}
			unchanged := func(what string, l webhook.Leased) {
				e.Helper()
				for _, o := range failures {
					s := result(l, o)
					s.Counts, s.DisableAfter = true, 1
					e.stale(what, s)
				}
				ep := e.get("wh_1")
				same(e, what+": failures counted", ep.ConsecutiveFailures, 0)
				same(e, what+": endpoint's status", ep.Status, webhook.EndpointActive)
				same(e, what+": attempts logged", len(e.attempts(l)), 0)
			}
			forged := old
			forged.Token ^= 0x55aa
			unchanged("a forged token", forged)
			e.advance(2 * lease)
			unchanged("a lease that ended", old)
			l := e.one()
			e.check(l.Token != old.Token, "two leases have the same token")
			unchanged("the lease before this one", old)
			e.status(l, webhook.DeliveryPending)
			e.none("it is leased")
			e.applied(result(l, webhook.OutcomeRetry))
			e.stale("a lease that was settled", result(l, webhook.OutcomeExhausted))
			e.status(l, webhook.DeliveryPending)
			nobody := result(l, webhook.OutcomeDelivered)
			nobody.DeliveryID = webhook.NewDeliveryID()
			e.stale("a delivery that is not there", nobody)
		},
	},
	{
		name:     "DeliveredWinsFromEveryState", // D14
		sentence: "OutcomeDelivered wins from every state but delivered: held, exhausted, cancelled or leased to somebody else.",
		run: func(e *env) {
			win := func(state string, l webhook.Leased) {
				e.Helper()
				r := e.settle(result(l, webhook.OutcomeDelivered)).Results[0]
				same(e, "late success of one that is "+state, r.Status, webhook.SettleApplied)
				same(e, "delivery that was "+state, e.delivery(l.DeliveryID).Status, webhook.DeliveryDelivered)
				e.stale("a second success", result(l, webhook.OutcomeDelivered))
			}
			next := func() webhook.Leased {
				e.Helper()
				e.enqueue(event("evt_" + webhook.NewDeliveryID()))
				return e.one()
			}
			e.endpoint("wh_1")

			l := next()
			e.advance(2 * lease)
			win("ready again", l)
			e.none("it is delivered")

			l = next()
			e.advance(2 * lease)
			second := e.one()
			win("leased to somebody else", l)
			e.stale("the failure of the second", result(second, webhook.OutcomeRetry))
			e.status(l, webhook.DeliveryDelivered)
			same(e, "attempts logged", len(e.attempts(l)), 1)

			l = next()
			e.applied(result(l, webhook.OutcomeRetry))
			win("waiting", l)

			l = next()
			e.applied(result(l, webhook.OutcomeExhausted))
			win("exhausted", l)
			same(e, "Reason", e.delivery(l.DeliveryID).Reason, "")

			l = next()
			e.disable("wh_1")
			e.advance(2 * lease)
			e.status(l, webhook.DeliveryHeld)
			win("held", l)
			e.enable("wh_1")
			e.maintain()
			e.none("it is delivered")

			l = next()
			e.delete("wh_1")
			e.advance(2 * lease)
			e.status(l, webhook.DeliveryCancelled)
			win("cancelled", l)
			e.advance(2 * lease)
			same(e, "unfinished deliveries", e.stats(""), webhook.QueueStats{})
		},
	},
	{
		name:     "ExpiredLeasesAreCounted", // F3, F14
		sentence: "Expired is the number of leases in a row that ended without a Settle.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(event("evt_1"))
			for i := range 3 {
				l := e.one()
				sameLeased(e, l, leasedWant{url: l.Target.URL, expired: i})
				m := e.advance(2 * lease)
				same(e, "Readied", m.Readied, 1)
			}
			l := e.one()
			same(e, "Expired", l.Expired, 3)
			e.applied(result(l, webhook.OutcomeRetry))
			e.advance(11 * time.Minute)
			l = e.one()
			sameLeased(e, l, leasedWant{url: l.Target.URL, attempts: 1})
			e.advance(2 * lease)
			l = e.one()
			same(e, "Expired", l.Expired, 1)
			e.applied(result(l, webhook.OutcomeReleased))
			e.maintain()
			l = e.one()
			sameLeased(e, l, leasedWant{url: l.Target.URL, attempts: 1})
		},
	},
}
