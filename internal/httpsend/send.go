package httpsend

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/ringyo-ai/webhook/internal/egress"
	"github.com/ringyo-ai/webhook/internal/http1"
	"github.com/ringyo-ai/webhook/internal/nameserver"
)

// Limits of what a receiver can make the transport read.
const (
	maxHeader = 64 << 10
	// MaxBody is the number of bytes of a response's body that are read.
	MaxBody = 4 << 10
	// bodyTimeout bounds the wait for the response's body, which decides
	// nothing: the status has been read.
	bodyTimeout = time.Second
)

// Config configures a [Sender]. There are no defaults.
type Config struct {
	Policy          egress.Policy // where requests may go
	ConnectTimeout  time.Duration // for DNS, TCP and TLS together
	ResponseTimeout time.Duration // from the written request to the end of the response's headers
	Timeout         time.Duration // for all of it
	Excerpt         int           // bytes of the response's body that are kept, at most MaxBody
	MaxIdle         int           // connections that are kept without being used; none if it is negative
	IdleTimeout     time.Duration // how long they are kept
	Lifetime        time.Duration // how long after its dial a connection takes requests; without end if it is not positive
	TLS             *tls.Config   // cloned; may be nil

	// Dial makes the connections with d, which applies the Policy. It is
	// d.DialContext where it is nil.
	Dial func(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error)
}

// Sender sends requests. It is safe for concurrent use.
type Sender struct {
	policy   egress.Policy
	urls     *urlCache
	lookups  *nameserver.Record
	pool     *http1.Pool
	tls      *tls.Config
	connect  time.Duration
	response time.Duration
	total    time.Duration
	excerpt  int
	dial     func(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error)
}

// New returns a Sender. It starts nothing.
func New(cfg Config) *Sender {
	s := &Sender{
		policy:   cfg.Policy,
		urls:     newURLCache(),
		lookups:  nameserver.New(),
		tls:      clientTLS(cfg.TLS, cfg.MaxIdle),
		connect:  cfg.ConnectTimeout,
		response: cfg.ResponseTimeout,
		total:    cfg.Timeout,
		excerpt:  max(cfg.Excerpt, 0),
		pool:     &http1.Pool{MaxIdle: cfg.MaxIdle, IdleTimeout: cfg.IdleTimeout, Lifetime: cfg.Lifetime, MaxHeader: maxHeader},
		dial:     cfg.Dial,
	}
	if s.dial == nil {
		s.dial = func(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error) {
			return d.DialContext(ctx, network, addr)
		}
	}
	return s
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

// Connect connects to the host of raw, over TLS where its scheme asks for that, and
// sends no request.
func (s *Sender) Connect(ctx context.Context, raw string) error {
	at, err := s.sendTo(raw)
	if err != nil {
		return err
	}
	_, conn, err := s.connection(ctx, at, at.key)
	if err != nil {
		return classify(ctx, err)
	}
	_ = conn.Close()
	return nil
}

// CloseIdle closes the connections that no Send is using.
func (s *Sender) CloseIdle() { s.pool.CloseIdle() }

// Request is one request.
type Request struct {
	URL    string
	Header http.Header // the Sender's to change
	Body   []byte      // the Sender's to read, even after Send has returned
	Owner  string      // requests of one owner may share connections

	// Deadline is when Send ends at the latest, as that of a context would be. It
	// needs no timer of its own. The zero time means that there is none.
	Deadline time.Time
}

// Response is what came back for a [Request].
type Response struct {
	StatusCode int
	Header     http.Header
	Body       []byte // its beginning
}

// Send sends one request and returns its response, whatever the status. Errors are
// all [*Error].
func (s *Sender) Send(ctx context.Context, req Request) (Response, error) {
	at, err := s.sendTo(req.URL)
	if err != nil {
		return Response{}, err
	}
	if !sendableHeader(req.Header) {
		return Response{}, &Error{Kind: Internal, Detail: detailHeader}
	}
	b := newBudget(ctx, s.response, s.timeLeft(req.Deadline), len(req.Body))
	defer b.end()
	x, err := s.pool.RoundTrip(b.Context, s.call(b, at, req))
	if err != nil {
		return Response{}, classify(ctx, err)
	}
	defer x.End()
	out := Response{StatusCode: x.StatusCode, Header: x.Header}
	if x.StatusCode != http.StatusSwitchingProtocols { // what follows is another protocol's
		out.Body = s.readBody(b, x)
	}
	return out, nil
}

// timeLeft is the time for a request that has a deadline, or none.
func (s *Sender) timeLeft(deadline time.Time) time.Duration {
	if deadline.IsZero() {
		return s.total
	}
	return min(s.total, time.Until(deadline))
}

// call is the HTTP request. Connections are its owner's own.
func (s *Sender) call(b *budget, at *target, req Request) http1.Call {
	c := http1.Call{Key: at.key, Request: b.request(at.url, req.Header, req.Body)}
	c.Key.Owner = req.Owner
	c.Dial = func(ctx context.Context) (*http1.Wire, net.Conn, error) {
		b.connecting()
		defer b.connected()
		return s.connection(ctx, at, c.Key)
	}
	if b.large {
		c.Written = b.written
	}
	return c
}

// readBody returns the excerpt. Reading to the end of a short body makes the
// connection reusable; of a long one it is not worth it.
func (s *Sender) readBody(b *budget, x *http1.Exchange) []byte {
	if x.Body == http.NoBody {
		return nil
	}
	b.expect(bodyTimeout)
	buf := bodyBuffers.Get().(*[MaxBody]byte)
	defer bodyBuffers.Put(buf)
	n := x.ReadBody(buf[:])
	return append([]byte(nil), buf[:min(n, s.excerpt)]...)
}

var bodyBuffers = sync.Pool{New: func() any { return new([MaxBody]byte) }}
