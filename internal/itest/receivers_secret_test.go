package itest_test

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/race"
)

// badSecrets are entries of an environment that hold no secret, or not the whole of
// one: ParseSecret refuses them too. Many decoders of base64 read some of them as
// an empty key, which everybody knows.
func badSecrets() map[string]string {
	const prefix = "whsec_"
	encoded := func(n int, fill byte) string {
		return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(string([]byte{fill}), n)))
	}
	good := encoded(32, 'k')
	return map[string]string{
		"empty":                   "",
		"the prefix alone":        prefix,
		"no base64":               prefix + "!!!!",
		"padding alone":           prefix + "====",
		"in quotes":               `"` + prefix + good + `"`,
		"in single quotes":        "'" + prefix + good + "'",
		"quotes after the prefix": prefix + `"` + good + `"`,
		"without the prefix":      good,
		"another prefix":          "WHSEC_" + good,
		"a public key":            "whpk_" + good,
		"a space before":          " " + prefix + good,
		"a line end":              prefix + good + "\n",
		"a line end inside":       prefix + good[:20] + "\n" + good[20:],
		"without padding":         prefix + strings.TrimRight(good, "="),
		"too much padding":        prefix + good + "=",
		"base64 for URLs":         prefix + strings.NewReplacer("+", "-", "/", "_").Replace(encoded(32, 0xff)),
		"bits that nobody needs":  prefix + good[:42] + "t=",
		"23 bytes":                prefix + encoded(23, 'k'),
		"65 bytes":                prefix + encoded(65, 'k'),
		"two of them":             prefix + good + "," + prefix + good,
		"the first half":          prefix + good[:20],
	}
}

func TestBadSecretsAreBadInGoToo(t *testing.T) {
	t.Parallel()
	for name, secret := range badSecrets() {
		s, err := webhook.ParseSecret(secret)
		if name == "a public key" {
			require.NoError(t, err)
			assert.Equal(t, s.Reveal(), s.Public().Reveal(), "which signs nothing")
			continue
		}
		assert.Error(t, err, name)
	}
}

// A receiver without a proper secret does not start: one that takes an empty key
// answers 200 to whoever signs with it.
func TestReceiversInOtherLanguagesRefuseBadSecrets(t *testing.T) {
	t.Parallel()
	if race.Enabled {
		t.Skip("skipped: it runs other programs, and go test work runs it")
	}
	for _, f := range foreigners {
		t.Run(f.language, func(t *testing.T) {
			t.Parallel()
			command, file := f.write(t)
			f.refuses(t, command, file, "")
			for name, secret := range badSecrets() {
				t.Run(name, func(t *testing.T) { f.refuses(t, command, file, "WEBHOOK_SECRET="+secret) })
			}
		})
	}
}

// withSecret is a program with an entry of the environment, or without it.
func withSecret(t *testing.T, entry, command string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "WEBHOOK_SECRET=") })
	if entry != "" {
		cmd.Env = append(cmd.Env, entry)
	}
	return cmd
}

// serverRefuses expects a program to end with an error, without listening.
func serverRefuses(t *testing.T, command, file, entry string) {
	cmd := withSecret(t, entry, command, file)
	cmd.Env = append(cmd.Env, "PORT=0")
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	start(t, cmd)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		port := strings.TrimSpace(strings.TrimPrefix(line, "listening on port "))
		require.Fail(t, "it listens", "and answers %d to a forgery", forge(t, "http://127.0.0.1:"+port))
	}
	require.Error(t, cmd.Wait())
	assertComplains(t, log.String(), entry)
}

func rackRefuses(t *testing.T, command, file, entry string) {
	cmd := withSecret(t, entry, command, file)
	var log strings.Builder
	cmd.Stderr = &log
	require.Error(t, cmd.Run())
	assertComplains(t, log.String(), entry)
}

// phpRefuses expects an error in return for each request: PHP has no start.
func phpRefuses(t *testing.T, command, file, entry string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	cmd := withSecret(t, entry, command, "-S", addr, file)
	log, err := cmd.StderrPipe()
	require.NoError(t, err)
	start(t, cmd)
	lines := bufio.NewScanner(log)
	for lines.Scan() && !strings.Contains(lines.Text(), "started") {
	}
	require.Equal(t, http.StatusInternalServerError, forge(t, "http://"+addr), "the answer to a forgery")
	for lines.Scan() && !strings.Contains(lines.Text(), "WEBHOOK_SECRET") {
	}
	assertComplains(t, lines.Text(), entry)
}

// assertComplains wants a message that names the variable and not what is in it.
func assertComplains(t *testing.T, log, entry string) {
	t.Helper()
	assert.Contains(t, log, "WEBHOOK_SECRET")
	if _, value, _ := strings.Cut(entry, "="); len(value) > len("whsec_====") {
		assert.NotContains(t, log, value[10:])
	}
}

// forge posts an event that is signed with the empty key, and returns the status.
func forge(t *testing.T, url string) int {
	t.Helper()
	const body = `{"id":"evt_1","event":"call.completed","timestamp":"2024-01-15T10:30:00Z","webhook_id":"wh_1","data":{}}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header = signedWithNothing("evt_1", time.Now(), body)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	require.NoError(t, err)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// signedWithNothing signs with the empty key, which no Secret can hold.
func signedWithNothing(id string, at time.Time, body string) http.Header {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, nil)
	mac.Write([]byte(id + "." + timestamp + "." + body))
	h := http.Header{"Content-Type": {"application/json"}}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", timestamp)
	h.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return h
}
