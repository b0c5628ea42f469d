package webhook_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

type plainTransport struct{}

func (plainTransport) Send(context.Context, *webhook.Request) (*webhook.Response, error) {
	return nil, errors.ErrUnsupported
}

type choosyTransport struct{ plainTransport }

func (choosyTransport) CheckURL(raw string) error {
	if strings.HasPrefix(raw, "queue:") {
		return nil
	}
	return &webhook.URLError{Kind: "scheme"}
}

func TestTheTransportDecidesWhichURLsAreRegistered(t *testing.T) {
	t.Parallel()
	private := newTestTransport(t, loopbackConfig())
	for _, c := range []struct {
		transport   webhook.Transport
		raw, normal string // an empty normal form means refused
	}{
		{private, "HTTP://127.0.0.1:80", "http://127.0.0.1/"},
		{private, "http://10.0.0.1/", ""},
		{embedding{private}, "HTTP://127.0.0.1:80", "http://127.0.0.1/"},
		{embedding{private}, "http://10.0.0.1/", ""},
		{choosyEmbedding{private}, "HTTP://127.0.0.1:80/choice", "http://127.0.0.1/choice"},
		{choosyEmbedding{private}, "http://127.0.0.1/", ""},
		{choosyEmbedding{private}, "queue:choice", "queue:choice"},
		{choosyTransport{}, "queue:A", "queue:A"},
		{choosyTransport{}, "https://example.com/", ""},
		{plainTransport{}, "HTTPS://Example.com", "https://example.com/"},
		{plainTransport{}, "http://example.com/", ""},
		{plainTransport{}, "https://10.0.0.1/", ""},
	} {
		got, err := webhook.NormalizeURL(c.transport, c.raw)
		if c.normal == "" {
			assert.ErrorIs(t, err, webhook.ErrInvalidArgument, c.raw)
			continue
		}
		assert.NoError(t, err, c.raw)
		assert.Equal(t, c.normal, got)
	}
}

// What a refused URL should look like is no secret, and what a user's CheckURL says is
// shown without the path that was tried.
func TestWhyAURLIsRefusedIsSaidWhole(t *testing.T) {
	t.Parallel()
	create := func(tr webhook.Transport, raw string) error {
		r := newRig(t, status(200), func(c *webhook.Config) { c.Transport = tr })
		_, _, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{AccountID: "acme", URL: raw, Events: []webhook.EventType{"*"}})
		require.ErrorAs(t, err, new(*webhook.URLError))
		return err
	}
	plain := newTestTransport(t, loopbackConfig())
	require.EqualError(t, create(plain, "nope"), "webhook: invalid url: it is not a URL of the form https://host/path")
	require.EqualError(t, create(choosyEmbedding{plain}, "nope"), "webhook: invalid url: choice")
	require.EqualError(t, create(telling{plain}, "https://example.com/a-long-path"), "webhook: invalid url: https://example.com")
}

// telling is a Transport whose rules for URLs tell the URL.
type telling struct{ *webhook.HTTPTransport }

func (telling) CheckURL(raw string) error { return &webhook.URLError{Kind: raw} }

// embedding is a Transport of a user's that adds to HTTPTransport in the way that is
// documented. Without a Send of its own it is the same as what it embeds.
type embedding struct{ *webhook.HTTPTransport }

// choosyEmbedding has rules of its own for URLs.
type choosyEmbedding struct{ *webhook.HTTPTransport }

func (choosyEmbedding) CheckURL(raw string) error {
	if strings.HasSuffix(raw, "choice") {
		return nil
	}
	return &webhook.URLError{Kind: "choice"}
}

// holding is a Transport that holds another one where the engine cannot see what it
// can do.
type holding struct{ inner webhook.Transport }

func (h holding) Send(ctx context.Context, req *webhook.Request) (*webhook.Response, error) {
	return h.inner.Send(ctx, req)
}

func TestAReachabilityCheckThatTheTransportCannotDoIsAnError(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(srv.Close)
	plain := newTestTransport(t, loopbackConfig())
	for _, c := range []struct {
		name      string
		transport webhook.Transport
		url       string
		want      error
	}{
		{"plain", plain, srv.URL, nil},
		{"embedding", embedding{plain}, srv.URL, nil},
		{"holding", holding{plain}, "https://example.com/", errors.ErrUnsupported},
		{"without checks", plainTransport{}, "https://example.com/", errors.ErrUnsupported},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e, err := webhook.New(webhook.Config{Store: memstore.New(), Transport: c.transport, Logger: quiet})
			require.NoError(t, err)
			params := webhook.EndpointParams{URL: c.url, Events: []webhook.EventType{"*"}}
			ep, _, err := e.CreateEndpoint(t.Context(), params)
			require.NoError(t, err, "nothing was asked")

			params.CheckReachable = true
			_, _, err = e.CreateEndpoint(t.Context(), params)
			require.ErrorIs(t, err, c.want)
			_, err = e.UpdateEndpoint(t.Context(), "", ep.ID, webhook.EndpointChange{URL: &c.url, CheckReachable: true})
			require.ErrorIs(t, err, c.want)
			page, err := e.ListEndpoints(t.Context(), "", webhook.EndpointQuery{})
			require.NoError(t, err)
			if c.want != nil {
				assert.Equal(t, []webhook.Endpoint{ep}, page.Items, "nothing was stored or changed")
			}
		})
	}
}

// patient is an HTTPTransport with a Send that waits first, until its context ends.
type patient struct{ *webhook.HTTPTransport }

func (p patient) Send(ctx context.Context, req *webhook.Request) (*webhook.Response, error) {
	deadline, ok := ctx.Deadline()
	if ok && time.Until(deadline) == 10*time.Second {
		<-ctx.Done()
	}
	return p.HTTPTransport.Send(ctx, req)
}

// late is an HTTPTransport with a Send that uses up time first.
type late struct{ *webhook.HTTPTransport }

func (l late) Send(ctx context.Context, req *webhook.Request) (*webhook.Response, error) {
	time.Sleep(9 * time.Second)
	return l.HTTPTransport.Send(ctx, req)
}

// Whatever wraps an HTTPTransport gets what the plain one gets: a deadline, and the
// same result at the same time.
func TestTransportsAroundAnHTTPTransportEndLikeThePlainOne(t *testing.T) {
	t.Parallel()
	for _, budget := range []time.Duration{2 * time.Second, 10 * time.Second, time.Minute} { // of HTTPTransport
		for name, wrap := range map[string]func(*webhook.HTTPTransport) webhook.Transport{
			"plain":     func(tr *webhook.HTTPTransport) webhook.Transport { return tr },
			"embedding": func(tr *webhook.HTTPTransport) webhook.Transport { return embedding{tr} },
			"holding":   func(tr *webhook.HTTPTransport) webhook.Transport { return holding{tr} },
			"patient":   func(tr *webhook.HTTPTransport) webhook.Transport { return patient{tr} },
			"late":      func(tr *webhook.HTTPTransport) webhook.Transport { return late{tr} },
		} {
			t.Run(name+" "+budget.String(), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					hang := func(ctx context.Context, _ *net.Dialer, _, _ string) (net.Conn, error) {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					tr := transportDialing(t, webhook.HTTPConfig{Timeout: budget, ConnectTimeout: time.Hour}, hang)
					e, err := webhook.New(webhook.Config{Store: memstore.New(), Transport: wrap(tr), Logger: quiet})
					require.NoError(t, err)
					ep, _, err := e.CreateEndpoint(t.Context(), webhook.EndpointParams{URL: "https://a.example.com/", Events: []webhook.EventType{"*"}})
					require.NoError(t, err)
					start := time.Now()
					res, err := e.SendTest(t.Context(), "", ep.ID, webhook.EventCallCompleted)
					require.NoError(t, err)
					want := min(budget, 10*time.Second) // AttemptTimeout
					if name == "patient" || name == "late" {
						want = 10 * time.Second
					}
					assert.Equal(t, want, time.Since(start))
					assert.Equal(t, webhook.FailureTimeout, res.Failure)
					assert.Equal(t, "no response in time", res.Detail)
				})
			})
		}
	}
}

// An HTTPTransport has its own timer, and what passes its context on needs no second
// one, whether it embeds the transport or holds it.
func TestADeadlineCostsNoTimerWhereNobodyWaitsForIt(t *testing.T) {
	t.Parallel()
	down := func(context.Context, *net.Dialer, string, string) (net.Conn, error) {
		return nil, errors.ErrUnsupported
	}
	tr := transportDialing(t, webhook.HTTPConfig{Timeout: time.Hour}, down)
	for _, transport := range []webhook.Transport{tr, embedding{tr}, holding{tr}} {
		ctx, timed, end := webhook.NewAttemptContext(t.Context(), time.Minute)
		_, err := transport.Send(ctx, &webhook.Request{URL: "https://a.example.com/", Header: http.Header{}})
		assert.Equal(t, webhook.FailureConnection, transportFailure(t, err).Kind)
		assert.False(t, timed(), "%T", transport)
		end()
	}
}

func TestAttemptContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, 1))
		ctx, _, end := webhook.NewAttemptContext(parent, time.Minute)
		deadline, ok := ctx.Deadline()
		assert.True(t, ok)
		assert.Equal(t, time.Minute, time.Until(deadline))
		assert.Equal(t, 1, ctx.Value(key{}))
		child, cancelChild := context.WithCancel(ctx)
		defer cancelChild()
		assert.NoError(t, ctx.Err())
		time.Sleep(time.Minute)
		<-child.Done()
		assert.Equal(t, context.DeadlineExceeded, ctx.Err())
		assert.Equal(t, context.DeadlineExceeded, child.Err())
		end()

		ended, _, end := webhook.NewAttemptContext(parent, time.Minute)
		end()
		<-ended.Done() // whoever kept it does not wait for the deadline
		assert.Equal(t, context.Canceled, ended.Err())

		stopped, _, end := webhook.NewAttemptContext(parent, time.Minute)
		defer end()
		cancel()
		<-stopped.Done()
		assert.Equal(t, context.Canceled, stopped.Err())
	})
}
