// Package heartbeat sends the heartbeats by which other processes that share a store
// know that this one is alive, and reports for how long it counts as alive. It measures
// that by its own clock, from before each heartbeat was sent, so a process never takes
// itself for alive for longer than the others do.
package heartbeat

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Times of heartbeats.
const (
	// Every is the time between two heartbeats.
	Every = 2 * time.Second
	// Grace is how long this process must have seen another one quiet, while its own
	// heartbeats succeeded, before it takes the other one for dead. After a failure
	// of the store, or of its network, it leaves the others the time to send theirs.
	Grace = 2 * Every
	// longest bounds one heartbeat, so that one that hangs is not the last.
	longest = 2 * Every
	// soonest is the least pause between two heartbeats that succeeded.
	soonest = 100 * time.Millisecond
)

// Quiet is another process that sent no heartbeat for some time.
type Quiet struct {
	ID    int64
	Until time.Time     // when its time is over, by the store's clock
	Left  time.Duration // until then; not above 0 when it is over
}

// Beaten is what a heartbeat brings.
type Beaten struct {
	ID    int64 // of the process from now on
	Quiet []Quiet
	Ended bool // another process was ended: there may be something to do
}

// Config configures a [Pulse].
type Config struct {
	// Beat sends a heartbeat of a process, 0 for a new one, and ends those that are
	// dead. With last it ends the process itself.
	Beat func(ctx context.Context, id int64, dead []Quiet, last bool) (Beaten, error)
	// For is how long each heartbeat makes the process count as alive.
	For time.Duration
	// Ended is called when a heartbeat ended another process.
	Ended func()
	Log   *slog.Logger
}

// Pulse sends heartbeats. A nil Pulse is that of a store without heartbeats:
// process 0, which is alive always. Its methods are safe for concurrent use.
type Pulse struct {
	cfg   Config
	now   atomic.Pointer[life]
	first chan struct{} // closed after the first heartbeat
	stop  context.CancelFunc
	done  chan struct{}

	// Of the goroutine alone.
	seen map[int64]sighting
	went time.Time // when the latest heartbeat that succeeded was sent
	ill  bool
}

// life is a process and until when it is alive.
type life struct {
	id    int64
	until time.Time
}

// sighting is a quiet process, and since when it was seen to be.
type sighting struct {
	until, since time.Time
}

// New makes a Pulse. It does nothing before Start.
func New(cfg Config) *Pulse {
	p := &Pulse{cfg: cfg, first: make(chan struct{})}
	p.now.Store(&life{})
	return p
}

// Process returns the process that leases can be taken for, with the certainty that
// it lives for d. 0 is none.
func (p *Pulse) Process(d time.Duration) int64 {
	if p == nil {
		return 0
	}
	if l := p.now.Load(); l.lives(time.Now(), d) {
		return l.id
	}
	return 0
}

// Lives reports whether the process lives for another d, counted from now.
func (p *Pulse) Lives(id int64, now time.Time, d time.Duration) bool {
	if id == 0 {
		return true
	}
	l := p.now.Load()
	return l.id == id && l.lives(now, d)
}

// lives goes by the monotonic clock and by the wall clock, whichever says less: the
// former can stand still while a machine is suspended.
func (l *life) lives(now time.Time, d time.Duration) bool {
	return l.id != 0 && l.until.Sub(now) >= d && l.until.Round(0).Sub(now.Round(0)) >= d
}

// Began reports whether the first heartbeat has ended, for better or worse.
func (p *Pulse) Began() bool {
	if p == nil {
		return true
	}
	select {
	case <-p.first:
		return true
	default:
		return false
	}
}

// First waits for the end of the first heartbeat, for better or worse.
func (p *Pulse) First(ctx context.Context) {
	if p == nil {
		return
	}
	select {
	case <-p.first:
	case <-ctx.Done():
	}
}

// Start begins. It must be called once.
func (p *Pulse) Start() {
	if p == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.stop, p.done = cancel, make(chan struct{})
	go func() {
		defer close(p.done)
		p.run(ctx)
	}()
}

// Stop sends no more heartbeats. If nothing that the process has leased is under way
// any more, it is ended, for which Stop takes until ctx ends at most.
func (p *Pulse) Stop(ctx context.Context, idle bool) {
	if p == nil {
		return
	}
	p.stop()
	select {
	case <-p.done:
	case <-ctx.Done():
		return
	}
	if id := p.now.Load().id; idle && id != 0 {
		p.now.Store(&life{})
		_, _ = p.beat(ctx, id, nil, true) // otherwise others find that its time is over
	}
}

func (p *Pulse) run(ctx context.Context) {
	var dead []Quiet
	var once sync.Once
	for ctx.Err() == nil {
		begin, before := time.Now(), p.now.Load().id
		b, err := p.beat(ctx, before, dead, false)
		wait := Every
		dead = nil
		if err == nil {
			p.now.Store(&life{b.ID, begin.Add(p.cfg.For)})
			dead, wait = p.look(begin, b.Quiet)
		}
		p.tell(ctx, before, b, err)
		once.Do(func() { close(p.first) })
		sleep(ctx, wait-time.Since(begin))
	}
}

func (p *Pulse) beat(ctx context.Context, id int64, dead []Quiet, last bool) (Beaten, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	return p.cfg.Beat(ctx, id, dead, last)
}

// look returns those of the quiet processes that are dead, and when to look again.
func (p *Pulse) look(begin time.Time, quiet []Quiet) (dead []Quiet, wait time.Duration) {
	if begin.Sub(p.went) > Grace { // nobody looked meanwhile
		p.seen = nil
	}
	p.went, wait = begin, Every
	seen := make(map[int64]sighting, len(quiet))
	for _, q := range quiet {
		s := sighting{q.Until, begin}
		if old, ok := p.seen[q.ID]; ok && old.until.Equal(q.Until) {
			s = old
		}
		seen[q.ID] = s
		left := max(q.Left, Grace-begin.Sub(s.since))
		if left <= 0 {
			dead = append(dead, q)
		}
		wait = min(wait, left)
	}
	p.seen = seen
	return dead, max(wait, soonest)
}

// tell reports what the rest of the engine and the operator should know.
func (p *Pulse) tell(ctx context.Context, before int64, b Beaten, err error) {
	switch {
	case err != nil && ctx.Err() == nil && !p.ill:
		p.ill = true
		p.cfg.Log.Error("webhook: the heartbeat fails, what this process has leased is not sent before it succeeds", "error", err)
	case err == nil && p.ill:
		p.ill = false
		p.cfg.Log.Info("webhook: the heartbeat succeeds again")
	}
	if err == nil && before != 0 && b.ID != before {
		p.cfg.Log.Warn("webhook: others took this process for dead and send what it had leased")
	}
	if err == nil && b.Ended {
		p.cfg.Ended()
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
