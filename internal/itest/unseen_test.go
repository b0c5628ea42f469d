package itest

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// goodAndBad responds with 500 to one endpoint and with 200 to the others.
type goodAndBad struct{}

func (goodAndBad) Send(_ context.Context, r *webhook.Request) (*webhook.Response, error) {
	if strings.HasSuffix(r.URL, "/bad") {
		return &webhook.Response{StatusCode: 500}, nil
	}
	return &webhook.Response{StatusCode: 200}, nil
}

// armed says when results are being recorded.
type armed struct {
	webhook.Store
	on *atomic.Bool
}

func (a armed) Settle(ctx context.Context, batch []webhook.Settlement) (webhook.Settled, error) {
	a.on.Store(true)
	return a.Store.Settle(ctx, batch)
}

// E4: a batch is recorded, in one step or in several, and the answer to its last
// commit is lost: the hooks tell of all of it, once.
func TestHooksReportACommitWhoseResultIsLost(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		var on, cut atomic.Bool
		h := s.hooked(t, s.dsn, &hooks{committed: func() error {
			if on.Load() && cut.CompareAndSwap(false, true) {
				return errors.New("the connection was reset after the commit")
			}
			return nil
		}})
		var attempts, delivered, exhausted, disabled atomic.Int64
		e, err := webhook.New(webhook.Config{
			Store: armed{h.Store, &on}, Transport: goodAndBad{}, Retry: webhook.Schedule{}, Disable: webhook.DisablePolicy{After: 1},
			Hooks: webhook.Hooks{
				OnAttempt:          func(context.Context, webhook.AttemptInfo) { attempts.Add(1) },
				OnDelivered:        func(context.Context, webhook.DeliveryInfo) { delivered.Add(1) },
				OnExhausted:        func(context.Context, webhook.DeliveryInfo) { exhausted.Add(1) },
				OnEndpointDisabled: func(context.Context, webhook.EndpointFailures) { disabled.Add(1) },
			},
		})
		require.NoError(t, err)
		for _, path := range []string{"good", "bad"} {
			_, _, err := e.CreateEndpoint(ctx, webhook.EndpointParams{AccountID: "a", URL: "https://example.com/" + path, Events: []webhook.EventType{"*"}})
			require.NoError(t, err)
		}
		ev, err := webhook.NewEvent("a", "order.placed", 1)
		require.NoError(t, err)
		require.NoError(t, e.Emit(ctx, ev))
		_, err = e.DeliverDue(ctx)
		require.NoError(t, err)
		require.True(t, cut.Load())
		assert.EqualValues(t, 2, attempts.Load(), "attempts")
		assert.EqualValues(t, 1, delivered.Load(), "delivered")
		assert.EqualValues(t, 1, exhausted.Load(), "exhausted")
		assert.EqualValues(t, 1, disabled.Load(), "disabled")
	})
}
