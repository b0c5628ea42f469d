package webhookapi_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/webhookapi"
)

// mask replaces what differs from run to run.
func mask(s string) string {
	s = regexp.MustCompile(`wh_[0-9a-f]{32}`).ReplaceAllString(s, "wh_…")
	s = regexp.MustCompile(`whsec_[A-Za-z0-9+/=]+`).ReplaceAllString(s, "whsec_…")
	return regexp.MustCompile(`"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"`).ReplaceAllString(s, `"2024-01-15T10:30:00Z"`)
}

// The public documentation of Ringyo fixes these to the byte.
func TestPublicResponsesAreFixedToTheByte(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	p := r.do("POST", "/v1/webhooks", `{"url":"https://your-app.com/webhooks/ringyo","events":["call.completed","call.failed"],"description":"Production webhook"}`)
	assert.Equal(t, 201, p.status)
	assert.Equal(t, "application/json", p.header.Get("Content-Type"))
	assert.Equal(t, `{"id":"wh_…","url":"https://your-app.com/webhooks/ringyo","events":["call.completed","call.failed"],"secret":"whsec_…","description":"Production webhook","status":"active","metadata":{},"created_at":"2024-01-15T10:30:00Z"}`+"\n", mask(p.body))
	id := p.field("id").(string)

	p = r.do("GET", "/v1/webhooks", "")
	assert.Equal(t, 200, p.status)
	assert.Equal(t, `{"data":[{"id":"wh_…","url":"https://your-app.com/webhooks/ringyo","events":["call.completed","call.failed"],"description":"Production webhook","status":"active","metadata":{},"last_triggered_at":null,"created_at":"2024-01-15T10:30:00Z"}],"has_more":false,"next_cursor":null,"total":1}`+"\n", mask(p.body))

	p = r.do("PATCH", "/v1/webhooks/"+id, `{"status":"inactive","description":"<b> & \u2028é"}`)
	assert.Equal(t, 200, p.status)
	assert.Regexp(t, `"secret_hint":"[^"]{4,}"`, p.body)
	got := regexp.MustCompile(`"secret_hint":"[^"]+"`).ReplaceAllString(mask(p.body), `"secret_hint":"…"`)
	assert.Equal(t, `{"id":"wh_…","url":"https://your-app.com/webhooks/ringyo","events":["call.completed","call.failed"],"description":"<b> & \u2028é","status":"inactive","metadata":{},"last_triggered_at":null,"created_at":"2024-01-15T10:30:00Z","updated_at":"2024-01-15T10:30:00Z","disabled_reason":"manual","consecutive_failures":0,"secret_hint":"…","secret_expires_at":null,"header_names":[]}`+"\n", got)

	p = r.do("DELETE", "/v1/webhooks/"+id, "")
	assert.Equal(t, 200, p.status)
	assert.Equal(t, `{"id":"wh_…","deleted":true}`+"\n", mask(p.body))

	p = r.do("POST", "/v1/webhooks", `{"url":"http://your-app.com/","events":["*"]}`)
	assert.Equal(t, 400, p.status)
	assert.Equal(t, `{"error":{"code":"invalid_url","message":"the URL must begin with https://","details":{"field":"url"}},"meta":{"request_id":"req_1"}}`+"\n", p.body)
	assert.Equal(t, "req_1", p.header.Get("X-Request-Id"))

	p = r.do("GET", "/v1/webhooks", "")
	assert.Equal(t, `{"data":[],"has_more":false,"next_cursor":null,"total":0}`+"\n", p.body)
}

func TestCodesAndStatuses(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	id := r.endpoint("a")
	const create = `"url":"https://example.com/","events":["*"]`
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		code, field              string
	}{
		{"no credentials", "GET", "/webhooks", "", []string{"Account", ""}, 401, "unauthorized", ""},
		{"credentials for something else", "GET", "/webhooks", "", []string{"Account", "forbidden"}, 403, "forbidden", ""},
		{"an account that was not set", "GET", "/webhooks", "", []string{"Account", "nobody"}, 500, "internal", ""},
		{"an Authorize that fails", "GET", "/webhooks", "", []string{"Account", "broken"}, 500, "internal", ""},
		{"an Authorize that panics", "GET", "/webhooks", "", []string{"Account", "panics"}, 500, "internal", ""},
		{"a write of a reader", "POST", "/webhooks", "{" + create + "}", []string{"Account", "reader"}, 403, "forbidden", ""},
		{"no such path", "GET", "/webhooks/x/y/z", "", nil, 404, "invalid_request", ""},
		{"a slash too many", "GET", "/webhooks/", "", nil, 404, "invalid_request", ""},
		{"another method", "PUT", "/webhooks", "{}", nil, 405, "invalid_request", ""},
		{"another media type", "POST", "/webhooks", "{" + create + "}", []string{"Content-Type", "text/plain"}, 415, "invalid_request", ""},
		{"no media type", "POST", "/webhooks", "{" + create + "}", []string{"Content-Type", ""}, 415, "invalid_request", ""},
		{"another charset", "POST", "/webhooks", "{" + create + "}", []string{"Content-Type", "application/json; charset=latin1"}, 415, "invalid_request", ""},
		{"an empty body", "POST", "/webhooks", "", nil, 400, "invalid_url", "url"},
		{"no object", "POST", "/webhooks", "[]", nil, 400, "invalid_request", ""},
		{"no JSON", "POST", "/webhooks", "{", nil, 400, "invalid_request", ""},
		{"trailing data", "POST", "/webhooks", "{" + create + "} {}", nil, 400, "invalid_request", ""},
		{"no UTF-8", "POST", "/webhooks", "{" + create + ",\"description\":\"\xff\"}", nil, 400, "invalid_request", ""},
		{"a field twice", "POST", "/webhooks", "{" + create + `,"url":"https://example.org/"}`, nil, 400, "invalid_request", "url"},
		{"an unknown field", "POST", "/webhooks", "{" + create + `,"evnets":[]}`, nil, 400, "invalid_request", "evnets"},
		{"too large", "POST", "/webhooks", `{"description":"` + strings.Repeat("x", 64<<10) + `"}`, nil, 400, "invalid_request", ""},
		{"a URL of another type", "POST", "/webhooks", `{"url":7,"events":["*"]}`, nil, 400, "invalid_url", "url"},
		{"a URL that is none", "POST", "/webhooks", `{"url":"nope","events":["*"]}`, nil, 400, "invalid_url", "url"},
		{"a URL that cannot be parsed", "POST", "/webhooks", `{"url":"https://example.}om/","events":["*"]}`, nil, 400, "invalid_url", "url"},
		{"a change to a URL that is none", "PATCH", "/webhooks/" + id, `{"url":"https://exa mple.com/"}`, nil, 400, "invalid_url", "url"},
		{"a long URL", "POST", "/webhooks", `{"url":"https://example.com/` + strings.Repeat("x", 2048) + `","events":["*"]}`, nil, 400, "invalid_url", "url"},
		{"a URL with a password", "POST", "/webhooks", `{"url":"https://u:p@example.com/","events":["*"]}`, nil, 400, "invalid_url", "url"},
		{"events of another type", "POST", "/webhooks", `{"url":"https://example.com/","events":"*"}`, nil, 400, "invalid_events", "events"},
		{"an event of another type", "POST", "/webhooks", `{"url":"https://example.com/","events":["*",null]}`, nil, 400, "invalid_events", "events[1]"},
		{"an event that is none", "POST", "/webhooks", `{"url":"https://example.com/","events":["call.completed","*.call"]}`, nil, 400, "invalid_events", "events[1]"},
		{"no events", "POST", "/webhooks", `{"url":"https://example.com/","events":[]}`, nil, 400, "invalid_events", "events"},
		{"a long description", "POST", "/webhooks", "{" + create + `,"description":"` + strings.Repeat("x", 1025) + `"}`, nil, 400, "invalid_request", "description"},
		{"metadata of another type", "POST", "/webhooks", "{" + create + `,"metadata":{"k":1}}`, nil, 400, "invalid_request", "metadata.k"},
		{"a header of the library", "POST", "/webhooks", "{" + create + `,"headers":{"content-type":"text/plain"}}`, nil, 400, "invalid_request", "headers.content-type"},
		{"a short secret", "POST", "/webhooks", "{" + create + `,"secret":"whsec_AAAA"}`, nil, 400, "invalid_request", "secret"},
		{"a key that is empty", "POST", "/webhooks", "{" + create + "}", []string{"Idempotency-Key", strings.Repeat("k", 256)}, 400, "invalid_request", "Idempotency-Key"},
		{"an unknown parameter", "GET", "/webhooks?stauts=active", "", nil, 400, "invalid_request", "stauts"},
		{"a parameter twice", "GET", "/webhooks?limit=1&limit=2", "", nil, 400, "invalid_request", "limit"},
		{"a limit of 0", "GET", "/webhooks?limit=0", "", nil, 400, "invalid_request", "limit"},
		{"a limit of 101", "GET", "/webhooks?limit=101", "", nil, 400, "invalid_request", "limit"},
		{"a limit that is none", "GET", "/webhooks?limit=", "", nil, 400, "invalid_request", "limit"},
		{"a status that is none", "GET", "/webhooks?status=on", "", nil, 400, "invalid_request", "status"},
		{"a cursor of nobody", "GET", "/webhooks?cursor=abc", "", nil, 400, "invalid_request", "cursor"},
		{"a cursor of nobody, of events", "GET", "/webhook-events?cursor=abc", "", nil, 400, "invalid_request", "cursor"},
		{"a time that is none", "GET", "/webhook-events?from=yesterday", "", nil, 400, "invalid_request", "from"},
		{"a query that is none", "GET", "/webhooks?%zz", "", nil, 400, "invalid_request", ""},
		{"no such endpoint", "GET", "/webhooks/wh_1", "", nil, 404, "webhook_not_found", ""},
		{"no such endpoint, its deliveries", "GET", "/webhooks/wh_1/deliveries", "", nil, 404, "webhook_not_found", ""},
		{"no such endpoint, its statistics", "GET", "/webhooks/wh_1/health", "", nil, 404, "webhook_not_found", ""},
		{"no such delivery", "GET", "/webhook-deliveries/dlv_1", "", nil, 404, "delivery_not_found", ""},
		{"no such delivery, its attempts", "GET", "/webhook-deliveries/dlv_1/attempts", "", nil, 404, "delivery_not_found", ""},
		{"no such delivery to retry", "POST", "/webhook-deliveries/dlv_1/retry", "", nil, 404, "delivery_not_found", ""},
		{"no such event", "GET", "/webhook-events/evt_1", "", nil, 404, "event_not_found", ""},
		{"another revision", "PATCH", "/webhooks/" + id, "{}", []string{"If-Match", `"99"`}, 412, "revision_mismatch", ""},
		{"a weak tag", "PATCH", "/webhooks/" + id, "{}", []string{"If-Match", `W/"1"`}, 412, "revision_mismatch", ""},
		{"no tag", "PATCH", "/webhooks/" + id, "{}", []string{"If-Match", "1"}, 400, "invalid_request", "If-Match"},
		{"another revision to delete", "DELETE", "/webhooks/" + id, "", []string{"If-Match", `"99"`}, 412, "revision_mismatch", ""},
		{"a status to set that is none", "PATCH", "/webhooks/" + id, `{"status":"failing"}`, nil, 400, "invalid_request", "status"},
		{"a URL that is null", "PATCH", "/webhooks/" + id, `{"url":null}`, nil, 400, "invalid_url", "url"},
		{"a secret in a PATCH", "PATCH", "/webhooks/" + id, `{"secret":"x"}`, nil, 400, "invalid_request", "secret"},
		{"an overlap that is none", "POST", "/webhooks/" + id + "/rotate-secret", `{"overlap_seconds":1.5}`, nil, 400, "invalid_request", "overlap_seconds"},
		{"a test of no type", "POST", "/webhooks/" + id + "/test", `{"event":"Call Me"}`, nil, 400, "invalid_request", "event"},
		{"a replay of a status that is none", "POST", "/webhooks/" + id + "/replay", `{"status":["pending"]}`, nil, 400, "invalid_request", "status[0]"},
		{"a field of a deletion", "DELETE", "/webhooks/" + id, `{"force":true}`, nil, 400, "invalid_request", "force"},
		{"a type in a query that is none", "GET", "/webhook-events?type=call.!", "", nil, 400, "invalid_request", "type"},
		{"a type of deliveries that is none", "GET", "/webhooks/" + id + "/deliveries?event=*.x", "", nil, 400, "invalid_request", "event"},
		{"a replay of a type that is none", "POST", "/webhooks/" + id + "/replay", `{"events":["call.*","!"]}`, nil, 400, "invalid_events", "events[1]"},
		{"a body where there is none", "POST", "/webhooks/" + id + "/enable", `{"a":1}`, nil, 400, "invalid_request", "a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := r.do(c.method, "/v1"+c.path, c.body, c.headers...)
			assert.Equal(t, c.status, p.status, p.body)
			assert.Equal(t, c.code, p.field("error.code"), p.body)
			if c.field != "" {
				assert.Equal(t, c.field, p.field("error.details.field"), p.body)
			}
			message := p.field("error.message").(string)
			assert.NotEmpty(t, message)
			for _, goish := range []string{"webhook:", "webhookapi", "memstore", "sqlstore", "Config", "EndpointParams", "json:"} {
				assert.NotContains(t, message, goish)
			}
			problem := r.do(c.method, "/v1"+c.path, c.body, append([]string{"Accept", "application/problem+json"}, c.headers...)...)
			assert.Equal(t, "application/problem+json", problem.header.Get("Content-Type"))
			assert.Equal(t, c.code, problem.field("code"))
			assert.EqualValues(t, c.status, problem.field("status"))
			assert.Equal(t, message, problem.field("detail"))
		})
	}
	p := r.do("GET", "/v1/webhooks/"+id, "")
	require.Equal(t, 200, p.status, "nothing has changed")
	assert.Equal(t, "active", p.field("status"))
}

// choosy refuses URLs in words that name them, which the library takes out.
type choosy struct{ peer }

func (choosy) CheckURL(raw string) error {
	return fmt.Errorf("tried %s: %w", raw, &webhook.URLError{Kind: "host"})
}

func TestAURLRefusedInOtherWords(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r = newRig(t, func(cfg *webhook.Config, _ *webhookapi.Options) { cfg.Transport = choosy{peer{r}} })
	p := r.do("POST", "/v1/webhooks", `{"url":"https://example.com/a-long-path","events":["*"]}`)
	assert.Equal(t, 400, p.status)
	assert.Equal(t, "invalid_url", p.field("error.code"))
	assert.Equal(t, "the URL's host is not a public name", p.field("error.message"))
}

func TestAllFaultsOfARequestAreNamed(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	p := r.do("POST", "/v1/webhooks", `{"url":"http://example.com/","events":["x!"],"description":"`+strings.Repeat("d", 2000)+`"}`)
	assert.Equal(t, 400, p.status)
	assert.Equal(t, "invalid_url", p.field("error.code"))
	list := p.field("error.details.errors").([]any)
	fields := make([]any, len(list))
	for i, f := range list {
		fields[i] = f.(map[string]any)["field"]
	}
	assert.ElementsMatch(t, []any{"url", "events[0]", "description"}, fields)
}

func TestTheLimitOfEndpoints(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for range 5 {
		r.endpoint("a")
	}
	p := r.do("POST", "/v1/webhooks", `{"url":"https://example.com/","events":["*"]}`)
	assert.Equal(t, 400, p.status)
	assert.Equal(t, "webhook_limit_reached", p.field("error.code"))
	assert.EqualValues(t, 5, r.do("GET", "/v1/webhooks?limit=1", "").field("total"))
	r.endpoint("b")
}

func TestMethodsOfAPath(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	id := r.endpoint("a")
	p := r.do("PUT", "/v1/webhooks/"+id, "{}")
	assert.Equal(t, "DELETE, GET, HEAD, OPTIONS, PATCH", p.header.Get("Allow"))
	p = r.do("OPTIONS", "/v1/webhooks", "", "Account", "")
	assert.Equal(t, 204, p.status)
	assert.Equal(t, "GET, HEAD, OPTIONS, POST", p.header.Get("Allow"))
	get, head := r.do("GET", "/v1/webhooks", ""), r.do("HEAD", "/v1/webhooks", "")
	assert.Equal(t, get.status, head.status)
	assert.Equal(t, get.header, head.header)
}
