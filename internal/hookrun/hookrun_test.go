package hookrun_test

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"

	"github.com/ringyo-ai/webhook/internal/hookrun"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func logged() (*slog.Logger, *bytes.Buffer) {
	var out bytes.Buffer
	return slog.New(slog.NewTextHandler(&out, nil)), &out
}

func TestRunnerCallsInOrderWhateverAHookDoes(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]func(){
		"returns":            func() {},
		"panics":             func() { panic("oh") },
		"ends its goroutine": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log, out := logged()
				r := hookrun.New(log)
				var got []int
				for i := range 10 {
					r.Enqueue(func(context.Context) {
						got = append(got, i)
						time.Sleep(time.Second)
						if i%3 == 1 {
							bad()
						}
					})
				}
				assert.NoError(t, r.Wait(t.Context()))
				assert.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, got)
				assert.Equal(t, name == "panics", bytes.Contains(out.Bytes(), []byte(`msg="webhook: a hook panicked" panic=oh`)))
			})
		})
	}
}

func TestRunnerDropsWhatComesBeyondItsBacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, out := logged()
		r := hookrun.New(log)
		block, called := make(chan struct{}), 0
		r.Enqueue(func(context.Context) { <-block })
		synctest.Wait() // it is being called and does not count any more
		for range 4096 + 3 {
			r.Enqueue(func(context.Context) { called++ })
		}
		assert.Equal(t, 3, r.Dropped())
		assert.Equal(t, 2, bytes.Count(out.Bytes(), []byte("hooks are too slow")), "said for the first and the second")
		close(block)
		assert.NoError(t, r.Wait(t.Context()))
		assert.Equal(t, 4096, called)
	})
}

func TestRunnerWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, _ := logged()
		r := hookrun.New(log)
		assert.NoError(t, r.Wait(t.Context()), "nothing runs")
		r.Enqueue(func(context.Context) { time.Sleep(time.Minute) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.ErrorIs(t, r.Wait(ctx), context.DeadlineExceeded)
		assert.NoError(t, r.Wait(t.Context()))
	})
}

func TestRunnerKnowsItsOwnContexts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, _ := logged()
		r, other := hookrun.New(log), hookrun.New(log)
		assert.False(t, r.Calls(t.Context()))
		r.Enqueue(func(ctx context.Context) {
			assert.True(t, r.Calls(ctx))
			assert.False(t, other.Calls(ctx))
		})
		assert.NoError(t, r.Wait(t.Context()))
		ctx, cancel := r.WithTimeout(time.Second)
		defer cancel()
		assert.True(t, r.Calls(ctx))
	})
}

func TestAsk(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		ask     func(context.Context) bool
		yes, ok bool
	}{
		"yes":              {func(context.Context) bool { return true }, true, true},
		"no":               {func(context.Context) bool { return false }, false, true},
		"a panic":          {func(context.Context) bool { panic("oh") }, false, true},
		"a goroutine ends": {func(context.Context) bool { runtime.Goexit(); return true }, false, true},
		"too late":         {func(context.Context) bool { time.Sleep(time.Minute); return true }, false, false},
		"at the end":       {func(context.Context) bool { time.Sleep(time.Second - 1); return true }, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log, _ := logged()
				r := hookrun.New(log)
				ctx, cancel := r.WithTimeout(time.Second)
				defer cancel()
				yes, ok := r.Ask(ctx, tc.ask)
				assert.Equal(t, tc.yes, yes)
				assert.Equal(t, tc.ok, ok)
				time.Sleep(time.Minute) // for the one that nobody waited for
			})
		})
	}
}
