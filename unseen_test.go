package webhook_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// cutStore records the first results that it gets, and their answer is lost.
type cutStore struct {
	webhook.Store
	settled atomic.Int64
}

func (s *cutStore) Settle(ctx context.Context, batch []webhook.Settlement) (webhook.Settled, error) {
	out, err := s.Store.Settle(ctx, batch)
	if s.settled.Add(1) == 1 {
		return webhook.Settled{}, errors.New("the connection was reset after the commit")
	}
	return out, err
}

// lostStore loses the first results, and their deliveries are given back.
type lostStore struct {
	webhook.Store
	meanwhile func()
	settled   atomic.Int64
}

func (s *lostStore) Settle(ctx context.Context, batch []webhook.Settlement) (webhook.Settled, error) {
	if s.settled.Add(1) == 1 {
		for _, x := range batch {
			x.Outcome, x.Attempt = webhook.OutcomeReleased, nil
			if _, err := s.Store.Settle(ctx, []webhook.Settlement{x}); err != nil {
				return webhook.Settled{}, err
			}
		}
		s.meanwhile()
		return webhook.Settled{}, errors.New("the connection was reset before the commit")
	}
	return s.Store.Settle(ctx, batch)
}

func TestHooksDoNotTellOfWhatWasCancelledMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told atomic.Int64
		lost := &lostStore{}
		r := newRig(t, status(500), func(cfg *webhook.Config) {
			lost.Store, cfg.Store = cfg.Store, lost
			cfg.Retry = webhook.Schedule{}
			cfg.Hooks.OnExhausted = func(context.Context, webhook.DeliveryInfo) { told.Add(1) }
		})
		ep := r.endpoint(hookURL)
		lost.meanwhile = func() {
			assert.NoError(t, r.store.DeleteEndpoint(context.Background(), "acme", ep.ID))
			m, err := r.store.Maintain(context.Background(), webhook.MaintainRequest{Limit: 10})
			assert.NoError(t, err)
			assert.Equal(t, 1, m.Cancelled)
		}
		r.emit(1)
		_, _ = r.DeliverDue(t.Context())
		assert.EqualValues(t, 2, lost.settled.Load(), "it was told again")
		assert.Zero(t, told.Load())
	})
}

// slowToList answers lists only when the context of the call ends.
type slowToList struct{ webhook.Store }

func (s slowToList) ListDeliveries(ctx context.Context, _ webhook.DeliveryFilter) (webhook.Page[webhook.Delivery], error) {
	<-ctx.Done()
	return webhook.Page[webhook.Delivery]{}, ctx.Err()
}

func TestAskingWhatWasRecordedTakesASecondInAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, status(500), func(cfg *webhook.Config) {
			cfg.Store = &cutStore{Store: slowToList{cfg.Store}}
			cfg.Retry = webhook.Schedule{}
		})
		r.endpoint(hookURL)
		r.emit(20)
		for begin := time.Now(); ; {
			n, err := r.DeliverDue(t.Context())
			require.NoError(t, err)
			if n == 0 {
				assert.Less(t, time.Since(begin), 3*time.Second)
				break
			}
		}
	})
}

func TestHooksTellWhatACommitDidWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status                         int
		delivered, exhausted, disabled int64
	}{
		"delivered": {status: 200, delivered: 1},
		"exhausted": {status: 500, exhausted: 1, disabled: 1},
		"gone":      {status: 410, exhausted: 1, disabled: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var attempts, delivered, exhausted, disabled atomic.Int64
				r := newRig(t, status(c.status), func(cfg *webhook.Config) {
					cfg.Store = &cutStore{Store: cfg.Store}
					cfg.Retry = webhook.Schedule{}
					cfg.Disable.After = 1
					cfg.Hooks = webhook.Hooks{
						OnAttempt:   func(context.Context, webhook.AttemptInfo) { attempts.Add(1) },
						OnDelivered: func(context.Context, webhook.DeliveryInfo) { delivered.Add(1) },
						OnExhausted: func(context.Context, webhook.DeliveryInfo) { exhausted.Add(1) },
						OnEndpointDisabled: func(_ context.Context, f webhook.EndpointFailures) {
							assert.NotEmpty(t, f.Disabled)
							disabled.Add(1)
						},
					}
				})
				ep := r.endpoint(hookURL)
				r.emit(1)
				n, err := r.DeliverDue(t.Context())
				require.NoError(t, err)
				assert.Equal(t, 1, n)
				assert.EqualValues(t, 1, attempts.Load(), "attempts")
				assert.Equal(t, c.delivered, delivered.Load(), "delivered")
				assert.Equal(t, c.exhausted, exhausted.Load(), "exhausted")
				assert.Equal(t, c.disabled, disabled.Load(), "disabled")
				assert.Equal(t, c.disabled == 1, r.get(ep.ID).Status == webhook.EndpointInactive)
			})
		})
	}
}
