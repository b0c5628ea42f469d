package webhook

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/ringyo-ai/webhook/internal/egress"
	"github.com/ringyo-ai/webhook/internal/http1"
	"github.com/ringyo-ai/webhook/internal/nameserver"
)

// Limits of what a receiver can make the transport read.
const (
	maxResponseHeader = 64 << 10
	maxResponseBody   = 4 << 10
	// bodyTimeout bounds the wait for the response's body, which decides
	// nothing: the status has been read.
	bodyTimeout = time.Second
)

// HTTPConfig configures an [HTTPTransport]. The zero value sends to public
// addresses over https.
type HTTPConfig struct {
	// AllowHTTP permits http:// URLs. Requests are signed, but then anybody on
	// the way can read them.
	AllowHTTP bool

	// AllowPrefixes are addresses that may be reached besides public ones: a
	// private network, or 127.0.0.0/8 in tests. Link-local addresses and those
	// of the clouds' metadata services stay blocked unless a prefix names them:
	// one inside 169.254.0.0/16 or fe80::/10, or the very address. With any
	// prefix here, host names of private networks are accepted too.
	AllowPrefixes []netip.Prefix

	// DenyPrefixes are addresses that must not be reached, whatever else allows
	// them: this system's own public addresses, for example, so that it cannot
	// be made to call itself.
	DenyPrefixes []netip.Prefix

	// ConnectTimeout bounds DNS, TCP and TLS together. Defaults to 3 s.
	ConnectTimeout time.Duration

	// ResponseTimeout is the time that the receiver has, once the request is
	// written, to the end of the response's headers. Defaults to 5 s.
	ResponseTimeout time.Duration

	// Timeout bounds the whole attempt. Defaults to 10 s.
	Timeout time.Duration

	// ResponseExcerpt is the number of bytes of the response's body that are
	// kept, at most 4096. Defaults to 1024; -1 keeps none.
	ResponseExcerpt int

	// MaxIdle is the number of connections that are kept open without being
	// used, for 60 s; each costs about 30 KiB. Defaults to 1000; -1 means one
	// connection per request.
	MaxIdle int

	// TLS is the client's configuration, cloned: RootCAs, Certificates and the
	// like. MinVersion defaults to TLS 1.2.
	TLS *tls.Config
}

// HTTPTransport is the default [Transport]: POST over HTTP/1.1 with keep-alive.
// One Send is at most one request. Connections are kept for the account and host
// that they were made for, and answer nothing but what was asked on them. It follows no redirect, uses no proxy, keeps
// no cookies and reads at most 64 KiB of response headers and 4 KiB of body.
//
// What it reaches is checked when the URL is parsed and, after DNS, at each
// connection's address. Errors are all [*TransportError], in fixed words.
//
// It is safe for concurrent use.
type HTTPTransport struct {
	policy  egress.Policy
	urls    *urlCache
	lookups *nameserver.Record
	pool    *http1.Pool
	tls     *tls.Config
	connect time.Duration
	answer  time.Duration
	total   time.Duration
	excerpt int

	// dial is net.Dialer.DialContext; another one in tests.
	dial func(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error)
}

// NewHTTPTransport makes an HTTPTransport, or answers a [*ValidationError] that
// lists every mistake in cfg. It starts nothing.
func NewHTTPTransport(cfg HTTPConfig) (*HTTPTransport, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	t := &HTTPTransport{
		policy:  egress.Policy{AllowHTTP: cfg.AllowHTTP, Allow: cfg.AllowPrefixes, Deny: cfg.DenyPrefixes},
		urls:    newURLCache(),
		lookups: nameserver.New(),
		tls:     cfg.TLS,
		connect: cfg.ConnectTimeout,
		answer:  cfg.ResponseTimeout,
		total:   cfg.Timeout,
		excerpt: max(cfg.ResponseExcerpt, 0),
		pool:    &http1.Pool{MaxIdle: cfg.MaxIdle, IdleTimeout: time.Minute, MaxHeader: maxResponseHeader},
		dial: func(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error) {
			return d.DialContext(ctx, network, addr)
		},
	}
	return t, nil
}

// fill puts the defaults into cfg, whose slices and pointers become its own.
func (cfg *HTTPConfig) fill() error {
	var wrong []FieldError
	duration := func(name string, d *time.Duration, def time.Duration) {
		if *d < 0 {
			wrong = append(wrong, FieldError{name, "is negative"})
		}
		if *d == 0 {
			*d = def
		}
	}
	number := func(name string, n *int, def, highest int) {
		if *n < -1 || *n > highest {
			wrong = append(wrong, FieldError{name, fmt.Sprintf("is not within -1 to %d", highest)})
		}
		if *n == 0 {
			*n = def
		}
	}
	prefixes := func(name string, list *[]netip.Prefix) {
		for i, p := range *list {
			if text := egress.CheckPrefix(p); text != "" {
				wrong = append(wrong, FieldError{fmt.Sprintf("%s[%d]", name, i), text})
			}
		}
		*list = append([]netip.Prefix(nil), *list...)
	}
	prefixes("AllowPrefixes", &cfg.AllowPrefixes)
	prefixes("DenyPrefixes", &cfg.DenyPrefixes)
	duration("ConnectTimeout", &cfg.ConnectTimeout, 3*time.Second)
	duration("ResponseTimeout", &cfg.ResponseTimeout, 5*time.Second)
	duration("Timeout", &cfg.Timeout, 10*time.Second)
	number("ResponseExcerpt", &cfg.ResponseExcerpt, 1024, maxResponseBody)
	number("MaxIdle", &cfg.MaxIdle, 1000, 1_000_000)
	if cfg.TLS != nil && cfg.TLS.ServerName != "" {
		wrong = append(wrong, FieldError{"TLS.ServerName", "must be empty; it is the host of each URL"})
	}
	if len(wrong) > 0 {
		return &ValidationError{Fields: wrong}
	}
	cfg.TLS = clientTLS(cfg.TLS, cfg.MaxIdle)
	return nil
}

func clientTLS(base *tls.Config, sessions int) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if base != nil {
		c = base.Clone()
	}
	c.NextProtos = []string{"http/1.1"}
	if c.ClientSessionCache == nil && sessions > 0 {
		c.ClientSessionCache = smallSessions{tls.NewLRUClientSessionCache(sessions)}
	}
	return c
}

// maxSession bounds what is remembered of one TLS session, in bytes. It holds the
// server's certificates, of which crypto/tls accepts 256 KiB; usual ones take 10.
const maxSession = 32 << 10

// smallSessions leaves out sessions that a server has made large.
type smallSessions struct{ tls.ClientSessionCache }

func (s smallSessions) Put(host string, session *tls.ClientSessionState) {
	if session != nil {
		ticket, state, err := session.ResumptionState()
		if err != nil || state == nil {
			return
		}
		if text, err := state.Bytes(); err != nil || len(ticket)+len(text) > maxSession {
			return
		}
	}
	s.ClientSessionCache.Put(host, session)
}

// CheckURL answers a [*URLError] when raw cannot be an endpoint's URL. It
// resolves no name: where a name leads is checked at each connection.
func (t *HTTPTransport) CheckURL(raw string) error {
	_, err := parseURL(&t.policy, raw)
	return err
}

// CheckReachable connects to the host of raw, over TLS where its scheme asks
// for that, and sends no request. It answers a [*URLError] or an
// [*UnreachableError].
func (t *HTTPTransport) CheckReachable(ctx context.Context, raw string) error {
	u, err := t.policy.ParseURL(raw)
	if err != nil {
		return urlError(err)
	}
	at := newTarget(raw, u)
	_, conn, err := t.connection(ctx, at, at.key)
	if err != nil {
		e := classify(ctx, err)
		return &UnreachableError{Kind: e.Kind, Detail: e.Detail, Err: e.Err}
	}
	_ = conn.Close()
	return nil
}

// CloseIdleConnections closes the connections that no Send is using.
func (t *HTTPTransport) CloseIdleConnections() { t.pool.CloseIdle() }

// Send implements [Transport].
func (t *HTTPTransport) Send(ctx context.Context, req *Request) (*Response, error) {
	at, err := t.sendTo(req.URL)
	if err != nil {
		return nil, err
	}
	if !sendableHeader(req.Header) {
		return nil, &TransportError{Kind: FailureInternal, Detail: detailHeader}
	}
	a := newAttempt(ctx, t.answer, t.total, len(req.Body))
	defer a.end()
	x, err := t.pool.RoundTrip(a.Context, t.call(a, at, req))
	if err != nil {
		return nil, classify(ctx, err)
	}
	defer x.End()
	out := &Response{StatusCode: x.StatusCode, Header: x.Header}
	if x.StatusCode != http.StatusSwitchingProtocols { // what follows is another protocol's
		out.Body = t.readBody(a, x)
	}
	return out, nil
}

// call is the HTTP request. Connections are its account's own.
func (t *HTTPTransport) call(a *attempt, at *target, req *Request) http1.Call {
	c := http1.Call{Key: at.key, Request: a.request(at.url, req)}
	c.Key.Owner = req.AccountID
	c.Dial = func(ctx context.Context) (*http1.Wire, net.Conn, error) {
		a.connecting()
		defer a.connected()
		return t.connection(ctx, at, c.Key)
	}
	if a.large {
		c.Written = a.written
	}
	return c
}

// readBody answers the excerpt. Reading to the end of a short body makes the
// connection reusable; of a long one it is not worth it.
func (t *HTTPTransport) readBody(a *attempt, x *http1.Exchange) []byte {
	if x.Body == http.NoBody {
		return nil
	}
	a.expect(bodyTimeout)
	buf := bodyBuffers.Get().(*[maxResponseBody]byte)
	defer bodyBuffers.Put(buf)
	n := x.ReadBody(buf[:])
	return append([]byte(nil), buf[:min(n, t.excerpt)]...)
}

var bodyBuffers = sync.Pool{New: func() any { return new([maxResponseBody]byte) }}
