package storetest_test

import (
	"testing"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
	"github.com/ringyo-ai/webhook/storetest"
	"github.com/ringyo-ai/webhook/webhooktest"
)

// clockedStore is a Store whose time a test can move.
type clockedStore struct {
	*memstore.Store
	clock *webhooktest.Clock
}

// The test of a Store of one's own. This one has a clock that can be moved; one on a
// database would move its stored times back instead.
func ExampleRun() {
	_ = func(t *testing.T) { // func TestStore(t *testing.T)
		storetest.Run(t, storetest.Harness{
			New: func(testing.TB) webhook.Store {
				clock := webhooktest.NewClock()
				return clockedStore{memstore.NewWith(memstore.Options{Clock: clock.Now}), clock}
			},
			Advance: func(_ testing.TB, s webhook.Store, d time.Duration) { s.(clockedStore).clock.Advance(d) },
			Begin: func(_ testing.TB, s webhook.Store) (webhook.Enqueuer, func() error, func() error) {
				tx := s.(clockedStore).Begin()
				return tx, tx.Commit, tx.Rollback
			},
			Parallel: true,
		})
	}
}
