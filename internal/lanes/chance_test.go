package lanes_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ringyo-ai/webhook/internal/lanes"
)

// byChance refuses a part of what comes, whatever the rate.
func byChance(part float64, seed uint64) func(time.Time) bool {
	r := rand.New(rand.NewPCG(seed, 7))
	return func(time.Time) bool { return r.Float64() >= part }
}

// oneEach takes one in each period.
func oneEach(period time.Duration) func(time.Time) bool {
	var next time.Time
	return func(now time.Time) bool {
		if now.Before(next) {
			return false
		}
		next = now.Add(period)
		return true
	}
}

// soManyIn takes so many in each period, which begins at a round time.
func soManyIn(most int, period time.Duration) func(time.Time) bool {
	n, at := 0, time.Time{}
	return func(now time.Time) bool {
		if w := now.Truncate(period); !w.Equal(at) {
			at, n = w, 0
		}
		n++
		return n <= most
	}
}

// refusing plays an endpoint that refuses with 503 what it does not take, and counts
// what it takes and refuses in the second half.
func refusing(t *testing.T, takes func(now time.Time) bool, length time.Duration) (taken, refused int) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		begin := time.Now()
		b := newBench(t, func(string) lanes.Verdict {
			time.Sleep(20 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			late := time.Since(begin) > length/2
			if takes(time.Now()) {
				if late {
					taken++
				}
				return answered
			}
			if late {
				refused++
			}
			return lanes.Verdict{Kind: lanes.Refused, Vague: true}
		})
		for time.Since(begin) < length {
			b.take("a", "one", lanes.Quick, 10, 1)
			pass(20 * time.Millisecond)
		}
		b.end()
	})
	return taken, refused
}

func TestAnEndpointThatRefusesByChanceKeepsAPace(t *testing.T) {
	t.Parallel()
	const length = 10 * time.Minute
	for _, part := range []float64{0.05, 0.1, 0.2, 0.33} {
		for seed := range uint64(4) {
			t.Run(fmt.Sprintf("%.0f %%, seed %d", 100*part, seed), func(t *testing.T) {
				t.Parallel()
				taken, refused := refusing(t, byChance(part, seed), length)
				rate := float64(taken+refused) / (length / 2).Seconds()
				t.Logf("%.2f a second", rate)
				assert.Greater(t, rate, 1.0)
			})
		}
	}
}

// Which of these refuse is not chance, though it may look like it for a while.
func TestARealLimitIsNotTakenForChance(t *testing.T) {
	t.Parallel()
	const length = 20 * time.Minute
	for _, tt := range []struct {
		name    string
		takes   func(time.Time) bool
		rate    float64 // that it takes
		refused float64 // of what is sent, at most; that of a limiter which says 429 is about the same
	}{
		{"one each second", oneEach(time.Second), 1, 0.1},
		{"one each 2 s", oneEach(2 * time.Second), 0.5, 0.1},
		{"one each 3 s", oneEach(3 * time.Second), 1. / 3, 0.15},
		{"100 in 20 s", soManyIn(100, 20*time.Second), 5, 0.2},
		{"3 in 5 s", soManyIn(3, 5*time.Second), 0.6, 0.15},
		{"5 in 10 s", soManyIn(5, 10*time.Second), 0.5, 0.25},
		{"30 in a minute", soManyIn(30, time.Minute), 0.5, 0.4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			taken, refused := refusing(t, tt.takes, length)
			share := float64(taken) / ((length / 2).Seconds() * tt.rate)
			t.Logf("%.2f of what it takes, %.3f refused", share, float64(refused)/float64(taken+refused))
			assert.Greater(t, share, 0.75)
			assert.Less(t, float64(refused)/float64(taken+refused), tt.refused)
		})
	}
}
