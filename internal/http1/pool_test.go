package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook/internal/http1"
)

const answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

// rig is a pool whose connections lead to serve, which owns each until it returns.
type rig struct {
	*http1.Pool
	t       *testing.T
	serve   func(c net.Conn)
	wrap    func(c net.Conn) net.Conn // the client's side
	tls     bool
	dialled int
	serving sync.WaitGroup
}

func newRig(t *testing.T, serve func(net.Conn)) *rig {
	r := &rig{Pool: &http1.Pool{MaxIdle: 10, IdleTimeout: time.Minute, MaxHeader: 1 << 16}, t: t, serve: serve}
	r.wrap = func(c net.Conn) net.Conn { return c }
	t.Cleanup(func() { r.CloseIdle(); r.serving.Wait() })
	return r
}

func (r *rig) dial(ctx context.Context) (*http1.Wire, net.Conn, error) {
	r.dialled++
	ours, theirs := net.Pipe()
	r.serving.Go(func() {
		defer theirs.Close()
		r.serve(theirs)
	})
	wire := http1.NewWire(r.wrap(ours), r.tls)
	if !r.tls {
		return wire, wire, nil
	}
	c := tls.Client(wire, &tls.Config{InsecureSkipVerify: true})
	return wire, c, c.HandshakeContext(ctx)
}

func (r *rig) post(owner string) (status int, err error) {
	r.t.Helper()
	x, err := r.RoundTrip(r.t.Context(), r.call(owner))
	if err != nil {
		return 0, err
	}
	defer x.End()
	x.ReadBody(make([]byte, 100))
	return x.StatusCode, nil
}

func (r *rig) call(owner string) http1.Call {
	return http1.Call{Key: http1.Key{Owner: owner, TLS: r.tls, Address: "a.example:80"}, Dial: r.dial, Request: &http.Request{
		Method: http.MethodPost, URL: &url.URL{Scheme: "http", Host: "a.example", Path: "/"}, Header: http.Header{}, ContentLength: 2,
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("{}")), nil },
	}}
}

func (r *rig) ok(owner string) {
	r.t.Helper()
	status, err := r.post(owner)
	require.NoError(r.t, err)
	require.Equal(r.t, 200, status)
}

// answers serves requests with text.
func answers(text string) func(net.Conn) {
	return func(c net.Conn) {
		for br := bufio.NewReader(c); readRequest(br); {
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	}
}

func readRequest(br *bufio.Reader) bool {
	req, err := http.ReadRequest(br)
	if err == nil {
		_, err = io.Copy(io.Discard, req.Body)
	}
	return err == nil
}

// talking is a connection that receives a byte while its watcher is being ended.
type talking struct{ net.Conn }

func (c talking) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && n == 0 && len(p) == 1 {
		p[0] = 'H'
		return 1, err
	}
	return n, err
}

func TestAByteBetweenTakingAndWritingEndsTheConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t, answers(answer))
	r.wrap = func(c net.Conn) net.Conn { return talking{c} }
	for i := range 3 {
		r.ok("a")
		assert.Equal(t, i+1, r.dialled)
	}
}

// A peer that speaks before it is asked does not answer the request.
func TestAPeerThatSpeaksFirst(t *testing.T) { // B42
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	got := make(chan int64, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "x"+answer)
		n, _ := io.Copy(io.Discard, c)
		got <- n
	}()
	r := newRig(t, nil)
	call := r.call("a")
	call.Dial = func(context.Context) (*http1.Wire, net.Conn, error) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			_, err = io.ReadFull(c, make([]byte, 1)) // then the rest has come too
		}
		wire := http1.NewWire(c, false)
		return wire, wire, err
	}
	_, err = r.RoundTrip(t.Context(), call)
	require.Error(t, err)
	assert.Zero(t, <-got, "nothing is sent to it")
}

func TestTalkersConnectionsAreNotKeptForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		text := answer + "x"
		r := newRig(t, func(c net.Conn) { answers(text)(c) })
		r.ok("a")
		synctest.Wait()
		text = answer
		for range 3 {
			r.ok("a")
			synctest.Wait()
		}
		assert.Equal(t, 4, r.dialled)
		for range 3 {
			r.ok("b")
			synctest.Wait()
		}
		assert.Equal(t, 5, r.dialled, "nobody else suffers")
		time.Sleep(10 * time.Minute)
		for range 3 {
			r.ok("a")
			synctest.Wait()
		}
		assert.Equal(t, 6, r.dialled)
	})
}

// What some servers say before they close an idle connection is no second answer.
func TestAFarewellIsNoSurplus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.serve = func(c net.Conn) {
			if readRequest(bufio.NewReader(c)) {
				_, _ = io.WriteString(c, answer)
				time.Sleep(2 * time.Second)
				_, _ = io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")
			}
		}
		r.ok("a")
		time.Sleep(3 * time.Second)
		r.serve = answers(answer)
		for range 3 {
			r.ok("a")
			synctest.Wait()
		}
		assert.Equal(t, 2, r.dialled)
	})
}

func TestTheOldestIdleConnectionGivesWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, answers(answer))
		r.MaxIdle = 2
		for _, c := range []struct {
			owner   string
			dialled int
		}{{"a", 1}, {"b", 2}, {"a", 2}, {"c", 3}, {"a", 3}, {"b", 4}, {"c", 5}} {
			r.ok(c.owner)
			synctest.Wait()
			assert.Equal(t, c.dialled, r.dialled, c.owner)
		}
	})
}

func TestIdleConnectionsExpireOneByOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		open := map[string]bool{}
		var mu sync.Mutex
		r := newRig(t, answers(answer))
		r.wrap = func(c net.Conn) net.Conn {
			name := string(rune('0' + r.dialled))
			mu.Lock()
			defer mu.Unlock()
			open[name] = true
			return closing{c, func() {
				mu.Lock()
				defer mu.Unlock()
				delete(open, name)
			}}
		}
		for _, owner := range []string{"a", "b", "c"} {
			r.ok(owner)
			time.Sleep(20 * time.Second)
		}
		for _, left := range []int{2, 1, 0, 0} {
			synctest.Wait()
			mu.Lock()
			assert.Len(t, open, left)
			mu.Unlock()
			time.Sleep(20 * time.Second)
		}
		r.ok("a") // and again from the beginning
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Empty(t, open)
	})
}

// closing tells when it is closed.
type closing struct {
	net.Conn
	told func()
}

func (c closing) Close() error { c.told(); return c.Conn.Close() }

// deaf is a connection on which a write fails: with nothing written, or after some.
type deaf struct {
	net.Conn
	fail    *bool
	written int
}

func (c deaf) Write(p []byte) (int, error) {
	if !*c.fail {
		return c.Conn.Write(p)
	}
	*c.fail = false
	_ = c.Conn.Close()
	return c.written, errors.New("broken")
}

func TestARequestThatCouldNotBeWrittenIsSentAgain(t *testing.T) {
	t.Parallel()
	for _, written := range []int{0, 1} {
		fail := false
		r := newRig(t, answers(answer))
		r.wrap = func(c net.Conn) net.Conn { return deaf{c, &fail, written} }
		r.ok("a")
		fail = true
		r.ok("a")
		assert.Equal(t, 2, r.dialled, "%d bytes written", written)
		fail = true
		_, err := r.post("b")
		assert.Error(t, err, "a new connection is no reason to try another")
		assert.Equal(t, 3, r.dialled, "%d bytes written", written)
	}
}

// tiring serves one request of each connection, then says the last words in place of
// an answer and closes. It counts what it reads.
func tiring(r *rig, last string, seen *atomic.Int32) func(net.Conn) {
	return func(c net.Conn) {
		if r.tls {
			c = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate(r.t)}})
		}
		br := bufio.NewReader(c)
		for _, text := range []string{answer, last} {
			if !readRequest(br) {
				return
			}
			seen.Add(1)
			_, _ = io.WriteString(c, text)
		}
		_ = c.Close()
	}
}

// A server whose idle timeout ends while a request is on its way says nothing to it.
func TestARequestThatMeetsAClosingConnectionIsSentOnceMore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tls, large bool
		last       string
		repeated   bool
	}{
		"nothing":                  {repeated: true},
		"nothing over TLS":         {tls: true, repeated: true},
		"nothing to a large body":  {large: true, repeated: true},
		"a byte":                   {last: "H"},
		"a byte over TLS":          {tls: true, last: "H"},
		"a byte to a large body":   {large: true, last: "H"},
		"an answer before the own": {last: "HTTP/1.1 103 Early Hints\r\n\r\n"},
		"no HTTP":                  {last: "220 mail.example.com\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen atomic.Int32
			r := newRig(t, nil)
			r.tls, r.serve = c.tls, tiring(r, c.last, &seen)
			post := func() error {
				call, written := r.call("a"), 0
				if c.large {
					call.Written = func() { written++ }
				}
				x, err := r.RoundTrip(t.Context(), call)
				if err == nil {
					defer x.End()
					assert.Equal(t, 200, x.StatusCode)
				}
				return err
			}
			require.NoError(t, post())
			err := post()
			if c.repeated {
				require.NoError(t, err)
				assert.Equal(t, 2, r.dialled)
				assert.Equal(t, int32(3), seen.Load())
				return
			}
			assert.Error(t, err)
			assert.Equal(t, 1, r.dialled)
			assert.Equal(t, int32(2), seen.Load())
		})
	}
}

// The repeat is one, and on a new connection: others that lie idle are of the same age.
func TestARequestIsRepeatedOnceAtMost(t *testing.T) {
	t.Parallel()
	var seen atomic.Int32
	r := newRig(t, nil)
	r.serve = tiring(r, "", &seen)
	var open []*http1.Exchange
	for range 3 {
		x, err := r.RoundTrip(t.Context(), r.call("a"))
		require.NoError(t, err)
		open = append(open, x)
	}
	for _, x := range open {
		x.End()
	}
	r.serve = func(c net.Conn) { // what is dialled from now on closes at once
		if readRequest(bufio.NewReader(c)) {
			seen.Add(1)
		}
	}
	_, err := r.post("a")
	require.Error(t, err)
	assert.Equal(t, 4, r.dialled)
	assert.Equal(t, int32(5), seen.Load())
}

// However busy it is, a connection takes no request after its lifetime; one that it
// has taken is answered.
func TestConnectionsHaveALifetime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := time.Duration(0)
		r := newRig(t, func(c net.Conn) {
			for br := bufio.NewReader(c); readRequest(br); {
				time.Sleep(slow)
				if _, err := io.WriteString(c, answer); err != nil {
					return
				}
			}
		})
		r.Lifetime = 5 * time.Minute
		dials := func(want int) {
			t.Helper()
			r.ok("a")
			synctest.Wait()
			assert.Equal(t, want, r.dialled)
		}
		dials(1)
		for range 9 {
			time.Sleep(30 * time.Second)
			dials(1)
		}
		time.Sleep(29 * time.Second)
		slow = 10 * time.Second // beyond the lifetime
		dials(1)
		slow = 0
		dials(2)
		time.Sleep(59 * time.Second)
		for range 4 {
			dials(2)
			time.Sleep(59 * time.Second)
		}
		time.Sleep(5 * time.Second) // over while it is idle
		dials(3)
	})
}

// In TLS, the beginning of a record is the beginning of something unasked too.
func TestHalfARecordTooMuch(t *testing.T) {
	t.Parallel()
	for _, cut := range []int{0, 1, 5, 20} {
		r := newRig(t, nil)
		r.tls = true
		cert := certificate(t)
		r.serve = func(c net.Conn) {
			held := &held{Conn: c}
			s := tls.Server(held, &tls.Config{Certificates: []tls.Certificate{cert}})
			for br := bufio.NewReader(s); readRequest(br); {
				held.hold = true
				_, _ = io.WriteString(s, answer)
				first := held.buf.Len()
				if cut > 0 {
					_, _ = io.WriteString(s, answer)
				}
				held.hold = false
				if _, err := c.Write(held.buf.Next(first + cut)); err != nil {
					return
				}
				held.buf.Reset()
			}
		}
		for range 3 {
			r.ok("a")
		}
		want := 3
		if cut == 0 {
			want = 1
		}
		assert.Equal(t, want, r.dialled, "%d bytes", cut)
	}
}

// held keeps back what is written.
type held struct {
	net.Conn
	hold bool
	buf  bytes.Buffer
}

func (h *held) Write(p []byte) (int, error) {
	if h.hold {
		return h.buf.Write(p)
	}
	return h.Conn.Write(p)
}

// A peer that no longer reads cannot hold up whoever closes its connection.
func TestClosingWaitsForNoPeer(t *testing.T) {
	t.Parallel()
	cert := certificate(t)
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c net.Conn) {
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
			if readRequest(bufio.NewReader(s)) {
				_, _ = io.WriteString(s, answer)
				time.Sleep(time.Hour)
			}
		})
		r.tls, r.MaxIdle = true, 1
		begin := time.Now()
		for _, owner := range []string{"a", "b", "c"} {
			r.ok(owner)
		}
		r.CloseIdle()
		assert.Zero(t, time.Since(begin))
	})
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{SerialNumber: big.NewInt(1)}, &key.PublicKey, key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// An owner that has half of what is kept makes room by itself.
func TestOneOwnerDoesNotPushOutTheOthers(t *testing.T) { // B44
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, answers(answer))
		r.MaxIdle = 4
		r.ok("b")
		for range 3 {
			var open []*http1.Exchange
			for range 10 {
				x, err := r.RoundTrip(t.Context(), r.call("a"))
				require.NoError(t, err)
				open = append(open, x)
			}
			for _, x := range open {
				x.End()
			}
		}
		synctest.Wait()
		before := r.dialled
		r.ok("b")
		assert.Equal(t, before, r.dialled)
	})
}
