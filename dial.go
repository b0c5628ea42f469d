package webhook

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"syscall"

	"github.com/ringyo-ai/webhook/internal/http1"
)

// dialError is a failure before a connection could be used. handshake tells the
// two parts apart: TCP with DNS, and TLS.
type dialError struct {
	handshake bool
	blocked   bool // an address of the name was refused by the egress policy
	timeout   bool // the connect budget is used up
	err       error
}

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// connection makes a connection to a checked address, within the connect budget.
// It returns the network's side, and what HTTP is spoken on.
func (t *HTTPTransport) connection(ctx context.Context, at *target) (*http1.Wire, net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, t.connect)
	defer cancel()
	raw, err := t.connectTCP(ctx, "tcp", at.key.Address)
	if err != nil {
		return nil, nil, err
	}
	wire := http1.NewWire(raw, at.key.TLS)
	if !at.key.TLS {
		return wire, wire, nil
	}
	cfg := t.tls.Clone()
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
func (t *HTTPTransport) connectTCP(ctx context.Context, network, addr string) (net.Conn, error) {
	var blocked atomic.Bool // addresses of both families are dialled at once
	d := &net.Dialer{ControlContext: func(ctx context.Context, network, address string, c syscall.RawConn) error {
		err := t.policy.Control(ctx, network, address, c)
		if err != nil {
			blocked.Store(true)
		}
		return err
	}}
	conn, err := t.dial(ctx, d, network, addr)
	if err != nil {
		return nil, &dialError{blocked: blocked.Load(), timeout: expired(ctx), err: err}
	}
	return conn, nil
}

func expired(ctx context.Context) bool { return ctx.Err() == context.DeadlineExceeded }
