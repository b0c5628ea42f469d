package memstore

import (
	"context"
	"fmt"
	"time"

	"github.com/ringyo-ai/webhook"
)

// What one Claim looks at, at most, so that endpoints without room do not hold the
// store's lock for long: endpoints in turn, and paused ones whose probe is due.
const (
	mostVisits = 1000
	mostProbes = 64
)

// Claim implements [webhook.Queue]. The turn of each endpoint is kept in the
// store, for all callers together. The cursor is the number of endpoints that the
// calls before have left of their round, and empty when a new one begins.
func (s *Store) Claim(ctx context.Context, r webhook.ClaimRequest) (webhook.Claimed, error) {
	left, err := s.roundLeft(r)
	if err != nil {
		return webhook.Claimed{}, err
	}
	now, err := s.begin(ctx)
	if err != nil {
		return webhook.Claimed{}, err
	}
	defer s.mu.Unlock()
	c := claim{s: s, now: now, r: r, token: newToken()}
	c.out.Now = now
	s.endPauses(now)
	if s.probesLast = !s.probesLast; s.probesLast { // in turn, so that neither starves
		c.inTurn(left)
		c.probe()
	} else {
		c.probe()
		c.inTurn(left)
	}
	c.out.NextIn = s.nextIn(now)
	return c.out, nil
}

// roundLeft returns how many endpoints the caller's round may still visit.
func (s *Store) roundLeft(r webhook.ClaimRequest) (int, error) {
	if err := checkTerms(r.LeaseTerms); err != nil || r.Cursor == "" {
		return 0, err
	}
	left, err := s.parseCursor(r.Cursor)
	return int(min(left, 1<<30)), err // #nosec G115 -- bounded
}

func checkTerms(t webhook.LeaseTerms) error {
	if t.Max > 0 && t.Room == nil {
		return fmt.Errorf("memstore: %w: Room is required unless Max is 0", webhook.ErrInvalidArgument)
	}
	return nil
}

// claim is one Claim call at work.
type claim struct {
	s     *Store
	now   time.Time
	r     webhook.ClaimRequest
	token webhook.LeaseToken
	load  load
	out   webhook.Claimed
}

// load is what a call has leased so far, and whether that is all it may.
type load struct {
	n, bytes int
	full     bool
}

// fits reports whether the delivery can be leased too.
func (l *load) fits(d *delivery, t webhook.LeaseTerms) bool {
	if l.n >= t.Max || t.MaxBytes > 0 && l.n > 0 && l.bytes+len(d.ev.rec.Data) > t.MaxBytes {
		l.full = true
	}
	return !l.full
}

func (l *load) add(d *delivery) {
	l.n++
	l.bytes += len(d.ev.rec.Data)
}

// inTurn goes around the endpoints that have something ready, and puts each that it
// passes behind the others: once, or as far as the round still goes when left is
// not 0. The next round begins behind the endpoint of which it took something last:
// where Room takes less than one round brings, the same ones would be served for ever.
func (c *claim) inTurn(left int) {
	turns := &c.s.turns
	n := turns.Len()
	if left > 0 {
		n = min(n, left)
	}
	visits, passed := 0, 0 // and so many since something was taken
	for ; n > 0; n-- {
		front := turns.Front()
		ep := front.Value.(*endpoint)
		if !c.load.fits(ep.oldest(), c.r.LeaseTerms) {
			c.out.More = true // from a new round, since this one got something
			return
		}
		if visits == mostVisits {
			c.out.More, c.out.Cursor = true, c.s.formatCursor(uint64(n)) // #nosec G115 -- n is positive
			return
		}
		visits++
		passed++
		turns.MoveToBack(front)
		if c.take(ep) {
			passed = 0
		}
	}
	if passed < visits {
		for range passed {
			turns.MoveToFront(turns.Back())
		}
	}
}

// take leases as many deliveries of the endpoint as there is room for, and reports
// whether there was one. It takes room for each one alone, so that it never takes more
// than it needs.
func (c *claim) take(ep *endpoint) (some bool) {
	for ep.counts[ready] > 0 {
		d := ep.oldest()
		if !c.load.fits(d, c.r.LeaseTerms) {
			c.out.More = true
			return some
		}
		if c.r.Room.Take(ep.candidate(), 1) < 1 {
			return some
		}
		c.lease(d)
		some = true
	}
	return some
}

// probe leases one delivery each of paused endpoints whose next probe is due, and
// puts those that there is no room for behind the others. Those that it did not get
// to are for the next call, which need not come at once if none of these was taken.
func (c *claim) probe() {
	probes, taken := &c.s.probes, false
	due := probes.Len()
	for range min(due, mostProbes) {
		front := probes.Front()
		ep := front.Value.(*endpoint)
		d := ep.nextProbe(c.now)
		if !c.load.fits(d, c.r.LeaseTerms) {
			c.out.More = true
			return
		}
		probes.MoveToBack(front)
		if c.r.Room.Take(ep.candidate(), 1) > 0 {
			c.lease(d)
			c.s.probing(ep, d)
			taken = true
		}
	}
	c.out.More = c.out.More || taken && due > mostProbes
}

func (c *claim) lease(d *delivery) {
	c.load.add(d)
	c.s.leave(d)
	c.out.Deliveries = append(c.out.Deliveries, c.s.lease(d, c.token, c.now, &c.r.LeaseTerms))
}

// candidate describes the endpoint to a [webhook.Room].
func (e *endpoint) candidate() webhook.Candidate {
	pace := e.rec.Pace
	if e.trials > 0 { // it is not to take the place of one that responds
		pace = webhook.PacePaused
	}
	return webhook.Candidate{EndpointID: e.rec.ID, AccountID: e.rec.AccountID, Pace: pace}
}

// nextIn returns the time until Maintain has something to do, or the next probe is
// due; see [webhook.Claimed]. The pauses that are over have been ended.
func (s *Store) nextIn(now time.Time) time.Duration {
	if len(s.moving) > 0 {
		return 0
	}
	next := time.Duration(-1)
	if len(s.timers) > 0 {
		next = max(0, time.Duration(s.timers[0].due-now.UnixNano()))
	}
	if len(s.pauses) > 0 {
		if probe := time.Duration(s.pauses[0].probeAt - now.UnixNano()); next < 0 || probe < next {
			next = probe
		}
	}
	return next
}
