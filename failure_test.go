package webhook_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
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
		kind   webhook.FailureKind
	}{
		{"B31", onSocket("dial", syscall.ECONNREFUSED), webhook.FailureRefused},
		{"B31", onSocket("dial", syscall.EHOSTUNREACH), webhook.FailureConnection},
		{"B31", onSocket("dial", syscall.ETIMEDOUT), webhook.FailureConnectTimeout},
		{"B31", onSocket("dial", syscall.ECONNRESET), webhook.FailureConnection},
		{"B31", onSocket("dial", syscall.ENETUNREACH), webhook.FailureLocal},
		{"B31", onSocket("dial", syscall.ENETDOWN), webhook.FailureLocal},
		{"B31", onSocket("dial", syscall.EADDRNOTAVAIL), webhook.FailureLocal},
		{"B31", onSocket("dial", syscall.EMFILE), webhook.FailureLocal},
		{"B31", onSocket("dial", syscall.ENFILE), webhook.FailureLocal},
		{"B31", onSocket("dial", syscall.ENOBUFS), webhook.FailureLocal},
		{"B31", onSocket("dial", syscall.ENOMEM), webhook.FailureLocal},
		{"B31", onSocket("dial", syscall.EACCES), webhook.FailureLocal},
		{"B31", onSocket("dial", syscall.EPERM), webhook.FailureLocal},
		{"A47", &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: secretBanner, IsNotFound: true}}, webhook.FailureDNSNotFound},
		{"A47", &net.OpError{Op: "dial", Err: &net.DNSError{Err: "server misbehaving", Server: "10.0.0.1:53", IsTemporary: true}}, webhook.FailureDNSTemporary},
		{"A47", &net.OpError{Op: "dial", Err: &net.DNSError{Err: "i/o timeout", IsTimeout: true}}, webhook.FailureDNSTemporary},
		{"A47", &net.OpError{Op: "dial", Err: &net.DNSError{Err: "lame referral"}}, webhook.FailureDNSTemporary},
		{"B17", errors.New("dial tcp 10.1.2.3:4567"), webhook.FailureConnection},
	} {
		tr := newTestTransport(t, webhook.HTTPConfig{AllowHTTP: true})
		tr.SetDial(func(context.Context, *net.Dialer, string, string) (net.Conn, error) { return nil, c.err })
		_, err := postTo(t, tr, "http://a.example/")
		e := transportFailure(t, err)
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
		kind   webhook.FailureKind
	}{
		{"B7", onSocket("read", syscall.ECONNRESET), webhook.FailureConnection},
		{"B7", onSocket("read", syscall.ECONNABORTED), webhook.FailureConnection},
		{"B7", onSocket("write", syscall.EPIPE), webhook.FailureConnection},
		{"B7", onSocket("read", syscall.ECONNREFUSED), webhook.FailureConnection},
		{"B2", onSocket("read", syscall.ETIMEDOUT), webhook.FailureTimeout},
		{"B31", onSocket("read", syscall.EHOSTUNREACH), webhook.FailureConnection},
		{"B31", onSocket("read", syscall.ENETDOWN), webhook.FailureLocal},
		{"B8", io.EOF, webhook.FailureConnection},
		{"B8", io.ErrUnexpectedEOF, webhook.FailureConnection},
		{"B8", io.ErrClosedPipe, webhook.FailureConnection},
		{"B8", fmt.Errorf("read tcp 10.1.2.3:55106: %w", net.ErrClosed), webhook.FailureConnection},
		{"B2", onSocket("read", syscall.EAGAIN), webhook.FailureTimeout},
		{"B2", os.ErrDeadlineExceeded, webhook.FailureTimeout},
	} {
		tr := newTestTransport(t, webhook.HTTPConfig{AllowHTTP: true})
		tr.SetDial(func(context.Context, *net.Dialer, string, string) (net.Conn, error) {
			return failingConn{err: c.err}, nil
		})
		_, err := postTo(t, tr, "http://a.example/")
		e := transportFailure(t, err)
		assert.Equal(t, c.kind, e.Kind, "%s %v", c.number, c.err)
		assertFixedWords(t, e)
	}
}

func TestSendersFaultsAreToldApart(t *testing.T) {
	t.Parallel()
	for kind, ours := range map[webhook.FailureKind]bool{
		webhook.FailureHTTPStatus: false, webhook.FailureRedirect: false, webhook.FailureTimeout: false,
		webhook.FailureConnectTimeout: false, webhook.FailureRefused: false, webhook.FailureConnection: false,
		webhook.FailureTLS: false, webhook.FailureProtocol: false, webhook.FailureDNSNotFound: false, webhook.FailureDNSServer: false,
		webhook.FailureBlockedAddress: false, webhook.FailureURL: false,
		webhook.FailureDNSTemporary: true, webhook.FailureLocal: true, webhook.FailureCanceled: true, webhook.FailureInternal: true,
	} {
		assert.Equal(t, ours, kind.SenderFault(), kind)
	}
	assert.Equal(t, "webhook: tls", (&webhook.TransportError{Kind: webhook.FailureTLS}).Error())
}

func TestStatusFailure(t *testing.T) {
	t.Parallel()
	for status := range 1000 {
		kind, detail := webhook.StatusFailure(status)
		assert.Equal(t, status >= 200 && status < 300, kind == "", status)
		assert.Equal(t, kind == "", detail == "", status)
		assert.False(t, kind.SenderFault())
	}
	for _, status := range []int{413, 414, 431} { // B21
		_, detail := webhook.StatusFailure(status)
		assert.Contains(t, detail, "size")
	}
}

// What is stored is not trusted: an URL edited by hand is refused like a new one.
func TestStoredURLsAreCheckedAgain(t *testing.T) { // A57
	t.Parallel()
	tr := newTestTransport(t, webhook.HTTPConfig{})
	tr.SetDial(func(context.Context, *net.Dialer, string, string) (net.Conn, error) {
		return nil, errors.New("dialled")
	})
	for url, kind := range map[string]webhook.FailureKind{
		"https://10.0.0.1/":       webhook.FailureBlockedAddress,
		"https://[::1]/":          webhook.FailureBlockedAddress,
		"https://localhost/":      webhook.FailureURL,
		"http://example.com/":     webhook.FailureURL,
		"https://a:b@example.com": webhook.FailureURL,
		"":                        webhook.FailureURL,
	} {
		_, err := tr.Send(t.Context(), &webhook.Request{URL: url, Header: http.Header{}})
		e := transportFailure(t, err)
		assert.Equal(t, kind, e.Kind, url)
		assertFixedWords(t, e)
		var u *webhook.URLError
		require.ErrorAs(t, err, &u)
	}
}

func TestHTTPConfigMistakesAreJoined(t *testing.T) {
	t.Parallel()
	cfg := loopbackConfig()
	cfg.AllowPrefixes = append(cfg.AllowPrefixes, cfg.AllowPrefixes[0], netip.Prefix{})
	cfg.DenyPrefixes = append(cfg.DenyPrefixes, netip.Prefix{})
	cfg.ConnectTimeout, cfg.ResponseTimeout, cfg.Timeout = -1, -1, -1
	cfg.ResponseExcerpt, cfg.MaxIdle = 5000, -2
	cfg.TLS = &tls.Config{ServerName: "a"}
	_, err := webhook.NewHTTPTransport(cfg)
	var v *webhook.ValidationError
	require.ErrorAs(t, err, &v)
	var fields []string
	for _, f := range v.Fields {
		fields = append(fields, f.Field)
	}
	assert.ElementsMatch(t, []string{
		"AllowPrefixes[2]", "DenyPrefixes[0]", "ConnectTimeout", "ResponseTimeout", "Timeout", "ResponseExcerpt", "MaxIdle", "TLS.ServerName",
	}, fields)
}
