package memstore

import (
	"container/list"
	"context"
	"slices"
	"sort"
	"time"

	"github.com/ringyo-ai/webhook"
)

// GetEvent implements [webhook.Log].
func (s *Store) GetEvent(ctx context.Context, accountID, id string) (webhook.EventRecord, error) {
	if _, err := s.begin(ctx); err != nil {
		return webhook.EventRecord{}, err
	}
	defer s.mu.Unlock()
	ev := s.findEvent(accountID, id)
	if ev == nil {
		return webhook.EventRecord{}, webhook.ErrNotFound
	}
	return cloneEvent(ev.rec), nil
}

// ListEvents implements [webhook.Log].
func (s *Store) ListEvents(ctx context.Context, f webhook.EventFilter) (webhook.Page[webhook.EventInfo], error) {
	if _, err := s.begin(ctx); err != nil {
		return webhook.Page[webhook.EventInfo]{}, err
	}
	defer s.mu.Unlock()
	var none history[*event]
	h := &none
	if acc := s.accounts[f.AccountID]; acc != nil {
		h = &acc.timeline
	}
	return page(s, h, f.Cursor, f.Limit, 0,
		func(ev *event) bool {
			return s.isAny(ev.rec.Type, f.Types) && within(ev.rec.CreatedAt, f.From, f.Until)
		},
		func(ev *event) webhook.EventInfo {
			r := &ev.rec
			return webhook.EventInfo{ID: r.ID, Type: r.Type, Timestamp: r.Timestamp, CreatedAt: r.CreatedAt, Size: len(r.Data)}
		})
}

// ListDeliveries implements [webhook.Log].
func (s *Store) ListDeliveries(ctx context.Context, f webhook.DeliveryFilter) (webhook.Page[webhook.Delivery], error) {
	if f.Status != "" && !slices.Contains(deliveryStatuses, f.Status) {
		return webhook.Page[webhook.Delivery]{}, invalid("Status", "must be pending, held, delivered, exhausted or cancelled")
	}
	if _, err := s.begin(ctx); err != nil {
		return webhook.Page[webhook.Delivery]{}, err
	}
	defer s.mu.Unlock()
	if f.EndpointID != "" && !s.remembers(f.AccountID, f.EndpointID) {
		return webhook.Page[webhook.Delivery]{}, webhook.ErrNotFound
	}
	return page(s, s.narrowest(f), f.Cursor, f.Limit, f.MaxScan,
		func(d *delivery) bool { return s.matches(d, f) }, (*delivery).public)
}

var deliveryStatuses = []webhook.DeliveryStatus{
	webhook.DeliveryPending, webhook.DeliveryHeld, webhook.DeliveryDelivered, webhook.DeliveryExhausted, webhook.DeliveryCancelled,
}

// remembers reports whether the account has the endpoint, or had it, until it is purged.
func (s *Store) remembers(accountID, id string) bool {
	if ep := s.endpoints[id]; ep != nil {
		return ep.rec.AccountID == accountID
	}
	grave := s.graves[id]
	return grave != nil && grave.Value.(buried).account == accountID
}

// narrowest returns the shortest list that holds all deliveries of the filter.
func (s *Store) narrowest(f webhook.DeliveryFilter) *history[*delivery] {
	var none history[*delivery]
	switch {
	case f.DeliveryID != "":
		if d := s.deliveries[f.DeliveryID]; d != nil {
			none.add(d)
		}
	case f.EventID != "":
		if ev := s.findEvent(f.AccountID, f.EventID); ev != nil {
			return &ev.deliveries
		}
	case f.EndpointID != "":
		if ep := s.endpoints[f.EndpointID]; ep != nil && ep.rec.AccountID == f.AccountID {
			return &ep.log
		}
	default:
		if acc := s.accounts[f.AccountID]; acc != nil {
			return &acc.log
		}
	}
	return &none
}

func (s *Store) matches(d *delivery, f webhook.DeliveryFilter) bool {
	return d.ev.rec.AccountID == f.AccountID &&
		(f.EndpointID == "" || d.ep.rec.ID == f.EndpointID) &&
		(f.EventID == "" || d.ev.rec.ID == f.EventID) &&
		(f.Status == "" || d.status() == f.Status) &&
		s.isAny(d.ev.rec.Type, f.Types) && within(time.Unix(0, d.created), f.From, f.Until)
}

// isAny reports whether one of the patterns matches the type, or there are none.
func (s *Store) isAny(t webhook.EventType, patterns []webhook.EventType) bool {
	if len(patterns) == 0 {
		return true
	}
	for _, p := range s.patternsOf(t) {
		if slices.Contains(patterns, p) {
			return true
		}
	}
	return false
}

// within reports whether t is at or after from and before until; zero is no bound.
func within(t, from, until time.Time) bool {
	return (from.IsZero() || !t.Before(from)) && (until.IsZero() || t.Before(until))
}

// ListAttempts implements [webhook.Log].
func (s *Store) ListAttempts(ctx context.Context, accountID, deliveryID string) ([]webhook.Attempt, error) {
	if _, err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	d := s.findDelivery(accountID, deliveryID)
	if d == nil {
		return nil, webhook.ErrNotFound
	}
	log := slices.Clone(d.log)
	for i := range log {
		log[i] = cloneAttempt(log[i])
	}
	return log, nil
}

// Redeliver implements [webhook.Log].
func (s *Store) Redeliver(ctx context.Context, accountID, deliveryID string) (webhook.Delivery, error) {
	now, err := s.begin(ctx)
	if err != nil {
		return webhook.Delivery{}, err
	}
	defer s.mu.Unlock()
	d := s.findDelivery(accountID, deliveryID)
	if d == nil || d.ep.deleted || d.ev.redacted {
		return webhook.Delivery{}, webhook.ErrNotFound
	}
	switch {
	case d.phase == leased:
	case d.phase.ended():
		s.leave(d)
		s.restart(d, now)
	default: // it keeps its schedule
		s.leave(d)
		d.due = now.UnixNano()
		s.pend(d, now)
	}
	return d.public(), nil
}

// restart gives a delivery, which is in no phase, a full schedule.
func (s *Store) restart(d *delivery, now time.Time) {
	d.attempts, d.releases, d.expired = 0, 0, 0
	d.reason, d.completed = "", 0
	d.due = now.UnixNano()
	s.pend(d, now)
}

// Replay implements [webhook.Log]. It goes from the oldest event to the newest.
func (s *Store) Replay(ctx context.Context, r webhook.ReplayRequest) (webhook.Replayed, error) {
	for _, status := range r.Statuses {
		switch status {
		case webhook.DeliveryDelivered, webhook.DeliveryExhausted, webhook.DeliveryCancelled:
		default:
			return webhook.Replayed{}, invalid("Statuses", "must be delivered, exhausted or cancelled")
		}
	}
	now, err := s.begin(ctx)
	if err != nil {
		return webhook.Replayed{}, err
	}
	defer s.mu.Unlock()
	var out webhook.Replayed
	ep, err := s.find(r.AccountID, r.EndpointID)
	if err != nil {
		return out, err
	}
	h := &ep.acc.timeline
	i, err := s.replayFrom(h, r)
	if err != nil {
		return out, err
	}
	for n := 0; i < len(h.items); i++ {
		if n == max(1, r.Limit) {
			out.Next = s.formatCursor(h.items[i].seq)
			break
		}
		n++
		ev := h.items[i]
		if !within(ev.rec.CreatedAt, time.Time{}, r.Until) {
			break
		}
		if s.replayable(ev, ep, r) {
			out.Count++
			if !r.DryRun {
				s.replay(ev, ep, now)
			}
		}
	}
	return out, nil
}

// replayFrom returns the index of the first event to look at.
func (s *Store) replayFrom(h *history[*event], r webhook.ReplayRequest) (int, error) {
	if r.Cursor != "" {
		seq, err := s.parseCursor(r.Cursor)
		return h.from(seq), err
	}
	return sort.Search(len(h.items), func(i int) bool { return !h.items[i].rec.CreatedAt.Before(r.Since) }), nil
}

// replayable reports whether the request takes an event for the endpoint.
func (s *Store) replayable(ev *event, ep *endpoint, r webhook.ReplayRequest) bool {
	if ev.purged || ev.redacted || !ep.matchedBefore(s.patternsOf(ev.rec.Type)) || !s.isAny(ev.rec.Type, r.Types) {
		return false
	}
	d := ev.to(ep)
	switch {
	case d == nil:
		return len(r.Statuses) == 0
	case len(r.Statuses) > 0:
		return slices.Contains(r.Statuses, d.phase.status())
	}
	return d.phase == exhausted || d.phase == cancelled
}

// replay makes one event pending for the endpoint.
func (s *Store) replay(ev *event, ep *endpoint, now time.Time) {
	d := ev.to(ep)
	if d == nil {
		if ev.unheard != nil {
			s.unheard.Remove(ev.unheard)
			ev.unheard = nil
		}
		s.pend(s.newDelivery(ev, ep, now), now)
		return
	}
	s.leave(d)
	s.restart(d, now)
}

// to returns the event's delivery to the endpoint, or nil.
func (e *event) to(ep *endpoint) *delivery {
	for _, d := range e.deliveries.items {
		if d.ep == ep && !d.purged {
			return d
		}
	}
	return nil
}

// QueueStats implements [webhook.Log]. Of the whole store it looks at each
// endpoint that has something ready, to find the oldest.
func (s *Store) QueueStats(ctx context.Context, accountID, endpointID string) (webhook.QueueStats, error) {
	now, err := s.begin(ctx)
	if err != nil {
		return webhook.QueueStats{}, err
	}
	defer s.mu.Unlock()
	if endpointID == "" {
		return s.total(now), nil
	}
	ep, err := s.find(accountID, endpointID)
	if err != nil {
		return webhook.QueueStats{}, err
	}
	return ep.stats(now), nil
}

// stats counts what is not finished of the endpoint.
func (e *endpoint) stats(now time.Time) webhook.QueueStats {
	q := webhook.QueueStats{Waiting: e.counts[waiting], Leased: e.counts[leased], Held: len(e.held)}
	if e.active() {
		e.countReady(&q, now)
	} else {
		q.Held += e.counts[ready] // Maintain has yet to hold them
	}
	return q
}

// countReady adds what the endpoint, which is active, has ready.
func (e *endpoint) countReady(q *webhook.QueueStats, now time.Time) {
	if n := e.counts[ready]; n > 0 {
		q.Ready += n
		q.OldestReady = max(q.OldestReady, since(e.oldest().due, now))
	}
}

func (s *Store) total(now time.Time) webhook.QueueStats {
	q := webhook.QueueStats{Waiting: s.counts[waiting], Leased: s.counts[leased]}
	for _, l := range []*list.List{&s.turns, &s.probes} {
		for e := l.Front(); e != nil; e = e.Next() {
			e.Value.(*endpoint).countReady(&q, now)
		}
	}
	for _, ep := range s.pauses {
		ep.countReady(&q, now)
	}
	q.Held = s.counts[held] + s.counts[ready] - q.Ready
	for _, ep := range s.moving {
		if ep.deleted { // its deliveries are no longer pending, although they wait for Maintain
			q.Waiting -= ep.counts[waiting]
			q.Held -= ep.counts[held] + ep.counts[ready]
		}
	}
	return q
}

func since(due int64, now time.Time) time.Duration {
	return max(0, time.Duration(now.UnixNano()-due))
}

func (s *Store) findEvent(accountID, id string) *event {
	if acc := s.accounts[accountID]; acc != nil {
		return acc.events[id]
	}
	return nil
}

func (s *Store) findDelivery(accountID, id string) *delivery {
	d := s.deliveries[id]
	if d == nil || d.ev.rec.AccountID != accountID {
		return nil
	}
	return d
}
