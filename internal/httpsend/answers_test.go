package httpsend_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook/internal/httpsend"
)

func TestOnlyTheStatusDecides(t *testing.T) {
	t.Parallel()
	const ok, rest = "HTTP/1.1 200 OK\r\n", "Content-Length: 0\r\n\r\n"
	for _, c := range []struct {
		number, raw string
		status      int
		body        string
	}{
		{"B1", ok + rest, 200, ""},
		{"B1", "HTTP/1.1 201 Created\r\n" + rest, 201, ""},
		{"B1", "HTTP/1.1 202 Accepted\r\n" + rest, 202, ""},
		{"B1", "HTTP/1.1 204 No Content\r\n\r\n", 204, ""},
		{"B1", "HTTP/1.1 206 Partial Content\r\n" + rest, 206, ""},
		{"B1", "HTTP/1.1 299 Fine\r\n" + rest, 299, ""},
		{"B1", "HTTP/1.0 200 OK\r\n\r\nhello", 200, "hello"},
		{"B6", ok + "Content-Length: 1000\r\n\r\nabc", 200, "abc"},
		{"B6", ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 200, ""},
		{"B9", ok + "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08", 200, "\x1f\x8b\x08"},
		{"B10", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + ok + rest, 200, ""},
		{"B10", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 3) + ok + rest, 200, ""},
		{"B12", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nframes", 101, ""},
		{"B13", "HTTP/1.1 302 Found\r\n" + rest, 302, ""},
		{"B14", "HTTP/1.1 000 What\r\n" + rest, 0, ""},
		{"B14", "HTTP/1.1 999 What\r\n" + rest, 999, ""},
		{"B14", "HTTP/1.1 300 What\r\n" + rest, 300, ""},
		{"B19", "HTTP/1.1 400 Bad Request\r\n" + rest, 400, ""},
		{"B19", "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\n" + rest, 401, ""},
		{"B19", "HTTP/1.1 404 Not Found\r\n" + rest, 404, ""},
		{"B20", "HTTP/1.1 410 Gone\r\n" + rest, 410, ""},
		{"B21", "HTTP/1.1 413 Too Large\r\n" + rest, 413, ""},
		{"B26", "HTTP/1.1 521 Down\r\n" + rest, 521, ""},
		{"B27", ok + "Content-Length: 13\r\n\r\n{\"error\":\"x\"}", 200, `{"error":"x"}`},
		{"B39", ok + "Webhook-Delivery: abort-message\r\n" + rest, 200, ""},
		{"A48", "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n" + rest, 302, ""},
		{"A48", "HTTP/1.1 307 Temporary\r\nLocation: http://169.254.169.254/\r\n" + rest, 307, ""},
		{"A48", "HTTP/1.1 308 Permanent\r\nLocation: http://169.254.169.254/\r\n" + rest, 308, ""},
		{"A49", "HTTP/1.1 301 Moved\r\nLocation: http://%zz:x/\r\n" + rest, 301, ""},
		{"A53", ok + "Alt-Svc: h2=\"127.0.0.1:1\"\r\nRefresh: 0; url=http://127.0.0.1:1/\r\nStrict-Transport-Security: max-age=9\r\n" + rest, 200, ""},
	} {
		var requests atomic.Int32
		url := rawServer(t, func(conn net.Conn) { requests.Add(1); answerWith(c.raw)(conn) })
		res, err := postTo(t, newSender(t, loopback()), url)
		if !assert.NoError(t, err, "%s %.40q", c.number, c.raw) {
			continue
		}
		assert.Equal(t, c.status, res.StatusCode, c.number)
		assert.Equal(t, c.body, string(res.Body), c.number)
		assert.Equal(t, int32(1), requests.Load(), "%s one attempt is one request", c.number)
	}
}

func TestResponsesThatAreNotHTTP(t *testing.T) {
	t.Parallel()
	const protocol, connection = httpsend.Protocol, httpsend.Connection
	for _, c := range []struct {
		number, raw string
		kind        httpsend.Kind
	}{
		{"B8", "", connection},
		{"B8", "HTTP/1.1 200 OK", connection},
		{"B15", "HTTP/1.1 20", protocol},
		{"B8", "HTTP/1.1 200 OK\r\nX: ", connection},
		{"B11", strings.Repeat("HTTP/1.1 103 Early Hints\r\nX: "+secretBanner+"\r\n\r\n", 3000), protocol},
		{"B11", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat(secretBanner, 8000), protocol},
		{"B15", "HTTP/1.1 20 OK\r\n\r\n", protocol},
		{"B15", "HTTP/1.1 2000 OK\r\n\r\n", protocol},
		{"B15", "HTTP/1.1 -200 OK\r\n\r\n", protocol},
		{"B16", "SSH-2.0-" + secretBanner + "\r\n", protocol},
		{"B16", "-ERR " + secretBanner + "\r\n", protocol},
		{"B16", "\x15\x03\x01\x00\x02\x02\x0a" + secretBanner + "\r\n", protocol},
		{"B18", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", protocol},
		{"B18", "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n", protocol},
		{"B18", "HTTP/1.1 200 OK\r\nContent-Length: 100000000000000000000\r\n\r\n", protocol},
		{"B18", "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + secretBanner + "\r\n\r\n", protocol},
		{"B18", "HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n", protocol},
		{"B18", "HTTP/1.1 200 OK\r\n" + secretBanner + "\r\n\r\n", protocol},
		{"B18", "HTTP/1.1 200 OK\r\n folded: " + secretBanner + "\r\n\r\n", protocol},
	} {
		url := rawServer(t, answerWith(c.raw))
		res, err := postTo(t, newSender(t, loopback()), url)
		if !assert.Error(t, err, "%s %.40q: %+v", c.number, c.raw, res) {
			continue
		}
		e := failure(t, err)
		assert.Equal(t, c.kind, e.Kind, "%s %.40q: %v", c.number, c.raw, e.Err)
		assertFixedWords(t, e) // B16, B17
	}
}

// What is wrong with the answer is not laid at a header's door that can be sent.
func TestResponsesThatAreNotHTTPToHeadersWithASpace(t *testing.T) {
	t.Parallel()
	url := rawServer(t, answerWith("SSH-2.0-x\r\n"))
	req := httpsend.Request{URL: url, Header: http.Header{"X-Shop": {"two words\tand a tab"}}, Body: []byte(`{}`)}
	_, err := newSender(t, loopback()).Send(t.Context(), req)
	assert.Equal(t, httpsend.Protocol, failure(t, err).Kind)
}

func TestResetBeforeTheResponse(t *testing.T) { // B7, B17
	t.Parallel()
	url := rawServer(t, func(c net.Conn) {
		readRequest(c)
		_ = c.(*net.TCPConn).SetLinger(0)
	})
	_, err := postTo(t, newSender(t, loopback()), url)
	e := failure(t, err)
	assert.Equal(t, httpsend.Connection, e.Kind)
	assertFixedWords(t, e)
}

func TestConnectionRefused(t *testing.T) { // B31
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	_, err = postTo(t, newSender(t, loopback()), "http://"+l.Addr().String())
	e := failure(t, err)
	assert.Equal(t, httpsend.Refused, e.Kind)
	assertFixedWords(t, e)
}

// The body is read as far as its excerpt may need it and no farther.
func TestEndlessBodies(t *testing.T) { // B4, B5, B9
	t.Parallel()
	for _, c := range []struct {
		status  string
		excerpt int
		want    int
	}{{"200 OK", 1024, 1024}, {"500 Oops", 1024, 1024}, {"200 OK", -1, 0}, {"200 OK", 4096, 4096}, {"500 Oops", 7, 7}} {
		var written atomic.Int64
		closed := make(chan struct{})
		url := rawServer(t, func(conn net.Conn) {
			defer close(closed)
			readRequest(conn)
			_, _ = io.WriteString(conn, "HTTP/1.1 "+c.status+"\r\n\r\n")
			for chunk := bytes.Repeat([]byte("x"), 1024); ; {
				n, err := conn.Write(chunk)
				if written.Add(int64(n)); err != nil {
					return
				}
			}
		})
		cfg := loopback()
		cfg.Excerpt = c.excerpt
		res, err := postTo(t, newSender(t, cfg), url)
		require.NoError(t, err)
		assert.Len(t, res.Body, c.want)
		<-closed // the connection was dropped, not drained
	}
}

func TestSwitchingProtocolsLeavesNoConnectionBehind(t *testing.T) { // B12
	t.Parallel()
	closed := make(chan error, 1)
	url := rawServer(t, func(c net.Conn) {
		readRequest(c)
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
		_, err := c.Read(make([]byte, 1))
		closed <- err
	})
	res, err := postTo(t, newSender(t, loopback()), url)
	require.NoError(t, err)
	assert.Equal(t, 101, res.StatusCode)
	assert.Error(t, <-closed)
}

// An answer in the middle of the request is the answer.
func TestEarlyResponse(t *testing.T) { // B32
	t.Parallel()
	url := rawServer(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 100))
		_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	})
	body := bytes.Repeat([]byte("x"), 8<<20)
	res, err := newSender(t, loopback()).Send(t.Context(), httpsend.Request{URL: url, Header: http.Header{}, Body: body})
	require.NoError(t, err)
	assert.Equal(t, 413, res.StatusCode)
}

func TestConnectionsAreReused(t *testing.T) { // B38
	t.Parallel()
	for _, c := range []struct {
		name, body, header string
		connections        int32
	}{
		{"no body", "", "", 1},
		{"short body", "thanks", "", 1},
		{"whole buffer", strings.Repeat("x", 4096), "", 1},
		{"long body", strings.Repeat("x", 4097), "", 3},
		{"close asked for", "", "close", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var connections atomic.Int32
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.Empty(t, r.Cookies())
				assert.Empty(t, r.Header["Idempotency-Key"])
				http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
				if c.header != "" {
					w.Header().Set("Connection", c.header)
				}
				_, _ = io.WriteString(w, c.body)
			}))
			srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
				if s == http.StateNew {
					connections.Add(1)
				}
			}
			srv.Start()
			t.Cleanup(srv.Close)
			tr := newSender(t, loopback())
			for range 3 {
				_, err := tr.Send(t.Context(), httpsend.Request{URL: srv.URL, Header: http.Header{"Idempotency-Key": {"x"}}, Body: []byte("{}")}) // B34
				require.NoError(t, err)
			}
			assert.Equal(t, c.connections, connections.Load())
		})
	}
}

// A server that closes a kept-alive connection as the request arrives costs no
// failure: the request is sent once more, on a new connection. One that does so there
// too has failed.
func TestAKeptAliveConnectionThatClosesUnderARequest(t *testing.T) { // B34
	t.Parallel()
	for name, c := range map[string]struct {
		size   int
		reads  bool // the request, before it closes
		resets bool
		fails  bool // the new connection too
	}{
		"after the request":             {size: 10, reads: true},
		"before the request":            {size: 10, resets: true},
		"by a reset":                    {size: 10, reads: true, resets: true},
		"in the middle of a large body": {size: 4 << 20, resets: true},
		"always":                        {size: 10, reads: true, fails: true},
		"always, by a reset":            {size: 10, reads: true, resets: true, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var connections atomic.Int32
			url := rawServer(t, func(conn net.Conn) {
				n := connections.Add(1)
				if c.fails && n > 1 {
					readRequest(conn)
					return
				}
				for br := bufio.NewReader(conn); ; {
					r, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					if n > 1 {
						continue
					}
					_, _ = br.Peek(1)
					if c.reads {
						r, _ := http.ReadRequest(br)
						_, _ = io.Copy(io.Discard, r.Body)
					}
					if c.resets {
						_ = conn.(*net.TCPConn).SetLinger(0)
					}
					return
				}
			})
			tr := newSender(t, loopback())
			body := bytes.Repeat([]byte("x"), c.size)
			send := func() error {
				_, err := tr.Send(t.Context(), httpsend.Request{URL: url, Header: http.Header{}, Body: body})
				return err
			}
			require.NoError(t, send())
			err := send()
			assert.Equal(t, int32(2), connections.Load())
			if c.fails {
				assert.Equal(t, httpsend.Connection, failure(t, err).Kind)
			} else {
				assert.NoError(t, err)
			}
		})
	}
}

// The repeat has what is left of the time, and its connection a time of its own.
func TestTheTimeOfARepeatedRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := newSender(t, overHTTP())
		connections := 0
		inMemory(t, tr, func(c net.Conn) {
			br := bufio.NewReader(c)
			connections++
			if connections > 1 {
				hang(c)
				return
			}
			for _, text := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""} {
				r, err := http.ReadRequest(br)
				if err == nil {
					_, _ = io.Copy(io.Discard, r.Body)
				}
				if text == "" {
					time.Sleep(4 * time.Second)
				}
				_, _ = io.WriteString(c, text)
			}
		})
		_, err := postTo(t, tr, "http://slow.example/") // connecting takes 2 s
		require.NoError(t, err)
		synctest.Wait()
		start := time.Now()
		_, err = postTo(t, tr, "http://slow.example/")
		assert.Equal(t, httpsend.Timeout, failure(t, err).Kind)
		assert.Equal(t, 10*time.Second, time.Since(start), "4 + 2 + 5 s, but 10 s in all")
		assert.Equal(t, 2, connections)
	})
}

func TestProxiesOfTheEnvironmentAreIgnored(t *testing.T) { // A50
	proxy := rawServer(t, func(net.Conn) { t.Error("the proxy was asked") })
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(name, proxy)
	}
	url := rawServer(t, answerWith("HTTP/1.1 200 OK\r\n\r\n"))
	cfg := loopback()
	cfg.Policy.Allow = append(cfg.Policy.Allow, netip.MustParsePrefix("10.0.0.0/8"))
	_, err := postTo(t, newSender(t, cfg), url)
	assert.NoError(t, err)
}

func TestInvalidHeadersAreNotTheReceiversFault(t *testing.T) {
	t.Parallel()
	tr := newSender(t, loopback())
	for _, h := range []http.Header{{"A": {"a\r\nX: b"}}, {"a b": {"c"}}} {
		_, err := tr.Send(t.Context(), httpsend.Request{URL: "http://127.0.0.1/", Header: h, Body: []byte("{}")})
		e := failure(t, err)
		assert.Equal(t, httpsend.Internal, e.Kind)
		assertFixedWords(t, e)
	}
}
