package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/ringyo-ai/webhook"
)

var claimRules = []rule{
	{
		name:     "ClaimAnswersEverythingToSend",
		sentence: "Claim leases deliveries: with the event, the target as of the lease, a token, and what happened before.",
		run: func(e *env) {
			r := record(acct, "wh_1", "*")
			r.Headers = webhook.Headers{"X-Key": "v"}
			r = e.create(r)
			e.enqueue(event("evt_1"))
			l := e.one()
			sameLeased(e, l, leasedWant{url: r.URL, generation: r.Generation, headers: r.Headers})
			sameSecrets(e, "target", l.Target.Secrets, r.Secrets)
			e.applied(result(l, webhook.OutcomeRetry))
			e.update("wh_1", false, func(r *webhook.EndpointRecord) { r.URL = "https://example.org/moved" })
			e.advance(11 * time.Minute)
			sameLeased(e, e.one(), leasedWant{url: "https://example.org/moved", attempts: 1, headers: r.Headers})
		},
	},
	{
		name:     "ClaimHasItsBounds",
		sentence: "Claim leases at most Max deliveries, and of each endpoint as many as Room takes.",
		run: func(e *env) {
			for _, id := range []string{"wh_1", "wh_2", "wh_3"} {
				e.endpoint(id)
			}
			e.enqueue(events("evt", 20)...)
			count := func(t webhook.LeaseTerms) map[string]int {
				per := map[string]int{}
				for _, l := range e.claim(t).Deliveries {
					per[l.Target.EndpointID]++
				}
				return per
			}
			same(e, "2 of each", count(terms(100, 2)), map[string]int{"wh_1": 2, "wh_2": 2, "wh_3": 2})
			same(e, "none of one, more of another", count(terms(100, 2, slots{"wh_1", 0}, slots{"wh_2", 5})),
				map[string]int{"wh_2": 5, "wh_3": 2})
			same(e, "only of a named one", count(terms(100, 0, slots{"wh_3", 1})), map[string]int{"wh_3": 1})
			same(e, "7 in all", len(e.claim(terms(7, 5)).Deliveries), 7)
			same(e, "0 in all", len(e.claim(terms(0, 5)).Deliveries), 0)
		},
	},
	{
		name:     "ClaimIsALease",
		sentence: "A leased delivery is claimed by nobody else while the lease holds.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 10)...)
			seen := map[string]bool{}
			for range 5 {
				for _, l := range e.claim(terms(3, 3)).Deliveries {
					e.check(!seen[l.DeliveryID], "a delivery was claimed twice")
					seen[l.DeliveryID] = true
				}
				e.advance(time.Minute)
			}
			same(e, "claimed", len(seen), 10)
		},
	},
	{
		name:     "ClaimTakesTheOldestFirst",
		sentence: "Claim takes the deliveries of an endpoint oldest due first.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(event("evt_retry"))
			s := result(e.one(), webhook.OutcomeRetry)
			s.Delay = 25 * time.Minute
			e.applied(s)
			for i := range 4 { // due after 0, 10, 20 and 30 minutes
				e.enqueue(event(fmt.Sprint("evt_", i)))
				e.h.Advance(e.TB, e.store, 10*time.Minute)
			}
			e.maintain()
			var got []string
			for range 5 {
				got = append(got, eventIDs(e.claim(terms(1, 1)).Deliveries)...)
			}
			same(e, "order", got, []string{"evt_0", "evt_1", "evt_2", "evt_retry", "evt_3"})
		},
	},
	{
		name:     "ClaimTakesEndpointsInTurn",
		sentence: "Claim takes endpoints in turn, going on after the cursor, so that none starves.",
		run: func(e *env) {
			const n = 6
			for i := range n {
				e.endpoint(fmt.Sprint("wh_", i))
			}
			e.enqueue(events("evt", 10)...)
			e.inTurn(n, 2, func() webhook.LeaseTerms { return terms(2, 1) })
		},
	},
	{
		name:     "ClaimTakesEndpointsInTurnWhereRoomEnds",
		sentence: "Where Room takes less than Max, the next call begins behind the endpoint of which it took something last: the same ones would be served for ever.",
		run: func(e *env) {
			const n = 6
			for i := range n {
				e.endpoint(fmt.Sprint("wh_", i))
			}
			e.enqueue(events("evt", 20)...)
			e.inTurn(n, 4, func() webhook.LeaseTerms {
				t := terms(100, 2)
				roomOf(t).whole = 4
				return t
			})
		},
	},
	{
		name:     "BacklogDelaysNobodyElse", // G2
		sentence: "One endpoint's backlog does not keep the others waiting: an event for an idle endpoint is in the next turn.",
		run: func(e *env) {
			e.endpoint("wh_busy", "call.completed")
			e.endpoint("wh_idle", "credits.low")
			e.enqueue(events("evt", 300)...)
			cursor := ""
			for i := range 5 {
				ev := event(fmt.Sprint("evt_idle_", i))
				ev.Type = webhook.EventCreditsLow
				e.enqueue(ev)
				found := false
				for range 2 { // one turn of each endpoint
					c := e.claimFrom(cursor, terms(4, 4))
					cursor = c.Cursor
					found = found || slices.Contains(eventIDs(c.Deliveries), ev.ID)
				}
				e.check(found, "round %d: the idle endpoint's event was not claimed in its turn", i)
			}
		},
	},
	{
		name:     "FullEndpointIsPassedOver", // G3
		sentence: "An endpoint for which Room takes nothing is passed over, however deep its backlog is and wherever the cursor stands.",
		run: func(e *env) {
			for _, id := range []string{"wh_1", "wh_2", "wh_3"} {
				e.endpoint(id)
			}
			e.enqueue(events("evt", 50)...)
			for _, full := range []string{"wh_1", "wh_2", "wh_3"} {
				cursor := ""
				for range 3 {
					c := e.claimFrom(cursor, terms(4, 2, slots{full, 0}))
					cursor = c.Cursor
					same(e, "claimed", len(c.Deliveries), 4)
					for _, l := range c.Deliveries {
						e.check(l.Target.EndpointID != full, "there is no room for %s", full)
					}
				}
			}
		},
	},
	{
		name:     "ClaimSaysMore",
		sentence: "More says that Claim stopped at Max: another call may find more.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 5)...)
			same(e, "More after 2 of 5", e.claim(terms(2, 10)).More, true)
			same(e, "More after all the rest", e.claim(terms(10, 10)).More, false)
			same(e, "More of nothing", e.claim(terms(10, 10)).More, false)
		},
	},
	{
		name:     "NextInSaysWhenToMaintain",
		sentence: "NextIn is the time until Maintain has something to make ready, hold, release or cancel: 0 means now, negative nothing known. A store that wants to look again may return an earlier time, but not 0.",
		run: func(e *env) {
			next := func() time.Duration {
				e.Helper()
				c := e.claim(terms(100, 100))
				same(e, "claimed with nothing ready", len(c.Deliveries), 0)
				return c.NextIn
			}
			within := func(what string, low, high time.Duration) {
				e.Helper()
				got := next()
				e.check(got >= low && got <= high, "NextIn %s: got %v, want %v to %v", what, got, low, high)
			}
			e.check(next() < 0, "NextIn of an empty store: got %v, want less than 0", next())
			e.endpoint("wh_1")
			e.enqueue(events("evt", 2)...)
			l := e.claimAll()
			within("while leased", lease-10*time.Minute, lease)
			e.applied(result(l[0], webhook.OutcomeRetry))
			within("while a retry waits for 10 minutes", 5*time.Minute, 10*time.Minute)
			e.h.Advance(e.TB, e.store, 11*time.Minute)
			within("when the retry is due", 0, 0)
			e.maintain()
			retried := e.one()
			within("with only leases left", lease-30*time.Minute, lease-11*time.Minute)
			e.deliver(retried, l[1])
			e.check(next() < 0, "NextIn when all is delivered: got %v, want less than 0", next())
			e.enqueue(event("evt_hold"))
			e.disable("wh_1")
			within("with a delivery to hold", 0, 0)
			e.maintain()
			e.check(next() != 0, "NextIn is 0 when all is held")
			e.enable("wh_1")
			within("with a delivery to release", 0, 0)
			e.maintain()
			e.delete("wh_1")
			within("with a delivery to cancel", 0, 0)
		},
	},
	{
		name:     "AnOlderLeaseHidesNothing",
		sentence: "A delivery expires with its latest lease, though one that it was given back from before would have ended later.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 2)...)
			e.applied(result(e.claimAll()[0], webhook.OutcomeReleased))
			short := terms(100, 100)
			short.Lease = lease / 2
			same(e, "claimed after one was given back", len(e.claim(short).Deliveries), 1)
			e.h.Advance(e.TB, e.store, 2*lease)
			e.maintain()
			same(e, "claimed when all leases are over", len(e.claimAll()), 2)
			same(e, "Leased", e.stats("").Leased, 2)
		},
	},
	{
		name:     "ClaimPassesOverInactiveAndDeleted",
		sentence: "Inactive and deleted endpoints are passed over.",
		run: func(e *env) {
			for _, id := range []string{"wh_on", "wh_off", "wh_gone"} {
				e.endpoint(id)
			}
			e.enqueue(events("evt", 3)...)
			e.disable("wh_off")
			e.delete("wh_gone")
			check := func(all []webhook.Leased) {
				e.Helper()
				for _, l := range all {
					same(e, "endpoint", l.Target.EndpointID, "wh_on")
				}
			}
			all := e.claimAll()
			same(e, "claimed", len(all), 3)
			check(all)
			check(e.claim(terms(10, 0, slots{"wh_off", 5}, slots{"wh_gone", 5})).Deliveries)
			e.maintain()
			e.none("one endpoint is inactive and one deleted")
		},
	},
}

// leasedWant is what a Leased of evt_1-like events to wh_1 shall say.
type leasedWant struct {
	url        string
	generation int64 // 0: not compared
	headers    webhook.Headers
	attempts   int
	releases   int
	expired    int
}

func sameLeased(e *env, l webhook.Leased, want leasedWant) {
	e.Helper()
	if l.Event == nil || l.Target == nil {
		e.Fatalf("leased without event or target: %+v", l)
	}
	e.check(l.DeliveryID != "", "leased without a delivery id")
	e.check(l.Token != 0, "leased without a token")
	same(e, "target's URL", l.Target.URL, want.url)
	same(e, "target's account", l.Target.AccountID, l.Event.AccountID)
	e.check(equalMaps(l.Target.Headers, want.headers), "target's headers: got %v, want %v, or other values", l.Target.Headers, want.headers)
	if want.generation != 0 {
		same(e, "target's Generation", l.Target.Generation, want.generation)
	}
	same(e, "Attempts", l.Attempts, want.attempts)
	same(e, "Releases", l.Releases, want.releases)
	same(e, "Expired", l.Expired, want.expired)
}

// inTurn claims for three rounds of n endpoints, two of which each call serves, with so
// many deliveries.
func (e *env) inTurn(n, each int, terms func() webhook.LeaseTerms) {
	e.Helper()
	cursor := ""
	for round := range 3 {
		seen := map[string]bool{}
		for range n / 2 {
			c := e.claimFrom(cursor, terms())
			cursor = c.Cursor
			same(e, "claimed", len(c.Deliveries), each)
			for _, l := range c.Deliveries {
				seen[l.Target.EndpointID] = true
			}
		}
		same(e, fmt.Sprintf("endpoints served in round %d", round), len(seen), n)
	}
}
