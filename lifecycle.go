package webhook

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ringyo-ai/webhook/internal/heartbeat"
	"github.com/ringyo-ai/webhook/internal/pulse"
)

// lifecycle says what the engine is doing.
type lifecycle struct {
	mu      sync.Mutex
	state   lifeState
	ctx     context.Context // of the attempts, while started
	cancel  context.CancelFunc
	stopped chan struct{} // closed when Stop has ended

	deaf     context.CancelFunc // ends listening
	listened chan struct{}      // closed when listening has ended
}

type lifeState int

const (
	lifeNew lifeState = iota
	lifeStarted
	lifeStopped
)

// Start implements [Dispatcher].
func (e *Engine) Start(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("webhook: start: %w", err)
	}
	l := &e.life
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.state {
	case lifeStarted:
		return ErrStarted
	case lifeStopped:
		return ErrStopped
	}
	l.state = lifeStarted
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.stopped = make(chan struct{})
	e.beats.Start()
	e.sched.Start()
	e.feed.start()
	e.listen()
	return nil
}

// listen runs Config.Listen.
func (e *Engine) listen() {
	l := &e.life
	l.listened = make(chan struct{})
	l.deaf = func() {}
	if e.cfg.Listen == nil {
		close(l.listened)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.deaf = cancel
	pause := storeBackOff()
	go func() {
		defer close(l.listened)
		var begin time.Time
		pulse.Listen(ctx, func(ctx context.Context) error {
			begin = time.Now()
			return e.guarded("Listen", func() error { return e.cfg.Listen(ctx, e.feed.Wake) })
		}, func() time.Duration {
			if time.Since(begin) > time.Minute {
				pause.Reset()
			}
			return pause.NextBackOff()
		}, e.feed.Wake, func(err error) {
			e.log.Warn("webhook: listening for signals ended, new events of other processes are found by polling until it works again", "error", err)
		})
	}()
}

// Stop implements [Dispatcher].
func (e *Engine) Stop(ctx context.Context) error {
	if e.hooks.Calls(ctx) {
		return ErrStopFromHook
	}
	l := &e.life
	l.mu.Lock()
	switch l.state {
	case lifeNew:
		l.mu.Unlock()
		return e.signalled(ctx)
	case lifeStopped:
		l.mu.Unlock()
		select { // the first Stop may still be at it
		case <-l.stopped:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("webhook: stop: %w", ctx.Err())
		}
	}
	l.state = lifeStopped
	l.mu.Unlock()
	defer close(l.stopped)
	return e.drain(ctx)
}

// drain ends every goroutine, in the order in which work flows. Once ctx has
// ended, attempts are cancelled; one StoreTimeout later results that the store
// does not take are given up; and another second later even a Transport, a Store
// or a hook that ignores its context is not waited for any longer. Of StopTimeout
// these take five, two and one eighth at most.
func (e *Engine) drain(ctx context.Context) error {
	recording, ending := e.cfg.StoreTimeout, time.Second
	if all := e.cfg.StopTimeout; all > 0 {
		recording, ending = min(recording, all/4), min(ending, all/8)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, all-all/4-all/8)
		defer cancel()
	}
	hard, giveUp := context.WithCancel(context.Background())
	defer giveUp()
	defer context.AfterFunc(ctx, func() {
		e.life.cancel()
		sleep(hard, recording)
		e.results.GiveUp()
		sleep(hard, ending)
		giveUp()
	})()
	defer e.life.cancel()
	idle := false
	defer func() { e.beats.Stop(hard, idle) }()

	e.results.Hurry()
	e.life.deaf()
	e.feed.stop()
	rest := e.sched.Close() // first of all, so that nothing is taken on even if the store hangs
	if !ended(hard, e.feed.done) {
		return fmt.Errorf("webhook: stop: the store does not respond: %w", ctx.Err())
	}
	e.giveBack(hard, rest)
	if !ended(hard, e.sched.Drained()) {
		return fmt.Errorf("webhook: stop: %d attempts do not end: %w", e.sched.InFlight(), ctx.Err())
	}
	idle = true // what could not be recorded may be sent by others at once
	if !e.results.Wait(hard) {
		return fmt.Errorf("webhook: stop: the store does not take the last results, their deliveries are sent again: %w", ctx.Err())
	}
	if !ended(hard, e.life.listened) {
		return fmt.Errorf("webhook: stop: Listen does not return: %w", ctx.Err())
	}
	if err := e.signalled(hard); err != nil {
		return err
	}
	if e.hooks.Wait(hard) != nil {
		return fmt.Errorf("webhook: stop: a hook is still running: %w", ctx.Err())
	}
	if t, ok := e.cfg.Transport.(interface{ CloseIdleConnections() }); ok {
		if err := e.guarded("Transport", func() error { t.CloseIdleConnections(); return nil }); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("webhook: stop: not everything ended in time, the rest is sent again: %w", ctx.Err())
	}
	return nil
}

// signalled waits for a signal to other processes that is on its way.
func (e *Engine) signalled(ctx context.Context) error {
	if e.signal != nil && e.signal.Wait(ctx) != nil {
		return fmt.Errorf("webhook: stop: a signal to other processes is still on its way: %w", context.Cause(ctx))
	}
	return nil
}

// beatMargin is how long a process may be without a heartbeat before it begins no
// attempt, and before one that was begun in time has ended others take it for dead.
// With the default AttemptTimeout that is 16 s after its last heartbeat.
const beatMargin = 6 * time.Second

// newBeats makes what sends the heartbeats, or nil for a store that takes none.
func (e *Engine) newBeats() *heartbeat.Pulse {
	store, ok := e.cfg.Store.(Heartbeater)
	if !ok {
		return nil
	}
	alive := e.cfg.AttemptTimeout + beatMargin
	beat := func(ctx context.Context, id int64, dead []heartbeat.Quiet, last bool) (heartbeat.Beaten, error) {
		h := Heartbeat{Process: ProcessID(id), For: alive}
		if last {
			h.For = 0
		}
		for _, q := range dead {
			h.Dead = append(h.Dead, QuietProcess{Process: ProcessID(q.ID), Until: q.Until})
		}
		begin := time.Now()
		b, err := call(ctx, e.store, func(ctx context.Context) (Heartbeaten, error) { return store.Heartbeat(ctx, h) })
		if err != nil {
			return heartbeat.Beaten{}, err
		}
		e.clock.Observe(begin, b.Now)
		out := heartbeat.Beaten{ID: int64(b.Process), Ended: b.Ended > 0}
		for _, q := range b.Quiet {
			out.Quiet = append(out.Quiet, heartbeat.Quiet{ID: int64(q.Process), Until: q.Until, Left: q.Until.Sub(b.Now)})
		}
		return out, nil
	}
	return heartbeat.New(heartbeat.Config{Beat: beat, For: alive, Log: e.log, Ended: func() { e.feed.MaintainIn(0) }})
}

// ended waits for ch to be closed, until ctx ends.
func ended(ctx context.Context, ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	case <-ctx.Done():
		return false
	}
}

// DeliverDue makes one pass without Start: it makes ready what is due, claims
// once, sends, and records, all before it returns. It returns the number of
// deliveries that it attempted; 0 means that nothing was due. One pass takes at
// most Config.Concurrency deliveries, and Config.PerEndpoint of each endpoint. It
// purges nothing: history beyond Config.Retention goes only where some engine is
// started. An error beside the number means that not all results could be
// recorded: those deliveries are sent again when their leases have ended. For
// tests, cron jobs and serverless functions. It may run beside a started engine
// and beside itself. When ctx ends, attempts in flight are given back.
func (e *Engine) DeliverDue(ctx context.Context) (int, error) {
	if err := e.readyDue(ctx); err != nil {
		return 0, err
	}
	terms := LeaseTerms{Max: e.cfg.Concurrency, Lease: e.cfg.Lease, Room: &fixedRoom{e.cfg.PerEndpoint, make(map[string]int)}}
	cursor := e.feed.position()
	begin := time.Now()
	c, err := call(ctx, e.store, func(ctx context.Context) (Claimed, error) {
		return e.store.Claim(ctx, ClaimRequest{LeaseTerms: terms, Cursor: cursor})
	})
	if err != nil {
		e.feed.refused(err)
		return 0, err
	}
	e.feed.observe(begin, c)
	held := terms.from(begin)
	deliveries := e.isolate(e.usable(c.Deliveries, terms.Max, held), held)
	attempted := 0
	for i := range deliveries {
		if deliveries[i].unsendable() == nil {
			attempted++
		}
	}
	results := make([]result, len(deliveries))
	var wg sync.WaitGroup
	for i, leased := range deliveries {
		wg.Go(func() {
			e.attemptThen(ctx, job{Leased: leased, hold: held}, func(r result) {
				results[i] = r
			})
		})
	}
	wg.Wait()
	setPaces(results)
	if len(results) > 0 {
		err = e.settle(ctx, results, nil)
	}
	if !e.hooks.Calls(ctx) {
		_ = e.hooks.Wait(ctx) // the deliveries are done, whatever a hook is at
	}
	return attempted, err
}

// readyDue does housekeeping until there is nothing left, within bounds.
func (e *Engine) readyDue(ctx context.Context) error {
	for range 20 {
		begin := time.Now()
		m, err := call(ctx, e.store, func(ctx context.Context) (Maintained, error) {
			return e.store.Maintain(ctx, MaintainRequest{Limit: maintainLimit})
		})
		if err != nil {
			return err
		}
		e.maintained(begin, m)
		if !m.More {
			return nil
		}
	}
	return nil
}
