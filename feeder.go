package webhook

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// maintainLimit bounds one housekeeping call, so that no transaction is long.
const maintainLimit = 500

// maintainGap is the least pause between two housekeeping calls that found
// nothing left to do: other processes may hold the rows.
const maintainGap = 20 * time.Millisecond

// purgeRetry is the pause after purging failed. Until then housekeeping goes on
// without it: a purge that takes too long must not end all delivering.
const purgeRetry = time.Minute

// claimWait is for how long new events may be handed off past a claim that waits
// for room. A claim brings half of what is sent in 100 ms, or more: so at least a
// tenth of what is sent has waited in the store. Handing off is cheaper than
// claiming; with 200 ms bursts on PostgreSQL lost 7 % of their rate.
const claimWait = 500 * time.Millisecond

// passingPause is the pause after a claim that had to pass over endpoints without
// room and is not through with them.
const passingPause = 20 * time.Millisecond

// feeder brings work from the store to the scheduler: one goroutine that asks
// when something may be there, and once per poll interval in any case.
type feeder struct {
	e      *Engine
	signal chan struct{} // capacity 1
	hungry atomic.Bool   // the store may have more than the last claim brought

	mu         sync.Mutex
	maintainAt time.Time // zero: nothing known to do
	claimedAt  time.Time // when the latest claim began
	cursor     string
	size       int // of an event's data, about; of the goroutine alone

	stop context.CancelFunc // ends the goroutine, after the call it is in
	done chan struct{}
}

func (f *feeder) init(e *Engine) { f.e, f.signal = e, make(chan struct{}, 1) }

// Wake makes a started engine look for work now: call it after a transaction
// with EmitTx has committed. It never blocks and does no harm at any other time.
func (e *Engine) Wake() { e.feed.wake() }

func (f *feeder) wake() {
	f.hungry.Store(true)
	f.poke()
}

func (f *feeder) poke() {
	select {
	case f.signal <- struct{}{}:
	default:
	}
}

// nudge says that there is room again; known, that there is work for it.
func (f *feeder) nudge(known bool) {
	if known {
		f.hungry.Store(true)
	}
	if f.hungry.Load() {
		f.poke()
	}
}

// overdue reports whether what waits in the store has waited for long.
func (f *feeder) overdue() bool {
	if !f.hungry.Load() {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Since(f.claimedAt) > claimWait
}

// maintainIn says that housekeeping will have something to do in d.
func (f *feeder) maintainIn(d time.Duration) {
	at := time.Now().Add(d)
	f.mu.Lock()
	sooner := f.maintainAt.IsZero() || at.Before(f.maintainAt)
	if sooner {
		f.maintainAt = at
	}
	f.mu.Unlock()
	if sooner {
		f.poke()
	}
}

func (f *feeder) start() {
	ctx, cancel := context.WithCancel(context.Background())
	f.stop, f.done = cancel, make(chan struct{})
	f.hungry.Store(true)
	f.poke()
	f.maintainIn(0)
	go func() {
		defer close(f.done)
		f.run(ctx)
	}()
}

func (f *feeder) run(ctx context.Context) {
	pause := storeBackOff()
	failing := false
	var pollAt, purgeAt time.Time
	for ctx.Err() == nil {
		// A claim that is under way ends in its own time: cut off, its leases
		// would have to expire.
		err := f.round(context.WithoutCancel(ctx), &pollAt, &purgeAt)
		if failing != (err != nil) {
			failing = err != nil
			if failing {
				f.e.log.Error("webhook: the store fails, delivering pauses", "error", err)
			} else {
				f.e.log.Info("webhook: the store works again, delivering goes on")
			}
		}
		if err != nil {
			sleep(ctx, pause.NextBackOff())
			continue
		}
		pause.Reset()
		f.wait(ctx, pollAt)
	}
}

// round does what is due: housekeeping, then a claim if there is room.
func (f *feeder) round(ctx context.Context, pollAt, purgeAt *time.Time) error {
	var failed error
	if f.maintainDue() || !time.Now().Before(*purgeAt) {
		failed = f.maintain(ctx, purgeAt)
	}
	// What is ready is sent though the housekeeping fails.
	return errors.Join(failed, f.fill(ctx, pollAt))
}

// fill claims if there may be something and there is room.
func (f *feeder) fill(ctx context.Context, pollAt *time.Time) error {
	polling := !time.Now().Before(*pollAt)
	if !polling && !f.hungry.Load() {
		return nil
	}
	if !f.e.sched.Wants() {
		if polling {
			f.hungry.Store(true)
			*pollAt = time.Now().Add(f.e.cfg.PollInterval)
		}
		return nil
	}
	*pollAt = time.Now().Add(f.e.cfg.PollInterval)
	return f.claim(ctx, pollAt)
}

func (f *feeder) maintainDue() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.maintainAt.IsZero() && !time.Now().Before(f.maintainAt)
}

func (f *feeder) maintain(ctx context.Context, purgeAt *time.Time) error {
	r := MaintainRequest{Limit: maintainLimit}
	purging := f.e.cfg.Retention > 0 && !time.Now().Before(*purgeAt)
	if purging {
		r.Retention = f.e.cfg.Retention
	}
	f.mu.Lock()
	f.maintainAt = time.Time{}
	f.mu.Unlock()
	begin := time.Now()
	m, err := call(ctx, f.e.store, func(ctx context.Context) (Maintained, error) { return f.e.store.Maintain(ctx, r) })
	if err != nil {
		if purging { // old history can wait, what is due cannot
			*purgeAt = time.Now().Add(purgeRetry)
		}
		f.maintainIn(0)
		return err
	}
	f.e.maintained(begin, m)
	// A call that was not to purge leaves the time of the next purge alone.
	if f.e.cfg.Retention < 0 || purging && !m.PurgeMore {
		*purgeAt = time.Now().Add(f.e.cfg.PurgeInterval)
	}
	if m.More {
		f.maintainIn(0)
	}
	// Even if nothing became ready: the claim that follows says when something
	// will.
	f.hungry.Store(true)
	return nil
}

// maintained takes in what housekeeping tells.
func (e *Engine) maintained(begin time.Time, m Maintained) {
	e.clock.observe(begin, m.Now)
	if m.Dropped > 0 {
		e.log.Warn("webhook: the store dropped deliveries of which the endpoint, or the rest, is not there any more", "deliveries", m.Dropped)
	}
}

// claim leases what is ready and fits.
func (f *feeder) claim(ctx context.Context, pollAt *time.Time) error {
	// Before the room is looked at: what is told from here on counts again.
	f.hungry.Store(false)
	terms, release := f.e.terms(false)
	if terms.Max == 0 {
		release(0)
		f.hungry.Store(true)
		return nil
	}
	terms.Max = min(terms.Max, f.e.cfg.Concurrency*claimFactor) // so that no transaction is long
	if terms.MaxBytes > 0 && f.size > 0 {
		terms.Max = min(terms.Max, 1+2*terms.MaxBytes/f.size) // what does not fit would be given back
	}
	f.mu.Lock()
	cursor := f.cursor
	begin := time.Now()
	f.claimedAt = begin
	f.mu.Unlock()
	c, err := call(ctx, f.e.store, func(ctx context.Context) (Claimed, error) {
		return f.e.store.Claim(ctx, ClaimRequest{LeaseTerms: terms, Cursor: cursor})
	})
	if err != nil {
		release(0)
		f.refused(err)
		f.hungry.Store(true)
		return err
	}
	c.Deliveries = f.e.usable(c.Deliveries, terms.Max, begin.Add(terms.Lease))
	f.observe(begin, c)
	f.weigh(c.Deliveries)
	f.e.take(c.Deliveries, begin.Add(terms.Lease), release)
	switch {
	case c.More && len(c.Deliveries) > 0:
		f.wake()
	case c.More: // it only passed over endpoints without room
		*pollAt = begin.Add(passingPause)
	}
	return nil
}

// weigh learns how large events are, from those that were claimed.
func (f *feeder) weigh(claimed []Leased) {
	if len(claimed) == 0 {
		return
	}
	all := 0
	for i := range claimed {
		all += len(claimed[i].Event.Data)
	}
	f.size = (f.size + all/len(claimed) + 1) / 2
}

func (f *feeder) observe(begin time.Time, c Claimed) {
	f.e.clock.observe(begin, c.Now)
	f.mu.Lock()
	f.cursor = c.Cursor
	f.mu.Unlock()
	switch {
	case c.NextIn == 0:
		f.maintainIn(maintainGap)
	case c.NextIn > 0:
		f.maintainIn(c.NextIn)
	}
}

// refused forgets a cursor that the store answered and does not accept itself.
func (f *feeder) refused(err error) {
	if errors.Is(err, ErrInvalidArgument) {
		f.mu.Lock()
		f.cursor = ""
		f.mu.Unlock()
	}
}

// wait returns when there may be something to do.
func (f *feeder) wait(ctx context.Context, pollAt time.Time) {
	f.mu.Lock()
	until := pollAt
	if !f.maintainAt.IsZero() && f.maintainAt.Before(until) {
		until = f.maintainAt
	}
	f.mu.Unlock()
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-t.C:
	case <-f.signal:
	case <-ctx.Done():
	}
}

// sleep pauses for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
