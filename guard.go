package webhook

import (
	"sync"
	"time"
)

// guardWindow and guardEndpoints are the egress guard's rule: with so many
// endpoints tried within the window and no answer from any, the fault is
// probably on our side of the network.
const (
	guardWindow    = time.Minute
	guardEndpoints = 3
)

// egressGuard holds disabling back while this process seems to be cut off. It
// remembers just the latest few endpoints that it tried, which is all that the
// rule needs.
type egressGuard struct {
	mu       sync.Mutex
	answered time.Time // latest HTTP answer of any endpoint
	tried    [guardEndpoints]struct {
		endpointID string
		at         time.Time
	}
}

// record takes in one attempt.
func (g *egressGuard) record(endpointID string, answered bool) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if answered {
		g.answered = now
		return // the rule asks for endpoints only while nothing answers
	}
	oldest := 0
	for i := range g.tried {
		if g.tried[i].endpointID == endpointID {
			oldest = i
			break
		}
		if g.tried[i].at.Before(g.tried[oldest].at) {
			oldest = i
		}
	}
	g.tried[oldest].endpointID, g.tried[oldest].at = endpointID, now
}

// cutOff reports whether nothing answers.
func (g *egressGuard) cutOff() bool {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Sub(g.answered) < guardWindow {
		return false
	}
	for _, t := range g.tried {
		if t.at.IsZero() || now.Sub(t.at) >= guardWindow {
			return false
		}
	}
	return true
}
