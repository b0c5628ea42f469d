package httpsend_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook/internal/httpsend"
)

func TestTimeBudgets(t *testing.T) {
	t.Parallel()
	const (
		head    = "HTTP/1.1 200 OK\r\n"
		timeout = httpsend.Timeout
	)
	for _, c := range []struct {
		name   string
		url    string
		body   int
		serve  func(net.Conn)
		took   time.Duration
		kind   httpsend.Kind // empty: a status
		status int
	}{
		{"B2 F13 no answer", "http://a.example/", 10, func(c net.Conn) { readRequest(c); hang(c) }, 5 * time.Second, timeout, 0},
		{"B3 header drip", "http://a.example/", 10, func(c net.Conn) { readRequest(c); drip(c, head+"X: ", "x") }, 5 * time.Second, timeout, 0},
		{"B11 slow 103s", "http://a.example/", 10, func(c net.Conn) { readRequest(c); drip(c, "", "HTTP/1.1 103 Hints\r\n\r\n") }, 5 * time.Second, timeout, 0},
		{"B2 the time counts from the written request", "http://a.example/", 1 << 20, func(c net.Conn) {
			time.Sleep(3 * time.Second)
			readRequest(c)
			hang(c)
		}, 8 * time.Second, timeout, 0},
		{"B2 after connecting", "http://slow.example/", 10, func(c net.Conn) { readRequest(c); hang(c) }, 7 * time.Second, timeout, 0},
		{"B33 slow reader", "http://a.example/", 1 << 20, slowReader, 10 * time.Second, timeout, 0},
		{"B30 TLS handshake hangs", "https://a.example/", 10, hang, 3 * time.Second, httpsend.ConnectTimeout, 0},
		{"B6 body hangs", "http://a.example/", 10, func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, head+"Content-Length: 100\r\n\r\nabc")
			hang(c)
		}, time.Second, "", 200},
		{"B4 body drip", "http://a.example/", 10, func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, head+"\r\n")
			drip(c, "", "x")
		}, time.Second, "", 200},
		{"answer just in time", "http://a.example/", 10, func(c net.Conn) {
			readRequest(c)
			time.Sleep(5*time.Second - time.Nanosecond)
			_, _ = io.WriteString(c, head+"Content-Length: 0\r\n\r\n")
		}, 5*time.Second - time.Nanosecond, "", 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tr := newSender(t, overHTTP())
				inMemory(t, tr, c.serve)
				start := time.Now()
				res, err := tr.Send(t.Context(), httpsend.Request{URL: c.url, Header: http.Header{}, Body: bytes.Repeat([]byte("x"), c.body)})
				assert.Equal(t, c.took, time.Since(start))
				if c.kind == "" {
					require.NoError(t, err)
					assert.Equal(t, c.status, res.StatusCode)
					return
				}
				e := failure(t, err)
				assert.Equal(t, c.kind, e.Kind)
				assertFixedWords(t, e)
			})
		})
	}
}

// drip writes once, then again for ever, a byte each 100 ms.
func drip(c net.Conn, once, again string) {
	for i := 0; ; i++ {
		text, at := once, i
		if i >= len(once) {
			text, at = again, (i-len(once))%len(again)
		}
		if _, err := io.WriteString(c, text[at:at+1]); err != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func slowReader(c net.Conn) {
	for {
		if _, err := c.Read(make([]byte, 1)); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

func TestConnectBlackHole(t *testing.T) { // B31
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := newSender(t, overHTTP())
		tr.dial = func(ctx context.Context, _ *net.Dialer, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		start := time.Now()
		_, err := postTo(t, tr, "https://a.example/")
		assert.Equal(t, 3*time.Second, time.Since(start))
		assert.Equal(t, httpsend.ConnectTimeout, failure(t, err).Kind)
	})
}

// TCP and TLS share one budget.
func TestConnectBudgetIsShared(t *testing.T) { // B30
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := strict()
		cfg.ConnectTimeout = 4 * time.Second
		tr := newSender(t, cfg)
		tr.dial = func(context.Context, *net.Dialer, string, string) (net.Conn, error) {
			time.Sleep(3 * time.Second)
			ours, theirs := net.Pipe()
			go func() { hang(theirs); _ = theirs.Close() }()
			return ours, nil
		}
		start := time.Now()
		_, err := postTo(t, tr, "https://a.example/")
		assert.Equal(t, 4*time.Second, time.Since(start))
		assert.Equal(t, httpsend.ConnectTimeout, failure(t, err).Kind)
	})
}

// What a cancelled Send began ends with it: neither a dial nor a request goes on.
func TestCancellingSend(t *testing.T) {
	t.Parallel()
	for name, scheme := range map[string]string{"exchange": "http", "handshake": "https"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tr := newSender(t, overHTTP())
				inMemory(t, tr, hang)
				assertCanceled(t, tr, scheme+"://a.example/")
			})
		})
	}
	t.Run("dial", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			tr := newSender(t, overHTTP())
			var ended atomic.Bool
			tr.dial = func(ctx context.Context, _ *net.Dialer, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				ended.Store(true)
				return nil, ctx.Err()
			}
			assertCanceled(t, tr, "http://a.example/")
			assert.True(t, ended.Load())
		})
	})
}

func assertCanceled(t *testing.T, tr *sender, url string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Second, cancel)
	start := time.Now()
	_, err := tr.Send(ctx, httpsend.Request{URL: url, Header: http.Header{}, Body: []byte("{}")})
	synctest.Wait()
	assert.Equal(t, time.Second, time.Since(start))
	e := failure(t, err)
	assert.Equal(t, httpsend.Canceled, e.Kind)
	assertFixedWords(t, e)
}

func TestTheCallersDeadlineIsATimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := newSender(t, overHTTP())
		inMemory(t, tr, hang)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := tr.Send(ctx, httpsend.Request{URL: "http://a.example/", Header: http.Header{}})
		assert.Equal(t, httpsend.Timeout, failure(t, err).Kind)
	})
}

// A kept-alive connection that the server closed meanwhile costs no attempt.
func TestClosedIdleConnectionIsNotUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := newSender(t, overHTTP())
		inMemory(t, tr, answerWith("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
		for range 3 {
			_, err := postTo(t, tr, "http://a.example/")
			require.NoError(t, err)
			synctest.Wait()
		}
	})
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := newSender(t, overHTTP())
		var open atomic.Int32
		inMemory(t, tr, func(c net.Conn) {
			open.Add(1)
			answerWith("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(c)
			hang(c)
			open.Add(-1)
		})
		for _, closeIdle := range []func(){tr.CloseIdle, func() { time.Sleep(time.Minute) }} {
			_, err := postTo(t, tr, "http://a.example/")
			require.NoError(t, err)
			synctest.Wait()
			assert.Equal(t, int32(1), open.Load())
			closeIdle()
			synctest.Wait()
			assert.Zero(t, open.Load())
		}
	})
}

// However busy an endpoint is, its name is looked up and its address judged again.
func TestABusyEndpointFollowsItsName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := overHTTP()
		cfg.Lifetime = 5 * time.Minute
		tr := newSender(t, cfg)
		lookups, address := 0, "8.8.8.8:80"
		inMemory(t, tr, func(c net.Conn) {
			for br := bufio.NewReader(c); ; {
				r, err := http.ReadRequest(br)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		})
		pipe := tr.dial
		tr.dial = func(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error) {
			lookups++
			if err := d.ControlContext(ctx, "tcp4", address, nil); err != nil {
				return nil, &net.OpError{Op: "dial", Err: err}
			}
			return pipe(ctx, d, network, addr)
		}
		for range 299 {
			_, err := postTo(t, tr, "http://a.example/")
			require.NoError(t, err)
			time.Sleep(time.Second)
		}
		assert.Equal(t, 1, lookups)
		address = "169.254.169.254:80" // the name has moved
		time.Sleep(time.Second)
		_, err := postTo(t, tr, "http://a.example/")
		assert.Equal(t, httpsend.BlockedAddress, failure(t, err).Kind)
		assert.Equal(t, 2, lookups)
	})
}

func TestConnect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := newSender(t, overHTTP())
		sent := make(chan int64, 1)
		inMemory(t, tr, func(c net.Conn) {
			n, _ := io.Copy(io.Discard, c)
			sent <- n
		})
		require.NoError(t, tr.Connect(t.Context(), "http://a.example/"))
		assert.Zero(t, <-sent, "no request is made")

		start := time.Now()
		e := failure(t, tr.Connect(t.Context(), "https://a.example/"))
		assert.Equal(t, 3*time.Second, time.Since(start))
		assert.Equal(t, httpsend.ConnectTimeout, e.Kind)
		assertFixedWords(t, e)

		assert.Equal(t, httpsend.BlockedAddress, failure(t, tr.Connect(t.Context(), "https://10.0.0.1/")).Kind)
	})
}
