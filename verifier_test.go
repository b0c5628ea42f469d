package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

const exampleBody = `{"id":"evt_1","event":"credits.low","timestamp":"2024-01-15T10:30:00Z","webhook_id":"wh_1","data":{}}`

// request is a signed request before it is sent.
type request struct {
	header http.Header
	body   []byte
}

// signedAt makes a request with the event id evt_1.
func signedAt(t testing.TB, at time.Time, body string, secrets ...webhook.Secret) request {
	t.Helper()
	return signedWith(t, webhook.StandardSigner(), at, body, secrets...)
}

func signedWith(t testing.TB, s webhook.Signer, at time.Time, body string, secrets ...webhook.Secret) request {
	t.Helper()
	r := request{http.Header{}, []byte(body)}
	require.NoError(t, s.Sign(r.header, webhook.Message{ID: "evt_1", Timestamp: at, Body: r.body}, secrets...))
	return r
}

// atNoon is the clock of the tests that do not use the real one.
var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

func newVerifier(t testing.TB, cfg webhook.VerifierConfig) *webhook.Verifier {
	t.Helper()
	v, err := webhook.NewVerifier(cfg)
	require.NoError(t, err)
	return v
}

// noonVerifier verifies with the default tolerance at noon.
func noonVerifier(t testing.TB, secrets ...webhook.Secret) *webhook.Verifier {
	t.Helper()
	return newVerifier(t, webhook.VerifierConfig{Secrets: secrets, Clock: atNoon})
}

func TestValidWithEveryKindOfSecret(t *testing.T) { // H1
	t.Parallel()
	shared, key := mustSecret(t, exampleSecret), webhook.NewSigningKey()
	for name, pair := range map[string][2]webhook.Secret{
		"v1":                       {shared, shared},
		"v1a with the public key":  {key, key.Public()},
		"v1a with the private key": {key, key},
	} {
		r := signedAt(t, time.Now(), exampleBody, pair[0])
		require.NoError(t, webhook.Verify(r.body, r.header, pair[1]), name)
		require.NoError(t, newVerifier(t, webhook.VerifierConfig{Secrets: pair[1:]}).Verify(r.body, r.header), name)
	}
}

func TestEmptyBodyThatIsSignedVerifies(t *testing.T) { // C2
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	r := signedAt(t, time.Now(), "", s)
	require.NoError(t, webhook.Verify(nil, r.header, s))
	require.NoError(t, webhook.Verify([]byte{}, r.header, s))
}

// Every single bit of everything that is signed counts. A flip that leaves the
// form of a header intact is a wrong signature; one that breaks the form of id
// or timestamp is told apart inside, and answered alike outside.
func TestOneBitFlipped(t *testing.T) { // H2
	t.Parallel()
	shared, key := mustSecret(t, exampleSecret), webhook.NewSigningKey()
	for name, pair := range map[string][2]webhook.Secret{"v1": {shared, shared}, "v1a": {key, key.Public()}} {
		v := noonVerifier(t, pair[1])
		good := signedAt(t, noon, exampleBody, pair[0])
		require.NoError(t, v.Verify(good.body, good.header))
		for i := range good.body {
			for bit := range 8 {
				body := []byte(exampleBody)
				body[i] ^= 1 << bit
				require.ErrorIs(t, v.Verify(body, good.header), webhook.ErrSignature, "%s body byte %d bit %d", name, i, bit)
			}
		}
		for _, h := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
			value := good.header.Get(h)
			for i := range value {
				for bit := range 8 {
					b := []byte(value)
					b[i] ^= 1 << bit
					header := good.header.Clone()
					header.Set(h, string(b))
					want := webhook.ErrSignature
					if h == "Webhook-Id" && (b[i] <= ' ' || b[i] > '~' || b[i] == '.') ||
						h == "Webhook-Timestamp" && (b[i] < '0' || b[i] > '9' || b[0] == '0') {
						want = webhook.ErrInvalidHeader
					}
					require.ErrorIs(t, v.Verify(good.body, header), want, "%s %s: %q", name, h, b)
				}
			}
		}
	}
}

func TestTruncatedAndExtendedSignatures(t *testing.T) { // H3
	t.Parallel()
	shared, key := mustSecret(t, exampleSecret), webhook.NewSigningKey()
	for _, s := range []webhook.Secret{shared, key} {
		v := noonVerifier(t, s)
		good := signedAt(t, noon, exampleBody, s)
		sig := good.header.Get("Webhook-Signature")
		for n := 1; n < len(sig); n++ {
			for _, part := range []string{sig[:n], sig[n:], sig[:n] + sig[n+1:], sig[:n] + "A" + sig[n:], sig[:n] + "=" + sig[n:]} {
				good.header.Set("Webhook-Signature", part)
				require.ErrorIs(t, v.Verify(good.body, good.header), webhook.ErrSignature, part)
			}
		}
		for _, tail := range []string{"A", "=", "AAAA", ",", ",v1", "\x00", "\n", ".", "é", sig} {
			good.header.Set("Webhook-Signature", sig+tail)
			require.ErrorIs(t, v.Verify(good.body, good.header), webhook.ErrSignature, tail)
		}
	}
}

// The last character of a base64 text has bits that are not used: a lenient
// decoder takes four (v1) or sixteen (v1a) texts for the same signature.
func TestSignaturesAreCanonicalBase64(t *testing.T) { // H3
	t.Parallel()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=. \n"
	shared, key := mustSecret(t, exampleSecret), webhook.NewSigningKey()
	for _, s := range []webhook.Secret{shared, key} {
		v := noonVerifier(t, s)
		good := signedAt(t, noon, exampleBody, s)
		sig := good.header.Get("Webhook-Signature")
		last := len(strings.TrimRight(sig, "=")) - 1
		accepted := 0
		for _, c := range alphabet {
			good.header.Set("Webhook-Signature", sig[:last]+string(c)+sig[last+1:])
			if v.Verify(good.body, good.header) == nil {
				accepted++
			}
		}
		assert.Equal(t, 1, accepted)
	}
}

func TestOtherVersionsAreSkipped(t *testing.T) { // H4
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	v := noonVerifier(t, s)
	good := signedAt(t, noon, exampleBody, s)
	sig := good.header.Get("Webhook-Signature")
	mac := strings.TrimPrefix(sig, "v1,")
	other := "v1a," + base64.StdEncoding.EncodeToString(make([]byte, 64))
	for _, header := range []string{
		"v2," + mac, "V1," + mac, "v1a," + mac, "v1 " + mac, "v1=" + mac, mac, "v1,," + mac, "v01," + mac,
		",v1," + mac, other, other + " v2," + mac, "v1", "v1,", "v1a,", ",", "v1, " + mac,
	} {
		good.header.Set("Webhook-Signature", header)
		require.ErrorIs(t, v.Verify(good.body, good.header), webhook.ErrSignature, header)
		for _, both := range []string{header + " " + sig, sig + " " + header} {
			good.header.Set("Webhook-Signature", both)
			require.NoError(t, v.Verify(good.body, good.header), both)
		}
	}
}

func TestValidSignatureIsFoundAnywhere(t *testing.T) { // H5
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	v := noonVerifier(t, s)
	good := signedAt(t, noon, exampleBody, s)
	sig := good.header.Get("Webhook-Signature")
	bad := "v1," + base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, header := range []string{
		strings.Repeat(bad+" ", 4) + sig,
		bad + "  " + sig, "  " + sig, sig + "  ", bad + "   " + sig + " " + bad,
		strings.Repeat(bad+" ", 31) + sig,
		sig + strings.Repeat(" "+bad, 80),
	} {
		good.header.Set("Webhook-Signature", header)
		require.NoError(t, v.Verify(good.body, good.header), "%q", header)
	}
}

func TestSignatureHeaderIsCapped(t *testing.T) { // H6
	t.Parallel()
	shared, key := mustSecret(t, exampleSecret), webhook.NewSigningKey()
	v := noonVerifier(t, shared, key.Public())
	good := signedAt(t, noon, exampleBody, shared)
	sig := good.header.Get("Webhook-Signature")
	publicSig := signedAt(t, noon, exampleBody, key).header.Get("Webhook-Signature")
	bad := "v1," + base64.StdEncoding.EncodeToString(make([]byte, 32))
	badPublic := "v1a," + base64.StdEncoding.EncodeToString(make([]byte, 64))
	for name, header := range map[string]string{
		"10,000 signatures":         strings.Repeat(bad+" ", 10_000) + sig,
		"10,000 before the good":    strings.Repeat(sig+" ", 10_000),
		"1 MiB of spaces":           strings.Repeat(" ", 1<<20) + sig,
		"1 MiB of commas":           strings.Repeat(",", 1<<20) + " " + sig,
		"1 MiB of one item":         sig + strings.Repeat("A", 1<<20),
		"the 33rd signature":        strings.Repeat(bad+" ", 32) + sig,
		"the 6th public signature":  strings.Repeat(badPublic+" ", 5) + publicSig,
		"one byte beyond the limit": strings.Repeat(" ", 4096-len(sig)+1) + sig,
	} {
		good.header.Set("Webhook-Signature", header)
		require.ErrorIs(t, v.Verify(good.body, good.header), webhook.ErrSignature, name)
	}
	for name, header := range map[string]string{
		"the 5th public signature": strings.Repeat(badPublic+" ", 4) + publicSig,
		"the limit":                strings.Repeat(" ", 4096-len(sig)) + sig,
	} {
		good.header.Set("Webhook-Signature", header)
		require.NoError(t, v.Verify(good.body, good.header), name)
	}
}

func TestHeaderNamesAreCanonical(t *testing.T) { // H7
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	v := noonVerifier(t, s)
	good := signedAt(t, noon, exampleBody, s)
	for _, format := range []func(string) string{strings.ToLower, strings.ToUpper, http.CanonicalHeaderKey} {
		h := http.Header{}
		for k := range good.header {
			h.Set(format(k), good.header.Get(k))
		}
		require.NoError(t, v.Verify(good.body, h))
	}
	svix := http.Header{}
	for k := range good.header {
		svix.Set(strings.Replace(k, "Webhook", "Svix", 1), good.header.Get(k))
	}
	assert.ErrorIs(t, v.Verify(good.body, svix), webhook.ErrMissingHeader)
}

func TestEachHeaderExactlyOnce(t *testing.T) { // H8
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	v := noonVerifier(t, s)
	good := signedAt(t, noon, exampleBody, s)
	for k := range good.header {
		for name, values := range map[string][]string{
			"missing": nil, "no value": {}, "empty": {""}, "twice": {good.header.Get(k), good.header.Get(k)}, "empty and good": {"", good.header.Get(k)},
		} {
			h := good.header.Clone()
			h[k] = values
			require.ErrorIs(t, v.Verify(good.body, h), webhook.ErrMissingHeader, "%s %s", k, name)
			require.ErrorIs(t, webhook.Verify(good.body, h, s), webhook.ErrMissingHeader, "%s %s", k, name)
		}
	}
	assert.ErrorIs(t, v.Verify(good.body, nil), webhook.ErrMissingHeader)
}

func TestMalformedIDsAndTimestamps(t *testing.T) {
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	v := noonVerifier(t, s)
	good := signedAt(t, noon, exampleBody, s)
	ts := good.header.Get("Webhook-Timestamp")
	for k, values := range map[string][]string{
		"Webhook-Timestamp": {
			" " + ts, ts + " ", "+" + ts, "-" + ts, "0" + ts, ts + ".0", ts + "a", "0x1", "1e9", "NaN", "１", "x",
			strings.Repeat("9", 13), strings.Repeat("9", 400), "9223372036854775808", "00", ts + "\x00", noon.Format(time.RFC3339),
		},
		"Webhook-Id": { // H20
			"a.1", ".", "evt_1.", ".evt_1", "a b", "a\r\nX: y", "a\n", "a\x00", "é", "\x7f", "\t", " evt_1",
			strings.Repeat("a", 257), strings.Repeat("a", 1<<10),
		},
	} {
		for _, value := range values {
			h := good.header.Clone()
			h.Set(k, value)
			require.ErrorIs(t, v.Verify(good.body, h), webhook.ErrInvalidHeader, "%s %q", k, value)
		}
	}
}

// Another sender's ids may have bytes that this one's have not: all of visible
// ASCII but the dot.
func TestIDsOfOthers(t *testing.T) {
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(exampleSecret, "whsec_"))
	require.NoError(t, err)
	for _, id := range []string{"!~", strings.Repeat("~", 256)} {
		ts := strconv.FormatInt(noon.Unix(), 10)
		mac := hmac.New(sha256.New, key)
		_, _ = mac.Write([]byte(id + "." + ts + ".body"))
		h := http.Header{
			"Webhook-Id": {id}, "Webhook-Timestamp": {ts},
			"Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))},
		}
		assert.NoError(t, noonVerifier(t, s).Verify([]byte("body"), h), id)
	}
}

// A signed text is id "." timestamp "." body. What has one reading as a request
// must not have another one with the same signature.
func TestSignedTextHasOneReading(t *testing.T) { // H20
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	v := newVerifier(t, webhook.VerifierConfig{Secrets: []webhook.Secret{s}, Tolerance: -1})
	r := request{http.Header{}, []byte("2.body")}
	require.NoError(t, webhook.StandardSigner().Sign(r.header, webhook.Message{ID: "a", Timestamp: time.Unix(1, 0), Body: r.body}, s))
	require.NoError(t, v.Verify(r.body, r.header))
	for name, shifted := range map[string]struct{ id, ts, body string }{
		"the dot moves into the id":        {"a.1", "2", "body"},
		"the dot moves into the timestamp": {"a", "1.2", "body"},
		"the timestamp moves into the id":  {"a.1.2", "", "body"},
		"all of it is the body":            {"", "a", "1.2.body"},
	} {
		h := r.header.Clone()
		h.Set("Webhook-Id", shifted.id)
		h.Set("Webhook-Timestamp", shifted.ts)
		assert.Error(t, v.Verify([]byte(shifted.body), h), name)
	}
	for _, id := range []string{"", "a.1", "a b", "a\r\nX: y", "é", strings.Repeat("a", 65), strings.Repeat("a", 1<<10)} {
		h := http.Header{}
		err := webhook.StandardSigner().Sign(h, webhook.Message{ID: id, Timestamp: noon}, s)
		require.ErrorIs(t, err, webhook.ErrInvalidArgument, "%q", id)
		assert.Empty(t, h)
	}
}

func TestRotatedSecrets(t *testing.T) { // H13
	t.Parallel()
	older, newer, key := mustSecret(t, exampleSecret), webhook.NewSecret(), webhook.NewSigningKey()
	for name, tc := range map[string]struct {
		signed, known []webhook.Secret
		want          error
	}{
		"both, both":                {list(newer, older), list(newer, older), nil},
		"both, new alone":           {list(newer, older), list(newer), nil},
		"both, old alone":           {list(newer, older), list(older), nil},
		"new, both":                 {list(newer), list(older, newer), nil},
		"old, both":                 {list(older), list(newer, older), nil},
		"duplicates":                {list(older, older), list(older, older), nil},
		"none in common":            {list(newer), list(older), webhook.ErrSignature},
		"from shared to public key": {list(key, older), list(key.Public()), nil},
		"from public key to shared": {list(newer, key), list(newer, key.Public()), nil},
		"kinds do not mix":          {list(key), list(older), webhook.ErrSignature},
	} {
		r := signedAt(t, time.Now(), exampleBody, tc.signed...)
		require.ErrorIs(t, newVerifier(t, webhook.VerifierConfig{Secrets: tc.known}).Verify(r.body, r.header), tc.want, name)
		require.ErrorIs(t, webhook.Verify(r.body, r.header, tc.known...), tc.want, name)
	}
}

func list(s ...webhook.Secret) []webhook.Secret { return s }

func TestSetSecretsReplacesAllOrNone(t *testing.T) {
	t.Parallel()
	older, newer := mustSecret(t, exampleSecret), webhook.NewSecret()
	given := list(older)
	v := noonVerifier(t, given...)
	old, fresh := signedAt(t, noon, exampleBody, older), signedAt(t, noon, exampleBody, newer)

	require.ErrorIs(t, v.SetSecrets(), webhook.ErrInvalidArgument)
	require.ErrorIs(t, v.SetSecrets(newer, webhook.Secret{}), webhook.ErrInvalidArgument)
	require.NoError(t, v.Verify(old.body, old.header), "a refused call changes nothing")

	next := list(newer)
	require.NoError(t, v.SetSecrets(next...))
	next[0] = webhook.Secret{}
	require.ErrorIs(t, v.Verify(old.body, old.header), webhook.ErrSignature)
	require.NoError(t, v.Verify(fresh.body, fresh.header), "the slice is copied")
}

func TestNewVerifierNamesEveryMistake(t *testing.T) {
	t.Parallel()
	scheme, err := webhook.TimestampedSigner("X-Signature")
	require.NoError(t, err)
	_, err = webhook.NewVerifier(webhook.VerifierConfig{
		Secrets: list(webhook.NewSecret(), webhook.Secret{}, webhook.NewSigningKey()), Scheme: scheme, Tolerance: -2, MaxBody: -7,
	})
	var v *webhook.ValidationError
	require.ErrorAs(t, err, &v)
	var fields []string
	for _, f := range v.Fields {
		fields = append(fields, f.Field)
	}
	assert.Equal(t, []string{"Secrets[1]", "Secrets[2]", "Tolerance", "MaxBody"}, fields)
	_, err = webhook.NewVerifier(webhook.VerifierConfig{})
	assert.ErrorContains(t, err, "Secrets is required")
}

func TestEverySecretAndSignatureIsTried(t *testing.T) { // H15
	t.Parallel()
	secrets := make([]webhook.Secret, 5)
	for i := range secrets {
		secrets[i] = webhook.NewSecret()
	}
	for i, s := range secrets {
		r := signedAt(t, time.Now(), exampleBody, webhook.NewSecret(), s, webhook.NewSecret())
		require.NoError(t, webhook.Verify(r.body, r.header, secrets...), strconv.Itoa(i))
	}
}

// Deep nesting, duplicate keys and the like are bytes to Verify.
func TestVerifyDoesNotParse(t *testing.T) { // H21
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	v := noonVerifier(t, s)
	for _, body := range []string{
		`{"__proto__":{"a":1}}`, `{"a":1,"a":2}`, strings.Repeat("[", 1_000_000), "1" + strings.Repeat("0", 100_000), "not json", "\xff\xfe\x00", "{}\n",
	} {
		r := signedAt(t, noon, body, s)
		require.NoError(t, v.Verify(r.body, r.header))
	}
}

func TestErrorsHoldNoSecretAndNoExpectedSignature(t *testing.T) { // H26
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	v := noonVerifier(t, s)
	good := signedAt(t, noon, exampleBody, s)
	mac := strings.TrimPrefix(good.header.Get("Webhook-Signature"), "v1,")
	raw, err := base64.StdEncoding.DecodeString(mac)
	require.NoError(t, err)
	for k := range good.header {
		for _, value := range []string{"", "x", "v1," + base64.StdEncoding.EncodeToString(make([]byte, 32)), "9", "a.b"} {
			h := good.header.Clone()
			h.Set(k, value)
			err := v.Verify(good.body, h)
			require.Error(t, err)
			for _, leak := range []string{mac, fmt.Sprintf("%x", raw), exampleSecret[6:], "evt_1"} {
				assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), leak)
			}
		}
	}
}
