package webhook_test

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// testing's FailNow ends the goroutine that it is called in.
func TestHooksThatEndTheirGoroutineAreFollowedByTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told atomic.Int64
		r := newRig(t, status(200), func(c *webhook.Config) {
			c.Hooks.OnDelivered = func(context.Context, webhook.DeliveryInfo) {
				if told.Add(1); told.Load()%2 == 1 {
					runtime.Goexit()
				}
			}
		})
		r.endpoint(hookURL)
		r.start()
		r.emit(5)
		time.Sleep(time.Second)
		assert.EqualValues(t, 5, told.Load())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.NoError(t, r.Stop(ctx))
	})
}

func TestATransportThatEndsItsGoroutineIsAFaultOfOurs(t *testing.T) {
	t.Parallel()
	for name, started := range map[string]bool{"started": true, "DeliverDue": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int64
				r := newRig(t, func(context.Context, *webhook.Request) (*webhook.Response, error) {
					if calls.Add(1) <= 3 {
						runtime.Goexit()
					}
					return &webhook.Response{StatusCode: 200}, nil
				})
				ep := r.endpoint(hookURL)
				if started {
					r.start()
				}
				r.emit(3)
				for range 10 {
					if !started {
						_, err := r.DeliverDue(t.Context())
						require.NoError(t, err)
					}
					time.Sleep(10 * time.Second)
				}
				if started {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					require.NoError(t, r.Stop(ctx))
				}
				p, err := r.ListDeliveries(t.Context(), "acme", webhook.DeliveryQuery{EndpointID: ep.ID})
				require.NoError(t, err)
				require.Len(t, p.Items, 3)
				for _, d := range p.Items {
					assert.Equal(t, webhook.DeliveryDelivered, d.Status)
					assert.Equal(t, 1, d.Attempts, "what we could not send is no attempt")
				}
				assert.EqualValues(t, 6, calls.Load())
			})
		})
	}
}

func TestWordsOfATransportAreMadeStorable(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(context.Context, *webhook.Request) (*webhook.Response, error) {
		return nil, &webhook.TransportError{
			Kind:   webhook.FailureKind(strings.Repeat("k", 100)),
			Detail: "the peer said \xff\x00\r\n" + strings.Repeat("ü", 2000),
		}
	})
	ep := r.endpoint(hookURL)
	r.emit(1)
	_, err := r.DeliverDue(t.Context())
	require.NoError(t, err)
	p, err := r.ListDeliveries(t.Context(), "acme", webhook.DeliveryQuery{EndpointID: ep.ID})
	require.NoError(t, err)
	log, err := r.ListAttempts(t.Context(), "acme", p.Items[0].ID)
	require.NoError(t, err)
	require.Len(t, log, 1)
	assert.Equal(t, webhook.FailureConnection, log[0].Failure)
	assert.True(t, strings.HasPrefix(log[0].Detail, "the peer said ????üü"), log[0].Detail)
	assert.True(t, utf8.ValidString(log[0].Detail))
	assert.LessOrEqual(t, len(log[0].Detail), 1024)
}
