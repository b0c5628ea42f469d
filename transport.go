package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ringyo-ai/webhook/internal/check"
	"github.com/ringyo-ai/webhook/internal/egress"
	"github.com/ringyo-ai/webhook/internal/httpsend"
	"github.com/ringyo-ai/webhook/internal/redact"
)

// Transport sends one request and returns the response. The default is
// [HTTPTransport]. It must be safe for concurrent use and must return soon after ctx
// ends: ctx carries the deadline of the whole attempt. It must not send a request
// again that has had a response, or may still get one.
//
// A Transport may also have these methods:
//
//   - CheckURL(raw string) error is asked when an endpoint is registered or its URL
//     changes. Without it, the URL must be https and lead to a public address.
//   - CheckReachable(ctx context.Context, url string) error is asked where
//     [EndpointParams] ask for that, which is an error without it.
//   - CloseIdleConnections() is called by Stop.
//
// The errors of the first two go to the caller as they are: a [*URLError] and an
// [*UnreachableError] have the words that a management API shows.
//
// To add to an HTTPTransport, embed it: the new type has all these methods, and URLs
// are stored in the same normal form. A type that holds it in a field has only those
// that it declares itself.
type Transport interface {
	// Send returns the response, whatever its status. An error is the
	// receiver's fault, is retried and counts, unless it is a [*TransportError]
	// whose Kind is the sender's fault ([FailureKind.SenderFault]).
	Send(ctx context.Context, req *Request) (*Response, error)
}

// Request is one signed request. The Transport may keep it, since a body may still
// be read after the response has come. It may change Header, but not Body.
type Request struct {
	URL    string
	Header http.Header // complete, canonical keys
	Body   []byte

	AccountID  string
	EndpointID string
	DeliveryID string // empty for a test event
}

// Format prints where r goes and how long its body is. URL, Header and Body hold what
// is not for logs.
func (r Request) Format(f fmt.State, verb rune) { format(f, verb, r.shown()) }

// LogValue returns what Format prints.
func (r Request) LogValue() slog.Value { return slog.AnyValue(r.shown()) }

func (r Request) shown() any {
	return struct {
		Host, AccountID, EndpointID, DeliveryID string
		Bytes                                   int
	}{redact.Host(r.URL), r.AccountID, r.EndpointID, r.DeliveryID, len(r.Body)}
}

// Response is what came back for a [Request].
type Response struct {
	StatusCode int
	Header     http.Header
	Body       []byte // the beginning of the body; may be empty
}

// FailureKind is the reason of a failed attempt in one fixed word.
type FailureKind string

// The reasons of a failed attempt. Those of the last group are the sender's
// own: they use up no attempt and never count against an endpoint.
const (
	FailureHTTPStatus     FailureKind = "http_status"        // responded, but not with 2xx
	FailureRedirect       FailureKind = "redirect"           // responded with 3xx; never followed
	FailureTimeout        FailureKind = "timeout"            // connected, but no response in time
	FailureConnectTimeout FailureKind = "connect_timeout"    // DNS, TCP and TLS took too long
	FailureRefused        FailureKind = "connection_refused" // nothing listens there
	FailureConnection     FailureKind = "connection"         // reset or closed before the response, or no way to the host
	FailureTLS            FailureKind = "tls"                // the handshake failed, or the certificate is not valid
	FailureProtocol       FailureKind = "protocol"           // the response is not HTTP
	FailureDNSNotFound    FailureKind = "dns_not_found"      // the host does not exist
	FailureDNSServer      FailureKind = "dns_server"         // the name server of the host's domain does not respond
	FailureBlockedAddress FailureKind = "blocked_address"    // the name leads to an address that must not be reached
	FailureURL            FailureKind = "invalid_url"        // the stored URL is not one that may be called

	FailureDNSTemporary FailureKind = "dns_temporary" // our resolver did not respond, as far as can be told
	FailureLocal        FailureKind = "local"         // our network, file descriptors or memory
	FailureCanceled     FailureKind = "canceled"      // we stopped
	FailureInternal     FailureKind = "internal"      // a panic or an error in our own code
)

// SenderFault reports whether the reason lies with the sender: such a failure uses up
// no attempt and never counts against the endpoint.
func (k FailureKind) SenderFault() bool {
	switch k {
	case FailureDNSTemporary, FailureLocal, FailureCanceled, FailureInternal:
		return true
	}
	return false
}

// TransportError is an error of [Transport.Send] that says what kind it is.
type TransportError struct {
	Kind   FailureKind
	Detail string // fixed words, safe to show to the endpoint's owner; at most 1,024 bytes are kept
	Err    error  // the cause, for the operator's log alone; may be nil
}

// Error returns Kind and Detail, without the cause.
func (e *TransportError) Error() string {
	if e.Detail == "" {
		return "webhook: " + string(e.Kind)
	}
	return "webhook: " + string(e.Kind) + ": " + e.Detail
}

// Unwrap returns the cause. It can hold addresses and bytes of the peer.
func (e *TransportError) Unwrap() error { return e.Err }

// The words for a status, and for what the engine stopped.
const (
	detailCanceled = httpsend.DetailCanceled
	detailRedirect = "redirects are not followed; register the final URL"
	detailTooLarge = "the server refuses a request of this size"
	detailStatus   = "the status is not 2xx"
)

// statusFailure is the kind and the detail of a response's status, both empty for
// a success: 200 to 299, whatever else the response holds.
func statusFailure(status int) (FailureKind, string) {
	switch {
	case status >= 200 && status <= 299:
		return "", ""
	case status >= 300 && status <= 399 && status != http.StatusNotModified:
		return FailureRedirect, detailRedirect
	case status == http.StatusRequestEntityTooLarge, status == http.StatusRequestURITooLong,
		status == http.StatusRequestHeaderFieldsTooLarge:
		return FailureHTTPStatus, detailTooLarge
	}
	return FailureHTTPStatus, detailStatus
}

// maxResponseBody bounds what is kept of a response's body, whatever the Transport.
const maxResponseBody = httpsend.MaxBody

// HTTPConfig configures an [HTTPTransport]. The zero value sends to public
// addresses over https.
type HTTPConfig struct {
	// AllowHTTP permits http:// URLs. Requests are signed, but then anybody on
	// the way can read them.
	AllowHTTP bool

	// AllowPrefixes are addresses that may be reached in addition to public ones: a
	// private network, or 127.0.0.0/8 in tests. Link-local addresses and those of
	// the clouds' metadata services stay blocked unless a prefix names them: one
	// inside 169.254.0.0/16 or fe80::/10, or the exact address. With any prefix
	// here, host names of private networks are accepted too.
	AllowPrefixes []netip.Prefix

	// DenyPrefixes are addresses that must not be reached, whatever else allows
	// them: this system's own public addresses, for example, so that it cannot
	// be made to call itself.
	DenyPrefixes []netip.Prefix

	// AllowPorts are ports that may be reached in addition to those of HTTP
	// servers, which are 443; 80 with AllowHTTP; and from 1024 up all that are not
	// known for another protocol: databases, caches, queues, mail, telephony, IRC,
	// X11 and others that browsers refuse.
	AllowPorts []uint16

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
	// used; each costs about 30 KiB. Defaults to 1000; -1 means one connection
	// per request.
	MaxIdle int

	// ConnMaxIdleTime is how long each of these is kept. Defaults to 4 s, which is
	// shorter than what most servers keep them: 5 s in Node, Apache and uvicorn, 20
	// to 75 s in Puma, Tomcat, AWS's load balancers and nginx. What closes sooner,
	// like gunicorn after 2 s, costs no attempt either, see [HTTPTransport].
	ConnMaxIdleTime time.Duration

	// ConnMaxLifetime is how long a connection takes requests, however busy it is:
	// then the host's name is looked up and its address checked again. A request
	// under way is not cut off. Defaults to 5 min; -1 means without end.
	ConnMaxLifetime time.Duration

	// TLS is the client's configuration, cloned: RootCAs, Certificates and the
	// like. MinVersion defaults to TLS 1.2.
	TLS *tls.Config
}

// HTTPTransport is the default [Transport]: POST over HTTP/1.1 with keep-alive.
// A connection is reused for the account and host that it was made for, and bytes
// that a peer sends unasked never become a response. It follows no redirect, uses no
// proxy, keeps no cookies and reads at most 64 KiB of response headers and 4 KiB of
// body.
//
// One Send is one request, with one exception: if a connection that was kept from an
// earlier request is closed before the first byte of a response, the request is sent
// once more, on a new connection and within the same Timeout. That is what happens
// when a server's idle timeout ends as the request is on its way. If the server had
// read the request, it recognises the repetition by the event's id, like any other.
//
// Where a request goes is checked when the URL is parsed and again, after DNS, for
// the address of each connection. All errors are [*TransportError], in fixed words.
//
// To add to it, embed it in a type of your own: see [Transport].
//
// It is safe for concurrent use.
type HTTPTransport struct {
	policy egress.Policy
	sender *httpsend.Sender
}

// NewHTTPTransport makes an HTTPTransport, or returns a [*ValidationError] that
// lists every mistake in cfg. It starts nothing.
func NewHTTPTransport(cfg HTTPConfig) (*HTTPTransport, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	return newHTTPTransport(cfg.sending()), nil
}

func newHTTPTransport(cfg httpsend.Config) *HTTPTransport {
	return &HTTPTransport{policy: cfg.Policy, sender: httpsend.New(cfg)}
}

// sending is the same for package httpsend, once the defaults are filled in.
func (cfg *HTTPConfig) sending() httpsend.Config {
	return httpsend.Config{
		Policy:          egress.Policy{AllowHTTP: cfg.AllowHTTP, Allow: cfg.AllowPrefixes, Deny: cfg.DenyPrefixes, AllowPorts: cfg.AllowPorts},
		ConnectTimeout:  cfg.ConnectTimeout,
		ResponseTimeout: cfg.ResponseTimeout,
		Timeout:         cfg.Timeout,
		Excerpt:         cfg.ResponseExcerpt,
		MaxIdle:         cfg.MaxIdle,
		IdleTimeout:     cfg.ConnMaxIdleTime,
		Lifetime:        cfg.ConnMaxLifetime,
		TLS:             cfg.TLS,
	}
}

// fill puts the defaults into cfg, whose slices and pointers become its own.
func (cfg *HTTPConfig) fill() error {
	var s check.Settings
	number := func(name string, n *int, def, highest int) {
		check.OrOff(&s, name, n, def)
		if *n > highest {
			s.Fail(name, fmt.Sprintf("must be at most %d", highest))
		}
	}
	prefixes := func(name string, list *[]netip.Prefix) {
		for i, p := range *list {
			if text := egress.CheckPrefix(p); text != "" {
				s.Fail(fmt.Sprintf("%s[%d]", name, i), text)
			}
		}
		*list = append([]netip.Prefix(nil), *list...)
	}
	prefixes("AllowPrefixes", &cfg.AllowPrefixes)
	prefixes("DenyPrefixes", &cfg.DenyPrefixes)
	if slices.Contains(cfg.AllowPorts, 0) {
		s.Fail("AllowPorts", "holds the port 0")
	}
	cfg.AllowPorts = slices.Clone(cfg.AllowPorts)
	check.Positive(&s, "ConnectTimeout", &cfg.ConnectTimeout, 3*time.Second)
	check.Positive(&s, "ResponseTimeout", &cfg.ResponseTimeout, 5*time.Second)
	check.Positive(&s, "Timeout", &cfg.Timeout, 10*time.Second)
	check.Positive(&s, "ConnMaxIdleTime", &cfg.ConnMaxIdleTime, 4*time.Second)
	check.OrOff(&s, "ConnMaxLifetime", &cfg.ConnMaxLifetime, 5*time.Minute)
	number("ResponseExcerpt", &cfg.ResponseExcerpt, 1024, maxResponseBody)
	number("MaxIdle", &cfg.MaxIdle, 1000, 1_000_000)
	if cfg.TLS != nil && cfg.TLS.ServerName != "" {
		s.Fail("TLS.ServerName", "must be empty; it is the host of each URL")
	}
	return invalidSettings(s)
}

// CheckURL returns a [*URLError] when raw cannot be an endpoint's URL. It
// resolves no name: where a name leads is checked at each connection.
func (t *HTTPTransport) CheckURL(raw string) error {
	_, err := parseURL(&t.policy, raw)
	return err
}

// CheckReachable connects to the host of raw, over TLS where its scheme asks
// for that, and sends no request. It returns a [*URLError] or an
// [*UnreachableError].
func (t *HTTPTransport) CheckReachable(ctx context.Context, raw string) error {
	if err := t.CheckURL(raw); err != nil {
		return err
	}
	err := t.sender.Connect(ctx, raw)
	if err == nil {
		return nil
	}
	e := transportError(err)
	return &UnreachableError{Kind: e.Kind, Detail: e.Detail, Err: e.Err}
}

// CloseIdleConnections closes the connections that no Send is using.
func (t *HTTPTransport) CloseIdleConnections() { t.sender.CloseIdle() }

// Send implements [Transport].
func (t *HTTPTransport) Send(ctx context.Context, req *Request) (*Response, error) {
	ctx, deadline := withoutTimer(ctx)
	res, err := t.sender.Send(ctx, httpsend.Request{
		URL: req.URL, Header: req.Header, Body: req.Body, Owner: req.AccountID, Deadline: deadline,
	})
	if err != nil {
		return nil, transportError(err)
	}
	return &Response{StatusCode: res.StatusCode, Header: res.Header, Body: res.Body}, nil
}

// transportError is an error of package httpsend as this package shows it.
func transportError(err error) *TransportError {
	var e *httpsend.Error
	if !errors.As(err, &e) {
		return &TransportError{Kind: FailureInternal, Err: err}
	}
	cause := e.Err
	var refused *egress.Error
	if errors.As(cause, &refused) {
		cause = urlError(refused)
	}
	return &TransportError{Kind: FailureKind(e.Kind), Detail: e.Detail, Err: cause}
}

// attemptContext gives each attempt its deadline, by a timer that is made when
// somebody asks for it. [HTTPTransport] does not ask: it has one timer for all its
// limits, and a second one would cost seven allocations. A Transport around it can
// wait, or pass the context on, and has the same deadline.
type attemptContext struct {
	parent   context.Context
	deadline time.Time

	mu     sync.Mutex
	timed  context.Context // nil until somebody asks
	cancel context.CancelFunc
	ended  bool
}

func newAttemptContext(parent context.Context, deadline time.Time) *attemptContext {
	return &attemptContext{parent: parent, deadline: deadline}
}

func (c *attemptContext) context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed == nil {
		c.timed, c.cancel = context.WithDeadline(c.parent, c.deadline)
		if c.ended {
			c.cancel()
		}
	}
	return c.timed
}

func (c *attemptContext) Deadline() (time.Time, bool) { return c.context().Deadline() }
func (c *attemptContext) Done() <-chan struct{}       { return c.context().Done() }
func (c *attemptContext) Err() error                  { return c.context().Err() }
func (c *attemptContext) Value(key any) any           { return c.context().Value(key) }

// end ends the context; its deadline counts for nothing then.
func (c *attemptContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.cancel != nil {
		c.cancel()
	}
}

// withoutTimer returns the context and the deadline for what needs no timer for it.
// The deadline is zero where ctx is the only one to know it.
func withoutTimer(ctx context.Context) (context.Context, time.Time) {
	if c, ok := ctx.(*attemptContext); ok {
		return c.parent, c.deadline
	}
	return ctx, time.Time{}
}
