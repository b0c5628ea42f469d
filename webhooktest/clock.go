package webhooktest

import (
	"sync"
	"time"
)

// Clock is a clock that stands still until Advance is called. Its Now fits wherever
// this library takes a clock: memstore.Options, webhook.VerifierConfig,
// [ServerConfig].
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock makes a clock that shows 15 January 2024, 10:30 UTC.
func NewClock() *Clock {
	return &Clock{now: time.Date(2024, time.January, 15, 10, 30, 0, 0, time.UTC)}
}

// Now returns the time that the clock shows, in UTC.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock by d; backwards if d is negative.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
