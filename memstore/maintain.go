package memstore

import (
	"context"
	"time"

	"github.com/ringyo-ai/webhook"
)

// defaultLimit is used for a MaintainRequest without a limit.
const defaultLimit = 500

// Maintain implements [webhook.Queue].
func (s *Store) Maintain(ctx context.Context, r webhook.MaintainRequest) (webhook.Maintained, error) {
	now, err := s.begin(ctx)
	if err != nil {
		return webhook.Maintained{}, err
	}
	defer s.mu.Unlock()
	if r.Limit < 1 {
		r.Limit = defaultLimit
	}
	m := webhook.Maintained{Now: now}
	s.promote(&m, r.Limit, now)
	s.move(&m, r.Limit, now)
	s.purgeMarks(&m, r.Limit, now)
	if r.Retention > 0 {
		s.purgeOld(&m, r.Limit, now.Add(-r.Retention))
	}
	return m, nil
}

// promote makes what has become due ready, or what else its endpoint calls for.
func (s *Store) promote(m *webhook.Maintained, limit int, now time.Time) {
	for n := 0; len(s.timers) > 0 && s.timers[0].due <= now.UnixNano(); n++ {
		if n == limit {
			m.More = true
			return
		}
		d := s.timers[0]
		if d.phase == leased {
			d.expired++
		}
		s.leave(d)
		switch s.pend(d, now) {
		case cancelled:
			m.Cancelled++
		case held:
			m.Held++
		default:
			m.Readied++
		}
	}
}

// move holds, releases and cancels the deliveries of endpoints that were
// switched, at most limit in all.
func (s *Store) move(m *webhook.Maintained, limit int, now time.Time) {
	for limit > 0 && len(s.moving) > 0 {
		ep := s.moving[0]
		switch {
		case ep.deleted:
			limit = s.cancelSome(ep, m, limit, now)
		case ep.active():
			limit = s.releaseSome(ep, m, limit, now)
		default:
			limit = s.holdSome(ep, m, limit)
		}
		if !ep.unsettled() {
			ep.moving = false
			s.moving[0] = nil
			s.moving = s.moving[1:]
		}
	}
	if len(s.moving) > 0 {
		m.More = true
	}
}

// holdSome starts at the end of the queue, where taking out is cheapest.
func (s *Store) holdSome(ep *endpoint, m *webhook.Maintained, limit int) int {
	for ; limit > 0 && ep.counts[ready] > 0; limit-- {
		q := ep.ready
		if len(q) == 0 {
			q = ep.begun
		}
		d := q[len(q)-1]
		s.leave(d)
		s.enter(d, held)
		m.Held++
	}
	return limit
}

// releaseSome starts with the oldest.
func (s *Store) releaseSome(ep *endpoint, m *webhook.Maintained, limit int, now time.Time) int {
	for ; limit > 0 && len(ep.held) > 0; limit-- {
		d := ep.held[0]
		s.leave(d)
		s.pend(d, now)
		m.Released++
	}
	return limit
}

// cancelSome goes through the whole log of a deleted endpoint, to which nothing
// is added any more. It leaves what is leased to its Settle or its expiry.
func (s *Store) cancelSome(ep *endpoint, m *webhook.Maintained, limit int, now time.Time) int {
	var pending []*delivery
	for _, d := range ep.log.items[ep.log.from(ep.cancelled+1):] {
		if limit == 0 {
			break
		}
		limit--
		ep.cancelled = d.seq
		if !d.purged && !d.phase.ended() && d.phase != leased {
			pending = append(pending, d)
		}
	}
	for _, d := range pending {
		s.leave(d)
		s.end(d, cancelled, webhook.ReasonEndpointDeleted, now)
		m.Cancelled++
	}
	return limit
}

// purgeOld forgets what ended before the given time.
func (s *Store) purgeOld(m *webhook.Maintained, limit int, before time.Time) {
	for n := 0; s.finished.oldest != nil && s.finished.oldest.completed < before.UnixNano(); n++ {
		if n == limit {
			m.More, m.PurgeMore = true, true
			break
		}
		m.Purged += s.purge(s.finished.oldest)
	}
	for n := 0; ; n++ {
		f := s.unheard.Front()
		if f == nil || !f.Value.(*event).rec.CreatedAt.Before(before) {
			break
		}
		if n == limit {
			m.More, m.PurgeMore = true, true
			break
		}
		s.purgeEvent(f.Value.(*event))
		m.Purged++
	}
	for n := 0; len(s.revised) > 0 && s.revised[0].until.Before(before); n++ {
		if n == limit {
			m.More, m.PurgeMore = true, true
			break
		}
		s.purgeRevision()
	}
	for n := 0; len(s.tallied) > 0 && time.Unix(s.tallied[0].hour, 0).Add(time.Hour).Before(before); n++ {
		if n == limit {
			m.More, m.PurgeMore = true, true
			break
		}
		s.purgeTally()
	}
	for n := 0; ; n++ {
		f := s.gravesIn.Front()
		if f == nil || f.Value.(buried).ended >= before.UnixNano() {
			break
		}
		if n == limit {
			m.More, m.PurgeMore = true, true
			break
		}
		delete(s.graves, s.gravesIn.Remove(f).(buried).id)
		m.Purged++
	}
}

// trim keeps the history within its bound.
func (s *Store) trim() {
	for s.finished.len > s.history {
		s.purge(s.finished.oldest)
	}
	for s.unheard.Len() > s.history {
		s.purgeEvent(s.unheard.Front().Value.(*event))
	}
	for len(s.revised) > s.history {
		s.purgeRevision()
	}
}

// purge forgets a finished delivery, and its event with the last of them. It
// returns how many rows went.
func (s *Store) purge(d *delivery) int {
	s.leave(d)
	d.purged = true
	delete(s.deliveries, d.id)
	d.ep.log.drop()
	d.ev.acc.log.drop()
	s.forget(d.ep)
	d.ev.deliveries.drop()
	if d.ev.deliveries.len() > 0 {
		return 1
	}
	s.purgeEvent(d.ev)
	return 2
}

func (s *Store) purgeEvent(ev *event) {
	if ev.unheard != nil {
		s.unheard.Remove(ev.unheard)
		ev.unheard = nil
	}
	ev.purged = true
	delete(ev.acc.events, ev.rec.ID)
	ev.acc.timeline.drop()
	s.leaveAccount(ev.acc)
}
