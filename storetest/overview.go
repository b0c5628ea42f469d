package storetest

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/ringyo-ai/webhook"
)

var overviewRules = []rule{
	{
		name:     "EndpointsAreReadTogether",
		sentence: "GetEndpoints returns those of the endpoints that exist, each once, as GetEndpoint returns them.",
		run: func(e *env) {
			for i := range 12 {
				e.endpoint(fmt.Sprint("wh_", i))
			}
			e.endpointOf(other, "wh_foreign")
			e.delete("wh_3")
			ids := []string{"wh_5", "wh_none", "wh_foreign", "wh_3", "wh_5", "", "no id; '--"}
			for i := range 9 {
				ids = append(ids, fmt.Sprint("wh_", i))
			}
			list, err := e.store.GetEndpoints(e.ctx, acct, ids)
			e.must("GetEndpoints", err)
			got := []string{}
			for _, r := range list {
				got = append(got, r.ID)
				one := e.get(r.ID)
				same(e, "secret of "+r.ID, r.Secrets[0].Secret.Reveal(), one.Secrets[0].Secret.Reveal())
				same(e, "URL of "+r.ID, r.URL, one.URL)
				same(e, "revision of "+r.ID, r.Revision, one.Revision)
			}
			slices.Sort(got)
			same(e, "endpoints", got, []string{"wh_0", "wh_1", "wh_2", "wh_4", "wh_5", "wh_6", "wh_7", "wh_8"})
			list, err = e.store.GetEndpoints(e.ctx, acct, nil)
			e.must("GetEndpoints of none", err)
			same(e, "none", len(list), 0)
		},
	},
	{
		name:     "StatsOfSeveralEndpoints",
		sentence: "QueueStatsOf returns what QueueStats does for each of several endpoints, and leaves out those that do not exist.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.endpoint("wh_2", "credits.low")
			e.endpoint("wh_idle", "agent.created")
			e.endpoint("wh_gone")
			e.endpointOf(other, "wh_foreign")
			e.enqueue(events("evt", 6)...)
			e.delete("wh_gone")
			e.h.Advance(e.TB, e.store, 20*time.Minute)
			l := e.claim(terms(3, 3)).Deliveries
			e.deliver(l[0])
			e.applied(result(l[1], webhook.OutcomeRetry))
			e.disable("wh_2")
			off := event("evt_off")
			off.Type = webhook.EventCreditsLow
			e.enqueue(off)
			ids := []string{"wh_2", "wh_1", "wh_none", "wh_gone", "wh_foreign", "wh_idle", "wh_1"}
			got, err := e.store.QueueStatsOf(e.ctx, acct, ids)
			e.must("QueueStatsOf", err)
			same(e, "endpoints", len(got), 3)
			for _, id := range []string{"wh_1", "wh_2", "wh_idle"} {
				want, q := e.stats(id), got[id]
				e.check(q.OldestReady >= want.OldestReady-time.Minute && q.OldestReady <= want.OldestReady+time.Minute,
					"OldestReady of %s: got %v, want %v", id, q.OldestReady, want.OldestReady)
				q.OldestReady, want.OldestReady = 0, 0
				same(e, "of "+id, q, want)
			}
			same(e, "leased of wh_1", got["wh_1"].Leased, 1)
			none, err := e.store.QueueStatsOf(e.ctx, acct, nil)
			e.must("QueueStatsOf of none", err)
			same(e, "none", len(none), 0)
		},
	},
	{
		name:     "EndpointsAreCounted",
		sentence: "CountEndpoints counts the account's endpoints, of one status or of all; an unknown status fails with ErrInvalidArgument.",
		run: func(e *env) {
			for i := range 5 {
				e.endpoint(fmt.Sprint("wh_", i))
			}
			e.endpointOf(other, "wh_foreign")
			e.disable("wh_1")
			e.disable("wh_2")
			e.delete("wh_2")
			e.enqueue(event("evt_1"))
			for _, l := range e.claimAll() {
				if l.Target.EndpointID == "wh_3" {
					e.applied(failure(l, 0))
				}
			}
			for status, want := range map[webhook.EndpointStatus]int{"": 4, webhook.EndpointActive: 2, webhook.EndpointFailing: 1, webhook.EndpointInactive: 1} {
				n, err := e.store.CountEndpoints(e.ctx, acct, status)
				e.must("CountEndpoints", err)
				same(e, "endpoints "+string(status), n, want)
			}
			n, err := e.store.CountEndpoints(e.ctx, "nobody", "")
			e.must("CountEndpoints", err)
			same(e, "endpoints of nobody", n, 0)
			for _, bad := range []webhook.EndpointStatus{"deleted", "ACTIVE", "0"} {
				_, err := e.store.CountEndpoints(e.ctx, acct, bad)
				e.wantErr("CountEndpoints of "+string(bad), err, webhook.ErrInvalidArgument)
			}
		},
	},
	{
		name:     "LastAttemptsOfAnEndpoint",
		sentence: "LastAttempts returns the latest attempts of an endpoint as ListAttempts does, newest first, those of a deleted one too.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.endpoint("wh_2")
			e.enqueue(events("evt", 4)...)
			var want []webhook.Attempt
			for n, o := range []webhook.Outcome{webhook.OutcomeRetry, webhook.OutcomeExhausted} {
				for i, l := range e.claimAll() {
					s := result(l, o)
					if i%2 == 1 {
						s = result(l, webhook.OutcomeDelivered)
					}
					s.Attempt.At = e.now().Add(time.Duration(n*60+i) * time.Second)
					e.applied(s)
					if l.Target.EndpointID == "wh_1" {
						all := e.attempts(l)
						want = append([]webhook.Attempt{all[len(all)-1]}, want...)
					}
				}
				if n == 0 {
					for _, a := range want {
						if a.Failure == "" { // it starts again, and keeps what it has
							e.redeliver(webhook.Leased{DeliveryID: a.DeliveryID})
						}
					}
					e.advance(11 * time.Minute)
					for i := range want {
						want[i].At = want[i].At.Add(-11 * time.Minute)
					}
				}
			}
			last := func(limit int) []webhook.Attempt {
				e.Helper()
				got, err := e.store.LastAttempts(e.ctx, acct, "wh_1", limit)
				e.must("LastAttempts", err)
				for i := range got[:max(0, len(got)-1)] {
					e.check(!got[i].At.Before(got[i+1].At), "attempt %d is older than the one behind it", i)
				}
				return got
			}
			key := func(list []webhook.Attempt) (keys []string) {
				for _, a := range list {
					keys = append(keys, fmt.Sprint(a.DeliveryID, a.Number, a.ID, a.StatusCode, a.Failure, string(a.ResponseBody)))
				}
				return keys
			}
			same(e, "attempts", key(last(100)), key(want))
			same(e, "the latest", key(last(3)), key(want[:3]))
			for _, id := range []string{"wh_none", "wh_foreign"} {
				if id == "wh_foreign" {
					e.endpointOf(other, id)
				}
				_, err := e.store.LastAttempts(e.ctx, acct, id, 10)
				e.wantErr("LastAttempts of "+id, err, webhook.ErrNotFound)
			}
			e.delete("wh_1")
			same(e, "of a deleted endpoint", key(last(100)), key(want))
		},
	},
	{
		name:     "FailingEndpointsAreListed",
		sentence: "FailingEndpoints returns the endpoints of all accounts that are failing or inactive, newest first, with a cursor.",
		run: func(e *env) {
			for i := range 6 {
				e.endpoint(fmt.Sprint("wh_", i))
			}
			e.endpointOf(other, "wh_other")
			e.enqueue(event("evt_1"))
			foreign := event("evt_foreign")
			foreign.AccountID = other
			e.enqueue(foreign)
			for _, l := range e.claimAll() {
				switch l.Target.EndpointID {
				case "wh_1", "wh_4", "wh_other":
					e.applied(failure(l, 0))
				}
			}
			e.disable("wh_2")
			e.disable("wh_5")
			e.delete("wh_5")
			for status, want := range map[webhook.EndpointStatus][]string{
				"":                       {"wh_other", "wh_4", "wh_2", "wh_1"},
				webhook.EndpointFailing:  {"wh_other", "wh_4", "wh_1"},
				webhook.EndpointInactive: {"wh_2"},
			} {
				for _, limit := range []int{1, 2, 3, 10} {
					got := []string{}
					for _, r := range pages(e, "FailingEndpoints", limit, func(cursor string) (webhook.Page[webhook.EndpointRecord], error) {
						return e.store.FailingEndpoints(e.ctx, webhook.FailingQuery{Status: status, Cursor: cursor, Limit: limit})
					}) {
						got = append(got, r.ID)
					}
					same(e, "endpoints "+string(status), got, want)
				}
			}
			for _, bad := range []webhook.EndpointStatus{webhook.EndpointActive, "deleted"} {
				_, err := e.store.FailingEndpoints(e.ctx, webhook.FailingQuery{Status: bad, Limit: 10})
				e.wantErr("FailingEndpoints of "+string(bad), err, webhook.ErrInvalidArgument)
			}
			_, err := e.store.FailingEndpoints(e.ctx, webhook.FailingQuery{Cursor: "no cursor; '--", Limit: 10})
			e.wantErr("FailingEndpoints after no cursor", err, webhook.ErrInvalidArgument)
		},
	},
	{
		name:     "OldestDueComesFirst",
		sentence: "OldestDue returns the endpoints of all accounts that have something due, the one that has waited longest first, with what QueueStats counts as ready.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.endpointOf(other, "wh_other")
			e.endpoint("wh_off", "call.*")
			e.endpoint("wh_done", "credits.low")
			foreign := event("evt_foreign")
			foreign.AccountID = other
			e.enqueue(foreign)
			e.h.Advance(e.TB, e.store, 20*time.Minute)
			done := event("evt_done")
			done.Type = webhook.EventCreditsLow
			e.enqueue(append(events("evt", 3), done)...)
			for _, l := range e.claimAll() {
				if l.Target.EndpointID == "wh_done" {
					e.deliver(l)
				} else {
					e.applied(result(l, webhook.OutcomeReleased))
				}
			}
			e.h.Advance(e.TB, e.store, time.Minute)
			e.disable("wh_off")
			e.maintain()
			list := func(limit int) (ids []string) {
				e.Helper()
				all, err := e.store.OldestDue(e.ctx, limit)
				e.must("OldestDue", err)
				for _, b := range all {
					ids = append(ids, fmt.Sprint(b.EndpointID, " of ", b.AccountID, ": ", b.Due))
					e.check(b.URL != "", "%s has no URL", b.EndpointID)
					e.check(b.OldestDue >= time.Minute && b.OldestDue < time.Hour, "OldestDue of %s: got %v", b.EndpointID, b.OldestDue)
				}
				for i := range all[:max(0, len(all)-1)] {
					e.check(all[i].OldestDue >= all[i+1].OldestDue, "%s waits longer than %s", all[i+1].EndpointID, all[i].EndpointID)
				}
				slices.Sort(ids)
				return ids
			}
			same(e, "endpoints", list(10), []string{"wh_1 of " + acct + ": 4", "wh_other of " + other + ": 1"})
			same(e, "endpoints, one of them", len(list(1)), 1)
		},
	},
	{
		name:     "CursorsTellNoNumbers",
		sentence: "The cursor of a list that a tenant sees is no number of what is stored.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.endpoint("wh_2")
			e.enqueue(events("evt", 3)...)
			cursors := map[string]string{}
			p, err := e.store.ListEndpoints(e.ctx, webhook.EndpointFilter{AccountID: acct, Limit: 1})
			e.must("ListEndpoints", err)
			cursors["ListEndpoints"] = p.Next
			d, err := e.store.ListDeliveries(e.ctx, webhook.DeliveryFilter{AccountID: acct, Limit: 1})
			e.must("ListDeliveries", err)
			cursors["ListDeliveries"] = d.Next
			ev, err := e.store.ListEvents(e.ctx, webhook.EventFilter{AccountID: acct, Limit: 1})
			e.must("ListEvents", err)
			cursors["ListEvents"] = ev.Next
			for what, cursor := range cursors {
				e.check(cursor != "", "%s: no cursor before the end", what)
				for _, base := range []int{10, 16, 36} {
					if n, err := strconv.ParseInt(cursor, base, 64); err == nil {
						e.Errorf("%s: the cursor %q is the number %d", what, cursor, n)
					}
				}
			}
		},
	},
}
