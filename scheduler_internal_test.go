package webhook

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A lane waits for its turn, loses its slots to a timeout and then its queue to
// an eviction: its turn must pass.
func TestATurnOfALaneThatLostItsQueuePasses(t *testing.T) {
	t.Parallel()
	e := &Engine{cfg: Config{Concurrency: 1, PerEndpoint: 4}}
	e.feed.init(e)
	s := &e.sched
	s.init(e)
	s.open, s.workers = true, 8 // so that none is started
	l := s.lane("wh_1")
	l.slots, l.proven = 4, true
	f := &flight{lane: l, began: time.Now().Add(-time.Second), slow: true}
	l.inFlight, s.flying, s.slow = 3, 3, 3
	s.add([]job{{Leased: Leased{DeliveryID: "dlv_1", Target: &Target{EndpointID: "wh_1"}}}})
	assert.True(t, l.inReady)
	s.done(f, verdictTimeout)
	assert.Len(t, s.evict(), 1)
	_, _, ok := s.next()
	assert.False(t, ok)
	assert.Zero(t, s.queued)
}

// How much is held unsent follows the pace of what is sent, between limits: a
// process that dies with it makes nobody wait for long, and one that is quick need
// not claim what it was handed.
func TestWhatIsHeldFollowsThePace(t *testing.T) {
	t.Parallel()
	e := &Engine{cfg: Config{Concurrency: 10, PerEndpoint: 4}}
	e.feed.init(e)
	s := &e.sched
	s.init(e)
	s.open = true
	now := time.Now()
	// attempts ends n attempts, at equal distances, within d.
	attempts := func(n int, d time.Duration) {
		for range n {
			now = now.Add(d / time.Duration(n))
			s.pace(now)
		}
	}
	room := func() int {
		terms, release := s.claimable()
		release()
		return terms.Max
	}
	assert.Equal(t, 10*leastAhead, room(), "before the first attempt")
	attempts(1, time.Second)
	assert.Equal(t, 10*leastAhead, room(), "after the first attempt")
	attempts(2_000, 2*time.Second)
	assert.InDelta(t, 100, room(), 2, "a thousand a second")
	attempts(100_000, 2*time.Second)
	assert.Equal(t, 10*mostAhead, room(), "a burst")
	attempts(1, time.Minute)
	assert.Equal(t, 10*leastAhead, room(), "after a pause")
	attempts(10, 10*time.Second)
	assert.Equal(t, 10*leastAhead, room(), "attempts that hang")
}
