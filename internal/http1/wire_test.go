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

// What has come is found though the watcher had no time to look.
func TestBytesThatTheWatcherDidNotSee(t *testing.T) {
	t.Parallel()
	const text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	p := &Pool{MaxIdle: 1, IdleTimeout: time.Minute, MaxHeader: 1 << 16}
	var serving *kernel
	var server net.Conn
	dialled := 0
	send := func() {
		x, err := p.RoundTrip(t.Context(), Call{
			Request: &http.Request{Method: http.MethodPost, URL: &url.URL{Scheme: "http", Host: "a.example", Path: "/"}},
			Dial: func(context.Context) (*Wire, net.Conn, error) {
				dialled++
				var client net.Conn
				client, server = tcpPair(t)
				serving = newKernel(client)
				go func(c net.Conn) {
					_, _ = http.ReadRequest(bufio.NewReader(c))
					_, _ = io.WriteString(c, text)
				}(server)
				w := NewWire(unwatched{client.(*net.TCPConn), make(chan struct{})}, false)
				return w, w, nil
			},
		})
		require.NoError(t, err)
		x.End()
	}
	send()
	if serving == nil {
		t.Skip("this system cannot be asked")
	}
	_, err := io.WriteString(server, text)
	require.NoError(t, err)
	for spoke := false; !spoke; runtime.Gosched() {
		_, spoke = serving.look()
	}
	send()
	assert.Equal(t, 2, dialled)
	p.mu.Lock()
	c := p.newest
	p.mu.Unlock()
	assert.Nil(t, c, "it writes too much, so nothing is kept")
}

// Between requests that follow each other at once nobody watches a connection; one that
// is idle for longer is watched, and closed when its peer closes it.
func TestAWatcherComesLater(t *testing.T) {
	t.Parallel()
	p := &Pool{MaxIdle: 1, IdleTimeout: time.Minute, MaxHeader: 1 << 16}
	p.late = time.AfterFunc(time.Hour, func() {}) // watchIdle comes when the test calls it
	t.Cleanup(func() { p.late.Stop(); p.CloseIdle() })
	later := func(c *conn) {
		p.mu.Lock()
		assert.False(t, c.watching)
		c.idleSince = c.idleSince.Add(-watchAfter)
		p.mu.Unlock()
		p.watchIdle()
		p.mu.Lock()
		assert.True(t, c.watching)
		p.mu.Unlock()
	}
	var server net.Conn
	dialled := 0
	send := func() *conn {
		x, err := p.RoundTrip(t.Context(), Call{
			Request: &http.Request{Method: http.MethodPost, URL: &url.URL{Scheme: "http", Host: "a.example", Path: "/"}},
			Dial: func(context.Context) (*Wire, net.Conn, error) {
				dialled++
				var client net.Conn
				client, server = tcpPair(t)
				go func(c net.Conn) {
					for br := bufio.NewReader(c); ; {
						if _, err := http.ReadRequest(br); err != nil {
							return
						}
						_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					}
				}(server)
				w := NewWire(client, false)
				return w, w, nil
			},
		})
		require.NoError(t, err)
		x.End()
		p.mu.Lock()
		defer p.mu.Unlock()
		require.NotNil(t, p.newest)
		return p.newest
	}
	c := send()
	if c.kernel == nil {
		t.Skip("this system cannot be asked")
	}
	assert.Same(t, c, send())
	later(c)
	assert.Same(t, c, send(), "its watcher ended for it")
	assert.Equal(t, 1, dialled)

	later(c)
	require.NoError(t, server.Close())
	for open := true; open; runtime.Gosched() {
		p.mu.Lock()
		open = p.newest != nil
		p.mu.Unlock()
	}
	send()
	assert.Equal(t, 2, dialled)
}
