package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/ringyo-ai/webhook"
)

// echo is what receivers repeat of an event, in these cases.
const echo = "they said: +49 30 1234567"

// echoed is a result whose response repeats what was sent.
func echoed(l webhook.Leased, o webhook.Outcome) webhook.Settlement {
	s := result(l, o)
	if s.Attempt != nil {
		s.Attempt.ResponseBody = []byte(echo)
		if s.Attempt.Failure != "" {
			s.Attempt.Location = "/?" + echo
		}
	}
	return s
}

func (e *env) redact(id string) {
	e.Helper()
	e.must("RedactEvent", e.store.RedactEvent(e.ctx, acct, id))
}

var redactRules = []rule{
	{
		name:     "RedactingRemovesWhatAnEventSays",
		sentence: "RedactEvent removes an event's Data, and the response bodies and Locations of its attempts; the event stays with its id, type and times, and so do its deliveries and attempts. Once more it is no error; ErrNotFound says that there is no such event.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(event("evt_1"), event("evt_2"))
			before := make(map[string][]webhook.Attempt)
			for _, l := range e.claimAll() {
				e.applied(echoed(l, webhook.OutcomeRetry))
			}
			e.advance(lease)
			for _, l := range e.claimAll() {
				e.applied(echoed(l, webhook.OutcomeDelivered))
				before[l.Event.ID] = e.attempts(l)
			}
			was, err := e.store.GetEvent(e.ctx, acct, "evt_1")
			e.must("GetEvent", err)
			for _, id := range []string{"evt_1", "evt_none"} {
				e.wantErr("RedactEvent of another account", e.store.RedactEvent(e.ctx, other, id), webhook.ErrNotFound)
			}
			e.wantErr("RedactEvent of none", e.store.RedactEvent(e.ctx, acct, "evt_none"), webhook.ErrNotFound)
			kept, err := e.store.GetEvent(e.ctx, acct, "evt_1")
			e.must("GetEvent", err)
			same(e, "the event before", kept, was)

			for range 2 {
				e.redact("evt_1")
				now, err := e.store.GetEvent(e.ctx, acct, "evt_1")
				e.must("GetEvent of a redacted event", err)
				same(e, "bytes of Data left", len(now.Data), 0)
				now.Data = was.Data
				same(e, "the rest of the event", now, was)
			}
			for id, list := range before {
				d := e.list(webhook.DeliveryFilter{EventID: id})
				same(e, id+": deliveries", len(d), 1)
				same(e, id+": Status", d[0].Status, webhook.DeliveryDelivered)
				after := e.attempts(webhook.Leased{DeliveryID: d[0].ID})
				same(e, id+": attempts", len(after), 2)
				for i := range after {
					want := list[i]
					if id == "evt_1" {
						same(e, "bytes of a response left", len(after[i].ResponseBody), 0)
						same(e, "Location left", after[i].Location, "")
						after[i].ResponseBody, after[i].Location = want.ResponseBody, want.Location
					}
					same(e, id+": attempt", after[i], want)
				}
			}
			untouched, err := e.store.GetEvent(e.ctx, acct, "evt_2")
			e.must("GetEvent of another event", err)
			same(e, "Data of another event", string(untouched.Data), string(event("evt_2").Data))
		},
	},
	{
		name:     "RedactingCancelsWhatHasNotEnded",
		sentence: "Deliveries of a redacted event that have not ended, leased ones too, are cancelled with the reason event_redacted: their leases are over, nothing becomes pending again, and a late success is recorded without the body of its response.",
		run: func(e *env) {
			outcomes := []webhook.Outcome{
				webhook.OutcomeRetry, webhook.OutcomeReleased, webhook.OutcomeExhausted, webhook.OutcomeGone, webhook.OutcomeDelivered,
			}
			for i := range outcomes {
				e.endpoint(fmt.Sprint("wh_leased_", i), webhook.EventCallCompleted)
			}
			e.endpoint("wh_waits", webhook.EventCallCompleted)
			e.enqueue(event("evt_1"))
			var leased []webhook.Leased
			for _, l := range e.claimAll() {
				if l.Target.EndpointID == "wh_waits" {
					e.applied(echoed(l, webhook.OutcomeRetry))
				} else {
					leased = append(leased, l)
				}
			}
			e.endpoint("wh_ready", webhook.EventCallInitiated)
			e.endpoint("wh_held", webhook.EventCallInitiated)
			e.disable("wh_held")
			second := event("evt_2")
			second.Type = webhook.EventCallInitiated
			e.enqueue(second)
			e.redact("evt_1")
			e.redact("evt_2")
			all := append(e.list(webhook.DeliveryFilter{EventID: "evt_1"}), e.list(webhook.DeliveryFilter{EventID: "evt_2"})...)
			same(e, "deliveries", len(all), len(outcomes)+3)
			for _, d := range all {
				same(e, d.EndpointID+": Status", d.Status, webhook.DeliveryCancelled)
				same(e, d.EndpointID+": Reason", d.Reason, webhook.ReasonEventRedacted)
				e.recent(d.EndpointID+": CompletedAt", d.CompletedAt)
				found := e.list(webhook.DeliveryFilter{EndpointID: d.EndpointID, Status: webhook.DeliveryCancelled})
				e.check(slices.ContainsFunc(found, func(f webhook.Delivery) bool { return f.ID == d.ID }), "%s: not among its cancelled deliveries", d.EndpointID)
			}
			same(e, "unfinished deliveries", e.stats(""), webhook.QueueStats{})
			for i, o := range outcomes {
				if o == webhook.OutcomeDelivered {
					e.applied(echoed(leased[i], o))
					e.status(leased[i], webhook.DeliveryDelivered)
					log := e.attempts(leased[i])
					same(e, "attempts of a late success", len(log), 1)
					same(e, "bytes of its response kept", len(log[0].ResponseBody), 0)
					continue
				}
				s := echoed(leased[i], o)
				s.Counts, s.DisableAfter = true, 1
				e.stale(fmt.Sprint("a redacted delivery, outcome ", o), s)
				e.status(leased[i], webhook.DeliveryCancelled)
				same(e, "attempts of one that is stale", len(e.attempts(leased[i])), 0)
			}
			e.enable("wh_held")
			e.advance(2 * lease)
			e.none("the events are redacted")
			e.enqueue(event("evt_3"))
			same(e, "claimed of a later event", len(e.claimAll()), len(outcomes)+1)
		},
	},
	{
		name:     "RedactedEventsAreNotSentAgain",
		sentence: "Redeliver fails with ErrNotFound for the deliveries of a redacted event, Replay passes it over, and its id stays in use: the same type and timestamp are stored already, whatever the data.",
		run: func(e *env) {
			e.endpoint("wh_1", webhook.EventCallCompleted)
			unheard := event("evt_unheard")
			unheard.Type = webhook.EventCreditsLow
			e.enqueue(event("evt_1"), unheard)
			l := e.one()
			e.applied(result(l, webhook.OutcomeExhausted))
			e.redact("evt_1")
			e.redact("evt_unheard")
			_, err := e.store.Redeliver(e.ctx, acct, l.DeliveryID)
			e.wantErr("Redeliver", err, webhook.ErrNotFound)
			e.endpoint("wh_2")
			for _, id := range []string{"wh_1", "wh_2"} {
				r := webhook.ReplayRequest{AccountID: acct, EndpointID: id, Limit: 10}
				for range 100 {
					p, err := e.store.Replay(e.ctx, r)
					e.must("Replay", err)
					same(e, "replayed to "+id, p.Count, 0)
					if r.Cursor = p.Next; p.Next == "" {
						break
					}
				}
			}
			again, changed, moved := event("evt_1"), event("evt_1"), event("evt_1")
			changed.Type = webhook.EventCallInitiated
			moved.Timestamp = moved.Timestamp.Add(1e9)
			fresh := event("evt_1")
			fresh.Data = []byte(`"other"`)
			r := e.groups(e.store, terms(10, 10), []webhook.EventRecord{again}, []webhook.EventRecord{changed}, []webhook.EventRecord{moved})
			e.must("the same event again", r.Errs[0])
			e.wantErr("another type", r.Errs[1], webhook.ErrIDConflict)
			e.wantErr("another timestamp", r.Errs[2], webhook.ErrIDConflict)
			e.must("other data", e.groups(e.store, terms(10, 10), []webhook.EventRecord{fresh}).Errs[0])
			same(e, "deliveries of all of them", len(r.Leased)+r.Ready+r.Held, 0)
			got, err := e.store.GetEvent(e.ctx, acct, "evt_1")
			e.must("GetEvent", err)
			same(e, "bytes of Data", len(got.Data), 0)
			e.none("the events are redacted")
		},
	},
}

// deleteAccount calls DeleteAccount until nothing is left, and returns the sum.
func (e *env) deleteAccount(account string, limit int) webhook.AccountDeleted {
	e.Helper()
	var sum webhook.AccountDeleted
	r := webhook.AccountDelete{AccountID: account, Limit: limit}
	for range 1000 {
		d, err := e.store.DeleteAccount(e.ctx, r)
		e.must("DeleteAccount", err)
		for what, n := range map[string]int{"endpoints": d.Endpoints, "deliveries": d.Deliveries, "events": d.Events} {
			e.check(n <= 4*limit, "DeleteAccount removed %d %s in one call, Limit is %d", n, what, limit)
		}
		sum.Endpoints += d.Endpoints
		sum.Deliveries += d.Deliveries
		sum.Events += d.Events
		if r.Cursor = d.Next; d.Next == "" {
			return sum
		}
	}
	e.Fatalf("DeleteAccount has no end after 1000 calls")
	return sum
}

var accountRules = []rule{
	{
		name:     "DeletingAnAccountRemovesAllOfIt",
		sentence: "DeleteAccount removes the endpoints of an account, its deliveries, whatever their status, with their attempts, its events, and the revisions of its endpoints, about Limit rows of each kind a call; a Settle of what is gone is stale. Once more, it does nothing.",
		run: func(e *env) {
			e.endpoint("wh_1", "call.*")
			e.endpoint("wh_2", "call.*")
			e.endpoint("wh_gone", "call.*")
			e.update("wh_1", true, func(r *webhook.EndpointRecord) { r.URL = oddURL })
			e.endpointOf(other, "wh_other")
			kept := event("evt_kept")
			kept.AccountID = other
			unheard := events("evt_unheard", 3)
			for i := range unheard {
				unheard[i].Type = webhook.EventCreditsLow
			}
			e.enqueue(append(append(events("evt", 10), unheard...), kept)...)
			e.delete("wh_gone")
			outcomes := []webhook.Outcome{webhook.OutcomeRetry, webhook.OutcomeExhausted, webhook.OutcomeDelivered}
			var flying []webhook.Leased
			var ended webhook.Leased
			for i, l := range e.claim(terms(20, 9)).Deliveries {
				switch {
				case l.Event.AccountID == other:
					e.applied(result(l, webhook.OutcomeReleased))
				case i%6 < len(outcomes):
					e.applied(echoed(l, outcomes[i%6]))
					ended = l
				default:
					flying = append(flying, l)
				}
			}
			e.disable("wh_2")
			_, err := e.store.DeleteAccount(e.ctx, webhook.AccountDelete{AccountID: acct, Limit: 5, Cursor: "bogus"})
			e.wantErr("DeleteAccount with a bogus cursor", err, webhook.ErrInvalidArgument)
			same(e, "deleted of no account", e.deleteAccount("acc_none", 5), webhook.AccountDeleted{})
			same(e, "deleted", e.deleteAccount(acct, 5), webhook.AccountDeleted{Endpoints: 2, Deliveries: 30, Events: 13})
			same(e, "deleted again", e.deleteAccount(acct, 5), webhook.AccountDeleted{})

			page, err := e.store.ListEndpoints(e.ctx, webhook.EndpointFilter{AccountID: acct, Limit: 10})
			e.must("ListEndpoints", err)
			same(e, "endpoints left", len(page.Items), 0)
			for _, id := range []string{"wh_1", "wh_2", "wh_gone"} {
				same(e, "deliveries left of "+id, len(e.list(webhook.DeliveryFilter{EndpointID: id})), 0)
				_, err := e.store.ListRevisions(e.ctx, acct, id)
				e.wantErr("ListRevisions of "+id, err, webhook.ErrNotFound)
			}
			for _, ev := range append(events("evt", 10), unheard...) {
				_, err := e.store.GetEvent(e.ctx, acct, ev.ID)
				e.wantErr("GetEvent", err, webhook.ErrNotFound)
			}
			_, err = e.store.ListAttempts(e.ctx, acct, ended.DeliveryID)
			e.wantErr("ListAttempts", err, webhook.ErrNotFound)
			_, err = e.store.Redeliver(e.ctx, acct, ended.DeliveryID)
			e.wantErr("Redeliver", err, webhook.ErrNotFound)
			if len(flying) < 5 {
				e.Fatalf("too few deliveries were claimed to try: %d in flight", len(flying))
			}
			for i, o := range []webhook.Outcome{
				webhook.OutcomeRetry, webhook.OutcomeReleased, webhook.OutcomeExhausted, webhook.OutcomeGone, webhook.OutcomeDelivered,
			} {
				s := echoed(flying[i], o)
				s.Counts, s.DisableAfter = true, 1
				e.stale(fmt.Sprint("a deleted delivery, outcome ", o), s)
			}
			m := e.advance(2 * lease)
			same(e, "moved by Maintain", m.Cancelled+m.Held+m.Released, 0)

			left := e.claimAll()
			same(e, "claimed of the other account", eventIDs(left), []string{"evt_kept"})
			e.deliver(left...)
			same(e, "unfinished deliveries", e.stats(""), webhook.QueueStats{})
			_, err = e.store.GetEvent(e.ctx, other, "evt_kept")
			e.must("GetEvent of the other account", err)
		},
	},
	{
		name:     "DeletedAccountsCanBeginAnew",
		sentence: "The event ids of a deleted account are free, with other content too.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.enqueue(events("evt", 3)...)
			e.deleteAccount(acct, 100)
			reused := event("evt_0")
			reused.Data = []byte(`"other"`)
			r := e.enqueue(reused)
			same(e, "deliveries without an endpoint", r.Ready+r.Held, 0)
			e.endpoint("wh_new")
			again := event("evt_1")
			again.Data = []byte(`"other"`)
			e.enqueue(again)
			same(e, "claimed", eventIDs(e.claimAll()), []string{"evt_1"})
		},
	},
	{
		name:     "DeletingAnAccountFindsWhatCameLate",
		sentence: "What a transaction that was open adds to a deleted account is sent to nobody, and removed by another call.",
		needs:    needsOpenTx,
		run: func(e *env) {
			e.endpoint("wh_1")
			tx, commit, _ := e.h.Begin(e.TB, e.store)
			e.must("Enqueue", e.groups(tx, webhook.LeaseTerms{}, []webhook.EventRecord{event("evt_late")}).Errs[0])
			e.deleteAccount(acct, 100)
			e.must("commit", commit())
			e.maintain()
			e.none("its endpoint is deleted")
			same(e, "unfinished deliveries", e.stats(""), webhook.QueueStats{})
			same(e, "events deleted by another call", e.deleteAccount(acct, 100).Events, 1)
			_, err := e.store.GetEvent(e.ctx, acct, "evt_late")
			e.wantErr("GetEvent", err, webhook.ErrNotFound)
		},
	},
	{
		name:     "ErasingIsSafeBesidesAllElse",
		sentence: "RedactEvent and DeleteAccount may be called at any moment, besides all other methods: none fails, what is claimed can be sent, other accounts lose nothing, and nothing is left.",
		run:      erasingRace,
	},
}

// erasingRace erases one account, and events of another, while both are emitted to.
func erasingRace(e *env) {
	const each = 25
	e.endpoint("wh_1")
	e.endpoint("wh_2")
	e.endpointOf(other, "wh_other")
	var mu sync.Mutex
	arrived := make(map[string]bool) // of the other account
	send := func(all []webhook.Leased, o webhook.Outcome) {
		batch := make([]webhook.Settlement, len(all))
		for i, l := range all {
			if l.Err != nil || len(l.Event.Data) == 0 {
				e.Errorf("a delivery was leased that cannot be sent: %v", l.Err)
			}
			batch[i] = echoed(l, webhook.OutcomeDelivered)
			if l.Event.AccountID == acct {
				batch[i] = echoed(l, o)
				batch[i].Delay = 0
			}
		}
		r, err := e.store.Settle(e.ctx, batch)
		if err != nil {
			e.Errorf("Settle: %v", err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for i, res := range r.Results {
			if res.Status == webhook.SettleFailed {
				e.Errorf("Settle: %v", res.Err)
			}
			if l := all[i]; l.Event.AccountID == other && res.Status == webhook.SettleApplied {
				arrived[l.Event.ID] = true
			}
		}
	}
	work := []func(i int) error{
		func(i int) error { // emits
			a, b := event(fmt.Sprint("evt_a_", i)), event(fmt.Sprint("evt_b_", i))
			b.AccountID = other
			r, err := e.store.Enqueue(e.ctx, webhook.EnqueueRequest{Groups: [][]webhook.EventRecord{{a}, {b}}, Handoff: terms(1, 1)})
			if err == nil {
				send(r.Leased, webhook.OutcomeDelivered)
				err = errors.Join(r.Errs...)
			}
			return err
		},
		func(i int) error {
			c, err := e.store.Claim(e.ctx, webhook.ClaimRequest{LeaseTerms: terms(10, 5)})
			if err == nil && len(c.Deliveries) > 0 {
				send(c.Deliveries, []webhook.Outcome{webhook.OutcomeRetry, webhook.OutcomeReleased, webhook.OutcomeExhausted, webhook.OutcomeDelivered}[i%4])
			}
			return err
		},
		func(int) error {
			_, err := e.store.Maintain(e.ctx, webhook.MaintainRequest{Limit: 100})
			return err
		},
		func(i int) error {
			err := e.store.RedactEvent(e.ctx, acct, fmt.Sprint("evt_a_", i))
			if errors.Is(err, webhook.ErrNotFound) {
				return nil
			}
			return err
		},
		func(i int) error {
			if i%each < each/2 {
				return nil
			}
			_, err := e.store.DeleteAccount(e.ctx, webhook.AccountDelete{AccountID: acct, Limit: 7})
			return err
		},
	}
	parallel(2*len(work), func(n int) {
		for i := range each {
			if err := work[n%len(work)](each*(n/len(work)) + i); err != nil {
				e.Errorf("%d, step %d: %v", n%len(work), i, err)
				return
			}
		}
	})
	e.maintain()
	e.deleteAccount(acct, 50)
	e.advance(2 * lease)
	send(e.claimAll(), webhook.OutcomeDelivered)
	same(e, "events of the other account that arrived", len(arrived), 2*each)
	same(e, "unfinished deliveries", e.stats(""), webhook.QueueStats{})
	same(e, "deleted again", e.deleteAccount(acct, 50), webhook.AccountDeleted{})
	for i := range 2 * each {
		_, err := e.store.GetEvent(e.ctx, acct, fmt.Sprint("evt_a_", i))
		e.wantErr("GetEvent", err, webhook.ErrNotFound)
	}
}
