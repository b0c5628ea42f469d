package httpsend

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ringyo-ai/webhook/internal/http1"
)

// dialError is a failure before a connection could be used. handshake tells the
// two parts apart: TCP with DNS, and TLS.
type dialError struct {
	handshake bool
	blocked   bool // an address of the name was refused by the egress policy
	timeout   bool // the connect budget is used up
	// nameServer says that it is the host's own name server that does not respond.
	nameServer bool
	err        error
}

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// connection makes a connection to a checked address, within the connect budget.
// It returns the network's side, and what HTTP is spoken on.
func (s *Sender) connection(ctx context.Context, at *target, key http1.Key) (*http1.Wire, net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.connect)
	defer cancel()
	raw, err := s.connectTCP(ctx, key)
	if err != nil {
		return nil, nil, err
	}
	wire := http1.NewWire(raw, key.TLS)
	if !key.TLS {
		return wire, wire, nil
	}
	cfg := s.tls.Clone()
	cfg.ServerName = at.url.Hostname()
	conn := tls.Client(wire, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, nil, &dialError{handshake: true, timeout: expired(ctx), err: err}
	}
	return wire, conn, nil
}

// connectTCP dials through the egress policy, which sees each address that a
// name leads to.
func (s *Sender) connectTCP(ctx context.Context, key http1.Key) (net.Conn, error) {
	var resolved, blocked atomic.Bool // addresses of both families are dialled at once
	d := &net.Dialer{ControlContext: func(ctx context.Context, network, address string, c syscall.RawConn) error {
		resolved.Store(true)
		err := s.policy.Control(ctx, network, address, c)
		if err != nil {
			blocked.Store(true)
		}
		return err
	}}
	began := time.Now()
	conn, err := s.dial(ctx, d, "tcp", key.Address)
	theirs := s.recordLookup(ctx, key, began, resolved.Load(), err)
	if err != nil {
		return nil, &dialError{blocked: blocked.Load(), timeout: expired(ctx), nameServer: theirs, err: err}
	}
	return conn, nil
}

// recordLookup notes how the lookup of a host ended, and reports whether it failed
// by the host's own name server. That a name does not exist says nothing of either.
func (s *Sender) recordLookup(ctx context.Context, key http1.Key, began time.Time, resolved bool, err error) (theirs bool) {
	host, _, split := net.SplitHostPort(key.Address)
	if _, literal := netip.ParseAddr(host); split != nil || literal == nil {
		return false
	}
	if resolved {
		s.lookups.Resolved(key.Owner, host)
		return false
	}
	var dns *net.DNSError
	failed := errors.As(err, &dns) && !dns.IsNotFound && context.Cause(ctx) != context.Canceled
	if kind, _ := errnoFailure(err); !failed || kind.SenderFault() || starved() {
		return false
	}
	return s.lookups.Failed(key.Owner, host, began)
}

func expired(ctx context.Context) bool { return ctx.Err() == context.DeadlineExceeded }
