package receive_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
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
	"github.com/ringyo-ai/webhook/receive"
)

// signed is a request as the sender makes it, signed here by hand so that the
// tests of the receiving side do not rest on our own signer.
type signed struct {
	id, timestamp, body, secret string
	header                      http.Header
}

var receiverSecret = webhook.NewSecret()

func signedEvent(id string, t webhook.EventType, data string) *signed {
	return &signed{
		id: id, timestamp: fmt.Sprint(time.Now().Unix()), secret: receiverSecret.Reveal(),
		body: fmt.Sprintf(`{"id":%q,"event":%q,"timestamp":"2024-01-15T10:30:00Z","webhook_id":"wh_1","data":%s}`, id, t, data),
	}
}

const callCompletedData = `{"call_id":"call_1","agent_id":"agent_1","direction":"outbound","from_number":"+18005550100",` +
	`"to_number":"+14155550123","status":"completed","duration_seconds":245}`

func callCompleted(id string) *signed {
	return signedEvent(id, webhook.EventCallCompleted, callCompletedData)
}

func (s *signed) signature() string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.secret, "whsec_"))
	if err != nil {
		panic(err)
	}
	mac := hmac.New(sha256.New, key)
	_, _ = io.WriteString(mac, s.id+"."+s.timestamp+"."+s.body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (s *signed) request() *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(s.body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("webhook-id", s.id)
	r.Header.Set("webhook-timestamp", s.timestamp)
	r.Header.Set("webhook-signature", s.signature())
	for k, v := range s.header {
		r.Header[k] = v
	}
	return r
}

func newReceiver(t *testing.T, change func(*receive.Config)) *receive.Receiver {
	t.Helper()
	cfg := receive.Config{Secrets: []webhook.Secret{receiverSecret}, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	r, err := receive.New(cfg)
	require.NoError(t, err)
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// capture keeps what is logged.
type capture struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (c *capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.Write(p)
}

func (c *capture) logger() *slog.Logger { return slog.New(slog.NewTextHandler(c, nil)) }

func (c *capture) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.String()
}

func TestReceiverPassesTypedEvents(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	var got webhook.CallCompleted
	var event webhook.Event
	receive.On(r, func(_ context.Context, e webhook.Event, c webhook.CallCompleted) error {
		event, got = e, c
		return nil
	})
	w := serve(r, callCompleted("evt_1").request())
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Equal(t, 245, got.DurationSeconds)
	assert.Equal(t, "evt_1", event.ID)
	assert.Equal(t, "wh_1", event.EndpointID)
	assert.JSONEq(t, callCompletedData, string(event.Raw))
}

func TestReceiverRoutesEvents(t *testing.T) {
	t.Parallel()
	undecodable := signedEvent("evt_skew", webhook.EventCallCompleted, `{"duration_seconds":"four minutes"}`)
	for name, c := range map[string]struct {
		request *signed
		want    string
	}{
		"known type to its handler":                        {callCompleted("evt_1"), "completed"},
		"type registered by name":                          {signedEvent("evt_2", "call.recording.ready", `{"url":"x"}`), "recording"},
		"unknown type to the catch-all":                    {signedEvent("evt_3", "agent.deleted", `{}`), "other agent.deleted json.RawMessage"},
		"known type without a handler to the catch-all":    {signedEvent("evt_4", webhook.EventCreditsLow, `{"balance":1,"threshold":2}`), "other credits.low webhook.CreditsLow"},
		"known type that does not decode to the catch-all": {undecodable, "other call.completed json.RawMessage"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, nil)
			var got string
			receive.On(r, func(context.Context, webhook.Event, webhook.CallCompleted) error { got = "completed"; return nil })
			r.OnType("call.recording.ready", func(context.Context, webhook.Event) error { got = "recording"; return nil })
			r.OnOther(func(_ context.Context, e webhook.Event) error {
				got = fmt.Sprintf("other %s %T", e.Type, e.Data)
				assert.True(t, json.Valid(e.Raw))
				return nil
			})
			w := serve(r, c.request.request())
			assert.Equal(t, http.StatusOK, w.Code)
			assert.Equal(t, c.want, got)
		})
	}
}

func TestReceiverWarnsWhenItDropsWhatDoesNotDecode(t *testing.T) {
	t.Parallel()
	var log capture
	r := newReceiver(t, func(c *receive.Config) { c.Logger = log.logger() })
	r.OnType(webhook.EventCallCompleted, func(context.Context, webhook.Event) error { panic("not for this one") })
	undecodable := func(id string) *http.Request {
		return signedEvent(id, webhook.EventCallCompleted, `[1]`).request()
	}
	serve(r, signedEvent("evt_0", "agent.deleted", `{}`).request())
	assert.Empty(t, log.text(), "an unknown type is expected")
	serve(r, undecodable("evt_1"))
	assert.Contains(t, log.text(), "evt_1")
	r.OnOther(func(context.Context, webhook.Event) error { return nil })
	serve(r, undecodable("evt_2"))
	assert.NotContains(t, log.text(), "evt_2")
}

func TestReceiverAcknowledgesWhatNobodyHandles(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	receive.On(r, func(context.Context, webhook.Event, webhook.CallCompleted) error { panic("not for this one") })
	for _, s := range []*signed{
		signedEvent("evt_1", "agent.deleted", `{}`),
		signedEvent("evt_2", webhook.EventCallCompleted, `[1]`),
		signedEvent("evt_3", webhook.EventCallFailed, `{}`),
	} {
		assert.Equal(t, http.StatusOK, serve(r, s.request()).Code, s.id)
	}
}

func TestReceiverRunsAllHandlersOfATypeInOrder(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	var got []string
	fail := true
	r.OnType(webhook.EventCallCompleted, func(context.Context, webhook.Event) error { got = append(got, "a"); return nil })
	receive.On(r, func(context.Context, webhook.Event, webhook.CallCompleted) error {
		got = append(got, "b")
		if fail {
			return errors.New("not today")
		}
		return nil
	})
	r.OnType(webhook.EventCallCompleted, func(context.Context, webhook.Event) error { got = append(got, "c"); return nil })
	assert.Equal(t, http.StatusInternalServerError, serve(r, callCompleted("evt_1").request()).Code)
	assert.Equal(t, []string{"a", "b"}, got, "the first error ends the run")
	fail, got = false, nil
	assert.Equal(t, http.StatusOK, serve(r, callCompleted("evt_1").request()).Code)
	assert.Equal(t, []string{"a", "b", "c"}, got)
}

func TestReceiverTakesHandlersWhileServing(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() { serve(r, callCompleted(fmt.Sprint("evt_", i)).request()) })
		wg.Go(func() {
			receive.On(r, func(context.Context, webhook.Event, webhook.CallCompleted) error { return nil })
		})
	}
	wg.Wait()
	var ran atomic.Bool
	r.OnType(webhook.EventCallCompleted, func(context.Context, webhook.Event) error { ran.Store(true); return nil })
	serve(r, callCompleted("evt_last").request())
	assert.True(t, ran.Load())
}

func TestReceiverLeavesTestEventsToTheirHandler(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	receive.On(r, func(context.Context, webhook.Event, webhook.CallCompleted) error { panic("not for tests") })
	r.OnOther(func(context.Context, webhook.Event) error { panic("not for tests") })
	test := callCompleted("evt_1")
	test.header = http.Header{"Webhook-Test": {"1"}}
	assert.Equal(t, http.StatusOK, serve(r, test.request()).Code)

	var n int
	r.OnTest(func(_ context.Context, e webhook.Event) error {
		assert.True(t, e.Test)
		assert.IsType(t, webhook.CallCompleted{}, e.Data)
		n++
		return nil
	})
	serve(r, test.request())
	serve(r, test.request())
	assert.Equal(t, 2, n, "test events are not de-duplicated")

	test.secret = webhook.NewSecret().Reveal()
	assert.Equal(t, http.StatusUnauthorized, serve(r, test.request()).Code, "but verified")
}

// A gateway may pass on the three headers that a signature needs and no other.
func TestReceiverKnowsATestThatLostItsHeader(t *testing.T) {
	t.Parallel()
	var tests int
	r := newReceiver(t, nil)
	receive.On(r, func(context.Context, webhook.Event, webhook.CallCompleted) error { panic("not for tests") })
	r.OnOther(func(context.Context, webhook.Event) error { panic("not for tests") })
	r.OnTest(func(_ context.Context, e webhook.Event) error { tests++; return nil })
	engine, err := webhook.New(webhook.Config{Store: memstore.New(), Transport: gateway{r}})
	require.NoError(t, err)
	ep, _, err := engine.CreateEndpoint(t.Context(), webhook.EndpointParams{
		AccountID: "acme", URL: "https://example.com/", Events: []webhook.EventType{"*"}, Secret: receiverSecret,
	})
	require.NoError(t, err)
	res, err := engine.SendTest(t.Context(), "acme", ep.ID, webhook.EventCallCompleted)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, res.StatusCode)
	assert.Equal(t, 1, tests)
}

// gateway is a Transport that passes on what a signature needs.
type gateway struct{ to http.Handler }

func (gateway) CheckURL(string) error { return nil }

func (g gateway) Send(_ context.Context, req *webhook.Request) (*webhook.Response, error) {
	r := httptest.NewRequest(http.MethodPost, req.URL, bytes.NewReader(req.Body))
	for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
		r.Header.Set(name, req.Header.Get(name))
	}
	w := httptest.NewRecorder()
	g.to.ServeHTTP(w, r)
	return &webhook.Response{StatusCode: w.Code}, nil
}

func TestReceiverRespondsToEachMistake(t *testing.T) {
	t.Parallel()
	request := func(change func(*http.Request)) *http.Request {
		r := callCompleted("evt_1").request()
		change(r)
		return r
	}
	foreign := callCompleted("evt_1")
	foreign.secret = webhook.NewSecret().Reveal()
	old := callCompleted("evt_1")
	old.timestamp = fmt.Sprint(time.Now().Add(-time.Hour).Unix())
	notAnEvent := callCompleted("evt_1")
	notAnEvent.body = `["hello"]`
	set := func(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(k, v) } }

	for name, c := range map[string]struct {
		request *http.Request
		want    int
	}{
		"GET":                           {request(func(r *http.Request) { r.Method = http.MethodGet }), 405},
		"PUT":                           {request(func(r *http.Request) { r.Method = http.MethodPut }), 405},
		"H18 a form":                    {request(set("Content-Type", "application/x-www-form-urlencoded")), 415},
		"H18 UTF-16":                    {request(set("Content-Type", "application/json; charset=utf-16")), 415},
		"H18 not a media type":          {request(set("Content-Type", "json; =")), 415},
		"H18 UTF-8, spelled out":        {request(set("Content-Type", `Application/JSON; charset="UTF-8"`)), 200},
		"H18 no type":                   {request(func(r *http.Request) { r.Header.Del("Content-Type") }), 200},
		"H17 compressed":                {request(set("Content-Encoding", "gzip")), 415},
		"H17 not compressed, said so":   {request(set("Content-Encoding", "identity")), 200},
		"no signature":                  {request(func(r *http.Request) { r.Header.Del("webhook-signature") }), 401},
		"another secret":                {foreign.request(), 401},
		"too old":                       {old.request(), 401},
		"too large, announced":          {request(func(r *http.Request) { r.ContentLength = 10 << 30 }), 413},
		"signed, but not an event":      {notAnEvent.request(), 400},
		"H16 body read by a middleware": {request(func(r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }), 500},
		"H16 body half read":            {request(func(r *http.Request) { _, _ = r.Body.Read(make([]byte, 10)) }), 500},
		"H16 no body":                   {request(func(r *http.Request) { r.Body = nil }), 500},
		"H19 client goes away":          {request(func(r *http.Request) { r.Body = io.NopCloser(brokenReader{}) }), 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, nil)
			called := false
			r.OnOther(func(context.Context, webhook.Event) error { called = true; return nil })
			w := serve(r, c.request)
			assert.Equal(t, c.want, w.Code)
			assert.Equal(t, c.want == http.StatusOK, called)
			assert.Equal(t, http.StatusText(c.want)+"\n", w.Body.String(), "H26: the text depends on the status alone")
			if c.want == http.StatusMethodNotAllowed {
				assert.Equal(t, "POST", w.Header().Get("Allow"))
			}
		})
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// endless is a body that never ends; it counts what was read of it.
type endless struct{ read int }

func (e *endless) Read(b []byte) (int, error) { clear(b); e.read += len(b); return len(b), nil }

func TestReceiverReadsNoMoreThanMaxBody(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(c *receive.Config) { c.MaxBody = 4096 })
	body := &endless{}
	req := callCompleted("evt_1").request()
	req.Body, req.ContentLength = io.NopCloser(body), -1
	assert.Equal(t, http.StatusRequestEntityTooLarge, serve(r, req).Code)
	assert.LessOrEqual(t, body.read, 4096+1)
}

func TestReceiverEndsSlowBodies(t *testing.T) { // H19
	t.Parallel()
	r := newReceiver(t, func(c *receive.Config) { c.ReadTimeout = time.Millisecond })
	r.OnOther(func(context.Context, webhook.Event) error { t.Error("handler called"); return nil })
	s := httptest.NewServer(r)
	defer s.Close()
	body, feed := io.Pipe()
	defer feed.Close()
	req := callCompleted("evt_1").request()
	out, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, body)
	require.NoError(t, err)
	out.Header = req.Header
	resp, err := s.Client().Do(out)
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, http.StatusRequestTimeout, resp.StatusCode)
}

// net/http reads the rest of a refused body before it responds.
func TestReceiverRespondsAlthoughTheRestOfTheBodyNeverComes(t *testing.T) { // H19
	t.Parallel()
	r := newReceiver(t, func(c *receive.Config) { c.ReadTimeout, c.MaxBody = 50*time.Millisecond, 500 })
	s := httptest.NewServer(r)
	defer s.Close()
	const signed = "Webhook-Id: a\r\nWebhook-Timestamp: 1\r\nWebhook-Signature: v1,x\r\n"
	for name, c := range map[string]struct {
		head string
		want int
	}{
		"slow body":   {"POST / HTTP/1.1\r\n" + signed + "Content-Length: 400\r\n", http.StatusRequestTimeout},
		"too large":   {"POST / HTTP/1.1\r\n" + signed + "Content-Length: 1000\r\n", http.StatusRequestEntityTooLarge},
		"no headers":  {"POST / HTTP/1.1\r\nContent-Length: 1000\r\n", http.StatusUnauthorized},
		"no webhook":  {"PUT / HTTP/1.1\r\nContent-Length: 1000\r\n", http.StatusMethodNotAllowed},
		"not in JSON": {"POST / HTTP/1.1\r\n" + signed + "Content-Type: text/plain\r\nContent-Length: 1000\r\n", http.StatusUnsupportedMediaType},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.Listener.Addr().String())
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
			_, err = conn.Write([]byte(c.head + "Host: x\r\n\r\nabc"))
			require.NoError(t, err)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			defer resp.Body.Close()
			assert.Equal(t, c.want, resp.StatusCode)
		})
	}
}

func TestReceiverReloadsSecrets(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	next := webhook.NewSecret()
	byNew := callCompleted("evt_1")
	byNew.secret = next.Reveal()
	assert.Equal(t, http.StatusUnauthorized, serve(r, byNew.request()).Code)
	require.NoError(t, r.SetSecrets(next, receiverSecret))
	assert.Equal(t, http.StatusOK, serve(r, byNew.request()).Code)
	assert.Equal(t, http.StatusOK, serve(r, callCompleted("evt_2").request()).Code)
	require.NoError(t, r.SetSecrets(next))
	assert.Equal(t, http.StatusUnauthorized, serve(r, callCompleted("evt_3").request()).Code)

	require.Error(t, r.SetSecrets(), "none")
	require.Error(t, r.SetSecrets(webhook.Secret{}), "the zero Secret")
	assert.Equal(t, http.StatusOK, serve(r, byNew.request()).Code, "a mistake changes nothing")
}

func TestNewNamesAllMistakes(t *testing.T) {
	t.Parallel()
	_, err := receive.New(receive.Config{
		Secrets: []webhook.Secret{receiverSecret}, Lease: -1, ReadTimeout: -2, Async: &receive.AsyncConfig{Queue: -1, Workers: -1},
	})
	var v *webhook.ValidationError
	require.ErrorAs(t, err, &v)
	assert.Len(t, v.Fields, 4)
	_, err = receive.New(receive.Config{})
	assert.Error(t, err, "no secret")
}

func TestReceiverLogsRefusalsOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r := newReceiver(t, func(c *receive.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		forged := callCompleted("evt_1")
		forged.secret = webhook.NewSecret().Reveal()
		for range 100 {
			serve(r, forged.request())
		}
		assert.Equal(t, 1, strings.Count(log.String(), "request refused"))
		time.Sleep(time.Minute)
		serve(r, forged.request())
		assert.Equal(t, 2, strings.Count(log.String(), "request refused"))
		assert.Contains(t, log.String(), "refused=100")
	})
}
