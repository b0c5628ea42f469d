//go:build unix

package itest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

// withoutDescriptors is set in the process that has to do without.
const withoutDescriptors = "WEBHOOK_TEST_WITHOUT_DESCRIPTORS"

// The limit is the whole process's, so the test runs in one of its own, once for
// each resolver, since these notice at different places.
func TestOutOfFileDescriptorsIsOurOwnFault(t *testing.T) { // B31
	if os.Getenv(withoutDescriptors) != "" {
		outOfDescriptors(t)
		return
	}
	t.Parallel()
	for _, resolver := range []string{"go", "cgo"} {
		t.Run(resolver, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestOutOfFileDescriptorsIsOurOwnFault$", "-test.v")
			cmd.Env = append(os.Environ(), withoutDescriptors+"=1", "GODEBUG=netdns="+resolver)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Contains(t, string(out), "4 attempts without a descriptor", "it ran")
		})
	}
}

func outOfDescriptors(t *testing.T) {
	var served atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) }))
	defer server.Close()
	transport, err := webhook.NewHTTPTransport(webhook.HTTPConfig{AllowHTTP: true, AllowPrefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	require.NoError(t, err)
	var ahead atomic.Int64
	store := memstore.NewWith(memstore.Options{Clock: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	var failures []string
	e, err := webhook.New(webhook.Config{
		Store: store, Transport: transport, Logger: slog.New(slog.DiscardHandler),
		Disable: webhook.DisablePolicy{After: 1},
		Retry:   webhook.Schedule{}, // one attempt: if it counted, it would disable
		Hooks: webhook.Hooks{OnAttempt: func(_ context.Context, a webhook.AttemptInfo) {
			failures = append(failures, fmt.Sprint(a.Failure, " ", a.Detail))
		}},
	})
	require.NoError(t, err)
	var ids []string
	// By a name too, since resolving it takes descriptors. It exists nowhere.
	for _, url := range []string{server.URL, strings.Replace(server.URL, "127.0.0.1", "receiver.test", 1)} {
		ep, _, err := e.CreateEndpoint(t.Context(), webhook.EndpointParams{URL: url, Events: []webhook.EventType{"*"}})
		require.NoError(t, err)
		ids = append(ids, ep.ID)
	}
	ev, err := webhook.NewEvent("", "test.happened", 1)
	require.NoError(t, err)
	require.NoError(t, e.Emit(t.Context(), ev))

	release := takeAllDescriptors(t)
	for range 2 {
		n, err := e.DeliverDue(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, n, "%v", failures)
		ahead.Add(int64(time.Hour))
	}
	release()
	require.Len(t, failures, 4)
	for _, f := range failures {
		assert.Contains(t, []string{"local the sender's network is unavailable", "dns_temporary the host name could not be resolved"}, f)
	}
	for _, id := range ids {
		p, err := e.ListDeliveries(t.Context(), "", webhook.DeliveryQuery{EndpointID: id})
		require.NoError(t, err)
		assert.Equal(t, webhook.DeliveryPending, p.Items[0].Status)
		assert.Zero(t, p.Items[0].Attempts, "no attempt is used up")
		ep, err := e.GetEndpoint(t.Context(), "", id)
		require.NoError(t, err)
		assert.Zero(t, ep.ConsecutiveFailures, "nothing counts")
		assert.Equal(t, webhook.EndpointActive, ep.Status)
	}
	t.Logf("%d attempts without a descriptor", len(failures))

	require.NoError(t, e.DeleteEndpoint(t.Context(), "", ids[1]))
	_, err = e.DeliverDue(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, 1, served.Load(), "delivered once there are descriptors again")
	transport.CloseIdleConnections()
}

// takeAllDescriptors leaves the process none, until release is called.
func takeAllDescriptors(t *testing.T) (release func()) {
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	limit.Cur = 128
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	var taken []int
	for {
		fd, err := syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err != nil {
			require.ErrorIs(t, err, syscall.EMFILE)
			break
		}
		taken = append(taken, fd)
	}
	return func() {
		for _, fd := range taken {
			_ = syscall.Close(fd)
		}
	}
}
