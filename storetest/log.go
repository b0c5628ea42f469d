package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/ringyo-ai/webhook"
)

var logRules = []rule{
	{
		name:     "DeliveriesAreListedNewestFirst",
		sentence: "ListDeliveries returns deliveries, newest first, of an endpoint, an event or by id, by status, with a cursor.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.endpoint("wh_2", "call.failed")
			var want []string
			for i := range 7 {
				ev := event(fmt.Sprint("evt_", i))
				if i == 3 {
					ev.Type = webhook.EventCallFailed
				}
				e.enqueue(ev)
				want = append([]string{ev.ID}, want...)
				e.h.Advance(e.TB, e.store, time.Minute)
			}
			ids := func(f webhook.DeliveryFilter) []string {
				got := []string{}
				for _, d := range e.list(f) {
					got = append(got, d.EventID)
				}
				return got
			}
			for _, limit := range []int{1, 2, 3, 7, 100} {
				same(e, fmt.Sprint("pages of ", limit), ids(webhook.DeliveryFilter{EndpointID: "wh_1", Limit: limit}), want)
			}
			for _, l := range e.claimAll() {
				switch {
				case l.Target.EndpointID == "wh_2":
				case l.Event.ID == "evt_1" || l.Event.ID == "evt_5":
					e.deliver(l)
				case l.Event.ID == "evt_2":
					e.applied(result(l, webhook.OutcomeExhausted))
				}
			}
			for status, want := range map[webhook.DeliveryStatus][]string{
				webhook.DeliveryDelivered: {"evt_5", "evt_1"},
				webhook.DeliveryExhausted: {"evt_2"},
				webhook.DeliveryPending:   {"evt_6", "evt_4", "evt_3", "evt_0"},
				webhook.DeliveryHeld:      {},
			} {
				same(e, string(status), ids(webhook.DeliveryFilter{EndpointID: "wh_1", Status: status, Limit: 1}), want)
				for _, scan := range []int{1, 2, 5, 100} {
					same(e, fmt.Sprintf("%s, looking at %d a page", status, scan),
						ids(webhook.DeliveryFilter{EndpointID: "wh_1", Status: status, MaxScan: scan}), want)
				}
			}
			for _, limit := range []int{1, 3, 100} {
				same(e, "of the account", ids(webhook.DeliveryFilter{Limit: limit}), slices.Insert(slices.Clone(want), 3, "evt_3"))
				same(e, "pending ones of the account", ids(webhook.DeliveryFilter{Status: webhook.DeliveryPending, Limit: limit}),
					[]string{"evt_6", "evt_4", "evt_3", "evt_3", "evt_0"})
				same(e, "delivered ones of the account", ids(webhook.DeliveryFilter{Status: webhook.DeliveryDelivered, Limit: limit}), []string{"evt_5", "evt_1"})
			}
			both := e.list(webhook.DeliveryFilter{EventID: "evt_3", Limit: 1})
			same(e, "deliveries of one event", len(both), 2)
			same(e, "of one event to one endpoint", ids(webhook.DeliveryFilter{EventID: "evt_3", EndpointID: "wh_2"}), []string{"evt_3"})
			same(e, "of another event to it", ids(webhook.DeliveryFilter{EventID: "evt_4", EndpointID: "wh_2"}), []string{})
			same(e, "by id", ids(webhook.DeliveryFilter{DeliveryID: both[0].ID}), []string{"evt_3"})
			same(e, "by id and status", ids(webhook.DeliveryFilter{DeliveryID: both[0].ID, Status: webhook.DeliveryHeld}), []string{})
		},
	},
	{
		name:     "DeliveriesOfWhatDoesNotExist",
		sentence: "A filter that names an endpoint which does not exist fails with ErrNotFound; an event or a delivery need not exist.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(event("evt_1"))
			for _, f := range []webhook.DeliveryFilter{{EventID: "evt_none"}, {DeliveryID: webhook.NewDeliveryID()}} {
				same(e, "deliveries of what does not exist", len(e.list(f)), 0)
				f.EndpointID = "wh_1"
				same(e, "deliveries to an endpoint of what does not exist", len(e.list(f)), 0)
			}
			for _, f := range []webhook.DeliveryFilter{{}, {Status: webhook.DeliveryPending}, {EventID: "evt_1"}, {EventID: "evt_none"}, {DeliveryID: webhook.NewDeliveryID()}} {
				f.AccountID, f.EndpointID, f.Limit = acct, "wh_none", 10
				_, err := e.store.ListDeliveries(e.ctx, f)
				e.wantErr("ListDeliveries of an endpoint that does not exist", err, webhook.ErrNotFound)
			}
		},
	},
	{
		name:     "UnknownStatusIsRefused",
		sentence: "A Status that is none of the constants fails with ErrInvalidArgument.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.endpoint("wh_2")
			e.enqueue(event("evt_1"))
			e.delete("wh_2")
			for _, bad := range []string{"deleted", "ACTIVE", "0", "'"} {
				p, err := e.store.ListEndpoints(e.ctx, webhook.EndpointFilter{AccountID: acct, Status: webhook.EndpointStatus(bad), Limit: 10})
				e.wantErr("ListEndpoints with the status "+bad, err, webhook.ErrInvalidArgument)
				same(e, "endpoints listed", len(p.Items), 0)
				for _, f := range []webhook.DeliveryFilter{{EndpointID: "wh_1"}, {EventID: "evt_1"}, {DeliveryID: webhook.NewDeliveryID()}} {
					f.AccountID, f.Limit, f.Status = acct, 10, webhook.DeliveryStatus(bad)
					_, err := e.store.ListDeliveries(e.ctx, f)
					e.wantErr("ListDeliveries with the status "+bad, err, webhook.ErrInvalidArgument)
				}
			}
		},
	},
	{
		name:     "ForeignCursorIsRefused",
		sentence: "A cursor that the store did not return fails with ErrInvalidArgument.",
		run: func(e *env) {
			e.endpoint("wh_1")
			for _, bad := range []string{"no cursor; '--", "bogus", "x", " 1", "-1"} {
				_, err := e.store.ListEndpoints(e.ctx, webhook.EndpointFilter{AccountID: acct, Cursor: bad, Limit: 1})
				e.wantErr("ListEndpoints after "+bad, err, webhook.ErrInvalidArgument)
				_, err = e.store.ListDeliveries(e.ctx, webhook.DeliveryFilter{AccountID: acct, EndpointID: "wh_1", Cursor: bad, Limit: 1})
				e.wantErr("ListDeliveries after "+bad, err, webhook.ErrInvalidArgument)
				_, err = e.store.Replay(e.ctx, webhook.ReplayRequest{AccountID: acct, EndpointID: "wh_1", Cursor: bad, Limit: 1})
				e.wantErr("Replay after "+bad, err, webhook.ErrInvalidArgument)
				_, err = e.store.Claim(e.ctx, webhook.ClaimRequest{Cursor: bad, LeaseTerms: terms(1, 1)})
				e.wantErr("Claim after "+bad, err, webhook.ErrInvalidArgument)
			}
		},
	},
	{
		name:     "RedeliverStartsAFullSchedule",
		sentence: "Redeliver makes a delivery due, whatever its status: ready, or held when the endpoint is inactive. One that had ended has a full schedule before it.",
		run: func(e *env) {
			e.endpoint("wh_1")
			next := func(o webhook.Outcome) webhook.Leased {
				e.Helper()
				e.enqueue(event("evt_" + webhook.NewDeliveryID()))
				l := e.one()
				e.applied(result(l, webhook.OutcomeRetry))
				e.advance(11 * time.Minute)
				l = e.one()
				e.applied(result(l, o))
				return l
			}
			for name, o := range map[string]webhook.Outcome{
				"delivered": webhook.OutcomeDelivered, "exhausted": webhook.OutcomeExhausted,
			} {
				l := next(o)
				d := e.redeliver(l)
				same(e, name+": Status", d.Status, webhook.DeliveryPending)
				same(e, name+": Reason", d.Reason, "")
				same(e, name+": Attempts", d.Attempts, 2)
				e.check(d.CompletedAt.IsZero(), "%s: CompletedAt is still set", name)
				again := e.one()
				same(e, name+": delivery", again.DeliveryID, l.DeliveryID)
				sameLeased(e, again, leasedWant{url: l.Target.URL})
				e.deliver(again)
			}
			l := next(webhook.OutcomeExhausted)
			e.disable("wh_1")
			same(e, "with an inactive endpoint", e.redeliver(l).Status, webhook.DeliveryHeld)
			e.none("the endpoint is inactive")
			same(e, "when held", e.redeliver(l).Status, webhook.DeliveryHeld)
			e.enable("wh_1")
			e.maintain()
			sameLeased(e, e.one(), leasedWant{url: l.Target.URL})
		},
	},
	{
		name:     "RedeliverGoesOnWithAScheduleThatHasNotEnded",
		sentence: "Redeliver makes one that is pending or held due, and leaves it its schedule.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(event("evt_1"))
			e.applied(result(e.one(), webhook.OutcomeRetry))
			e.advance(11 * time.Minute)
			e.applied(result(e.one(), webhook.OutcomeRetry))
			for n := 2; n < 5; n++ {
				e.advance(11 * time.Minute)
				l := e.one()
				same(e, "Attempts", l.Attempts, n)
				e.applied(result(l, webhook.OutcomeRetry))
				same(e, "Status", e.redeliver(l).Status, webhook.DeliveryPending)
				same(e, "Status", e.redeliver(l).Status, webhook.DeliveryPending)
				l = e.one()
				same(e, "Attempts, redelivered", l.Attempts, n+1)
				e.applied(result(l, webhook.OutcomeReleased))
				if n == 3 {
					e.disable("wh_1")
					e.maintain()
					same(e, "Status", e.redeliver(l).Status, webhook.DeliveryHeld)
					e.enable("wh_1")
					e.maintain()
				}
				l = e.one()
				same(e, "Attempts, released", l.Attempts, n+1)
				e.applied(result(l, webhook.OutcomeReleased))
			}
		},
	},
	{
		name:     "RedeliverLeavesALeaseAlone",
		sentence: "Redeliver leaves alone what is leased at this moment, and what is ready is not sent twice.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(event("evt_1"))
			ready := e.list(webhook.DeliveryFilter{EventID: "evt_1"})
			e.redeliver(webhook.Leased{DeliveryID: ready[0].ID})
			l := e.one()
			same(e, "Status", e.redeliver(l).Status, webhook.DeliveryPending)
			e.none("it is leased")
			e.deliver(l)
			e.advance(2 * lease)
			e.none("it is delivered")
		},
	},
	{
		name:     "RedeliverFindsOnlyWhatThereIs",
		sentence: "Redeliver fails with ErrNotFound when there is no such delivery or its endpoint is deleted.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(event("evt_1"))
			l := e.one()
			e.applied(result(l, webhook.OutcomeExhausted))
			_, err := e.store.Redeliver(e.ctx, acct, webhook.NewDeliveryID())
			e.wantErr("no such delivery", err, webhook.ErrNotFound)
			e.delete("wh_1")
			_, err = e.store.Redeliver(e.ctx, acct, l.DeliveryID)
			e.wantErr("deleted endpoint", err, webhook.ErrNotFound)
			e.maintain()
			e.none("its endpoint is deleted")
		},
	},
	{
		name:     "StatsCountWhatIsNotFinished",
		sentence: "QueueStats counts what is not finished, of one endpoint or of the whole store, and says how long the oldest ready one has been due.",
		run: func(e *env) {
			same(e, "empty store", e.stats(""), webhook.QueueStats{})
			e.endpoint("wh_1")
			e.endpoint("wh_2", "credits.low")
			e.enqueue(events("evt", 7)...)
			e.h.Advance(e.TB, e.store, 20*time.Minute)
			e.enqueue(event("evt_young"))
			l := e.claim(terms(4, 4)).Deliveries
			e.deliver(l[0])
			e.applied(result(l[1], webhook.OutcomeRetry))
			off := event("evt_off")
			off.Type = webhook.EventCreditsLow
			e.disable("wh_2")
			e.enqueue(off)
			counts := func(id string) webhook.QueueStats {
				e.Helper()
				q := e.stats(id)
				if q.Ready > 0 {
					e.check(q.OldestReady >= 15*time.Minute && q.OldestReady <= 30*time.Minute, "OldestReady: got %v, want about 20m", q.OldestReady)
				} else {
					same(e, "OldestReady of nothing", q.OldestReady, 0)
				}
				q.OldestReady = 0
				return q
			}
			// off goes to wh_1 too
			same(e, "of wh_1", counts("wh_1"), webhook.QueueStats{Ready: 5, Waiting: 1, Leased: 2})
			same(e, "of wh_2", counts("wh_2"), webhook.QueueStats{Held: 1})
			same(e, "of all", counts(""), webhook.QueueStats{Ready: 5, Waiting: 1, Leased: 2, Held: 1})
			e.disable("wh_1")
			e.maintain()
			same(e, "of all, when wh_1 is inactive", counts(""), webhook.QueueStats{Waiting: 1, Leased: 2, Held: 6})
			_, err := e.store.QueueStats(e.ctx, acct, "wh_none")
			e.wantErr("QueueStats of no endpoint", err, webhook.ErrNotFound)
		},
	},
}

var replayRules = []rule{
	{
		name:     "ReplayMakesPendingWhatWasNotDelivered",
		sentence: "Replay makes every event that matches the subscription and was not delivered to the endpoint pending for it: deliveries that ended are redelivered, missing ones are created, pending and held ones are left alone.",
		run: func(e *env) {
			e.endpoint("wh_1", "call.*")
			unheard := event("evt_unheard")
			unheard.Type = webhook.EventCreditsLow
			foreign := event("evt_foreign")
			foreign.AccountID = other
			e.enqueue(append(events("evt", 5), unheard)...)
			e.enqueue(foreign)
			l := e.claimAll()
			e.deliver(l[0])
			e.applied(result(l[1], webhook.OutcomeExhausted), result(l[2], webhook.OutcomeRetry))
			e.endpoint("wh_new")
			same(e, "for the endpoint that has them", e.replay("wh_1", time.Time{}, 100), 1)
			again := e.one()
			same(e, "replayed", again.DeliveryID, l[1].DeliveryID)
			sameLeased(e, again, leasedWant{url: l[1].Target.URL})
			e.deliver(again)
			same(e, "once more", e.replay("wh_1", time.Time{}, 100), 0)

			same(e, "for a new endpoint, subscribed to everything", e.replay("wh_new", time.Time{}, 100), 6)
			got := e.claimAll()
			same(e, "deliveries", len(got), 6)
			e.deliver(got...)
			same(e, "in its log", len(e.list(webhook.DeliveryFilter{EndpointID: "wh_new"})), 6)
			e.update("wh_1", false, func(r *webhook.EndpointRecord) { r.Events = []webhook.EventType{"credits.*"} })
			same(e, "after a new subscription", e.replay("wh_1", time.Time{}, 100), 1)
			same(e, "event", e.one().Event.ID, "evt_unheard")
		},
	},
	{
		name:     "ReplayGoesInBatches",
		sentence: "Replay works through at most Limit events a call, and goes on at the cursor.",
		run: func(e *env) {
			e.enqueue(events("evt", 25)...)
			e.endpoint("wh_1")
			for _, limit := range []int{1, 7, 25, 100} {
				same(e, fmt.Sprint("replayed by ", limit), e.replay("wh_1", time.Time{}, limit), 25)
				same(e, "again, while pending", e.replay("wh_1", time.Time{}, limit), 0)
				var batch []webhook.Settlement
				for _, l := range e.claimAll() {
					batch = append(batch, result(l, webhook.OutcomeExhausted))
				}
				same(e, "claimed", len(batch), 25)
				e.applied(batch...)
			}
		},
	},
	{
		name:     "ReplayHasAStart",
		sentence: "Replay takes events that the account stored at or after Since.",
		run: func(e *env) {
			e.enqueue(events("old", 3)...)
			e.h.Advance(e.TB, e.store, time.Hour)
			since := e.now().Add(-30 * time.Minute)
			e.enqueue(events("new", 2)...)
			e.endpoint("wh_1")
			same(e, "replayed", e.replay("wh_1", since, 1), 2)
			got := eventIDs(e.claimAll())
			slices.Sort(got)
			same(e, "events", got, []string{"new_0", "new_1"})
			same(e, "since the future", e.replay("wh_1", e.now().Add(time.Hour), 10), 0)
		},
	},
	{
		name:     "ReplayToAnInactiveEndpointHolds",
		sentence: "What Replay makes pending is held while the endpoint is inactive; a deleted one is not found.",
		run: func(e *env) {
			e.enqueue(events("evt", 3)...)
			e.endpoint("wh_1")
			e.disable("wh_1")
			same(e, "replayed", e.replay("wh_1", time.Time{}, 10), 3)
			e.none("the endpoint is inactive")
			same(e, "held", e.stats("wh_1").Held, 3)
			e.enable("wh_1")
			e.maintain()
			same(e, "claimed", len(e.claimAll()), 3)
			e.delete("wh_1")
			_, err := e.store.Replay(e.ctx, webhook.ReplayRequest{AccountID: acct, EndpointID: "wh_1", Limit: 10})
			e.wantErr("Replay to a deleted endpoint", err, webhook.ErrNotFound)
		},
	},
}

// replay replays in calls of the given limit and returns how many became
// pending in all.
func (e *env) replay(id string, since time.Time, limit int) int {
	e.Helper()
	return e.replayed(webhook.ReplayRequest{EndpointID: id, Since: since, Limit: limit})
}

// replayed is replay for any request of acct.
func (e *env) replayed(r webhook.ReplayRequest) int {
	e.Helper()
	r.AccountID = acct
	sum := 0
	for range 200 {
		out, err := e.store.Replay(e.ctx, r)
		e.must("Replay", err)
		e.check(out.Count <= r.Limit, "Replay: one call made %d pending, Limit is %d", out.Count, r.Limit)
		sum += out.Count
		if r.Cursor = out.Next; r.Cursor == "" {
			return sum
		}
	}
	e.Fatalf("Replay: no end after 200 calls")
	return 0
}
