package webhook_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/ringyo-ai/webhook"
)

// spyStore calls functions before it passes a call on.
type spyStore struct {
	webhook.Store
	enqueue, claim, settle, maintain func()
}

func run(f func()) {
	if f != nil {
		f()
	}
}

func (s *spyStore) Enqueue(ctx context.Context, r webhook.EnqueueRequest) (webhook.Enqueued, error) {
	run(s.enqueue)
	return s.Store.Enqueue(ctx, r)
}

func (s *spyStore) Claim(ctx context.Context, r webhook.ClaimRequest) (webhook.Claimed, error) {
	run(s.claim)
	return s.Store.Claim(ctx, r)
}

func (s *spyStore) Settle(ctx context.Context, r []webhook.Settlement) (webhook.Settled, error) {
	run(s.settle)
	return s.Store.Settle(ctx, r)
}

func (s *spyStore) Maintain(ctx context.Context, r webhook.MaintainRequest) (webhook.Maintained, error) {
	run(s.maintain)
	return s.Store.Maintain(ctx, r)
}

var errDown = errors.New("the database is down at 10.1.2.3:5432")

// faultyStore fails or panics while told to, before or after the call took
// effect.
type faultyStore struct {
	webhook.Store
	down   atomic.Bool // fail before
	lost   atomic.Bool // do it, then fail: a lost reply
	panics atomic.Bool

	downAtSettle atomic.Bool // goes down when a result is to be recorded
}

func fault[T any](s *faultyStore, f func() (T, error)) (T, error) {
	var zero T
	switch {
	case s.panics.Load():
		panic("store")
	case s.down.Load():
		return zero, errDown
	}
	v, err := f()
	if s.lost.Load() {
		return zero, errDown
	}
	return v, err
}

func (s *faultyStore) Enqueue(ctx context.Context, r webhook.EnqueueRequest) (webhook.Enqueued, error) {
	return fault(s, func() (webhook.Enqueued, error) { return s.Store.Enqueue(ctx, r) })
}

func (s *faultyStore) Claim(ctx context.Context, r webhook.ClaimRequest) (webhook.Claimed, error) {
	return fault(s, func() (webhook.Claimed, error) { return s.Store.Claim(ctx, r) })
}

func (s *faultyStore) Settle(ctx context.Context, r []webhook.Settlement) (webhook.Settled, error) {
	if s.downAtSettle.Load() {
		s.down.Store(true)
	}
	return fault(s, func() (webhook.Settled, error) { return s.Store.Settle(ctx, r) })
}

func (s *faultyStore) Maintain(ctx context.Context, r webhook.MaintainRequest) (webhook.Maintained, error) {
	return fault(s, func() (webhook.Maintained, error) { return s.Store.Maintain(ctx, r) })
}

// gateStore lets Enqueue calls through one by one and keeps their sizes.
type gateStore struct {
	webhook.Store
	gate chan struct{}

	mu    sync.Mutex
	sizes []int
}

func (s *gateStore) ConcurrencyHint() int { return 1 }

func (s *gateStore) Enqueue(ctx context.Context, r webhook.EnqueueRequest) (webhook.Enqueued, error) {
	select {
	case <-s.gate:
	case <-ctx.Done():
		return webhook.Enqueued{}, ctx.Err()
	}
	s.mu.Lock()
	s.sizes = append(s.sizes, len(r.Groups))
	s.mu.Unlock()
	return s.Store.Enqueue(ctx, r)
}
