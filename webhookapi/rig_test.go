package webhookapi_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
	"github.com/ringyo-ai/webhook/webhookapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is an API over an engine in memory. The caller's account is in the header Account.
type rig struct {
	t      *testing.T
	engine *webhook.Engine
	api    *webhookapi.Handler
	log    *logs
	status int // what receivers respond with
}

// logs keeps what is logged.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// peer is a Transport whose receiver responds at once.
type peer struct{ rig *rig }

func (p peer) Send(_ context.Context, r *webhook.Request) (*webhook.Response, error) {
	return &webhook.Response{StatusCode: p.rig.status, Body: []byte("thank \xff you")}, nil
}

func newRig(t *testing.T, change func(*webhook.Config, *webhookapi.Options)) *rig {
	t.Helper()
	r := &rig{t: t, log: &logs{}, status: 200}
	cfg := webhook.Config{
		Store: memstore.New(), Transport: peer{r}, Logger: slog.New(slog.NewTextHandler(r.log, nil)),
		MaxEndpoints: 5,
	}
	opt := webhookapi.Options{Authorize: byHeader, Logger: cfg.Logger, RequestID: func(*http.Request) string { return "req_1" }}
	if change != nil {
		change(&cfg, &opt)
	}
	var err error
	r.engine, err = webhook.New(cfg)
	require.NoError(t, err)
	r.api, err = webhookapi.New(r.engine, opt)
	require.NoError(t, err)
	return r
}

// byHeader lets everybody in who says who they are.
func byHeader(r *http.Request) (webhookapi.Access, error) {
	switch account := r.Header.Get("Account"); account {
	case "":
		return webhookapi.Access{}, webhookapi.ErrUnauthenticated
	case "forbidden":
		return webhookapi.Access{}, webhookapi.ErrForbidden
	case "nobody":
		return webhookapi.Access{}, nil
	case "broken":
		return webhookapi.Access{}, io.ErrUnexpectedEOF
	case "panics":
		panic("authorize")
	case "reader":
		return webhookapi.Access{AccountID: "a", ReadOnly: true}, nil
	default:
		return webhookapi.Access{AccountID: account, Actor: "key " + account}, nil
	}
}

// reply is a response.
type reply struct {
	t      *testing.T
	status int
	header http.Header
	body   string
}

// do sends a request as account a. headers are names and values.
func (r *rig) do(method, path, body string, headers ...string) reply {
	r.t.Helper()
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.Header.Set("Account", "a")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
		} else {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	r.api.ServeHTTP(w, req)
	return reply{r.t, w.Code, w.Header(), w.Body.String()}
}

// field returns a field of the body; path is names with dots between them.
func (p reply) field(path string) any {
	p.t.Helper()
	var v any
	require.NoError(p.t, json.Unmarshal([]byte(p.body), &v), p.body)
	for _, name := range strings.Split(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			require.Contains(p.t, at, name, p.body)
			v = at[name]
		case []any:
			require.Equal(p.t, "0", name)
			require.NotEmpty(p.t, at, p.body)
			v = at[0]
		default:
			require.Fail(p.t, "no such field", "%s in %s", path, p.body)
		}
	}
	return v
}

// endpoint registers an endpoint, and returns its id.
func (r *rig) endpoint(account string) string {
	r.t.Helper()
	p := r.do("POST", "/v1/webhooks", `{"url":"https://example.com/hook","events":["*"]}`, "Account", account)
	require.Equal(r.t, 201, p.status, p.body)
	return p.field("id").(string)
}

func newBody(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

func newWriter() *httptest.ResponseRecorder { return httptest.NewRecorder() }
