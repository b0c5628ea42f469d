package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// What proxies, gateways and test scripts do to the headers.
func TestExplainRecognisesChangedHeaders(t *testing.T) {
	t.Parallel()
	// In the signature are the characters in which the forms of base64 differ.
	find := func() (*signed, string) {
		for i := 0; ; i++ {
			s := signedEvent("evt_1", "acme.thing", fmt.Sprint(i))
			if sig := s.signature(); strings.Contains(sig, "+") && strings.Contains(sig, "/") {
				return s, sig
			}
		}
	}
	s, sig := find()
	other := "v1," + base64.StdEncoding.EncodeToString(make([]byte, 32))
	ts := s.timestamp
	signature := func(value string) func(http.Header) {
		return func(h http.Header) { h.Set("webhook-signature", value) }
	}
	set := func(name, value string) func(http.Header) { return func(h http.Header) { h.Set(name, value) } }
	mac, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sig, "v1,"))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		change func(h http.Header)
		want   string
	}{
		"split at the comma":          {signature(strings.Join(strings.Split(sig, ","), ", ")), "taken apart and joined again"},
		"two, split at the comma":     {signature(strings.Join(strings.Split(other+" "+sig, ","), ", ")), "taken apart and joined again"},
		"a comma for the space":       {signature(sig + "," + other), "taken apart and joined again"},
		"a comma and a space":         {signature(sig + ", " + other), "taken apart and joined again"},
		"a list of JSON":              {signature(`["` + other + `","` + sig + `"]`), "taken apart and joined again"},
		"in quotes":                   {signature(`"` + sig + `"`), "webhook-signature"},
		"percent-encoded":             {signature(url.QueryEscape(sig)), "percent-encoded"},
		"plus signs lost":             {signature(strings.ReplaceAll(sig, "+", " ")), "plus signs"},
		"two, plus signs for spaces":  {signature(strings.ReplaceAll(other+" "+sig, "+", " ")), "plus signs"},
		"base64 for URLs":             {signature(strings.NewReplacer("+", "-", "/", "_").Replace(sig)), "base64 for URLs"},
		"without padding":             {signature(strings.TrimRight(sig, "=")), "padding"},
		"hexadecimal":                 {signature("v1," + hex.EncodeToString(mac)), "hexadecimal"},
		"v1=":                         {signature("v1=" + strings.TrimPrefix(sig, "v1,")), "another form than v1,<base64>"},
		"V1":                          {signature("V1" + strings.TrimPrefix(sig, "v1")), "another form than v1,<base64>"},
		"without a version":           {signature(strings.TrimPrefix(sig, "v1,")), "bare digest"},
		"a digest with v1 in it":      {signature("v1" + strings.Repeat("A", 41) + "="), "bare digest"},
		"another id":                  {set("webhook-id", "msg_1"), "the id in the body"},
		"an id in quotes":             {set("webhook-id", `"evt_1"`), "the id in the body"},
		"an id twice":                 {set("webhook-id", "evt_1, evt_1"), "webhook-id came twice"},
		"an id with a space":          {set("webhook-id", "evt 1"), "webhook-id has a dot, a space"},
		"a timestamp twice":           {set("webhook-timestamp", ts+","+ts), "webhook-timestamp came twice"},
		"a timestamp in milliseconds": {set("webhook-timestamp", ts+"123"), "milliseconds"},
		"a timestamp in microseconds": {set("webhook-timestamp", ts+"123456"), "micro- or nanoseconds"},
		"a date":                      {set("webhook-timestamp", time.Now().UTC().Format(time.RFC3339)), "is a date"},
		"a date of HTTP":              {set("webhook-timestamp", time.Now().UTC().Format(http.TimeFormat)), "is a date"},
		"a fraction":                  {set("webhook-timestamp", ts+".5"), "not made of digits alone"},
		"a timestamp in quotes":       {set("webhook-timestamp", `"`+ts+`"`), "not made of digits alone"},
		"svix- headers are the right": {func(h http.Header) {
			h.Set("svix-id", "evt_1")
			h.Set("webhook-id", "evt_2")
			h.Set("svix-signature", sig)
		}, "the id in the body"},
		"lower-case keys":               {lowerKeys, "use canonical keys"},
		"keys of CGI":                   {cgiKeys, "use canonical keys"},
		"one lower-case key":            {func(h http.Header) { h["webhook-id"] = h["Webhook-Id"]; delete(h, "Webhook-Id") }, "use canonical keys"},
		"a header with an empty value":  {set("webhook-id", ""), "came but Webhook-Id did not"},
		"many commas in the signature":  {signature(sig[:10] + strings.Repeat(",", 1000)), "most likely the secret"},
		"a signature of another length": {signature(sig[:20]), "most likely the secret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := s.request().Header.Clone()
			c.change(h)
			said := explain(t, s.body, h)
			assert.Contains(t, said, c.want)
			assert.NotContains(t, said, sig[3:20])
		})
	}
}

func lowerKeys(h http.Header) {
	for name, values := range h.Clone() {
		delete(h, name)
		h[strings.ToLower(name)] = values
	}
}

func cgiKeys(h http.Header) {
	for name, values := range h.Clone() {
		delete(h, name)
		h["HTTP_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))] = values
	}
}

// Other headers beside ours, as a relay adds them, are found too.
func TestExplainRecognisesTheHeadersOfARelay(t *testing.T) {
	t.Parallel()
	s := signedEvent("evt_1", "acme.thing", "1")
	signedAs := s.request().Header
	h := http.Header{}
	for _, name := range []string{"Id", "Timestamp", "Signature"} {
		h.Set("svix-"+name, signedAs.Get("webhook-"+name))
	}
	other := *s
	other.secret, other.timestamp = webhook.NewSecret().Reveal(), fmt.Sprint(time.Now().Unix()-1)
	for name, values := range other.request().Header {
		h[name] = values
	}
	assert.Contains(t, explain(t, s.body, h), "the svix- headers beside them are")
}

// What test scripts and senders of one's own sign by mistake.
func TestExplainRecognisesOtherSigners(t *testing.T) {
	t.Parallel()
	s := signedEvent("evt_1", "acme.thing", `{"a":1}`)
	text := receiverSecret.Reveal()
	encoded := strings.TrimPrefix(text, "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	require.NoError(t, err)
	lenient, err := base64.RawURLEncoding.DecodeString(strings.NewReplacer("+", "-", "/", "_").Replace(text[:len(text)-len(text)%4]))
	if err != nil { // a secret without padding at its end is needed
		lenient = nil
	}
	standard := "evt_1." + s.timestamp + "." + s.body
	for name, c := range map[string]struct {
		key    string
		text   string
		encode func([]byte) string
		want   string
	}{
		"the text of the secret":     {text, standard, nil, "with the text of the secret as the key"},
		"the text after the prefix":  {encoded, standard, nil, "with the text of the secret after whsec_"},
		"the secret in quotes":       {`"` + text + `"`, standard, nil, "in quotes"},
		"the secret and a line end":  {text + "\n", standard, nil, "a line end"},
		"the prefix decoded":         {string(lenient), standard, nil, "the prefix whsec_ was decoded too"},
		"no secret":                  {"", standard, nil, "with the empty key"},
		"timestamp and body":         {string(key), s.timestamp + "." + s.body, nil, "timestamp and body alone"},
		"the body":                   {string(key), s.body, nil, "the body alone"},
		"id and body":                {string(key), "evt_1." + s.body, nil, "id and body alone"},
		"in another order":           {string(key), s.timestamp + ".evt_1." + s.body, nil, "in the other order"},
		"without dots":               {string(key), "evt_1" + s.timestamp + s.body, nil, "without the dots"},
		"text and body alone":        {text, s.body, nil, "with the text of the secret as the key"},
		"milliseconds":               {string(key), "evt_1." + s.timestamp + "678." + s.body, nil, "in milliseconds"},
		"hexadecimal, text as key":   {text, standard, hex.EncodeToString, "with the text of the secret as the key"},
		"the timestamp of the event": {string(key), "evt_1.1705314600." + s.body, nil, "the timestamp in the body"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mac := hmac.New(sha256.New, []byte(c.key))
			mac.Write([]byte(c.text))
			encode := c.encode
			if encode == nil {
				encode = base64.StdEncoding.EncodeToString
			}
			h := s.request().Header.Clone()
			h.Set("webhook-signature", "v1,"+encode(mac.Sum(nil)))
			assert.Contains(t, explain(t, s.body, h), c.want)
		})
	}
}

// The scheme of one header has mistakes of its own, and all that happens to bodies.
func TestExplainRecognisesMistakesInTheTimestampedScheme(t *testing.T) {
	t.Parallel()
	scheme, err := webhook.TimestampedSigner("X-Signature")
	require.NoError(t, err)
	v, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{receiverSecret}, Scheme: scheme})
	require.NoError(t, err)
	text := receiverSecret.Reveal()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
	require.NoError(t, err)
	const body = `{"a":1.0}`
	now := fmt.Sprint(time.Now().Unix())
	for name, c := range map[string]struct{ key, text, body, want string }{
		"the decoded key":        {string(key), now + "." + body, body, "the key of this scheme is the text of the secret"},
		"the text after whsec_":  {strings.TrimPrefix(text, "whsec_"), now + "." + body, body, "the key of this scheme is the whole text"},
		"in quotes":              {`"` + text + `"`, now + "." + body, body, "in quotes"},
		"a line end":             {text + "\n", now + "." + body, body, "a line end"},
		"no secret":              {"", now + "." + body, body, "the empty key"},
		"the body alone":         {text, body, body, "the body alone was signed"},
		"a body in base64":       {text, now + "." + body, base64.StdEncoding.EncodeToString([]byte(body)), "base64"},
		"a body encoded again":   {text, now + "." + body, `{"a":1}`, "parsed and encoded again"},
		"a secret of some other": {"other", now + "." + body, body, "the secret is of another endpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mac := hmac.New(sha256.New, []byte(c.key))
			mac.Write([]byte(c.text))
			h := http.Header{"X-Signature": {"t=" + now + ",v1=" + hex.EncodeToString(mac.Sum(nil))}}
			err := v.Verify([]byte(c.body), h)
			require.ErrorIs(t, err, webhook.ErrSignature)
			assert.Contains(t, v.Explain([]byte(c.body), h, err), c.want)
		})
	}
}

// A public key verifies what was done to a body, too.
func TestExplainTriesPublicKeys(t *testing.T) {
	t.Parallel()
	key := webhook.NewSigningKey()
	v, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{key.Public()}})
	require.NoError(t, err)
	s := signedEvent("evt_1", "acme.thing", `{"a":"ë"}`)
	h := http.Header{}
	require.NoError(t, webhook.StandardSigner().Sign(h, webhook.Message{ID: "evt_1", Timestamp: time.Now(), Body: []byte(s.body)}, key))
	for body, want := range map[string]string{
		spacedHead + `{"a": "\u00eb"}}`:                   "parsed and encoded again",
		base64.StdEncoding.EncodeToString([]byte(s.body)): "base64",
		strings.Replace(s.body, "ë", "e", 1):              "most likely the secret",
	} {
		err := v.Verify([]byte(body), h)
		require.ErrorIs(t, err, webhook.ErrSignature)
		assert.Contains(t, v.Explain([]byte(body), h, err), want)
	}
}
