package webhooktest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/egress"
	"github.com/ringyo-ai/webhook/internal/mangle"
	"github.com/ringyo-ai/webhook/memstore"
)

// Sample makes an event of type typ for the account, with the payload of
// [webhook.SampleData].
func Sample(t testing.TB, accountID string, typ webhook.EventType) webhook.Event {
	t.Helper()
	e, err := webhook.NewEvent(accountID, typ, webhook.SampleData(typ))
	if err != nil {
		t.Fatalf("webhooktest: %v", err)
	}
	return e
}

// NewRequest makes the request that an Engine sends for e to an endpoint with
// this secret, signed at this moment, ready for a handler's ServeHTTP. An
// invalid event or secret ends the test.
func NewRequest(t testing.TB, secret webhook.Secret, e webhook.Event) *http.Request {
	t.Helper()
	return NewRequestWith(t, RequestConfig{Secret: secret, Event: e})
}

// RequestConfig describes a request for [NewRequestWith].
type RequestConfig struct {
	// Secret signs the request. Required.
	Secret webhook.Secret

	// Event is what the request carries. Required. With Test set the request is a
	// test, by its header and by the field in its body; EndpointID defaults to "wh_test".
	Event webhook.Event

	// URL is the endpoint's. Defaults to "https://example.com/webhooks".
	URL string

	// Time is when the request is signed: some minutes ago to see it refused as
	// too old. Defaults to now.
	Time time.Time

	// Signer signs. Defaults to the Standard Webhooks scheme.
	Signer webhook.Signer
}

// NewRequestWith makes the request that an Engine sends in the given case. An
// invalid configuration ends the test.
func NewRequestWith(t testing.TB, cfg RequestConfig) *http.Request {
	t.Helper()
	raw := cmp.Or(cfg.URL, "https://example.com/webhooks")
	u, err := url.Parse(raw)
	if err == nil && u.Host == "" {
		err = errors.New("the URL has no host")
	}
	if err == nil {
		err = egress.Keep(u, raw)
	}
	if err != nil {
		t.Fatalf("webhooktest: %v", err)
	}
	sent, err := deliver(t, cfg, u.String())
	if err == nil && cfg.Event.Test {
		err = cfg.markTest(sent)
	}
	if err != nil {
		t.Fatalf("webhooktest: %v", err)
	}
	req := httptest.NewRequest(http.MethodPost, u.String(), bytes.NewReader(sent.Body))
	req.Header = sent.Header
	return req
}

// markTest makes a test of the request of an event, since an Engine sends tests of
// samples alone.
func (cfg *RequestConfig) markTest(sent *webhook.Request) error {
	const data = `,"data":`
	head, rest, _ := bytes.Cut(sent.Body, []byte(data))
	sent.Body = slices.Concat(head, []byte(`,"test":`+mangle.Probe+data), rest)
	sent.Header.Set("Webhook-Test", "1")
	signer := cfg.Signer
	if signer == nil {
		signer = webhook.StandardSigner()
	}
	m := webhook.Message{ID: cfg.Event.ID, Timestamp: cfg.clock()(), Body: sent.Body}
	return signer.Sign(sent.Header, m, cfg.Secret)
}

func (cfg *RequestConfig) clock() func() time.Time {
	if cfg.Time.IsZero() {
		return time.Now
	}
	return func() time.Time { return cfg.Time }
}

// deliver lets an Engine deliver the event, and returns what it sent.
func deliver(t testing.TB, cfg RequestConfig, url string) (*webhook.Request, error) {
	t.Helper()
	ctx := context.Background()
	if cfg.Secret.IsZero() {
		return nil, webhook.ErrNoSecret
	}
	var wire capture
	engine := newEngine(t, webhook.Config{
		Store:     memstore.NewWith(memstore.Options{Clock: cfg.clock()}),
		Transport: &wire,
		Signer:    cfg.Signer,
	})
	e := cfg.Event
	e.Test = false
	_, _, err := engine.CreateEndpoint(ctx, webhook.EndpointParams{
		ID: cmp.Or(e.EndpointID, "wh_test"), AccountID: e.AccountID, URL: url,
		Events: []webhook.EventType{"*"}, Secret: cfg.Secret,
	})
	if err != nil {
		return nil, err
	}
	if err := engine.Emit(ctx, e); err != nil {
		return nil, err
	}
	if _, err := engine.DeliverDue(ctx); err != nil {
		return nil, err
	}
	if wire.sent == nil {
		return nil, fmt.Errorf("%s was not sent: the secret does not fit the signer", e.Type)
	}
	return wire.sent, nil
}

// newEngine makes an Engine that keeps quiet.
func newEngine(t testing.TB, cfg webhook.Config) *webhook.Engine {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	engine, err := webhook.New(cfg)
	if err != nil {
		t.Fatalf("webhooktest: %v", err)
	}
	return engine
}

// capture is a Transport that keeps the request and responds with 200.
type capture struct {
	mu   sync.Mutex
	sent *webhook.Request
}

// Send implements [webhook.Transport].
func (c *capture) Send(_ context.Context, req *webhook.Request) (*webhook.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := *req
	kept.Body = bytes.Clone(req.Body) // it is the Engine's again once Send returns
	c.sent = &kept
	return &webhook.Response{StatusCode: http.StatusOK}, nil
}

// CheckURL accepts every URL: nothing is sent anywhere.
func (*capture) CheckURL(string) error { return nil }

// received returns a stored event as a receiver gets it.
func received(t testing.TB, r *webhook.EventRecord) webhook.Event {
	t.Helper()
	body := fmt.Appendf(nil, `{"id":%q,"event":%q,"timestamp":%q,"webhook_id":"wh_test","data":%s}`,
		r.ID, r.Type, r.Timestamp.Format(time.RFC3339Nano), r.Data)
	e, err := webhook.ParseEvent(body)
	if err != nil {
		t.Errorf("webhooktest: %v", err)
	}
	e.AccountID, e.EndpointID = r.AccountID, ""
	return e
}
