package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
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

// A Scheme is a plain value, which configurations compare and maps have as a key.
func TestSchemesAreComparable(t *testing.T) {
	t.Parallel()
	names := map[webhook.Scheme]string{
		webhook.StandardSigner():      "standard",
		timestamped(t, "X-Signature"): "one",
		timestamped(t, "X-Other"):     "two",
	}
	assert.Equal(t, "standard", names[webhook.Scheme{}])
	assert.Equal(t, "one", names[timestamped(t, "x-signature")])
	assert.Len(t, names, 3)
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
		ts + ", " + sig:                                    webhook.ErrInvalidHeader, // white space
		ts + " ," + sig:                                    webhook.ErrInvalidHeader,
		good + "\t":                                        webhook.ErrInvalidHeader,
		good + ", " + good:                                 webhook.ErrInvalidHeader, // two headers, joined
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

func TestRequestsAreStampedWithTheStoresClock(t *testing.T) { // E15
	t.Parallel()
	for _, skew := range []time.Duration{-time.Hour, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			log := &capture{}
			r := newRig(t, status(200), func(c *webhook.Config) {
				c.Store = &skewedStore{c.Store, skew}
				c.Logger = log.logger()
			})
			ep := r.endpoint(hookURL)
			r.start()
			defer r.stop()
			r.emit(1)
			time.Sleep(time.Second)
			v, err := webhook.NewVerifier(webhook.VerifierConfig{
				Secrets: []webhook.Secret{secretOf(t, r, ep.ID)},
				Clock:   func() time.Time { return r.transport.requests()[0].at.Add(skew) },
			})
			require.NoError(t, err)
			sent := r.transport.requests()[0]
			require.NoError(t, v.Verify(sent.Body, sent.Header))
			assert.Contains(t, log.text(), "clock")
		})
	}
}

func TestRotationSignsWithBothSecretsUntilTheOldOneExpires(t *testing.T) { // D10
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, status(200), func(c *webhook.Config) { c.PollInterval = time.Hour })
		ep, old, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{AccountID: "acme", URL: hookURL, Events: []webhook.EventType{"*"}})
		require.NoError(t, err)
		r.start()
		defer r.stop()
		fresh, err := r.RotateSecret(t.Context(), "acme", ep.ID, webhook.RotateParams{})
		require.NoError(t, err)
		r.emit(1)
		time.Sleep(23 * time.Hour)
		r.emit(1)
		time.Sleep(2 * time.Hour)
		r.emit(1)
		time.Sleep(time.Second)

		sent := r.transport.requests()
		require.Len(t, sent, 3)
		for i, s := range sent {
			clock := func() time.Time { return s.at }
			for name, secret := range map[string]webhook.Secret{"old": old, "new": fresh.Secret} {
				v, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{secret}, Clock: clock})
				require.NoError(t, err)
				err = v.Verify(s.Body, s.Header)
				if name == "old" && i == 2 {
					assert.ErrorIs(t, err, webhook.ErrSignature, "after the overlap")
				} else {
					assert.NoError(t, err, "%s secret, request %d", name, i)
				}
			}
		}
	})
}

func TestATestEventIsSignedLikeAnyOther(t *testing.T) {
	t.Parallel()
	r := newRig(t, status(200))
	ep := r.endpoint(hookURL)
	_, err := r.SendTest(t.Context(), "acme", ep.ID, webhook.EventCallCompleted)
	require.NoError(t, err)
	sent := r.transport.requests()[0]
	require.NoError(t, webhook.Verify(sent.Body, sent.Header, secretOf(t, r, ep.ID)))
	got, err := webhook.ParseEvent(sent.Body)
	require.NoError(t, err)
	assert.Equal(t, ep.ID, got.EndpointID)
	assert.IsType(t, webhook.CallCompleted{}, got.Data)
}
