package webhook_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/httpsend"
	"github.com/ringyo-ai/webhook/memstore"
)

// loopbackConfig lets a transport reach test servers over plain HTTP.
func loopbackConfig() webhook.HTTPConfig {
	return webhook.HTTPConfig{AllowHTTP: true, AllowPrefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
}

func newTestTransport(t testing.TB, cfg webhook.HTTPConfig) *webhook.HTTPTransport {
	t.Helper()
	tr, err := webhook.NewHTTPTransport(cfg)
	require.NoError(t, err)
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// transportDialing makes a transport that connects with dial.
func transportDialing(t testing.TB, cfg webhook.HTTPConfig, dial webhook.DialFunc) *webhook.HTTPTransport {
	t.Helper()
	tr, err := webhook.NewHTTPTransportDialing(cfg, dial)
	require.NoError(t, err)
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// answering is a connection to a server that answers each request with raw.
func answering(raw string) net.Conn {
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		br := bufio.NewReader(theirs)
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			if _, err := io.WriteString(theirs, raw); err != nil {
				return
			}
		}
	}()
	return ours
}

func postTo(t testing.TB, tr *webhook.HTTPTransport, url string) (*webhook.Response, error) {
	t.Helper()
	return tr.Send(t.Context(), &webhook.Request{URL: url, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(`{"a":1}`)})
}

func transportFailure(t testing.TB, err error) *webhook.TransportError {
	t.Helper()
	var te *webhook.TransportError
	require.ErrorAs(t, err, &te)
	return te
}

func TestHTTPTransportSendsOnePOST(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "thanks")
	}))
	t.Cleanup(srv.Close)

	res, err := postTo(t, newTestTransport(t, loopbackConfig()), srv.URL+"/hook?x=%41")
	require.NoError(t, err)
	assert.Equal(t, http.StatusAccepted, res.StatusCode)
	assert.Equal(t, "thanks", string(res.Body))
	assert.Equal(t, http.MethodPost, got.Method)
	assert.Equal(t, "/hook?x=%41", got.RequestURI)
	assert.Equal(t, "HTTP/1.1", got.Proto)
	assert.JSONEq(t, `{"a":1}`, string(body))
	assert.Equal(t, int64(7), got.ContentLength)
	assert.NotContains(t, got.Header, "Accept-Encoding")
	assert.NotContains(t, got.Header, "Cookie")
}

// What a customer registers is what a server reads, by a delivery and by a test,
// though it goes through the store: byte for byte, but for bytes that cannot be sent.
func TestAURLArrivesAsItWasRegistered(t *testing.T) {
	t.Parallel()
	var got []string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = append(got, r.RequestURI) }))
	t.Cleanup(srv.Close)
	e, err := webhook.New(webhook.Config{Store: memstore.New(), Transport: newTestTransport(t, loopbackConfig()), Logger: quiet})
	require.NoError(t, err)
	ep, _, err := e.CreateEndpoint(t.Context(), webhook.EndpointParams{AccountID: "acme", URL: srv.URL, Events: []webhook.EventType{"*"}})
	require.NoError(t, err)
	for raw, want := range map[string]string{
		"/api/v4/projects/acme%2Fvoice/{env}/hook": "/api/v4/projects/acme%2Fvoice/%7Benv%7D/hook",
		"/..%2F..%2F":                    "/..%2F..%2F",
		"//a/../b/./%2e%2E/;c=%7e":       "//a/../b/./%2e%2E/;c=%7e",
		"/ü/%C3%bc?q=ü%zz&a[]={b}&%41 +": "/%C3%BC/%C3%bc?q=%C3%BC%zz&a[]={b}&%41%20+",
		"?":                              "/?",
	} {
		url := srv.URL + raw
		ep, err = e.UpdateEndpoint(t.Context(), "acme", ep.ID, webhook.EndpointChange{URL: &url, CheckReachable: true})
		require.NoError(t, err, raw)
		assert.Equal(t, srv.URL+want, ep.URL)
		got = nil
		require.NoError(t, e.Emit(t.Context(), event(t)))
		_, err = e.DeliverDue(t.Context())
		require.NoError(t, err)
		_, err = e.SendTest(t.Context(), "acme", ep.ID, "test.happened")
		require.NoError(t, err)
		assert.Equal(t, []string{want, want}, got, raw)
	}
}

func TestHTTPTransportReachesOnlyPublicAddressesByDefault(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a byte was sent") }))
	t.Cleanup(srv.Close)

	_, err := postTo(t, newTestTransport(t, webhook.HTTPConfig{AllowHTTP: true}), srv.URL)
	assert.Equal(t, webhook.FailureBlockedAddress, transportFailure(t, err).Kind)
	_, err = postTo(t, newTestTransport(t, webhook.HTTPConfig{}), srv.URL)
	assert.Equal(t, webhook.FailureURL, transportFailure(t, err).Kind)
}

func TestHTTPTransportStopsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { cancel() }))
	t.Cleanup(srv.Close)
	cancel()
	_, err := newTestTransport(t, loopbackConfig()).Send(ctx, &webhook.Request{URL: srv.URL, Header: http.Header{}})
	assert.Equal(t, webhook.FailureCanceled, transportFailure(t, err).Kind)
}

func TestCheckURLNamesTheKind(t *testing.T) {
	t.Parallel()
	tr := newTestTransport(t, webhook.HTTPConfig{})
	for raw, kind := range map[string]string{
		"https://" + strings.Repeat("a", 3000): "too_long",
		"example.com":                          "parse",
		"http://example.com/":                  "scheme",
		"https://user:hunter2@example.com/":    "userinfo",
		"https://localhost/":                   "host",
		"https://bücher.example/":              "host_not_ascii",
		"https://2130706433/":                  "host_numeric",
		"https://10.0.0.1/":                    "address",
		"https://example.com:0/":               "port",
		"https://example.com:6379/":            "port_blocked",
		"https://example.com/#a":               "fragment",
	} {
		err := tr.CheckURL(raw)
		var e *webhook.URLError
		require.ErrorAs(t, err, &e, raw)
		assert.Equal(t, kind, e.Kind)
		assert.Equal(t, "invalid_url", e.Code())
		assert.True(t, errors.Is(err, webhook.ErrInvalidArgument))
		assert.NotContains(t, err.Error(), "hunter2")
		assert.NotEqual(t, "webhook: invalid url: "+kind, err.Error(), "the text says more than the kind")
	}
	assert.NoError(t, tr.CheckURL("https://example.com/"))
	assert.Equal(t, "webhook: invalid url: own_rule", (&webhook.URLError{Kind: "own_rule"}).Error())
}

func TestSendersFaultsAreDistinguished(t *testing.T) {
	t.Parallel()
	for kind, senders := range map[webhook.FailureKind]bool{
		webhook.FailureHTTPStatus: false, webhook.FailureRedirect: false, webhook.FailureTimeout: false,
		webhook.FailureConnectTimeout: false, webhook.FailureRefused: false, webhook.FailureConnection: false,
		webhook.FailureTLS: false, webhook.FailureProtocol: false, webhook.FailureDNSNotFound: false, webhook.FailureDNSServer: false,
		webhook.FailureBlockedAddress: false, webhook.FailureURL: false,
		webhook.FailureDNSTemporary: true, webhook.FailureLocal: true, webhook.FailureCanceled: true, webhook.FailureInternal: true,
	} {
		assert.Equal(t, senders, kind.SenderFault(), kind)
	}
	assert.Equal(t, "webhook: tls", (&webhook.TransportError{Kind: webhook.FailureTLS}).Error())
}

func TestStatusFailure(t *testing.T) {
	t.Parallel()
	for status := range 1000 {
		want := webhook.FailureHTTPStatus // B12, B14, B19, B20, B21, B26
		switch {
		case status >= 200 && status < 300:
			want = "" // B1
		case status >= 300 && status < 400 && status != http.StatusNotModified:
			want = webhook.FailureRedirect // B13, A48
		}
		kind, detail := webhook.StatusFailure(status)
		assert.Equal(t, want, kind, status)
		assert.Equal(t, kind == "", detail == "", status)
		assert.False(t, kind.SenderFault())
	}
	for _, status := range []int{413, 414, 431} { // B21
		_, detail := webhook.StatusFailure(status)
		assert.Contains(t, detail, "size")
	}
}

// What is stored is not trusted, and why it is refused can be told.
func TestStoredURLsThatAreRefused(t *testing.T) { // A57
	t.Parallel()
	_, err := postTo(t, newTestTransport(t, webhook.HTTPConfig{}), "https://localhost/")
	e := transportFailure(t, err)
	assert.Equal(t, webhook.FailureURL, e.Kind)
	assert.Equal(t, "its host is not a public name", e.Detail)
	var u *webhook.URLError
	require.ErrorAs(t, err, &u)
	assert.Equal(t, "host", u.Kind)
}

// A port of another protocol is refused when it is registered, when it is checked and
// when it was stored before, unless it is named.
func TestPortsThatAreNotThoseOfHTTP(t *testing.T) {
	t.Parallel()
	cfg := webhook.HTTPConfig{AllowHTTP: true, AllowPorts: []uint16{6379}}
	for _, port := range []string{"22", "25", "6379", "11211"} {
		tr := transportDialing(t, webhook.HTTPConfig{AllowHTTP: true}, func(context.Context, *net.Dialer, string, string) (net.Conn, error) {
			t.Error("dialled")
			return nil, net.ErrClosed
		})
		url := "https://example.com:" + port + "/"
		e, err := webhook.New(webhook.Config{Store: memstore.New(), Transport: tr, Logger: quiet})
		require.NoError(t, err)
		_, _, err = e.CreateEndpoint(t.Context(), webhook.EndpointParams{AccountID: "acme", URL: url, Events: []webhook.EventType{"*"}})
		var refused *webhook.URLError
		require.ErrorAs(t, err, &refused)
		assert.Equal(t, "port_blocked", refused.Kind)
		assert.Equal(t, "webhook: invalid url: its port is not one of HTTP servers; use 443", err.Error())
		require.ErrorAs(t, tr.CheckReachable(t.Context(), url), &refused)
		_, err = postTo(t, tr, url)
		assert.Equal(t, webhook.FailureURL, transportFailure(t, err).Kind)
		assert.Equal(t, "its port is not one of HTTP servers; use 443", transportFailure(t, err).Detail)
		assert.Equal(t, port == "6379", newTestTransport(t, cfg).CheckURL(url) == nil)
	}
	_, err := webhook.NormalizeURL(&fakeTransport{}, "https://example.com:25/")
	assert.Error(t, err, "a Transport without rules of its own has these")
}

func TestCheckReachable(t *testing.T) {
	t.Parallel()
	cfg := loopbackConfig()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request was made") }))
	t.Cleanup(srv.Close)
	assert.NoError(t, newTestTransport(t, cfg).CheckReachable(t.Context(), srv.URL))

	var refused *webhook.URLError
	require.ErrorAs(t, newTestTransport(t, webhook.HTTPConfig{AllowHTTP: true}).CheckReachable(t.Context(), srv.URL), &refused)

	down := transportDialing(t, cfg, func(context.Context, *net.Dialer, string, string) (net.Conn, error) {
		return nil, os.ErrDeadlineExceeded
	})
	var u *webhook.UnreachableError
	require.ErrorAs(t, down.CheckReachable(t.Context(), srv.URL), &u)
	assert.Equal(t, "url_unreachable", u.Code())
	assert.Equal(t, webhook.FailureConnectTimeout, u.Kind)
	assert.Equal(t, "webhook: url unreachable: connect_timeout: connecting took too long", u.Error())
	assert.ErrorIs(t, u, os.ErrDeadlineExceeded)
}

// The words of package httpsend are those of this one: none of them stands in one
// place alone, but for what only the engine can say.
func TestFailureKindsAreThoseOfHTTPSend(t *testing.T) {
	t.Parallel()
	ours, theirs := kindsIn(t, "transport.go", "FailureKind"), kindsIn(t, "internal/httpsend/kind.go", "Kind")
	require.NotEmpty(t, theirs)
	for name, word := range theirs {
		assert.Equal(t, word, ours["Failure"+name], name)
		assert.Equal(t, httpsend.Kind(word).SenderFault(), webhook.FailureKind(word).SenderFault(), word)
		delete(ours, "Failure"+name)
	}
	assert.Equal(t, map[string]string{"FailureHTTPStatus": "http_status", "FailureRedirect": "redirect"}, ours)
}

// kindsIn returns the constants of a type that a file declares, by their names.
func kindsIn(t *testing.T, file, typ string) map[string]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	found := map[string]string{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if s, ok := n.(*ast.ValueSpec); ok {
			if id, ok := s.Type.(*ast.Ident); ok && id.Name == typ {
				found[s.Names[0].Name], err = strconv.Unquote(s.Values[0].(*ast.BasicLit).Value)
				require.NoError(t, err)
			}
		}
		return true
	})
	return found
}

func TestHTTPConfigMistakesAreJoined(t *testing.T) {
	t.Parallel()
	cfg := loopbackConfig()
	cfg.AllowPrefixes = append(cfg.AllowPrefixes, cfg.AllowPrefixes[0], netip.Prefix{})
	cfg.DenyPrefixes = append(cfg.DenyPrefixes, netip.Prefix{})
	cfg.AllowPorts = []uint16{25, 0}
	cfg.ConnectTimeout, cfg.ResponseTimeout, cfg.Timeout = -1, -1, -1
	cfg.ResponseExcerpt, cfg.MaxIdle = 5000, -2
	cfg.ConnMaxIdleTime, cfg.ConnMaxLifetime = -1, -2
	cfg.TLS = &tls.Config{ServerName: "a"}
	_, err := webhook.NewHTTPTransport(cfg)
	var v *webhook.ValidationError
	require.ErrorAs(t, err, &v)
	var fields []string
	for _, f := range v.Fields {
		fields = append(fields, f.Field)
	}
	assert.ElementsMatch(t, []string{
		"AllowPrefixes[2]", "DenyPrefixes[0]", "AllowPorts", "ConnectTimeout", "ResponseTimeout", "Timeout", "ConnMaxIdleTime", "ConnMaxLifetime",
		"ResponseExcerpt", "MaxIdle", "TLS.ServerName",
	}, fields)
}

func TestHowLongConnectionsAreKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg         webhook.HTTPConfig
		pause       time.Duration
		sent, dials int
	}{
		"busy":                  {webhook.HTTPConfig{}, time.Second, 300, 1},
		"busy beyond 5 min":     {webhook.HTTPConfig{}, time.Second, 301, 2},
		"idle for 4 s":          {webhook.HTTPConfig{}, 4 * time.Second, 2, 2},
		"a short lifetime":      {webhook.HTTPConfig{ConnMaxLifetime: 3 * time.Second}, time.Second, 6, 2},
		"no lifetime":           {webhook.HTTPConfig{ConnMaxLifetime: -1}, time.Second, 1000, 1},
		"kept idle for long":    {webhook.HTTPConfig{ConnMaxIdleTime: time.Minute}, 59 * time.Second, 5, 1},
		"long idle, over 5 min": {webhook.HTTPConfig{ConnMaxIdleTime: time.Hour}, 5 * time.Minute, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				dials := 0
				c.cfg.AllowHTTP = true
				tr := transportDialing(t, c.cfg, func(context.Context, *net.Dialer, string, string) (net.Conn, error) {
					dials++
					return answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), nil
				})
				for range c.sent {
					_, err := postTo(t, tr, "http://example.com/")
					require.NoError(t, err)
					time.Sleep(c.pause)
				}
				assert.Equal(t, c.dials, dials)
			})
		})
	}
}

// Such an endpoint uses up its attempts, shows why, and is disabled in the end.
func TestAnEndpointWhoseNameServerFailsIsDisabled(t *testing.T) { // A58
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := transportDialing(t, webhook.HTTPConfig{AllowHTTP: true, MaxIdle: -1}, func(ctx context.Context, d *net.Dialer, _, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, "bad.") {
				return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "server misbehaving", Name: addr, IsTemporary: true}}
			}
			require.NoError(t, d.ControlContext(ctx, "tcp4", "8.8.8.8:80", nil))
			return answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), nil
		})
		e, err := webhook.New(webhook.Config{Store: memstore.New(), Transport: tr, Logger: quiet, Disable: webhook.DisablePolicy{After: 2}})
		require.NoError(t, err)
		create := func(account, url string) webhook.Endpoint {
			ep, _, err := e.CreateEndpoint(t.Context(), webhook.EndpointParams{AccountID: account, URL: url, Events: []webhook.EventType{"*"}})
			require.NoError(t, err)
			return ep
		}
		bad, _ := create("a", "http://bad.example.com/"), create("b", "http://good.example.org/")
		for range 150 {
			for _, account := range []string{"a", "b"} {
				ev, err := webhook.NewEvent(account, "test.happened", 1)
				require.NoError(t, err)
				require.NoError(t, e.Emit(t.Context(), ev))
				_, err = e.DeliverDue(t.Context())
				require.NoError(t, err)
			}
			time.Sleep(10 * time.Second)
		}
		ep, err := e.GetEndpoint(t.Context(), "a", bad.ID)
		require.NoError(t, err)
		assert.Equal(t, webhook.EndpointInactive, ep.Status)
		page, err := e.ListDeliveries(t.Context(), "a", webhook.DeliveryQuery{EndpointID: bad.ID, Status: webhook.DeliveryExhausted})
		require.NoError(t, err)
		require.NotEmpty(t, page.Items)
		attempts, err := e.ListAttempts(t.Context(), "a", page.Items[0].ID)
		require.NoError(t, err)
		require.NotEmpty(t, attempts)
		assert.Equal(t, webhook.FailureDNSServer, attempts[0].Failure)
		assert.Equal(t, "the name server of your domain did not respond", attempts[0].Detail)
	})
}
