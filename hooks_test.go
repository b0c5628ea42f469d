package webhook_test

import (
	"context"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// told keeps what the hooks were told.
type told struct {
	mu                   sync.Mutex
	attempts             []webhook.AttemptInfo
	delivered, exhausted []webhook.DeliveryInfo
}

func (h *told) hooks() webhook.Hooks {
	locked := func(f func()) { h.mu.Lock(); defer h.mu.Unlock(); f() }
	return webhook.Hooks{
		OnAttempt: func(_ context.Context, a webhook.AttemptInfo) { locked(func() { h.attempts = append(h.attempts, a) }) },
		OnDelivered: func(_ context.Context, d webhook.DeliveryInfo) {
			locked(func() { h.delivered = append(h.delivered, d) })
		},
		OnExhausted: func(_ context.Context, d webhook.DeliveryInfo) {
			locked(func() { h.exhausted = append(h.exhausted, d) })
		},
	}
}

func TestHooksAreToldWhatBecameOfAnAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var h told
		answer := newSwitch(500)
		r := newRig(t, func(ctx context.Context, req *webhook.Request) (*webhook.Response, error) {
			time.Sleep(20 * time.Millisecond)
			return answer.answer(ctx, req)
		}, func(c *webhook.Config) { c.Hooks, c.Retry = h.hooks(), webhook.Schedule{time.Second, time.Minute} })
		ep := r.endpoint(hookURL)
		r.start()
		ev := r.emit(1)[0]
		time.Sleep(10 * time.Minute)
		answer.code.Store(200)
		r.emit(1)
		time.Sleep(time.Minute)
		r.stop()

		require.Len(t, h.attempts, 4)
		for i, want := range []struct {
			status  webhook.DeliveryStatus
			reason  webhook.DeliveryReason
			next    time.Duration
			made    int
			code    int
			failure webhook.FailureKind
		}{
			{webhook.DeliveryPending, "", time.Second, 1, 500, webhook.FailureHTTPStatus},
			{webhook.DeliveryPending, "", time.Minute, 2, 500, webhook.FailureHTTPStatus},
			{webhook.DeliveryExhausted, webhook.ReasonAttempts, 0, 3, 500, webhook.FailureHTTPStatus},
			{webhook.DeliveryDelivered, "", 0, 1, 200, ""},
		} {
			a := h.attempts[i]
			assert.Equal(t, want.status, a.Status, i)
			assert.Equal(t, want.reason, a.Reason, i)
			assert.Equal(t, want.next, a.NextIn, i)
			assert.Equal(t, want.made, a.Attempts, i)
			assert.Equal(t, want.code, a.StatusCode, i)
			assert.Equal(t, want.failure, a.Failure, i)
			assert.Equal(t, 20*time.Millisecond, a.Duration, i)
		}
		assert.Equal(t, []webhook.DeliveryInfo{h.attempts[2].DeliveryInfo}, h.exhausted)
		assert.Equal(t, []webhook.DeliveryInfo{h.attempts[3].DeliveryInfo}, h.delivered)
		first := h.attempts[0].DeliveryInfo
		assert.Equal(t, []any{"acme", ep.ID, ev.ID, ev.Type}, []any{first.AccountID, first.EndpointID, first.EventID, first.EventType})
	})
}

func TestWhatIsGivenBackUnsentIsClaimedWithoutWaitingForThePoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(context.Context, *webhook.Request) (*webhook.Response, error) {
			time.Sleep(2 * time.Second)
			return &webhook.Response{StatusCode: 200}, nil
		}, func(c *webhook.Config) { c.PollInterval = time.Hour })
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		r.emit(4) // one at first, since nothing is known of the endpoint
		time.Sleep(time.Second)
		url := "https://new.example.com/"
		_, err := r.UpdateEndpoint(t.Context(), "acme", ep.ID, webhook.EndpointChange{URL: &url})
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		assert.Len(t, r.transport.to(url), 3)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 4)
	})
}

// never asks for pauses beyond all reason.
type never struct{ pause time.Duration }

func (n never) Next(int, webhook.Result) (time.Duration, bool) { return n.pause, true }

func TestPausesOfAPolicyAreBounded(t *testing.T) {
	t.Parallel()
	for asked, want := range map[time.Duration]time.Duration{
		math.MaxInt64:              365 * 24 * time.Hour,
		365*24*time.Hour - 1:       365*24*time.Hour - 1,
		math.MinInt64:              0,
		-time.Second:               0,
		1500 * time.Millisecond:    1500 * time.Millisecond,
		10 * 365 * 24 * time.Hour:  365 * 24 * time.Hour,
		365*24*time.Hour + 1000000: 365 * 24 * time.Hour,
	} {
		synctest.Test(t, func(t *testing.T) {
			var h told
			r := newRig(t, status(500), func(c *webhook.Config) { c.Hooks, c.Retry = h.hooks(), never{asked} })
			r.endpoint(hookURL)
			r.emit(1)
			_, err := r.DeliverDue(t.Context())
			require.NoError(t, err)
			require.Len(t, h.attempts, 1)
			assert.Equal(t, want, h.attempts[0].NextIn)
		})
	}
}
