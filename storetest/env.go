package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringyo-ai/webhook"
)

// The accounts of most cases.
const (
	acct  = "acc_a"
	other = "acc_b"
)

// lease is how long the cases lease: long enough for any database.
const lease = time.Hour

// env is one case at work: its store, and words to talk about it. Each helper
// ends the case when the store returns an unexpected error.
type env struct {
	testing.TB
	h     Harness
	store webhook.Store
	ctx   context.Context
}

func (e *env) must(what string, err error) {
	e.Helper()
	if err != nil {
		e.Fatalf("%s: unexpected error: %v", what, err)
	}
}

func (e *env) wantErr(what string, err, want error) {
	e.Helper()
	if !errors.Is(err, want) {
		e.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

func (e *env) check(ok bool, format string, args ...any) {
	e.Helper()
	if !ok {
		e.Errorf(format, args...)
	}
}

// same reports a difference between got and want.
func same[T any](e *env, what string, got, want T) {
	e.Helper()
	if !reflect.DeepEqual(got, want) {
		e.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}

// near reports two times that are more than a second apart: stores keep times
// in different units.
func near(e *env, what string, got, want time.Time) {
	e.Helper()
	if d := got.Sub(want); d.Abs() > time.Second {
		e.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// recent reports a time that is not about the store's now.
func (e *env) recent(what string, got time.Time) {
	e.Helper()
	now := e.now()
	if d := now.Sub(got); d.Abs() > 10*time.Minute {
		e.Errorf("%s: got %v, want about the store's clock, %v", what, got, now)
	}
}

func (e *env) now() time.Time {
	e.Helper()
	now, err := e.store.Now(e.ctx)
	e.must("Now", err)
	return now
}

// advance lets time pass, and the store do its housekeeping.
func (e *env) advance(d time.Duration) webhook.Maintained {
	e.Helper()
	e.h.Advance(e.TB, e.store, d)
	return e.maintain()
}

// maintain calls Maintain until nothing is left to do, and returns the sum.
func (e *env) maintain() webhook.Maintained {
	e.Helper()
	return e.maintainWith(webhook.MaintainRequest{Limit: 1000})
}

func (e *env) maintainWith(r webhook.MaintainRequest) webhook.Maintained {
	e.Helper()
	var sum webhook.Maintained
	for range 1000 {
		m, err := e.store.Maintain(e.ctx, r)
		e.must("Maintain", err)
		sum.Readied += m.Readied
		sum.Held += m.Held
		sum.Released += m.Released
		sum.Cancelled += m.Cancelled
		sum.Purged += m.Purged
		if !m.More {
			return sum
		}
	}
	e.Fatalf("Maintain still says More after 1000 calls")
	return sum
}

// record makes an endpoint's record that a test can still change.
func record(account, id string, events ...webhook.EventType) webhook.EndpointRecord {
	return webhook.EndpointRecord{
		Endpoint: webhook.Endpoint{
			ID: id, AccountID: account, URL: "https://example.com/" + id,
			Events: events, Status: webhook.EndpointActive,
		},
		Secrets: []webhook.EndpointSecret{{Secret: webhook.NewSecret()}},
	}
}

// endpoint creates an endpoint of acct, for all events unless some are named.
func (e *env) endpoint(id string, events ...webhook.EventType) webhook.EndpointRecord {
	e.Helper()
	return e.endpointOf(acct, id, events...)
}

func (e *env) endpointOf(account, id string, events ...webhook.EventType) webhook.EndpointRecord {
	e.Helper()
	if len(events) == 0 {
		events = []webhook.EventType{"*"}
	}
	return e.create(record(account, id, events...))
}

func (e *env) create(r webhook.EndpointRecord) webhook.EndpointRecord {
	e.Helper()
	out, err := e.store.CreateEndpoint(e.ctx, webhook.EndpointCreate{Record: r})
	e.must("CreateEndpoint", err)
	return out
}

func (e *env) get(id string) webhook.EndpointRecord {
	e.Helper()
	r, err := e.store.GetEndpoint(e.ctx, acct, id)
	e.must("GetEndpoint", err)
	return r
}

// update reads an endpoint of acct, changes it and writes it back.
func (e *env) update(id string, reset bool, change func(*webhook.EndpointRecord)) webhook.EndpointRecord {
	e.Helper()
	r := e.get(id)
	change(&r)
	r, err := e.store.UpdateEndpoint(e.ctx, webhook.EndpointUpdate{Record: r, Reset: reset})
	e.must("UpdateEndpoint", err)
	return r
}

func (e *env) disable(id string) webhook.EndpointRecord {
	e.Helper()
	return e.update(id, true, func(r *webhook.EndpointRecord) {
		r.Status, r.DisabledReason = webhook.EndpointInactive, webhook.DisabledManually
	})
}

func (e *env) enable(id string) webhook.EndpointRecord {
	e.Helper()
	return e.update(id, true, func(r *webhook.EndpointRecord) { r.Status = webhook.EndpointActive })
}

func (e *env) delete(id string) {
	e.Helper()
	e.must("DeleteEndpoint", e.store.DeleteEndpoint(e.ctx, webhook.EndpointDelete{AccountID: acct, ID: id}))
}

// event makes an event of acct, of a type that "call.*" and "*" match too.
func event(id string) webhook.EventRecord {
	return webhook.EventRecord{
		ID: id, AccountID: acct, Type: webhook.EventCallCompleted,
		Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC),
		Data:      []byte(`{"id":"` + id + `"}`),
	}
}

func events(prefix string, n int) []webhook.EventRecord {
	all := make([]webhook.EventRecord, n)
	for i := range all {
		all[i] = event(fmt.Sprintf("%s_%d", prefix, i))
	}
	return all
}

// groups enqueues any number of groups.
func (e *env) groups(q webhook.Enqueuer, h webhook.LeaseTerms, g ...[]webhook.EventRecord) webhook.Enqueued {
	e.Helper()
	r, err := q.Enqueue(e.ctx, webhook.EnqueueRequest{Groups: g, Handoff: h})
	e.must("Enqueue", err)
	if len(r.Errs) != len(g) {
		e.Fatalf("Enqueue: got %d errors for %d groups", len(r.Errs), len(g))
	}
	return r
}

// enqueue stores one group, which must succeed.
func (e *env) enqueue(evs ...webhook.EventRecord) webhook.Enqueued {
	e.Helper()
	r := e.groups(e.store, webhook.LeaseTerms{}, evs)
	e.must("Enqueue", r.Errs[0])
	return r
}

func (e *env) claim(t webhook.LeaseTerms) webhook.Claimed {
	e.Helper()
	return e.claimFrom("", t)
}

func (e *env) claimFrom(cursor string, t webhook.LeaseTerms) webhook.Claimed {
	e.Helper()
	c, err := e.store.Claim(e.ctx, webhook.ClaimRequest{LeaseTerms: t, Cursor: cursor})
	e.must("Claim", err)
	if len(c.Deliveries) > t.Max {
		e.Fatalf("Claim: got %d deliveries, Max is %d", len(c.Deliveries), t.Max)
	}
	return c
}

// claimAll claims whatever is ready.
func (e *env) claimAll() []webhook.Leased {
	e.Helper()
	var all []webhook.Leased
	cursor := ""
	for range 100 {
		c := e.claimFrom(cursor, terms(1000, 1000))
		all = append(all, c.Deliveries...)
		if !c.More {
			return all
		}
		cursor = c.Cursor
	}
	e.Fatalf("Claim still says More after 100 calls")
	return nil
}

// one claims what must be exactly one delivery.
func (e *env) one() webhook.Leased {
	e.Helper()
	all := e.claimAll()
	if len(all) != 1 {
		e.Fatalf("Claim: got %d deliveries, want 1", len(all))
	}
	return all[0]
}

// none claims what must be nothing.
func (e *env) none(why string) {
	e.Helper()
	if all := e.claimAll(); len(all) != 0 {
		e.Fatalf("Claim: got %d deliveries, want none: %s", len(all), why)
	}
}

var attempts atomic.Int64

// result makes the settlement of an attempt: a 200 for delivered, no attempt
// for released, a 500 for the others.
func result(l webhook.Leased, o webhook.Outcome) webhook.Settlement {
	s := webhook.Settlement{
		DeliveryID: l.DeliveryID, Token: l.Token, EndpointID: l.Target.EndpointID,
		Generation: l.Target.Generation, Outcome: o,
	}
	a := &webhook.Attempt{ID: fmt.Sprintf("att_%032x", attempts.Add(1)), At: time.Now().UTC(), Duration: 5 * time.Millisecond, StatusCode: 500, Failure: webhook.FailureHTTPStatus}
	switch o {
	case webhook.OutcomeReleased:
		return s
	case webhook.OutcomeDelivered:
		a.StatusCode, a.Failure = 200, ""
	case webhook.OutcomeRetry:
		s.Delay = 10 * time.Minute
	case webhook.OutcomeExhausted:
		s.Reason = webhook.ReasonAttempts
	case webhook.OutcomeGone:
		a.StatusCode = 410
	}
	s.Attempt = a
	return s
}

// failure makes a settlement that counts, with a threshold.
func failure(l webhook.Leased, disableAfter int) webhook.Settlement {
	s := result(l, webhook.OutcomeExhausted)
	s.Counts, s.DisableAfter = true, disableAfter
	return s
}

func (e *env) settle(batch ...webhook.Settlement) webhook.Settled {
	e.Helper()
	r, err := e.store.Settle(e.ctx, batch)
	e.must("Settle", err)
	if len(r.Results) != len(batch) {
		e.Fatalf("Settle: got %d results for %d settlements", len(r.Results), len(batch))
	}
	return r
}

// applied settles what must be accepted.
func (e *env) applied(batch ...webhook.Settlement) webhook.Settled {
	e.Helper()
	r := e.settle(batch...)
	for i, res := range r.Results {
		if res.Status != webhook.SettleApplied {
			e.Fatalf("Settle: result %d: got status %d (%v), want applied", i, res.Status, res.Err)
		}
	}
	return r
}

// stale settles what must be refused as stale.
func (e *env) stale(what string, s webhook.Settlement) {
	e.Helper()
	if got := e.settle(s).Results[0]; got.Status != webhook.SettleStale {
		e.Errorf("Settle of %s: got status %d (%v), want stale", what, got.Status, got.Err)
	}
}

func (e *env) deliver(l ...webhook.Leased) {
	e.Helper()
	batch := make([]webhook.Settlement, len(l))
	for i := range l {
		batch[i] = result(l[i], webhook.OutcomeDelivered)
	}
	e.applied(batch...)
}

// delivery returns one delivery of acct by its id.
func (e *env) delivery(id string) webhook.Delivery {
	e.Helper()
	p, err := e.store.ListDeliveries(e.ctx, webhook.DeliveryFilter{AccountID: acct, DeliveryID: id, Limit: 2})
	e.must("ListDeliveries", err)
	if len(p.Items) != 1 {
		e.Fatalf("ListDeliveries by id: got %d deliveries, want 1", len(p.Items))
	}
	return p.Items[0]
}

func (e *env) status(l webhook.Leased, want webhook.DeliveryStatus) {
	e.Helper()
	if got := e.delivery(l.DeliveryID).Status; got != want {
		e.Errorf("delivery status: got %q, want %q", got, want)
	}
}

// list returns every page of a filter, checked against Limit.
func (e *env) list(f webhook.DeliveryFilter) []webhook.Delivery {
	e.Helper()
	if f.AccountID == "" {
		f.AccountID = acct
	}
	if f.Limit == 0 {
		f.Limit = 100
	}
	return pages(e, "ListDeliveries", f.Limit, func(cursor string) (webhook.Page[webhook.Delivery], error) {
		f.Cursor = cursor
		return e.store.ListDeliveries(e.ctx, f)
	})
}

func pages[T any](e *env, what string, limit int, next func(cursor string) (webhook.Page[T], error)) []T {
	e.Helper()
	var all []T
	cursor := ""
	for range 1000 {
		p, err := next(cursor)
		e.must(what, err)
		if len(p.Items) > limit {
			e.Fatalf("%s: got %d items, Limit is %d", what, len(p.Items), limit)
		}
		all = append(all, p.Items...)
		if p.Next == "" {
			return all
		}
		cursor = p.Next
	}
	e.Fatalf("%s: no end after 1000 pages", what)
	return nil
}

func (e *env) attempts(l webhook.Leased) []webhook.Attempt {
	e.Helper()
	a, err := e.store.ListAttempts(e.ctx, acct, l.DeliveryID)
	e.must("ListAttempts", err)
	return a
}

func (e *env) redeliver(l webhook.Leased) webhook.Delivery {
	e.Helper()
	d, err := e.store.Redeliver(e.ctx, acct, l.DeliveryID)
	e.must("Redeliver", err)
	return d
}

// stats returns the counts of one endpoint, or with "" of the whole store.
func (e *env) stats(endpointID string) webhook.QueueStats {
	e.Helper()
	q, err := e.store.QueueStats(e.ctx, acct, endpointID)
	e.must("QueueStats", err)
	return q
}

// eventIDs returns which events the deliveries are of.
func eventIDs(leased []webhook.Leased) []string {
	ids := make([]string, len(leased))
	for i, l := range leased {
		ids[i] = l.Event.ID
	}
	return ids
}
