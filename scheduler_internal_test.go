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
