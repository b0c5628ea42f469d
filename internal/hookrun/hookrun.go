// Package hookrun calls hooks: functions of a user, for which nothing waits.
package hookrun

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ringyo-ai/webhook/internal/safe"
)

// backlog bounds the memory of hooks that do not keep up.
const backlog = 4096

// Runner calls hooks in order. Its goroutine exists only while there is something
// to call. It is safe for concurrent use.
type Runner struct {
	log *slog.Logger

	mu      sync.Mutex
	queue   []func(context.Context)
	running bool
	dropped int
	idle    chan struct{} // closed when the goroutine ends
}

type key struct{}

// New makes a Runner that logs to log when a hook panics or is too slow.
func New(log *slog.Logger) *Runner { return &Runner{log: log} }

// Calls reports whether ctx is, or is derived from, one that r gave to a hook.
func (r *Runner) Calls(ctx context.Context) bool { return ctx.Value(key{}) == r }

// Enqueue adds one call. It returns at once; if 4,096 calls wait already, this one
// is dropped.
func (r *Runner) Enqueue(f func(context.Context)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) >= backlog {
		if r.dropped++; r.dropped&(r.dropped-1) == 0 { // 1, 2, 4, 8 …: said, but not for each
			r.log.Warn("webhook: hooks are too slow, calls were dropped", "dropped", r.dropped)
		}
		return
	}
	r.queue = append(r.queue, f)
	if !r.running {
		r.running = true
		r.idle = make(chan struct{})
		go r.run()
	}
}

func (r *Runner) run() {
	ctx := context.WithValue(context.Background(), key{}, r)
	var batch []func(context.Context)
	ended := false
	defer func() {
		if !ended { // by the hook, as testing's FailNow does: the others go on
			r.mu.Lock()
			r.queue = append(batch, r.queue...)
			r.mu.Unlock()
			go r.run()
		}
	}()
	for {
		r.mu.Lock()
		batch, r.queue = r.queue, nil
		if len(batch) == 0 {
			r.running, ended = false, true
			close(r.idle)
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		for len(batch) > 0 {
			f := batch[0]
			batch = batch[1:]
			r.call(ctx, f)
		}
	}
}

func (r *Runner) call(ctx context.Context, f func(context.Context)) {
	defer safe.Recover(func(p *safe.Panic) { p.Log(r.log, "a hook") })
	f(ctx)
}

// Wait returns once no hook is running or waiting, or with ctx's error.
func (r *Runner) Wait(ctx context.Context) error {
	for {
		r.mu.Lock()
		running, idle := r.running, r.idle
		r.mu.Unlock()
		if !running {
			return nil
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return fmt.Errorf("webhook: a hook is still running: %w", ctx.Err())
		}
	}
}

// Dropped returns how many calls were dropped.
func (r *Runner) Dropped() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}

// WithTimeout returns a context for Ask that ends after d.
func (r *Runner) WithTimeout(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithValue(context.Background(), key{}, r), d)
}

// Ask returns what ask returns, and false if that panics. ok is false when ctx ended
// before: then the goroutine that asks is waited for by nobody.
func (r *Runner) Ask(ctx context.Context, ask func(context.Context) bool) (yes, ok bool) {
	result := make(chan bool, 1)
	go func() {
		yes := false
		defer func() { result <- yes }()
		r.call(ctx, func(ctx context.Context) { yes = ask(ctx) })
	}()
	select {
	case yes := <-result:
		return yes, true
	case <-ctx.Done():
		return false, false
	}
}
