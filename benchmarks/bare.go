package main

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// bareWorkers is the number of POST requests in flight: the library's default
// Concurrency.
const bareWorkers = 64

// bare is the limit: the same requests from a plain loop, without any store.
type bare struct{}

func (bare) name() string { return bareName }

const bareName = "bare POST loop"

func (bare) open(_ context.Context, endpoints []string) (system, error) {
	b := &bareLoop{endpoints: endpoints, poster: newPoster()}
	b.more = sync.NewCond(&b.mu)
	return b, nil
}

type bareLoop struct {
	endpoints []string
	poster    *poster
	ids       atomic.Int64

	mu     sync.Mutex
	more   *sync.Cond
	queue  []job
	closed bool
	wg     sync.WaitGroup
}

func (b *bareLoop) emit(_ context.Context, jobs []job) error {
	b.mu.Lock()
	b.queue = append(b.queue, jobs...)
	b.mu.Unlock()
	for range jobs {
		b.more.Signal()
	}
	return nil
}

func (b *bareLoop) start(ctx context.Context) error {
	for range bareWorkers {
		b.wg.Go(func() {
			for j, ok := b.next(); ok; j, ok = b.next() {
				_ = b.poster.post(ctx, b.endpoints[j.endpoint], "evt_"+strconv.FormatInt(b.ids.Add(1), 10), j.data)
			}
		})
	}
	return nil
}

func (b *bareLoop) next() (job, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.queue) == 0 && !b.closed {
		b.more.Wait()
	}
	if b.closed {
		return job{}, false
	}
	j := b.queue[0]
	b.queue[0] = job{}
	b.queue = b.queue[1:]
	return j, true
}

func (b *bareLoop) storeCPU() time.Duration { return 0 }

func (b *bareLoop) close(context.Context) error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.more.Broadcast()
	b.wg.Wait()
	b.poster.close()
	return nil
}
