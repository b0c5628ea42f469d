// Package outage distinguishes an outage on our own side of the network from
// endpoints that fail.
package outage

import (
	"sync"
	"time"
)

// The rule: with so many endpoints tried within the window and no response from any,
// the fault is probably on our side of the network.
const (
	window    = time.Minute
	endpoints = 3
)

// Detector reports whether this process seems to be cut off. It remembers just the
// latest few endpoints that were tried, which is all that the rule needs. The zero
// Detector is ready for use. It is safe for concurrent use.
type Detector struct {
	mu       sync.Mutex
	answered time.Time // latest HTTP response of any endpoint
	tried    [endpoints]struct {
		endpointID string
		at         time.Time
	}
}

// Record records one attempt at an endpoint, and whether it responded over HTTP.
func (d *Detector) Record(endpointID string, answered bool) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if answered {
		d.answered = now
		return // the rule counts endpoints only while nothing responds
	}
	oldest := 0
	for i := range d.tried {
		if d.tried[i].endpointID == endpointID {
			oldest = i
			break
		}
		if d.tried[i].at.Before(d.tried[oldest].at) {
			oldest = i
		}
	}
	d.tried[oldest].endpointID, d.tried[oldest].at = endpointID, now
}

// CutOff reports whether no endpoint responds.
func (d *Detector) CutOff() bool {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(d.answered) < window {
		return false
	}
	for _, t := range d.tried {
		if t.at.IsZero() || now.Sub(t.at) >= window {
			return false
		}
	}
	return true
}
