package webhookui_test

import (
	"context"
	"html"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
	"github.com/ringyo-ai/webhook/webhookapi"
	"github.com/ringyo-ai/webhook/webhookui"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// receiver is a Transport whose receiver responds with a status.
type receiver struct{ status int }

func (r *receiver) Send(context.Context, *webhook.Request) (*webhook.Response, error) {
	return &webhook.Response{StatusCode: r.status, Body: []byte("<script>alert(1)</script>\xff")}, nil
}

// site is a portal under a prefix, and a browser without JavaScript.
type site struct {
	t      *testing.T
	engine *webhook.Engine
	peer   *receiver
	server *httptest.Server
	client *http.Client
	prefix string
	access webhookapi.Access
	log    strings.Builder
}

func newSite(t *testing.T, prefix string, change func(*webhookui.Options)) *site {
	t.Helper()
	s := &site{t: t, peer: &receiver{200}, prefix: prefix, access: webhookapi.Access{AccountID: "acme", Actor: "somebody"}}
	var err error
	s.engine, err = webhook.New(webhook.Config{
		Store: memstore.New(), Transport: s.peer, Tallies: true, Retry: webhook.Schedule{time.Hour},
		Disable: webhook.DisablePolicy{After: 1, CountAttempts: true}, Logger: slog.New(slog.NewTextHandler(&s.log, nil)),
	})
	require.NoError(t, err)
	opt := webhookui.Options{
		Authorize: func(r *http.Request) (webhookapi.Access, error) {
			if r.Header.Get("Other") != "" {
				return webhookapi.Access{AccountID: "other"}, nil
			}
			if s.access.AccountID == "" {
				return s.access, webhookapi.ErrUnauthenticated
			}
			return s.access, nil
		},
		Logger: slog.New(slog.NewTextHandler(&s.log, nil)),
	}
	if change != nil {
		change(&opt)
	}
	portal, err := webhookui.New(s.engine, opt)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle(prefix, http.StripPrefix(strings.TrimSuffix(prefix, "/"), portal))
	s.server = httptest.NewServer(mux)
	t.Cleanup(s.server.Close)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	s.client = &http.Client{Jar: jar}
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

// page is what a browser shows.
type page struct {
	status int
	at     *url.URL
	header http.Header
	body   string
}

func (s *site) finish(r *http.Response, err error) page {
	s.t.Helper()
	require.NoError(s.t, err)
	body, err := io.ReadAll(r.Body)
	require.NoError(s.t, err)
	require.NoError(s.t, r.Body.Close())
	return page{r.StatusCode, r.Request.URL, r.Header, string(body)}
}

func (s *site) get(path string) page {
	s.t.Helper()
	return s.finish(s.client.Get(s.server.URL + s.prefix + path))
}

func (s *site) post(path string, form url.Values) page {
	s.t.Helper()
	return s.finish(s.client.PostForm(s.server.URL+s.prefix+path, form))
}

var hidden = regexp.MustCompile(`<input type="hidden" name="(\w+)" value="([^"]*)">`)

// fields returns the hidden fields of a page's forms.
func (p page) fields() url.Values {
	v := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(p.body, -1) {
		v.Set(m[1], m[2])
	}
	return v
}

func (s *site) create(change func(url.Values)) page {
	s.t.Helper()
	form := s.get("new").fields()
	form.Set("url", "https://example.com/hook")
	form.Set("which", "all")
	if change != nil {
		change(form)
	}
	return s.post("new", form)
}

var secretForm = regexp.MustCompile(`whsec_[A-Za-z0-9+/]{20,}=*`)

// secret returns the secret that a page shows, or "".
func (p page) secret() string { return secretForm.FindString(html.UnescapeString(p.body)) }

// The walk of the concepts page, without JavaScript.
func TestTheWalkThroughThePortal(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"/", "/webhooks/", "/a/b/c/"} {
		t.Run(prefix, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, prefix, nil)
			assert.Contains(t, s.get("").body, "No endpoints yet")
			p := s.create(func(f url.Values) {
				f.Set("which", "some")
				f["event"] = []string{"call.completed", "credits.low"}
				f.Set("headers", "Authorization: Bearer hush")
			})
			require.Equal(t, 200, p.status, p.body)
			secret := p.secret()
			require.NotEmpty(t, secret, "it is shown once: %s", p.at)
			again := s.finish(s.client.Get(p.at.String()))
			assert.Empty(t, again.secret(), "and gone after a reload")
			id := p.at.Query().Get("endpoint")

			test := s.post("endpoints/"+id+"/test", url.Values{"type": {"call.completed"}})
			assert.Contains(t, test.body, "Delivered 200")
			assert.Contains(t, test.body, "Webhook-Signature")
			assert.Contains(t, test.body, "&lt;script&gt;alert(1)&lt;/script&gt;\uFFFD")
			assert.NotContains(t, test.body, "hush")

			ctx := context.Background()
			require.NoError(t, s.engine.Emit(ctx, webhook.NewCreditsLow("acme", webhook.CreditsLow{Balance: 1, Threshold: 2})))
			_, err := s.engine.DeliverDue(ctx)
			require.NoError(t, err)
			list := s.get("endpoints/" + id + "/deliveries")
			assert.Contains(t, list.body, "credits.low")
			assert.Contains(t, list.body, `badge delivered`)
			dlv := regexp.MustCompile(`deliveries/(dlv_\w+)`).FindStringSubmatch(list.body)[1]
			one := s.get("deliveries/" + dlv)
			assert.Contains(t, one.body, "Attempt 1")
			assert.Contains(t, one.body, "curl -i -X POST &#39;https://example.com/hook&#39;")
			assert.NotContains(t, one.body, "<script>alert")

			s.peer.status = 500
			require.NoError(t, s.engine.Emit(ctx, webhook.NewCreditsLow("acme", webhook.CreditsLow{Balance: 0, Threshold: 2})))
			_, err = s.engine.DeliverDue(ctx)
			require.NoError(t, err)
			bad := s.get("endpoints/" + id)
			assert.Contains(t, bad.body, "This endpoint is disabled")
			assert.Contains(t, bad.body, "Status 500")
			assert.Contains(t, bad.body, "Your server failed while it handled the request.")
			assert.Contains(t, s.get("?status=inactive").body, id)

			s.peer.status = 200
			back := s.post("endpoints/"+id+"/enable", nil)
			assert.Contains(t, back.body, "What was held is being sent.")
			assert.NotContains(t, back.body, "This endpoint is disabled")
			asked := s.get("endpoints/" + id + "/retry?status=delivered")
			assert.Contains(t, asked.body, "1 events would be sent")

			rotated := s.post("rotate", url.Values{"endpoint": {id}})
			assert.NotEqual(t, secret, rotated.secret())
			assert.NotEmpty(t, rotated.secret())
			off := s.post("endpoints/"+id+"/disable", nil)
			assert.Contains(t, off.body, "Disabled. Events are held")
			assert.Contains(t, s.get("endpoints/"+id+"/delete").body, "https://example.com/hook")
			gone := s.post("endpoints/"+id+"/delete", nil)
			assert.Contains(t, gone.body, "Deleted.")
			assert.Equal(t, 404, s.get("endpoints/"+id).status)
			assert.NotContains(t, s.log.String(), "hush")
		})
	}
}

func TestAFormSaysWhatIsWrongBesideTheField(t *testing.T) {
	t.Parallel()
	s := newSite(t, "/", nil)
	p := s.create(func(f url.Values) { f.Set("url", "http://example.com/"); f.Set("description", "kept") })
	assert.Equal(t, 422, p.status)
	assert.Contains(t, p.body, "the URL must begin with https://")
	assert.Contains(t, p.body, `value="kept"`)
	assert.Contains(t, p.body, `aria-describedby="url-wrong"`)
	p = s.create(func(f url.Values) { f.Set("which", "some") })
	assert.Contains(t, p.body, "Choose at least one event.")
	p = s.create(func(f url.Values) { f.Set("headers", "no colon") })
	assert.Contains(t, p.body, "Name: value")
	page, err := s.engine.ListEndpoints(context.Background(), "acme", webhook.EndpointQuery{})
	require.NoError(t, err)
	assert.Empty(t, page.Items, "nothing was made")
}

func TestAFormThatIsSentTwiceMakesOneEndpoint(t *testing.T) {
	t.Parallel()
	s := newSite(t, "/", nil)
	form := s.get("new").fields()
	form.Set("url", "https://example.com/hook")
	first, second := s.post("new", form), s.post("new", form)
	assert.Equal(t, 200, first.status)
	assert.Equal(t, 200, second.status)
	assert.NotEmpty(t, first.secret())
	page, err := s.engine.ListEndpoints(context.Background(), "acme", webhook.EndpointQuery{})
	require.NoError(t, err)
	assert.Len(t, page.Items, 1)
}

func TestAChangeOfSomebodyElseIsNotOverwritten(t *testing.T) {
	t.Parallel()
	s := newSite(t, "/", nil)
	id := s.create(nil).at.Query().Get("endpoint")
	form := s.get("endpoints/" + id + "/edit").fields()
	form.Set("url", "https://example.com/new")
	form.Set("which", "all")
	description := "changed meanwhile"
	_, err := s.engine.UpdateEndpoint(context.Background(), "acme", id, webhook.EndpointChange{Description: &description})
	require.NoError(t, err)
	p := s.post("endpoints/"+id, form)
	assert.Equal(t, 409, p.status)
	ep, err := s.engine.GetEndpoint(context.Background(), "acme", id)
	require.NoError(t, err)
	assert.Equal(t, "https://example.com/hook", ep.URL)
	form = s.get("endpoints/" + id + "/edit").fields()
	form.Set("url", "https://example.com/new")
	assert.Contains(t, s.post("endpoints/"+id, form).body, "Saved.")
}

func TestWhoMayNotComesNoFurther(t *testing.T) {
	t.Parallel()
	s := newSite(t, "/", nil)
	id := s.create(nil).at.Query().Get("endpoint")
	req, err := http.NewRequest("GET", s.server.URL+"/endpoints/"+id, nil)
	require.NoError(t, err)
	req.Header.Set("Other", "1")
	theirs := s.finish(s.client.Do(req))
	req.URL.Path = "/endpoints/wh_never"
	none := s.finish(s.client.Do(req))
	assert.Equal(t, 404, theirs.status)
	assert.Equal(t, none.body, theirs.body)

	req, err = http.NewRequest("POST", s.server.URL+"/endpoints/"+id+"/disable", nil)
	require.NoError(t, err)
	req.Header.Set("Origin", "https://evil.example")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	assert.Equal(t, 403, s.finish(s.client.Do(req)).status, "from another site")

	s.access.ReadOnly = true
	assert.Equal(t, 403, s.post("endpoints/"+id+"/disable", nil).status)
	assert.NotContains(t, s.get("endpoints/"+id).body, "<form")
	s.access = webhookapi.Access{}
	assert.Equal(t, 401, s.get("").status)
	ep, err := s.engine.GetEndpoint(context.Background(), "acme", id)
	require.NoError(t, err)
	assert.Equal(t, webhook.EndpointActive, ep.Status)
}

// Every page is under a policy without exceptions, and loads nothing from elsewhere.
func TestNothingComesFromElsewhere(t *testing.T) {
	t.Parallel()
	s := newSite(t, "/a/", func(o *webhookui.Options) {
		o.FrameAncestors = []string{"https://app.example.com"}
		o.Brand = webhookui.Brand{Name: "Acme", Logo: []byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), Type: "image/svg+xml", Accent: "#aa0000"}
		o.Texts = map[string]string{"endpoints.title": "Endpunkte", "lang": "de"}
	})
	id := s.create(nil).at.Query().Get("endpoint")
	outside := regexp.MustCompile(`(?:src|href|action)="(?:https?:)?//`)
	for _, path := range []string{"", "new", "endpoints/" + id, "endpoints/" + id + "/edit", "endpoints/" + id + "/test", "endpoints/" + id + "/delete", "endpoints/" + id + "/deliveries", "secret?endpoint=" + id, "none"} {
		p := s.get(path)
		policy := p.header.Get("Content-Security-Policy")
		assert.Contains(t, policy, "default-src 'none'", path)
		assert.NotContains(t, policy, "unsafe", path)
		assert.Contains(t, policy, "frame-ancestors https://app.example.com", path)
		assert.NotRegexp(t, outside, p.body, path)
		assert.NotRegexp(t, `(?i)\sstyle=|<style|\son\w+=|<script>`, p.body, path)
		assert.Contains(t, p.body, `<html lang="de">`)
		for _, link := range regexp.MustCompile(`(?:src|href|action)="([^"#]*)"`).FindAllStringSubmatch(p.body, -1) {
			assert.False(t, strings.HasPrefix(link[1], "/"), "%s: %s is not relative", path, link[1])
		}
	}
	assert.Contains(t, s.get("assets/style.css").body, "--brand: #aa0000")
	assert.Equal(t, "image/svg+xml", s.get("assets/logo").header.Get("Content-Type"))
	assert.Equal(t, 200, s.get("assets/script.js").status)
}

func TestMistakesInOptions(t *testing.T) {
	t.Parallel()
	_, err := webhookui.New(nil, webhookui.Options{
		Brand: webhookui.Brand{Accent: "red;}", Logo: []byte("x"), Type: "text/html"}, Texts: map[string]string{"no.such": "x"}, FrameAncestors: []string{"*"},
	})
	for _, field := range []string{"engine", "Authorize", "Brand.Accent", "Brand.Type", "Texts[no.such]", "FrameAncestors[0]"} {
		assert.ErrorContains(t, err, field)
	}
	_, err = webhookui.NewOperator(nil, webhookui.OperatorOptions{})
	assert.ErrorContains(t, err, "Authorize")
}

// Every text that a page names is there.
func TestEveryTextIsThere(t *testing.T) {
	t.Parallel()
	s := newSite(t, "/", nil)
	key := regexp.MustCompile(`>\s*(?:` + groups() + `)\.[a-z_.]+\s*<`)
	id := s.create(nil).at.Query().Get("endpoint")
	for _, path := range []string{"", "new", "endpoints/" + id, "endpoints/" + id + "/edit", "endpoints/" + id + "/test", "endpoints/" + id + "/delete", "endpoints/" + id + "/deliveries", "endpoints/" + id + "/retry", "secret?endpoint=" + id} {
		assert.NotRegexp(t, key, s.get(path).body, "%s: a text is missing", path)
	}
}

// groups are the first words of the keys of texts.
func groups() string {
	seen := map[string]bool{}
	for key := range webhookui.Texts() {
		word, _, _ := strings.Cut(key, ".")
		seen[word] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(seen)), "|")
}

func TestTheOperatorSeesAllAccounts(t *testing.T) {
	t.Parallel()
	s := newSite(t, "/", nil)
	ctx := context.Background()
	for _, account := range []string{"acme", "other"} {
		_, _, err := s.engine.CreateEndpoint(ctx, webhook.EndpointParams{AccountID: account, URL: "https://secret-path.example.com/hook?token=hush", Events: []webhook.EventType{"*"}})
		require.NoError(t, err)
		require.NoError(t, s.engine.Emit(ctx, webhook.NewCreditsLow(account, webhook.CreditsLow{Balance: 1, Threshold: 2})))
	}
	var refuse error
	view, err := webhookui.NewOperator(s.engine, webhookui.OperatorOptions{Authorize: func(*http.Request) error { return refuse }, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		view.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w
	}
	w := get("/")
	assert.Equal(t, 200, w.Code)
	assert.Contains(t, w.Body.String(), "acme")
	assert.Contains(t, w.Body.String(), "other")
	assert.NotContains(t, w.Body.String(), "hush", "an operator sees hosts alone")
	s.peer.status = 410
	_, err = s.engine.DeliverDue(ctx)
	require.NoError(t, err)
	assert.Contains(t, get("/?status=inactive").Body.String(), "410 Gone")
	for err, status := range map[error]int{webhookapi.ErrUnauthenticated: 401, webhookapi.ErrForbidden: 403, io.EOF: 500} {
		refuse = err
		assert.Equal(t, status, get("/").Code)
	}
}
