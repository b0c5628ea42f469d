package memstore

import (
	"bytes"
	"context"
	"time"

	"github.com/ringyo-ai/webhook"
)

// Enqueue implements [webhook.Enqueuer].
func (s *Store) Enqueue(ctx context.Context, r webhook.EnqueueRequest) (webhook.Enqueued, error) {
	if err := checkTerms(r.Handoff); err != nil {
		return webhook.Enqueued{}, err
	}
	groups := copyGroups(r.Groups)
	now, err := s.begin(ctx)
	if err != nil {
		return webhook.Enqueued{}, err
	}
	defer s.mu.Unlock()
	in := intake{s: s, now: now, terms: r.Handoff}
	in.out.Now = now
	in.out.Errs = make([]error, len(groups))
	for i, g := range groups {
		in.out.Errs[i] = in.group(g)
	}
	return in.out, nil
}

// copyGroups makes the events to be stored. It runs before the store is locked:
// copying the data is most of the work.
func copyGroups(groups [][]webhook.EventRecord) [][]*event {
	out := make([][]*event, len(groups))
	for i, g := range groups {
		out[i] = make([]*event, len(g))
		for j, rec := range g {
			rec = cloneEvent(rec)
			rec.Timestamp = rec.Timestamp.UTC()
			out[i][j] = &event{rec: rec}
		}
	}
	return out
}

// intake is one Enqueue call at work.
type intake struct {
	s     *Store
	now   time.Time
	terms webhook.LeaseTerms
	token webhook.LeaseToken
	load  load
	out   webhook.Enqueued
}

// group stores one group whole or not at all.
func (in *intake) group(g []*event) error {
	added, err := in.s.register(g)
	if err != nil {
		return err
	}
	for _, ev := range added {
		ev.seq = in.s.nextSeq()
		ev.rec.CreatedAt = in.now
		ev.acc.timeline.add(ev)
		in.fanOut(ev)
	}
	return nil
}

// register enters those of the group whose ids are new and returns them. After
// a conflict none is entered.
func (s *Store) register(g []*event) (added []*event, err error) {
	added = g[:0]
	for _, ev := range g {
		acc := s.account(ev.rec.AccountID)
		old := acc.events[ev.rec.ID]
		if old == nil {
			ev.acc = acc
			acc.events[ev.rec.ID] = ev
			added = append(added, ev)
			continue
		}
		if !old.same(&ev.rec) {
			s.unregister(added)
			return nil, webhook.ErrIDConflict
		}
	}
	return added, nil
}

func (s *Store) unregister(added []*event) {
	for _, ev := range added {
		delete(ev.acc.events, ev.rec.ID)
		s.leaveAccount(ev.acc)
	}
}

// same reports whether b is the event as it was first given, as far as that is still
// known.
func (e *event) same(b *webhook.EventRecord) bool {
	a := &e.rec
	return a.Type == b.Type && a.Timestamp.Equal(b.Timestamp) && (e.redacted || bytes.Equal(a.Data, b.Data))
}

// fanOut makes the deliveries of a new event.
func (in *intake) fanOut(ev *event) {
	ev.acc.match(in.s.patternsOf(ev.rec.Type), func(ep *endpoint) { in.deliver(ev, ep) })
	if len(ev.deliveries.items) == 0 {
		ev.unheard = in.s.unheard.PushBack(ev)
		in.s.trim()
	}
}

// cachedTypes bounds the cache of patterns: more types than that are made up.
const cachedTypes = 1000

func (s *Store) patternsOf(t webhook.EventType) []webhook.EventType {
	p, ok := s.patterns[t]
	if !ok {
		if len(s.patterns) == cachedTypes {
			clear(s.patterns)
		}
		p = t.Patterns()
		s.patterns[t] = p
	}
	return p
}

// match calls yield with each endpoint subscribed to one of the patterns, once.
func (a *account) match(patterns []webhook.EventType, yield func(*endpoint)) {
	for i, p := range patterns {
		for _, ep := range a.subscribers[p] {
			if !ep.matchedBefore(patterns[:i]) {
				yield(ep)
			}
		}
	}
}

// matchedBefore reports whether one of the patterns is among the endpoint's
// subscriptions, so that it has its delivery already.
func (e *endpoint) matchedBefore(patterns []webhook.EventType) bool {
	for _, p := range patterns {
		for _, t := range e.rec.Events {
			if t == p {
				return true
			}
		}
	}
	return false
}

// deliver makes one delivery, and leases it to the caller if there is room.
func (in *intake) deliver(ev *event, ep *endpoint) {
	s := in.s
	d := s.newDelivery(ev, ep, in.now)
	if in.hasRoom(d) {
		if in.token == 0 {
			in.token = newToken()
		}
		in.load.add(d)
		in.out.Leased = append(in.out.Leased, s.lease(d, in.token, in.now, &in.terms))
		return
	}
	if s.pend(d, in.now) == held {
		in.out.Held++
	} else {
		in.out.Ready++
	}
}

// hasRoom reports whether the delivery can be handed off. Nothing is any more once
// one was too large, since a later one would overtake it.
func (in *intake) hasRoom(d *delivery) bool {
	ep := d.ep
	if !ep.active() || ep.rec.Pace == webhook.PacePaused || !in.load.fits(d, in.terms) {
		return false
	}
	c := ep.candidate()
	c.Bytes = len(d.ev.rec.Data)
	return in.terms.Room.Take(c, 1) > 0
}

// newDelivery makes a delivery that is in no phase yet.
func (s *Store) newDelivery(ev *event, ep *endpoint, now time.Time) *delivery {
	d := &delivery{
		id:      webhook.NewDeliveryID(),
		seq:     s.nextSeq(),
		ep:      ep,
		ev:      ev,
		due:     now.UnixNano(),
		created: now.UnixNano(),
	}
	s.deliveries[d.id] = d
	if ev.deliveries.items == nil {
		ev.deliveries.items = ev.first[:0]
	}
	ev.deliveries.add(d)
	ep.log.add(d)
	ev.acc.log.add(d)
	return d
}
