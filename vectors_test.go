package webhook_test

import (
	"encoding/json"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// vector is a case of testdata/vectors/signatures.json; its README explains it.
type vector struct {
	Name       string            `json:"name"`
	Scheme     string            `json:"scheme"`
	Signs      []string          `json:"signs"`
	Verifies   []string          `json:"verifies"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body"`
	BodyBase64 []byte            `json:"body_base64"`
	Result     string            `json:"result"`
}

var vectorResults = map[string]error{
	"ok": nil, "signature": webhook.ErrSignature, "missing": webhook.ErrMissingHeader, "malformed": webhook.ErrInvalidHeader,
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors/signatures.json")
	require.NoError(t, err)
	var v []vector
	require.NoError(t, json.Unmarshal(b, &v))
	require.NotEmpty(t, v)
	return v
}

func (v vector) body() []byte {
	if v.BodyBase64 != nil {
		return v.BodyBase64
	}
	return []byte(v.Body)
}

func (v vector) header() http.Header {
	h := http.Header{}
	for k, value := range v.Headers {
		h.Set(k, value)
	}
	return h
}

func (v vector) scheme(t testing.TB) webhook.Scheme {
	if v.Scheme == "timestamped" {
		return timestamped(t, "x-signature")
	}
	return webhook.StandardSigner()
}

func mustSecrets(t testing.TB, texts []string) []webhook.Secret {
	var secrets []webhook.Secret
	for _, text := range texts {
		secrets = append(secrets, mustSecret(t, text))
	}
	return secrets
}

func TestVectors(t *testing.T) {
	t.Parallel()
	at := time.Unix(1705314600, 0)
	for _, vec := range readVectors(t) {
		t.Run(vec.Scheme+"/"+vec.Name, func(t *testing.T) {
			t.Parallel()
			want, known := vectorResults[vec.Result]
			require.True(t, known, vec.Result)
			v := newVerifier(t, webhook.VerifierConfig{
				Secrets: mustSecrets(t, vec.Verifies), Scheme: vec.scheme(t), Clock: func() time.Time { return at },
			})
			require.ErrorIs(t, v.Verify(vec.body(), vec.header()), want)
			if vec.Signs == nil {
				return
			}
			h := http.Header{}
			m := webhook.Message{ID: vec.Headers["webhook-id"], Timestamp: at, Body: vec.body()}
			require.NoError(t, vec.scheme(t).Sign(h, m, mustSecrets(t, vec.Signs)...))
			assert.Equal(t, vec.header(), h)
		})
	}
}
