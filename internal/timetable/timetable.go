// Package timetable keeps the times at which one goroutine has something to do: ask for
// work, do housekeeping, purge. Other goroutines announce work in it that they know of.
package timetable

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Table is a timetable. One goroutine works by it: it calls Housekeeping, Ask, Asking and
// Wait. All methods are safe for concurrent use.
type Table struct {
	poll   time.Duration
	signal chan struct{} // capacity 1: ends Wait
	more   atomic.Bool   // asking may bring something, for whatever endpoint; each emit looks at it

	mu         sync.Mutex
	askAt      time.Time // when to ask though nothing is known of
	purgeAt    time.Time
	maintainAt time.Time // zero: nothing known to do
	askedAt    time.Time // when it was asked last
	prompted   bool      // askAt is the time of something known
	polled     bool      // what is asked now is a poll: nothing was known of
	foundAt    time.Time // when a poll found something, or what followed one; zero: none did
}

// While polls find work that was not announced, they come at a silence-th of the time
// since the last find: what comes then waits at most an eighth of the silence before
// it. An isolated find costs some forty polls, spread over eight poll intervals.
const (
	silence   = 8
	leastPoll = 20 * time.Millisecond
)

// New makes a Table that has work asked for once per poll in any case, and more often
// while that finds some. The first housekeeping purges.
func New(poll time.Duration) *Table {
	return &Table{poll: poll, signal: make(chan struct{}, 1)}
}

// Wake says that there is work to ask for, and ends Wait.
func (t *Table) Wake() {
	t.More()
	t.poke()
}

// More says that there may be work to ask for, but does not end Wait.
func (t *Table) More() { t.more.Store(true) }

// Nudge says that there is room for work again; known, that there is work for it. It ends
// Wait if there may be work. It takes no lock.
func (t *Table) Nudge(known bool) {
	if known {
		t.More()
	}
	if t.more.Load() {
		t.poke()
	}
}

func (t *Table) poke() {
	select {
	case t.signal <- struct{}{}:
	default:
	}
}

// MaintainIn says that housekeeping will have something to do in d.
func (t *Table) MaintainIn(d time.Duration) {
	at := time.Now().Add(d)
	t.mu.Lock()
	sooner := t.maintainAt.IsZero() || at.Before(t.maintainAt)
	if sooner {
		t.maintainAt = at
	}
	t.mu.Unlock()
	if sooner {
		t.poke()
	}
}

// Overdue reports whether there may be work, and it has not been asked for in longer than
// wait.
func (t *Table) Overdue(wait time.Duration) bool {
	if !t.more.Load() {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Since(t.askedAt) > wait
}

// Housekeeping reports whether housekeeping is due, and whether purging is among it. What
// is said of it from here on counts again.
func (t *Table) Housekeeping() (due, purge bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	purge = !now.Before(t.purgeAt)
	due = purge || !t.maintainAt.IsZero() && !now.Before(t.maintainAt)
	if due {
		t.maintainAt = time.Time{}
	}
	return due, purge
}

// PurgeIn puts the next purge off until d has passed.
func (t *Table) PurgeIn(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.purgeAt = time.Now().Add(d)
}

// Ask reports whether to ask for work: there may be some, or a poll is due, and there is
// room. A poll without room is not made up for before there is.
func (t *Table) Ask(room func() bool) bool {
	t.mu.Lock()
	polling := !time.Now().Before(t.askAt)
	known := t.more.Load()
	t.polled = polling && !known && !t.prompted
	t.mu.Unlock()
	if !polling && !known {
		return false
	}
	has := room()
	if !has && polling {
		t.More()
	}
	if has || polling {
		t.mu.Lock()
		t.pollNext()
		t.mu.Unlock()
	}
	return has
}

// pollNext sets the time of the next poll. The caller holds the lock.
func (t *Table) pollNext() {
	every := t.poll
	if !t.foundAt.IsZero() {
		every = min(every, max(leastPoll, time.Since(t.foundAt)/silence))
	}
	t.askAt, t.prompted = time.Now().Add(every), false
}

// Found says that asking brought something. If it was a poll, without an announcement,
// or if a poll found something lately, polls come more often for a while: there is
// traffic that is not announced to this process.
func (t *Table) Found() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.polled || !t.foundAt.IsZero() && time.Since(t.foundAt) < silence*t.poll {
		t.foundAt = time.Now()
		t.pollNext()
	}
}

// AskIn says to ask again when d has passed, even if nothing is known of.
func (t *Table) AskIn(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.askAt, t.prompted = time.Now().Add(d), true
}

// Looking says that the room is about to be looked at: what is said of work from here on
// counts again.
func (t *Table) Looking() { t.more.Store(false) }

// Asking records that the store is asked for work, and returns when.
func (t *Table) Asking() (begin time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.askedAt = time.Now()
	return t.askedAt
}

// Wait returns when there may be something to do, or ctx has ended.
func (t *Table) Wait(ctx context.Context) {
	t.mu.Lock()
	until := t.askAt
	if !t.maintainAt.IsZero() && t.maintainAt.Before(until) {
		until = t.maintainAt
	}
	t.mu.Unlock()
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.signal:
	case <-ctx.Done():
	}
}
