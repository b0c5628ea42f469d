package httpsend_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook/internal/egress"
	"github.com/ringyo-ai/webhook/internal/httpsend"
)

// onSocket is an error as package net hands it up.
func onSocket(op string, no syscall.Errno) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 4567}, Err: os.NewSyscallError("connect", no)}
}

func TestFailureKindsOfConnecting(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		number string
		err    error
		kind   httpsend.Kind
	}{
		{"B31", onSocket("dial", syscall.ECONNREFUSED), httpsend.Refused},
		{"B31", onSocket("dial", syscall.EHOSTUNREACH), httpsend.Connection},
		{"B31", onSocket("dial", syscall.ETIMEDOUT), httpsend.ConnectTimeout},
		{"B31", onSocket("dial", syscall.ECONNRESET), httpsend.Connection},
		{"B31", onSocket("dial", syscall.ENETUNREACH), httpsend.Local},
		{"B31", onSocket("dial", syscall.ENETDOWN), httpsend.Local},
		{"B31", onSocket("dial", syscall.EADDRNOTAVAIL), httpsend.Local},
		{"B31", onSocket("dial", syscall.EMFILE), httpsend.Local},
		{"B31", onSocket("dial", syscall.ENFILE), httpsend.Local},
		{"B31", onSocket("dial", syscall.ENOBUFS), httpsend.Local},
		{"B31", onSocket("dial", syscall.ENOMEM), httpsend.Local},
		{"B31", onSocket("dial", syscall.EACCES), httpsend.Local},
		{"B31", onSocket("dial", syscall.EPERM), httpsend.Local},
		{"A47", &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: secretBanner, IsNotFound: true}}, httpsend.DNSNotFound},
		{"A47", &net.OpError{Op: "dial", Err: &net.DNSError{Err: "server misbehaving", Server: "10.0.0.1:53", IsTemporary: true}}, httpsend.DNSTemporary},
		{"A47", &net.OpError{Op: "dial", Err: &net.DNSError{Err: "i/o timeout", IsTimeout: true}}, httpsend.DNSTemporary},
		{"A47", &net.OpError{Op: "dial", Err: &net.DNSError{Err: "lame referral"}}, httpsend.DNSTemporary},
		{"B17", errors.New("dial tcp 10.1.2.3:4567"), httpsend.Connection},
	} {
		tr := newSender(t, overHTTP())
		tr.dial = func(context.Context, *net.Dialer, string, string) (net.Conn, error) { return nil, c.err }
		_, err := postTo(t, tr, "http://a.example/")
		e := failure(t, err)
		assert.Equal(t, c.kind, e.Kind, "%s %v", c.number, c.err)
		assertFixedWords(t, e) // B17
		assert.ErrorIs(t, err, c.err, "the operator finds the cause")
	}
}

// failingConn is a connection whose reads or writes fail with err.
type failingConn struct {
	net.Conn
	err error
}

func (c failingConn) Read([]byte) (int, error)         { return 0, c.err }
func (c failingConn) Write(p []byte) (int, error)      { return len(p), nil }
func (c failingConn) Close() error                     { return nil }
func (c failingConn) SetDeadline(time.Time) error      { return nil }
func (c failingConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c failingConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c failingConn) SetReadDeadline(time.Time) error  { return nil }
func (c failingConn) SetWriteDeadline(time.Time) error { return nil }

func TestFailureKindsOfAConnectionThatWasUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		number string
		err    error
		kind   httpsend.Kind
	}{
		{"B7", onSocket("read", syscall.ECONNRESET), httpsend.Connection},
		{"B7", onSocket("read", syscall.ECONNABORTED), httpsend.Connection},
		{"B7", onSocket("write", syscall.EPIPE), httpsend.Connection},
		{"B7", onSocket("read", syscall.ECONNREFUSED), httpsend.Connection},
		{"B2", onSocket("read", syscall.ETIMEDOUT), httpsend.Timeout},
		{"B31", onSocket("read", syscall.EHOSTUNREACH), httpsend.Connection},
		{"B31", onSocket("read", syscall.ENETDOWN), httpsend.Local},
		{"B8", io.EOF, httpsend.Connection},
		{"B8", io.ErrUnexpectedEOF, httpsend.Connection},
		{"B8", io.ErrClosedPipe, httpsend.Connection},
		{"B8", fmt.Errorf("read tcp 10.1.2.3:55106: %w", net.ErrClosed), httpsend.Connection},
		{"B2", onSocket("read", syscall.EAGAIN), httpsend.Timeout},
		{"B2", os.ErrDeadlineExceeded, httpsend.Timeout},
	} {
		tr := newSender(t, overHTTP())
		tr.dial = func(context.Context, *net.Dialer, string, string) (net.Conn, error) {
			return failingConn{err: c.err}, nil
		}
		_, err := postTo(t, tr, "http://a.example/")
		e := failure(t, err)
		assert.Equal(t, c.kind, e.Kind, "%s %v", c.number, c.err)
		assertFixedWords(t, e)
	}
}

// What is stored is not trusted: an URL edited by hand is refused like a new one.
func TestStoredURLsAreCheckedAgain(t *testing.T) { // A57
	t.Parallel()
	tr := newSender(t, strict())
	tr.dial = func(context.Context, *net.Dialer, string, string) (net.Conn, error) {
		return nil, errors.New("dialled")
	}
	for url, kind := range map[string]httpsend.Kind{
		"https://10.0.0.1/":       httpsend.BlockedAddress,
		"https://[::1]/":          httpsend.BlockedAddress,
		"https://localhost/":      httpsend.URL,
		"http://example.com/":     httpsend.URL,
		"https://a:b@example.com": httpsend.URL,
		"":                        httpsend.URL,
	} {
		_, err := tr.Send(t.Context(), httpsend.Request{URL: url, Header: http.Header{}})
		e := failure(t, err)
		assert.Equal(t, kind, e.Kind, url)
		assertFixedWords(t, e)
		var u *egress.Error
		require.ErrorAs(t, err, &u)
	}
}
