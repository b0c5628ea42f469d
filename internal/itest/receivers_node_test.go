package itest_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/race"
)

// publicReceiver is the Node receiver of the documentation with the code for public
// keys in its place.
func publicReceiver(t *testing.T) (command, file string) {
	t.Helper()
	command = needCommand(t, "node")
	_, rest, found := strings.Cut(docSnippet(t, "## Other languages", "js"), "\n")
	require.True(t, found)
	server, rest, found := strings.Cut(rest, "\n")
	require.True(t, found)
	require.Contains(t, server, "node:http")
	at := strings.Index(rest, "const maxBody")
	require.Positive(t, at)
	code := server + "\n" + docSnippet(t, "### Public keys", "js") + rest[at:]
	file = filepath.Join(t.TempDir(), "receiver.mjs")
	require.NoError(t, os.WriteFile(file, []byte(code), 0o600))
	return command, file
}

func TestPublicKeysInNode(t *testing.T) {
	t.Parallel()
	command, file := publicReceiver(t)
	runServer(t, command, file, webhook.NewSigningKey())
}

func TestPublicKeysInNodeMustBeWhole(t *testing.T) {
	t.Parallel()
	command, file := publicReceiver(t)
	good := strings.TrimPrefix(webhook.NewSigningKey().Public().Reveal(), "whpk_")
	for name, secret := range map[string]string{
		"empty":          "",
		"shared":         webhook.NewSecret().Reveal(),
		"private":        webhook.NewSigningKey().Reveal(),
		"in quotes":      `"whpk_` + good + `"`,
		"without prefix": good,
		"31 bytes":       "whpk_" + base64.StdEncoding.EncodeToString(make([]byte, 31)),
		"a line end":     "whpk_" + good + "\n",
	} {
		t.Run(name, func(t *testing.T) { serverRefuses(t, command, file, "WEBHOOK_SECRET="+secret) })
	}
}

// n8nHarness runs the code of a Code node with what it finds there, once for each
// request of a file.
const n8nHarness = `
const { readFileSync } = require("node:fs");
const requests = JSON.parse(readFileSync(process.argv[2]));
const code = new (Object.getPrototypeOf(async function () {}).constructor)("$input", "require", readFileSync(process.argv[3]));
(async () => {
  for (const { headers, body } of requests) {
    const $input = { first: () => ({ json: { headers } }) };
    const helpers = { getBinaryDataBuffer: async () => Buffer.from(body) };
    try {
      const [{ json }] = await code.call({ helpers }, $input, require);
      console.log(JSON.stringify({ genuine: json.genuine, test: json.test, id: json.event.id ?? "" }));
    } catch (e) {
      console.log(JSON.stringify({ error: e.message }));
    }
  }
})();
`

type n8nRequest struct {
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

type n8nItem struct {
	Genuine bool   `json:"genuine"`
	Test    bool   `json:"test"`
	ID      string `json:"id"`
	Error   string `json:"error"`
}

// runN8n returns what the code in the documentation makes of requests.
func runN8n(t *testing.T, secret string, requests []n8nRequest) (items []n8nItem) {
	t.Helper()
	node := needCommand(t, "node")
	dir := t.TempDir()
	code := docSnippet(t, "## n8n", "js")
	require.Contains(t, code, `"whsec_…"`)
	code = strings.Replace(code, `"whsec_…"`, string(must(json.Marshal(secret))), 1)
	input := filepath.Join(dir, "requests.json")
	for name, text := range map[string]string{"harness.cjs": n8nHarness, "code.js": code, "requests.json": string(must(json.Marshal(requests)))} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	out, err := withSecret(t, "", node, filepath.Join(dir, "harness.cjs"), input, filepath.Join(dir, "code.js")).Output()
	require.NoError(t, err)
	for line := range strings.Lines(string(out)) {
		var item n8nItem
		require.NoError(t, json.Unmarshal([]byte(line), &item))
		items = append(items, item)
	}
	require.Len(t, items, len(requests))
	return items
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func lowerHeaders(h http.Header) map[string]string {
	out := map[string]string{}
	for name, values := range h {
		out[strings.ToLower(name)] = values[0]
	}
	return out
}

func TestTheCodeForN8n(t *testing.T) {
	t.Parallel()
	secret := webhook.NewSecret()
	var requests []n8nRequest
	var cases []foreignCase
	for _, c := range foreignCases(t, secret) {
		if json.Valid([]byte(c.body)) && strings.HasPrefix(c.body, "{") { // n8n has its own limit, and JSON.parse its own errors
			cases = append(cases, c)
			requests = append(requests, n8nRequest{lowerHeaders(c.header), c.body})
		}
	}
	for i, item := range runN8n(t, secret.Reveal(), requests) {
		assert.Equal(t, cases[i].want != http.StatusUnauthorized, item.Genuine, cases[i].name)
		assert.Equal(t, item.Genuine, item.ID != "", "what is not genuine has no event: %s", cases[i].name)
		assert.Equal(t, cases[i].name == testWithoutHeader, item.Test, cases[i].name)
		assert.Empty(t, item.Error)
	}
	requests[0].Headers["webhook-test"] = "1"
	assert.Equal(t, n8nItem{Genuine: true, Test: true, ID: "evt_1"}, runN8n(t, secret.Reveal(), requests[:1])[0])
}

func TestTheCodeForN8nRefusesBadSecrets(t *testing.T) {
	t.Parallel()
	if race.Enabled {
		t.Skip("skipped: it runs other programs, and go test work runs it")
	}
	const body = `{"id":"evt_1"}`
	forged := n8nRequest{lowerHeaders(signedWithNothing("evt_1", time.Now(), body)), body}
	for name, secret := range badSecrets() {
		if name == "65 bytes" {
			continue // no weakness
		}
		assert.Contains(t, runN8n(t, secret, []n8nRequest{forged})[0].Error, "the secret must be", name)
	}
}
