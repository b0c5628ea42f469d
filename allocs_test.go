//go:build !race

package webhook_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ringyo-ai/webhook"
)

// Not under the race detector, which makes sync.Pool forget, and not parallel,
// since allocations are counted for the whole process.

func TestVerifyAllocatesNothing(t *testing.T) {
	shared, key := mustSecret(t, exampleSecret), webhook.NewSigningKey()
	for name, tc := range map[string]struct {
		scheme          webhook.Scheme
		signs, verifies webhook.Secret
	}{
		"v1":          {webhook.StandardSigner(), shared, shared},
		"v1a":         {webhook.StandardSigner(), key, key.Public()},
		"timestamped": {timestamped(t, "X-Signature"), shared, shared},
	} {
		v := newVerifier(t, webhook.VerifierConfig{Secrets: list(tc.verifies), Scheme: tc.scheme})
		r := signedWith(t, tc.scheme, time.Now(), exampleBody, tc.signs)
		other := webhook.NewSecret()
		refused := newVerifier(t, webhook.VerifierConfig{Secrets: list(other), Scheme: tc.scheme})
		assert.Zero(t, testing.AllocsPerRun(100, func() { _ = v.Verify(r.body, r.header) }), name)
		assert.Zero(t, testing.AllocsPerRun(100, func() { _ = refused.Verify(r.body, r.header) }), name+", refused")
		if name != "timestamped" {
			assert.Zero(t, testing.AllocsPerRun(100, func() { _ = webhook.Verify(r.body, r.header, tc.verifies) }), name+", one shot")
		}
	}
}

func TestSignAllocatesTheHeaderStringsOnly(t *testing.T) {
	shared := mustSecret(t, exampleSecret)
	m := webhook.Message{ID: "evt_1", Timestamp: time.Now(), Body: []byte(exampleBody)}
	h := http.Header{}
	for _, scheme := range []webhook.Scheme{webhook.StandardSigner(), timestamped(t, "X-Signature")} {
		assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = scheme.Sign(h, m, shared) }), 3.0)
		assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = scheme.Sign(h, m, shared, shared) }), 3.0)
	}
}
