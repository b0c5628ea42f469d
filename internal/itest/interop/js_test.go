package interop_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

type peerCase struct {
	Secret  string            `json:"secret"`
	Public  string            `json:"public,omitempty"` // of an asymmetric secret
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

type peerAnswer struct {
	Accepted  bool   `json:"accepted"`
	Signature string `json:"signature"`
}

// H28: the reference library for JavaScript, both ways.
func TestStandardWebhooksForJavaScript(t *testing.T) { // H28
	t.Parallel()
	if _, err := os.Stat("js/node_modules/standardwebhooks"); err != nil {
		missing(t, "run npm ci in internal/itest/interop/js first")
	}
	var cases []peerCase
	for _, s := range secrets(t) {
		for _, body := range bodies {
			cases = append(cases, newPeerCase(t, body, webhook.NewSigningKey(), webhook.NewSecret(), s))
		}
	}
	for i, answer := range askPeer(t, "peer.mjs", cases) {
		c := cases[i]
		// It parses what it has verified, so that only JSON comes through.
		assert.Equal(t, json.Valid([]byte(c.Body)), answer.Accepted, "%.60q", c.Body)
		s, err := webhook.ParseSecret(c.Secret)
		require.NoError(t, err)
		assert.NoError(t, webhook.Verify([]byte(c.Body), c.header(answer.Signature), s), "%.60q", c.Body)
	}
}

// H28: v1a, both ways, with Node's crypto: the libraries for Go and JavaScript
// have v1 alone.
func TestEd25519ForNode(t *testing.T) { // H28
	t.Parallel()
	var cases []peerCase
	for _, body := range bodies {
		s := webhook.NewSigningKey()
		cases = append(cases, newPeerCase(t, body, webhook.NewSecret(), s))
		forged := newPeerCase(t, body, webhook.NewSigningKey())
		forged.Secret, forged.Public = s.Reveal(), s.Public().Reveal()
		cases = append(cases, forged)
	}
	for i, answer := range askPeer(t, "v1a.mjs", cases) {
		c := cases[i]
		assert.Equal(t, i%2 == 0, answer.Accepted, "%.60q", c.Body)
		public, err := webhook.ParseSecret(c.Public)
		require.NoError(t, err)
		assert.NoError(t, webhook.Verify([]byte(c.Body), c.header(answer.Signature), public), "%.60q", c.Body)
		assert.ErrorIs(t, webhook.Verify([]byte(c.Body+" "), c.header(answer.Signature), public), webhook.ErrSignature, "%.60q", c.Body)
		if i%2 == 0 { // ed25519 signs alike every time
			assert.Contains(t, c.Headers["webhook-signature"], answer.Signature, "%.60q", c.Body)
		}
	}
}

// newPeerCase signs body with all the secrets, for a peer that has the last one.
func newPeerCase(t *testing.T, body string, secrets ...webhook.Secret) peerCase {
	t.Helper()
	h := http.Header{}
	m := webhook.Message{ID: "evt_0190a5f2c7d47c0e8f6b1c2d3e4f5a6b", Timestamp: time.Now(), Body: []byte(body)}
	require.NoError(t, webhook.StandardSigner().Sign(h, m, secrets...))
	c := peerCase{Headers: map[string]string{}, Body: body}
	for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
		c.Headers[name] = h.Get(name)
	}
	s := secrets[len(secrets)-1]
	c.Secret, c.Public = s.Reveal(), s.Public().Reveal()
	return c
}

// header returns the case's headers with another signature.
func (c peerCase) header(signature string) http.Header {
	h := http.Header{}
	for k, v := range c.Headers {
		h.Set(k, v)
	}
	h.Set("webhook-signature", signature)
	return h
}

// missing skips a test, or fails it where nothing may be missing.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// askPeer runs the cases through a script in the folder js.
func askPeer(t *testing.T, script string, cases []peerCase) []peerAnswer {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "node is not installed")
	}
	var in bytes.Buffer
	for _, c := range cases {
		require.NoError(t, json.NewEncoder(&in).Encode(c))
	}
	cmd := exec.CommandContext(t.Context(), node, script)
	cmd.Dir, cmd.Stdin, cmd.Stderr = "js", &in, os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	var answers []peerAnswer
	for line := range strings.Lines(string(out)) {
		var a peerAnswer
		require.NoError(t, json.Unmarshal([]byte(line), &a))
		answers = append(answers, a)
	}
	require.Len(t, answers, len(cases))
	return answers
}

// What the documentation says of the library for JavaScript: it refuses public keys,
// and takes a prefix without a secret for a secret.
func TestStandardWebhooksForJavaScriptAndOtherSecrets(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("js/node_modules/standardwebhooks"); err != nil {
		missing(t, "run npm ci in internal/itest/interop/js first")
	}
	for secret, accepted := range map[string]bool{
		webhook.NewSigningKey().Public().Reveal(): false,
		"whsec_": true,
	} {
		const script = `import { Webhook } from "standardwebhooks"; new Webhook(process.argv[1]);`
		cmd := exec.CommandContext(t.Context(), "node", "--input-type=module", "-e", script, secret)
		cmd.Dir = "js"
		assert.Equal(t, accepted, cmd.Run() == nil, secret)
	}
}
