package interop_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	stripe "github.com/stripe/stripe-go/v82/webhook"

	"github.com/ringyo-ai/webhook"
)

// bodies are what could trip an implementation that parses or re-encodes.
var bodies = map[string]string{
	"an event":     `{"id":"evt_1","event":"call.completed","timestamp":"2024-01-15T10:30:00Z","webhook_id":"wh_1","data":{"n":1}}`,
	"empty object": `{}`,
	"not ASCII":    "{\"a\":\"é\u2028😀 <&>\"}\n",
	"dots":         "1.2.3",
	"large":        `{"a":"` + strings.Repeat("x", 100_000) + `"}`,
}

func secrets(t *testing.T) []webhook.Secret {
	t.Helper()
	shortest, err := webhook.RawSecret([]byte(strings.Repeat("k", 24)))
	require.NoError(t, err)
	longest, err := webhook.RawSecret([]byte(strings.Repeat("k", 64)))
	require.NoError(t, err)
	return []webhook.Secret{webhook.NewSecret(), shortest, longest}
}

// H28: the reference library for Go, both ways.
func TestStandardWebhooksForGo(t *testing.T) { // H28
	t.Parallel()
	for _, s := range secrets(t) {
		theirs, err := standardwebhooks.NewWebhook(s.Reveal())
		require.NoError(t, err)
		for name, body := range bodies {
			m := webhook.Message{ID: "evt_0190a5f2c7d47c0e8f6b1c2d3e4f5a6b", Timestamp: time.Now(), Body: []byte(body)}
			h := http.Header{}
			require.NoError(t, webhook.StandardSigner().Sign(h, m, webhook.NewSigningKey(), webhook.NewSecret(), s))
			require.NoError(t, theirs.Verify(m.Body, h), name)
			require.Error(t, theirs.Verify(append(m.Body, ' '), h), name)

			signature, err := theirs.Sign(m.ID, m.Timestamp, m.Body)
			require.NoError(t, err)
			h.Set(standardwebhooks.HeaderWebhookSignature, signature)
			require.NoError(t, webhook.Verify(m.Body, h, s), name)
			require.ErrorIs(t, webhook.Verify(m.Body, h, webhook.NewSecret()), webhook.ErrSignature, name)
		}
	}
}

// H28: stripe-go for the scheme of one header, both ways.
func TestStripeForGo(t *testing.T) { // H28
	t.Parallel()
	scheme, err := webhook.TimestampedSigner("Stripe-Signature")
	require.NoError(t, err)
	for _, s := range secrets(t) {
		v, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{s}, Scheme: scheme})
		require.NoError(t, err)
		for name, body := range bodies {
			m := webhook.Message{Timestamp: time.Now(), Body: []byte(body)}
			h := http.Header{}
			require.NoError(t, scheme.Sign(h, m, webhook.NewSecret(), s))
			require.NoError(t, stripe.ValidatePayload(m.Body, h.Get("Stripe-Signature"), s.Reveal()), name)
			require.Error(t, stripe.ValidatePayload(append(m.Body, ' '), h.Get("Stripe-Signature"), s.Reveal()), name)

			signed := stripe.GenerateTestSignedPayload(&stripe.UnsignedPayload{
				Payload: m.Body, Secret: s.Reveal(), Timestamp: m.Timestamp, Scheme: "v1",
			})
			h.Set("Stripe-Signature", signed.Header)
			require.NoError(t, v.Verify(m.Body, h), name)
			assert.ErrorIs(t, v.Verify(append(m.Body, ' '), h), webhook.ErrSignature, name)
		}
	}
}

// What the documentation says of public keys: the reference libraries take them for
// nothing they know.
func TestStandardWebhooksForGoRefusesPublicKeys(t *testing.T) {
	t.Parallel()
	_, err := standardwebhooks.NewWebhook(webhook.NewSigningKey().Public().Reveal())
	assert.Error(t, err)
}
