package storetest

import (
	"slices"
	"time"

	"github.com/ringyo-ai/webhook"
)

var enqueueRules = []rule{
	{
		name:     "EventComesBackAsEmitted", // G8
		sentence: "For each event Enqueue stores the event once; GetEvent returns one stored event.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.endpoint("wh_2")
			want := event("evt_1")
			e.enqueue(want)
			got, err := e.store.GetEvent(e.ctx, acct, "evt_1")
			e.must("GetEvent", err)
			sameEvent(e, "stored", got, want)
			e.recent("CreatedAt", got.CreatedAt)
			for _, l := range e.claimAll() {
				sameEvent(e, "claimed", *l.Event, want)
			}
			unheard := event("evt_2")
			unheard.AccountID = other
			e.enqueue(unheard)
			_, err = e.store.GetEvent(e.ctx, other, "evt_2")
			e.must("GetEvent of an event without subscribers", err)
		},
	},
	{
		name:     "GroupIsAllOrNothing", // F8
		sentence: "Enqueue stores each group whole or not at all, each independently of the others, and returns one error per group.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(event("evt_1"))
			bad := event("evt_1")
			bad.Data = []byte(`"other"`)
			r := e.groups(e.store, webhook.LeaseTerms{},
				[]webhook.EventRecord{event("evt_a"), event("evt_b")},
				[]webhook.EventRecord{event("evt_c"), bad, event("evt_d")},
				nil,
				[]webhook.EventRecord{event("evt_e")})
			e.must("first group", r.Errs[0])
			e.wantErr("second group", r.Errs[1], webhook.ErrIDConflict)
			e.must("empty group", r.Errs[2])
			e.must("last group", r.Errs[3])
			for id, stored := range map[string]bool{"evt_a": true, "evt_b": true, "evt_c": false, "evt_d": false, "evt_e": true} {
				_, err := e.store.GetEvent(e.ctx, acct, id)
				same(e, id+" is stored", err == nil, stored)
			}
			same(e, "Ready", r.Ready, 3)
			got := eventIDs(e.claimAll())
			slices.Sort(got)
			same(e, "deliveries", got, []string{"evt_1", "evt_a", "evt_b", "evt_e"})
		},
	},
	{
		name:     "SameEventAgainIsNoNews", // E4, E9
		sentence: "An id that the account already used, with the same type, timestamp and data, is stored already: no second fan-out, no error. The same holds for an id that occurs twice in one call.",
		run: func(e *env) {
			e.endpoint("wh_1")
			ev := event("evt_1")
			r := e.groups(e.store, webhook.LeaseTerms{},
				[]webhook.EventRecord{ev, ev}, []webhook.EventRecord{ev, event("evt_2")})
			e.must("group with an id twice", r.Errs[0])
			e.must("group with an id of the group before", r.Errs[1])
			same(e, "Ready", r.Ready, 2)
			again := e.groups(e.store, terms(10, 10), []webhook.EventRecord{ev, event("evt_3")})
			e.must("group with an id of the call before", again.Errs[0])
			same(e, "handed off", eventIDs(again.Leased), []string{"evt_3"})
			all := e.claimAll()
			same(e, "deliveries", len(all), 2)
			e.deliver(append(all, again.Leased...)...)
			same(e, "Ready after the delivery", e.enqueue(ev).Ready, 0)
			e.none("the event was delivered before it came again")
			e.endpoint("wh_2")
			same(e, "Ready for a later endpoint", e.enqueue(ev).Ready, 0)
		},
	},
	{
		name:     "SameIDOtherContentConflicts",
		sentence: "With type, timestamp or data different the group fails with ErrIDConflict and stores nothing. The same holds for an id that occurs twice in one call.",
		run: func(e *env) {
			e.endpoint("wh_1")
			ev := event("evt_1")
			e.enqueue(ev)
			variants := variantsOf(ev)
			for name, v := range variants {
				r := e.groups(e.store, terms(10, 10), []webhook.EventRecord{event("evt_" + name), v})
				e.wantErr("other "+name, r.Errs[0], webhook.ErrIDConflict)
				same(e, "handed off of a conflict", len(r.Leased), 0)
				_, err := e.store.GetEvent(e.ctx, acct, "evt_"+name)
				e.wantErr("GetEvent of the conflict's neighbour", err, webhook.ErrNotFound)
			}
			got, err := e.store.GetEvent(e.ctx, acct, "evt_1")
			e.must("GetEvent", err)
			sameEvent(e, "stored event after the conflicts", got, ev)

			a, b := event("evt_2"), event("evt_2")
			b.Data = []byte(`"other"`)
			r := e.groups(e.store, webhook.LeaseTerms{},
				[]webhook.EventRecord{a, b}, []webhook.EventRecord{b}, []webhook.EventRecord{a})
			e.wantErr("group that contradicts itself", r.Errs[0], webhook.ErrIDConflict)
			e.must("group after it, which may use the id", r.Errs[1])
			e.wantErr("group that contradicts the group before", r.Errs[2], webhook.ErrIDConflict)
			same(e, "deliveries", len(e.claimAll()), 2)
		},
	},
	{
		name:     "EventIDsAreUniqueWithinTheAccount",
		sentence: "Event ids are unique within the account: another account's event with the same id is another event.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.endpointOf(other, "wh_2")
			a, b := event("evt_1"), event("evt_1")
			b.AccountID, b.Data = other, []byte(`"other"`)
			e.enqueue(a, b)
			got, err := e.store.GetEvent(e.ctx, other, "evt_1")
			e.must("GetEvent", err)
			sameEvent(e, "the other account's event", got, b)
			for _, l := range e.claimAll() {
				same(e, "account of the delivered event", l.Event.AccountID, l.Target.AccountID)
			}
		},
	},
	{
		name:     "EventsForAnInactiveEndpointAreHeld",
		sentence: "Enqueue creates one delivery for each subscribed endpoint: held when the endpoint is inactive.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.endpoint("wh_off")
			e.disable("wh_off")
			r := e.groups(e.store, terms(10, 10), []webhook.EventRecord{event("evt_1")})
			same(e, "Held", r.Held, 1)
			same(e, "handed off", len(r.Leased), 1)
			e.none("the endpoint is inactive")
			all := e.list(webhook.DeliveryFilter{EndpointID: "wh_off"})
			if len(all) != 1 || all[0].Status != webhook.DeliveryHeld {
				e.Fatalf("deliveries of the inactive endpoint: got %+v, want one that is held", all)
			}
			e.enable("wh_off")
			e.maintain()
			same(e, "endpoint", e.one().Target.EndpointID, "wh_off")
		},
	},
	{
		name:     "HandOffHasItsBounds",
		sentence: "Enqueue leases deliveries to the caller while the hand-off has room: Max in all, and of each endpoint as many as Room takes; the others are ready.",
		run: func(e *env) {
			for _, id := range []string{"wh_1", "wh_2", "wh_3"} {
				e.endpoint(id)
			}
			count := func(t webhook.LeaseTerms, prefix string, n int) (map[string]int, webhook.Enqueued) {
				r := e.groups(e.store, t, events(prefix+"_a", n-n/2), events(prefix+"_b", n/2))
				per := map[string]int{}
				for _, l := range r.Leased {
					per[l.Target.EndpointID]++
				}
				same(e, prefix+": leased and ready", len(r.Leased)+r.Ready, 3*n)
				same(e, prefix+": left for Claim", len(e.claimAll()), r.Ready)
				return per, r
			}
			per, _ := count(terms(100, 4), "each", 6)
			same(e, "with room for 4 each", per, map[string]int{"wh_1": 4, "wh_2": 4, "wh_3": 4})
			per, _ = count(terms(100, 4, slots{"wh_1", 0}, slots{"wh_2", 5}), "slots", 6)
			same(e, "with another number of some", per, map[string]int{"wh_2": 5, "wh_3": 4})
			_, r := count(terms(7, 4), "max", 6)
			same(e, "with room for 7 in all", len(r.Leased), 7)
			_, r = count(webhook.LeaseTerms{}, "zero", 2)
			same(e, "with no hand-off", len(r.Leased), 0)
		},
	},
	{
		name:     "HandOffIsALease",
		sentence: "What is handed off is leased like what is claimed: to nobody else, until it is settled or the lease ends.",
		run: func(e *env) {
			e.endpoint("wh_1")
			r := e.groups(e.store, terms(2, 2), events("evt", 2))
			if len(r.Leased) != 2 {
				e.Fatalf("handed off: got %d deliveries, want 2", len(r.Leased))
			}
			e.maintain()
			e.none("both are leased")
			sameLeased(e, r.Leased[0], leasedWant{url: "https://example.com/wh_1"})
			e.deliver(r.Leased[0])
			e.advance(2 * lease)
			l := e.one()
			same(e, "delivery", l.DeliveryID, r.Leased[1].DeliveryID)
			same(e, "Expired", l.Expired, 1)
			e.stale("the handed-off lease that ended", result(r.Leased[1], webhook.OutcomeRetry))
			e.deliver(l)
		},
	},
}

var fanOutRules = []rule{
	{
		name:     "FanOutBySubscription",
		sentence: "Enqueue finds the account's endpoints subscribed to the event: by its type, a prefix of it, or everything.",
		run: func(e *env) {
			for id, types := range map[string][]webhook.EventType{
				"wh_all": {"*"}, "wh_call": {"call.*"}, "wh_exact": {"call.recording.ready"}, "wh_deep": {"call.recording.*"},
				"wh_two": {"credits.low", "agent.created"}, "wh_odd": {"call"}, "wh_longer": {"call.recording.ready.now"},
			} {
				e.endpoint(id, types...)
			}
			e.endpointOf(other, "wh_other", "*")
			for typ, want := range map[webhook.EventType][]string{
				"call.recording.ready":     {"wh_all", "wh_call", "wh_deep", "wh_exact"},
				"call.recording.ready.now": {"wh_all", "wh_call", "wh_deep", "wh_longer"},
				"call.completed":           {"wh_all", "wh_call"},
				"call":                     {"wh_all", "wh_odd"},
				"caller.new":               {"wh_all"},
				"agent.created":            {"wh_all", "wh_two"},
				"credits.low":              {"wh_all", "wh_two"},
				"credits":                  {"wh_all"},
			} {
				ev := event("evt_" + string(typ))
				ev.ID = "evt_" + webhook.NewDeliveryID()
				ev.Type = typ
				same(e, string(typ)+": Ready", e.enqueue(ev).Ready, len(want))
				got := []string{}
				for _, l := range e.claimAll() {
					got = append(got, l.Target.EndpointID)
				}
				slices.Sort(got)
				same(e, string(typ)+": endpoints", got, want)
			}
		},
	},
	{
		name:     "FanOutOncePerEndpoint",
		sentence: "An endpoint with several subscriptions that match an event gets it once.",
		run: func(e *env) {
			e.endpoint("wh_1", "*", "call.*", "call.completed")
			e.enqueue(event("evt_1"))
			e.deliver(e.one())
			e.update("wh_1", false, func(r *webhook.EndpointRecord) { r.Events = []webhook.EventType{"call.completed", "*"} })
			r := e.groups(e.store, terms(10, 10), []webhook.EventRecord{event("evt_2")})
			same(e, "handed off", len(r.Leased), 1)
			e.none("the only delivery is handed off")
		},
	},
	{
		name:     "FanOutStaysInTheAccount",
		sentence: "An event reaches only endpoints of its own account; the empty account is one like the others.",
		run: func(e *env) {
			for _, a := range []string{"", acct, other} {
				e.endpointOf(a, "wh_of_"+a, "*")
			}
			for _, a := range []string{"", acct, other} {
				ev := event("evt_1")
				ev.AccountID = a
				e.enqueue(ev)
				l := e.one()
				same(e, "endpoint", l.Target.EndpointID, "wh_of_"+a)
				same(e, "account of the target", l.Target.AccountID, a)
				same(e, "account of the event", l.Event.AccountID, a)
			}
		},
	},
}

// variantsOf returns events with ev's id and other content.
func variantsOf(ev webhook.EventRecord) map[string]webhook.EventRecord {
	typ, stamp, data := ev, ev, ev
	typ.Type = webhook.EventCallFailed
	stamp.Timestamp = stamp.Timestamp.Add(time.Millisecond)
	data.Data = []byte(`{"id": "evt_1"}`)
	return map[string]webhook.EventRecord{"type": typ, "timestamp": stamp, "data": data}
}

// sameEvent compares what the emitter gave.
func sameEvent(e *env, what string, got, want webhook.EventRecord) {
	e.Helper()
	same(e, what+": ID", got.ID, want.ID)
	same(e, what+": AccountID", got.AccountID, want.AccountID)
	same(e, what+": Type", got.Type, want.Type)
	e.check(got.Timestamp.Equal(want.Timestamp), "%s: Timestamp: got %v, want %v", what, got.Timestamp, want.Timestamp)
	same(e, what+": location of Timestamp", got.Timestamp.Location(), time.UTC)
	same(e, what+": Data", string(got.Data), string(want.Data))
}
