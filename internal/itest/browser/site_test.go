package browser

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
	"github.com/ringyo-ai/webhook/webhookapi"
	"github.com/ringyo-ai/webhook/webhookui"
)

// site is an engine, the receivers that it sends to, and the two handlers on a server.
type site struct {
	t        *testing.T
	engine   *webhook.Engine
	server   *httptest.Server
	prefix   string
	operator *webhookui.Operator
	also     []*site                           // that a tab may visit too
	access   atomic.Pointer[webhookapi.Access] // nil: nobody is logged in
	ahead    atomic.Int64                      // of the store's clock before the real one

	mu        sync.Mutex
	receivers map[string]http.HandlerFunc // by the host of the URL
	beside    []string
}

// options are what a test changes of a site.
type options struct {
	prefix string // where the portal is mounted; defaults to "/webhooks/"
	config func(*webhook.Config)
	portal func(*webhookui.Options)
}

// operatorPrefix is where the operator's view is mounted.
const operatorPrefix = "/operator/"

func newSite(t *testing.T, o options) *site {
	t.Helper()
	started(t) // or skip
	s := &site{t: t, prefix: o.prefix, receivers: map[string]http.HandlerFunc{}}
	if s.prefix == "" {
		s.prefix = "/webhooks/"
	}
	s.access.Store(&webhookapi.Access{AccountID: "acme", Actor: "somebody"})
	receivers := httptest.NewServer(http.HandlerFunc(s.receive))
	t.Cleanup(receivers.Close)
	inner, err := webhook.NewHTTPTransport(webhook.HTTPConfig{AllowHTTP: true, AllowPrefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	require.NoError(t, err)
	t.Cleanup(inner.CloseIdleConnections)
	quiet := slog.New(slog.DiscardHandler)
	config := webhook.Config{
		Store:     memstore.NewWith(memstore.Options{Clock: func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }}),
		Transport: &detour{inner, receivers.URL}, Tallies: true, Logger: quiet, Jitter: -1,
		Retry: webhook.Schedule{time.Minute}, Disable: webhook.DisablePolicy{After: 1},
	}
	if o.config != nil {
		o.config(&config)
	}
	s.engine, err = webhook.New(config)
	require.NoError(t, err)
	opt := webhookui.Options{Authorize: func(*http.Request) (webhookapi.Access, error) {
		if a := s.access.Load(); a != nil {
			return *a, nil
		}
		return webhookapi.Access{}, webhookapi.ErrUnauthenticated
	}, Logger: quiet}
	if o.portal != nil {
		o.portal(&opt)
	}
	portal, err := webhookui.New(s.engine, opt)
	require.NoError(t, err)
	s.operator, err = webhookui.NewOperator(s.engine, webhookui.OperatorOptions{
		Authorize: func(*http.Request) error {
			if s.access.Load() == nil {
				return webhookapi.ErrForbidden
			}
			return nil
		}, Logger: quiet, Brand: opt.Brand,
	})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle(s.prefix, http.StripPrefix(strings.TrimSuffix(s.prefix, "/"), portal))
	if s.prefix != "/" {
		mux.Handle(operatorPrefix, http.StripPrefix(strings.TrimSuffix(operatorPrefix, "/"), s.operator))
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			s.beside = append(s.beside, r.Method+" "+r.URL.Path)
			s.mu.Unlock()
			http.NotFound(w, r)
		})
	}
	s.server = httptest.NewServer(mux)
	t.Cleanup(s.server.Close)
	return s
}

// url is the address of a page of the portal.
func (s *site) url(path string) string { return s.server.URL + s.prefix + path }

// strays returns the requests that went beside the handlers.
func (s *site) strays() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.beside
}

// detour sends what goes to https://any.host/path to http://the.receivers/any.host/path,
// so that URLs are like real ones, and the requests too.
type detour struct {
	inner *webhook.HTTPTransport
	to    string
}

func (d *detour) Send(ctx context.Context, r *webhook.Request) (*webhook.Response, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, err
	}
	other := *r
	other.URL = d.to + "/" + u.Host + u.EscapedPath()
	if u.Host == "closed.example.com" {
		other.URL = "http://127.0.0.1:1/"
	}
	return d.inner.Send(ctx, &other)
}

// receive lets the receiver of a host respond; without one it is a 204.
func (s *site) receive(w http.ResponseWriter, r *http.Request) {
	host, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	s.mu.Lock()
	respond := s.receivers[host]
	s.mu.Unlock()
	if respond == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	respond(w, r)
}

// responds sets what the receiver of a host does.
func (s *site) responds(host string, respond http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.receivers[host] = respond
}

// status is a receiver that responds with a status and a body.
func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}
}

// endpoint registers an endpoint of the account acme, or of the one that is given.
func (s *site) endpoint(t *testing.T, p webhook.EndpointParams) string {
	t.Helper()
	if p.AccountID == "" {
		p.AccountID = "acme"
	}
	if p.Events == nil {
		p.Events = []webhook.EventType{"*"}
	}
	ep, _, err := s.engine.CreateEndpoint(t.Context(), p)
	require.NoError(t, err)
	return ep.ID
}

// emit emits samples of types for an account.
func (s *site) emit(t *testing.T, account string, types ...webhook.EventType) {
	t.Helper()
	for _, name := range types {
		ev, err := webhook.NewEvent(account, name, webhook.SampleData(name))
		require.NoError(t, err)
		require.NoError(t, s.engine.Emit(t.Context(), ev))
	}
}

// deliver sends all that is due.
func (s *site) deliver(t *testing.T) {
	t.Helper()
	for {
		n, err := s.engine.DeliverDue(t.Context())
		require.NoError(t, err)
		if n == 0 {
			return
		}
	}
}
