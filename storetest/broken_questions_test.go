package storetest

import (
	"slices"
	"time"

	"github.com/ringyo-ai/webhook"
)

var brokenQuestions = []broken{
	{rule: "EndpointsAreReadTogether", fault: func(f *faulty) { // without their secrets
		f.severalOut = func(list []webhook.EndpointRecord) {
			for i := range list {
				list[i].Secrets = []webhook.EndpointSecret{{Secret: webhook.NewSecret()}}
			}
		}
	}},
	{rule: "StatsOfSeveralEndpoints", fault: func(f *faulty) { // what is leased is not counted
		f.statsOfOut = func(stats map[string]webhook.QueueStats) {
			for id, q := range stats {
				q.Leased = 0
				stats[id] = q
			}
		}
	}},
	{rule: "EndpointsAreCounted", fault: func(f *faulty) { // all of them
		f.countIn = func(status *webhook.EndpointStatus) { *status = "" }
	}},
	{rule: "LastAttemptsOfAnEndpoint", fault: func(f *faulty) {
		f.lastOut = slices.Reverse[[]webhook.Attempt]
	}},
	{rule: "FailingEndpointsAreListed", fault: func(f *faulty) { // whatever they are
		f.failingIn = func(q *webhook.FailingQuery) { q.Status = "" }
	}},
	{rule: "OldestDueComesFirst", fault: func(f *faulty) {
		f.oldestOut = slices.Reverse[[]webhook.EndpointBacklog]
	}},
	{rule: "CursorsTellNoNumbers", fault: func(f *faulty) {
		f.eventsOut = func(p *webhook.Page[webhook.EventInfo]) {
			if len(p.Items) == 1 && p.Next != "" {
				f.remember("cursor", p.Next)
				p.Next = "42"
			}
		}
		f.eventsIn = func(q *webhook.EventFilter) {
			if cursor, ok := f.recall("cursor").(string); ok && q.Cursor == "42" {
				q.Cursor = cursor
			}
		}
	}},
	{rule: "EventsAreListedNewestFirst", also: []string{"EventsAreListedByTypeAndTime"}, fault: func(f *faulty) {
		f.eventsOut = func(p *webhook.Page[webhook.EventInfo]) { slices.Reverse(p.Items) }
	}},
	{rule: "EventsAreListedByTypeAndTime", fault: func(f *faulty) { // the end is inclusive
		f.eventsIn = func(q *webhook.EventFilter) {
			if !q.Until.IsZero() {
				q.Until = q.Until.Add(time.Microsecond)
			}
		}
	}},
	{rule: "OneEventAmongManyIsOnOnePage", fault: func(f *faulty) { // it gives up early
		f.eventsOut = func(p *webhook.Page[webhook.EventInfo]) {
			if len(p.Items) == 1 && p.Items[0].ID == "evt_rare" {
				*p = webhook.Page[webhook.EventInfo]{Next: "evt_rare"}
			}
		}
	}},
	{rule: "DeliveriesAreListedByTypeAndTime", fault: func(f *faulty) { // a prefix covers the type before its dot
		f.listIn = func(q *webhook.DeliveryFilter) {
			if slices.Equal(q.Types, []webhook.EventType{"call.*"}) {
				q.Types = append(q.Types, "call")
			}
		}
	}},
	{rule: "OneDeliveryAmongManyIsOnOnePage", fault: func(f *faulty) { // it gives up early
		f.listOut = func(p *webhook.Page[webhook.Delivery], _ *error) {
			if len(p.Items) > 0 && len(p.Items) < 5 && p.Items[0].EventID == "evt_rare" {
				*p = webhook.Page[webhook.Delivery]{Next: p.Items[0].ID}
			}
		}
	}},
	{rule: "ReplayHasAnEnd", fault: func(f *faulty) {
		f.replayIn = func(r *webhook.ReplayRequest) { r.Until = time.Time{} }
	}},
	{rule: "ReplayTakesTypes", fault: func(f *faulty) {
		f.replayIn = func(r *webhook.ReplayRequest) { r.Types = nil }
	}},
	{rule: "ReplayTakesStatuses", fault: func(f *faulty) { // those that it does not know count as none
		f.replayIn = func(r *webhook.ReplayRequest) {
			r.Statuses = slices.DeleteFunc(slices.Clone(r.Statuses), func(s webhook.DeliveryStatus) bool {
				return s == webhook.DeliveryPending || s == webhook.DeliveryHeld || s == ""
			})
		}
	}},
	{rule: "ADryRunCountsAndChangesNothing", also: []string{"ReplayHasAnEnd"}, fault: func(f *faulty) {
		f.replayIn = func(r *webhook.ReplayRequest) { r.DryRun = false }
	}},
}
