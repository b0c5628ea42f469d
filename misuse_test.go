package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
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

func TestTheLogKeeps4KiBOfAnyTransportsResponse(t *testing.T) {
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

func TestATransactionThatReturnsNothingHasStoredNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, status(200))
	require.ErrorIs(t, r.EmitTx(t.Context(), carelessTx{}, event(t)), webhook.ErrStore)
}

// begin marks a key of account "acme" that must be free.
func (r *rig) begin(key string) *webhook.Idempotency {
	r.t.Helper()
	mark, stored, err := r.BeginIdempotent(context.Background(), "acme", webhook.IdempotencyParams{Key: key, Fingerprint: "f"})
	require.NoError(r.t, err)
	require.Nil(r.t, stored)
	return mark
}

// repeated returns what is stored for a key, "" for a response of no bytes.
func (r *rig) repeated(key string) string {
	r.t.Helper()
	mark, stored, err := r.BeginIdempotent(context.Background(), "acme", webhook.IdempotencyParams{Key: key, Fingerprint: "f"})
	require.NoError(r.t, err)
	require.Nil(r.t, mark)
	require.NotNil(r.t, stored)
	return string(stored)
}

func shows(ep webhook.Endpoint, s webhook.Secret) string {
	return fmt.Sprintf("%+v", []any{ep, s.Reveal()})
}

func TestAResponseIsStoredWithTheChange(t *testing.T) {
	t.Parallel()
	r := newRig(t, status(200))
	ctx := context.Background()
	with := func(key string) *webhook.Idempotency {
		mark := r.begin(key)
		mark.Response = func(ep webhook.Endpoint, s webhook.Secret) ([]byte, error) { return []byte(shows(ep, s)), nil }
		return mark
	}
	ep, secret, err := r.CreateEndpoint(ctx, webhook.EndpointParams{AccountID: "acme", URL: hookURL, Events: []webhook.EventType{"*"}, Idempotency: with("create")})
	require.NoError(t, err)
	assert.Equal(t, shows(ep, secret), r.repeated("create"))

	text := "changed"
	ep, err = r.UpdateEndpoint(ctx, "acme", ep.ID, webhook.EndpointChange{Description: &text, Idempotency: with("update")})
	require.NoError(t, err)
	assert.Equal(t, shows(ep, webhook.Secret{}), r.repeated("update"), "no secret was made")

	rotated, err := r.RotateSecret(ctx, "acme", ep.ID, webhook.RotateParams{Idempotency: with("rotate")})
	require.NoError(t, err)
	require.Len(t, rotated.Endpoint.SecretHints, 2)
	assert.Equal(t, shows(rotated.Endpoint, rotated.Secret), r.repeated("rotate"))
	on := true
	ep, err = r.UpdateEndpoint(ctx, "acme", ep.ID, webhook.EndpointChange{Enabled: &on, Idempotency: with("enable")})
	require.NoError(t, err)
	assert.Equal(t, shows(ep, webhook.Secret{}), r.repeated("enable"), "there was nothing to change")

	mark := r.begin("other")
	require.NoError(t, errors.Join(r.FinishIdempotent(ctx, "acme", mark, nil), r.AbandonIdempotent(ctx, "acme", mark)))
	assert.Empty(t, r.repeated("other"), "what has a response is not abandoned")

	require.NoError(t, r.AbandonIdempotent(ctx, "acme", r.begin("abandoned")))
	r.begin("abandoned")
	for fingerprint, want := range map[string]error{"f": webhook.ErrIdempotencyRunning, "g": webhook.ErrIdempotencyReused} {
		_, _, err = r.BeginIdempotent(ctx, "acme", webhook.IdempotencyParams{Key: "abandoned", Fingerprint: fingerprint})
		require.ErrorIs(t, err, want)
		require.NotErrorIs(t, err, webhook.ErrStore)
		assert.Equal(t, "idempotency_conflict", err.(interface{ Code() string }).Code())
	}
	_, err = r.UpdateEndpoint(ctx, "acme", ep.ID, webhook.EndpointChange{Description: &text, Idempotency: &webhook.Idempotency{}})
	require.ErrorIs(t, err, webhook.ErrInvalidArgument, "a mark that nobody made")
}

func TestAResponseThatCannotBeMadeChangesNothing(t *testing.T) {
	t.Parallel()
	refused := errors.New("no response")
	for name, c := range map[string]struct {
		response func(webhook.Endpoint, webhook.Secret) ([]byte, error)
		says     string
	}{
		"it panics": {func(webhook.Endpoint, webhook.Secret) ([]byte, error) { panic(panicText) }, "webhook: the Idempotency.Response panicked, the log says more"},
		"it fails":  {func(webhook.Endpoint, webhook.Secret) ([]byte, error) { return nil, refused }, "no response"},
		"too long":  {func(webhook.Endpoint, webhook.Secret) ([]byte, error) { return make([]byte, 1<<20+1), nil }, "webhook: Response must have at most 1048576 bytes"},
		"none":      {nil, "webhook: Idempotency.Response is required"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, status(200))
			ep := r.endpoint(hookURL)
			mark, text := r.begin("k"), "changed"
			mark.Response = c.response
			_, _, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{AccountID: "acme", URL: hookURL, Events: []webhook.EventType{"*"}, Idempotency: mark})
			require.EqualError(t, err, c.says)
			_, err = r.UpdateEndpoint(t.Context(), "acme", ep.ID, webhook.EndpointChange{Description: &text, Idempotency: mark})
			require.EqualError(t, err, c.says)
			_, err = r.RotateSecret(t.Context(), "acme", ep.ID, webhook.RotateParams{Idempotency: mark})
			require.EqualError(t, err, c.says)
			all, err := r.ListEndpoints(t.Context(), "acme", webhook.EndpointQuery{})
			require.NoError(t, err)
			assert.Equal(t, []webhook.Endpoint{ep}, all.Items)
			require.NoError(t, r.AbandonIdempotent(t.Context(), "acme", mark))
			r.begin("k")
		})
	}
}

func TestBadIdempotencyIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, status(200))
	for name, p := range map[string]webhook.IdempotencyParams{
		"Key":         {Fingerprint: "f"},
		"Key ":        {Key: strings.Repeat("k", 256), Fingerprint: "f"},
		"Fingerprint": {Key: "k"},
		"Running":     {Key: "k", Fingerprint: "f", Running: -1},
		"Keep":        {Key: "k", Fingerprint: "f", Keep: time.Second},
	} {
		_, _, err := r.BeginIdempotent(t.Context(), "acme", p)
		var v *webhook.ValidationError
		require.ErrorAs(t, err, &v, name)
		assert.Equal(t, strings.TrimSpace(name), v.Fields[0].Field)
	}
	mark := r.begin("k")
	for bad, account := range map[*webhook.Idempotency]string{nil: "acme", {}: "acme", mark: "other"} {
		require.ErrorIs(t, r.FinishIdempotent(t.Context(), account, bad, nil), webhook.ErrInvalidArgument)
		require.ErrorIs(t, r.AbandonIdempotent(t.Context(), account, bad), webhook.ErrInvalidArgument)
	}
	require.ErrorIs(t, r.FinishIdempotent(t.Context(), "acme", mark, make([]byte, 1<<20+1)), webhook.ErrInvalidArgument)
	require.NoError(t, r.FinishIdempotent(t.Context(), "acme", mark, []byte("done")))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		assert.NotContains(t, fmt.Sprintf(verb, webhook.IdempotencyBegun{Response: []byte("done")}), "done")
	}
}
