package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

func TestNoProxyIsOffered(t *testing.T) { // A51
	t.Parallel()
	for _, f := range reflect.VisibleFields(reflect.TypeFor[webhook.HTTPConfig]()) {
		assert.NotContains(t, f.Name, "Proxy", "it would hide the target from the guard")
		assert.NotContains(t, f.Name, "Dial", "it would go round the guard")
	}
}

func TestAResponseAfterTheTimeoutIsFollowedByARetryWithTheSameID(t *testing.T) { // B37
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var handled sync.Map // what the receiver got done, by event id
		r := newRig(t, func(ctx context.Context, req *webhook.Request) (*webhook.Response, error) {
			id := req.Header.Get("Webhook-Id")
			if _, known := handled.Load(id); known {
				return &webhook.Response{StatusCode: 200}, nil
			}
			time.AfterFunc(10*time.Second+time.Millisecond, func() { handled.Store(id, true) })
			return hangs(ctx, req)
		})
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		begin := time.Now().UTC()
		ev := r.emit(1)[0]
		time.Sleep(time.Minute)
		d := r.deliveries(ep.ID, webhook.DeliveryDelivered)
		require.Len(t, d, 1)
		log, err := r.ListAttempts(t.Context(), "acme", d[0].ID)
		require.NoError(t, err)
		require.Len(t, log, 2)
		assert.Equal(t, webhook.FailureTimeout, log[0].Failure)
		assert.Equal(t, begin, log[0].At, "when it began, not when it ended")
		assert.Equal(t, 200, log[1].StatusCode)
		for _, sent := range r.transport.requests() {
			assert.Equal(t, ev.ID, sent.Header.Get("Webhook-Id"))
		}
	})
}

func TestAnIDWithOtherContentChangesNothing(t *testing.T) { // C10
	t.Parallel()
	r := newRig(t, status(200))
	ep := r.endpoint(hookURL)
	ev := r.emit(1)[0]
	stored, err := r.GetEvent(t.Context(), "acme", ev.ID)
	require.NoError(t, err)
	for name, change := range map[string]func(*webhook.Event){
		"data":      func(e *webhook.Event) { e.Data = json.RawMessage(`{"n":2}`) },
		"type":      func(e *webhook.Event) { e.Type = "test.other" },
		"timestamp": func(e *webhook.Event) { e.Timestamp = e.Timestamp.Add(time.Millisecond) },
	} {
		other := ev
		change(&other)
		require.ErrorIs(t, r.Emit(t.Context(), event(t), other), webhook.ErrIDConflict, name)
	}
	assert.Len(t, r.deliveries(ep.ID, ""), 1, "what was emitted with it is not stored either")
	now, err := r.GetEvent(t.Context(), "acme", ev.ID)
	require.NoError(t, err)
	assert.Equal(t, stored, now)
	require.NoError(t, r.Emit(t.Context(), ev), "the same content is no error")
	ev.AccountID = "another account"
	require.NoError(t, r.Emit(t.Context(), ev), "and neither is another account's event")
}

func TestAStoreClockThatJumpsAhead(t *testing.T) { // E16
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var jump, inFlight, most atomic.Int64
		store := memstore.NewWith(memstore.Options{Clock: func() time.Time { return time.Now().Add(time.Duration(jump.Load())) }})
		r := newRig(t, func(context.Context, *webhook.Request) (*webhook.Response, error) {
			most.Store(max(most.Load(), inFlight.Add(1)))
			defer inFlight.Add(-1)
			time.Sleep(3 * time.Second)
			return &webhook.Response{StatusCode: 200}, nil
		}, func(c *webhook.Config) { c.Store, c.Concurrency, c.PerEndpoint = store, 10, 10 })
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		r.emit(1)
		time.Sleep(5 * time.Second) // it has answered, so it gets all its slots
		r.emit(30)
		time.Sleep(time.Second)
		jump.Store(int64(time.Hour)) // every lease looks expired
		time.Sleep(2 * time.Minute)

		all, err := r.ListDeliveries(t.Context(), "acme", webhook.DeliveryQuery{EndpointID: ep.ID, Limit: 100})
		require.NoError(t, err)
		require.Len(t, all.Items, 31)
		for _, d := range all.Items {
			assert.Equal(t, webhook.DeliveryDelivered, d.Status)
			assert.LessOrEqual(t, d.Attempts, 1, "a lease that ended costs nothing")
		}
		sends := map[string]int{}
		for _, sent := range r.transport.requests() {
			sends[sent.Header.Get("Webhook-Id")]++
		}
		assert.Len(t, sends, 31)
		for id, n := range sends {
			assert.LessOrEqual(t, n, 2, id)
		}
		assert.LessOrEqual(t, most.Load(), int64(10), "the leases that ended bring no herd")
	})
}

// endlessStore has more deliveries ready than anybody can send.
type endlessStore struct {
	webhook.Store
	claims, leased, asked, other atomic.Int64
}

func (s *endlessStore) Claim(_ context.Context, r webhook.ClaimRequest) (webhook.Claimed, error) {
	s.claims.Add(1)
	s.asked.Store(max(s.asked.Load(), int64(r.Max)))
	out := webhook.Claimed{More: true, NextIn: -1, Now: time.Now()}
	for range r.Max {
		n := s.leased.Load() + 1
		id := fmt.Sprint("wh_", n%100_000)
		if r.Room.Take(webhook.Candidate{EndpointID: id}, 1) == 0 {
			break
		}
		s.leased.Store(n)
		out.Deliveries = append(out.Deliveries, webhook.Leased{
			DeliveryID: fmt.Sprint("dlv_", n),
			Event:      &webhook.EventRecord{ID: fmt.Sprint("evt_", n), Type: "test.happened", Data: []byte("1")},
			Target:     &webhook.Target{EndpointID: id, URL: hookURL, Secrets: []webhook.EndpointSecret{{Secret: webhook.NewSecret()}}},
		})
	}
	return out, nil
}

func (s *endlessStore) ListDeliveries(context.Context, webhook.DeliveryFilter) (webhook.Page[webhook.Delivery], error) {
	s.other.Add(1)
	return webhook.Page[webhook.Delivery]{}, nil
}

func (s *endlessStore) ListEndpoints(context.Context, webhook.EndpointFilter) (webhook.Page[webhook.EndpointRecord], error) {
	s.other.Add(1)
	return webhook.Page[webhook.EndpointRecord]{}, nil
}

func TestAStartTakesOnNoMoreThanItsShareOfAnEndlessBacklog(t *testing.T) { // G1
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &endlessStore{Store: memstore.New()}
		r := newRig(t, hangs, func(c *webhook.Config) {
			c.Store, c.Concurrency, c.AttemptTimeout, c.StoreTimeout = s, 8, 10*time.Minute, time.Minute
		})
		r.start()
		time.Sleep(9 * time.Minute) // nothing answers, and nothing has timed out yet
		assert.LessOrEqual(t, s.asked.Load(), int64(8*8), "a claim asks for its batch")
		assert.LessOrEqual(t, s.leased.Load(), int64(24*8), "the first attempts that may be in flight")
		assert.Zero(t, s.other.Load(), "nothing else is loaded")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = r.Stop(ctx)
	})
}

func TestOneEventForManyEndpointsIsAllOrNothing(t *testing.T) { // C12
	t.Parallel()
	const endpoints = 5_000
	s := memstore.New()
	r := newRig(t, status(200), func(c *webhook.Config) { c.Store, c.MaxEndpoints = s, -1 })
	for i := range endpoints {
		r.endpoint(fmt.Sprintf("https://example.com/%d", i))
	}
	pending := func() int64 {
		st, err := r.Stats(t.Context())
		require.NoError(t, err)
		return int64(st.Due)
	}
	tx := s.Begin()
	require.NoError(t, r.EmitTx(t.Context(), tx, event(t)))
	assert.Zero(t, pending(), "nothing before the commit")
	require.NoError(t, tx.Rollback())
	assert.Zero(t, pending(), "nothing after a rollback")
	r.emit(1)
	assert.EqualValues(t, endpoints, pending())
}

// A stranger can send an empty body of unknown length: its signature does not match,
// and nobody else may be blamed.
func TestAnEmptyBodyOfUnknownLengthIsNotSigned(t *testing.T) {
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	v := noonVerifier(t, s)
	empty := func(signed string) error {
		req := httpRequest(t, signedAt(t, noon, signed, s))
		req.Body, req.ContentLength = http.NoBody, -1
		_, err := v.VerifyRequest(req)
		return err
	}
	err := empty(callBody)
	require.ErrorIs(t, err, webhook.ErrSignature)
	require.ErrorIs(t, err, webhook.ErrBodyConsumed, "or it was read before")
	assert.Contains(t, v.Explain(nil, http.Header{}, err), "empty or was read before")
	require.ErrorIs(t, empty(""), webhook.ErrMalformedEvent, "signed, so it was sent so")
}

// Where a redirect leads is said by tests and hooks, in the peer's words.
func TestWhereARedirectLeadsIsSaid(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status    int
		locations []string
		want      string
	}{
		"absolute":          {301, []string{"https://www.example.com/hook/"}, "https://www.example.com/hook/"},
		"relative":          {308, []string{"/hook/"}, "/hook/"},
		"none":              {302, nil, ""},
		"long":              {302, []string{strings.Repeat("a", 9000)}, strings.Repeat("a", 2048)},
		"control, no UTF-8": {307, []string{"/\x1b[31m\xff\n"}, "/?[31m??"},
		"two":               {302, []string{"/a", "/b"}, "/a"},
		"of a success":      {201, []string{"/made"}, ""},
		"of a failure":      {500, []string{"/made"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told := make(chan webhook.AttemptInfo, 1)
			r := newRig(t, func(context.Context, *webhook.Request) (*webhook.Response, error) {
				return &webhook.Response{StatusCode: c.status, Header: http.Header{"Location": c.locations}}, nil
			}, func(cfg *webhook.Config) {
				cfg.Hooks.OnAttempt = func(_ context.Context, a webhook.AttemptInfo) { told <- a }
			})
			ep := r.endpoint("https://example.com/")
			test, err := r.SendTest(t.Context(), "acme", ep.ID, "test.happened")
			require.NoError(t, err)
			assert.Equal(t, c.want, test.Location)
			r.emit(1)
			_, err = r.DeliverDue(t.Context())
			require.NoError(t, err)
			info := <-told
			assert.Equal(t, c.want, info.Location)
			assert.Equal(t, ep.Revision, info.Revision)
			log, err := r.ListAttempts(t.Context(), "acme", info.DeliveryID)
			require.NoError(t, err)
			require.Len(t, log, 1)
			assert.Equal(t, c.want, log[0].Location)
			assert.Equal(t, ep.Revision, log[0].Revision)
		})
	}
}

// A URL can be a secret: whatever a Transport says or does, the log and the hooks are
// told its host alone.
func TestErrorsShowOfAURLTheHostAlone(t *testing.T) {
	t.Parallel()
	failed := &url.Error{Op: "Post", URL: secretURL, Err: io.ErrUnexpectedEOF}
	for name, answer := range map[string]func(r *webhook.Request) error{
		"of net/http": func(*webhook.Request) error { return failed },
		"wrapped":     func(*webhook.Request) error { return fmt.Errorf("mine: %w", failed) },
		"joined":      func(*webhook.Request) error { return errors.Join(io.ErrClosedPipe, failed) },
		"in another":  func(*webhook.Request) error { return &webhook.TransportError{Kind: "connection", Err: failed} },
		"in another, wrapped": func(*webhook.Request) error {
			return &webhook.TransportError{Kind: "connection", Err: fmt.Errorf("mine: %w", failed)}
		},
		"around another": func(*webhook.Request) error {
			return fmt.Errorf("mine: %w", &webhook.TransportError{Kind: "connection", Err: failed})
		},
		"in the detail": func(*webhook.Request) error {
			return &webhook.TransportError{Kind: "connection", Detail: failed.Error(), Err: io.ErrUnexpectedEOF}
		},
		"that is no URL":      func(*webhook.Request) error { return &url.Error{Op: "Post", URL: ":S3CRET", Err: io.ErrUnexpectedEOF} },
		"in words":            func(r *webhook.Request) error { return fmt.Errorf("to %s: %w", r.URL, io.ErrUnexpectedEOF) },
		"a path in words":     func(*webhook.Request) error { return fmt.Errorf("/services/T0/S3CRET: %w", io.ErrUnexpectedEOF) },
		"of a redirect":       func(*webhook.Request) error { return fmt.Errorf("https://b.example/S3CRET: %w", io.ErrUnexpectedEOF) },
		"of a proxy":          func(*webhook.Request) error { return fmt.Errorf("http://me:S3CRET@proxy/: %w", io.ErrUnexpectedEOF) },
		"panic with words":    func(r *webhook.Request) error { panic("cannot send to " + r.URL) },
		"panic with an error": func(*webhook.Request) error { panic(fmt.Errorf("mine: %w", failed)) },
		"panic with a request": func(r *webhook.Request) error {
			panic(struct{ Request *webhook.Request }{r})
		},
		"panic with a copy": func(r *webhook.Request) error { panic(struct{ URL, Path string }{r.URL, "/services/T0/S3CRET"}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			var told webhook.AttemptInfo
			r := newRig(t, func(_ context.Context, r *webhook.Request) (*webhook.Response, error) { return nil, answer(r) }, func(cfg *webhook.Config) {
				cfg.Logger = slog.New(slog.NewJSONHandler(&log, nil))
				cfg.Hooks.OnAttempt = func(_ context.Context, a webhook.AttemptInfo) { told = a }
			})
			ep := r.endpoint(secretURL)
			r.emit(1)
			_, err := r.DeliverDue(t.Context())
			require.NoError(t, err)
			test, err := r.SendTest(t.Context(), "acme", ep.ID, "test.happened")
			require.NoError(t, err)
			text := log.String() + test.Detail + told.Detail
			for err := told.Err; err != nil; err = errors.Unwrap(err) {
				text += fmt.Sprintf("%v %+v %#v", err, err, err)
			}
			assert.NotContains(t, text, "S3CRET")
			if strings.HasPrefix(name, "panic") {
				assert.Contains(t, log.String(), "a Transport or Signer panicked")
				return
			}
			assert.ErrorIs(t, told.Err, io.ErrUnexpectedEOF)
			if name == "of net/http" {
				assert.Contains(t, text, `Post "https://hooks.example.com": unexpected EOF`)
			}
		})
	}
}

const secretURL = "https://hooks.example.com/services/T0/S3CRET?token=S3CRET"

// checkedTransport has checks of its own.
type checkedTransport struct {
	fakeTransport
	url, reachable func(raw string) error
}

func (c *checkedTransport) CheckURL(raw string) error { return c.url(raw) }

func (c *checkedTransport) CheckReachable(_ context.Context, raw string) error {
	return c.reachable(raw)
}

func TestChecksOfAURLShowItsHostAlone(t *testing.T) {
	t.Parallel()
	failed := &url.Error{Op: "Get", URL: secretURL, Err: io.ErrUnexpectedEOF}
	for name, check := range map[string]func(raw string) error{
		"of net/http": func(string) error { return failed },
		"in words":    func(raw string) error { return fmt.Errorf("nothing at %s: %w", raw, io.ErrUnexpectedEOF) },
		"in ours":     func(string) error { return &webhook.UnreachableError{Kind: "connection", Err: failed} },
		"panic":       func(raw string) error { panic("nothing at " + raw) },
	} {
		for which, transport := range map[string]*checkedTransport{
			"CheckURL":       {url: check},
			"CheckReachable": {url: func(string) error { return nil }, reachable: check},
		} {
			var log bytes.Buffer
			r := newRig(t, nil, func(cfg *webhook.Config) {
				cfg.Transport, cfg.Logger = transport, slog.New(slog.NewTextHandler(&log, nil))
			})
			_, _, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{
				AccountID: "acme", URL: secretURL, Events: []webhook.EventType{"*"}, CheckReachable: true,
			})
			require.Error(t, err)
			text := log.String()
			var ours *webhook.UnreachableError
			if name == "in ours" && assert.ErrorAs(t, err, &ours) {
				text += ours.Err.Error()
			}
			for ; err != nil; err = errors.Unwrap(err) {
				text += err.Error()
			}
			assert.NotContains(t, text, "S3CRET", "%s %s", which, name)
			assert.Equal(t, name == "panic", strings.Contains(log.String(), "the Transport panicked"), "%s %s", which, name)
		}
	}
}

// What holds a URL can be printed and logged: its host alone comes out, and no value of
// a header.
func TestPrintedURLsAreTheirHostsAlone(t *testing.T) {
	t.Parallel()
	address, value := secretURL, "S3CRET"
	headers := webhook.Headers{"Authorization": value}
	for name, v := range map[string]any{
		"Request":        webhook.Request{URL: secretURL, Header: http.Header{"Authorization": {"S3CRET"}}, Body: []byte("S3CRET")},
		"Target":         webhook.Target{URL: secretURL, Headers: headers, Secrets: []webhook.EndpointSecret{{Secret: webhook.NewSecret()}}},
		"AttemptInfo":    webhook.AttemptInfo{Location: secretURL, DeliveryInfo: webhook.DeliveryInfo{DeliveryID: "dlv_1"}},
		"TestResult":     webhook.TestResult{Location: secretURL, Request: webhook.TestRequest{URL: secretURL, Body: []byte("S3CRET")}},
		"TestRequest":    webhook.TestRequest{URL: secretURL, Body: []byte("S3CRET")},
		"Rotated":        webhook.Rotated{Endpoint: webhook.Endpoint{URL: secretURL}, Secret: webhook.NewSecret()},
		"Endpoint":       webhook.Endpoint{URL: secretURL},
		"EndpointRecord": webhook.EndpointRecord{Endpoint: webhook.Endpoint{URL: secretURL}, Headers: headers},
		"EndpointParams": webhook.EndpointParams{URL: secretURL, Headers: headers},
		"EndpointChange": webhook.EndpointChange{URL: &address, Headers: webhook.HeaderChanges{"Authorization": &value}},
	} {
		pointer := reflect.New(reflect.TypeOf(v))
		pointer.Elem().Set(reflect.ValueOf(v))
		for _, printed := range []any{v, pointer.Interface(), []any{v}, struct{ V any }{v}} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				text := fmt.Sprintf(verb, printed)
				assert.NotContains(t, text, "S3CRET", name+verb)
				assert.NotContains(t, text, fmt.Sprintf("%x", "S3CRET"), name+verb)
			}
		}
		assert.Equal(t, name != "EndpointChange", strings.Contains(fmt.Sprintf("%+v", v), "https://hooks.example.com"), name)
		var log bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
			slog.New(h).Info("printed", "value", v, "pointer", pointer.Interface())
		}
		assert.NotContains(t, log.String(), "S3CRET", name)
		assert.Contains(t, log.String(), "https://hooks.example.com", name)
	}
	assert.Contains(t, fmt.Sprintf("%+v", webhook.AttemptInfo{DeliveryInfo: webhook.DeliveryInfo{DeliveryID: "dlv_1"}}), "dlv_1")
}
