package storetest

import (
	"sync/atomic"
	"time"

	"github.com/ringyo-ai/webhook"
)

var maintainRules = []rule{
	{
		name:     "MaintainReadiesInBatches", // G4
		sentence: "Maintain works on at most about Limit rows of each kind: what has become due is made ready, expired leases too; More says that a limit was reached.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 30)...)
			var batch []webhook.Settlement
			for _, l := range e.claimAll()[:15] {
				batch = append(batch, result(l, webhook.OutcomeRetry))
			}
			e.applied(batch...)
			same(e, "Readied before anything is due", e.maintain().Readied, 0)
			e.h.Advance(e.TB, e.store, 2*lease)
			inBatches(e, "Readied", 30, func(m webhook.Maintained) int { return m.Readied })
			same(e, "claimed", len(e.claimAll()), 30)
		},
	},
	{
		name:     "HoldingAndReleasingGoInBatches", // G6
		sentence: "Deliveries of inactive endpoints are held and those of active ones released, at most about Limit a call.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 30)...)
			e.disable("wh_1")
			inBatches(e, "Held", 30, func(m webhook.Maintained) int { return m.Held })
			same(e, "held", e.stats("wh_1").Held, 30)
			e.enable("wh_1")
			inBatches(e, "Released", 30, func(m webhook.Maintained) int { return m.Released })
			same(e, "claimed", len(e.claimAll()), 30)
		},
	},
	{
		name:     "HoldingStopsWhenEnabledAgain",
		sentence: "Switching on in the middle of holding makes everything claimable again.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 30)...)
			e.disable("wh_1")
			m, err := e.store.Maintain(e.ctx, webhook.MaintainRequest{Limit: 5})
			e.must("Maintain", err)
			e.check(m.More, "More is not set with deliveries left to hold")
			e.enable("wh_1")
			same(e, "Held after enabling", e.maintain().Held, 0)
			same(e, "claimed", len(e.claimAll()), 30)
		},
	},
	{
		name:     "MaintainMayBeCalledByMany",
		sentence: "Any number of processes may call Maintain: each delivery is moved once.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 60)...)
			e.claimAll()
			e.h.Advance(e.TB, e.store, 2*lease)
			var readied atomic.Int32
			parallel(racedMaintainers, func(int) {
				for range 100 {
					m, err := e.store.Maintain(e.ctx, webhook.MaintainRequest{Limit: racedBatch})
					if err != nil {
						e.Errorf("Maintain: %v", err)
						return
					}
					readied.Add(int32(m.Readied))
					if !m.More {
						return
					}
				}
			})
			readied.Add(int32(e.maintain().Readied))
			same(e, "Readied by all", readied.Load(), 60)
			for _, l := range e.claimAll() {
				same(e, "Expired", l.Expired, 1)
			}
		},
	},
	{
		name:     "RetentionPurgesWhatHasEnded",
		sentence: "Maintain purges finished deliveries with their attempts, and events without deliveries, that ended longer ago than Retention; 0 purges nothing.",
		run: func(e *env) {
			e.endpoint("wh_1", "call.*")
			unheard := event("evt_unheard")
			unheard.Type = webhook.EventCreditsLow
			e.enqueue(append(events("evt", 3), unheard)...)
			l := e.claimAll()
			e.deliver(l[0])
			e.applied(result(l[1], webhook.OutcomeExhausted))
			e.h.Advance(e.TB, e.store, 30*time.Minute)
			e.deliver(l[2])
			e.enqueue(event("evt_young"))
			young := e.one()
			e.deliver(young)
			e.h.Advance(e.TB, e.store, 40*time.Minute)
			same(e, "Purged without Retention", e.maintainWith(webhook.MaintainRequest{Limit: 100}).Purged, 0)
			same(e, "Purged after two hours", e.maintainWith(webhook.MaintainRequest{Limit: 100, Retention: 2 * time.Hour}).Purged, 0)
			m := e.maintainWith(webhook.MaintainRequest{Limit: 100, Retention: time.Hour})
			same(e, "Purged: two deliveries, their events and the one without", m.Purged, 5)
			for _, old := range l[:2] {
				_, err := e.store.ListAttempts(e.ctx, acct, old.DeliveryID)
				e.wantErr("ListAttempts of a purged delivery", err, webhook.ErrNotFound)
				_, err = e.store.GetEvent(e.ctx, acct, old.Event.ID)
				e.wantErr("GetEvent of a purged event", err, webhook.ErrNotFound)
				e.stale("a purged delivery", result(old, webhook.OutcomeDelivered))
			}
			_, err := e.store.GetEvent(e.ctx, acct, "evt_unheard")
			e.wantErr("GetEvent of a purged event without deliveries", err, webhook.ErrNotFound)
			for _, kept := range []webhook.Leased{l[2], young} {
				same(e, "attempts kept", len(e.attempts(kept)), 1)
				_, err := e.store.GetEvent(e.ctx, acct, kept.Event.ID)
				e.must("GetEvent of one that ended lately", err)
			}
			same(e, "deliveries listed", len(e.list(webhook.DeliveryFilter{EndpointID: "wh_1"})), 2)
			same(e, "Ready of a purged id", e.enqueue(event(l[0].Event.ID)).Ready, 1)
		},
	},
	{
		name:     "RetentionPurgesDeletedEndpoints",
		sentence: "Maintain purges endpoints that were deleted longer ago than Retention and have no deliveries left; until then their ids are in use and their deliveries are returned.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.endpoint("wh_never", "call.failed") // gets nothing
			e.endpoint("wh_kept")
			e.enqueue(event("evt_1"))
			e.deliver(e.claimAll()...)
			e.h.Advance(e.TB, e.store, 2*time.Hour)
			e.delete("wh_1")
			e.delete("wh_never")
			used := func(when string) {
				e.Helper()
				for _, id := range []string{"wh_1", "wh_never"} {
					_, err := e.store.CreateEndpoint(e.ctx, webhook.EndpointCreate{Record: record(acct, id, "*")})
					e.wantErr("CreateEndpoint "+id+" "+when, err, webhook.ErrIDConflict)
					_, err = e.store.ListDeliveries(e.ctx, webhook.DeliveryFilter{AccountID: acct, EndpointID: id, Limit: 10})
					e.must("ListDeliveries of "+id+" "+when, err)
				}
			}
			used("before Maintain")
			e.maintainWith(webhook.MaintainRequest{Limit: 100})
			same(e, "Purged within Retention", e.maintainWith(webhook.MaintainRequest{Limit: 100, Retention: 3 * time.Hour}).Purged, 0)
			used("within Retention")
			e.maintainWith(webhook.MaintainRequest{Limit: 100, Retention: time.Hour}) // the deliveries are old, the deletions are not
			used("when the deliveries were purged")
			e.h.Advance(e.TB, e.store, 2*time.Hour)
			same(e, "Purged: both endpoints", e.maintainWith(webhook.MaintainRequest{Limit: 100, Retention: time.Hour}).Purged, 2)
			for _, id := range []string{"wh_1", "wh_never"} {
				_, err := e.store.ListDeliveries(e.ctx, webhook.DeliveryFilter{AccountID: acct, EndpointID: id, Limit: 10})
				e.wantErr("ListDeliveries of the purged "+id, err, webhook.ErrNotFound)
				e.endpoint(id)
			}
			e.enqueue(event("evt_2"))
			e.get("wh_kept")
			same(e, "deliveries to the new ones and to the one that was kept", len(e.claimAll()), 3)
		},
	},
	{
		name:     "RetentionKeepsADeletedEndpointThatHasDeliveries",
		sentence: "An endpoint that was deleted long ago stays while a delivery of it is remembered.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(event("evt_1"))
			l := e.one()
			e.delete("wh_1")
			e.h.Advance(e.TB, e.store, 2*time.Hour)
			e.deliver(l) // a known success wins
			e.maintainWith(webhook.MaintainRequest{Limit: 100, Retention: time.Hour})
			same(e, "deliveries listed", len(e.list(webhook.DeliveryFilter{EndpointID: "wh_1"})), 1)
		},
	},
	{
		name:     "RetentionGoesInBatches", // G7
		sentence: "Purging too works on at most about Limit rows a call, and PurgeMore is set until it has gone past everything, what is held included.",
		run: func(e *env) {
			e.endpoint("wh_held", webhook.EventCreditsLow)
			e.disable("wh_held")
			held := events("evt_held", 30)
			for i := range held {
				held[i].Type = webhook.EventCreditsLow
			}
			e.enqueue(held...)
			e.endpoint("wh_1", webhook.EventCallCompleted)
			e.enqueue(events("evt", 30)...)
			e.deliver(e.claimAll()...)
			e.h.Advance(e.TB, e.store, 2*time.Hour)
			sum, calls := 0, 0
			for more := true; more && calls < 100; calls++ {
				m, err := e.store.Maintain(e.ctx, webhook.MaintainRequest{Limit: 5, Retention: time.Hour})
				e.must("Maintain", err)
				sum += m.Purged
				more = m.PurgeMore
				e.check(m.More || !more, "PurgeMore is set without More")
			}
			same(e, "Purged", sum, 60)
			e.check(calls >= 3, "60 rows were purged in %d calls with Limit 5", calls)
		},
	},
	{
		name:     "RetentionKeepsWhatIsNotFinished",
		sentence: "An event with a pending or held delivery is never purged.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.endpoint("wh_held")
			e.endpoint("wh_done")
			e.disable("wh_held")
			e.enqueue(events("evt", 4)...)
			finished := 0
			var leased []webhook.Leased
			for _, l := range e.claimAll() {
				switch {
				case l.Target.EndpointID == "wh_done":
					e.deliver(l)
					finished++
				case len(leased) < 2:
					leased = append(leased, l)
				default:
					s := result(l, webhook.OutcomeRetry)
					s.Delay = 1000 * time.Hour
					e.applied(s)
				}
			}
			e.h.Advance(e.TB, e.store, 500*time.Hour)
			m := e.maintainWith(webhook.MaintainRequest{Limit: 100, Retention: time.Hour})
			same(e, "Purged: finished deliveries alone", m.Purged, finished)
			for i := range 4 {
				_, err := e.store.GetEvent(e.ctx, acct, event("evt").ID+"_"+string(rune('0'+i)))
				e.must("GetEvent of an event that is not finished", err)
			}
			e.enable("wh_held")
			e.maintain()
			same(e, "ready: two whose leases ended, four released", len(e.claimAll()), 6)
			e.deliver(leased...)
		},
	},
}

var deleteRules = []rule{
	{
		name:     "DeletedEndpointIsAnsweredNoMore",
		sentence: "DeleteEndpoint removes an endpoint: no Get, List, fan-out or Claim returns it again.",
		run: func(e *env) {
			r := e.endpoint("wh_1")
			e.enqueue(event("evt_1"))
			e.delete("wh_1")
			_, err := e.store.GetEndpoint(e.ctx, acct, "wh_1")
			e.wantErr("GetEndpoint", err, webhook.ErrNotFound)
			_, err = e.store.UpdateEndpoint(e.ctx, webhook.EndpointUpdate{Record: r})
			e.wantErr("UpdateEndpoint", err, webhook.ErrNotFound)
			e.wantErr("DeleteEndpoint", e.store.DeleteEndpoint(e.ctx, webhook.EndpointDelete{AccountID: acct, ID: "wh_1"}), webhook.ErrNotFound)
			_, err = e.store.QueueStats(e.ctx, acct, "wh_1")
			e.wantErr("QueueStats", err, webhook.ErrNotFound)
			p, err := e.store.ListEndpoints(e.ctx, webhook.EndpointFilter{AccountID: acct, Limit: 10})
			e.must("ListEndpoints", err)
			same(e, "endpoints listed", len(p.Items), 0)
			e.none("its endpoint is deleted")
			enq := e.groups(e.store, terms(10, 10), []webhook.EventRecord{event("evt_2")})
			same(e, "deliveries of a later event", len(enq.Leased)+enq.Ready+enq.Held, 0)
		},
	},
	{
		name:     "DeletingCancelsWhatIsPending", // D8
		sentence: "Maintain cancels what is still pending, with the reason endpoint_deleted, in batches; the log of its deliveries stays.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.endpoint("wh_held")
			e.enqueue(events("evt", 30)...)
			var kept webhook.Leased
			for i, l := range e.claim(terms(6, 3)).Deliveries {
				if l.Target.EndpointID != "wh_1" {
					continue
				}
				switch i % 3 {
				case 0:
					e.deliver(l)
					kept = l
				case 1:
					e.applied(result(l, webhook.OutcomeRetry))
				}
			}
			e.disable("wh_held")
			e.maintain()
			e.delete("wh_1")
			e.delete("wh_held")
			e.h.Advance(e.TB, e.store, 2*lease)
			inBatches(e, "Cancelled", 59, func(m webhook.Maintained) int { return m.Cancelled })
			e.none("both endpoints are deleted")
			for _, id := range []string{"wh_1", "wh_held"} {
				all := e.list(webhook.DeliveryFilter{EndpointID: id})
				same(e, id+": deliveries in the log", len(all), 30)
				for _, d := range all {
					if d.ID == kept.DeliveryID {
						same(e, "status of the one that was delivered", d.Status, webhook.DeliveryDelivered)
						continue
					}
					same(e, "Status", d.Status, webhook.DeliveryCancelled)
					same(e, "Reason", d.Reason, webhook.ReasonEndpointDeleted)
					e.check(!d.CompletedAt.IsZero(), "CompletedAt of a cancelled delivery is not set")
				}
			}
			same(e, "attempts kept", len(e.attempts(kept)), 1)
			same(e, "unfinished deliveries", e.stats(""), webhook.QueueStats{})
		},
	},
	{
		name:     "DeletingCancelsAtOnce",
		sentence: "What is unfinished when its endpoint is deleted reads cancelled at once, although Maintain may record it later.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.endpoint("wh_held")
			e.enqueue(events("evt", 4)...)
			var leased webhook.Leased
			for i, l := range e.claim(terms(3, 3, slots{"wh_held", 0})).Deliveries {
				switch i {
				case 0:
					e.deliver(l)
				case 1:
					e.applied(result(l, webhook.OutcomeRetry))
				case 2:
					leased = l
				}
			}
			e.disable("wh_held")
			e.maintain()
			e.delete("wh_1")
			e.delete("wh_held")
			check := func(when string) {
				e.Helper()
				for id, n := range map[string]int{"wh_1": 3, "wh_held": 4} {
					for _, s := range []webhook.DeliveryStatus{webhook.DeliveryPending, webhook.DeliveryHeld} {
						same(e, id+": "+string(s)+" "+when, len(e.list(webhook.DeliveryFilter{EndpointID: id, Status: s})), 0)
					}
					cancelled := e.list(webhook.DeliveryFilter{EndpointID: id, Status: webhook.DeliveryCancelled})
					same(e, id+": cancelled "+when, len(cancelled), n)
					for _, d := range cancelled {
						same(e, "Reason "+when, d.Reason, webhook.ReasonEndpointDeleted)
						e.check(!d.CompletedAt.IsZero(), "CompletedAt is not set %s", when)
						e.check(d.NextAttemptAt.IsZero(), "NextAttemptAt is set %s", when)
						same(e, "the same by its id", e.delivery(d.ID), d)
					}
				}
			}
			check("at once")
			s := e.stats("")
			same(e, "Ready, Waiting and Held", s.Ready+s.Waiting+s.Held, 0)
			e.advance(2 * lease)
			check("after Maintain")
			e.deliver(leased)
			same(e, "a late success", e.delivery(leased.DeliveryID).Status, webhook.DeliveryDelivered)
		},
	},
	{
		name:     "SettleAfterDeleteMakesNothingPending", // D8
		sentence: "A Settle that arrives after the deletion does not fail and makes nothing pending again.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 10)...)
			l := e.claimAll()
			e.delete("wh_1")
			outcomes := []webhook.Outcome{webhook.OutcomeRetry, webhook.OutcomeReleased, webhook.OutcomeExhausted, webhook.OutcomeGone, webhook.OutcomeDelivered}
			late := func(l []webhook.Leased) {
				for i, o := range outcomes {
					s := result(l[i], o)
					s.Counts, s.DisableAfter = o != webhook.OutcomeDelivered, 1
					r := e.settle(s)
					got := r.Results[0]
					e.check(got.Status == webhook.SettleApplied || got.Status == webhook.SettleStale, "outcome %d: got status %d, %v", o, got.Status, got.Err)
					same(e, "Failing of a deleted endpoint", len(r.Failing), 0)
				}
			}
			late(l[:5])
			e.advance(2 * lease)
			late(l[5:])
			e.advance(2 * lease)
			e.none("the endpoint is deleted")
			for i, x := range l {
				got := e.delivery(x.DeliveryID).Status
				if outcomes[i%5] == webhook.OutcomeDelivered {
					same(e, "late success", got, webhook.DeliveryDelivered)
				} else {
					e.check(got == webhook.DeliveryCancelled || got == webhook.DeliveryExhausted, "late failure: got %q", got)
				}
			}
			same(e, "unfinished deliveries", e.stats(""), webhook.QueueStats{})
		},
	},
}

// inBatches calls Maintain with a small limit until it says no more, and checks
// that each call did a bounded part of the whole.
func inBatches(e *env, what string, total int, count func(webhook.Maintained) int) {
	e.Helper()
	const limit = 10
	sum := 0
	for range 100 {
		m, err := e.store.Maintain(e.ctx, webhook.MaintainRequest{Limit: limit})
		e.must("Maintain", err)
		n := count(m)
		e.check(n <= 2*limit, "%s: one call did %d, Limit is %d", what, n, limit)
		e.check(m.More || sum+n >= total, "%s: More is not set after %d of %d", what, sum+n, total)
		sum += n
		if !m.More {
			break
		}
	}
	same(e, what+" in all", sum, total)
}
