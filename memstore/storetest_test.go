package memstore_test

import (
	"sync"
	"testing"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
	"github.com/ringyo-ai/webhook/storetest"
)

// clock is a real clock that can be moved forward.
type clock struct {
	mu     sync.Mutex
	offset time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

type clocked struct {
	*memstore.Store
	clock *clock
}

var harness = storetest.Harness{
	New: func(testing.TB) webhook.Store {
		c := &clock{}
		return clocked{memstore.NewWith(memstore.Options{Clock: c.now}), c}
	},
	Advance: func(_ testing.TB, s webhook.Store, d time.Duration) { s.(clocked).clock.advance(d) },
	Begin: func(_ testing.TB, s webhook.Store) (webhook.Enqueuer, func() error, func() error) {
		tx := s.(clocked).Begin()
		return tx, tx.Commit, tx.Rollback
	},
	Parallel: true,
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, harness)
}

func BenchmarkStore(b *testing.B) { storetest.Benchmark(b, harness) }
