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

func TestAppendingASignatureAllocatesNothing(t *testing.T) {
	s := webhook.NewSecret()
	m := webhook.Message{ID: "evt_1", Timestamp: time.Now(), Body: make([]byte, 1<<10)}
	buf := make([]byte, 0, 128)
	assert.Zero(t, testing.AllocsPerRun(100, func() { buf = webhook.AppendSignature(buf[:0], m, s) }))
	assert.Zero(t, testing.AllocsPerRun(100, func() { buf = webhook.AppendTimestamped(buf[:0], m, s) }))
}

func TestEnvelopeAllocatesNothingIntoABufferOfItsSize(t *testing.T) {
	data, ts := make([]byte, 1<<10), time.Now()
	buf := make([]byte, 0, webhook.EnvelopeOverhead+len("evt_1call.completedwh_1")+len(data))
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		buf = webhook.AppendEnvelope(buf[:0], "evt_1", webhook.EventCallCompleted, ts, "wh_1", data)
	}))
}
