package webhook_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// More is emitted than can be sent, for as long as it takes: what waits in the
// store, such as a retry or the event of a process that only emits, is older than
// what is handed off, and has its turn.
func TestWhatWaitsInTheStoreIsSentThoughMoreIsEmitted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(context.Context, *webhook.Request) (*webhook.Response, error) {
			time.Sleep(50 * time.Millisecond)
			return &webhook.Response{StatusCode: 200}, nil
		}, func(c *webhook.Config) { c.Concurrency = 4 }) // 80 a second
		const waiting = "https://example.com/waiting"
		_, _, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{AccountID: "waits", URL: waiting, Events: []webhook.EventType{"*"}})
		require.NoError(t, err)
		const accounts = 50
		for i := range accounts {
			_, _, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{
				AccountID: fmt.Sprint("acc_", i), URL: fmt.Sprint(hookURL, i), Events: []webhook.EventType{"*"},
			})
			require.NoError(t, err)
		}
		r.start()
		defer r.stop()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		for w := range 4 {
			wg.Go(func() {
				for i := w; ctx.Err() == nil; i += 4 {
					ev, err := webhook.NewEvent(fmt.Sprint("acc_", i%accounts), "order.placed", i)
					if err == nil {
						err = r.Emit(ctx, ev)
					}
					if ctx.Err() == nil && !assert.NoError(t, err) {
						return
					}
					time.Sleep(30 * time.Millisecond) // 130 a second in all
				}
			})
		}
		time.Sleep(3 * time.Second)
		other, err := webhook.New(webhook.Config{Store: r.store, Transport: r.transport, Logger: quiet})
		require.NoError(t, err)
		ev, err := webhook.NewEvent("waits", "order.placed", 1)
		require.NoError(t, err)
		require.NoError(t, other.Emit(t.Context(), ev))
		time.Sleep(20 * time.Second)
		assert.Len(t, r.transport.to(waiting), 1)
	})
}
