package itest_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/race"
	"github.com/ringyo-ai/webhook/webhooktest"
)

// foreignCase is a request to a receiver in another language.
type foreignCase struct {
	name   string
	body   string
	header http.Header
	want   int
}

// foreignCases are the same for every language.
func foreignCases(t *testing.T, secret webhook.Secret) []foreignCase {
	t.Helper()
	const body = `{"id":"evt_1","event":"call.completed","timestamp":"2024-01-15T10:30:00Z","webhook_id":"wh_1","data":{"name":"Zoë <3"}}`
	signed := func(at time.Time, secrets ...webhook.Secret) http.Header {
		h := http.Header{"Content-Type": {"application/json"}}
		require.NoError(t, webhook.StandardSigner().Sign(h, webhook.Message{ID: "evt_1", Timestamp: at, Body: []byte(body)}, secrets...))
		return h
	}
	changed := func(name, value string) http.Header {
		h := signed(time.Now(), secret)
		h.Set(name, value)
		return h
	}
	other := webhook.NewSecret()
	now := time.Now()
	signedBody := func(body string) (string, http.Header) {
		h := http.Header{"Content-Type": {"application/json"}}
		require.NoError(t, webhook.StandardSigner().Sign(h, webhook.Message{ID: "evt_1", Timestamp: now, Body: []byte(body)}, secret))
		return body, h
	}
	of := func(size int) (string, http.Header) { return signedBody(body + strings.Repeat(" ", size-len(body))) }
	cases := []foreignCase{
		{"genuine", body, signed(now, secret), 200},
		lostHeader(t, secret),
		{"a duplicate", body, signed(now, secret), 200},
		{"during a rotation, ours last", body, signed(now, webhook.NewSigningKey(), other, secret), 200},
		{"another secret", body, signed(now, other), 401},
		{"another body", strings.Replace(body, "Zoë", "Zoe", 1), signed(now, secret), 401},
		{"too old", body, signed(now.Add(-6*time.Minute), secret), 401},
		{"too new", body, signed(now.Add(6*time.Minute), secret), 401},
		{"another id", body, changed("webhook-id", "evt_2"), 401},
		{"a timestamp that is no number", body, changed("webhook-timestamp", "1e9"), 401},
		{"an empty signature", body, changed("webhook-signature", "v1,"), 401},
		{"no signature headers", body, http.Header{}, 401},
		{"a timestamp with a sign", body, changed("webhook-timestamp", fmt.Sprintf("+%d", now.Unix())), 401},
		shifted(t, body, secret),
	}
	add := func(name string, want int) func(string, http.Header) {
		return func(body string, header http.Header) {
			cases = append(cases, foreignCase{name, body, header, want})
		}
	}
	add("signed, but not JSON", 400)(signedBody("x"))
	add("signed, but null", 400)(signedBody("null"))
	add("signed, but a list", 400)(signedBody("[]"))
	add("110 kB, which some frameworks refuse", 200)(of(110_000))
	add("2 MiB", 200)(of(maxForeign))
	add("more than 2 MiB", 413)(of(maxForeign + 1))
	return cases
}

// lostHeader is a test event that came through a gateway which drops webhook-test.
func lostHeader(t *testing.T, secret webhook.Secret) foreignCase {
	t.Helper()
	e := webhook.Event{ID: "evt_2", Type: "acme.thing", AccountID: "acme", Timestamp: time.Now(), Data: madeUp, Test: true}
	req := webhooktest.NewRequest(t, secret, e)
	req.Header.Del("webhook-test")
	body, err := io.ReadAll(req.Body)
	require.NoError(t, err)
	return foreignCase{testWithoutHeader, string(body), req.Header, 200}
}

const (
	testWithoutHeader = "a test without its header"
	madeUp            = "made up" // the data, which no receiver may print
)

// maxForeign is the largest body that the receivers in the documentation take.
const maxForeign = 2 << 20

// shifted is a request whose text was signed with other borders: what is signed as
// the beginning of a body comes as a timestamp, and the real one within the id.
func shifted(t *testing.T, body string, secret webhook.Secret) foreignCase {
	t.Helper()
	now := time.Now()
	h := http.Header{"Content-Type": {"application/json"}}
	m := webhook.Message{ID: "evt_1", Timestamp: now.Add(-time.Hour), Body: fmt.Appendf(nil, "%d.%s", now.Unix(), body)}
	require.NoError(t, webhook.StandardSigner().Sign(h, m, secret))
	h.Set("webhook-id", fmt.Sprintf("evt_1.%d", m.Timestamp.Unix()))
	h.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	return foreignCase{"the borders of what is signed shifted", body, h, 401}
}

// foreign is a receiver of docs/receivers.md in another language.
type foreign struct {
	language, command, file string
	run                     func(t *testing.T, command, file string, secret webhook.Secret)
	refuses                 func(t *testing.T, command, file, secret string) // an entry of an environment, or "" for none
}

var foreigners = []foreign{
	{"js", "node", "receiver.mjs", runServer, serverRefuses},
	{"python", "python3", "receiver.py", runServer, serverRefuses},
	{"php", "php", "receiver.php", runPHP, phpRefuses},
	{"ruby", "ruby", "receiver.rb", runRack, rackRefuses},
}

// write puts the code of the documentation into a folder and returns the command
// and the file.
func (f foreign) write(t *testing.T) (command, file string) {
	t.Helper()
	command = needCommand(t, f.command)
	file = filepath.Join(t.TempDir(), f.file)
	require.NoError(t, os.WriteFile(file, []byte(docSnippet(t, "## Other languages", f.language)), 0o600))
	return command, file
}

// needCommand skips the test where a program is missing, and fails it in CI.
func needCommand(t *testing.T, name string) string {
	t.Helper()
	command, err := exec.LookPath(name)
	if err != nil {
		require.Empty(t, os.Getenv("CI"), "CI needs %s", name)
		t.Skip("no " + name)
	}
	return command
}

// What docs/receivers.md shows for other languages runs as it stands there.
func TestReceiversInOtherLanguages(t *testing.T) {
	t.Parallel()
	if race.Enabled {
		t.Skip("skipped: it runs other programs, and go test work runs it")
	}
	for _, f := range foreigners {
		t.Run(f.language, func(t *testing.T) {
			t.Parallel()
			command, file := f.write(t)
			f.run(t, command, file, webhook.NewSecret())
		})
	}
}

// docSnippet returns the first code of a language under a heading of the
// documentation.
func docSnippet(t *testing.T, heading, language string) string {
	t.Helper()
	doc, err := os.ReadFile("../../docs/receivers.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(doc), "\n"+heading+"\n")
	require.True(t, found, "no %s", heading)
	_, rest, found := strings.Cut(section, "\n```"+language+"\n")
	require.True(t, found, "no %s", language)
	code, _, _ := strings.Cut(rest, "\n```\n")
	return code + "\n"
}

// start runs a program until the test ends.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// runServer runs a program that says on which port it listens.
func runServer(t *testing.T, command, file string, secret webhook.Secret) {
	given := secret
	if public := secret.Public(); !public.IsZero() {
		given = public
	}
	cmd := withSecret(t, "WEBHOOK_SECRET="+given.Reveal(), command, file)
	cmd.Env = append(cmd.Env, "PORT=0")
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	start(t, cmd)
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	port := strings.TrimSpace(strings.TrimPrefix(line, "listening on port "))
	events := make(chan string, 16)
	go func() {
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				close(events)
				return
			}
			events <- line
		}
	}()
	postAll(t, "http://127.0.0.1:"+port, secret)
	first := <-events
	assert.Contains(t, first, "call.completed")
	assert.NotContains(t, first, madeUp)
	require.NoError(t, cmd.Process.Kill())
	for line := range events {
		assert.NotContains(t, line, "call.completed", "handled once")
		assert.NotContains(t, line, madeUp)
	}
}

// runPHP runs PHP's own server, which wants to be told a port.
func runPHP(t *testing.T, command, file string, secret webhook.Secret) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	cmd := exec.CommandContext(t.Context(), command, "-S", addr, file)
	cmd.Env = append(os.Environ(), "WEBHOOK_SECRET="+secret.Reveal())
	log, err := cmd.StderrPipe()
	require.NoError(t, err)
	start(t, cmd)
	lines := bufio.NewScanner(log)
	for lines.Scan() && !strings.Contains(lines.Text(), "started") {
	}
	var printed bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines.Scan() {
			printed.Write(append(lines.Bytes(), '\n'))
		}
	}()
	postAll(t, "http://"+addr, secret)
	require.NoError(t, cmd.Process.Kill())
	<-done
	assert.Contains(t, printed.String(), "call.completed")
	assert.NotContains(t, printed.String(), madeUp)
}

func postAll(t *testing.T, url string, secret webhook.Secret) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for _, c := range foreignCases(t, secret) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(c.body))
		require.NoError(t, err)
		req.Header = c.header
		resp, err := client.Do(req)
		if err != nil && c.want == http.StatusRequestEntityTooLarge {
			continue // it hung up before everything was sent
		}
		if assert.NoError(t, err, c.name) {
			_ = resp.Body.Close()
			assert.Equal(t, c.want, resp.StatusCode, c.name)
		}
	}
}

// rackHarness calls a Rack application with the requests of a file.
const rackHarness = `
require "stringio"
JSON.parse(File.read(ARGV.fetch(0))).each do |env, body|
  puts Receiver.call(env.merge("rack.input" => StringIO.new(body))).first
end
`

func runRack(t *testing.T, command, file string, secret webhook.Secret) {
	cases := foreignCases(t, secret)
	var requests [][2]any
	for _, c := range cases {
		env := map[string]string{}
		for name, values := range c.header {
			env["HTTP_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))] = values[0]
		}
		requests = append(requests, [2]any{env, c.body})
	}
	input, err := json.Marshal(requests)
	require.NoError(t, err)
	requestFile := filepath.Join(filepath.Dir(file), "requests.json")
	require.NoError(t, os.WriteFile(requestFile, input, 0o600))
	code, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, append(code, rackHarness...), 0o600))

	cmd := exec.CommandContext(t.Context(), command, file, requestFile)
	cmd.Env = append(os.Environ(), "WEBHOOK_SECRET="+secret.Reveal())
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.Output()
	require.NoError(t, err, log.String())
	got := strings.Fields(string(out))
	require.Len(t, got, len(cases))
	for i, c := range cases {
		assert.Equal(t, strconv.Itoa(c.want), got[i], c.name)
	}
	assert.Equal(t, 1, strings.Count(log.String(), "call.completed"), fmt.Sprintf("handled once:\n%s", &log))
	assert.NotContains(t, log.String(), madeUp)
}
