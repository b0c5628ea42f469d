package webhook_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

// newFaulty is a rig whose store can be made to fail.
func newFaulty(t testing.TB, answer func(context.Context, *webhook.Request) (*webhook.Response, error), adjust ...func(*webhook.Config)) (*rig, *faultyStore) {
	f := &faultyStore{}
	r := newRig(t, answer, append(adjust, func(c *webhook.Config) {
		c.Disable.After = -1
		f.Store = c.Store
		c.Store = f
	})...)
	return r, f
}

func TestEmitWhileTheStoreIsDown(t *testing.T) { // E1
	t.Parallel()
	r, f := newFaulty(t, status(200))
	ep := r.endpoint(hookURL)
	f.down.Store(true)
	err := r.Emit(t.Context(), event(t))
	require.ErrorIs(t, err, webhook.ErrStore)
	require.ErrorIs(t, err, errDown)
	f.down.Store(false)
	assert.Empty(t, r.deliveries(ep.ID, ""), "nothing was kept in memory")
}

func TestPanickingStoreIsAnError(t *testing.T) { // D16
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, f := newFaulty(t, status(200))
		ep := r.endpoint(hookURL)
		f.panics.Store(true)
		require.ErrorIs(t, r.Emit(t.Context(), event(t)), webhook.ErrStore)
		r.start()
		defer r.stop()
		time.Sleep(time.Minute)
		f.panics.Store(false)
		r.emit(1)
		time.Sleep(10 * time.Second)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 1, "the engine outlives it")
	})
}

func TestStoreDownInMidRunLosesNothingAndCostsNothing(t *testing.T) { // E2, E3
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, f := newFaulty(t, newSwitch(500).answer)
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		r.emit(50)
		f.down.Store(true) // some attempts are in flight, none can be recorded
		time.Sleep(20 * time.Second)
		f.down.Store(false)
		time.Sleep(time.Hour)
		for _, d := range r.deliveries(ep.ID, "") {
			assert.Equal(t, webhook.DeliveryExhausted, d.Status)
			assert.Equal(t, 6, d.Attempts)
		}
		assert.Len(t, r.deliveries(ep.ID, ""), 50)
	})
}

func TestStoreDownLongerThanALeaseMeansADuplicateWithTheSameID(t *testing.T) { // E3
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, f := newFaulty(t, status(200))
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		f.downAtSettle.Store(true)
		r.emit(1)
		time.Sleep(time.Second)
		f.downAtSettle.Store(false)
		time.Sleep(2 * time.Minute)
		f.down.Store(false)
		time.Sleep(2 * time.Minute)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 1)
		ids := map[string]bool{}
		assert.Len(t, r.transport.requests(), 2)
		for _, s := range r.transport.requests() {
			ids[s.Header.Get("Webhook-Id")] = true
		}
		assert.Len(t, ids, 1)
	})
}

func TestLostReplyThenRepeatStoresOnce(t *testing.T) { // E4
	t.Parallel()
	r, f := newFaulty(t, status(200))
	ep := r.endpoint(hookURL)
	ev := event(t)
	f.lost.Store(true)
	require.ErrorIs(t, r.Emit(t.Context(), ev), webhook.ErrStore)
	f.lost.Store(false)
	require.NoError(t, r.Emit(t.Context(), ev))
	assert.Len(t, r.deliveries(ep.ID, ""), 1)
}

func TestOurOwnFaultsUseUpNoAttemptAndNeverCount(t *testing.T) {
	t.Parallel()
	answers := map[string]func(context.Context, *webhook.Request) (*webhook.Response, error){
		"B31 local": func(context.Context, *webhook.Request) (*webhook.Response, error) {
			return nil, &webhook.TransportError{Kind: webhook.FailureLocal}
		},
		"A47 resolver": func(context.Context, *webhook.Request) (*webhook.Response, error) {
			return nil, &webhook.TransportError{Kind: webhook.FailureDNSTemporary}
		},
		"canceled, though nobody stopped": func(context.Context, *webhook.Request) (*webhook.Response, error) {
			return nil, &webhook.TransportError{Kind: webhook.FailureCanceled}
		},
		"panic": func(context.Context, *webhook.Request) (*webhook.Response, error) { panic("transport") },
		"neither response nor error": func(context.Context, *webhook.Request) (*webhook.Response, error) {
			return nil, nil
		},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, answer, func(c *webhook.Config) {
					c.Disable.After = 1
					c.PollInterval = time.Hour
				})
				ep := r.endpoint(hookURL)
				r.start()
				defer r.stop()
				begin := time.Now()
				r.emit(1)
				time.Sleep(10 * time.Minute)
				d := r.deliveries(ep.ID, "")[0]
				assert.Equal(t, webhook.DeliveryPending, d.Status)
				assert.Equal(t, 0, d.Attempts)
				sent := r.transport.requests()
				for i, want := range []time.Duration{0, 1, 3, 7, 15, 31, 63, 127, 255, 511} {
					assert.Equal(t, want*time.Second, sent[i].at.Sub(begin), "pauses double from 1 s")
				}
				time.Sleep(25 * time.Hour)
				d = r.deliveries(ep.ID, "")[0]
				assert.Equal(t, webhook.DeliveryExhausted, d.Status)
				assert.Equal(t, webhook.ReasonSenderFault, d.Reason)
				got := r.get(ep.ID)
				assert.Equal(t, 0, got.ConsecutiveFailures)
				assert.NotEqual(t, webhook.EndpointInactive, got.Status)
				n := len(r.transport.requests())
				last := r.transport.requests()[n-1].at.Sub(begin)
				assert.GreaterOrEqual(t, last, 24*time.Hour)
				assert.Less(t, last, 24*time.Hour+5*time.Minute, "with the first pause beyond a day it ends")
			})
		})
	}
}

type panickingPolicy struct{}

func (panickingPolicy) Next(int, webhook.Result) (time.Duration, bool) { panic("policy") }

type brokenSigner struct{ panics bool }

func (s brokenSigner) Sign(_ http.Header, m webhook.Message, _ ...webhook.Secret) error {
	if m.Body == nil { // the check of a new secret
		return nil
	}
	if s.panics {
		panic("signer")
	}
	return errors.New("no key")
}

func TestPanickingPolicyAndBrokenSignersAreOurFault(t *testing.T) {
	t.Parallel()
	for name, adjust := range map[string]func(*webhook.Config){
		"policy panics": func(c *webhook.Config) { c.Retry = panickingPolicy{} },
		"signer panics": func(c *webhook.Config) { c.Signer = brokenSigner{true} },
		"signer fails":  func(c *webhook.Config) { c.Signer = brokenSigner{false} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, status(500), adjust)
				ep := r.endpoint(hookURL)
				r.start()
				defer r.stop()
				r.emit(3)
				time.Sleep(time.Hour)
				for _, d := range r.deliveries(ep.ID, "") {
					assert.Equal(t, webhook.DeliveryPending, d.Status)
					assert.Equal(t, 0, d.Attempts)
				}
				assert.Equal(t, 0, r.get(ep.ID).ConsecutiveFailures)
			})
		})
	}
}

func TestPoisonEndsAndNeverCounts(t *testing.T) { // F14
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		r := newRig(t, status(200), func(c *webhook.Config) { c.Store = store })
		ep := r.endpoint(hookURL)
		r.emit(1)
		// Each round is a process that claims it and dies.
		rounds := 0
		for ; ; rounds++ {
			_, err := store.Maintain(t.Context(), webhook.MaintainRequest{Limit: 100})
			require.NoError(t, err)
			c, err := store.Claim(t.Context(), webhook.ClaimRequest{LeaseTerms: webhook.LeaseTerms{Max: 1, Lease: time.Minute, Room: roomForAll{}}})
			require.NoError(t, err)
			if len(c.Deliveries) == 0 {
				break
			}
			time.Sleep(2 * time.Minute)
			if (rounds+1)%3 == 0 { // a process that does not die, since it does not send
				_, err = r.DeliverDue(t.Context())
				require.NoError(t, err)
				time.Sleep(11 * time.Minute)
			}
			require.Less(t, rounds, 100, "poison must end")
		}
		assert.Equal(t, 18, rounds, "three leases for each of six attempts")
		d, err := r.ListDeliveries(t.Context(), "acme", webhook.DeliveryQuery{EndpointID: ep.ID})
		require.NoError(t, err)
		assert.Equal(t, webhook.DeliveryExhausted, d.Items[0].Status)
		assert.Equal(t, webhook.ReasonAbandoned, d.Items[0].Reason)
		assert.Empty(t, r.transport.requests(), "it is not sent again")
		got, err := r.GetEndpoint(t.Context(), "acme", ep.ID)
		require.NoError(t, err)
		assert.Equal(t, 0, got.ConsecutiveFailures)
	})
}

// A delivery that ends the process at once takes with it all that is in flight.
func TestTheCompanyOfAPoisonDeliveryIsNotGivenUp(t *testing.T) { // F14
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		var inFlight, most atomic.Int64
		r := newRig(t, func(context.Context, *webhook.Request) (*webhook.Response, error) {
			most.Store(max(most.Load(), inFlight.Add(1)))
			defer inFlight.Add(-1)
			time.Sleep(10 * time.Millisecond)
			return &webhook.Response{StatusCode: 200}, nil
		}, func(c *webhook.Config) { c.Store = store })
		ep := r.endpoint(hookURL)
		const company = 4
		r.emit(company)
		for range 2 { // processes that die
			_, err := store.Maintain(t.Context(), webhook.MaintainRequest{Limit: 100})
			require.NoError(t, err)
			_, err = store.Claim(t.Context(), webhook.ClaimRequest{LeaseTerms: webhook.LeaseTerms{Max: 100, Lease: time.Minute, Room: roomForAll{}}})
			require.NoError(t, err)
			time.Sleep(2 * time.Minute)
		}
		for range company {
			n, err := r.DeliverDue(t.Context())
			require.NoError(t, err)
			require.Equal(t, 1, n)
			time.Sleep(time.Second)
		}
		assert.EqualValues(t, 1, most.Load())
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), company)
	})
}

// skewedStore has a clock of its own.
type skewedStore struct {
	webhook.Store
	skew time.Duration
}

func (s *skewedStore) Now(ctx context.Context) (time.Time, error) {
	now, err := s.Store.Now(ctx)
	return now.Add(s.skew), err
}

func (s *skewedStore) Enqueue(ctx context.Context, r webhook.EnqueueRequest) (webhook.Enqueued, error) {
	a, err := s.Store.Enqueue(ctx, r)
	a.Now = a.Now.Add(s.skew)
	return a, err
}

func (s *skewedStore) Claim(ctx context.Context, r webhook.ClaimRequest) (webhook.Claimed, error) {
	a, err := s.Store.Claim(ctx, r)
	a.Now = a.Now.Add(s.skew)
	return a, err
}

func (s *skewedStore) Settle(ctx context.Context, r []webhook.Settlement) (webhook.Settled, error) {
	a, err := s.Store.Settle(ctx, r)
	a.Now = a.Now.Add(s.skew)
	return a, err
}

func (s *skewedStore) Maintain(ctx context.Context, r webhook.MaintainRequest) (webhook.Maintained, error) {
	a, err := s.Store.Maintain(ctx, r)
	a.Now = a.Now.Add(s.skew)
	return a, err
}

func TestIsolationFromEndpointsThatHang(t *testing.T) { // G3
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		emitted := map[string]time.Time{}
		var worst time.Duration
		r := newRig(t, func(ctx context.Context, req *webhook.Request) (*webhook.Response, error) {
			if req.URL != healthyURL {
				return hangs(ctx, req)
			}
			mu.Lock()
			defer mu.Unlock()
			worst = max(worst, time.Since(emitted[req.Header.Get("Webhook-Id")]))
			return &webhook.Response{StatusCode: 200}, nil
		})
		for range 50 { // many more hanging attempts than Concurrency
			r.endpoint("https://hanging.example.com/")
		}
		ep := r.endpoint(healthyURL)
		r.start()
		for range 300 {
			ev := event(t)
			mu.Lock()
			emitted[ev.ID] = time.Now()
			mu.Unlock()
			require.NoError(t, r.Emit(t.Context(), ev))
			time.Sleep(50 * time.Millisecond)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = r.Stop(ctx)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 300)
		assert.LessOrEqual(t, worst, 200*time.Millisecond)
	})
}

func TestPerEndpointCapAndFewerSlotsAfterTimeouts(t *testing.T) { // B36, G3
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var inFlight, most atomic.Int64
		var hanging atomic.Bool
		r := newRig(t, func(ctx context.Context, req *webhook.Request) (*webhook.Response, error) {
			if !hanging.Load() {
				return &webhook.Response{StatusCode: 200}, nil
			}
			n := inFlight.Add(1)
			defer inFlight.Add(-1)
			for {
				m := most.Load()
				if n <= m || most.CompareAndSwap(m, n) {
					break
				}
			}
			return hangs(ctx, req)
		})
		r.endpoint(hookURL)
		r.start()
		r.emit(1)
		time.Sleep(time.Second)
		hanging.Store(true)
		r.emit(100)
		time.Sleep(5 * time.Second)
		assert.EqualValues(t, 4, most.Load())
		time.Sleep(30 * time.Second)
		most.Store(0)
		time.Sleep(30 * time.Second)
		assert.EqualValues(t, 1, most.Load(), "it timed out, so it gets one slot")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = r.Stop(ctx)
	})
}

// roomForAll is a [webhook.Room] without bounds.
type roomForAll struct{}

// Take implements [webhook.Room].
func (roomForAll) Take(_ webhook.Candidate, n int) int { return n }

// Reset implements [webhook.Room].
func (roomForAll) Reset() {}
