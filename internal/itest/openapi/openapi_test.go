// Package openapi holds the management API against its own description.
package openapi

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
	"github.com/ringyo-ai/webhook/webhookapi"
)

// checked is a client of the API that holds each response against the document.
type checked struct {
	t        *testing.T
	api      *webhookapi.Handler
	router   routers.Router
	reached  map[string]map[int]bool // statuses by operation
	received strings.Builder         // every body and header
	fails    bool                    // the receiver
}

// Send implements webhook.Transport.
func (c *checked) Send(context.Context, *webhook.Request) (*webhook.Response, error) {
	if c.fails {
		return &webhook.Response{StatusCode: 503, Body: []byte("<b>no</b>")}, nil
	}
	return &webhook.Response{StatusCode: 200, Body: []byte("ok")}, nil
}

func document(t *testing.T, api http.Handler) *openapi3.T {
	t.Helper()
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequest("GET", "/v1/webhooks/openapi.json", nil))
	require.Equal(t, 200, w.Code)
	doc, err := openapi3.NewLoader().LoadFromData(w.Body.Bytes())
	require.NoError(t, err)
	return doc
}

func newChecked(t *testing.T) (*checked, *webhook.Engine) {
	t.Helper()
	c := &checked{t: t, reached: map[string]map[int]bool{}}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "a.db")+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	store, err := sqlstore.New(db, sqlstore.SQLite, nil)
	require.NoError(t, err)
	require.NoError(t, store.Migrate(context.Background()))
	engine, err := webhook.New(webhook.Config{
		Store: store, Transport: c, Tallies: true, MaxEndpoints: 3, Retry: webhook.Schedule{time.Hour},
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	c.api, err = webhookapi.New(engine, webhookapi.Options{
		Authorize: func(r *http.Request) (webhookapi.Access, error) {
			switch token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); token {
			case "":
				return webhookapi.Access{}, webhookapi.ErrUnauthenticated
			case "forbidden":
				return webhookapi.Access{}, webhookapi.ErrForbidden
			case "broken":
				return webhookapi.Access{}, io.ErrUnexpectedEOF
			default:
				return webhookapi.Access{AccountID: token}, nil
			}
		},
		Limit: func(r *http.Request, _ webhookapi.Access) (webhookapi.RateLimit, error) {
			l := webhookapi.RateLimit{Limit: 10, Remaining: 9, Reset: time.Now().Add(time.Minute)}
			if r.Header.Get("X-Limited") != "" {
				return l, webhookapi.ErrRateLimited
			}
			return l, nil
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	doc := document(t, c.api)
	c.router, err = gorillamux.NewRouter(doc)
	require.NoError(t, err)
	return c, engine
}

// do sends a request and holds the response against the document.
func (c *checked) do(method, path, body string, headers ...string) (status int, reply map[string]any) {
	c.t.Helper()
	make := func() *http.Request {
		r := httptest.NewRequest(method, "/v1"+path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer acme")
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		return r
	}
	w := httptest.NewRecorder()
	c.api.ServeHTTP(w, make())
	c.received.WriteString(w.Body.String() + fmt.Sprint(w.Header()))
	r := make()
	route, params, err := c.router.FindRoute(r)
	require.NoError(c.t, err, "%s %s", method, path)
	in := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, MultiError: true},
	}
	if w.Code < 400 {
		assert.NoError(c.t, openapi3filter.ValidateRequest(context.Background(), in), "request %s %s %s", method, path, body)
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: w.Code, Header: w.Header(),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	out.SetBodyBytes(w.Body.Bytes())
	assert.NoError(c.t, openapi3filter.ValidateResponse(context.Background(), out), "response %d to %s %s: %s", w.Code, method, path, w.Body)
	c.headersAreKnown(route, w)
	id := route.Operation.OperationID
	if c.reached[id] == nil {
		c.reached[id] = map[int]bool{}
	}
	c.reached[id][w.Code] = true
	if w.Body.Len() > 0 {
		require.NoError(c.t, json.Unmarshal(w.Body.Bytes(), &reply), w.Body.String())
	}
	return w.Code, reply
}

// general are headers of HTTP, which a document does not list.
var general = []string{"Content-Type", "Content-Length", "Cache-Control", "X-Content-Type-Options"}

func (c *checked) headersAreKnown(route *routers.Route, w *httptest.ResponseRecorder) {
	c.t.Helper()
	ref := route.Operation.Responses.Status(w.Code)
	require.NotNil(c.t, ref, "%s has no response %d", route.Operation.OperationID, w.Code)
	for name := range w.Header() {
		known := slices.Contains(general, name) || slices.ContainsFunc(slices.Collect(maps.Keys(ref.Value.Headers)), func(h string) bool {
			return strings.EqualFold(h, name)
		})
		assert.True(c.t, known, "%s %d: the header %s is not in the document", route.Operation.OperationID, w.Code, name)
	}
}

// Every operation of the document is reached, and every response is as it says.
func TestEveryResponseIsAsTheDocumentSays(t *testing.T) {
	c, engine := newChecked(t)
	ctx := context.Background()
	const create = `{"url":"https://example.com/hook","events":["*"],"description":"d","metadata":{"k":"v"},"headers":{"X-Tenant":"t"}}`
	status, ep := c.do("POST", "/webhooks", create, "Idempotency-Key", "k1")
	require.Equal(t, 201, status)
	id, secret := ep["id"].(string), ep["secret"].(string)
	c.do("POST", "/webhooks", create, "Idempotency-Key", "k1")
	status, _ = c.do("POST", "/webhooks", strings.Replace(create, "hook", "x", 1), "Idempotency-Key", "k1")
	assert.Equal(t, 422, status)
	created := webhook.NewCreditsLow("acme", webhook.CreditsLow{Balance: 1, Threshold: 2})
	require.NoError(t, engine.Emit(ctx, created))
	_, err := engine.DeliverDue(ctx)
	require.NoError(t, err)
	c.fails = true
	require.NoError(t, engine.Emit(ctx, webhook.NewAgentCreated("acme", webhook.AgentCreated{AgentID: "agent_1", Name: "n"})))
	_, err = engine.DeliverDue(ctx)
	require.NoError(t, err)
	_, list := c.do("GET", "/webhooks/"+id+"/deliveries?limit=1&status=delivered&event=credits.*&from=2024-01-01T00:00:00Z&until=2124-01-01T00:00:00Z", "")
	require.Len(t, list["data"], 1)
	delivered := list["data"].([]any)[0].(map[string]any)["id"].(string)
	_, list = c.do("GET", "/webhooks/"+id+"/deliveries?limit=1", "")
	failed := list["data"].([]any)[0].(map[string]any)["id"].(string)
	require.Equal(t, true, list["has_more"])
	c.do("GET", "/webhooks/"+id+"/deliveries?limit=1&cursor="+list["next_cursor"].(string), "")
	second, _ := c.do("POST", "/webhooks/"+id+"/rotate-secret", `{"overlap_seconds":3600}`)
	require.Equal(t, 200, second)
	for _, ok := range []struct{ method, path, body string }{
		{"GET", "/webhooks?limit=1&status=active", ""},
		{"GET", "/webhooks?limit=1", ""},
		{"GET", "/webhooks/" + id, ""},
		{"PATCH", "/webhooks/" + id, `{"metadata":{"k":null,"l":"m"},"headers":{"x-tenant":null},"status":"inactive"}`},
		{"POST", "/webhooks/" + id + "/enable", ""},
		{"POST", "/webhooks/" + id + "/disable", "{}"},
		{"GET", "/webhooks/" + id + "/health", ""},
		{"GET", "/webhooks/" + id + "/stats", ""},
		{"POST", "/webhooks/" + id + "/test", `{"event":"call.completed"}`},
		{"POST", "/webhooks/" + id + "/test", ""},
		{"POST", "/webhooks/" + id + "/replay", `{"since":"2024-01-01T00:00:00Z","until":"2124-01-01T00:00:00Z","events":["call.*"],"status":["exhausted"],"dry_run":true}`},
		{"GET", "/webhook-deliveries?webhook_id=" + id + "&event_id=" + created.ID, ""},
		{"GET", "/webhook-deliveries/" + delivered, ""},
		{"GET", "/webhook-deliveries/" + delivered + "/attempts", ""},
		{"GET", "/webhook-deliveries/" + failed + "/attempts", ""},
		{"POST", "/webhook-deliveries/" + failed + "/retry", ""},
		{"GET", "/webhook-events?limit=1&type=agent.created", ""},
		{"GET", "/webhook-events/" + created.ID, ""},
		{"GET", "/webhook-event-types", ""},
		{"GET", "/webhooks/openapi.json", ""},
	} {
		status, reply := c.do(ok.method, ok.path, ok.body)
		assert.Equal(t, 200, status, "%s %s: %v", ok.method, ok.path, reply)
	}
	c.failures(id)
	status, _ = c.do("DELETE", "/webhooks/"+id, "")
	assert.Equal(t, 200, status)
	assert.Equal(t, 2, strings.Count(c.received.String(), secret), "in the first response and in its repetition")
	c.allWereReached()
}

// failures provokes each error at each operation that has it.
func (c *checked) failures(id string) {
	for method, paths := range map[string][]string{
		"GET":    {"/webhooks", "/webhooks/" + id, "/webhooks/" + id + "/health", "/webhooks/" + id + "/deliveries", "/webhooks/" + id + "/stats", "/webhook-deliveries", "/webhook-deliveries/x", "/webhook-deliveries/x/attempts", "/webhook-events", "/webhook-events/x", "/webhook-event-types"},
		"POST":   {"/webhooks", "/webhooks/" + id + "/enable", "/webhooks/" + id + "/disable", "/webhooks/" + id + "/rotate-secret", "/webhooks/" + id + "/test", "/webhooks/" + id + "/replay", "/webhook-deliveries/x/retry"},
		"PATCH":  {"/webhooks/" + id},
		"DELETE": {"/webhooks/" + id},
	} {
		for _, path := range paths {
			c.do(method, path, "", "Authorization", "Bearer ")
			c.do(method, path, "", "Authorization", "Bearer forbidden")
			c.do(method, path, "", "Authorization", "Bearer broken")
			c.do(method, path, "", "X-Limited", "1")
			c.do(method, path+"?x=1", "")
			c.do(method, path+"?x=1", "", "Accept", "application/problem+json")
			c.do(method, strings.Replace(path, id, "wh_none", 1), "{}")
			if method != "GET" {
				c.do(method, path, "{}", "Content-Type", "text/plain")
			}
			if strings.Contains(path, id) && (method == "PATCH" || method == "DELETE" || strings.HasSuffix(path, "able") || strings.HasSuffix(path, "secret")) {
				c.do(method, path, "{}", "If-Match", `"1234567"`)
			}
		}
	}
	c.do("GET", "/webhook-deliveries?webhook_id=wh_none", "")
	for range 4 { // the limit is 3
		c.do("POST", "/webhooks", `{"url":"https://example.com/","events":["*"]}`)
	}
	c.do("POST", "/webhooks", `{"url":"http://x","events":["!"],"metadata":{"":""}}`)
	for i := range 6 { // secrets that are valid at once
		c.do("POST", "/webhooks/"+id+"/rotate-secret", "", "Idempotency-Key", fmt.Sprint("rotate", i))
	}
}

func (c *checked) allWereReached() {
	doc := document(c.t, c.api)
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			statuses := c.reached[op.OperationID]
			assert.NotEmpty(c.t, statuses, "%s %s was not reached", method, path)
			for code := range op.Responses.Map() {
				switch code {
				case "409", "422":
					if op.OperationID != "createWebhook" {
						continue // of an Idempotency-Key: the same code for all
					}
				case "500":
					if op.OperationID == "getOpenAPI" {
						continue
					}
				}
				if code == "409" || code == "400" && op.OperationID == "getOpenAPI" {
					continue
				}
				assert.True(c.t, statuses[atoi(c.t, code)], "%s %s: %s was not reached", method, path, code)
			}
		}
	}
	for _, p := range c.api.Patterns() {
		assert.True(c.t, slices.ContainsFunc(slices.Collect(maps.Keys(doc.Paths.Map())), func(path string) bool {
			return strings.HasPrefix("/v1"+path, strings.TrimSuffix(p, "/"))
		}), "nothing in the document is under %s", p)
	}
}

func atoi(t *testing.T, s string) (n int) {
	t.Helper()
	_, err := fmt.Sscan(s, &n)
	require.NoError(t, err)
	return n
}

// The document is valid, and neither its examples nor its descriptions hold a secret.
func TestTheDocumentIsValid(t *testing.T) {
	c, _ := newChecked(t)
	doc := document(t, c.api)
	require.NoError(t, doc.Validate(context.Background()))
	var b bytes.Buffer
	require.NoError(t, json.NewEncoder(&b).Encode(doc))
	assert.NotRegexp(t, `whsec_[A-Za-z0-9+/]{8}`, b.String())
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			assert.NotEmpty(t, op.Summary, "%s %s", method, path)
			assert.NotEmpty(t, op.OperationID, "%s %s", method, path)
			assert.NotEmpty(t, op.Tags, "%s %s", method, path)
		}
	}
	for name, s := range doc.Components.Schemas {
		if s.Value.Type.Is("object") {
			assert.NotNil(t, s.Value.AdditionalProperties.Has, "%s takes any field", name)
		}
	}
}
