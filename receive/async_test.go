package receive_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
)

func asyncReceiver(t *testing.T, a receive.AsyncConfig) *receive.Receiver {
	t.Helper()
	return newReceiver(t, func(c *receive.Config) { c.Async = &a })
}

func TestAsyncAcknowledgesBeforeTheWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := asyncReceiver(t, receive.AsyncConfig{})
		calls := 0
		r.OnOther(func(ctx context.Context, _ webhook.Event) error {
			time.Sleep(time.Minute)
			calls++
			return ctx.Err()
		})
		begin := time.Now()
		request, cancel := context.WithCancel(t.Context())
		assert.Equal(t, http.StatusOK, serve(r, callCompleted("evt_1").request().WithContext(request)).Code)
		cancel() // as net/http does when the response is sent
		assert.Zero(t, time.Since(begin))
		assert.Equal(t, http.StatusConflict, serve(r, callCompleted("evt_1").request()).Code, "a duplicate meanwhile")
		require.NoError(t, r.Shutdown(t.Context()))
		assert.Equal(t, time.Minute, time.Since(begin))
		assert.Equal(t, 1, calls)
	})
}

func TestAsyncPushesBackWhenFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := asyncReceiver(t, receive.AsyncConfig{Queue: 6, Workers: 4})
		var running, most, calls atomic.Int32
		r.OnOther(func(context.Context, webhook.Event) error {
			n := running.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(time.Second)
			running.Add(-1)
			calls.Add(1)
			return nil
		})
		for i := range 3 {
			assert.Equal(t, http.StatusOK, serve(r, callCompleted(fmt.Sprint("evt_", i)).request()).Code)
		}
		w := serve(r, callCompleted("evt_3").request())
		assert.Equal(t, http.StatusServiceUnavailable, w.Code)
		assert.NotEmpty(t, w.Header().Get("Retry-After"))

		time.Sleep(3 * time.Second)
		synctest.Wait()
		assert.Equal(t, http.StatusOK, serve(r, callCompleted("evt_3").request()).Code, "refused is not a duplicate")
		require.NoError(t, r.Shutdown(t.Context()))
		assert.EqualValues(t, 4, calls.Load())
		assert.EqualValues(t, 2, most.Load())
	})
}

func TestAsyncLogsWhatHasNoPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log capture
		r := newReceiver(t, func(c *receive.Config) {
			c.Async, c.Logger = &receive.AsyncConfig{Queue: 1}, log.logger()
		})
		r.OnOther(func(context.Context, webhook.Event) error { time.Sleep(time.Hour); return nil })
		for i := range 10 {
			serve(r, callCompleted(fmt.Sprint("evt_", i)).request())
		}
		assert.Equal(t, 1, strings.Count(log.text(), "no place in the queue"), "at most one line a minute")
		assert.Contains(t, log.text(), "event.type=call.completed")
		require.NoError(t, r.Shutdown(t.Context()))
	})
}

func TestAsyncTriesAgainByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := asyncReceiver(t, receive.AsyncConfig{})
		begin := time.Now()
		var at []time.Duration
		r.OnOther(func(context.Context, webhook.Event) error {
			if at = append(at, time.Since(begin)); len(at) < 4 {
				panic("not yet")
			}
			return nil
		})
		serve(r, callCompleted("evt_1").request())
		time.Sleep(time.Hour)
		synctest.Wait()
		s := time.Second
		assert.Equal(t, []time.Duration{0, 1 * s, 6 * s, 36 * s}, at)
		serve(r, callCompleted("evt_1").request())
		require.NoError(t, r.Shutdown(t.Context()))
		assert.Len(t, at, 4, "then it is a duplicate")
	})
}

func TestAsyncReportsWhatItLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		var lost []string
		r := asyncReceiver(t, receive.AsyncConfig{
			Retry: webhook.Schedule{time.Second},
			OnLost: func(e webhook.Event, err error) {
				assert.ErrorIs(t, err, broken)
				assert.NotEmpty(t, e.Raw)
				lost = append(lost, e.ID)
				panic("in OnLost")
			},
		})
		calls := 0
		r.OnOther(func(context.Context, webhook.Event) error { calls++; return broken })
		serve(r, callCompleted("evt_1").request())
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, []string{"evt_1"}, lost)
		assert.Equal(t, http.StatusOK, serve(r, callCompleted("evt_1").request()).Code, "a redelivery gets in")
		time.Sleep(time.Minute)
		require.NoError(t, r.Shutdown(t.Context()))
		assert.Equal(t, 4, calls)
	})
}

func TestShutdownDrainsTheQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := asyncReceiver(t, receive.AsyncConfig{Workers: 1})
		var mu sync.Mutex
		tries := map[string]int{}
		r.OnOther(func(_ context.Context, e webhook.Event) error {
			mu.Lock()
			defer mu.Unlock()
			tries[e.ID]++
			if e.ID == "evt_waits" && tries[e.ID] == 1 {
				return errors.New("not yet")
			}
			time.Sleep(100 * time.Millisecond)
			return nil
		})
		serve(r, callCompleted("evt_waits").request())
		synctest.Wait()
		for i := range 3 {
			serve(r, callCompleted(fmt.Sprint("evt_", i)).request())
		}
		begin := time.Now()
		require.NoError(t, r.Shutdown(t.Context()))
		assert.Equal(t, 400*time.Millisecond, time.Since(begin), "what waits for its next try is not waited for")
		assert.Equal(t, map[string]int{"evt_waits": 2, "evt_0": 1, "evt_1": 1, "evt_2": 1}, tries)
		assert.Equal(t, http.StatusServiceUnavailable, serve(r, callCompleted("evt_9").request()).Code)
		require.NoError(t, r.Shutdown(t.Context()), "twice is fine")
	})
}

func TestShutdownOutOfTimeReportsTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lost atomic.Int32
		r := asyncReceiver(t, receive.AsyncConfig{
			Workers: 1,
			OnLost:  func(webhook.Event, error) { lost.Add(1) },
		})
		r.OnOther(func(ctx context.Context, _ webhook.Event) error { <-ctx.Done(); return ctx.Err() })
		for i := range 3 {
			serve(r, callCompleted(fmt.Sprint("evt_", i)).request())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, r.Shutdown(ctx), context.DeadlineExceeded)
		require.NoError(t, r.Shutdown(t.Context()), "a second call waits for the cut-off handlers")
		assert.EqualValues(t, 3, lost.Load())
	})
}

func TestShutdownWaitsForHandlersOfRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(t, nil)
		r.OnOther(func(context.Context, webhook.Event) error { time.Sleep(time.Second); return nil })
		go serve(r, callCompleted("evt_1").request())
		synctest.Wait()
		begin := time.Now()
		require.NoError(t, r.Shutdown(t.Context()))
		assert.Equal(t, time.Second, time.Since(begin))
	})
}

func TestReceiverThatWasNeverShutDownLeavesNoGoroutine(t *testing.T) {
	t.Parallel()
	r := asyncReceiver(t, receive.AsyncConfig{}) // goleak in TestMain looks for workers
	done := make(chan struct{})
	r.OnOther(func(context.Context, webhook.Event) error { close(done); return nil })
	assert.Equal(t, http.StatusOK, serve(r, callCompleted("evt_1").request()).Code)
	<-done
}
