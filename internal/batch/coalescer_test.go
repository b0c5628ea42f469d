package batch_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringyo-ai/webhook/internal/batch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errOdd = errors.New("odd")

// writes takes a second for each write, refuses odd numbers and remembers the rest.
// The size of a number is itself, in bytes.
type writes struct {
	*batch.Coalescer[int]

	mu     sync.Mutex
	all    [][]int
	busy   int
	most   int
	cutOff int
}

func newWrites(places int) *writes {
	w := &writes{}
	w.Coalescer = batch.NewCoalescer(batch.CoalescerConfig[int]{
		Places: places, MaxItems: 4, MaxBytes: 100,
		Size:  func(n int) (int, int) { return 1, n },
		Write: w.write,
	})
	return w
}

func (w *writes) write(ctx context.Context, all []int) []error {
	w.mu.Lock()
	w.all = append(w.all, slices.Clone(all))
	w.busy++
	w.most = max(w.most, w.busy)
	w.mu.Unlock()
	select {
	case <-ctx.Done():
		w.mu.Lock()
		w.cutOff++
		w.mu.Unlock()
	case <-time.After(time.Second):
	}
	w.mu.Lock()
	w.busy--
	w.mu.Unlock()
	errs := make([]error, len(all))
	for i, n := range all {
		if n%2 == 1 {
			errs[i] = errOdd
		}
	}
	return errs
}

// do calls Do for each number, a millisecond after the one before, whose result it does
// not wait for. The function that it returns waits, and returns the errors.
func (w *writes) do(ctx context.Context, numbers ...int) func() []error {
	errs := make([]error, len(numbers))
	var wg sync.WaitGroup
	for i, n := range numbers {
		wg.Go(func() { errs[i] = w.Do(ctx, n) })
		time.Sleep(time.Millisecond)
	}
	return func() []error { wg.Wait(); return errs }
}

func TestCoalescerSharesWhatCameMeanwhile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		places  int
		numbers []int
		writes  [][]int
	}{
		{"alone", 1, []int{2}, [][]int{{2}}},
		{"one writes, the others come together", 1, []int{2, 4, 6, 8}, [][]int{{2}, {4, 6, 8}}},
		{"as many as there are places", 2, []int{2, 4, 6, 8}, [][]int{{2}, {4}, {6, 8}}},
		{"as many items as there may be", 1, []int{2, 4, 6, 8, 10, 12, 14}, [][]int{{2}, {4, 6, 8, 10}, {12, 14}}},
		{"as many bytes as there may be", 1, []int{2, 60, 40, 20}, [][]int{{2}, {60, 40}, {20}}},
		{"a large one alone", 1, []int{2, 4, 600, 8}, [][]int{{2}, {4}, {600}, {8}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWrites(tc.places)
				for _, err := range w.do(t.Context(), tc.numbers...)() {
					assert.NoError(t, err)
				}
				assert.Equal(t, tc.writes, w.all)
				assert.LessOrEqual(t, w.most, tc.places)
			})
		})
	}
}

func TestCoalescerGivesEachCallItsOwnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWrites(1)
		assert.Equal(t, []error{nil, errOdd, nil, errOdd}, w.do(t.Context(), 2, 3, 4, 5)())
	})
}

func TestCoalescerCallsThatAreInterrupted(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		after  time.Duration
		begun  bool
		writes [][]int
	}{
		{"while they wait: they leave no trace", time.Second / 2, false, [][]int{{2}, {8}}},
		{"while others write for them", 3 * time.Second / 2, true, [][]int{{2}, {8, 4, 6}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWrites(1)
				ctx, cancel := context.WithTimeout(t.Context(), tc.after)
				defer cancel()
				first := w.do(t.Context(), 2, 8)
				interrupted := w.do(ctx, 4, 6)
				for _, err := range interrupted() {
					var cut *batch.Interrupted
					require.ErrorAs(t, err, &cut)
					assert.Equal(t, tc.begun, cut.Begun)
					assert.ErrorIs(t, err, context.DeadlineExceeded)
					assert.NotEmpty(t, err.Error())
				}
				assert.Equal(t, []error{nil, nil}, first(), "the others are not taken along")
				assert.Equal(t, tc.writes, w.all)
				assert.Zero(t, w.cutOff)
			})
		})
	}
}

func TestCoalescerCutsAWriteOffOnceNobodyWaitsForIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWrites(1)
		before := w.do(t.Context(), 2)
		short, cancel := context.WithTimeout(t.Context(), 5*time.Second/4)
		defer cancel()
		begin := time.Now()
		long, cancel := context.WithTimeout(t.Context(), 3*time.Second/2)
		defer cancel()
		shared := []func() []error{before, w.do(short, 4), w.do(long, 6)}
		for _, errs := range shared {
			errs()
		}
		assert.Equal(t, 3*time.Second/2, time.Since(begin))
		synctest.Wait()
		assert.Equal(t, [][]int{{2}, {4, 6}}, w.all)
		assert.Equal(t, 1, w.cutOff)
	})
}

// A caller whose context ends just when its turn has come hands the place on.
func TestCoalescerLosesNoPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWrites(1)
		var all []func() []error
		for i := range 50 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+i%3)*time.Second)
			defer cancel()
			all = append(all, w.do(ctx, 2*i))
		}
		for _, errs := range all {
			errs()
		}
		begin := time.Now()
		assert.NoError(t, w.Do(t.Context(), 2))
		assert.LessOrEqual(t, time.Since(begin), 2*time.Second)
	})
}
