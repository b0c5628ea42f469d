package memstore

import (
	"context"
	"time"

	"github.com/ringyo-ai/webhook"
)

// Claim implements [webhook.Queue]. The turn of each endpoint is kept in the
// store, for all callers together, so that the cursor is always empty.
func (s *Store) Claim(ctx context.Context, r webhook.ClaimRequest) (webhook.Claimed, error) {
	now, err := s.begin(ctx)
	if err != nil {
		return webhook.Claimed{}, err
	}
	defer s.mu.Unlock()
	s.slots(r.LeaseTerms)
	c := claim{s: s, now: now, r: r, token: newToken()}
	c.out.Now = now
	if r.PerEndpoint > 0 {
		c.inTurn()
	} else {
		c.named()
	}
	c.out.More = len(c.out.Deliveries) >= r.Max && s.turns.Len() > 0
	c.out.NextIn = s.nextIn(now)
	return c.out, nil
}

// claim is one Claim call at work.
type claim struct {
	s     *Store
	now   time.Time
	r     webhook.ClaimRequest
	token webhook.LeaseToken
	out   webhook.Claimed
}

// inTurn goes once around the endpoints that have something ready, and puts each
// that it passes behind the others.
func (c *claim) inTurn() {
	for n := c.s.turns.Len(); n > 0 && len(c.out.Deliveries) < c.r.Max; n-- {
		front := c.s.turns.Front()
		c.s.turns.MoveToBack(front)
		c.take(front.Value.(*endpoint))
	}
}

// named looks at the endpoints in Slots alone, since no other has room.
func (c *claim) named() {
	for _, sl := range c.r.Slots {
		if ep := c.s.endpoints[sl.EndpointID]; ep != nil && ep.turn != nil {
			c.take(ep)
		}
	}
}

func (c *claim) take(ep *endpoint) {
	s := c.s
	for free := s.room(ep, c.r.LeaseTerms); *free > 0 && len(ep.ready) > 0 && len(c.out.Deliveries) < c.r.Max; *free-- {
		d := ep.ready[0]
		s.leave(d)
		c.out.Deliveries = append(c.out.Deliveries, s.lease(d, c.token, c.now, c.r.Lease))
	}
}

// nextIn returns the time until Maintain has something to do; see
// [webhook.Claimed].
func (s *Store) nextIn(now time.Time) time.Duration {
	switch {
	case len(s.moving) > 0:
		return 0
	case len(s.timers) == 0:
		return -1
	default:
		return max(0, time.Duration(s.timers[0].due-now.UnixNano()))
	}
}
