package webhook_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// The key, message and signature that the Standard Webhooks libraries test with.
func TestStandardSignerMakesThePublishedSignature(t *testing.T) {
	t.Parallel()
	secret, err := webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	require.NoError(t, err)
	h := http.Header{"Webhook-Id": {"old"}, "Content-Type": {"application/json"}}
	require.NoError(t, webhook.StandardSigner().Sign(h, webhook.Message{
		ID:        "msg_p5jXN8AQM9LWM0D4loKWxJek",
		Timestamp: time.Unix(1614265330, 0),
		Body:      []byte(`{"test": 2432232314}`),
	}, secret))
	assert.Equal(t, http.Header{
		"Content-Type":      {"application/json"},
		"Webhook-Id":        {"msg_p5jXN8AQM9LWM0D4loKWxJek"},
		"Webhook-Timestamp": {"1614265330"},
		"Webhook-Signature": {"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
	}, h)
}

func TestSignPutsTheNewestSecretFirst(t *testing.T) {
	t.Parallel()
	key, shared := webhook.NewSigningKey(), mustSecret(t, exampleSecret)
	both := signedAt(t, noon, exampleBody, key, shared).header.Get("Webhook-Signature")
	assert.Equal(t, signedAt(t, noon, exampleBody, key).header.Get("Webhook-Signature")+" "+
		signedAt(t, noon, exampleBody, shared).header.Get("Webhook-Signature"), both)
	assert.Regexp(t, `^v1a,[A-Za-z0-9+/]{86}== v1,[A-Za-z0-9+/]{43}=$`, both)
}

func TestSignRefusesWhatItCannotSign(t *testing.T) {
	t.Parallel()
	good := mustSecret(t, exampleSecret)
	m := webhook.Message{ID: "evt_1", Timestamp: noon, Body: []byte("{}")}
	signer := webhook.StandardSigner()
	h := http.Header{}
	require.ErrorIs(t, signer.Sign(h, m, good, webhook.NewSigningKey().Public()), webhook.ErrInvalidArgument, "a public key")
	require.ErrorIs(t, signer.Sign(nil, m, good), webhook.ErrInvalidArgument, "no header to sign into")
	assert.Empty(t, h)
}

// The values share one array: none may grow into its neighbour.
func TestSignedHeadersCanBeAppendedTo(t *testing.T) {
	t.Parallel()
	r := signedAt(t, noon, exampleBody, mustSecret(t, exampleSecret))
	want := r.header.Clone()
	for k := range r.header {
		r.header.Add(k, "more")
	}
	for k := range want {
		assert.Equal(t, append(want[k], "more"), r.header[k])
	}
}
