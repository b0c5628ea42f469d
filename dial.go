package webhook

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"syscall"
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

// connectContext bounds connecting by the connect budget, and by the Send that
// wants the connection: net/http detaches ctx from it.
func (t *HTTPTransport) connectContext(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, t.connect)
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok {
		return ctx, cancel
	}
	a.connecting()
	stop := context.AfterFunc(a.Context, cancel)
	return ctx, func() { stop(); cancel(); a.connected() }
}

// dialTCP is http.Transport.DialContext.
func (t *HTTPTransport) dialTCP(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := t.connectContext(ctx)
	defer cancel()
	conn, err := t.connectTCP(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// dialTLS is http.Transport.DialTLSContext.
func (t *HTTPTransport) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := t.connectContext(ctx)
	defer cancel()
	raw, err := t.connectTCP(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	cfg := t.tls.Clone()
	if cfg.ServerName, _, err = net.SplitHostPort(addr); err != nil {
		_ = raw.Close()
		return nil, &dialError{err: err}
	}
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, &dialError{handshake: true, timeout: expired(ctx), err: err}
	}
	return conn, nil
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
