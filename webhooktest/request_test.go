package webhooktest_test

import (
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
	"github.com/ringyo-ai/webhook/webhooktest"
)

func verifier(t *testing.T, cfg webhook.VerifierConfig) *webhook.Verifier {
	t.Helper()
	v, err := webhook.NewVerifier(cfg)
	require.NoError(t, err)
	return v
}

func TestABadURLOfARequestEndsTheTest(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"https://exa mple.com/", "/webhooks", "https://example.com/%zz"} {
		assert.NotEmpty(t, fatally(t, func() {
			webhooktest.NewRequestWith(&failingTest{TB: t}, webhooktest.RequestConfig{
				URL: bad, Secret: webhook.NewSecret(), Event: webhooktest.Sample(t, "", webhook.EventCreditsLow),
			})
		}), bad)
	}
}

func TestARequestOfEachTypeVerifies(t *testing.T) {
	t.Parallel()
	secret := webhook.NewSecret()
	v := verifier(t, webhook.VerifierConfig{Secrets: []webhook.Secret{secret}})
	for _, typ := range append(webhook.EventTypes(), "call.recording.ready") {
		e := webhooktest.Sample(t, "acc_1", typ)
		e.EndpointID = "wh_1"
		req := webhooktest.NewRequest(t, secret, e)
		assert.Equal(t, "POST", req.Method)
		assert.Equal(t, "application/json", req.Header.Get("Content-Type"))
		assert.Equal(t, e.ID, req.Header.Get("webhook-id"))

		got, err := v.VerifyRequest(req)
		require.NoError(t, err, typ)
		assert.Equal(t, e.ID, got.ID)
		assert.Equal(t, typ, got.Type)
		assert.Equal(t, "wh_1", got.EndpointID)
		assert.Equal(t, e.Timestamp, got.Timestamp)
		assert.IsType(t, e.Data, got.Data)
		assert.False(t, got.Test)
	}
}

func TestARequestOfAnotherSecretDoesNotVerify(t *testing.T) {
	t.Parallel()
	v := verifier(t, webhook.VerifierConfig{Secrets: []webhook.Secret{webhook.NewSecret()}})
	req := webhooktest.NewRequest(t, webhook.NewSecret(), webhooktest.Sample(t, "", webhook.EventCreditsLow))
	_, err := v.VerifyRequest(req)
	assert.ErrorIs(t, err, webhook.ErrSignature)
}

func TestARequestIsSignedAtTheTimeGiven(t *testing.T) {
	t.Parallel()
	clock := webhooktest.NewClock()
	secret := webhook.NewSecret()
	v := verifier(t, webhook.VerifierConfig{Secrets: []webhook.Secret{secret}, Clock: clock.Now})
	request := func() error {
		_, err := v.VerifyRequest(webhooktest.NewRequestWith(t, webhooktest.RequestConfig{
			Secret: secret,
			Event:  webhooktest.Sample(t, "", webhook.EventCreditsLow),
			Time:   webhooktest.NewClock().Now(),
		}))
		return err
	}
	require.NoError(t, request())
	clock.Advance(6 * time.Minute)
	require.ErrorIs(t, request(), webhook.ErrTooOld)
	clock.Advance(-12 * time.Minute)
	require.ErrorIs(t, request(), webhook.ErrTooNew)
}

func TestATestEventMakesATestRequest(t *testing.T) {
	t.Parallel()
	signer, err := webhook.TimestampedSigner("X-Ringyo-Signature")
	require.NoError(t, err)
	for _, scheme := range []webhook.Signer{nil, signer} {
		secret := webhook.NewSecret()
		e := webhooktest.Sample(t, "", webhook.EventCreditsLow)
		e.Test = true
		req := webhooktest.NewRequestWith(t, webhooktest.RequestConfig{Secret: secret, Event: e, Signer: scheme})
		assert.Equal(t, "1", req.Header.Get("webhook-test"))
		req.Header.Del("webhook-test") // as a gateway does that lets known headers through alone
		cfg := webhook.VerifierConfig{Secrets: []webhook.Secret{secret}}
		if scheme != nil {
			cfg.Scheme = signer
		}
		got, err := verifier(t, cfg).VerifyRequest(req)
		require.NoError(t, err)
		assert.True(t, got.Test)
		assert.Equal(t, e.ID, got.ID)
		assert.Equal(t, e.Data, got.Data)
	}
}

func TestTheURLOfARequestIsKeptByteForByte(t *testing.T) {
	t.Parallel()
	req := webhooktest.NewRequestWith(t, webhooktest.RequestConfig{
		Secret: webhook.NewSecret(), Event: webhooktest.Sample(t, "", webhook.EventCreditsLow),
		URL: "https://example.com/acme%2Fvoice/{env}?a=b c",
	})
	assert.Equal(t, "/acme%2Fvoice/%7Benv%7D?a=b%20c", req.URL.RequestURI())
}

func TestATestRequestIsByteForByteWhatSendTestSends(t *testing.T) {
	t.Parallel()
	clock := webhooktest.NewClock()
	secret := webhook.NewSecret()
	srv := webhooktest.NewServer(t, webhooktest.ServerConfig{Secrets: []webhook.Secret{secret}, Clock: clock.Now})
	engine, err := webhook.New(webhook.Config{
		Store: memstore.NewWith(memstore.Options{Clock: clock.Now}), Transport: srv.Transport(), Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	_, _, err = engine.CreateEndpoint(t.Context(), webhook.EndpointParams{
		ID: "wh_1", AccountID: "acc_1", URL: srv.URL, Events: []webhook.EventType{"*"}, Secret: secret,
	})
	require.NoError(t, err)
	_, err = engine.SendTest(t.Context(), "acc_1", "wh_1", webhook.EventCallCompleted)
	require.NoError(t, err)
	got := srv.Received()
	require.Len(t, got, 1)
	require.NoError(t, got[0].Err)
	require.True(t, got[0].Event.Test)

	e := got[0].Event
	e.AccountID = "acc_1"
	built := webhooktest.NewRequestWith(t, webhooktest.RequestConfig{Secret: secret, Event: e, Time: clock.Now()})
	body, err := io.ReadAll(built.Body)
	require.NoError(t, err)
	assert.Equal(t, string(got[0].Body), string(body))
	for _, name := range []string{"Content-Type", "User-Agent", "Webhook-Id", "Webhook-Test"} {
		assert.Equal(t, got[0].Header.Values(name), built.Header.Values(name), name)
	}
}

func TestARequestUsesTheSignerGiven(t *testing.T) {
	t.Parallel()
	signer, err := webhook.TimestampedSigner("X-Ringyo-Signature")
	require.NoError(t, err)
	secret := webhook.NewSecret()
	req := webhooktest.NewRequestWith(t, webhooktest.RequestConfig{
		Secret: secret, Event: webhooktest.Sample(t, "", webhook.EventCreditsLow),
		Signer: signer, URL: "http://127.0.0.1:8080/hook",
	})
	assert.Equal(t, "/hook", req.URL.Path)
	assert.Regexp(t, `^t=\d+,v1=[0-9a-f]{64}$`, req.Header.Get("X-Ringyo-Signature"))
	_, err = verifier(t, webhook.VerifierConfig{Secrets: []webhook.Secret{secret}, Scheme: signer}).VerifyRequest(req)
	require.NoError(t, err)
}

func TestAPublicKeyVerifiesARequest(t *testing.T) {
	t.Parallel()
	key := webhook.NewSigningKey()
	req := webhooktest.NewRequest(t, key, webhooktest.Sample(t, "", webhook.EventCreditsLow))
	_, err := verifier(t, webhook.VerifierConfig{Secrets: []webhook.Secret{key.Public()}}).VerifyRequest(req)
	require.NoError(t, err)
}

// The builder must not drift from what is really sent.
func TestARequestIsByteForByteWhatAnEngineSends(t *testing.T) {
	t.Parallel()
	clock := webhooktest.NewClock()
	secret := webhook.NewSecret()
	srv := webhooktest.NewServer(t, webhooktest.ServerConfig{Secrets: []webhook.Secret{secret}, Clock: clock.Now})
	engine, err := webhook.New(webhook.Config{
		Store: memstore.NewWith(memstore.Options{Clock: clock.Now}), Transport: srv.Transport(),
	})
	require.NoError(t, err)
	_, _, err = engine.CreateEndpoint(t.Context(), webhook.EndpointParams{
		ID: "wh_1", AccountID: "acc_1", URL: srv.URL, Events: []webhook.EventType{"*"}, Secret: secret,
	})
	require.NoError(t, err)
	e := webhooktest.Sample(t, "acc_1", webhook.EventCallCompleted)
	require.NoError(t, engine.Emit(t.Context(), e))
	n, err := engine.DeliverDue(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	got := srv.Received()
	require.Len(t, got, 1)
	require.NoError(t, got[0].Err)

	e.EndpointID = "wh_1"
	built := webhooktest.NewRequestWith(t, webhooktest.RequestConfig{Secret: secret, Event: e, Time: clock.Now()})
	body, err := io.ReadAll(built.Body)
	require.NoError(t, err)
	assert.Equal(t, string(got[0].Body), string(body))
	for _, name := range []string{"Content-Type", "User-Agent", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		assert.Equal(t, got[0].Header.Values(name), built.Header.Values(name), name)
	}
}

func TestAMistakeInARequestEndsTheTest(t *testing.T) {
	t.Parallel()
	e := webhooktest.Sample(t, "", webhook.EventCreditsLow)
	public := webhook.NewSigningKey().Public()
	for want, f := range map[string]func(testing.TB){
		"no usable secret":         func(t testing.TB) { webhooktest.NewRequest(t, webhook.Secret{}, e) },
		"ublic":                    func(t testing.TB) { webhooktest.NewRequest(t, public, e) },
		"events[0].id is required": func(t testing.TB) { webhooktest.NewRequest(t, webhook.NewSecret(), webhook.Event{}) },
		"type must be 1 to 128":    func(t testing.TB) { webhooktest.Sample(t, "", "no such type") },
	} {
		assert.Contains(t, fatally(t, func() { f(&failingTest{}) }), want)
	}
}
