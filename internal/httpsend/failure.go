package httpsend

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"

	"github.com/ringyo-ai/webhook/internal/check"
)

// What an endpoint's owner reads about a failed attempt. The words are fixed:
// the texts of Go's errors hold our addresses and the peer's bytes, and whoever
// could read those would have a port scanner inside our network.
const (
	// DetailCanceled is said of a request that the caller's context ended.
	DetailCanceled = "stopped by the sender"

	detailBlocked        = "the host leads to an address that must not be reached"
	detailNoAnswer       = "no response in time"
	detailConnectTimeout = "connecting took too long"
	detailTLSTimeout     = "the TLS handshake took too long"
	detailRefused        = "connection refused"
	detailUnreachable    = "host unreachable"
	detailClosed         = "connection closed before the response"
	detailTLSClosed      = "connection closed during the TLS handshake"
	detailTLSAlert       = "the TLS connection failed"
	detailProtocol       = "the response is not valid HTTP"
	detailNotFound       = "the host name does not exist"
	detailNameServer     = "the name server of your domain did not respond"
	detailResolver       = "the host name could not be resolved"
	detailCertExpired    = "the certificate has expired or is not valid yet"
	detailCertHost       = "the certificate is for another host"
	detailCertAuthority  = "the certificate is signed by an unknown authority"
	detailCertInvalid    = "the certificate is not valid"
	detailNotTLS         = "the server does not speak TLS"
	detailHandshake      = "the TLS handshake failed"
	detailLocal          = "the sender's network is unavailable"
	detailHeader         = "a header of the request is invalid"
)

// classify says whose fault err is, in fixed words. ctx is the caller's.
func classify(ctx context.Context, err error) *Error {
	kind, detail := Kind(""), ""
	var dial *dialError
	switch {
	case ctx.Err() == context.Canceled:
		kind, detail = Canceled, DetailCanceled
	case errors.Is(err, errNoAnswer), ctx.Err() == context.DeadlineExceeded:
		kind, detail = Timeout, detailNoAnswer
	case errors.As(err, &dial):
		kind, detail = dial.kind()
	default:
		kind, detail = exchangeFailure(err)
	}
	return &Error{Kind: kind, Detail: detail, Err: err}
}

// kind of a failure to connect. Our own faults come first, so that they are
// never laid at the receiver's door.
func (e *dialError) kind() (Kind, string) {
	if kind, detail := errnoFailure(e.err); kind.SenderFault() {
		return kind, detail
	}
	var dns *net.DNSError
	switch {
	case e.blocked:
		return BlockedAddress, detailBlocked
	case errors.As(e.err, &dns) && dns.IsNotFound && !starved():
		return DNSNotFound, detailNotFound
	case dns != nil && e.nameServer:
		return DNSServer, detailNameServer
	case dns != nil:
		return DNSTemporary, detailResolver
	case e.timeout && e.handshake:
		return ConnectTimeout, detailTLSTimeout
	case e.timeout, isTimeout(e.err):
		return ConnectTimeout, detailConnectTimeout
	case e.handshake:
		return handshakeFailure(e.err)
	}
	if kind, detail := errnoFailure(e.err); kind != "" {
		return kind, detail
	}
	return Connection, detailUnreachable
}

// starved reports whether this process has hardly a file descriptor left: the C
// library then says of every name that it does not exist, since it can ask
// nobody.
func starved() bool {
	for range 4 { // a lookup needs several at a time
		f, err := os.Open(os.DevNull)
		if err == nil {
			defer func() { _ = f.Close() }()
		} else if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			return true
		}
	}
	return false
}

func handshakeFailure(err error) (Kind, string) {
	var (
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
	)
	switch kind, _ := errnoFailure(err); {
	case kind != "", errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Connection, detailTLSClosed
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return TLS, detailCertExpired
	case errors.As(err, &hostname):
		return TLS, detailCertHost
	case errors.As(err, &authority):
		return TLS, detailCertAuthority
	case errors.As(err, &invalid):
		return TLS, detailCertInvalid
	case errors.As(err, &record):
		return TLS, detailNotTLS
	}
	return TLS, detailHandshake
}

// exchangeFailure is the kind of a failure on a connection that was up.
func exchangeFailure(err error) (Kind, string) {
	if isTimeout(err) {
		return Timeout, detailNoAnswer
	}
	if kind, detail := errnoFailure(err); kind.SenderFault() {
		return kind, detail
	} else if kind != "" {
		return Connection, detailClosed
	}
	var (
		op     *net.OpError
		record tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &record), errors.As(err, &op) && (op.Op == tlsRemote || op.Op == tlsLocal):
		return TLS, detailTLSAlert
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe),
		errors.Is(err, net.ErrClosed), op != nil:
		return Connection, detailClosed
	}
	return Protocol, detailProtocol
}

// tlsRemote and tlsLocal are the Op of the net.OpError that crypto/tls makes of
// an alert. TLS 1.3 sends some only after the handshake: a missing client
// certificate, for example.
const (
	tlsRemote = "remote error"
	tlsLocal  = "local error"
)

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// errnoFailure is the kind of an error of the operating system, or "".
func errnoFailure(err error) (Kind, string) {
	var no syscall.Errno
	if !errors.As(err, &no) {
		return "", ""
	}
	switch no {
	case errConnRefused:
		return Refused, detailRefused
	case errHostUnreach:
		return Connection, detailUnreachable
	case errTimedOut:
		return ConnectTimeout, detailConnectTimeout
	case errConnReset, errConnAborted, errPipe:
		return Connection, detailClosed
	}
	return Local, detailLocal
}

func sendableHeader(h http.Header) bool {
	for name, values := range h {
		if !check.HeaderName(name) {
			return false
		}
		for _, v := range values {
			if !validFieldValue(v) {
				return false
			}
		}
	}
	return true
}

// validFieldValue is what net/http sends: anything but control characters.
func validFieldValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return true
}
