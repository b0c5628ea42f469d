package itest

import (
	"testing"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
	"github.com/ringyo-ai/webhook/storetest"
)

func TestEachDatabaseKeepsTheContract(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		if raceEnabled && d.dialect != sqlstore.SQLite {
			t.Skip("skipped: go test work runs it; with the race detector its calls, which come one after the other, run on SQLite")
		}
		contract(t, d)
	})
}

func TestOtherWaysToReachThemKeepTheContract(t *testing.T) {
	if !long() {
		t.Skip("skipped: it takes minutes; WEBHOOK_TEST_LONG=1 and make long run it")
	}
	for _, d := range others {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			contract(t, d)
		})
	}
}

func TestOtherWaysToReachThemRunEveryKindOfCall(t *testing.T) {
	notUnderRace(t)
	for _, d := range others {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			works(t, d.store(t), func() {})
		})
	}
}

func contract(t *testing.T, d database) {
	// Here, not in a case, since without the database it is t that is skipped.
	p, owner := &pool{database: d, free: []string{d.create(t)}}, t
	storetest.Run(t, harness(d, func(t testing.TB) webhook.Store { return p.store(t, owner) }))
}

func harness(d database, create func(testing.TB) webhook.Store) storetest.Harness {
	return storetest.Harness{
		New:     create,
		Advance: func(t testing.TB, s webhook.Store, by time.Duration) { s.(*testStore).rewind(t, by) },
		Begin: func(t testing.TB, s webhook.Store) (webhook.Enqueuer, func() error, func() error) {
			tx, q := s.(*testStore).begin(t)
			return q, tx.Commit, tx.Rollback
		},
		OneWriter: d.dialect == sqlstore.SQLite,
	}
}

// BenchmarkStore measures Enqueue, Claim and Settle on every database.
func BenchmarkStore(b *testing.B) {
	for _, d := range databases {
		b.Run(d.name, func(b *testing.B) {
			storetest.Benchmark(b, harness(d, func(t testing.TB) webhook.Store { return d.store(t) }))
		})
	}
}
