package itest_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/race"
	"github.com/ringyo-ai/webhook/memstore"
)

// frontend is a server with a limiter of 5 requests a second before the receiver.
type frontend struct {
	name, command string
	config        string // with @dir@, @listen@ and @receiver@
	args          []string
}

func nginx(name, limit string, status int) frontend {
	return frontend{name, "nginx", fmt.Sprintf(`
daemon off;
master_process off;
pid @dir@/pid;
error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path @dir@/body;
	proxy_temp_path @dir@/proxy;
	fastcgi_temp_path @dir@/fastcgi;
	uwsgi_temp_path @dir@/uwsgi;
	scgi_temp_path @dir@/scgi;
	limit_req_zone $binary_remote_addr zone=hooks:1m rate=5r/s;
	limit_req_status %d;
	server {
		listen @listen@;
		location / {
			limit_req zone=hooks%s;
			proxy_pass http://@receiver@;
		}
	}
}`, status, limit), []string{"-p", "@dir@", "-e", "stderr", "-c", "@dir@/config"}}
}

var frontends = []frontend{
	nginx("nginx, 503", "", 503),
	nginx("nginx, 429", "", 429),
	nginx("nginx, a burst", " burst=20 nodelay", 503),
	{"HAProxy, 429 with Retry-After", "haproxy", `
defaults
	mode http
	timeout connect 5s
	timeout client 30s
	timeout server 30s
frontend hooks
	bind @listen@
	stick-table type ip size 1k expire 30s store http_req_rate(1s)
	http-request track-sc0 src
	http-request return status 429 hdr Retry-After 1 if { sc_http_req_rate(0) gt 5 }
	default_backend receiver
backend receiver
	server receiver @receiver@
`, []string{"-f", "@dir@/config"}},
}

// start starts the server before a receiver and returns its address.
func (f *frontend) start(t *testing.T, receiver string) (address string) {
	t.Helper()
	command, err := exec.LookPath("/usr/sbin/" + f.command)
	if err != nil {
		command = needCommand(t, f.command)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address = l.Addr().String()
	require.NoError(t, l.Close())
	dir := t.TempDir()
	fill := strings.NewReplacer("@dir@", dir, "@listen@", address, "@receiver@", receiver).Replace
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config"), []byte(fill(f.config)), 0o600))
	args := make([]string, len(f.args))
	for i := range args {
		args[i] = fill(f.args[i])
	}
	server := exec.Command(command, args...)
	server.Stderr = t.Output()
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
			return address
		}
		require.Less(t, time.Since(begin), time.Minute, "%s does not listen", f.command)
	}
}

// A burst for an endpoint behind a limiter arrives whole, in one and a half times the
// time that the limiter needs for it.
func TestABurstPassesRealRateLimiters(t *testing.T) {
	t.Parallel()
	if race.Enabled {
		t.Skip("skipped: it runs other programs, and go test work runs it")
	}
	events, within := 40, time.Minute // two retries need 6 s of it, three 36 s
	if os.Getenv("WEBHOOK_TEST_LONG") == "1" {
		events, within = 600, 180*time.Second
	}
	for _, f := range frontends {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var last time.Time
			arrived := map[string]bool{}
			receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				arrived[r.Header.Get("Webhook-Id")], last = true, time.Now()
			}))
			defer receiver.Close()
			address := f.start(t, receiver.Listener.Addr().String())

			transport, err := webhook.NewHTTPTransport(webhook.HTTPConfig{AllowHTTP: true, AllowPrefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
			require.NoError(t, err)
			var refused, exhausted int
			engine, err := webhook.New(webhook.Config{Store: memstore.New(), Transport: transport, Hooks: webhook.Hooks{
				OnAttempt: func(_ context.Context, a webhook.AttemptInfo) {
					if a.StatusCode != http.StatusOK {
						refused++
					}
				},
				OnExhausted: func(context.Context, webhook.DeliveryInfo) { exhausted++ },
			}})
			require.NoError(t, err)
			ep, _, err := engine.CreateEndpoint(t.Context(), webhook.EndpointParams{
				AccountID: "acme", URL: "http://" + address + "/hook", Events: []webhook.EventType{"*"},
			})
			require.NoError(t, err)
			require.NoError(t, engine.Start(t.Context()))
			begin := time.Now()
			for range events {
				ev, err := webhook.NewEvent("acme", "test.happened", 1)
				require.NoError(t, err)
				require.NoError(t, engine.Emit(t.Context(), ev))
			}
			all := func() bool {
				mu.Lock()
				defer mu.Unlock()
				return len(arrived) == events
			}
			for !all() && time.Since(begin) < within {
				time.Sleep(10 * time.Millisecond)
			}
			stored, err := engine.GetEndpoint(t.Context(), "acme", ep.ID)
			require.NoError(t, err)
			require.NoError(t, engine.Stop(context.WithoutCancel(t.Context())))
			mu.Lock()
			defer mu.Unlock()
			t.Logf("%d of %d arrived, the last after %v; %d refused", len(arrived), events, last.Sub(begin), refused)
			assert.Equal(t, events, len(arrived))
			assert.Zero(t, exhausted)
			assert.NotEqual(t, webhook.EndpointInactive, stored.Status)
		})
	}
}
