package http1

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRecordsEndWhereTheirHeadersSay(t *testing.T) {
	t.Parallel()
	stream := []byte{23, 3, 3, 0, 2, 'a', 'b', 23, 3, 3, 0, 0, 22, 3, 3, 1, 4}
	stream = append(stream, make([]byte, 260)...)
	whole := map[int]bool{0: true, 7: true, 12: true, len(stream): true}
	for size := 1; size <= len(stream); size++ {
		var r records
		for at := 0; at < len(stream); {
			n := min(size, len(stream)-at)
			r.pass(stream[at : at+n])
			at += n
			assert.Equal(t, whole[at], r.whole(), "%d bytes, %d at a time", at, size)
		}
	}
}

func TestWhatTheKernelHolds(t *testing.T) {
	t.Parallel()
	client, server := tcpPair(t)
	k := newKernel(client)
	if k == nil {
		t.Skip("this system cannot be asked")
	}
	quiet, spoke := k.look()
	assert.True(t, quiet)
	assert.False(t, spoke)

	_, err := server.Write([]byte("ab"))
	require.NoError(t, err)
	_, err = io.ReadFull(client, make([]byte, 1)) // then the other byte is there too
	require.NoError(t, err)
	quiet, spoke = k.look()
	assert.False(t, quiet)
	assert.True(t, spoke)

	require.NoError(t, client.Close())
	quiet, spoke = k.look()
	assert.False(t, quiet)
	assert.False(t, spoke)
}

func tcpPair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	server, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close(); _ = server.Close() })
	return client, server
}

// unwatched is a connection whose watcher sees nothing before it is ended.
type unwatched struct {
	*net.TCPConn
	ended chan struct{}
}

func (c unwatched) Read(p []byte) (int, error) {
	if len(p) > 1 {
		return c.TCPConn.Read(p)
	}
	<-c.ended
	return 0, os.ErrDeadlineExceeded
}

func (c unwatched) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		c.ended <- struct{}{}
		return nil
	}
	return c.TCPConn.SetReadDeadline(t)
}

const emptyResponse = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

// tcpRig is a pool of one connection over TCP to a server that responds to each request.
// It watches a connection when idleLonger is called, and not by itself.
type tcpRig struct {
	*Pool
	t       *testing.T
	wrap    func(client net.Conn) net.Conn
	server  net.Conn // of the latest connection
	dialled int
}

func newTCPRig(t *testing.T) *tcpRig {
	r := &tcpRig{Pool: &Pool{MaxIdle: 1, IdleTimeout: time.Minute, MaxHeader: 1 << 16}, t: t}
	r.wrap = func(c net.Conn) net.Conn { return c }
	r.late = time.AfterFunc(time.Hour, func() {})
	t.Cleanup(func() { r.late.Stop(); r.CloseIdle() })
	client, _ := tcpPair(t)
	if newKernel(client) == nil {
		t.Skip("skipped: this system cannot be asked what it holds of a connection")
	}
	return r
}

// send returns the connection that is kept after a request.
func (r *tcpRig) send() *conn {
	r.t.Helper()
	x, err := r.RoundTrip(r.t.Context(), Call{
		Request: &http.Request{Method: http.MethodPost, URL: &url.URL{Scheme: "http", Host: "a.example", Path: "/"}},
		Dial: func(context.Context) (*Wire, net.Conn, error) {
			r.dialled++
			var client net.Conn
			client, r.server = tcpPair(r.t)
			go func(c net.Conn) {
				for br := bufio.NewReader(c); ; {
					if _, err := http.ReadRequest(br); err != nil {
						return
					}
					_, _ = io.WriteString(c, emptyResponse)
				}
			}(r.server)
			w := NewWire(r.wrap(client), false)
			return w, w, nil
		},
	})
	require.NoError(r.t, err)
	x.End()
	return r.kept()
}

func (r *tcpRig) kept() *conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.newest
}

// idleLonger lets a connection that nobody watches be idle until somebody does.
func (r *tcpRig) idleLonger(c *conn) {
	r.t.Helper()
	watching := func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return c.watching
	}
	assert.False(r.t, watching())
	r.mu.Lock()
	c.idleSince = c.idleSince.Add(-watchAfter)
	r.mu.Unlock()
	r.watchIdle()
	assert.True(r.t, watching())
}

// What has come is found though the watcher had no time to look.
func TestBytesThatTheWatcherDidNotSee(t *testing.T) {
	t.Parallel()
	for name, watched := range map[string]bool{"watched": true, "not watched yet": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newTCPRig(t)
			r.wrap = func(c net.Conn) net.Conn { return unwatched{c.(*net.TCPConn), make(chan struct{})} }
			c := r.send()
			if watched {
				r.idleLonger(c)
			}
			_, err := io.WriteString(r.server, emptyResponse)
			require.NoError(t, err)
			for spoke := false; !spoke; runtime.Gosched() {
				_, spoke = c.kernel.look()
			}
			assert.Nil(t, r.send(), "it writes too much, so nothing is kept")
			assert.Equal(t, 2, r.dialled)
		})
	}
}

// Between requests that follow each other at once nobody watches a connection; one that
// is idle for longer is watched, and closed when its peer closes it.
func TestAWatcherComesLater(t *testing.T) {
	t.Parallel()
	r := newTCPRig(t)
	c := r.send()
	assert.Same(t, c, r.send())
	r.idleLonger(c)
	assert.Same(t, c, r.send(), "its watcher ended for it")
	assert.Equal(t, 1, r.dialled)

	r.idleLonger(c)
	require.NoError(t, r.server.Close())
	for r.kept() != nil {
		runtime.Gosched()
	}
	r.send()
	assert.Equal(t, 2, r.dialled)
}
