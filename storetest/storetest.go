// Package storetest proves that a [webhook.Store] keeps its contract.
//
// # A store's own test
//
// Every sentence of the documentation of [webhook.Store] that an outsider can
// check is a case here, and a failing case prints its sentence. A store's own
// test is about 15 lines:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, storetest.Harness{
//			New: func(t testing.TB) webhook.Store {
//				s, err := mystore.Open(freshDatabase(t))
//				if err != nil {
//					t.Fatal(err)
//				}
//				return s
//			},
//			Advance: func(t testing.TB, s webhook.Store, d time.Duration) {
//				s.(*mystore.Store).shiftAllTimesBack(t, d)
//			},
//		})
//	}
//
// [Benchmark] measures the same store.
//
// # Time
//
// No case sleeps, and none depends on the speed of the machine: time passes by
// Harness.Advance, in steps of minutes, so that a slow database is right too.
// The standard library is all that the package needs.
package storetest

import (
	"runtime/debug"
	"testing"
	"time"

	"github.com/ringyo-ai/webhook"
)

// Harness is what the suite needs to know of a store.
type Harness struct {
	// New returns an empty store that shares nothing with those before it. What
	// has to be closed is closed with t.Cleanup. Required.
	New func(t testing.TB) webhook.Store

	// Advance lets d pass for the store: it moves the store's clock forward, or
	// moves every time that is stored (due times, ends of leases, creation,
	// completion, expiry of secrets; not the events' own timestamps) back by d.
	// Required.
	Advance func(t testing.TB, s webhook.Store, d time.Duration)

	// Begin starts a caller's transaction on the store's database and returns
	// what enqueues in it. Nil for a store that knows no transactions of its
	// callers; the cases about them are then skipped.
	Begin func(t testing.TB, s webhook.Store) (tx webhook.Enqueuer, commit, rollback func() error)

	// OneWriter says that nothing else can write while a caller's transaction is
	// open, as in SQLite. The case of a late commit is then skipped.
	OneWriter bool

	// Parallel runs the cases in parallel with each other.
	Parallel bool
}

// Run runs every case as a subtest, each on a store of its own.
func Run(t *testing.T, h Harness) {
	t.Helper()
	if h.New == nil || h.Advance == nil {
		t.Fatal("storetest: Harness.New and Harness.Advance are required")
	}
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			if h.Parallel {
				t.Parallel()
			}
			c.start(t, h)
		})
	}
}

// rule is one case: a sentence of the contract, and what shows it.
type rule struct {
	name     string
	sentence string
	run      func(e *env)
	needs    func(h Harness) (missing string) // nil: nothing
}

// cases returns every case, in the order of the contract.
func cases() []rule {
	var all []rule
	for _, group := range [][]rule{
		generalRules, endpointRules, enqueueRules, fanOutRules, txRules, claimRules, roomRules, settleRules,
		fenceRules, pauseRules, probeRules, disableRules, recoverRules, maintainRules, heartbeatRules, deleteRules, logRules, revisionRules, questionRules, overviewRules, replayRules, replayQueryRules, redactRules, accountRules, idempotencyRules, tallyRules, isolationRules,
		concurrencyRules, modelRules,
	} {
		all = append(all, group...)
	}
	return all
}

// start runs the case on a new store.
func (c rule) start(t testing.TB, h Harness) {
	t.Helper()
	if c.needs != nil {
		if missing := c.needs(h); missing != "" {
			t.Skip("skipped: " + missing)
		}
	}
	defer func() {
		if p := recover(); p != nil { // the other cases still have something to say
			t.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		if t.Failed() {
			t.Logf("the rule: %s", c.sentence)
		}
	}()
	c.run(&env{TB: t, h: h, store: h.New(t), ctx: t.Context()})
}
