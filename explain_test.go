package webhook_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// explained answers the log of a Receiver in debug mode about one request.
func explained(t *testing.T, req *http.Request, change func(*webhook.ReceiverConfig)) string {
	t.Helper()
	var log bytes.Buffer
	r := newReceiver(t, func(c *webhook.ReceiverConfig) {
		c.Explain, c.Logger = true, slog.New(slog.NewTextHandler(&log, nil))
		if change != nil {
			change(c)
		}
	})
	w := serve(r, req)
	assert.Equal(t, http.StatusText(w.Code)+"\n", w.Body.String(), "the answer does not explain (H26)")
	return log.String()
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
		"secret of another endpoint": {foreign().request(), `secret is of another endpoint than the one that sent this (it claims to be \"wh_1\")`},
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
			"headers and body are of different requests",
		},
		"a GET":        {with(func(r *http.Request) { r.Method = http.MethodGet }), "webhooks are POSTs"},
		"a form":       {with(func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }), "application/json"},
		"too large":    {with(func(r *http.Request) { r.ContentLength = 1 << 40 }), "MaxBody is"},
		"not an event": {(&signed{id: "evt_1", timestamp: fmt.Sprint(time.Now().Unix()), body: "[]", secret: receiverSecret.Reveal()}).request(), "not an event"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := explained(t, c.request, nil)
			assert.Contains(t, log, c.want)
			assert.NotContains(t, log, strings.TrimPrefix(receiverSecret.Reveal(), "whsec_"))
			assert.Equal(t, 1, strings.Count(log, "\n"), "one line")
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
		}, "was parsed and encoded again, without Go's escapes"},
		"escapes added": {
			`{"name":"Tom & Jerry"}`, func(s string) string { return strings.ReplaceAll(s, "&", `\u0026`) },
			"was parsed and encoded again, with escapes",
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
	timestamped := func(c *webhook.ReceiverConfig) { c.Scheme = scheme }
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
	assert.Contains(t, explained(t, s.request(), nil), "most likely the secret")
}
