package webhook

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/ringyo-ai/webhook/internal/pulse"
	"github.com/ringyo-ai/webhook/internal/storeclock"
	"github.com/ringyo-ai/webhook/internal/timetable"
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
	*timetable.Table
	feederConfig

	size int // of an event's data, about; of the goroutine alone

	mu     sync.Mutex
	cursor string    // where the next claim begins; passes of DeliverDue go on from it too
	tidied time.Time // when the latest housekeeping began

	stop context.CancelFunc // ends the goroutine, after the call it is in
	done chan struct{}
}

// feederConfig is what the feeder needs of the engine.
type feederConfig struct {
	log           *slog.Logger
	clock         *storeclock.Clock
	store         safeStore
	most          int // deliveries of one claim
	retention     time.Duration
	purgeInterval time.Duration

	first func(ctx context.Context) // waits until terms can name this process
	wants func() bool
	terms func(half bool) (terms LeaseTerms, release func(came int))
	take  func(leased []Leased, h hold, release func(came int))

	usable     func(leased []Leased, most int, h hold) []Leased
	maintained func(begin time.Time, m Maintained)
}

func (e *Engine) newFeeder() *feeder {
	return &feeder{Table: timetable.New(e.cfg.PollInterval), feederConfig: feederConfig{
		log: e.log, clock: e.clock, store: e.store,
		most:      e.cfg.Concurrency * claimFactor, // so that no transaction is long
		retention: e.cfg.Retention, purgeInterval: e.cfg.PurgeInterval,
		first: e.beats.First,
		wants: func() bool { return e.sched.Wants() },
		terms: e.terms,
		take:  e.take,

		usable: e.usable, maintained: e.maintained,
	}}
}

// Wake makes a started engine look for work now, and signals the processes that listen
// where the store can, see [Signaler]: call it after a transaction with EmitTx has
// committed. It never blocks and does no harm at any other time.
func (e *Engine) Wake() {
	e.feed.Wake()
	e.tellOthers()
}

// tellOthers signals to other processes, soon, that there is work.
func (e *Engine) tellOthers() {
	if e.signal != nil {
		e.signal.Ask()
	}
}

// signalGap is the least time between two signals of a process. One costs the database
// about as much as an event; at 200 a second that is little, and the wait is unnoticed.
const signalGap = 5 * time.Millisecond

func (e *Engine) newSignal() *pulse.Sender {
	s, ok := e.cfg.Store.(Signaler)
	if !ok {
		return nil
	}
	return pulse.NewSender(signalGap,
		func() error { return do(context.Background(), e.store, s.Signal) },
		func(err error) {
			if err != nil {
				e.log.Warn("webhook: other processes cannot be signalled, they find new events when they poll", "error", err)
			} else {
				e.log.Info("webhook: other processes are signalled again")
			}
		})
}

func (f *feeder) start() {
	ctx, cancel := context.WithCancel(context.Background())
	f.stop, f.done = cancel, make(chan struct{})
	f.Wake()
	f.MaintainIn(0)
	go func() {
		defer close(f.done)
		f.run(ctx)
	}()
}

func (f *feeder) run(ctx context.Context) {
	pause := storeBackOff()
	failing := false
	f.first(ctx)
	for ctx.Err() == nil {
		// A claim that is under way ends in its own time: cut off, its leases
		// would have to expire.
		err := f.round(context.WithoutCancel(ctx))
		if failing != (err != nil) {
			failing = err != nil
			if failing {
				f.log.Error("webhook: the store fails, delivering pauses", "error", err)
			} else {
				f.log.Info("webhook: the store works again, delivering goes on")
			}
		}
		if err != nil {
			sleep(ctx, pause.NextBackOff())
			continue
		}
		pause.Reset()
		f.Wait(ctx)
	}
}

// round does what is due: housekeeping, then a claim if there is room.
func (f *feeder) round(ctx context.Context) error {
	var failed error
	if due, purge := f.Housekeeping(); due {
		failed = f.maintain(ctx, purge)
	}
	// What is ready is sent though the housekeeping fails.
	if f.Ask(f.wants) {
		return errors.Join(failed, f.claim(ctx))
	}
	return failed
}

func (f *feeder) maintain(ctx context.Context, purge bool) error {
	r := MaintainRequest{Limit: maintainLimit}
	purging := f.retention > 0 && purge
	if purging {
		r.Retention = f.retention
	}
	begin := time.Now()
	f.mu.Lock()
	f.tidied = begin
	f.mu.Unlock()
	m, err := call(ctx, f.store, func(ctx context.Context) (Maintained, error) { return f.store.Maintain(ctx, r) })
	if err != nil {
		if purging { // old history can wait, what is due cannot
			f.PurgeIn(purgeRetry)
		}
		f.MaintainIn(0)
		return err
	}
	f.maintained(begin, m)
	// A call that was not to purge leaves the time of the next purge alone.
	if f.retention < 0 || purging && !m.PurgeMore {
		f.PurgeIn(f.purgeInterval)
	}
	if m.More {
		f.MaintainIn(0)
	}
	// Even if nothing became ready: the claim that follows says when something
	// will.
	f.More()
	return nil
}

// maintained records what housekeeping returned.
func (e *Engine) maintained(begin time.Time, m Maintained) {
	e.clock.Observe(begin, m.Now)
	if m.Dropped > 0 {
		e.log.Warn("webhook: the store dropped deliveries of which the endpoint, or the rest, is not there any more", "deliveries", m.Dropped)
	}
}

// claim leases what is ready and fits.
func (f *feeder) claim(ctx context.Context) error {
	f.Looking()
	terms, release := f.terms(false)
	if terms.Max == 0 {
		release(0)
		f.More()
		return nil
	}
	terms.Max = min(terms.Max, f.most)
	if terms.MaxBytes > 0 && f.size > 0 {
		terms.Max = min(terms.Max, 1+2*terms.MaxBytes/f.size) // what does not fit would be given back
	}
	cursor := f.position()
	begin := f.Asking()
	c, err := call(ctx, f.store, func(ctx context.Context) (Claimed, error) {
		return f.store.Claim(ctx, ClaimRequest{LeaseTerms: terms, Cursor: cursor})
	})
	if err != nil {
		release(0)
		f.refused(err)
		f.More()
		return err
	}
	held := terms.from(begin)
	c.Deliveries = f.usable(c.Deliveries, terms.Max, held)
	f.observe(begin, c)
	if len(c.Deliveries) > 0 {
		f.Found()
	}
	f.weigh(c.Deliveries)
	f.take(c.Deliveries, held, release)
	switch {
	case c.More && len(c.Deliveries) > 0:
		f.Wake()
	case c.More: // it only passed over endpoints without room
		f.AskIn(time.Until(begin.Add(passingPause)))
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

// position returns where the next claim begins.
func (f *feeder) position() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cursor
}

// observe records what a claim that began at begin returned besides the deliveries.
func (f *feeder) observe(begin time.Time, c Claimed) {
	f.clock.Observe(begin, c.Now)
	f.mu.Lock()
	f.cursor = c.Cursor
	tidied := f.tidied
	f.mu.Unlock()
	switch {
	case c.NextIn == 0:
		f.MaintainIn(maintainGap)
	case c.NextIn > 0:
		// Where thousands of probes and retries lie ahead, one is always due in a
		// moment: a few share a call.
		f.MaintainIn(max(c.NextIn, maintainGap-time.Since(tidied)))
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

// refused forgets a cursor that the store returned and does not accept itself.
func (f *feeder) refused(err error) {
	if errors.Is(err, ErrInvalidArgument) {
		f.mu.Lock()
		f.cursor = ""
		f.mu.Unlock()
	}
}
