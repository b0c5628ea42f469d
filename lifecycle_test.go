package webhook_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

func TestStartAndStopInEveryOrder(t *testing.T) { // D4
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, status(200))
		require.NoError(t, r.Stop(t.Context()), "Stop before Start does nothing")
		r.start()
		require.ErrorIs(t, r.Start(t.Context()), webhook.ErrStarted)
		r.stop()
		r.stop()
		require.ErrorIs(t, r.Start(t.Context()), webhook.ErrStopped)
	})
}

func TestStartRefusesAnEndedContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := newRig(t, status(200))
	require.ErrorIs(t, r.Start(ctx), context.Canceled)
	r.stop()
}

func TestStartContextBoundsStartingOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := newRig(t, status(200))
		ep := r.endpoint(hookURL)
		require.NoError(t, r.Start(ctx))
		defer r.stop()
		cancel()
		r.emit(1)
		time.Sleep(time.Second)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 1)
	})
}

func TestStopWaitsForAttemptsInFlight(t *testing.T) { // D3
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(context.Context, *webhook.Request) (*webhook.Response, error) {
			time.Sleep(3 * time.Second)
			return &webhook.Response{StatusCode: 200}, nil
		})
		ep := r.endpoint(hookURL)
		r.start()
		r.emit(1) // an endpoint that has answered gets all its slots
		time.Sleep(5 * time.Second)
		r.emit(100)
		time.Sleep(time.Second)
		begin := time.Now()
		r.stop()
		assert.Equal(t, 2*time.Second, time.Since(begin))
		sent := len(r.transport.requests())
		assert.Equal(t, 5, sent, "nothing new is begun")
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), sent)
		stats, err := r.Stats(t.Context())
		require.NoError(t, err)
		assert.Equal(t, webhook.Stats{Due: 96, OldestDue: 3 * time.Second}, stats, "the rest is due at once, leased by nobody")
	})
}

func TestStopCancelsWhenItsContextEndsAndGivesBackAtNoCost(t *testing.T) { // D3
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, hangs)
		ep := r.endpoint(hookURL)
		r.start()
		r.emit(3)
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		require.ErrorIs(t, r.Stop(ctx), context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(begin))
		for _, d := range r.deliveries(ep.ID, "") {
			assert.Equal(t, webhook.DeliveryPending, d.Status)
			assert.Equal(t, 0, d.Attempts, "a cancelled attempt costs nothing")
		}
		stats, err := r.Stats(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 3, stats.Due)
		assert.Equal(t, 0, stats.InFlight)
		assert.Equal(t, 0, r.get(ep.ID).ConsecutiveFailures)
	})
}

func TestEmitDuringAndAfterStopStillStores(t *testing.T) { // D1, D2
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(context.Context, *webhook.Request) (*webhook.Response, error) {
			time.Sleep(2 * time.Second)
			return &webhook.Response{StatusCode: 200}, nil
		})
		ep := r.endpoint(hookURL)
		r.start()
		r.emit(1)
		time.Sleep(time.Second)
		stopped := make(chan error, 1)
		go func() { stopped <- r.Stop(context.Background()) }()
		synctest.Wait()
		r.emit(1)
		require.NoError(t, <-stopped)
		r.emit(1)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryPending), 2)

		next, err := webhook.New(webhook.Config{Store: r.store, Transport: r.transport, Logger: quiet})
		require.NoError(t, err)
		require.NoError(t, next.Start(t.Context()))
		time.Sleep(time.Minute)
		require.NoError(t, next.Stop(t.Context()))
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 3)
	})
}

func TestWhatIsStoredWhileStopIsAtWorkIsGivenBackAtOnce(t *testing.T) { // D1
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r *rig
		s := &sickStore{enqueue: func() { r.stop() }} // after the room for it was promised
		r = newSick(t, s, status(200))
		r.endpoint(hookURL)
		r.start()
		r.emit(1)
		assert.Empty(t, r.transport.requests())
		n, err := r.DeliverDue(t.Context()) // somebody else
		require.NoError(t, err)
		assert.Equal(t, 1, n, "it does not wait for a lease to end")
	})
}

func TestStopReturnsThoughTheTransportIgnoresItsContext(t *testing.T) { // E25
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t, func(context.Context, *webhook.Request) (*webhook.Response, error) {
			<-release
			return &webhook.Response{StatusCode: 200}, nil
		})
		r.endpoint(hookURL)
		r.start()
		r.emit(1)
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorContains(t, r.Stop(ctx), "1 attempts do not end")
		close(release)
	})
}

func TestDeliverDueMakesOnePass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSwitch(500)
		var attempts atomic.Int64
		r := newRig(t, s.answer, func(c *webhook.Config) {
			c.Hooks.OnAttempt = func(context.Context, webhook.AttemptInfo) { attempts.Add(1) }
		})
		ep := r.endpoint(hookURL)
		n, err := r.DeliverDue(t.Context())
		require.NoError(t, err)
		assert.Zero(t, n, "nothing is due")

		r.emit(3)
		n, err = r.DeliverDue(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 3, n)
		assert.EqualValues(t, 3, attempts.Load(), "hooks were called before it returned")
		n, err = r.DeliverDue(t.Context())
		require.NoError(t, err)
		assert.Zero(t, n, "retries are not due yet")

		time.Sleep(time.Second)
		s.code.Store(200)
		n, err = r.DeliverDue(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 3, n)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 3)
	})
}

func TestDeliverDueGivesBackWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, hangs)
		ep := r.endpoint(hookURL)
		r.emit(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := r.DeliverDue(ctx)
		require.NoError(t, err)
		d := r.deliveries(ep.ID, "")
		require.Len(t, d, 1)
		assert.Equal(t, 0, d[0].Attempts)
		assert.Equal(t, webhook.DeliveryPending, d[0].Status)
	})
}

func TestHooksMayCallTheEngine(t *testing.T) { // D18
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r *rig
		var ep webhook.Endpoint
		stopErr := make(chan error, 1)
		r = newRig(t, status(200), func(c *webhook.Config) {
			c.Hooks.OnDelivered = func(ctx context.Context, d webhook.DeliveryInfo) {
				if d.Attempts == 1 && len(r.transport.requests()) < 3 {
					r.emit(1)
				}
				_, err := r.DisableEndpoint(ctx, "acme", ep.ID)
				assert.NoError(t, err)
				_, err = r.EnableEndpoint(ctx, "acme", ep.ID)
				assert.NoError(t, err)
				select {
				case stopErr <- r.Stop(ctx):
				default:
				}
			}
		})
		ep = r.endpoint(hookURL)
		r.start()
		r.emit(1)
		time.Sleep(time.Minute)
		require.ErrorIs(t, <-stopErr, webhook.ErrStopFromHook)
		assert.GreaterOrEqual(t, len(r.deliveries(ep.ID, webhook.DeliveryDelivered)), 3)
		r.stop()
	})
}

func TestSlowAndPanickingHooksDelayNothing(t *testing.T) { // D17
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		r := newRig(t, status(200), func(c *webhook.Config) {
			c.StopTimeout = -1
			c.Hooks.OnAttempt = func(context.Context, webhook.AttemptInfo) {
				calls.Add(1)
				time.Sleep(time.Minute)
				panic("hook")
			}
		})
		ep := r.endpoint(hookURL)
		r.start()
		begin := time.Now()
		r.emit(5000)
		for len(r.deliveries(ep.ID, webhook.DeliveryDelivered)) < 5000 {
			time.Sleep(time.Millisecond)
		}
		assert.Less(t, time.Since(begin), time.Second)
		stats, err := r.Stats(t.Context())
		require.NoError(t, err)
		assert.Positive(t, stats.HooksDropped, "a hook's backlog is bounded")
		r.stop()
		assert.EqualValues(t, 5000-stats.HooksDropped, calls.Load())
	})
}

func TestNoGoroutineWithoutStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, status(200))
		r.endpoint(hookURL)
		r.emit(10)
		// The bubble fails the test if a goroutine is left blocked.
	})
}

func TestIdleEngineAsksTheStoreOncePerPollInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var claims, maintains atomic.Int64
		r := newRig(t, status(200))
		e, err := webhook.New(webhook.Config{
			Store: &spyStore{
				Store:    r.store,
				claim:    func() { claims.Add(1) },
				maintain: func() { maintains.Add(1) },
			},
			Transport: r.transport, Logger: quiet, PollInterval: 10 * time.Second,
		})
		require.NoError(t, err)
		r.endpoint(hookURL)
		require.NoError(t, e.Start(t.Context()))
		time.Sleep(time.Minute)
		claims.Store(0)
		maintains.Store(0)
		time.Sleep(10*time.Minute + time.Second)
		require.NoError(t, e.Stop(t.Context()))
		assert.LessOrEqual(t, claims.Load(), int64(61))
		assert.GreaterOrEqual(t, claims.Load(), int64(59))
		assert.LessOrEqual(t, maintains.Load(), int64(1))
	})
}

func TestStopReturnsThoughTheStoreIsDown(t *testing.T) { // E3
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, f := newFaulty(t, status(200))
		r.endpoint(hookURL)
		r.start()
		f.downAtSettle.Store(true)
		r.emit(2000) // more than may wait to be recorded
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		require.ErrorIs(t, r.Stop(ctx), context.DeadlineExceeded)
		assert.LessOrEqual(t, time.Since(begin), 13*time.Second)
		// The bubble fails the test if a goroutine is left.
	})
}

// Most supervisors kill a process 10 s after they asked it to end.
func TestStopEndsWithinItsTimeoutWhateverHangs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name            string
		timeout, within time.Duration
		adjust          func(c *webhook.Config)
	}{
		{"attempts", 0, 8 * time.Second, func(c *webhook.Config) {
			c.Transport = &fakeTransport{answer: hangs}
		}},
		{"attempts that ignore their context", 0, 8 * time.Second, func(c *webhook.Config) {
			c.Transport = &fakeTransport{answer: func(context.Context, *webhook.Request) (*webhook.Response, error) {
				time.Sleep(time.Minute)
				return &webhook.Response{StatusCode: 200}, nil
			}}
		}},
		{"the store", 0, 8 * time.Second, func(c *webhook.Config) {
			c.Store = &spyStore{Store: c.Store, settle: func() { time.Sleep(time.Minute) }}
		}},
		{"a hook", 0, 8 * time.Second, func(c *webhook.Config) {
			c.Hooks.OnDelivered = func(context.Context, webhook.DeliveryInfo) { time.Sleep(time.Minute) }
		}},
		{"attempts, with less time", 2 * time.Second, 2 * time.Second, func(c *webhook.Config) {
			c.Transport = &fakeTransport{answer: hangs}
		}},
		{"attempts, with the context alone", -1, 10 * time.Second, func(c *webhook.Config) {
			c.Transport = &fakeTransport{answer: hangs}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, status(200), func(c *webhook.Config) {
					c.StopTimeout = tt.timeout
					tt.adjust(c)
				})
				r.endpoint(hookURL)
				r.start()
				r.emit(10)
				time.Sleep(time.Millisecond)
				begin := time.Now()
				_ = r.Stop(context.Background())
				took := time.Since(begin)
				t.Log(took)
				assert.LessOrEqual(t, took, tt.within)
				assert.GreaterOrEqual(t, took, tt.within/2)
				time.Sleep(20 * time.Minute) // what ignored its context ends
			})
		})
	}
}
