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
		ep.readyQueue(d).remove(d)
		s.place(ep)
	case held:
		ep.held.remove(d)
		s.placeTrial(ep)
	case waiting, leased:
		s.timers.remove(d)
		d.token, d.process = 0, 0
		if ep.probed == d {
			ep.probed = nil
			s.place(ep)
		}
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
		ep.readyQueue(d).push(d)
		s.place(ep)
	case held:
		ep.held.push(d)
		s.placeTrial(ep)
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
func (s *Store) lease(d *delivery, token webhook.LeaseToken, now time.Time, t *webhook.LeaseTerms) webhook.Leased {
	d.token, d.process = token, t.Process
	d.due = later(now.UnixNano(), t.Lease)
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

// switched follows a change of the endpoint between active, inactive and
// deleted: what it means for each delivery is left to Maintain.
func (s *Store) switched(ep *endpoint) {
	s.place(ep)
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
		return e.counts[ready] > 0
	}
}

// readyQueue returns the queue of the delivery while it is ready.
func (e *endpoint) readyQueue(d *delivery) *queue {
	if d.attempts > 0 {
		return &e.begun
	}
	return &e.ready
}

// oldest returns the delivery that is due longest, of an endpoint that has one
// ready.
func (e *endpoint) oldest() *delivery {
	if len(e.ready) == 0 || len(e.begun) > 0 && e.begun[0].before(e.ready[0]) {
		return e.begun[0]
	}
	return e.ready[0]
}
