package webhook_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
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
		t.Run(name, func(t *testing.T) {
			t.Parallel()
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
