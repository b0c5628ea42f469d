package storetest

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ringyo-ai/webhook"
)

// tallies returns those of an endpoint of acct, or skips the case of a store that is no
// Tallier.
func (e *env) tallies(id string, from, until time.Time) []webhook.Tally {
	e.Helper()
	tr, ok := e.store.(webhook.Tallier)
	if !ok {
		e.Skip("skipped: the store is no webhook.Tallier")
	}
	all, err := tr.Tallies(e.ctx, acct, webhook.TallyQuery{EndpointIDs: []string{id}, From: from, Until: until})
	e.must("Tallies", err)
	list, known := all[id]
	e.check(known && len(all) == 1, "Tallies of %s: got %v, want an entry for it alone", id, all)
	for i, t := range list {
		e.check(t.Hour.Location() == time.UTC && t.Hour.Equal(t.Hour.Truncate(time.Hour)), "Hour: got %v, want the beginning of an hour in UTC", t.Hour)
		e.check(i == 0 || list[i-1].Hour.Before(t.Hour), "the tallies are not in order: %v", list)
	}
	return list
}

// counted returns the sum of an endpoint's tallies: a case can see an hour end.
func (e *env) counted(id string) (sum webhook.Tally) {
	e.Helper()
	for _, t := range e.tallies(id, time.Time{}, time.Time{}) {
		sum.Add(t)
	}
	return sum
}

// tallied is a result that is counted, of an attempt that took d.
func tallied(l webhook.Leased, o webhook.Outcome, d time.Duration) webhook.Settlement {
	s := result(l, o)
	s.Tally = true
	if s.Attempt != nil {
		s.Attempt.Duration = d
	}
	return s
}

var tallyRules = []rule{
	{
		name:     "TalliesCountWhatIsRecorded",
		sentence: "A Tallier counts, by endpoint and hour, the settlements that have Tally, in Settle's own transaction: what is stale is not counted.",
		run: func(e *env) {
			e.endpoint("wh_1", "call.*")
			e.endpoint("wh_2", "agent.*")
			e.counted("wh_1")
			agent := event("evt_agent")
			agent.Type = webhook.EventAgentCreated
			e.enqueue(append(events("evt", 7), agent)...)
			var first []webhook.Leased
			for _, l := range e.claimAll() {
				if l.Target.EndpointID == "wh_2" {
					e.applied(tallied(l, webhook.OutcomeDelivered, 70*time.Millisecond))
				} else {
					first = append(first, l)
				}
			}
			e.applied(tallied(first[0], webhook.OutcomeDelivered, 5*time.Millisecond))
			e.applied(tallied(first[1], webhook.OutcomeDelivered, 10*time.Millisecond), // in one batch
				tallied(first[2], webhook.OutcomeRetry, 300*time.Millisecond),
				tallied(first[3], webhook.OutcomeExhausted, 40*time.Second),
				tallied(first[4], webhook.OutcomeReleased, 0),
				result(first[5], webhook.OutcomeDelivered))
			none := tallied(first[6], webhook.OutcomeExhausted, 0)
			none.Attempt, none.Reason = nil, webhook.ReasonSenderFault
			e.applied(none)
			e.stale("what is recorded already", tallied(first[0], webhook.OutcomeDelivered, 5*time.Millisecond))
			e.stale("what is retried", tallied(first[2], webhook.OutcomeExhausted, time.Second))
			want := webhook.Tally{Delivered: 2, FailedAttempts: 2, Exhausted: 2}
			want.Latency[0], want.Latency[webhook.LatencyBucket(300*time.Millisecond)], want.Latency[len(want.Latency)-1] = 2, 1, 1
			second := webhook.Tally{Delivered: 1}
			second.Latency[webhook.LatencyBucket(70*time.Millisecond)] = 1
			for range 2 {
				same(e, "wh_1", e.counted("wh_1"), want)
				same(e, "wh_2", e.counted("wh_2"), second)
				e.maintain()
			}
		},
	},
	{
		name:     "TalliesAreOfSeveralEndpoints",
		sentence: "Tallies returns an entry for each endpoint of the account that is asked for, and none for others.",
		run: func(e *env) {
			e.endpoint("wh_1", "call.*")
			e.endpoint("wh_2", "call.*")
			e.endpoint("wh_quiet", "credits.*")
			e.counted("wh_1")
			e.endpointOf(other, "wh_theirs", "call.*")
			e.enqueue(events("evt", 3)...)
			for _, l := range e.claimAll() {
				o := webhook.OutcomeDelivered
				if l.Target.EndpointID == "wh_2" {
					o = webhook.OutcomeExhausted
				}
				e.applied(tallied(l, o, time.Millisecond))
			}
			e.delete("wh_2")
			ask := func(account string, ids ...string) map[string][2]int {
				all, err := e.store.(webhook.Tallier).Tallies(e.ctx, account, webhook.TallyQuery{EndpointIDs: ids})
				e.must("Tallies", err)
				got := make(map[string][2]int)
				for id, list := range all {
					sum := webhook.Tally{}
					for _, t := range list {
						sum.Add(t)
					}
					got[id] = [2]int{sum.Delivered, sum.Exhausted}
				}
				return got
			}
			many := make([]string, 998)
			for i := range many {
				many[i] = fmt.Sprint("wh_none_", i)
			}
			for range 2 {
				want := map[string][2]int{"wh_1": {3, 0}, "wh_2": {0, 3}, "wh_quiet": {0, 0}}
				same(e, "of three", ask(acct, "wh_1", "wh_2", "wh_quiet"), want)
				same(e, "twice, with unknown ones and another account's", ask(acct, "wh_quiet", "wh_1", "wh_none", "", "wh_\x00", "wh_theirs", "wh_1", "wh_2"), want)
				same(e, "of one", ask(acct, "wh_2"), map[string][2]int{"wh_2": {0, 3}})
				same(e, "of none", len(ask(acct)), 0)
				same(e, "of an unknown one", len(ask(acct, "wh_none")), 0)
				same(e, "of another account's", len(ask(other, "wh_1", "wh_2")), 0)
				same(e, "among many", ask(acct, append(many, "wh_1", "wh_quiet")...), map[string][2]int{"wh_1": {3, 0}, "wh_quiet": {0, 0}})
				e.maintain()
			}
		},
	},
	{
		name:     "TalliesAreByTheHour",
		sentence: "Tallies returns the tallies whose Hour is not before from and is before until; they are kept for Retention after the end of their hour, by the store's clock, those of a deleted endpoint too.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.counted("wh_1")
			deliver := func(n int) {
				e.enqueue(events("evt_"+time.Now().Format(time.RFC3339Nano), n)...)
				for _, l := range e.claimAll() {
					e.applied(tallied(l, webhook.OutcomeDelivered, time.Millisecond))
				}
			}
			deliver(1)
			e.advance(3 * time.Hour)
			deliver(2)
			all := e.tallies("wh_1", time.Time{}, time.Time{})
			late := all[len(all)-1].Hour
			e.check(late.Sub(all[0].Hour) >= 3*time.Hour, "hours: got %v and %v, want three hours between them", all[0].Hour, late)
			e.check(!late.After(e.now()) && e.now().Sub(late) < 2*time.Hour, "the last Hour: got %v, want about that of %v", late, e.now())
			sum := func(list []webhook.Tally) (n int) {
				for _, t := range list {
					n += t.Delivered
				}
				return n
			}
			second := all[0].Hour.Add(2 * time.Hour) // nothing was delivered then
			same(e, "delivered since then", sum(e.tallies("wh_1", second, time.Time{})), 2)
			same(e, "delivered before that", sum(e.tallies("wh_1", time.Time{}, second)), 1)
			same(e, "delivered since the first hour", sum(e.tallies("wh_1", all[0].Hour, time.Time{})), 3)
			same(e, "delivered before the first hour", sum(e.tallies("wh_1", time.Time{}, all[0].Hour)), 0)
			e.maintainWith(webhook.MaintainRequest{Limit: 1, Retention: 90 * time.Minute})
			same(e, "delivered within Retention", sum(e.tallies("wh_1", time.Time{}, time.Time{})), 2)
			e.delete("wh_1")
			same(e, "delivered to what was deleted", sum(e.tallies("wh_1", time.Time{}, time.Time{})), 2)
			e.h.Advance(e.TB, e.store, 48*time.Hour)
			e.maintainWith(webhook.MaintainRequest{Limit: 1, Retention: 24 * time.Hour})
			e.noTallies("wh_1")
		},
	},
	{
		name:     "TalliesLoseNothingInARace",
		sentence: "What is recorded is counted once.",
		run: func(e *env) {
			ids := []string{"wh_1", "wh_2", "wh_3"}
			for _, id := range ids {
				e.endpoint(id)
			}
			e.counted("wh_1")
			const each = 40
			e.enqueue(events("evt", each)...)
			leased := e.claimAll()
			var next atomic.Int64
			parallel(8, func(int) {
				for n := 0; ; n++ {
					i := int(next.Add(3)) - 3
					if i >= len(leased) {
						return
					}
					var batch []webhook.Settlement
					for k, l := range leased[i:min(i+3, len(leased))] {
						o := webhook.OutcomeDelivered
						if (i+k)%4 == 0 {
							o = webhook.OutcomeExhausted
						}
						batch = append(batch, tallied(l, o, time.Millisecond))
					}
					e.applied(batch...)
					if n%3 == 0 {
						e.maintainOnce()
					}
				}
			})
			sum := 0
			for _, id := range ids {
				t := e.counted(id)
				same(e, "attempts at "+id, t.Latency[0], each)
				same(e, "results of "+id, t.Delivered+t.Exhausted, each)
				sum += t.Exhausted
			}
			same(e, "exhausted", sum, len(leased)/4)
		},
	},
	{
		name:     "DeletingAnAccountRemovesItsTallies",
		sentence: "DeleteAccount removes what was counted of an account's endpoints.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.counted("wh_1")
			e.enqueue(events("evt", 2)...)
			for _, l := range e.claimAll() {
				e.applied(tallied(l, webhook.OutcomeDelivered, time.Millisecond))
			}
			same(e, "delivered", e.counted("wh_1").Delivered, 2)
			for cursor := ""; ; {
				d, err := e.store.DeleteAccount(e.ctx, webhook.AccountDelete{AccountID: acct, Cursor: cursor, Limit: 10})
				e.must("DeleteAccount", err)
				if cursor = d.Next; cursor == "" {
					break
				}
			}
			e.noTallies("wh_1")
		},
	},
}

// noTallies checks that nothing is counted any more of an endpoint that was deleted.
func (e *env) noTallies(id string) {
	e.Helper()
	all, err := e.store.(webhook.Tallier).Tallies(e.ctx, acct, webhook.TallyQuery{EndpointIDs: []string{id}})
	e.must("Tallies", err)
	same(e, "hours that are left", len(all[id]), 0)
}
