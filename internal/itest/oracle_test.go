package itest

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// window is what is known of an endpoint since it was looked at last: the
// deliveries that had ended by then, and its count of failures.
type window struct {
	ended    map[string]bool
	failures int
}

// disableAfter is the default DisablePolicy's.
const disableAfter = 10

// possible returns the counts of failures that the log allows, beginning with
// the given one: a delivery whose attempts failed adds one, one that succeeded
// sets it to zero, and nothing counts any more once it has disabled the
// endpoint. Deliveries that one batch recorded have one time, and came in any
// order.
func possible(failures int, log []webhook.Delivery) map[int]bool {
	slices.SortFunc(log, func(a, b webhook.Delivery) int { return a.CompletedAt.Compare(b.CompletedAt) })
	counts := map[int]bool{failures: true}
	for len(log) > 0 {
		succeeded, failed := 0, 0
		at := log[0].CompletedAt
		for len(log) > 0 && log[0].CompletedAt.Equal(at) {
			switch {
			case log[0].Status == webhook.DeliveryDelivered:
				succeeded++
			case log[0].Reason == webhook.ReasonAttempts:
				failed++
			}
			log = log[1:]
		}
		counts = after(counts, succeeded, failed)
	}
	return counts
}

// after returns the counts that one batch can lead to.
func after(counts map[int]bool, succeeded, failed int) map[int]bool {
	next := map[int]bool{}
	for c := range counts {
		switch {
		case c >= disableAfter, c+failed >= disableAfter:
			next[disableAfter] = true
		}
		if c < disableAfter && succeeded > 0 {
			for n := range min(failed, disableAfter-1) + 1 {
				next[n] = true
			}
		} else if c < disableAfter {
			next[min(c+failed, disableAfter)] = true
		}
	}
	return next
}

// counters holds an endpoint's count of failures against its log since it was
// looked at last.
func (p *parent) counters(id string) (webhook.EndpointRecord, bool) {
	p.t.Helper()
	rec, err := p.s.GetEndpoint(ctx, "a", id)
	if err != nil {
		require.ErrorIs(p.t, err, webhook.ErrNotFound) // killed before there was one
		return rec, false
	}
	w := p.windows[id]
	if w == nil {
		w = &window{ended: map[string]bool{}}
		p.windows[id] = w
	}
	var fresh []webhook.Delivery
	for _, d := range append(p.deliveries(id), p.told...) {
		if d.EndpointID == id && !d.CompletedAt.IsZero() && !w.ended[d.ID] {
			w.ended[d.ID] = true
			fresh = append(fresh, d)
		}
	}
	allowed := possible(w.failures, fresh)
	assert.Contains(p.t, allowed, rec.ConsecutiveFailures, "%s: its log, since there were %d failures, says otherwise: %v", id, w.failures, brief(fresh))
	if rec.DisabledReason == webhook.DisabledFailing {
		assert.Equal(p.t, disableAfter, rec.ConsecutiveFailures, id)
	}
	w.failures = rec.ConsecutiveFailures
	return rec, true
}

func brief(log []webhook.Delivery) (text []string) {
	for _, d := range log {
		text = append(text, fmt.Sprint(d.EventID, " ", d.Status, " ", d.CompletedAt.Format(time.StampMicro)))
	}
	return text
}

// deliveries returns all deliveries of an endpoint.
func (p *parent) deliveries(id string) (all []webhook.Delivery) {
	p.t.Helper()
	f := webhook.DeliveryFilter{AccountID: "a", EndpointID: id, Limit: 1000}
	for more := true; more; more = f.Cursor != "" {
		page, err := p.s.ListDeliveries(ctx, f)
		if errors.Is(err, webhook.ErrNotFound) {
			return nil // it was killed before it made the endpoint
		}
		require.NoError(p.t, err)
		all = append(all, page.Items...)
		f.Cursor = page.Next
	}
	return all
}

// verdict holds the end against what was promised.
func (p *parent) verdict() {
	t := p.t
	t.Helper()
	q, err := p.s.QueueStats(ctx, "", "")
	require.NoError(t, err)
	assert.Zero(t, q.Leased, "left leased")
	assert.Zero(t, q.Ready+q.Waiting, "left unfinished")
	sends, accepted, wrong := p.r.seen()
	assert.Empty(t, wrong)
	for name, n := range sends {
		assert.LessOrEqual(t, n, 6+p.died, "%s was sent too often", name)
	}
	var all []map[string]bool
	for _, id := range childEndpoints {
		log := p.deliveries(id)
		p.ended(id, log, sends)
		events := map[string]bool{}
		for _, d := range log {
			assert.False(t, events[d.EventID], "%s has two deliveries of %s", id, d.EventID)
			events[d.EventID] = true
		}
		all = append(all, events)
	}
	for n := range p.acked {
		p.kept(n, all, accepted)
	}
	if !p.purged {
		assert.Equal(t, all[0], all[1], "an event with half a fan-out")
		assert.Equal(t, all[0], all[2], "an event with half a fan-out")
	}
}

// kept checks that an acknowledged event has a delivery at each endpoint, unless
// it was delivered and purged since, and that the two that answer got it.
func (p *parent) kept(n int, all []map[string]bool, accepted map[string]bool) {
	p.t.Helper()
	id := fmt.Sprintf("evt_%d", n)
	for i, ep := range childEndpoints[:3] {
		if !p.purged {
			assert.True(p.t, all[i][id], "%s has no delivery of %s, which was acknowledged", ep, id)
		}
		if ep != "wh_gone" {
			assert.True(p.t, accepted[ep+" "+id], "%s never got %s, which was acknowledged", ep, id)
		}
	}
	for i := 3; i < len(all) && n%rareEvery == 0 && !p.purged; i++ {
		assert.True(p.t, all[i][id], "%s has no delivery of %s, which was acknowledged", childEndpoints[i], id)
	}
}

// ended checks that deliveries are over, or held at an endpoint that is
// inactive, and a sample of their logs.
func (p *parent) ended(endpoint string, log []webhook.Delivery, sends map[string]int) {
	p.t.Helper()
	rec, err := p.s.GetEndpoint(ctx, "a", endpoint)
	if err != nil {
		require.ErrorIs(p.t, err, webhook.ErrNotFound)
	}
	stride := 1 + len(log)/300
	for i, d := range log {
		if d.Status == webhook.DeliveryHeld {
			assert.Equal(p.t, webhook.EndpointInactive, rec.Status, "%s: held, but it is active", endpoint)
			continue
		}
		assert.NotEqual(p.t, webhook.DeliveryPending, d.Status, "%s %s", endpoint, d.EventID)
		if !p.checked[d.ID] && i%stride == 0 {
			p.checked[d.ID] = true
			p.attempts(d, sends[endpoint+" "+d.EventID])
		}
	}
}

// attempts holds a delivery that has ended against its own log and against how
// often it was sent.
func (p *parent) attempts(d webhook.Delivery, sends int) {
	t := p.t
	t.Helper()
	rows, err := p.s.ListAttempts(ctx, "a", d.ID)
	require.NoError(t, err)
	name := d.EndpointID + " " + d.EventID
	require.Len(t, rows, d.Attempts, "%s: attempts counted but not logged", name)
	answered := 0
	for i, a := range rows {
		assert.Equal(t, i+1, a.Number, name)
		if a.StatusCode != 0 {
			answered++
		}
		assert.Equal(t, a.StatusCode == http.StatusOK, d.Status == webhook.DeliveryDelivered && i == len(rows)-1, "%s: attempt %d", name, a.Number)
	}
	assert.LessOrEqual(t, answered, sends, "%s: logged more than was sent", name)
	assert.LessOrEqual(t, sends, len(rows)+p.died, "%s: sent more than was logged", name)
	if d.Reason == webhook.ReasonAttempts {
		assert.Len(t, rows, 6, name)
	}
}

// The oracle's own arithmetic.
func TestTheCountsThatALogAllows(t *testing.T) {
	t.Parallel()
	at := func(batch int, ok bool) webhook.Delivery {
		d := webhook.Delivery{Status: webhook.DeliveryExhausted, Reason: webhook.ReasonAttempts, CompletedAt: time.Unix(int64(batch), 0)}
		if ok {
			d.Status, d.Reason = webhook.DeliveryDelivered, ""
		}
		return d
	}
	many := func(n int) (all []webhook.Delivery) {
		for i := range n {
			all = append(all, at(i, false))
		}
		return all
	}
	for _, c := range []struct {
		name string
		from int
		log  []webhook.Delivery
		want []int
	}{
		{"nothing", 3, nil, []int{3}},
		{"one more", 3, many(1), []int{4}},
		{"a success", 3, []webhook.Delivery{at(1, true)}, []int{0}},
		{"a failure after a success", 3, []webhook.Delivery{at(2, false), at(1, true)}, []int{1}},
		{"a success after a failure", 3, []webhook.Delivery{at(2, true), at(1, false)}, []int{0}},
		{"both in one batch", 3, []webhook.Delivery{at(1, true), at(1, false)}, []int{0, 1}},
		{"both, and the last one that it takes", 9, []webhook.Delivery{at(1, true), at(1, false)}, []int{0, 1, 10}},
		{"nothing counts when it is disabled", 4, append(many(7), at(9, true)), []int{10}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []int
			for n := range possible(c.from, c.log) {
				got = append(got, n)
			}
			slices.SortFunc(got, cmp.Compare)
			assert.Equal(t, c.want, got)
		})
	}
}
