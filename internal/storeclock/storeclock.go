// Package storeclock estimates the clock of a store in another process.
package storeclock

import (
	"log/slog"
	"sync"
	"time"
)

// maxSkew is how far this process's clock may be from the store's before the
// operator is told.
const maxSkew = 30 * time.Second

// Clock estimates the store's clock from the times that it returns and from this
// process's monotonic clock between them. Requests are stamped by it: were they
// stamped by a local clock that is wrong, every receiver would refuse them and
// every endpoint would be disabled for our own fault. It is safe for concurrent
// use.
type Clock struct {
	log *slog.Logger

	mu     sync.RWMutex
	known  bool
	at     time.Time // local, with its monotonic reading
	store  time.Time // the store's time then
	skewed bool
}

// New makes a Clock that logs to log when the two clocks differ, and when they
// agree again.
func New(log *slog.Logger) *Clock { return &Clock{log: log} }

// Observe takes in that the store said now during a call that began at begin. A
// zero now is ignored.
func (c *Clock) Observe(begin, now time.Time) {
	if now.IsZero() {
		return
	}
	end := time.Now()
	middle := begin.Add(end.Sub(begin) / 2)
	skew := now.Sub(middle.Round(0)) // without monotonic readings: wall against wall
	skewed := skew.Abs() > maxSkew

	c.mu.Lock()
	changed := skewed != c.skewed
	c.known, c.at, c.store, c.skewed = true, middle, now, skewed
	c.mu.Unlock()
	switch {
	case changed && skewed:
		c.log.Warn("webhook: this machine's clock and the store's differ; requests are stamped with the store's", "skew", skew)
	case changed:
		c.log.Info("webhook: this machine's clock and the store's agree again")
	}
}

// Now returns the store's time; before the first observation this process's own,
// and false.
func (c *Clock) Now() (time.Time, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if !c.known {
		return time.Now().UTC(), false
	}
	return c.store.Add(time.Since(c.at)), true
}

// Time is Now for those who take the local clock too.
func (c *Clock) Time() time.Time {
	now, _ := c.Now()
	return now
}
