package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// The longest id with the longest timestamp must have room, and what is a byte
// longer must not find any.
func TestTheLongestIDAndTimestamp(t *testing.T) { // H20
	t.Parallel()
	const longest = "999999999999"
	v := newVerifier(t, webhook.VerifierConfig{Secrets: list(mustSecret(t, exampleSecret)), Tolerance: -1})
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(exampleSecret, "whsec_"))
	require.NoError(t, err)
	for _, c := range []struct {
		id        int
		timestamp string
		want      error
	}{
		{256, longest, nil},
		{255, longest, nil},
		{256, "0", nil},
		{257, longest, webhook.ErrInvalidHeader},
		{256, longest + "9", webhook.ErrInvalidHeader},
	} {
		id := strings.Repeat("a", c.id)
		m := hmac.New(sha256.New, key)
		m.Write([]byte(id + "." + c.timestamp + "." + exampleBody))
		h := http.Header{
			"Webhook-Id": {id}, "Webhook-Timestamp": {c.timestamp},
			"Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))},
		}
		assert.Equal(t, c.want, v.Verify([]byte(exampleBody), h), "%d %s", c.id, c.timestamp)
	}
}

func TestAHeaderExactlyAsLongAsItMayBe(t *testing.T) { // H6
	t.Parallel()
	secret := mustSecret(t, exampleSecret)
	for header, v := range map[string]*webhook.Verifier{
		"Webhook-Signature": noonVerifier(t, secret),
		"X-Signature":       newVerifier(t, webhook.VerifierConfig{Secrets: list(secret), Scheme: timestamped(t, "X-Signature"), Clock: atNoon}),
	} {
		var signer webhook.Signer = webhook.StandardSigner()
		if header == "X-Signature" {
			signer = timestamped(t, header)
		}
		r := signedWith(t, signer, noon, exampleBody, secret)
		value := r.header.Get(header)
		r.header[header] = []string{value + strings.Repeat(" ", 4<<10-len(value))}
		require.NoError(t, v.Verify(r.body, r.header), header)
		r.header[header][0] += " "
		require.ErrorIs(t, v.Verify(r.body, r.header), webhook.ErrSignature, header)
	}
}
