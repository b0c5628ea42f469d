package webhooktest_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
	"github.com/ringyo-ai/webhook/webhooktest"
)

// send posts one signed event to the server through its own Transport.
func send(t *testing.T, srv *webhooktest.Server, transport webhook.Transport, secret webhook.Secret) (*webhook.Response, error) {
	t.Helper()
	return sendCtx(t.Context(), t, srv, transport, secret)
}

func sendCtx(ctx context.Context, t *testing.T, srv *webhooktest.Server, transport webhook.Transport, secret webhook.Secret) (*webhook.Response, error) {
	t.Helper()
	built := webhooktest.NewRequest(t, secret, webhooktest.Sample(t, "", webhook.EventCreditsLow))
	body := make([]byte, built.ContentLength)
	_, err := built.Body.Read(body)
	require.NoError(t, err)
	return transport.Send(ctx, &webhook.Request{URL: srv.URL, Header: built.Header, Body: body})
}

// A request whose body never comes to its end does not keep Close.
func TestServerClosesThoughARequestIsStalled(t *testing.T) {
	t.Parallel()
	srv := webhooktest.NewServer(t, webhooktest.ServerConfig{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(srv.URL, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("POST / HTTP/1.1\r\nHost: x\r\nWebhook-Id: a\r\nWebhook-Timestamp: 1\r\nWebhook-Signature: v1,x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"))
	require.NoError(t, err)
	_, err = conn.Read(make([]byte, 10)) // it waits for the body now
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Close()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("Close does not return")
	}
}

func TestServerVerifiesAndKeeps(t *testing.T) {
	t.Parallel()
	for _, https := range []bool{false, true} {
		secret := webhook.NewSecret()
		srv := webhooktest.NewServer(t, webhooktest.ServerConfig{TLS: https})
		transport := srv.Transport()

		res, err := send(t, srv, transport, secret)
		require.NoError(t, err)
		assert.Equal(t, 401, res.StatusCode)

		srv.AddSecret(secret)
		res, err = send(t, srv, transport, secret)
		require.NoError(t, err)
		assert.Equal(t, 200, res.StatusCode)

		got := srv.Wait(2)
		require.ErrorIs(t, got[0].Err, webhook.ErrNoSecret)
		assert.Zero(t, got[0].Event)
		require.NoError(t, got[1].Err)
		assert.Equal(t, webhook.SampleData(webhook.EventCreditsLow), got[1].Event.Data)
		assert.NotEmpty(t, got[1].Body)
		assert.Equal(t, got[1].Event.ID, got[1].Header.Get("webhook-id"))
	}
}

func TestServerRespondsByItsScriptInOrder(t *testing.T) {
	t.Parallel()
	secret := webhook.NewSecret()
	srv := webhooktest.NewServer(t, webhooktest.ServerConfig{Secrets: []webhook.Secret{secret}})
	transport := srv.Transport()
	srv.Reply(
		webhooktest.Reply{Status: 503, RetryAfter: 90 * time.Second},
		webhooktest.Reply{Status: 422, Body: "no such customer", Header: http.Header{"x-reason": {"unknown"}}},
		webhooktest.Reply{Delay: time.Millisecond},
	)
	srv.ReplyAlways(webhooktest.Reply{Status: 410})

	_, err := send(t, srv, transport, webhook.NewSecret())
	require.NoError(t, err, "one that does not verify uses nothing up")
	res, err := send(t, srv, transport, secret)
	require.NoError(t, err)
	assert.Equal(t, 503, res.StatusCode)
	assert.Equal(t, "90", res.Header.Get("Retry-After"))
	res, err = send(t, srv, transport, secret)
	require.NoError(t, err)
	assert.Equal(t, 422, res.StatusCode)
	assert.Equal(t, "unknown", res.Header.Get("X-Reason"))
	assert.Equal(t, "no such customer", string(res.Body))
	for _, want := range []int{200, 410, 410} {
		res, err = send(t, srv, transport, secret)
		require.NoError(t, err)
		assert.Equal(t, want, res.StatusCode)
	}
}

func TestServerHangsUntilTheSenderGivesUp(t *testing.T) {
	t.Parallel()
	secret := webhook.NewSecret()
	srv := webhooktest.NewServer(t, webhooktest.ServerConfig{Secrets: []webhook.Secret{secret}})
	srv.Reply(webhooktest.Reply{Hang: true})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := sendCtx(ctx, t, srv, srv.Transport(), secret)
		done <- err
	}()
	srv.Wait(1)
	select {
	case err := <-done:
		t.Fatalf("answered: %v", err)
	default:
	}
	cancel()
	require.Error(t, <-done)
}

func TestAHangingResponseEndsWithTheSendersConnection(t *testing.T) {
	t.Parallel()
	secret := webhook.NewSecret()
	srv := webhooktest.NewServer(t, webhooktest.ServerConfig{Secrets: []webhook.Secret{secret}})
	srv.Reply(webhooktest.Reply{Hang: true})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	req := webhooktest.NewRequest(t, secret, webhooktest.Sample(t, "", webhook.EventCreditsLow))
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() {
		srv.ServeHTTP(httptest.NewRecorder(), req.WithContext(gone))
	})
}

func TestServerResetsTheConnection(t *testing.T) {
	t.Parallel()
	for _, https := range []bool{false, true} {
		secret := webhook.NewSecret()
		srv := webhooktest.NewServer(t, webhooktest.ServerConfig{Secrets: []webhook.Secret{secret}, TLS: https})
		srv.Reply(webhooktest.Reply{Reset: true})
		_, err := send(t, srv, srv.Transport(), secret)
		var failure *webhook.TransportError
		require.ErrorAs(t, err, &failure)
		assert.Equal(t, webhook.FailureConnection, failure.Kind)
	}
}

func TestClosingTheServerEndsAHangingResponse(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]webhooktest.Reply{"hang": {Hang: true}, "delay": {Delay: time.Hour}} {
		secret := webhook.NewSecret()
		srv := webhooktest.NewServer(t, webhooktest.ServerConfig{Secrets: []webhook.Secret{secret}})
		srv.Reply(reply)
		done := make(chan error)
		go func() {
			_, err := send(t, srv, srv.Transport(), secret)
			done <- err
		}()
		srv.Wait(1)
		srv.Close()
		require.Error(t, <-done, name+": no answer is not a success")
		srv.Close()
	}
}

func TestRetriesNeedNoWaiting(t *testing.T) {
	t.Parallel()
	clock := webhooktest.NewClock()
	srv := webhooktest.NewServer(t, webhooktest.ServerConfig{Clock: clock.Now})
	srv.Reply(webhooktest.Reply{Status: 500}, webhooktest.Reply{Status: 500})
	engine, err := webhook.New(webhook.Config{
		Store: memstore.NewWith(memstore.Options{Clock: clock.Now}), Transport: srv.Transport(), Jitter: -1,
	})
	require.NoError(t, err)
	ep, secret, err := engine.CreateEndpoint(t.Context(), webhook.EndpointParams{
		AccountID: "acc_1", URL: srv.URL, Events: []webhook.EventType{"call.*"},
	})
	require.NoError(t, err)
	srv.AddSecret(secret)
	require.NoError(t, engine.Emit(t.Context(), webhooktest.Sample(t, "acc_1", webhook.EventCallCompleted)))
	for i, pause := range []time.Duration{0, time.Second, 5 * time.Second} {
		n, err := engine.DeliverDue(t.Context())
		require.NoError(t, err)
		if pause > 0 {
			require.Zero(t, n, "not due yet")
			clock.Advance(pause)
			n, err = engine.DeliverDue(t.Context())
			require.NoError(t, err)
		}
		require.Equal(t, 1, n, i)
	}
	for _, got := range srv.Received() {
		require.NoError(t, got.Err)
		assert.Equal(t, srv.Received()[0].Event.ID, got.Event.ID)
		assert.Equal(t, ep.ID, got.Event.EndpointID)
	}
	assert.Len(t, srv.Received(), 3)
}
