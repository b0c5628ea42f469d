package itest

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// stepped is the store of a child, which names what the process is doing. The
// stories but "forever" do one thing at a time.
type stepped struct {
	*sqlstore.Store
	d *suicide

	// Results are recorded one batch after another, so that the times in the log
	// tell in which order they were counted.
	settling sync.Mutex
	disabled atomic.Bool // and Maintain was not called since
}

func (s *stepped) Enqueue(ctx context.Context, r webhook.EnqueueRequest) (out webhook.Enqueued, err error) {
	s.d.in("emit", func() { out, err = s.Store.Enqueue(ctx, r) })
	return out, err
}

func (s *stepped) Claim(ctx context.Context, r webhook.ClaimRequest) (out webhook.Claimed, err error) {
	s.d.in("claim", func() { out, err = s.Store.Claim(ctx, r) })
	return out, err
}

func (s *stepped) Settle(ctx context.Context, batch []webhook.Settlement) (out webhook.Settled, err error) {
	s.settling.Lock()
	defer s.settling.Unlock()
	step, counted := "settle", map[string]int{}
	for _, st := range batch {
		if st.Outcome == webhook.OutcomeExhausted && st.Counts {
			counted[st.EndpointID]++
		}
		if st.DisableAfter > 0 && counted[st.EndpointID] >= st.DisableAfter {
			step = "disabling"
		}
	}
	s.d.in(step, func() { out, err = s.Store.Settle(ctx, batch) })
	return out, err
}

func (s *stepped) Maintain(ctx context.Context, r webhook.MaintainRequest) (out webhook.Maintained, err error) {
	step := "maintain"
	switch held := s.disabled.Swap(false); {
	case r.Retention > 0:
		step = "purge"
	case held:
		step = "hold"
	}
	s.d.in(step, func() { out, err = s.Store.Maintain(ctx, r) })
	return out, err
}

func (s *stepped) UpdateEndpoint(ctx context.Context, u webhook.EndpointUpdate) (out webhook.EndpointRecord, err error) {
	step := "enable"
	switch {
	case len(u.Record.Secrets) > 1:
		step = "rotate"
	case u.Record.Status == webhook.EndpointInactive:
		step = "disable"
		s.disabled.Store(true)
	}
	s.d.in(step, func() { out, err = s.Store.UpdateEndpoint(ctx, u) })
	return out, err
}

// teller is a child at work.
type teller struct {
	context.Context
	orders
	s    *stepped
	e    *webhook.Engine
	next int
}

// stories are what children do. All but "forever", "hold" and "poison" are the same each
// time.
var stories = map[string]func(*teller) error{
	"everything": (*teller).everything,
	"emit":       func(t *teller) error { return t.all(t.emits("custom.thing", 2), t.drain) },
	"retry":      func(t *teller) error { return t.all(t.emits(rare, 3), t.drain) },
	"fail":       func(t *teller) error { return t.all(t.emits(rare, 12), t.drain) },
	"disable":    func(t *teller) error { return t.all(t.emits("custom.thing", 2), t.disable, t.passes(1)) },
	"purge":      func(t *teller) error { return t.all(t.emits("custom.thing", 2), t.drain, t.purge) },
	"rotate":     (*teller).rotate,
	"poison":     (*teller).poison,
	"forever":    (*teller).forever,
	"hold":       (*teller).hold,
}

// all takes steps until one fails.
func (t *teller) all(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// everything is what a process does in its life.
func (t *teller) everything() error {
	return t.all(t.emits("custom.thing", 2), t.passes(8), t.disable, t.emits("custom.thing", 1), t.passes(2),
		t.enable, t.passes(8), t.purge)
}

func (t *teller) disable() error {
	_, err := t.e.DisableEndpoint(t, "a", "wh_flaky")
	return err
}

func (t *teller) enable() error {
	_, err := t.e.EnableEndpoint(t, "a", "wh_flaky")
	return err
}

// purge takes few rows, since SQLite is asked about each by itself. The parent is
// told before of what has ended, since it can find it in the log no more.
func (t *teller) purge() error {
	for _, id := range countedEndpoints {
		page, err := t.s.ListDeliveries(t, webhook.DeliveryFilter{AccountID: "a", EndpointID: id, Limit: 1000})
		if err != nil {
			return err
		}
		for _, d := range page.Items {
			if d.CompletedAt.IsZero() {
				continue
			}
			text, err := json.Marshal(d)
			if err != nil {
				return err
			}
			fmt.Println("ended " + string(text))
		}
	}
	_, err := t.s.Maintain(t, webhook.MaintainRequest{Limit: 5, Retention: time.Microsecond})
	return err
}

func (t *teller) passes(n int) func() error {
	return func() error {
		for range n {
			if _, err := t.e.DeliverDue(t); err != nil {
				return err
			}
		}
		return nil
	}
}

// drain delivers until nothing is left but what is held.
func (t *teller) drain() error {
	for {
		if _, err := t.e.DeliverDue(t); err != nil {
			return err
		}
		q, err := t.s.QueueStats(t, "", "")
		if err != nil || unfinished(q) == 0 {
			return err
		}
	}
}

// rotate gives a new secret to an endpoint of this story's own, for which an
// event is waiting.
func (t *teller) rotate() error {
	c := childEndpoint(fmt.Sprintf("wh_rotated_%d", t.First), t.URL)
	if err := t.create(t, t.s, c); err != nil {
		return err
	}
	return t.all(t.emits("custom.thing", 1), func() error {
		_, err := t.e.RotateSecret(t, "a", c.Record.ID, webhook.RotateParams{})
		return err
	}, t.passes(1))
}

// poison delivers until nothing is left but what is held, beside an endpoint
// whose requests end the process at once, whatever else is in flight.
func (t *teller) poison() error {
	if err := t.create(t, t.s, childEndpoint("wh_poison", t.URL)); err != nil {
		return err
	}
	if t.First == 0 {
		if err := t.emits("custom.thing", 2)(); err != nil {
			return err
		}
	}
	if err := t.e.Start(t); err != nil {
		return err
	}
	for {
		q, err := t.s.QueueStats(t, "", "")
		if err != nil || unfinished(q) == 0 {
			return err
		}
	}
}

func unfinished(q webhook.QueueStats) int { return q.Ready + q.Waiting + q.Leased }

// poisoned is a Transport that ends the process instead of sending to one
// endpoint.
type poisoned struct {
	webhook.Transport
}

func (p *poisoned) Send(ctx context.Context, req *webhook.Request) (*webhook.Response, error) {
	if req.EndpointID == "wh_poison" {
		die()
	}
	return p.Transport.Send(ctx, req)
}

// forever emits and delivers until somebody kills the process.
func (t *teller) forever() error {
	if err := t.e.Start(t); err != nil {
		return err
	}
	for {
		if err := t.emits("custom.thing", 10)(); err != nil {
			return err
		}
	}
}

// hold leases more than it can send at once, some of it handed off and some claimed,
// and waits for somebody to kill the process.
func (t *teller) hold() error {
	if err := t.emits("custom.thing", 20)(); err != nil {
		return err
	}
	if err := t.e.Start(t); err != nil {
		return err
	}
	for {
		if err := t.emits("custom.thing", 1)(); err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// emits tells the parent of each event before and after it is emitted. One in
// rareEvery is a rare one, whatever its type.
func (t *teller) emits(kind webhook.EventType, n int) func() error {
	return func() error {
		var batch []webhook.Event
		first := t.next
		for t.next < first+n {
			k := kind
			if t.next%rareEvery == 0 {
				k = rare
			}
			ev, err := webhook.NewEvent("a", k, json.RawMessage(fmt.Sprintf(`{"n":%d}`, t.next)))
			if err != nil {
				return err
			}
			ev.ID = fmt.Sprintf("evt_%d", t.next)
			batch = append(batch, ev)
			t.next++
		}
		fmt.Println("try", first, n)
		err := t.e.Emit(t, batch...)
		for deadline := time.Now().Add(time.Minute); err != nil && time.Now().Before(deadline); {
			err = t.e.Emit(t, batch...) // what an emitter does, with the same ids
		}
		if err != nil {
			return err
		}
		fmt.Println("ack", first, n)
		return nil
	}
}
