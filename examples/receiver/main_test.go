package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ringyo-ai/webhook"
)

func TestReceiverFailsOnRequestAndPrints(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	out, in := io.Pipe()
	done := make(chan error, 1)
	secret := webhook.NewSecret()
	go func() {
		done <- run(ctx, options{addr: "127.0.0.1:0", secrets: secret.Reveal(), fail: 2}, in)
		_ = in.Close()
	}()
	lines := bufio.NewReader(out)
	first, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url := strings.TrimSpace(strings.TrimPrefix(first, "listening on "))
	printed := make(chan string, 1)
	go func() {
		rest, _ := io.ReadAll(lines)
		printed <- string(rest)
	}()

	for i, want := range []int{200, 500, 200} {
		id := []string{"evt_1", "evt_2", "evt_2"}[i]
		body := `{"id":"` + id + `","event":"credits.low","timestamp":"2024-01-15T10:30:00Z","webhook_id":"wh_1","data":{"balance":180,"threshold":200}}`
		if got := post(t, url, id, body, secret); got != want {
			t.Errorf("request %d got %d, want %d", i, got, want)
		}
	}
	if got := post(t, url, "evt_3", "{}", webhook.NewSecret()); got != http.StatusUnauthorized {
		t.Errorf("forged request got %d", got)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	text := <-printed
	for _, want := range []string{"credits.low\n  id evt_1, endpoint wh_1", `"balance": 180`, "explanation="} {
		if !strings.Contains(text, want) {
			t.Errorf("output lacks %q:\n%s", want, text)
		}
	}
}

func post(t *testing.T, url, id, body string, secret webhook.Secret) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	m := webhook.Message{ID: id, Timestamp: time.Now(), Body: []byte(body)}
	if err := webhook.StandardSigner().Sign(req.Header, m, secret); err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func TestReceiverMakesASecretWhenThereIsNone(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s, err := parseSecrets("", &out)
	if err != nil || len(s) != 1 || !strings.Contains(out.String(), s[0].Reveal()) {
		t.Errorf("%v, %d secrets, %q", err, len(s), out.String())
	}
	if _, err := parseSecrets("whsec_short", &out); err == nil {
		t.Error("a malformed secret was taken")
	}
}
