package receive_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
)

func TestReceiverExplainsInItsLogAlone(t *testing.T) {
	t.Parallel()
	with := func(change func(r *http.Request)) *http.Request {
		r := callCompleted("evt_1").request()
		change(r)
		return r
	}
	foreign := callCompleted("evt_1")
	foreign.secret = webhook.NewSecret().Reveal()
	spaced := callCompleted("evt_1")
	spaced.header = http.Header{"Webhook-Signature": {spaced.signature()}}
	spaced.body += "\n"
	for name, c := range map[string]struct {
		request *http.Request
		want    string
	}{
		"a GET":          {with(func(r *http.Request) { r.Method = http.MethodGet }), "webhooks are POSTs"},
		"a form":         {with(func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }), "application/json"},
		"too large":      {with(func(r *http.Request) { r.ContentLength = 1 << 40 }), "MaxBody is"},
		"cut off":        {with(func(r *http.Request) { r.Body = io.NopCloser(brokenReader{}) }), "was closed by the sender"},
		"body consumed":  {with(func(r *http.Request) { r.Body = http.NoBody }), "was read before"},
		"another secret": {foreign.request(), `it claims to be \"wh_1\"`},
		"a body mangled": {spaced.request(), "has white space"},
		"no headers, and a body without end": {with(func(r *http.Request) {
			r.Header, r.Body, r.ContentLength = http.Header{}, io.NopCloser(&endless{}), -1
		}), "no signature header at all"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log capture
			r := newReceiver(t, func(c *receive.Config) {
				c.Explain, c.Logger = true, log.logger()
			})
			w := serve(r, c.request)
			assert.Equal(t, http.StatusText(w.Code)+"\n", w.Body.String(), "the response does not explain (H26)")
			assert.Contains(t, log.text(), c.want)
			assert.NotContains(t, log.text(), strings.TrimPrefix(receiverSecret.Reveal(), "whsec_"))
			assert.Equal(t, 1, strings.Count(log.text(), "\n"), "one line")
		})
	}
}
