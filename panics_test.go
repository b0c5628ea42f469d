package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

const panicText = "panic with an address, 10.1.2.3:5432"

// panicking is whatever can be plugged in, and panics in the methods named.
type panicking struct {
	webhook.Store
	in string
}

func (p *panicking) at(method string) {
	if p.in == method {
		panic(panicText)
	}
}

func (p *panicking) Send(context.Context, *webhook.Request) (*webhook.Response, error) {
	p.at("Send")
	return &webhook.Response{StatusCode: 200}, nil
}

func (p *panicking) CheckURL(string) error                        { p.at("CheckURL"); return nil }
func (p *panicking) CheckReachable(context.Context, string) error { p.at("CheckReachable"); return nil }
func (p *panicking) CloseIdleConnections()                        { p.at("CloseIdleConnections") }
func (p *panicking) ConcurrencyHint() int                         { p.at("ConcurrencyHint"); return 1 }

func (p *panicking) Sign(http.Header, webhook.Message, ...webhook.Secret) error {
	p.at("Sign")
	return nil
}

func (p *panicking) Enqueue(ctx context.Context, r webhook.EnqueueRequest) (webhook.Enqueued, error) {
	p.at("Enqueue")
	return p.Store.Enqueue(ctx, r)
}

// What the caller of a management call plugged in may panic: the caller gets an
// error, and the log the stack.
func TestPanicsInManagementCallsAreErrors(t *testing.T) {
	t.Parallel()
	url := "https://other.example.com/"
	create := func(e *webhook.Engine, _ string) error {
		_, _, err := e.CreateEndpoint(context.Background(), webhook.EndpointParams{AccountID: "acme", URL: url, Events: []webhook.EventType{"*"}, CheckReachable: true})
		return err
	}
	update := func(e *webhook.Engine, id string) error {
		_, err := e.UpdateEndpoint(context.Background(), "acme", id, webhook.EndpointChange{URL: &url, CheckReachable: true})
		return err
	}
	rotate := func(e *webhook.Engine, id string) error {
		_, err := e.RotateSecret(context.Background(), "acme", id, webhook.RotateParams{})
		return err
	}
	stop := func(e *webhook.Engine, _ string) error {
		require.NoError(t, e.Start(context.Background()))
		return e.Stop(context.Background())
	}
	for _, c := range []struct {
		name, in, what string
		call           func(*webhook.Engine, string) error
	}{
		{"create", "CheckURL", "Transport", create},
		{"create", "CheckReachable", "Transport", create},
		{"create", "Sign", "Signer", create},
		{"update", "CheckURL", "Transport", update},
		{"update", "CheckReachable", "Transport", update},
		{"rotate", "Sign", "Signer", rotate},
		{"stop", "CloseIdleConnections", "Transport", stop},
	} {
		t.Run(c.name+" "+c.in, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			p := &panicking{Store: memstore.New()}
			e, err := webhook.New(webhook.Config{Store: p, Transport: p, Signer: p, Logger: slog.New(slog.NewJSONHandler(&log, nil))})
			require.NoError(t, err)
			ep, _, err := e.CreateEndpoint(t.Context(), webhook.EndpointParams{AccountID: "acme", URL: hookURL, Events: []webhook.EventType{"*"}})
			require.NoError(t, err)
			p.in = c.in
			err = c.call(e, ep.ID)
			require.EqualError(t, err, "webhook: the "+c.what+" panicked, the log says more")
			logged(t, &log)

			p.in = ""
			all, err := e.ListEndpoints(t.Context(), "acme", webhook.EndpointQuery{})
			require.NoError(t, err)
			require.Len(t, all.Items, 1, "nothing is stored")
			assert.Equal(t, ep, all.Items[0], "nothing is changed")
		})
	}
}

// logged checks that the log has the panic with the place where it happened.
func logged(t *testing.T, log *bytes.Buffer) {
	t.Helper()
	var line struct{ Panic, Stack string }
	require.NoError(t, json.Unmarshal(log.Bytes(), &line))
	assert.Equal(t, panicText, line.Panic)
	assert.Contains(t, line.Stack, "panicking).at")
}

func TestAPanicOfAStoreInNewIsAnError(t *testing.T) {
	t.Parallel()
	_, err := webhook.New(webhook.Config{Store: &panicking{in: "ConcurrencyHint"}, Logger: quiet})
	require.ErrorContains(t, err, "the Store panicked")
}

func TestAPanicInTheCallersTransactionIsAnError(t *testing.T) {
	t.Parallel()
	r := newRig(t, status(200))
	err := r.EmitTx(t.Context(), &panicking{in: "Enqueue"}, event(t))
	require.ErrorIs(t, err, webhook.ErrStore)
	require.ErrorContains(t, err, panicText)
	require.ErrorContains(t, err, "panicking).at", "the stack")

	var none *panicking // a typed nil
	require.ErrorIs(t, r.EmitTx(t.Context(), none, event(t)), webhook.ErrStore)
}

// A test event's outcome is a result, not an error: a panic shows there as a
// fault of the sender, in fixed words.
func TestAPanicDuringATestEventIsAResultOfOurOwnFault(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"Send", "Sign"} {
		p := &panicking{Store: memstore.New()}
		e, err := webhook.New(webhook.Config{Store: p, Transport: p, Signer: p, Logger: quiet})
		require.NoError(t, err)
		ep, _, err := e.CreateEndpoint(t.Context(), webhook.EndpointParams{AccountID: "acme", URL: hookURL, Events: []webhook.EventType{"*"}})
		require.NoError(t, err)
		p.in = in
		res, err := e.SendTest(t.Context(), "acme", ep.ID, webhook.EventCallCompleted)
		require.NoError(t, err)
		assert.False(t, res.Delivered)
		assert.Equal(t, webhook.FailureInternal, res.Failure)
		assert.True(t, res.Failure.SenderFault())
		assert.False(t, strings.Contains(res.Detail, "10.1.2.3"), "fixed words")
	}
}
