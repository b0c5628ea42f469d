package itest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
	"github.com/ringyo-ai/webhook/storetest"
)

func TestEachDatabaseKeepsTheContract(t *testing.T) {
	t.Parallel()
	onEach(t, contract)
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
	storetest.Run(t, harness(d, func(t testing.TB) webhook.Store {
		if _, name, _ := strings.Cut(t.Name(), "/"); raceEnabled && !slices.ContainsFunc(concurrent, func(c string) bool { return strings.HasSuffix(name, "/"+c) }) {
			t.Skip("skipped: its calls come one after the other, the race detector finds nothing in them")
		}
		return p.store(t, owner)
	}))
}

// concurrent are the cases of the contract that call a store from several goroutines.
var concurrent = []string{"LiveLeasesAreNotShared", "SameEventFromManyIsStoredOnce"}

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
