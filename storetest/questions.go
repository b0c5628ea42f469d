package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/ringyo-ai/webhook"
)

var questionRules = []rule{
	{
		name:     "EventsAreListedNewestFirst",
		sentence: "ListEvents returns the account's events without their data, newest first by CreatedAt, those without a delivery too, with a cursor.",
		run: func(e *env) {
			e.endpoint("wh_1", "call.*")
			e.endpoint("wh_2", "call.*")
			var want []string
			for i := range 7 {
				ev := event(fmt.Sprint("evt_", i))
				if i%3 == 1 {
					ev.Type = webhook.EventCreditsLow
				}
				e.enqueue(ev)
				want = append([]string{ev.ID}, want...)
				e.h.Advance(e.TB, e.store, time.Minute)
			}
			foreign := event("evt_foreign")
			foreign.AccountID = other
			e.enqueue(foreign)
			e.h.Advance(e.TB, e.store, time.Minute)
			e.enqueue(events("late", 40)...)
			e.endpoint("wh_new")
			same(e, "replayed", e.replay("wh_new", time.Time{}, 100), 47)
			for _, limit := range []int{1, 3, 40, 100} {
				all := e.events(webhook.EventFilter{Limit: limit})
				got := []string{}
				for _, ev := range all {
					got = append(got, ev.ID)
				}
				if len(got) != 47 {
					e.Fatalf("events in pages of %d: got %d, want 47", limit, len(got))
				}
				same(e, fmt.Sprint("the older ones, in pages of ", limit), got[40:], want)
				slices.Sort(got)
				same(e, "different events", len(slices.Compact(got)), 47)
				for i := range all[1:] {
					e.check(!all[i].CreatedAt.Before(all[i+1].CreatedAt), "event %d is older than the one behind it", i)
				}
			}
			first := e.events(webhook.EventFilter{})[46]
			stored, err := e.store.GetEvent(e.ctx, acct, first.ID)
			e.must("GetEvent", err)
			same(e, "event", first, webhook.EventInfo{
				ID: stored.ID, Type: stored.Type, Timestamp: stored.Timestamp, CreatedAt: stored.CreatedAt, Size: len(stored.Data),
			})
			e.must("RedactEvent", e.store.RedactEvent(e.ctx, acct, first.ID))
			same(e, "size of a redacted one", e.events(webhook.EventFilter{})[46].Size, 0)
			none, err := e.store.ListEvents(e.ctx, webhook.EventFilter{AccountID: "nobody", Limit: 10})
			e.must("ListEvents", err)
			same(e, "events of no account", len(none.Items), 0)
			for _, bad := range []string{"no cursor; '--", "x", "-1"} {
				_, err := e.store.ListEvents(e.ctx, webhook.EventFilter{AccountID: acct, Cursor: bad, Limit: 1})
				e.wantErr("ListEvents after "+bad, err, webhook.ErrInvalidArgument)
			}
		},
	},
	{
		name:     "EventsAreListedByTypeAndTime",
		sentence: "ListEvents takes types and prefixes, and events created at or after From and before Until.",
		run: func(e *env) {
			e.endpoint("wh_1", "call.*")
			for i, t := range []webhook.EventType{"call.completed", "call", "callback.done", "call.recording.ready", "call.completed"} {
				ev := event(fmt.Sprint("evt_", i))
				ev.Type = t
				e.enqueue(ev)
				e.h.Advance(e.TB, e.store, time.Minute)
			}
			all := e.events(webhook.EventFilter{})
			if len(all) != 5 {
				e.Fatalf("ListEvents: got %d events, want 5", len(all))
			}
			at := func(i int) time.Time { return all[4-i].CreatedAt }
			for _, c := range []struct {
				what string
				f    webhook.EventFilter
				want []string
			}{
				{"type", webhook.EventFilter{Types: []webhook.EventType{"call.completed"}}, []string{"evt_4", "evt_0"}},
				{"prefix", webhook.EventFilter{Types: []webhook.EventType{"call.*"}}, []string{"evt_4", "evt_3", "evt_0"}},
				{"several", webhook.EventFilter{Types: []webhook.EventType{"call.recording.*", "call"}}, []string{"evt_3", "evt_1"}},
				{"all types", webhook.EventFilter{Types: []webhook.EventType{"*"}}, []string{"evt_4", "evt_3", "evt_2", "evt_1", "evt_0"}},
				{"no such type", webhook.EventFilter{Types: []webhook.EventType{"credits.low"}}, nil},
				{"From", webhook.EventFilter{From: at(3)}, []string{"evt_4", "evt_3"}},
				{"Until", webhook.EventFilter{Until: at(2)}, []string{"evt_1", "evt_0"}},
				{"both", webhook.EventFilter{From: at(1), Until: at(3)}, []string{"evt_2", "evt_1"}},
				{"type and time", webhook.EventFilter{Types: []webhook.EventType{"call.*"}, From: at(1)}, []string{"evt_4", "evt_3"}},
			} {
				for _, limit := range []int{1, 2, 100} {
					c.f.Limit = limit
					var got []string
					for _, ev := range e.events(c.f) {
						got = append(got, ev.ID)
					}
					same(e, c.what, got, c.want)
				}
			}
		},
	},
	{
		name:     "OneEventAmongManyIsOnOnePage",
		sentence: "A filter that matches one of many events finds it on one page.",
		run: func(e *env) {
			rare := event("evt_rare")
			rare.Type = webhook.EventCreditsLow
			e.enqueue(rare)
			for i := range 10 {
				e.enqueue(events(fmt.Sprint("evt_", i), 300)...)
			}
			p, err := e.store.ListEvents(e.ctx, webhook.EventFilter{AccountID: acct, Types: []webhook.EventType{webhook.EventCreditsLow}, Limit: 5})
			e.must("ListEvents", err)
			same(e, "events on the first page", len(p.Items), 1)
			same(e, "cursor of the next page", p.Next, "")
		},
	},
	{
		name:     "DeliveriesAreListedByTypeAndTime",
		sentence: "ListDeliveries takes types and prefixes, deliveries created at or after From and before Until, and both with the rest of a filter.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.endpoint("wh_2")
			var times []time.Time
			for i, t := range []webhook.EventType{"call.completed", "call", "callback.done", "call.recording.ready", "call.completed"} {
				ev := event(fmt.Sprint("evt_", i))
				ev.Type = t
				e.enqueue(ev)
				e.h.Advance(e.TB, e.store, time.Minute)
			}
			foreign := event("evt_foreign")
			foreign.AccountID = other
			e.enqueue(foreign)
			for _, d := range e.list(webhook.DeliveryFilter{EndpointID: "wh_1"}) {
				times = append(times, d.CreatedAt)
			}
			if len(times) != 5 {
				e.Fatalf("ListDeliveries: got %d deliveries, want 5", len(times))
			}
			slices.Reverse(times)
			for _, l := range e.claimAll() {
				if l.Event.ID == "evt_4" && l.Target.EndpointID == "wh_1" {
					e.deliver(l)
				}
			}
			for _, c := range []struct {
				what string
				f    webhook.DeliveryFilter
				want []string
			}{
				{"type", webhook.DeliveryFilter{Types: []webhook.EventType{"call.completed"}}, []string{"evt_4", "evt_0"}},
				{"prefix", webhook.DeliveryFilter{Types: []webhook.EventType{"call.*"}}, []string{"evt_4", "evt_3", "evt_0"}},
				{"several", webhook.DeliveryFilter{Types: []webhook.EventType{"call.recording.*", "call", "credits.low"}}, []string{"evt_3", "evt_1"}},
				{"all types", webhook.DeliveryFilter{Types: []webhook.EventType{"credits.low", "*"}}, []string{"evt_4", "evt_3", "evt_2", "evt_1", "evt_0"}},
				{"no such type", webhook.DeliveryFilter{Types: []webhook.EventType{"credits.low"}}, nil},
				{"From", webhook.DeliveryFilter{From: times[3]}, []string{"evt_4", "evt_3"}},
				{"Until", webhook.DeliveryFilter{Until: times[2]}, []string{"evt_1", "evt_0"}},
				{"both", webhook.DeliveryFilter{From: times[1], Until: times[3]}, []string{"evt_2", "evt_1"}},
				{"between", webhook.DeliveryFilter{From: times[1].Add(time.Second), Until: times[2].Add(time.Second)}, []string{"evt_2"}},
				{"neither before nor after", webhook.DeliveryFilter{From: times[1], Until: times[1]}, nil},
				{"type and time", webhook.DeliveryFilter{Types: []webhook.EventType{"call.*"}, From: times[1]}, []string{"evt_4", "evt_3"}},
				{"with a status", webhook.DeliveryFilter{Types: []webhook.EventType{"call.*"}, Status: webhook.DeliveryDelivered}, []string{"evt_4"}},
				{"event", webhook.DeliveryFilter{EventID: "evt_0", Types: []webhook.EventType{"call.*"}, Until: times[1]}, []string{"evt_0"}},
				{"another event", webhook.DeliveryFilter{EventID: "evt_1", Types: []webhook.EventType{"call.*"}}, nil},
			} {
				for _, limit := range []int{1, 2, 100} {
					for _, id := range []string{"wh_1", "wh_2", ""} {
						f, want := c.f, slices.Clone(c.want)
						f.EndpointID, f.Limit = id, limit
						if id == "wh_2" && f.Status != "" {
							want = nil
						}
						if id == "" && f.Status == "" {
							want = slices.Sorted(slices.Values(append(want, want...)))
							slices.Reverse(want)
						}
						var got []string
						for _, d := range e.list(f) {
							got = append(got, d.EventID)
						}
						same(e, c.what+" of "+id, got, want)
					}
				}
			}
		},
	},
	{
		name:     "OneDeliveryAmongManyIsOnOnePage",
		sentence: "A filter that matches one of many deliveries finds it on one page.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.endpoint("wh_2", "credits.low")
			rare := event("evt_rare")
			rare.Type = webhook.EventCreditsLow
			e.enqueue(rare)
			for i := range 10 {
				e.enqueue(events(fmt.Sprint("evt_", i), 300)...)
			}
			for _, f := range []webhook.DeliveryFilter{{EndpointID: "wh_1"}, {}, {EndpointID: "wh_1", Status: webhook.DeliveryPending}} {
				f.AccountID, f.Limit, f.Types = acct, 5, []webhook.EventType{webhook.EventCreditsLow}
				p, err := e.store.ListDeliveries(e.ctx, f)
				e.must("ListDeliveries", err)
				want := 1
				if f.EndpointID == "" {
					want = 2
				}
				same(e, "deliveries on the first page", len(p.Items), want)
				same(e, "cursor of the next page", p.Next, "")
			}
		},
	},
}

var replayQueryRules = []rule{
	{
		name:     "ReplayHasAnEnd",
		sentence: "Replay takes events that the account stored before Until.",
		run: func(e *env) {
			e.enqueue(events("old", 3)...)
			e.h.Advance(e.TB, e.store, time.Hour)
			until := e.now().Add(-30 * time.Minute)
			e.enqueue(events("new", 2)...)
			e.endpoint("wh_1")
			for _, limit := range []int{1, 10} {
				r := webhook.ReplayRequest{EndpointID: "wh_1", Since: until.Add(-time.Hour), Until: until, DryRun: true, Limit: limit}
				same(e, "counted", e.replayed(r), 3)
				r.Since = until
				same(e, "of no time", e.replayed(r), 0)
			}
			same(e, "replayed", e.replayed(webhook.ReplayRequest{EndpointID: "wh_1", Until: until, Limit: 1}), 3)
			got := eventIDs(e.claimAll())
			slices.Sort(got)
			same(e, "events", got, []string{"old_0", "old_1", "old_2"})
		},
	},
	{
		name:     "ReplayTakesTypes",
		sentence: "Replay takes events of Types alone, of those that the endpoint is subscribed to.",
		run: func(e *env) {
			for i, t := range []webhook.EventType{"call.completed", "call.recording.ready", "credits.low", "agent.created"} {
				ev := event(fmt.Sprint("evt_", i))
				ev.Type = t
				e.enqueue(ev)
			}
			e.endpoint("wh_1", "call.*", "credits.*")
			r := webhook.ReplayRequest{EndpointID: "wh_1", Types: []webhook.EventType{"call.recording.*", "agent.created"}, Limit: 10}
			same(e, "replayed", e.replayed(r), 1)
			same(e, "events", eventIDs(e.claimAll()), []string{"evt_1"})
			r.Types = []webhook.EventType{"credits.low"}
			same(e, "replayed, of another type", e.replayed(r), 1)
			same(e, "events", eventIDs(e.claimAll()), []string{"evt_2"})
		},
	},
	{
		name:     "ReplayTakesStatuses",
		sentence: "With Statuses Replay takes the events alone whose delivery to the endpoint has one of them; one that is none of delivered, exhausted and cancelled fails with ErrInvalidArgument.",
		run: func(e *env) {
			e.endpoint("wh_0", "call.*")
			e.endpoint("wh_1", "call.*")
			e.enqueue(events("evt", 4)...)
			for _, l := range e.claimAll() {
				switch {
				case l.Target.EndpointID == "wh_0", l.Event.ID == "evt_0", l.Event.ID == "evt_1":
					e.deliver(l)
				case l.Event.ID == "evt_2":
					e.applied(result(l, webhook.OutcomeExhausted))
				}
			}
			late := event("evt_late")
			late.Type = webhook.EventCreditsLow
			e.enqueue(late)
			e.update("wh_1", false, func(r *webhook.EndpointRecord) { r.Events = []webhook.EventType{"*"} })
			request := func(statuses ...webhook.DeliveryStatus) webhook.ReplayRequest {
				return webhook.ReplayRequest{EndpointID: "wh_1", Statuses: statuses, Limit: 2}
			}
			for _, bad := range []webhook.DeliveryStatus{webhook.DeliveryPending, webhook.DeliveryHeld, "", "DELIVERED"} {
				r := request(webhook.DeliveryExhausted, bad)
				r.AccountID = acct
				_, err := e.store.Replay(e.ctx, r)
				e.wantErr("Replay of the status "+string(bad), err, webhook.ErrInvalidArgument)
			}
			same(e, "cancelled ones", e.replayed(request(webhook.DeliveryCancelled)), 0)
			same(e, "exhausted ones", e.replayed(request(webhook.DeliveryExhausted)), 1)
			l := e.one()
			same(e, "event", l.Event.ID, "evt_2")
			e.applied(result(l, webhook.OutcomeExhausted))
			same(e, "delivered ones", e.replayed(request(webhook.DeliveryDelivered)), 2)
			got := e.claimAll()
			ids := eventIDs(got)
			slices.Sort(ids)
			same(e, "events", ids, []string{"evt_0", "evt_1"})
			e.deliver(got...)
			same(e, "attempts", len(e.attempts(got[0])), 2)
			same(e, "both", e.replayed(request(webhook.DeliveryDelivered, webhook.DeliveryExhausted)), 3)
		},
	},
	{
		name:     "ADryRunCountsAndChangesNothing",
		sentence: "Replay with DryRun counts what a replay would make pending, and changes nothing.",
		run: func(e *env) {
			e.endpoint("wh_0", "call.*")
			e.endpoint("wh_1", "call.*")
			e.enqueue(events("evt", 5)...)
			unheard := event("evt_unheard")
			unheard.Type = webhook.EventCreditsLow
			e.enqueue(unheard)
			for _, l := range e.claimAll() {
				if l.Target.EndpointID == "wh_1" {
					e.applied(result(l, webhook.OutcomeExhausted))
				} else {
					e.deliver(l)
				}
			}
			e.endpoint("wh_new")
			for _, limit := range []int{1, 2, 100} {
				for id, want := range map[string]int{"wh_1": 5, "wh_new": 6, "wh_0": 0} {
					same(e, fmt.Sprint("counted for ", id, " by ", limit), e.replayed(webhook.ReplayRequest{EndpointID: id, DryRun: true, Limit: limit}), want)
				}
			}
			delivered := webhook.ReplayRequest{EndpointID: "wh_0", Statuses: []webhook.DeliveryStatus{webhook.DeliveryDelivered}, DryRun: true, Limit: 2}
			same(e, "counted delivered ones", e.replayed(delivered), 5)
			e.none("nothing was made pending")
			same(e, "in the log of the new endpoint", len(e.list(webhook.DeliveryFilter{EndpointID: "wh_new"})), 0)
			same(e, "exhausted", len(e.list(webhook.DeliveryFilter{EndpointID: "wh_1", Status: webhook.DeliveryExhausted})), 5)
			same(e, "replayed", e.replay("wh_new", time.Time{}, 100), 6)
		},
	},
}

// events returns every page of a filter of acct.
func (e *env) events(f webhook.EventFilter) []webhook.EventInfo {
	e.Helper()
	f.AccountID = acct
	if f.Limit == 0 {
		f.Limit = 100
	}
	return pages(e, "ListEvents", f.Limit, func(cursor string) (webhook.Page[webhook.EventInfo], error) {
		f.Cursor = cursor
		return e.store.ListEvents(e.ctx, f)
	})
}
