package itest

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// Four processes emit while four claim: each claimer has a pool and caches of
// its own, as a process has. D12: no delivery is in two live leases, none is
// lost, none is stuck, and no deadlock reaches a caller.
func TestFourEmitWhileFourClaim(t *testing.T) {
	t.Parallel()
	deliveries := 20_000
	if testing.Short() || raceEnabled {
		deliveries = 4_000
	}
	onEach(t, func(t *testing.T, d database) {
		dsn := d.create(t)
		w := &crowd{t: t, left: int64(deliveries), claimed: make(map[string]bool), released: make(map[string]bool)}
		first := d.storeOn(t, dsn, nil)
		for i := range 10 {
			_, err := first.CreateEndpoint(ctx, endpoint(fmt.Sprintf("wh_%d", i), "call.completed", "*"))
			require.NoError(t, err)
		}
		var wg sync.WaitGroup
		for p := range 4 {
			s := d.storeOn(t, dsn, nil)
			wg.Go(func() { w.emit(s, p, deliveries/40) })
			wg.Go(func() { w.claim(s) })
		}
		wg.Wait()
		assert.Zero(t, w.left, "deliveries that nobody got")
		q, err := first.QueueStats(ctx, "", "")
		require.NoError(t, err)
		assert.Equal(t, webhook.QueueStats{}, q, "what is left in the queue")
		assert.EqualValues(t, deliveries, first.number(t, "select count(*) from webhook_delivery where status = 2"))
		assert.EqualValues(t, deliveries, first.number(t, "select count(*) from webhook_delivery where made = 1"))
	})
}

// crowd is what the claimers share.
type crowd struct {
	t    *testing.T
	left int64

	mu       sync.Mutex
	claimed  map[string]bool
	released map[string]bool
}

// emit stores the given number of events in groups of 10, some of them twice.
func (w *crowd) emit(s *testStore, p, events int) {
	for n := 0; n < events; n += 10 {
		var group []webhook.EventRecord
		for i := range 10 {
			group = append(group, event(fmt.Sprintf("evt_%d_%d", p, n+i)))
		}
		for range 1 + n/10%2 {
			r, err := s.Enqueue(ctx, groups(group))
			if !assert.NoError(w.t, err) || !assert.NoError(w.t, r.Errs[0]) {
				return
			}
		}
	}
}

// claim takes and settles until everything is delivered. One in sixteen is
// given back the first time.
func (w *crowd) claim(s *testStore) {
	cursor := ""
	for deadline := time.Now().Add(4 * time.Minute); atomic.LoadInt64(&w.left) > 0; {
		if !assert.True(w.t, time.Now().Before(deadline), "it takes too long") {
			return
		}
		c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(100, 20), Cursor: cursor})
		if !assert.NoError(w.t, err) {
			return
		}
		cursor = c.Cursor
		if !w.settle(s, c.Deliveries) {
			return
		}
	}
}

func (w *crowd) settle(s *testStore, leased []webhook.Leased) bool {
	if len(leased) == 0 {
		return true
	}
	w.mu.Lock()
	for _, l := range leased {
		assert.False(w.t, w.claimed[l.DeliveryID], "in two leases at once")
		w.claimed[l.DeliveryID] = true
	}
	w.mu.Unlock()
	batch := make([]webhook.Settlement, len(leased))
	done := 0
	w.mu.Lock()
	for i, l := range leased {
		batch[i] = delivered(l)
		if l.DeliveryID[len(l.DeliveryID)-1] == '0' && !w.released[l.DeliveryID] {
			w.released[l.DeliveryID] = true
			batch[i].Outcome, batch[i].Attempt = webhook.OutcomeReleased, nil
		} else {
			done++
		}
		delete(w.claimed, l.DeliveryID)
	}
	w.mu.Unlock()
	r, err := s.Settle(ctx, batch)
	if !assert.NoError(w.t, err) {
		return false
	}
	for i, res := range r.Results {
		if !assert.Equal(w.t, webhook.SettleApplied, res.Status, i) {
			return false
		}
	}
	atomic.AddInt64(&w.left, -int64(done))
	return true
}

// Two engines' worth of settling on the same failing endpoints: the counter is
// exact, and each endpoint is disabled exactly once. D7.
func TestTheThresholdIsCrossedOnce(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		dsn := d.create(t)
		first := d.storeOn(t, dsn, nil)
		const endpoints, each = 5, 40
		for i := range endpoints {
			_, err := first.CreateEndpoint(ctx, endpoint(fmt.Sprintf("wh_%d", i)))
			require.NoError(t, err)
		}
		var group []webhook.EventRecord
		for i := range each {
			group = append(group, event(fmt.Sprintf("evt_%d", i)))
		}
		mustEnqueue(t, first, group...)
		c, err := first.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(1000, 1000)})
		require.NoError(t, err)
		require.Len(t, c.Deliveries, endpoints*each)
		var disabled atomic.Int64
		var wg sync.WaitGroup
		for p := range 4 {
			s := d.storeOn(t, dsn, nil)
			wg.Go(func() {
				for i := p; i < len(c.Deliveries); i += 4 {
					st := delivered(c.Deliveries[i])
					st.Outcome, st.Reason, st.Counts, st.DisableAfter = webhook.OutcomeExhausted, webhook.ReasonAttempts, true, 10
					st.Attempt.StatusCode = 500
					r, err := s.Settle(ctx, []webhook.Settlement{st})
					if !assert.NoError(t, err) {
						return
					}
					for _, f := range r.Failing {
						if f.Disabled != "" {
							disabled.Add(1)
						}
					}
				}
			})
		}
		wg.Wait()
		assert.EqualValues(t, endpoints, disabled.Load())
		for i := range endpoints {
			rec, err := first.GetEndpoint(ctx, "a", fmt.Sprintf("wh_%d", i))
			require.NoError(t, err)
			assert.Equal(t, webhook.EndpointInactive, rec.Status)
			assert.Equal(t, 10, rec.ConsecutiveFailures)
		}
	})
}

// long reports whether the long tests were asked for.
// notUnderRace skips a test in which the race detector finds nothing: what it runs are
// other processes, or calls one after the other. Each test runs without it too.
func notUnderRace(t *testing.T) {
	t.Helper()
	if raceEnabled {
		t.Skip("skipped: the race detector finds nothing here, and go test work runs it")
	}
}

func long() bool { return os.Getenv("WEBHOOK_TEST_LONG") != "" }
