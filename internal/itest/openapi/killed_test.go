package openapi

import (
	"context"
	"database/sql"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/itest/rewind"
	"github.com/ringyo-ai/webhook/sqlstore"
	"github.com/ringyo-ai/webhook/webhookapi"
)

// dieVariable makes the test binary a server that handles one request and kills itself:
// "file path body".
const dieVariable = "WEBHOOK_TEST_API_CHILD"

func TestMain(m *testing.M) {
	if orders := os.Getenv(dieVariable); orders != "" {
		parts := strings.SplitN(orders, " ", 3)
		api, _, err := apiOn(parts[0], killer{})
		if err != nil {
			panic(err)
		}
		api.ServeHTTP(killer{}, request(parts[1], parts[2]))
		os.Exit(0) // it should have been killed
	}
	os.Exit(m.Run())
}

// killer kills its process when a response is written, or a webhook sent.
type killer struct{}

func die() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL); select {} }

func (killer) Header() http.Header       { return http.Header{} }
func (killer) WriteHeader(int)           { die() }
func (killer) Write([]byte) (int, error) { die(); return 0, nil }

func (killer) Send(context.Context, *webhook.Request) (*webhook.Response, error) {
	die()
	return nil, io.EOF
}

// answering is a Transport whose receiver is well.
type answering struct{}

func (answering) Send(context.Context, *webhook.Request) (*webhook.Response, error) {
	return &webhook.Response{StatusCode: 200}, nil
}

func request(path, body string) *http.Request {
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", "k")
	return r
}

func apiOn(file string, t webhook.Transport) (*webhookapi.Handler, *sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, nil, err
	}
	store, err := sqlstore.New(db, sqlstore.SQLite, nil)
	if err == nil {
		err = store.Migrate(context.Background())
	}
	if err != nil {
		return nil, nil, err
	}
	engine, err := webhook.New(webhook.Config{Store: store, Transport: t, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	api, err := webhookapi.New(engine, webhookapi.Options{
		Authorize: func(*http.Request) (webhookapi.Access, error) { return webhookapi.Access{AccountID: "acme"}, nil },
		Logger:    slog.New(slog.DiscardHandler),
	})
	return api, db, err
}

// killed runs a process that is killed in the middle of a request.
func killed(t *testing.T, file, path, body string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), dieVariable+"="+file+" "+path+" "+body)
	err := cmd.Run()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal(), "it was to be killed")
}

const create = `{"url":"https://example.com/hook","events":["*"]}`

func do(api http.Handler, method, path, body string) *httptest.ResponseRecorder {
	r := request(path, body)
	r.Method = method
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	return w
}

// Between the commit of a creation and its response the process is killed: the same
// request makes no second endpoint, and gets what the first one would have got.
func TestAResponseOutlivesACrash(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.db")
	killed(t, file, "/v1/webhooks", create)
	api, db, err := apiOn(file, answering{})
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	list := do(api, "GET", "/v1/webhooks", "").Body.String()
	require.Contains(t, list, `"total":1`, "it was committed")
	first := do(api, "POST", "/v1/webhooks", create)
	assert.Equal(t, 201, first.Code, first.Body.String())
	assert.Equal(t, "true", first.Header().Get("Idempotency-Replayed"))
	assert.Contains(t, first.Body.String(), `"secret":"whsec_`)
	assert.Equal(t, first.Body.String(), do(api, "POST", "/v1/webhooks", create).Body.String())
	assert.Contains(t, do(api, "GET", "/v1/webhooks", "").Body.String(), `"total":1`)
}

// A mark that a crash left behind ends after a minute: until then nobody knows whether
// the first request is still at work.
func TestAMarkOfACrashEnds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.db")
	api, db, err := apiOn(file, answering{})
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	made := httptest.NewRecorder()
	r := request("/v1/webhooks", create)
	r.Header.Set("Idempotency-Key", "another")
	api.ServeHTTP(made, r)
	id := made.Body.String()[len(`{"id":"`):]
	id = id[:strings.IndexByte(id, '"')]
	path := "/v1/webhooks/" + id + "/test"
	killed(t, file, path, "{}")
	w := do(api, "POST", path, "{}")
	assert.Equal(t, 409, w.Code, w.Body.String())
	require.NoError(t, rewind.Store(context.Background(), db, 61*time.Second))
	w = do(api, "POST", path, "{}")
	assert.Equal(t, 200, w.Code, w.Body.String())
	assert.Empty(t, w.Header().Get("Idempotency-Replayed"), "it is sent at least once")
}
