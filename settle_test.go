package webhook_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

var errRow = errors.New("duplicate key value violates unique constraint")

// refusingStore refuses the results of single deliveries, like a database that
// has a row which is in the way. As with SQLite there is one Settle call at once.
type refusingStore struct {
	webhook.Store
	silent bool // gives no reason

	mu      sync.Mutex
	refused map[string]bool // by event id
	names   map[string]string
	calls   int
}

func (s *refusingStore) ConcurrencyHint() int { return 1 }

func (s *refusingStore) refuse(eventID string, yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused == nil {
		s.refused = map[string]bool{}
	}
	s.refused[eventID] = yes
}

func (s *refusingStore) remember(leased []webhook.Leased) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil {
		s.names = map[string]string{}
	}
	for _, l := range leased {
		s.names[l.DeliveryID] = l.Event.ID
	}
}

func (s *refusingStore) Enqueue(ctx context.Context, r webhook.EnqueueRequest) (webhook.Enqueued, error) {
	a, err := s.Store.Enqueue(ctx, r)
	s.remember(a.Leased)
	return a, err
}

func (s *refusingStore) Claim(ctx context.Context, r webhook.ClaimRequest) (webhook.Claimed, error) {
	c, err := s.Store.Claim(ctx, r)
	s.remember(c.Deliveries)
	return c, err
}

func (s *refusingStore) Settle(ctx context.Context, batch []webhook.Settlement) (webhook.Settled, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	out := webhook.Settled{Results: make([]webhook.SettleResult, len(batch))}
	var good []webhook.Settlement
	var at []int
	for i, st := range batch {
		if s.refused[s.names[st.DeliveryID]] {
			out.Results[i].Status = webhook.SettleFailed
			if !s.silent {
				out.Results[i].Err = errRow
			}
			continue
		}
		good, at = append(good, st), append(at, i)
	}
	a, err := s.Store.Settle(ctx, good)
	for i, r := range a.Results {
		out.Results[at[i]] = r
	}
	out.Failing, out.Now = a.Failing, a.Now
	return out, err
}

func newRefusing(t testing.TB, adjust ...func(*webhook.Config)) (*rig, *refusingStore) {
	s := &refusingStore{}
	r := newRig(t, status(200), append(adjust, func(c *webhook.Config) { s.Store, c.Store = c.Store, s })...)
	return r, s
}

func TestE26AResultThatIsRefusedAloneKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, s := newRefusing(t)
		ep := r.endpoint(hookURL)
		r.start()
		bad := event(t)
		s.refuse(bad.ID, true)
		require.NoError(t, r.Emit(t.Context(), bad))
		time.Sleep(10 * time.Second) // its repetitions are seconds apart by now
		for range 5 {
			r.emit(3)
			time.Sleep(5 * time.Millisecond)
		}
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 15, "recorded without delay")

		s.refuse(bad.ID, false)
		time.Sleep(8 * time.Second)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 16, "the refused one was repeated")
		assert.Len(t, r.transport.requests(), 16, "and not sent again")
		assert.Less(t, s.calls, 40, "with growing pauses")
		r.stop()
	})
}

func TestE26StopWaitsForRefusedResultsWhileTheirLeasesLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, s := newRefusing(t)
		r.endpoint(hookURL)
		r.start()
		bad := event(t)
		s.refuse(bad.ID, true)
		require.NoError(t, r.Emit(t.Context(), bad))
		begin := time.Now()
		r.stop()
		assert.InDelta(t, 64, time.Since(begin).Seconds(), 4, "the lease, and a pause between two repetitions")
	})
}

func TestE26StopGivesRefusedResultsUpWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, s := newRefusing(t)
		r.endpoint(hookURL)
		r.start()
		bad := event(t)
		s.refuse(bad.ID, true)
		require.NoError(t, r.Emit(t.Context(), bad))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		require.ErrorIs(t, r.Stop(ctx), context.DeadlineExceeded)
		assert.LessOrEqual(t, time.Since(begin), 12*time.Second)
	})
}

func TestDeliverDueSaysWhatItCouldNotRecord(t *testing.T) {
	t.Parallel()
	t.Run("refused alone", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r, s := newRefusing(t)
			ep := r.endpoint(hookURL)
			events := r.emit(3)
			s.refuse(events[1].ID, true)
			n, err := r.DeliverDue(t.Context())
			assert.Equal(t, 3, n)
			require.ErrorIs(t, err, webhook.ErrStore)
			require.ErrorIs(t, err, errRow)
			require.ErrorContains(t, err, "1 results could not be recorded")
			assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 2)
		})
	})
	t.Run("refused without a reason, and recorded later", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r, s := newRefusing(t)
			s.silent = true
			r.endpoint(hookURL)
			ev := r.emit(1)[0]
			s.refuse(ev.ID, true)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err := r.DeliverDue(ctx)
			require.ErrorContains(t, err, "without a reason")
			s.refuse(ev.ID, false)
			time.Sleep(2 * time.Minute)
			n, err := r.DeliverDue(t.Context())
			require.NoError(t, err)
			assert.Equal(t, 1, n)
		})
	})
	t.Run("the store is down", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r, f := newFaulty(t, status(200))
			r.endpoint(hookURL)
			r.emit(2)
			f.downAtSettle.Store(true)
			n, err := r.DeliverDue(t.Context())
			assert.Equal(t, 2, n)
			require.ErrorIs(t, err, errDown)
		})
	})
	t.Run("the lease passes to the repetition that succeeds", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r, s := newRefusing(t)
			ev := func() webhook.Event { r.endpoint(hookURL); return r.emit(1)[0] }()
			s.refuse(ev.ID, true)
			time.AfterFunc(time.Second, func() { s.refuse(ev.ID, false) })
			n, err := r.DeliverDue(t.Context())
			require.NoError(t, err)
			assert.Equal(t, 1, n)
		})
	})
}
