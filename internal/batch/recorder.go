package batch

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Recorder records results in batches: the first goes at once, and those that come
// while it is being recorded, or shortly after, share the next call. One goroutine does
// that; when much waits, or something urgent, it goes on without a pause and gets help.
// Its goroutines exist only while there is something to record. It is safe for
// concurrent use.
type Recorder[R any] struct {
	cfg RecorderConfig[R]

	mu        sync.Mutex
	room      *sync.Cond
	waiting   []R
	refused   []R            // could not be recorded
	apart     int            // refused ones, those that are just being repeated included
	apartOf   map[string]int // of them, by owner
	busy      int            // goroutines that hold a place
	repeating bool           // one more repeats what was refused
	idle      chan struct{}  // closed when the last of them ends
	hurry     chan struct{}  // capacity 1: ends a pause
	last      chan struct{}  // closed when no pause is to be made any more
	ctx       context.Context
	cancel    context.CancelFunc
}

// RecorderConfig is the argument of [NewRecorder]. All of it is required.
type RecorderConfig[R any] struct {
	// Places is the number of calls of Record under way at once, besides the one that
	// repeats what was refused.
	Places int
	// MaxBatch is how many results one call of Record gets at most.
	MaxBatch int
	// MaxWaiting is how many results may wait before Add waits.
	MaxWaiting int
	// Many is how many waiting results are urgent together.
	Many int
	// Pause is the time between two calls of Record by one goroutine, for results that
	// are not urgent.
	Pause time.Duration
	// Record records results. Those that it could not record, and that are to be
	// repeated apart from the others, it hands to refused. ctx ends with GiveUp, after
	// which nothing may be refused any more.
	Record func(ctx context.Context, results []R, refused func([]R))
	// Repeats begins a series of pauses before what was refused is repeated.
	Repeats func() (pause func() time.Duration)
	// Owner returns the owner of a result. Crowded is called for an owner of which at
	// least ManyRefused results wait to be repeated, and again with each further one:
	// they use up MaxWaiting, for which everybody waits. It is called under a lock.
	Owner       func(result R) string
	ManyRefused int
	Crowded     func(owner string)
}

// NewRecorder makes a Recorder.
func NewRecorder[R any](cfg RecorderConfig[R]) *Recorder[R] {
	r := &Recorder[R]{cfg: cfg, hurry: make(chan struct{}, 1), last: make(chan struct{}), apartOf: make(map[string]int)}
	r.room = sync.NewCond(&r.mu)
	r.ctx, r.cancel = context.WithCancel(context.Background()) // #nosec G118 -- GiveUp calls it
	return r
}

// Add takes on one result; it waits while MaxWaiting are waiting already. An urgent one
// is recorded without a pause before.
func (r *Recorder[R]) Add(result R, urgent bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.waiting)+r.apart >= r.cfg.MaxWaiting {
		r.room.Wait()
	}
	r.waiting = append(r.waiting, result)
	urgent = urgent || len(r.waiting) >= r.cfg.Many
	if r.busy == 0 || urgent && r.busy < r.cfg.Places {
		r.begin()
		r.busy++
		go r.run()
	}
	if urgent {
		select {
		case r.hurry <- struct{}{}:
		default:
		}
	}
}

// pause lets results come together.
func (r *Recorder[R]) pause() {
	t := time.NewTimer(r.cfg.Pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.hurry:
	case <-r.last:
	}
}

// begin and end tell Wait of goroutines; the caller holds the lock.
func (r *Recorder[R]) begin() {
	if r.busy == 0 && !r.repeating {
		r.idle = make(chan struct{})
	}
}

func (r *Recorder[R]) end() {
	if r.busy == 0 && !r.repeating {
		close(r.idle)
	}
}

func (r *Recorder[R]) run() {
	for {
		r.mu.Lock()
		n := min(len(r.waiting), r.cfg.MaxBatch)
		batch := append([]R(nil), r.waiting[:n]...)
		r.waiting = append(r.waiting[:0:0], r.waiting[n:]...)
		if n == 0 {
			r.busy--
			r.end()
			r.mu.Unlock()
			return
		}
		r.room.Broadcast()
		r.mu.Unlock()
		r.cfg.Record(r.ctx, batch, r.Refuse)
		r.pause()
	}
}

// Refuse takes on results that could not be recorded. They are repeated apart from the
// places: the other results need not wait for them.
func (r *Recorder[R]) Refuse(rest []R) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = append(r.refused, rest...)
	r.apart += len(rest)
	for i := range rest {
		owner := r.cfg.Owner(rest[i])
		if r.apartOf[owner]++; r.apartOf[owner] >= r.cfg.ManyRefused {
			r.cfg.Crowded(owner)
		}
	}
	if !r.repeating {
		r.begin()
		r.repeating = true
		go r.repeat()
	}
}

func (r *Recorder[R]) repeat() {
	for pause := r.cfg.Repeats(); r.unrepeated(); {
		sleep(r.ctx, pause())
		r.mu.Lock()
		batch := r.refused
		r.refused = nil
		r.mu.Unlock()
		for part := range slices.Chunk(batch, r.cfg.MaxBatch) {
			n, of := len(part), make(map[string]int)
			for i := range part {
				of[r.cfg.Owner(part[i])]++
			}
			r.cfg.Record(r.ctx, part, r.Refuse)
			r.mu.Lock()
			r.apart -= n
			for owner, n := range of {
				if r.apartOf[owner] -= n; r.apartOf[owner] <= 0 {
					delete(r.apartOf, owner)
				}
			}
			r.room.Broadcast()
			r.mu.Unlock()
		}
	}
}

// unrepeated reports whether there is something to repeat, and otherwise ends
// repeating.
func (r *Recorder[R]) unrepeated() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.refused) > 0 {
		return true
	}
	r.repeating = false
	r.end()
	return false
}

// Hurry says that there are to be no more pauses. It must be called once at most.
func (r *Recorder[R]) Hurry() { close(r.last) }

// GiveUp ends the context of the calls that are under way, and of all further ones.
func (r *Recorder[R]) GiveUp() { r.cancel() }

// Wait returns true once everything is recorded or given up, and false when ctx ends
// before.
func (r *Recorder[R]) Wait(ctx context.Context) bool {
	for {
		r.mu.Lock()
		working, idle := r.busy > 0 || r.repeating, r.idle
		r.mu.Unlock()
		if !working {
			return true
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return false
		}
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
