package webhook_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

func TestAnErrorOfTheTransportIsNeverASuccess(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]error{
		"no kind":       &webhook.TransportError{Detail: "something"},
		"nil but typed": (*webhook.TransportError)(nil),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(context.Context, *webhook.Request) (*webhook.Response, error) { return nil, failure })
				ep := r.endpoint(hookURL)
				r.start()
				defer r.stop()
				r.emit(1)
				time.Sleep(time.Hour)
				d := r.deliveries(ep.ID, "")[0]
				assert.Equal(t, webhook.DeliveryExhausted, d.Status)
				assert.Equal(t, 6, d.Attempts)
				res, err := r.SendTest(t.Context(), "acme", ep.ID, webhook.EventCallCompleted)
				require.NoError(t, err)
				assert.False(t, res.Delivered)
				assert.Equal(t, webhook.FailureConnection, res.Failure)
			})
		})
	}
}

type endlessPolicy struct{}

func (endlessPolicy) Next(int, webhook.Result) (time.Duration, bool) { return math.MaxInt64, true }

func TestAnEndlessPauseIsNotAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, status(500), func(c *webhook.Config) { c.Retry, c.Jitter = endlessPolicy{}, 1 })
		r.endpoint(hookURL)
		r.start()
		defer r.stop()
		r.emit(20)
		time.Sleep(time.Hour)
		assert.Len(t, r.transport.requests(), 20)
	})
}

func TestTheLogKeeps4KiBOfAnyTransportsAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(context.Context, *webhook.Request) (*webhook.Response, error) {
		return &webhook.Response{StatusCode: 500, Body: []byte(strings.Repeat("x", 9000))}, nil
	})
	ep := r.endpoint(hookURL)
	r.emit(1)
	_, err := r.DeliverDue(t.Context())
	require.NoError(t, err)
	attempts, err := r.ListAttempts(t.Context(), "acme", r.deliveries(ep.ID, "")[0].ID)
	require.NoError(t, err)
	assert.Len(t, attempts[0].ResponseBody, 4096)
	res, err := r.SendTest(t.Context(), "acme", ep.ID, webhook.EventCallCompleted)
	require.NoError(t, err)
	assert.Len(t, res.ResponseBody, 4096)
}

// carelessTx answers nothing at all.
type carelessTx struct{}

func (carelessTx) Enqueue(context.Context, webhook.EnqueueRequest) (webhook.Enqueued, error) {
	return webhook.Enqueued{}, nil
}

func TestATransactionThatAnswersNothingHasStoredNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, status(200))
	require.ErrorIs(t, r.EmitTx(t.Context(), carelessTx{}, event(t)), webhook.ErrStore)
}
