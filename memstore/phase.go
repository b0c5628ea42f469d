package memstore

import (
	"time"

	"github.com/ringyo-ai/webhook"
)

// leave takes the delivery out of the queue that its phase keeps it in.
func (s *Store) leave(d *delivery) {
	ep := d.ep
	s.counts[d.phase]--
	ep.counts[d.phase]--
	switch d.phase {
	case ready:
		ep.ready.remove(d)
		if len(ep.ready) == 0 {
			s.endTurn(ep)
		}
	case held:
		ep.held.remove(d)
	case waiting, leased:
		s.timers.remove(d)
		d.token = 0
	default:
		s.finished.remove(d)
	}
}

// enter puts the delivery, which is in no queue, into the one of phase p.
func (s *Store) enter(d *delivery, p phase) {
	ep := d.ep
	d.phase = p
	s.counts[p]++
	ep.counts[p]++
	switch p {
	case ready:
		ep.ready.push(d)
		s.takeTurn(ep)
	case held:
		ep.held.push(d)
	case waiting, leased:
		s.timers.push(d)
	default:
		s.finished.add(d)
	}
}

// pend enters the pending phase that the endpoint and the due time call for.
func (s *Store) pend(d *delivery, now time.Time) phase {
	switch {
	case d.ep.deleted:
		s.end(d, cancelled, webhook.ReasonEndpointDeleted, now)
	case !d.ep.active():
		s.enter(d, held)
	case d.due > now.UnixNano():
		s.enter(d, waiting)
	default:
		s.enter(d, ready)
	}
	return d.phase
}

// end enters a final phase.
func (s *Store) end(d *delivery, p phase, reason webhook.DeliveryReason, now time.Time) {
	d.reason = reason
	d.completed = now.UnixNano()
	s.enter(d, p)
	s.trim()
}

// lease enters the leased phase and returns what the caller is handed.
func (s *Store) lease(d *delivery, token webhook.LeaseToken, now time.Time, dur time.Duration) webhook.Leased {
	d.token = token
	d.due = later(now.UnixNano(), dur)
	s.enter(d, leased)
	return webhook.Leased{
		DeliveryID: d.id,
		Token:      token,
		Attempts:   d.attempts,
		Releases:   d.releases,
		Expired:    d.expired,
		Event:      &d.ev.rec,
		Target:     d.ep.target,
	}
}

// takeTurn puts the endpoint behind those that wait for a Claim.
func (s *Store) takeTurn(ep *endpoint) {
	if ep.turn == nil && ep.active() && len(ep.ready) > 0 {
		ep.turn = s.turns.PushBack(ep)
	}
}

func (s *Store) endTurn(ep *endpoint) {
	if ep.turn != nil {
		s.turns.Remove(ep.turn)
		ep.turn = nil
	}
}

// switched follows a change of the endpoint between active, inactive and
// deleted: what it means for each delivery is left to Maintain.
func (s *Store) switched(ep *endpoint) {
	if ep.active() {
		s.takeTurn(ep)
	} else {
		s.endTurn(ep)
	}
	if !ep.moving && ep.unsettled() {
		ep.moving = true
		s.moving = append(s.moving, ep)
	}
}

// unsettled reports whether Maintain has deliveries of the endpoint to move.
func (e *endpoint) unsettled() bool {
	switch {
	case e.deleted:
		return e.log.from(e.cancelled+1) < len(e.log.items)
	case e.active():
		return len(e.held) > 0
	default:
		return len(e.ready) > 0
	}
}

// slots starts a round of counting free slots per endpoint: room returns them
// from then on, until the next call of slots.
func (s *Store) slots(t webhook.LeaseTerms) {
	s.round++
	for _, sl := range t.Slots {
		if ep := s.endpoints[sl.EndpointID]; ep != nil {
			ep.round, ep.free = s.round, sl.Free
		}
	}
}

// room returns where the endpoint's free slots are counted.
func (s *Store) room(ep *endpoint, t webhook.LeaseTerms) *int {
	if ep.round != s.round {
		ep.round, ep.free = s.round, t.PerEndpoint
	}
	return &ep.free
}
