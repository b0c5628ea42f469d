package batch_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ringyo-ai/webhook/internal/batch"
)

// records takes 10 ms for each call and remembers what came when. It refuses a number as
// often as refuse says.
type records struct {
	*batch.Recorder[int]
	begin time.Time

	mu      sync.Mutex
	crowded string // the owners that were told, the lock being the Recorder's
	refuse  map[int]int
	calls   []call
	busy    int
	most    int
}

// call is one call of Record, after so much time.
type call struct {
	at      time.Duration
	results []int
}

const ms = time.Millisecond

func newRecords(places int, refuse map[int]int) *records {
	r := &records{begin: time.Now(), refuse: refuse}
	r.Recorder = batch.NewRecorder(batch.RecorderConfig[int]{
		Places: places, MaxBatch: 4, MaxWaiting: 12, Many: 6, Pause: 2 * ms,
		Record: r.record,
		Repeats: func() func() time.Duration {
			pause := 50 * ms
			return func() time.Duration { pause *= 2; return pause }
		},
		Owner:       func(result int) string { return string(rune('a' + result%2)) },
		ManyRefused: 3,
		Crowded:     func(owner string) { r.crowded += owner },
	})
	return r
}

func (r *records) record(ctx context.Context, results []int, refused func([]int)) {
	r.mu.Lock()
	r.calls = append(r.calls, call{time.Since(r.begin), slices.Clone(results)})
	r.busy++
	r.most = max(r.most, r.busy)
	r.mu.Unlock()
	select {
	case <-time.After(10 * ms):
	case <-ctx.Done():
	}
	r.mu.Lock()
	r.busy--
	var rest []int
	for _, n := range results {
		if r.refuse[n] > 0 && ctx.Err() == nil {
			r.refuse[n]--
			rest = append(rest, n)
		}
	}
	r.mu.Unlock()
	if len(rest) > 0 {
		refused(rest)
	}
}

// results are those of all calls, in order.
func (r *records) results() (all []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.calls {
		all = append(all, c.results...)
	}
	return all
}

func TestRecorderSharesCalls(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		places int
		add    func(r *records)
		calls  []call
	}{
		{"the first goes at once", 2, func(r *records) { r.Add(1, false) }, []call{{0, []int{1}}}},
		{
			"those that come meanwhile go together, after a pause", 2, func(r *records) {
				for n := range 3 {
					r.Add(n, false)
					time.Sleep(ms)
				}
			}, []call{{0, []int{0}}, {12 * ms, []int{1, 2}}},
		},
		{
			"those that come in the pause too", 2, func(r *records) {
				r.Add(1, false)
				time.Sleep(11 * ms)
				r.Add(2, false)
			}, []call{{0, []int{1}}, {12 * ms, []int{2}}},
		},
		{
			"as many as one call takes", 1, func(r *records) {
				for n := range 5 {
					r.Add(n, false)
					time.Sleep(ms / 10)
				}
			}, []call{{0, []int{0}}, {12 * ms, []int{1, 2, 3, 4}}},
		},
		{
			"an urgent one gets help", 2, func(r *records) {
				r.Add(1, false)
				time.Sleep(ms)
				r.Add(2, true)
			}, []call{{0, []int{1}}, {ms, []int{2}}},
		},
		{
			"an urgent one ends the pause", 1, func(r *records) {
				r.Add(1, false)
				time.Sleep(11 * ms)
				r.Add(2, true)
			}, []call{{0, []int{1}}, {11 * ms, []int{2}}},
		},
		{
			"no pause in a hurry", 1, func(r *records) {
				r.Hurry()
				r.Add(1, false)
				time.Sleep(ms)
				r.Add(2, false)
			}, []call{{0, []int{1}}, {10 * ms, []int{2}}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRecords(tc.places, nil)
				tc.add(r)
				assert.True(t, r.Wait(t.Context()))
				assert.Equal(t, tc.calls, r.calls)
			})
		})
	}
}

func TestRecorderGetsHelpWhenManyWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecords(3, nil)
		for n := range 12 {
			r.Add(n, false)
		}
		assert.True(t, r.Wait(t.Context()))
		assert.Equal(t, 3, r.most, "as many as there are places")
		assert.Len(t, r.results(), 12)
	})
}

func TestRecorderMakesAddWaitWhenItIsFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecords(1, nil)
		r.Add(0, false)
		synctest.Wait() // it is being recorded, and waits no more
		for n := range 12 {
			r.Add(1+n, false)
		}
		assert.Zero(t, time.Since(r.begin))
		r.Add(13, false)
		assert.Equal(t, 10*ms, time.Since(r.begin), "without a pause, since many waited")
		assert.True(t, r.Wait(t.Context()))
		assert.Len(t, r.results(), 14)
	})
}

func TestRecorderRepeatsWhatWasRefusedApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecords(1, map[int]int{1: 2, 2: 1})
		r.Add(1, false)
		synctest.Wait()
		r.Add(2, false)
		r.Add(3, false)
		time.Sleep(60 * ms)
		r.Add(4, false)
		assert.True(t, r.Wait(t.Context()))
		assert.Equal(t, []call{
			{0, []int{1}}, {12 * ms, []int{2, 3}}, {60 * ms, []int{4}}, {110 * ms, []int{1, 2}}, {320 * ms, []int{1}},
		}, r.calls, "the pauses grow, and the others do not wait for them")
	})
}

func TestRecorderCountsWhatIsRefusedAsWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		refuse := map[int]int{}
		for n := range 12 {
			refuse[n] = 1
		}
		r := newRecords(1, refuse)
		for n := range 12 {
			r.Add(n, true)
		}
		time.Sleep(50 * ms)
		assert.Len(t, r.results(), 12)
		r.Add(12, false)
		assert.Equal(t, 120*ms, time.Since(r.begin), "when the first of them are recorded")
		assert.True(t, r.Wait(t.Context()))
	})
}

func TestRecorderReportsAnOwnerWithManyRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecords(1, map[int]int{1: 1, 2: 1, 3: 1, 5: 1, 7: 1})
		for n := range 9 {
			r.Add(n, true)
		}
		assert.True(t, r.Wait(t.Context()))
		assert.Equal(t, "bb", r.crowded, "at the third and the fourth of the odd ones")
		r.Add(1, true)
		assert.True(t, r.Wait(t.Context()))
		assert.Equal(t, "bb", r.crowded, "what was repeated is forgotten")
	})
}

func TestRecorderWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecords(1, map[int]int{1: 1000})
		assert.True(t, r.Wait(t.Context()), "nothing waits")
		r.Add(1, false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		assert.False(t, r.Wait(ctx))
		r.GiveUp()
		assert.True(t, r.Wait(t.Context()))
	})
}
