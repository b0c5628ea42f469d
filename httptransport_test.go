package webhook_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
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
