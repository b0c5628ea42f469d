package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

func timestamped(t testing.TB, header string) webhook.Scheme {
	t.Helper()
	s, err := webhook.TimestampedSigner(header)
	require.NoError(t, err)
	return s
}

// handMade is the header as a receiver without this library computes it.
func handMade(secret, timestamp, body string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(timestamp + "." + body))
	return "t=" + timestamp + ",v1=" + hex.EncodeToString(m.Sum(nil))
}

func TestTimestampedSignerSignsWithTheTextOfTheSecret(t *testing.T) {
	t.Parallel()
	long := "whsec_" + b64(64) // longer than a block of SHA-256
	for _, text := range []string{exampleSecret, exampleSecret2, long} {
		r := signedWith(t, timestamped(t, "x-ringyo-signature"), noon, exampleBody, mustSecret(t, text))
		assert.Equal(t, http.Header{"X-Ringyo-Signature": {handMade(text, "1780315200", exampleBody)}}, r.header)
	}
}

func TestTimestampedSchemeVerifiesThroughTheSameVerifier(t *testing.T) {
	t.Parallel()
	scheme := timestamped(t, "X-Signature")
	older, newer := mustSecret(t, exampleSecret), webhook.NewSecret()
	for name, tc := range map[string]struct {
		signed, known []webhook.Secret
		age           time.Duration
		want          error
	}{
		"valid":                   {list(newer), list(newer), 0, nil},
		"both, old alone":         {list(newer, older), list(older), 0, nil},
		"both, new alone":         {list(newer, older), list(newer), 0, nil},
		"old, both":               {list(older), list(newer, older), 0, nil},
		"another secret":          {list(older), list(newer), 0, webhook.ErrSignature},
		"just inside":             {list(newer), list(newer), 5 * time.Minute, nil},
		"H9 too old":              {list(newer), list(newer), 5*time.Minute + time.Second, webhook.ErrTooOld},
		"H9 too new":              {list(newer), list(newer), -5*time.Minute - time.Second, webhook.ErrTooNew},
		"H10 too old and unknown": {list(older), list(newer), time.Hour, webhook.ErrSignature},
	} {
		v := newVerifier(t, webhook.VerifierConfig{Secrets: tc.known, Scheme: scheme, Clock: func() time.Time { return noon.Add(tc.age) }})
		r := signedWith(t, scheme, noon, exampleBody, tc.signed...)
		require.ErrorIs(t, v.Verify(r.body, r.header), tc.want, name)
		body := []byte(strings.Replace(exampleBody, "evt_1", "evt_2", 1))
		require.ErrorIs(t, v.Verify(body, r.header), webhook.ErrSignature, name)
	}
}

func TestTimestampedHeaderForms(t *testing.T) {
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	v := newVerifier(t, webhook.VerifierConfig{Secrets: list(s), Scheme: timestamped(t, "X-Signature"), Clock: atNoon})
	good := signedWith(t, timestamped(t, "X-Signature"), noon, exampleBody, s).header.Get("X-Signature")
	ts, sig, _ := strings.Cut(good, ",")
	bad := "v1=" + strings.Repeat("0", 64)
	for value, want := range map[string]error{
		good:                                   nil,
		sig + "," + ts:                         nil,
		ts + ", " + sig:                        nil,
		ts + "," + bad + "," + sig + "," + bad: nil,
		ts + ",v0=abc,v2=def,x," + sig:         nil,
		"," + good + ",":                       nil,
		ts + ",v0=" + strings.Repeat("0", 51) + "," + sig:  nil, // with ts as long as a signature
		ts + strings.Repeat(","+bad, 31) + "," + sig:       nil,
		ts + strings.Repeat(","+bad, 32) + "," + sig:       webhook.ErrSignature, // H6
		ts + "," + strings.Repeat(bad+",", 10_000) + sig:   webhook.ErrSignature, // H6
		strings.Repeat(",", 1<<20) + good:                  webhook.ErrSignature, // H6
		ts:                                                 webhook.ErrSignature,
		ts + "," + bad:                                     webhook.ErrSignature,
		ts + "," + sig[:len(sig)-1]:                        webhook.ErrSignature, // H3
		ts + "," + sig + "0":                               webhook.ErrSignature, // H3
		ts + "," + "v1=" + strings.ToUpper(sig[3:]):        webhook.ErrSignature, // one text for a signature
		ts + ",V1=" + sig[3:]:                              webhook.ErrSignature, // H4
		ts + ",v1=" + strings.Repeat("é", 32):              webhook.ErrSignature,
		sig:                                                webhook.ErrInvalidHeader,
		ts + "," + good:                                    webhook.ErrInvalidHeader, // two timestamps
		"t=," + sig:                                        webhook.ErrInvalidHeader,
		"t=0" + ts[2:] + "," + sig:                         webhook.ErrInvalidHeader,
		"t=+" + ts[2:] + "," + sig:                         webhook.ErrInvalidHeader,
		"t=" + strings.Repeat("9", 13) + "," + sig:         webhook.ErrInvalidHeader,
		"T=" + ts[2:] + "," + sig:                          webhook.ErrInvalidHeader,
		"v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,": webhook.ErrInvalidHeader,
		"": webhook.ErrMissingHeader,
	} {
		h := http.Header{"X-Signature": {value}}
		require.ErrorIs(t, v.Verify([]byte(exampleBody), h), want, "%.200q", value)
	}
	require.ErrorIs(t, v.Verify([]byte(exampleBody), http.Header{"X-Signature": {good, good}}), webhook.ErrMissingHeader)
	require.ErrorIs(t, v.Verify([]byte(exampleBody), http.Header{}), webhook.ErrMissingHeader)
}

func TestTimestampedSchemeTakesSharedSecretsOnly(t *testing.T) {
	t.Parallel()
	scheme := timestamped(t, "X-Signature")
	m := webhook.Message{Timestamp: noon, Body: []byte("{}")}
	key := webhook.NewSigningKey()
	for _, s := range list(key, key.Public()) { // a public key as HMAC key could be forged with
		h := http.Header{}
		require.ErrorIs(t, scheme.Sign(h, m, s), webhook.ErrInvalidArgument)
		assert.Empty(t, h)
		_, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: list(s), Scheme: scheme})
		require.ErrorIs(t, err, webhook.ErrInvalidArgument)
	}
	require.ErrorIs(t, scheme.Sign(http.Header{}, m), webhook.ErrNoSecret)
	require.ErrorIs(t, scheme.Sign(http.Header{}, m, webhook.Secret{}), webhook.ErrNoSecret)
}

func TestTimestampedSignerRefusesHeadersOfOtherUse(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "a b", "a\r\nb", "é", "a:", "Host", "content-type", "Content-Length", "User-Agent"} {
		_, err := webhook.TimestampedSigner(name)
		assert.ErrorIs(t, err, webhook.ErrInvalidArgument, "%q", name)
	}
}
