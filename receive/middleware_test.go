package receive_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
)

func TestMiddlewareLeavesTheRawBodyReadable(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	s := callCompleted("evt_1")
	h := r.Middleware(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		assert.NoError(t, err)
		assert.Equal(t, s.body, string(body), "byte for byte")
		e, ok := receive.EventFromContext(req.Context())
		assert.True(t, ok)
		assert.Equal(t, "evt_1", e.ID)
		assert.NoError(t, http.NewResponseController(w).Flush(), "the writer's abilities show through")
		w.WriteHeader(http.StatusAccepted)
	}))
	assert.Equal(t, http.StatusOK, serve(h, s.request()).Code)
}

func TestMiddlewareRefusesWhatTheReceiverRefuses(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	tests := 0
	r.OnTest(func(_ context.Context, _ webhook.Event) error { tests++; return nil })
	h := r.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("passed on") }))
	forged := callCompleted("evt_1")
	forged.secret = webhook.NewSecret().Reveal()
	assert.Equal(t, http.StatusUnauthorized, serve(h, forged.request()).Code)
	test := callCompleted("evt_1")
	test.header = http.Header{"Webhook-Test": {"1"}}
	assert.Equal(t, http.StatusOK, serve(h, test.request()).Code)
	assert.Equal(t, 1, tests)
	require.NoError(t, r.Shutdown(t.Context()))
	assert.Equal(t, http.StatusServiceUnavailable, serve(h, callCompleted("evt_2").request()).Code)
}

func TestMiddlewareCommitsWhatGotA2xx(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		next  http.HandlerFunc
		again int // calls of next after a second request
	}{
		"nothing written": {func(http.ResponseWriter, *http.Request) {}, 1},
		"body written":    {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }, 1},
		"204":             {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, 1},
		"early hints": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusBadGateway)
		}, 2},
		"500":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, 2},
		"302":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusFound) }, 2},
		"panic": {func(http.ResponseWriter, *http.Request) { panic(errors.New("oh")) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			h := newReceiver(t, nil).Middleware(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				calls++
				c.next(w, req)
			}))
			for range 2 {
				if name == "panic" {
					assert.Panics(t, func() { serve(h, callCompleted("evt_1").request()) }, "net/http deals with it")
				} else {
					serve(h, callCompleted("evt_1").request())
				}
			}
			assert.Equal(t, c.again, calls)
		})
	}
}

func TestHandlersSeeTheMarkOfTheirEvent(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(c *receive.Config) { c.Lease = time.Hour })
	r.OnOther(func(ctx context.Context, e webhook.Event) error {
		m, ok := receive.MarkFromContext(ctx)
		assert.True(t, ok)
		assert.Equal(t, receive.DedupeKey{EndpointID: "wh_1", EventID: e.ID}, m.Key)
		return nil
	})
	assert.Equal(t, http.StatusOK, serve(r, callCompleted("evt_1").request()).Code)
}
