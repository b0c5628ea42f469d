package httpsend_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook/internal/httpsend"
)

const (
	okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	// surplus is an answer that nobody asked for.
	surplus = "HTTP/1.1 200 OK\r\nX-Peer: " + secretBanner + "\r\nContent-Length: 0\r\n\r\n"
)

// surplusWays are what a receiver can write besides its answer. Each part is a
// write of its own.
var surplusWays = map[string][]string{
	"two answers in one segment":  {okAnswer + surplus},
	"many answers in one segment": {okAnswer + strings.Repeat(surplus, 300)},
	"half an answer more":         {okAnswer + surplus[:20]},
	"one byte more":               {okAnswer + "H"},
	"a body beyond its length":    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab" + surplus},
	"204 with a body":             {"HTTP/1.1 204 No Content\r\n\r\n" + surplus},
	"304 with a body":             {"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n" + surplus},
	"after the last chunk":        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n" + surplus},
	"after a trailer":             {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n" + surplus},
	"after Connection: close":     {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" + surplus},
	"after hints":                 {"HTTP/1.1 103 Early Hints\r\n\r\n" + okAnswer + surplus},
	"the answer in two segments":  {okAnswer[:30], okAnswer[30:] + surplus},
}

// sharedHost serves two accounts under one host: /good answers once, whatever
// else writes the parts. It returns the URL and what was handled, by id.
func sharedHost(t testing.TB, overTLS *tls.Config, parts ...string) (url string, handled *sync.Map) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	handled = new(sync.Map)
	var serving sync.WaitGroup
	serve := func(c net.Conn) {
		defer c.Close()
		if overTLS != nil {
			c = tls.Server(c, overTLS)
		}
		br := bufio.NewReader(c)
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			handled.Store(r.Header.Get("Webhook-Id"), true)
			answer := parts
			if r.URL.Path == "/good" {
				answer = []string{okAnswer}
			}
			for _, p := range answer {
				if _, err := io.WriteString(c, p); err != nil {
					return
				}
			}
		}
	}
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { serve(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); serving.Wait() })
	scheme := "http://"
	if overTLS != nil {
		scheme = "https://"
	}
	return scheme + l.Addr().String(), handled
}

// Whatever one account's receiver writes besides its answers: every request that
// is recorded as answered was handled, the other account's and its own.
func TestSurplusBytesNeverBecomeAResponse(t *testing.T) { // B40
	t.Parallel()
	cert, roots := certificate(t, func(*x509.Certificate) {})
	for name, parts := range surplusWays {
		for _, overTLS := range []*tls.Config{nil, {Certificates: []tls.Certificate{cert}}, {Certificates: []tls.Certificate{cert}, MaxVersion: tls.VersionTLS12}} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				url, handled := sharedHost(t, overTLS, parts...)
				cfg := loopback()
				cfg.TLS = &tls.Config{RootCAs: roots}
				tr := newSender(t, cfg)
				sendToBoth(t, tr, url, 60, func(account, id string) {
					_, ok := handled.Load(id)
					assert.True(t, ok, "%s %s was answered and not handled", account, id)
				})
			})
		}
	}
}

// A second answer in a segment of its own can cross the next request on the way.
// Nobody can tell then, but it is the same account's request.
func TestSurplusBytesInASegmentOfTheirOwnStayInTheirAccount(t *testing.T) { // B40
	t.Parallel()
	url, handled := sharedHost(t, nil, okAnswer, surplus)
	sendToBoth(t, newSender(t, loopback()), url, 2000, func(account, id string) {
		_, ok := handled.Load(id)
		assert.True(t, ok || account == "bad", "%s %s was answered and not handled", account, id)
	})
}

// sendToBoth sends n requests of each of two accounts, four of each at a time, and
// tells of each that was answered 2xx.
func sendToBoth(t *testing.T, tr *sender, url string, n int, answered func(account, id string)) {
	t.Helper()
	var wg sync.WaitGroup
	var delivered atomic.Int64
	for worker := range 8 {
		account := []string{"good", "bad"}[worker%2]
		wg.Go(func() {
			for i := range n / 4 {
				id := fmt.Sprint(account, worker, "-", i)
				res, err := tr.Send(t.Context(), httpsend.Request{
					URL: url + "/" + account, Owner: account, Body: []byte(`{}`),
					Header: http.Header{"Webhook-Id": {id}},
				})
				if assert.NoError(t, err, "%s costs no attempt", id) && res.StatusCode/100 == 2 {
					delivered.Add(1)
					answered(account, id)
				}
			}
		})
	}
	wg.Wait()
	assert.GreaterOrEqual(t, delivered.Load(), int64(n), "those of the good account at least")
}

// The bytes of a peer reach no log, and what an idle connection receives ends it.
// Not parallel: the standard logger is the process's.
func TestSurplusBytesReachNoLog(t *testing.T) { // B41
	var logged lockedBuffer
	writer := log.Writer()
	log.SetOutput(&logged)
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() {
		slog.SetDefault(before)
		log.SetOutput(writer)
	})
	synctest.Test(t, func(t *testing.T) {
		tr := newSender(t, overHTTP())
		var connections atomic.Int32
		inMemory(t, tr, func(c net.Conn) {
			connections.Add(1)
			answerWith(okAnswer)(c)
			time.Sleep(time.Second)
			_, _ = io.WriteString(c, surplus)
			hang(c)
		})
		for i := range 3 {
			res, err := postTo(t, tr, "http://a.example/")
			require.NoError(t, err)
			assert.Empty(t, res.Header["X-Peer"])
			time.Sleep(2 * time.Second)
			assert.EqualValues(t, i+1, connections.Load())
		}
	})
	for _, parts := range surplusWays {
		url, _ := sharedHost(t, nil, parts...)
		sendToBoth(t, newSender(t, loopback()), url, 40, func(string, string) {})
	}
	assert.Empty(t, logged.String())
}

// lockedBuffer is a bytes.Buffer for several goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// A receiver that answers before it can have read the request answers nothing.
func TestAResponseBeforeTheRequest(t *testing.T) { // B42
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := newSender(t, overHTTP())
		inMemory(t, tr, func(c net.Conn) {
			answerWith(okAnswer)(c)
			_, _ = io.WriteString(c, surplus) // while the connection is idle
			answerWith(okAnswer)(c)
		})
		for range 5 {
			res, err := postTo(t, tr, "http://a.example/")
			require.NoError(t, err)
			assert.Empty(t, res.Header["X-Peer"])
			synctest.Wait()
		}
	})
}

// Connections are not shared between accounts.
func TestAccountsShareNoConnection(t *testing.T) { // B40
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := newSender(t, overHTTP())
		var connections atomic.Int32
		inMemory(t, tr, func(c net.Conn) {
			connections.Add(1)
			for readRequest(c) != nil {
				_, _ = io.WriteString(c, okAnswer)
			}
		})
		for range 3 {
			for _, account := range []string{"a", "b"} {
				_, err := tr.Send(t.Context(), httpsend.Request{URL: "http://a.example/", Owner: account, Header: http.Header{}, Body: []byte("{}")})
				require.NoError(t, err)
			}
		}
		assert.EqualValues(t, 2, connections.Load())
	})
}
