package webhooktest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ringyo-ai/webhook"
)

// ServerConfig shapes a [Server]. The zero value is a server over http that
// trusts no secret yet.
type ServerConfig struct {
	// Secrets verify the requests. More can be added with [Server.AddSecret].
	Secrets []webhook.Secret

	// Scheme is the scheme of the signatures. Defaults to Standard Webhooks.
	Scheme webhook.Scheme

	// Clock is the clock that timestamps are compared with; that of the Store,
	// if it has a [Clock]. Defaults to time.Now.
	Clock func() time.Time

	// TLS serves https, with a certificate that [Server.Transport] trusts.
	TLS bool
}

// Server is a customer's server on loopback, over real HTTP. It verifies each
// request, keeps it, and responds with 200, 401 when it does not verify, or what
// [Server.Reply] scripted. Make one with [NewServer].
type Server struct {
	// URL is the server's address, to be registered as an endpoint.
	URL string

	t       testing.TB
	cfg     ServerConfig
	http    *httptest.Server
	closing chan struct{}
	once    sync.Once

	mu       sync.Mutex
	received []Received
	replies  []Reply
	always   Reply
	changed  chan struct{} // closed, and replaced, when a request arrives
}

// Received is one request that arrived at a [Server].
type Received struct {
	Event  webhook.Event // zero when Err is set
	Err    error         // why it did not verify
	Header http.Header
	Body   []byte
}

// NewServer starts a Server. It is closed at the end of the test.
func NewServer(t testing.TB, cfg ServerConfig) *Server {
	t.Helper()
	s := &Server{t: t, cfg: cfg, closing: make(chan struct{}), changed: make(chan struct{})}
	s.cfg.Secrets = slices.Clone(cfg.Secrets)
	s.http = httptest.NewUnstartedServer(s)
	if cfg.TLS {
		s.http.StartTLS()
	} else {
		s.http.Start()
	}
	s.URL = s.http.URL
	t.Cleanup(s.Close)
	return s
}

// Close ends the responses that are under way and the server. A second call does
// nothing.
func (s *Server) Close() {
	s.once.Do(func() {
		close(s.closing)
		s.http.CloseClientConnections() // a body may never come to its end
	})
	s.http.Close()
}

// Transport makes a Transport that reaches this server, and every other one on
// loopback, which the default one refuses to. Its idle connections are closed
// at the end of the test.
func (s *Server) Transport() *webhook.HTTPTransport {
	s.t.Helper()
	cfg := webhook.HTTPConfig{
		AllowHTTP:     true,
		AllowPrefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	}
	if cert := s.http.Certificate(); cert != nil {
		roots := x509.NewCertPool()
		roots.AddCert(cert)
		cfg.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	transport, err := webhook.NewHTTPTransport(cfg)
	if err != nil {
		s.t.Fatalf("webhooktest: %v", err)
	}
	s.t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// AddSecret lets one more secret verify requests, such as the one that
// CreateEndpoint returned.
func (s *Server) AddSecret(secret webhook.Secret) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.Secrets = append(s.cfg.Secrets, secret)
}

// Received returns the requests that arrived, in order: the ones that did not
// verify, and the ones whose response is still under way, too.
func (s *Server) Received() []Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.received)
}

// Wait waits until n requests have arrived, and returns all that have. It ends
// the test when they do not arrive within 10 seconds: it is for started Engines.
// After Engine.DeliverDue there is nothing to wait for.
func (s *Server) Wait(n int) []Received {
	s.t.Helper()
	late := time.NewTimer(10 * time.Second)
	defer late.Stop()
	for {
		s.mu.Lock()
		got, changed := slices.Clone(s.received), s.changed
		s.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-changed:
		case <-late.C:
			s.t.Fatalf("webhooktest: %d requests arrived within 10 s, want %d", len(got), n)
			return got
		}
	}
}

// ServeHTTP implements [http.Handler], for servers of the test's own.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender went away
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	got := Received{Header: r.Header.Clone(), Body: body}
	got.Event, got.Err = s.verify(r)
	s.keep(got).write(w, r, s.closing)
}

func (s *Server) verify(r *http.Request) (webhook.Event, error) {
	s.mu.Lock()
	cfg := webhook.VerifierConfig{
		Secrets: slices.Clone(s.cfg.Secrets), Scheme: s.cfg.Scheme, Clock: s.cfg.Clock, MaxBody: -1,
	}
	s.mu.Unlock()
	if len(cfg.Secrets) == 0 {
		return webhook.Event{}, webhook.ErrNoSecret
	}
	v, err := webhook.NewVerifier(cfg)
	if err != nil {
		return webhook.Event{}, err
	}
	return v.VerifyRequest(r)
}

// keep notes the request and returns the reply to it.
func (s *Server) keep(got Received) Reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received = append(s.received, got)
	close(s.changed)
	s.changed = make(chan struct{})
	if got.Err != nil {
		return Reply{Status: http.StatusUnauthorized}
	}
	if len(s.replies) == 0 {
		return s.always
	}
	reply := s.replies[0]
	s.replies = s.replies[1:]
	return reply
}
