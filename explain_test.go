package webhook_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// signed is a request as the sender makes it, signed here by hand so that what is
// said of it does not rest on our own signer.
type signed struct {
	id, timestamp, body, secret string
	header                      http.Header
}

var receiverSecret = webhook.NewSecret()

func signedEvent(id string, t webhook.EventType, data string) *signed {
	return &signed{
		id: id, timestamp: fmt.Sprint(time.Now().Unix()), secret: receiverSecret.Reveal(),
		body: fmt.Sprintf(`{"id":%q,"event":%q,"timestamp":"2024-01-15T10:30:00Z","webhook_id":"wh_1","data":%s}`, id, t, data),
	}
}

func callCompleted(id string) *signed {
	return signedEvent(id, webhook.EventCallCompleted, `{"call_id":"call_1","agent_id":"agent_1","direction":"outbound",`+
		`"from_number":"+18005550100","to_number":"+14155550123","status":"completed","duration_seconds":245}`)
}

func (s *signed) signature() string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.secret, "whsec_"))
	if err != nil {
		panic(err)
	}
	mac := hmac.New(sha256.New, key)
	_, _ = io.WriteString(mac, s.id+"."+s.timestamp+"."+s.body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (s *signed) request() *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(s.body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("webhook-id", s.id)
	r.Header.Set("webhook-timestamp", s.timestamp)
	r.Header.Set("webhook-signature", s.signature())
	for k, v := range s.header {
		r.Header[k] = v
	}
	return r
}

// explained returns what a Verifier says of a request that it refuses.
func explained(t *testing.T, req *http.Request, change func(*webhook.VerifierConfig)) string {
	t.Helper()
	cfg := webhook.VerifierConfig{Secrets: []webhook.Secret{receiverSecret}}
	if change != nil {
		change(&cfg)
	}
	v, err := webhook.NewVerifier(cfg)
	require.NoError(t, err)
	_, refusal := v.VerifyRequest(req)
	require.Error(t, refusal)
	var body []byte
	if !errors.Is(refusal, webhook.ErrBodyRead) {
		body, err = io.ReadAll(req.Body)
		require.NoError(t, err)
	}
	return v.Explain(body, req.Header, refusal)
}

func TestExplainNamesTheLikelyCause(t *testing.T) {
	t.Parallel()
	foreign := func() *signed {
		s := callCompleted("evt_1")
		s.secret = webhook.NewSecret().Reveal()
		return s
	}
	at := func(offset time.Duration) *http.Request {
		s := callCompleted("evt_1")
		s.timestamp = fmt.Sprint(time.Now().Add(offset).Unix())
		return s.request()
	}
	with := func(change func(r *http.Request)) *http.Request {
		r := callCompleted("evt_1").request()
		change(r)
		return r
	}
	without := func(names ...string) *http.Request {
		return with(func(r *http.Request) {
			for _, n := range names {
				r.Header.Del(n)
			}
		})
	}
	textKey := callCompleted("evt_1")
	textKey.secret = "whsec_" + base64.StdEncoding.EncodeToString([]byte(receiverSecret.Reveal()))
	all := []string{"webhook-id", "webhook-timestamp", "webhook-signature"}

	for name, c := range map[string]struct {
		request *http.Request
		want    string
	}{
		"secret of another endpoint": {foreign().request(), `secret is of another endpoint than the one that sent this (it claims to be "wh_1")`},
		"body consumed":              {with(func(r *http.Request) { r.Body = http.NoBody }), "was read before"},
		"empty body":                 {with(func(r *http.Request) { r.Body, r.ContentLength = http.NoBody, 0 }), "body is empty"},
		"clock fast":                 {at(-10 * time.Minute), "10m"},
		"clock slow":                 {at(10*time.Minute + 500*time.Millisecond), "ahead of this machine's clock: that is slow"},
		"a header stripped":          {without("webhook-id"), "Webhook-Timestamp, Webhook-Signature came but Webhook-Id did not"},
		"no headers":                 {without(all...), "no signature header at all"},
		"a header twice":             {with(func(r *http.Request) { r.Header.Add("webhook-id", "evt_1") }), "came 2 times"},
		"milliseconds":               {with(func(r *http.Request) { r.Header.Set("webhook-timestamp", "1705314600000") }), "milliseconds"},
		"a bare digest":              {with(func(r *http.Request) { r.Header.Set("webhook-signature", "YWJj") }), "bare digest"},
		"t=,v1= under our name": {
			with(func(r *http.Request) { r.Header.Set("webhook-signature", "t=1,v1=ab") }),
			"TimestampedSigner",
		},
		"Stripe's header": {with(func(r *http.Request) {
			r.Header = http.Header{"Stripe-Signature": {"t=1705314600,v1=ab,v0=cd"}}
		}), `the header Stripe-Signature has the form`},
		"Svix's headers": {with(func(r *http.Request) {
			r.Header = http.Header{"Svix-Id": {"msg_1"}, "Svix-Signature": {"v1,abc"}}
		}), "Svix's headers"},
		"GitHub's header":       {with(func(r *http.Request) { r.Header = http.Header{"X-Hub-Signature-256": {"sha256=ab"}} }), "GitHub"},
		"signed by private key": {with(func(r *http.Request) { r.Header.Set("webhook-signature", "v1a,"+strings.Repeat("A", 86)+"==") }), "public key, whpk_"},
		"text as the key":       {textKey.request(), "with the text of the secret as the key"},
		"other request's id": {
			with(func(r *http.Request) { r.Header.Set("webhook-id", "evt_2") }),
			"webhook-id is another one than was signed, which is the id in the body",
		},
		"cut off":      {with(func(r *http.Request) { r.Body = io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF)) }), "was closed by the sender"},
		"too large":    {with(func(r *http.Request) { r.ContentLength = 1 << 40 }), "MaxBody is"},
		"not an event": {(&signed{id: "evt_1", timestamp: fmt.Sprint(time.Now().Unix()), body: "[]", secret: receiverSecret.Reveal()}).request(), "not an event"},
	} {
		t.Run(name, func(t *testing.T) { // at once: some requests are a time old
			text := explained(t, c.request, nil)
			assert.Contains(t, text, c.want)
			assert.NotContains(t, text, strings.TrimPrefix(receiverSecret.Reveal(), "whsec_"))
			assert.NotContains(t, text, "\n", "one line")
		})
	}
}

func TestExplainRecognisesMangledBodies(t *testing.T) {
	t.Parallel()
	event, err := webhook.NewEvent("acct_1", webhook.EventCallCompleted, webhook.SampleData(webhook.EventCallCompleted))
	require.NoError(t, err)
	data, err := json.Marshal(event.Data)
	require.NoError(t, err)
	escaped := `{"name":"Tom \u0026 Jerry \u003cinc\u003e"}`
	indent := func(s string) string {
		var b bytes.Buffer
		_ = json.Indent(&b, []byte(s), "", "  ")
		return b.String()
	}
	sortKeys := func(s string) string {
		var v any
		_ = json.Unmarshal([]byte(s), &v)
		b, _ := json.Marshal(v)
		return string(b)
	}
	for name, c := range map[string]struct {
		data   string
		mangle func(string) string
		want   string
	}{
		"newline added":     {`{}`, func(s string) string { return s + "\n" }, "has white space"},
		"byte order mark":   {`{}`, func(s string) string { return "\ufeff" + s }, "has white space or a byte order mark"},
		"indented":          {`{"a":[1,2]}`, indent, "was re-indented"},
		"keys sorted":       {string(data), sortKeys, "was parsed and encoded again"},
		"envelope reversed": {`{"a":1}`, func(s string) string { return sortKeys(s) }, "was parsed and encoded again, in another form"},
		"escapes undone": {escaped, func(s string) string {
			return strings.NewReplacer(`\u0026`, "&", `\u003c`, "<", `\u003e`, ">").Replace(s)
		}, "was parsed and encoded again, with escapes for other characters"},
		"escapes added": {
			`{"name":"Tom & Jerry"}`, func(s string) string { return strings.ReplaceAll(s, "&", `\u0026`) },
			"was parsed and encoded again, with escapes for other characters",
		},
		"another body": {`{"a":1}`, func(s string) string { return strings.Replace(s, `"a":1`, `"a":2`, 1) }, "most likely the secret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := signedEvent("evt_1", webhook.EventCallCompleted, c.data)
			signature := s.signature()
			s.body = c.mangle(s.body)
			s.header = http.Header{"Webhook-Signature": {signature}}
			assert.Contains(t, explained(t, s.request(), nil), c.want)
		})
	}
}

func TestExplainKnowsTheTimestampedScheme(t *testing.T) {
	t.Parallel()
	scheme, err := webhook.TimestampedSigner("X-Signature")
	require.NoError(t, err)
	timestamped := func(c *webhook.VerifierConfig) { c.Scheme = scheme }
	assert.Contains(t, explained(t, callCompleted("evt_1").request(), timestamped), "leave Scheme at its default")

	s := callCompleted("evt_1")
	require.NoError(t, scheme.Sign(http.Header{}, webhook.Message{Body: []byte(s.body), Timestamp: time.Now()}, receiverSecret))
	old := http.Header{"Content-Type": {"application/json"}}
	require.NoError(t, scheme.Sign(old, webhook.Message{Body: []byte(s.body), Timestamp: time.Now().Add(-time.Hour)}, receiverSecret))
	req := s.request()
	req.Header = old
	assert.Contains(t, explained(t, req, timestamped), "behind this machine's clock")
}

func TestExplainParsesNoHugeBodies(t *testing.T) {
	t.Parallel()
	s := callCompleted("evt_1")
	signature := s.signature()
	s.body += strings.Repeat(" ", 65<<10)
	s.header = http.Header{"Webhook-Signature": {signature}}
	log := explained(t, s.request(), nil)
	assert.Contains(t, log, "only up to 65536 are searched")
	assert.Contains(t, log, "most likely the secret")
}

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
