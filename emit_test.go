package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// capture keeps what is logged.
type capture struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (c *capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.Write(p)
}

func (c *capture) logger() *slog.Logger { return slog.New(slog.NewTextHandler(c, nil)) }

func (c *capture) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.String()
}

func secretOf(t testing.TB, r *rig, id string) webhook.Secret {
	t.Helper()
	rec, err := r.store.GetEndpoint(t.Context(), "acme", id)
	require.NoError(t, err)
	return rec.Secrets[0].Secret
}

func TestEmitCallsThatArriveWhileTheStoreIsBusyShareTheNextWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gateStore{gate: make(chan struct{})}
		r := newRig(t, status(200), func(c *webhook.Config) { g.Store, c.Store = c.Store, g })
		ep := r.endpoint(hookURL)
		var wg sync.WaitGroup
		emit := func() { wg.Go(func() { assert.NoError(t, r.Emit(context.Background(), event(t))) }) }
		emit()
		synctest.Wait() // the first writes alone
		for range 9 {
			emit()
		}
		synctest.Wait()
		close(g.gate)
		wg.Wait()
		assert.Equal(t, []int{1, 9}, g.sizes)
		assert.Len(t, r.deliveries(ep.ID, ""), 10)
	})
}

func TestAConflictInASharedWriteFailsItsOwnCallerOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gateStore{gate: make(chan struct{}, 1)}
		r := newRig(t, status(200), func(c *webhook.Config) { g.Store, c.Store = c.Store, g })
		ep := r.endpoint(hookURL)
		used := event(t)
		g.gate <- struct{}{}
		require.NoError(t, r.Emit(t.Context(), used))
		used.Data = map[string]int{"n": 2}

		var wg sync.WaitGroup
		var conflicts, stored atomic.Int64
		for i := range 10 {
			wg.Go(func() {
				ev := event(t)
				if i == 5 {
					ev = used
				}
				switch err := r.Emit(context.Background(), ev); {
				case errors.Is(err, webhook.ErrIDConflict):
					conflicts.Add(1)
				case err == nil:
					stored.Add(1)
				}
			})
			synctest.Wait()
		}
		close(g.gate)
		wg.Wait()
		assert.EqualValues(t, 1, conflicts.Load())
		assert.EqualValues(t, 9, stored.Load())
		assert.Len(t, r.deliveries(ep.ID, ""), 10)
	})
}

func TestASharedWriteIsBoundedInBytesToo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		data int   // bytes of each event
		want []int // calls in each write
	}{
		"small":                   {10, []int{1, 5}},
		"two megabytes each":      {2<<20 - 2, []int{1, 2, 2, 1}},
		"one byte more than fits": {2<<20 - 1, []int{1, 1, 1, 1, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := &gateStore{gate: make(chan struct{})}
				r := newRig(t, status(200), func(c *webhook.Config) {
					g.Store, c.Store = c.Store, g
					c.MaxPayload = -1
				})
				data := json.RawMessage(`"` + strings.Repeat("x", c.data) + `"`)
				var wg sync.WaitGroup
				for range 6 {
					ev, err := webhook.NewEvent("acme", "test.happened", data)
					require.NoError(t, err)
					wg.Go(func() { assert.NoError(t, r.Emit(context.Background(), ev)) })
					synctest.Wait()
				}
				close(g.gate)
				wg.Wait()
				assert.Equal(t, c.want, g.sizes)
			})
		})
	}
}

func TestAContextThatEndsBeforeTheWriteLeavesNoTrace(t *testing.T) { // E5
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gateStore{gate: make(chan struct{})}
		r := newRig(t, status(200), func(c *webhook.Config) { g.Store, c.Store = c.Store, g })
		ep := r.endpoint(hookURL)
		var wg sync.WaitGroup
		wg.Go(func() { assert.NoError(t, r.Emit(context.Background(), event(t))) })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		var waited error
		wg.Go(func() { waited = r.Emit(ctx, event(t)) })
		synctest.Wait()
		cancel()
		synctest.Wait()
		require.ErrorIs(t, waited, context.Canceled)
		require.NotErrorIs(t, waited, webhook.ErrUnknownOutcome)
		close(g.gate)
		wg.Wait()
		assert.Len(t, r.deliveries(ep.ID, ""), 1)
	})
}

func TestAContextThatEndsDuringTheWriteIsAnUnknownOutcome(t *testing.T) { // E5
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gateStore{gate: make(chan struct{})}
		r := newRig(t, status(200), func(c *webhook.Config) { g.Store, c.Store = c.Store, g })
		r.endpoint(hookURL)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := r.Emit(ctx, event(t))
		require.ErrorIs(t, err, webhook.ErrUnknownOutcome)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestOneCallerGivingUpDoesNotTakeTheOthersWithIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gateStore{gate: make(chan struct{})}
		r := newRig(t, status(200), func(c *webhook.Config) { g.Store, c.Store = c.Store, g })
		ep := r.endpoint(hookURL)
		var wg sync.WaitGroup
		wg.Go(func() { assert.NoError(t, r.Emit(context.Background(), event(t))) })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() { _ = r.Emit(ctx, event(t)) }) // will write for the others
		synctest.Wait()
		for range 3 {
			wg.Go(func() { assert.NoError(t, r.Emit(context.Background(), event(t))) })
		}
		synctest.Wait()
		g.gate <- struct{}{}
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(g.gate)
		wg.Wait()
		assert.GreaterOrEqual(t, len(r.deliveries(ep.ID, "")), 4)
	})
}

func TestHandOffNeedsNoClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var claims atomic.Int64
		r := newRig(t, status(200), func(c *webhook.Config) {
			c.Store = &spyStore{Store: c.Store, claim: func() { claims.Add(1) }}
			c.PollInterval = time.Hour
		})
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		r.emit(1) // it is known to answer from now on
		time.Sleep(time.Second)
		claims.Store(0)
		r.emit(4)
		time.Sleep(time.Second)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 5)
		assert.Zero(t, claims.Load())
	})
}

func TestABurstBeyondTheHandOffIsClaimedWithoutWaitingForThePoll(t *testing.T) { // G5
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, status(200), func(c *webhook.Config) { c.PollInterval = time.Hour })
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		time.Sleep(time.Second)
		r.emit(3000)
		time.Sleep(time.Second)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 3000)
	})
}

func TestEventsOfOneAccountNeverReachAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, status(200))
		r.endpoint(hookURL)
		_, _, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{AccountID: "other", URL: "https://other.example.com/", Events: []webhook.EventType{"*"}})
		require.NoError(t, err)
		r.start()
		defer r.stop()
		r.emit(5)
		time.Sleep(time.Minute)
		assert.Len(t, r.transport.to(hookURL), 5)
		assert.Empty(t, r.transport.to("https://other.example.com/"))
	})
}

func TestEmitWithoutAnyEndpointIsNoError(t *testing.T) { // C11
	t.Parallel()
	r := newRig(t, status(200))
	ev := event(t)
	require.NoError(t, r.Emit(t.Context(), ev))
	got, err := r.GetEvent(t.Context(), "acme", ev.ID)
	require.NoError(t, err)
	assert.Equal(t, ev.Type, got.Type)
	require.NoError(t, r.Emit(t.Context()), "no events, nothing to do")
}

type emitKey struct{}

func TestTheContextOfEmitHasNoInfluenceOnTheDelivery(t *testing.T) { // D20, D21
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(ctx context.Context, _ *webhook.Request) (*webhook.Response, error) {
			assert.Nil(t, ctx.Value(emitKey{}), "D21")
			time.Sleep(time.Second)
			return &webhook.Response{StatusCode: 200}, ctx.Err()
		})
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), emitKey{}, "a trace"))
		require.NoError(t, r.Emit(ctx, event(t)))
		cancel()
		time.Sleep(time.Minute)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 1)
	})
}

func TestEmitTxDeliversAfterTheCommitOnly(t *testing.T) { // D22, D23
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, status(200), func(c *webhook.Config) { c.PollInterval = time.Hour })
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		time.Sleep(time.Second)

		undone := r.store.Begin()
		require.NoError(t, r.EmitTx(t.Context(), undone, event(t)))
		undone.Rollback()
		tx := r.store.Begin()
		require.NoError(t, r.EmitTx(t.Context(), tx, event(t)))
		time.Sleep(time.Second)
		assert.Empty(t, r.transport.requests(), "D22, D23: nothing before the commit")
		require.NoError(t, tx.Commit())
		r.Wake()
		time.Sleep(time.Second)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 1)
	})
}

func TestRoomThatComesFreeDuringAClaimIsUsedWithoutWaitingForThePoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var emitted atomic.Bool
		var once sync.Once
		r := newRig(t, func(context.Context, *webhook.Request) (*webhook.Response, error) {
			<-release
			return &webhook.Response{StatusCode: 200}, nil
		}, func(c *webhook.Config) {
			c.PollInterval = time.Hour
			c.Store = &spyStore{Store: c.Store, claim: func() {
				if emitted.Load() { // the claim has left the endpoint out: it had no room
					once.Do(func() {
						close(release)
						time.Sleep(time.Millisecond) // every attempt ends before the claim does
					})
				}
			}}
		})
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		time.Sleep(time.Second)
		emitted.Store(true)
		r.emit(5) // four are handed off, one is left for a claim
		time.Sleep(time.Second)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 5)
	})
}

// Where there are no signals, polling finds steady traffic soon.
func TestPollingAdaptsToTheTrafficOfOtherProcesses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		delivers := newRig(t, status(200))
		delivers.endpoint(hookURL)
		emits := newRig(t, status(200), func(c *webhook.Config) { c.Store = delivers.store })
		delivers.start()
		defer delivers.stop()
		var emitted []time.Time
		for i := range 50 {
			time.Sleep(400*time.Millisecond + time.Duration(i)*time.Millisecond)
			emitted = append(emitted, time.Now())
			emits.emit(1)
		}
		time.Sleep(2 * time.Second)
		sent := delivers.transport.requests()
		require.Len(t, sent, len(emitted))
		for i, r := range sent[5:] {
			assert.Less(t, r.at.Sub(emitted[i+5]), 60*time.Millisecond, "an eighth of the silence before it")
		}
	})
}
