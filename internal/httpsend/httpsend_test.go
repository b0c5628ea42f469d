package httpsend_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringyo-ai/webhook/internal/egress"
	"github.com/ringyo-ai/webhook/internal/httpsend"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// strict are usual limits and the strict policy: https to public addresses.
func strict() httpsend.Config {
	return httpsend.Config{
		ConnectTimeout: 3 * time.Second, ResponseTimeout: 5 * time.Second, Timeout: 10 * time.Second,
		Excerpt: 1024, MaxIdle: 1000, IdleTimeout: time.Minute,
	}
}

// overHTTP lets a sender reach the prefixes too, and over plain HTTP.
func overHTTP(prefixes ...string) httpsend.Config {
	cfg := strict()
	cfg.Policy.AllowHTTP = true
	for _, p := range prefixes {
		cfg.Policy.Allow = append(cfg.Policy.Allow, netip.MustParsePrefix(p))
	}
	return cfg
}

// loopback lets a sender reach test servers.
func loopback() httpsend.Config { return overHTTP("127.0.0.0/8") }

type dialFunc = func(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error)

// sender is a Sender whose dialling a test can replace.
type sender struct {
	*httpsend.Sender
	dial dialFunc
}

func newSender(t testing.TB, cfg httpsend.Config) *sender {
	t.Helper()
	s := &sender{dial: func(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error) {
		return d.DialContext(ctx, network, addr)
	}}
	cfg.Dial = func(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error) {
		return s.dial(ctx, d, network, addr)
	}
	s.Sender = httpsend.New(cfg)
	t.Cleanup(s.CloseIdle)
	return s
}

func postTo(t testing.TB, tr *sender, url string) (httpsend.Response, error) {
	t.Helper()
	return tr.Send(t.Context(), httpsend.Request{URL: url, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(`{"a":1}`)})
}

func failure(t testing.TB, err error) *httpsend.Error {
	t.Helper()
	var e *httpsend.Error
	require.ErrorAs(t, err, &e)
	return e
}

// secretBanner stands for anything of the peer that an endpoint's owner must
// not be able to read through an error.
const secretBanner = "S3CRET-BANNER"

// rawServer accepts connections and hands each to serve, which owns it until it
// returns.
func rawServer(t testing.TB, serve func(c net.Conn)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return "http://" + l.Addr().String() + "/"
}

// answerWith reads one request and writes raw.
func answerWith(raw string) func(net.Conn) {
	return func(c net.Conn) {
		readRequest(c)
		_, _ = io.WriteString(c, raw)
	}
}

func readRequest(c net.Conn) *http.Request {
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return nil
	}
	_, _ = io.Copy(io.Discard, r.Body)
	return r
}

// details are the words that an Error may show.
func details() []string {
	all := httpsend.Details()
	for _, k := range []egress.Kind{
		egress.TooLong, egress.Malformed, egress.Scheme, egress.Userinfo, egress.Host, egress.HostNotASCII,
		egress.HostNumeric, egress.Address, egress.Port, egress.PortBlocked, egress.Fragment,
	} {
		all = append(all, k.Problem())
	}
	return all
}

// assertFixedWords asserts that an error shows one of our own sentences.
func assertFixedWords(t testing.TB, e *httpsend.Error) {
	t.Helper()
	assert.Contains(t, details(), e.Detail)
	assert.Equal(t, "httpsend: "+string(e.Kind)+": "+e.Detail, e.Error())
}

// inMemory makes tr talk to serve over a pipe, so that time can be virtual.
// serve runs until it returns; then its connection is closed.
func inMemory(t testing.TB, tr *sender, serve func(c net.Conn)) {
	t.Helper()
	var serving sync.WaitGroup
	tr.dial = func(_ context.Context, _ *net.Dialer, _, addr string) (net.Conn, error) {
		if addr == "slow.example:80" {
			time.Sleep(2 * time.Second)
		}
		ours, theirs := net.Pipe()
		serving.Go(func() {
			defer theirs.Close()
			serve(theirs)
		})
		return ours, nil
	}
	t.Cleanup(func() {
		tr.CloseIdle()
		serving.Wait()
	})
}

// hang waits until the other side closes.
func hang(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
