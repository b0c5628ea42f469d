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
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

type peerAnswer struct {
	Accepted  bool   `json:"accepted"`
	Signature string `json:"signature"`
}

// H28: the reference library for JavaScript, both ways.
func TestH28_StandardWebhooksForJavaScript(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var cases []peerCase
	for _, s := range secrets(t) {
		for _, body := range bodies {
			h := http.Header{}
			m := webhook.Message{ID: "evt_0190a5f2c7d47c0e8f6b1c2d3e4f5a6b", Timestamp: now, Body: []byte(body)}
			require.NoError(t, webhook.StandardSigner().Sign(h, m, webhook.NewSigningKey(), webhook.NewSecret(), s))
			cases = append(cases, peerCase{s.Reveal(), map[string]string{
				"webhook-id": h.Get("webhook-id"), "webhook-timestamp": h.Get("webhook-timestamp"), "webhook-signature": h.Get("webhook-signature"),
			}, body})
		}
	}
	for i, answer := range askPeer(t, cases) {
		c := cases[i]
		// It parses what it has verified, so that only JSON comes through.
		assert.Equal(t, json.Valid([]byte(c.Body)), answer.Accepted, "%.60q", c.Body)
		h := http.Header{}
		for k, v := range c.Headers {
			h.Set(k, v)
		}
		h.Set("webhook-signature", answer.Signature)
		s, err := webhook.ParseSecret(c.Secret)
		require.NoError(t, err)
		assert.NoError(t, webhook.Verify([]byte(c.Body), h, s), "%.60q", c.Body)
	}
}

// missing skips a test, or fails it where nothing may be missing.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// askPeer runs the cases through the JavaScript library.
func askPeer(t *testing.T, cases []peerCase) []peerAnswer {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "node is not installed")
	}
	if _, err := os.Stat("js/node_modules/standardwebhooks"); err != nil {
		missing(t, "run npm ci in internal/itest/interop/js first")
	}
	var in bytes.Buffer
	for _, c := range cases {
		require.NoError(t, json.NewEncoder(&in).Encode(c))
	}
	cmd := exec.CommandContext(t.Context(), node, "peer.mjs")
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
