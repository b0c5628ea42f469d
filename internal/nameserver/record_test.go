package nameserver_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ringyo-ai/webhook/internal/nameserver"
)

// at runs f with virtual time. The record under test is the first argument, and
// fails is a lookup that takes a second and finds nothing out.
func at(t *testing.T, f func(r *nameserver.Record, fails func(owner, name string) bool)) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		r := nameserver.New()
		f(r, func(owner, name string) bool {
			began := time.Now()
			time.Sleep(time.Second)
			return r.Failed(owner, name, began)
		})
	})
}

func TestAHostThatFailsWhileOthersAreResolvedIsAtFault(t *testing.T) {
	t.Parallel()
	at(t, func(r *nameserver.Record, fails func(owner, name string) bool) {
		for i := range 5 {
			r.Resolved("b", "good.example")
			assert.Equal(t, i >= 2, fails("a", "bad.example"), i)
		}
		r.Resolved("a", "bad.example")
		for i := range 3 {
			r.Resolved("b", "good.example")
			assert.Equal(t, i >= 2, fails("a", "BAD.example."), "it begins anew")
		}
	})
}

func TestWhatWasResolvedBeforeSaysNothing(t *testing.T) {
	t.Parallel()
	at(t, func(r *nameserver.Record, fails func(owner, name string) bool) {
		for i := range 20 {
			r.Resolved(fmt.Sprint("o", i), "good.example")
		}
		time.Sleep(time.Second)
		for range 20 { // our resolver is down
			assert.False(t, fails("a", "a.example"))
			assert.False(t, fails("b", "b.example"))
		}
	})
}

func TestAnOutageInWhichACacheStillKnowsSomeIsOurs(t *testing.T) {
	t.Parallel()
	at(t, func(r *nameserver.Record, fails func(owner, name string) bool) {
		for range 10 {
			for i := range 6 {
				assert.False(t, fails(fmt.Sprint("cold", i), fmt.Sprintf("%d.example", i)))
			}
			for i := range 3 {
				r.Resolved(fmt.Sprint("warm", i), "warm.example")
			}
		}
	})
}

func TestLookupsThatFailTogetherAreOneFailure(t *testing.T) {
	t.Parallel()
	at(t, func(r *nameserver.Record, _ func(owner, name string) bool) {
		for round := range 3 {
			began := time.Now()
			time.Sleep(time.Second)
			r.Resolved("b", "good.example")
			for range 50 {
				assert.Equal(t, round == 2, r.Failed("a", "bad.example", began))
			}
		}
	})
}

func TestNothingToCompareWith(t *testing.T) {
	t.Parallel()
	at(t, func(r *nameserver.Record, fails func(owner, name string) bool) {
		for range 100 {
			assert.False(t, fails("a", "bad.example"))
		}
	})
}

// An owner with many failing hosts is one party: it makes no outage, and each of
// its hosts is judged though they have no room.
func TestOneOwnersManyHostsMakeNoOutage(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"%d.bad.example", "bad%d.example"} {
		at(t, func(r *nameserver.Record, fails func(owner, name string) bool) {
			free := 0
			for range 10 {
				r.Resolved("b", "good.example")
				for i := range 100 {
					if !fails("a", fmt.Sprintf(name, i)) {
						free++
					}
				}
			}
			assert.LessOrEqual(t, free, 200, name)
			for i := range 3 {
				r.Resolved("b", "good.example")
				assert.Equal(t, i >= 2, fails("c", "c.example"), "nobody else's judgement changes")
			}
		})
	}
}

// Where there is one owner only, its other domains tell.
func TestOneOwnerAlone(t *testing.T) {
	t.Parallel()
	at(t, func(r *nameserver.Record, fails func(owner, name string) bool) {
		for round := range 5 {
			r.Resolved("", "good.example")
			for i := range 10 {
				assert.Equal(t, round >= 2, fails("", fmt.Sprintf("%d.bad.test", i)))
			}
		}
	})
	at(t, func(r *nameserver.Record, fails func(owner, name string) bool) {
		for round := range 5 {
			r.Resolved("", "good.bad.test")
			assert.Equal(t, round >= 2, fails("", "bad.test"), "a part of a domain that has a name server of its own")
		}
	})
}

// Two owners whose name servers fail do not protect each other for long.
func TestTwoAtFaultAndOneGood(t *testing.T) {
	t.Parallel()
	at(t, func(r *nameserver.Record, fails func(owner, name string) bool) {
		for round := range 5 {
			r.Resolved("c", "good.example")
			assert.Equal(t, round >= 2, fails("a", "a.test"))
			assert.Equal(t, round >= 2, fails("b", "b.test"))
		}
	})
}

// Thousands of owners push out what is worth least.
func TestARecordIsBounded(t *testing.T) {
	t.Parallel()
	at(t, func(r *nameserver.Record, fails func(owner, name string) bool) {
		for round := range 5 {
			for i := range 5000 {
				r.Resolved(fmt.Sprint("o", i), "good.example")
			}
			assert.Equal(t, round >= 2, fails("a", "bad.example"), "a failing host stays")
		}
		time.Sleep(2 * time.Hour)
		r.Resolved("b", "good.example")
		assert.True(t, fails("a", "bad.example"), "nothing has pushed it out since")
	})
}
