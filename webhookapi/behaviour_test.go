package webhookapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/webhookapi"
)

// emit stores an event, delivers what is due and waits for it.
func (r *rig) emit(events ...webhook.Event) {
	r.t.Helper()
	require.NoError(r.t, r.engine.Emit(context.Background(), events...))
}

func TestNewSaysAllThatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := webhookapi.New(nil, webhookapi.Options{Prefix: "v1//x", EventTypes: []webhookapi.EventType{{Name: "No Type"}}})
	require.ErrorIs(t, err, webhook.ErrInvalidArgument)
	for _, field := range []string{"engine", "Authorize", "Prefix", "EventTypes[0]"} {
		assert.ErrorContains(t, err, field)
	}
}

// What belongs to another account, and what never existed, is the same.
func TestAnotherAccountsIDIsTheSameAsNone(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	theirs := r.endpoint("b")
	ev := webhook.NewCreditsLow("b", webhook.CreditsLow{Balance: 1, Threshold: 2})
	r.emit(ev)
	list, err := r.engine.ListDeliveries(context.Background(), "b", webhook.DeliveryQuery{EventID: ev.ID})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	ids := map[string][2]string{
		"webhooks":           {theirs, "wh_never"},
		"webhook-deliveries": {list.Items[0].ID, "dlv_never"},
		"webhook-events":     {ev.ID, "evt_never"},
	}
	for _, route := range []string{
		"GET webhooks/", "PATCH webhooks/", "DELETE webhooks/", "POST webhooks/ /enable", "POST webhooks/ /disable",
		"POST webhooks/ /rotate-secret", "POST webhooks/ /test", "POST webhooks/ /replay", "GET webhooks/ /health",
		"GET webhooks/ /deliveries", "GET webhooks/ /stats", "GET webhook-deliveries/", "GET webhook-deliveries/ /attempts",
		"POST webhook-deliveries/ /retry", "GET webhook-events/",
	} {
		t.Run(route, func(t *testing.T) {
			parts := strings.Fields(route)
			tail := ""
			if len(parts) == 3 {
				tail = parts[2]
			}
			pair := ids[strings.TrimSuffix(parts[1], "/")]
			var got [2]reply
			for i, id := range pair {
				got[i] = r.do(parts[0], "/v1/"+parts[1]+id+tail, "")
				got[i].t = nil
			}
			assert.Equal(t, got[1], got[0])
			assert.Equal(t, 404, got[0].status)
		})
	}
	assert.Equal(t, 200, r.do("GET", "/v1/webhooks/"+theirs, "", "Account", "b").status)
}

func TestAChangeIsNeverLostSilently(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	id := r.endpoint("a")
	first := r.do("GET", "/v1/webhooks/"+id, "")
	etag := first.header.Get("ETag")
	require.Regexp(t, `^"\d+"$`, etag)
	var wg sync.WaitGroup
	var got [2]reply
	for i := range got {
		wg.Go(func() {
			got[i] = r.do("PATCH", "/v1/webhooks/"+id, fmt.Sprintf(`{"description":"%d","metadata":{"k%d":"v"}}`, i, i), "If-Match", etag)
		})
	}
	wg.Wait()
	winner := 0
	if got[1].status == 200 {
		winner = 1
	}
	assert.Equal(t, 200, got[winner].status)
	assert.Equal(t, 412, got[1-winner].status)
	now := r.do("GET", "/v1/webhooks/"+id, "")
	assert.Equal(t, fmt.Sprint(winner), now.field("description"))
	assert.Equal(t, map[string]any{fmt.Sprintf("k%d", winner): "v"}, now.field("metadata"))
	assert.Equal(t, got[winner].header.Get("ETag"), now.header.Get("ETag"))
	assert.NotEqual(t, etag, now.header.Get("ETag"))
	p := r.do("PATCH", "/v1/webhooks/"+id, `{"description":"x"}`, "If-Match", `"98", `+now.header.Get("ETag")+`, "99"`)
	assert.Equal(t, 200, p.status, "one of several")
	assert.Equal(t, 200, r.do("DELETE", "/v1/webhooks/"+id, "", "If-Match", "*").status)
}

func TestPatchMerges(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	p := r.do("POST", "/v1/webhooks", `{"url":"https://example.com/","events":["call.*"],"metadata":{"a":"1","b":"2"},"headers":{"X-Tenant":"t","Authorization":"Bearer hush"}}`)
	require.Equal(t, 201, p.status, p.body)
	id := p.field("id").(string)
	p = r.do("PATCH", "/v1/webhooks/"+id, `{"metadata":{"a":null,"c":"3"},"headers":{"x-tenant":null},"events":["call.completed"]}`, "Content-Type", "application/merge-patch+json")
	require.Equal(t, 200, p.status, p.body)
	assert.Equal(t, map[string]any{"b": "2", "c": "3"}, p.field("metadata"))
	assert.Equal(t, []any{"Authorization"}, p.field("header_names"))
	assert.Equal(t, []any{"call.completed"}, p.field("events"))
	p = r.do("PATCH", "/v1/webhooks/"+id, `{"metadata":null,"headers":null,"description":null}`)
	require.Equal(t, 200, p.status, p.body)
	assert.Empty(t, p.field("metadata"))
	assert.Empty(t, p.field("header_names"))
	assert.Equal(t, 200, r.do("PATCH", "/v1/webhooks/"+id, `{}`).status)
	assert.NotContains(t, r.log.String(), "hush")
}

func TestSwitchingOffAndOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	id := r.endpoint("a")
	p := r.do("POST", "/v1/webhooks/"+id+"/disable", "")
	assert.Equal(t, "inactive", p.field("status"))
	assert.Equal(t, "manual", p.field("disabled_reason"))
	assert.EqualValues(t, 1, r.do("GET", "/v1/webhooks?status=inactive", "").field("total"))
	assert.EqualValues(t, 0, r.do("GET", "/v1/webhooks?status=active", "").field("total"))
	r.emit(webhook.NewCreditsLow("a", webhook.CreditsLow{Balance: 1, Threshold: 2}))
	health := r.do("GET", "/v1/webhooks/"+id+"/health", "")
	assert.EqualValues(t, 1, health.field("held"))
	p = r.do("POST", "/v1/webhooks/"+id+"/enable", "{}")
	assert.Equal(t, "active", p.field("status"))
	assert.Nil(t, p.field("disabled_reason"))
	for _, line := range []string{"endpoint disabled", "endpoint enabled", "actor=\"key a\"", "account=a"} {
		assert.Contains(t, r.log.String(), line)
	}
}

// A secret is in the responses to a creation, to a rotation and to their repetitions, and
// nowhere else.
func TestSecretsAreShownOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	key := []string{"Idempotency-Key", "k1"}
	made := r.do("POST", "/v1/webhooks", `{"url":"https://example.com/hook","events":["*"]}`, key...)
	id, first := made.field("id").(string), made.field("secret").(string)
	rot := r.do("POST", "/v1/webhooks/"+id+"/rotate-secret", `{"overlap_seconds":60}`, "Idempotency-Key", "k2")
	require.Equal(t, 200, rot.status, rot.body)
	second := rot.field("secret").(string)
	require.NotEqual(t, first, second)
	assert.NotNil(t, rot.field("secret_expires_at"))
	assert.True(t, strings.HasSuffix(second, strings.Trim(rot.field("secret_hint").(string), "….")), rot.body)
	r.emit(webhook.NewCreditsLow("a", webhook.CreditsLow{Balance: 1, Threshold: 2}))
	var all strings.Builder
	for _, p := range []reply{
		r.do("GET", "/v1/webhooks", ""), r.do("GET", "/v1/webhooks/"+id, ""), r.do("PATCH", "/v1/webhooks/"+id, `{"description":"x"}`),
		r.do("POST", "/v1/webhooks/"+id+"/test", `{"event":"call.completed"}`), r.do("GET", "/v1/webhooks/"+id+"/health", ""),
		r.do("GET", "/v1/webhooks/"+id+"/deliveries", ""), r.do("GET", "/v1/webhook-events", ""), r.do("GET", "/v1/webhooks/openapi.json", ""),
		r.do("POST", "/v1/webhooks", `{"url":"https://example.com/","events":["*"],"secret":"`+first+`x"}`),
		r.do("POST", "/v1/webhooks/"+id+"/rotate-secret", `{"secret":"`+second+`"}`),
		r.do("POST", "/v1/webhooks/"+id+"/enable", ""), r.do("DELETE", "/v1/webhooks/"+id, ""),
	} {
		all.WriteString(p.body)
		fmt.Fprint(&all, p.header)
	}
	for _, s := range []string{first, second} {
		assert.NotContains(t, all.String(), strings.TrimPrefix(s, "whsec_"))
		assert.NotContains(t, r.log.String(), strings.TrimPrefix(s, "whsec_"))
	}
	again := r.do("POST", "/v1/webhooks", `{"url":"https://example.com/hook","events":["*"]}`, key...)
	assert.Equal(t, made.body, again.body)
	assert.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	assert.Equal(t, made.header.Get("ETag"), again.header.Get("ETag"))
	assert.Equal(t, 201, again.status)
}

func TestARequestIsRepeatedByItsKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	body := `{"url":"https://example.com/hook","events":["*"]}`
	first := r.do("POST", "/v1/webhooks", body, "Idempotency-Key", "k")
	again := r.do("POST", "/v1/webhooks", body, "Idempotency-Key", "k")
	assert.Equal(t, first.body, again.body)
	assert.EqualValues(t, 1, r.do("GET", "/v1/webhooks", "").field("total"))
	other := r.do("POST", "/v1/webhooks", strings.Replace(body, "hook", "other", 1), "Idempotency-Key", "k")
	assert.Equal(t, 422, other.status)
	assert.Equal(t, "idempotency_conflict", other.field("error.code"))
	theirs := r.do("POST", "/v1/webhooks", body, "Idempotency-Key", "k", "Account", "b")
	assert.Equal(t, 201, theirs.status)
	assert.NotEqual(t, first.field("id"), theirs.field("id"), "a key is the account's own")

	bad := r.do("POST", "/v1/webhooks", `{"url":"https://example.com/"}`, "Idempotency-Key", "k3")
	assert.Equal(t, 400, bad.status)
	good := r.do("POST", "/v1/webhooks", body, "Idempotency-Key", "k3")
	assert.Equal(t, 201, good.status, "what failed is not remembered")

	id := first.field("id").(string)
	for _, path := range []string{"/enable", "/disable", "/enable", "/test", "/replay", "/rotate-secret"} {
		one := r.do("POST", "/v1/webhooks/"+id+path, "", "Idempotency-Key", "of"+path)
		two := r.do("POST", "/v1/webhooks/"+id+path, "", "Idempotency-Key", "of"+path)
		assert.Equal(t, 200, one.status, one.body)
		assert.Equal(t, one.body, two.body, path)
		assert.Equal(t, "true", two.header.Get("Idempotency-Replayed"), path)
	}
}

// slow is a Transport that waits for its test.
type slow struct{ begun, goOn chan struct{} }

func (s slow) Send(context.Context, *webhook.Request) (*webhook.Response, error) {
	s.begun <- struct{}{}
	<-s.goOn
	return &webhook.Response{StatusCode: 200}, nil
}

func TestASecondRequestWithTheSameKeyIsRefusedWhileTheFirstRuns(t *testing.T) {
	t.Parallel()
	s := slow{make(chan struct{}), make(chan struct{})}
	r := newRig(t, func(c *webhook.Config, _ *webhookapi.Options) { c.Transport = s })
	id := r.endpoint("a")
	done := make(chan reply)
	go func() { done <- r.do("POST", "/v1/webhooks/"+id+"/test", "", "Idempotency-Key", "k") }()
	<-s.begun
	p := r.do("POST", "/v1/webhooks/"+id+"/test", "", "Idempotency-Key", "k")
	assert.Equal(t, 409, p.status)
	assert.Equal(t, "idempotency_conflict", p.field("error.code"))
	close(s.goOn)
	assert.Equal(t, 200, (<-done).status)
}

// hangsUp is a Transport whose test is over when the client has gone.
type hangsUp struct{ cancel *context.CancelFunc }

func (h hangsUp) Send(context.Context, *webhook.Request) (*webhook.Response, error) {
	(*h.cancel)()
	return &webhook.Response{StatusCode: 200}, nil
}

// A client that hangs up before the response, and asks again, gets that response.
func TestAResponseIsKeptForAClientThatHungUp(t *testing.T) {
	t.Parallel()
	var cancel context.CancelFunc
	r := newRig(t, func(c *webhook.Config, _ *webhookapi.Options) { c.Transport = hangsUp{&cancel} })
	path := "/v1/webhooks/" + r.endpoint("a") + "/test"
	send := func() *httptest.ResponseRecorder {
		var ctx context.Context
		ctx, cancel = context.WithCancel(context.Background())
		defer cancel()
		req := httptest.NewRequestWithContext(ctx, "POST", path, nil)
		req.Header = http.Header{"Account": {"a"}, "Idempotency-Key": {"k"}}
		w := newWriter()
		r.api.ServeHTTP(w, req)
		return w
	}
	first, again := send(), send()
	assert.Equal(t, first.Body.String(), again.Body.String())
	assert.Equal(t, "true", again.Header().Get("Idempotency-Replayed"))
}

func TestATestShowsWhatWasSentAndWhatCameBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	p := r.do("POST", "/v1/webhooks", `{"url":"https://example.com/hook","events":["call.*"],"headers":{"Authorization":"Bearer hush"}}`)
	id := p.field("id").(string)
	p = r.do("POST", "/v1/webhooks/"+id+"/test", `{"event":"credits.low"}`)
	require.Equal(t, 200, p.status, p.body)
	assert.Equal(t, true, p.field("delivered"))
	assert.Equal(t, false, p.field("subscribed"))
	assert.EqualValues(t, 200, p.field("status_code"))
	assert.Equal(t, "thank \uFFFD you", p.field("response_body"))
	assert.Equal(t, "https://example.com/hook", p.field("request.url"))
	assert.NotContains(t, p.body, "hush")
	assert.NotEmpty(t, p.field("request.headers.webhook-signature"))
	var sent map[string]any
	require.NoError(t, json.Unmarshal([]byte(p.field("request.body").(string)), &sent))
	assert.Equal(t, "credits.low", sent["event"])
	p = r.do("POST", "/v1/webhooks/"+id+"/test", "")
	assert.Equal(t, true, p.field("subscribed"), "by default one that it is subscribed to")
	r.status = 500
	p = r.do("POST", "/v1/webhooks/"+id+"/test", "")
	assert.Equal(t, 200, p.status)
	assert.Equal(t, false, p.field("delivered"))
	assert.Equal(t, "http_status", p.field("failure"))
}

func TestTheLogOfDeliveries(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	id := r.endpoint("a")
	ev := webhook.NewCreditsLow("a", webhook.CreditsLow{Balance: 1, Threshold: 2})
	r.emit(ev, webhook.NewAgentCreated("a", webhook.AgentCreated{AgentID: "agent_1", Name: "n"}))
	list := r.do("GET", "/v1/webhooks/"+id+"/deliveries?event=credits.*&status=pending", "")
	require.Equal(t, 200, list.status, list.body)
	require.Len(t, list.field("data"), 1)
	assert.Equal(t, ev.ID, list.field("data.0.event_id"))
	assert.Equal(t, id, list.field("data.0.webhook_id"))
	dlv := list.field("data.0.id").(string)
	assert.Equal(t, "pending", r.do("GET", "/v1/webhook-deliveries/"+dlv, "").field("status"))
	assert.Empty(t, r.do("GET", "/v1/webhook-deliveries/"+dlv+"/attempts", "").field("data"))
	assert.Equal(t, "pending", r.do("POST", "/v1/webhook-deliveries/"+dlv+"/retry", "").field("status"))
	assert.Len(t, r.do("GET", "/v1/webhook-deliveries?webhook_id="+id, "").field("data"), 2)

	events := r.do("GET", "/v1/webhook-events?limit=1", "")
	require.Len(t, events.field("data"), 1)
	assert.Equal(t, true, events.field("has_more"))
	next := r.do("GET", "/v1/webhook-events?limit=1&cursor="+events.field("next_cursor").(string), "")
	assert.NotEqual(t, events.field("data.0.id"), next.field("data.0.id"))
	one := r.do("GET", "/v1/webhook-events/"+ev.ID, "")
	assert.EqualValues(t, 1, one.field("data.balance"))
	assert.Len(t, one.field("deliveries"), 1)
	dry := r.do("POST", "/v1/webhooks/"+id+"/replay", `{"dry_run":true}`)
	assert.EqualValues(t, 0, dry.field("count"), "both are pending")
	stats := r.do("GET", "/v1/webhooks/"+id+"/stats", "")
	assert.Equal(t, false, stats.field("enabled"))
}

func TestEventTypes(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	p := r.do("GET", "/v1/webhook-event-types", "")
	assert.Len(t, p.field("data"), len(webhook.EventTypes()))
	for _, item := range p.field("data").([]any) {
		assert.NotEmpty(t, item.(map[string]any)["description"])
	}
	r = newRig(t, func(_ *webhook.Config, o *webhookapi.Options) {
		o.EventTypes = []webhookapi.EventType{{Name: "order.placed", Description: "An order.", Example: map[string]int{"n": 1}}}
	})
	p = r.do("GET", "/v1/webhook-event-types", "")
	assert.Equal(t, `{"data":[{"name":"order.placed","description":"An order.","group":"order","example":{"n":1}}]}`+"\n", p.body)
}

func TestMountedAnywhere(t *testing.T) {
	t.Parallel()
	for prefix, base := range map[string]string{"": "/v1", "/": "", "/a/b/": "/a/b"} {
		r := newRig(t, func(_ *webhook.Config, o *webhookapi.Options) { o.Prefix = prefix })
		mux := http.NewServeMux()
		for _, p := range r.api.Patterns() {
			mux.Handle(p, r.api)
		}
		assert.Equal(t, 200, r.do("GET", base+"/webhooks", "").status)
		doc := r.do("GET", base+"/webhooks/openapi.json", "", "Account", "")
		require.Equal(t, 200, doc.status)
		want := base
		if want == "" {
			want = "/"
		}
		assert.Equal(t, want, doc.field("servers.0.url"))
	}
}

func TestTheEnvelope(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(_ *webhook.Config, o *webhookapi.Options) { o.Envelope = true })
	p := r.do("GET", "/v1/webhooks", "")
	assert.Equal(t, `{"data":{"data":[],"has_more":false,"next_cursor":null,"total":0},"meta":{"request_id":"req_1"}}`+"\n", p.body)
	p = r.do("GET", "/v1/webhooks/wh_1", "")
	assert.Equal(t, `{"error":{"code":"webhook_not_found","message":"there is no webhook with this id","details":{}},"meta":{"request_id":"req_1"}}`+"\n", p.body)
	assert.Equal(t, "3.1.0", r.do("GET", "/v1/webhooks/openapi.json", "").field("openapi"))
}

func TestTheLimiterOfThePlatform(t *testing.T) {
	t.Parallel()
	left := 1
	r := newRig(t, func(_ *webhook.Config, o *webhookapi.Options) {
		o.Limit = func(_ *http.Request, a webhookapi.Access) (webhookapi.RateLimit, error) {
			left--
			l := webhookapi.RateLimit{Limit: 1, Remaining: left, Reset: time.Now().Add(30 * time.Second)}
			switch {
			case a.AccountID == "b":
				return l, errors.New("the limiter is down")
			case left < 0:
				return l, webhookapi.ErrRateLimited
			}
			return l, nil
		}
	})
	p := r.do("GET", "/v1/webhooks", "")
	assert.Equal(t, 200, p.status)
	assert.Equal(t, "0", p.header.Get("X-RateLimit-Remaining"))
	p = r.do("GET", "/v1/webhooks", "")
	assert.Equal(t, 429, p.status)
	assert.Equal(t, "rate_limited", p.field("error.code"))
	assert.Equal(t, "1", p.header.Get("X-RateLimit-Limit"))
	assert.Equal(t, "0", p.header.Get("X-RateLimit-Remaining"))
	assert.Regexp(t, `^\d{10}$`, p.header.Get("X-RateLimit-Reset"))
	assert.Regexp(t, `^(29|30)$`, p.header.Get("Retry-After"))
	assert.Equal(t, 500, r.do("GET", "/v1/webhooks", "", "Account", "b").status)
}

// FuzzRequests finds no request that panics, or that is our fault.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{`{"url":"https://example.com/","events":["*"]}`, `{"url":"https://example.}om/","events":["*"]}`, `{"metadata":{"a":null}}`, `{"overlap_seconds":1e9}`, `[{}]`, "", `{"status":"inactive","headers":{"":"x"}}`} {
		f.Add("POST", "", "", seed, "")
		f.Add("PATCH", "/{id}", "limit=1&cursor=x", seed, `"1"`)
		f.Add("POST", "/{id}/replay", "", seed, "")
		f.Add("POST", "/{id}/rotate-secret", "", seed, "*")
		f.Add("GET", "/{id}/deliveries", "status=pending&from=2024-01-01T00:00:00Z&event=a,b", "", "")
	}
	f.Fuzz(func(t *testing.T, method, path, query, body, match string) {
		switch method {
		case "GET", "POST", "PATCH", "DELETE":
		default:
			return
		}
		r := newRig(t, nil)
		id := r.endpoint("a")
		req, err := http.NewRequest(method, "http://example.com/", strings.NewReader(body))
		require.NoError(t, err)
		req.URL.Path, req.URL.RawQuery = "/v1/webhooks"+strings.ReplaceAll(path, "{id}", id), query
		req.Header = http.Header{"Account": {"a"}, "Content-Type": {"application/json"}, "If-Match": {match}, "Idempotency-Key": {"k"}}
		for range 2 {
			req.Body = http.NoBody
			if body != "" {
				req.Body = newBody(body)
			}
			w := newWriter()
			r.api.ServeHTTP(w, req)
			if w.Code >= 500 || w.Code == 0 {
				t.Fatalf("%s %s?%s %q: %d %s\n%s", method, path, query, body, w.Code, w.Body, r.log)
			}
		}
	})
}
