package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

var walk = regexp.MustCompile("(?s)<!-- walk -->\n```sh\n(.*?)```")

// The commands of the README work, against the server that it tells to start.
func TestTheWalkOfTheREADME(t *testing.T) {
	for _, tool := range []string{"sh", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: there is no %s", tool)
		}
	}
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	match := walk.FindSubmatch(page)
	if match == nil {
		t.Fatal("the README has no walk")
	}
	address := freeAddress(t)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, address, "", false) }()
	defer func() {
		stop() // as SIGTERM does
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	waitFor(t, address)

	script := "set -e\n" + strings.ReplaceAll(string(match[1]), "localhost:8080", address)
	// Nothing is sent to the internet: a name that there is not takes its place.
	script = strings.ReplaceAll(script, "https://example.com/", "https://webhook.invalid/")
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	replies := strings.Split(strings.TrimSpace(string(out)), "\n")
	for i, want := range []string{
		`"secret":"whsec_`, `"total":1`, `"delivered":false`, `"status":"inactive"`, `"status":"active"`, `"secret_expires_at":"20`, `"deleted":true`,
	} {
		if i >= len(replies) || !strings.Contains(replies[i], want) {
			t.Errorf("reply %d lacks %s:\n%s", i, want, out)
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func waitFor(t *testing.T, address string) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return
		}
		if time.Since(begin) > time.Minute {
			t.Fatal("the server does not listen")
		}
	}
}
