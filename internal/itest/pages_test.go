package itest

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
	"github.com/ringyo-ai/webhook/webhookapi"
	"github.com/ringyo-ai/webhook/webhookui"
)

// pages are the portal of account "a" and the operator's view, over a store.
type pages struct {
	*testStore
	rec      *recorder
	engine   *webhook.Engine
	portal   *webhookui.Portal
	operator *webhookui.Operator
	ids      []string // of the endpoints
}

// pageEndpoints is how many endpoints the account has.
const pageEndpoints = 100

func newPages(t testing.TB, d database) *pages {
	t.Helper()
	p := &pages{testStore: d.store(t), rec: &recorder{}}
	db, err := openRecorded(d.driver, p.dsn, p.rec)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	store, err := sqlstore.New(db, d.dialect, nil)
	require.NoError(t, err)
	quiet := slog.New(slog.DiscardHandler)
	p.engine, err = webhook.New(webhook.Config{Store: store, Tallies: true, Logger: quiet})
	require.NoError(t, err)
	p.portal, err = webhookui.New(p.engine, webhookui.Options{
		Authorize: func(*http.Request) (webhookapi.Access, error) { return webhookapi.Access{AccountID: "a"}, nil }, Logger: quiet,
	})
	require.NoError(t, err)
	p.operator, err = webhookui.NewOperator(p.engine, webhookui.OperatorOptions{Authorize: func(*http.Request) error { return nil }, Logger: quiet})
	require.NoError(t, err)
	for i := range pageEndpoints {
		id := fmt.Sprintf("wh_%03d", i)
		_, err := p.CreateEndpoint(ctx, endpoint(id))
		require.NoError(t, err)
		p.ids = append(p.ids, id)
	}
	return p
}

// finish emits so many events to all endpoints and settles them: of a hundred deliveries
// two are exhausted, after an attempt that failed and is in the log.
func (p *pages) finish(t testing.TB, name string, events int) {
	t.Helper()
	p.emit(t, name, events)
	for {
		batch := p.claim(t, 2_000)
		if len(batch) == 0 {
			break
		}
		for i := range batch {
			if i%50 == 7 {
				batch[i].Outcome, batch[i].Attempt.Failure, batch[i].Attempt.StatusCode = webhook.OutcomeExhausted, webhook.FailureHTTPStatus, 500
			}
		}
		p.settle(t, batch)
	}
	for hour := range 24 { // the charts are full
		p.exec(t, fmt.Sprintf(`insert into webhook_tally (endpoint, hour, delivered, failed, exhausted, l0, l1, l2, l3, l4, l5, l6, l7, l8, l9, l10, l11)
			select num, %d, 400, 8, 8, 100, 100, 100, 50, 50, 8, 0, 0, 0, 0, 0, 0 from webhook_endpoint where id like 'wh_0%%'`,
			time.Now().Truncate(time.Hour).Add(time.Duration(-1-hour)*time.Hour).UnixMicro()))
	}
	require.NoError(t, p.foldNow())
}

func (p *pages) emit(t testing.TB, name string, events int) {
	t.Helper()
	for n := 0; n < events; {
		var list []webhook.EventRecord
		for ; n < events && len(list) < 10; n++ {
			list = append(list, event(fmt.Sprintf("evt_%s_%d", name, n)))
		}
		mustEnqueue(t, p.testStore, list...)
	}
}

func (p *pages) claim(t testing.TB, n int) (batch []webhook.Settlement) {
	t.Helper()
	c, err := p.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(n, n)})
	require.NoError(t, err)
	for _, l := range c.Deliveries {
		s := delivered(l)
		s.Tally, s.Attempt.Duration = true, 30*time.Millisecond
		batch = append(batch, s)
	}
	return batch
}

func (p *pages) settle(t testing.TB, batch []webhook.Settlement) {
	t.Helper()
	r, err := p.Settle(ctx, batch)
	require.NoError(t, err)
	for _, one := range r.Results {
		require.Equal(t, webhook.SettleApplied, one.Status)
	}
}

// unfinish leaves so many events of all endpoints in each state: a tenth in flight, the
// rest waiting for a retry, due, or held since the endpoint is disabled.
func (p *pages) unfinish(t testing.TB, events int) {
	t.Helper()
	p.emit(t, "late", events)
	for left := events * pageEndpoints / 3; left > 0; {
		batch := p.claim(t, min(left, 2_000))
		require.NotEmpty(t, batch)
		left -= len(batch)
		for i := range batch {
			batch[i].Outcome, batch[i].Delay, batch[i].Attempt.Failure = webhook.OutcomeRetry, time.Hour, webhook.FailureTimeout
		}
		p.settle(t, batch)
	}
	for left := min(events*pageEndpoints/10, 1_000); left > 0; {
		left -= len(p.claim(t, left)) // in flight
	}
	for _, id := range p.ids[:40] {
		_, err := p.engine.DisableEndpoint(ctx, "a", id)
		require.NoError(t, err)
	}
	for more := true; more; {
		m, err := p.Maintain(ctx, webhook.MaintainRequest{Limit: 1_000})
		require.NoError(t, err)
		more = m.More
	}
}

// aPage is one that is asked for.
type aPage struct {
	name, path string
	operator   bool
}

var (
	nextPage    = regexp.MustCompile(`rel="next" href="\?([^"]*)"`)
	nextList    = regexp.MustCompile(`rel="next" href="\./\?([^"]*)"`)
	aDelivery   = regexp.MustCompile(`deliveries/(dlv_\w+)`)
	eventOfPage = regexp.MustCompile(`events/(evt_\w+)`)
)

// list returns every page, about an endpoint in the middle of the account, and about one
// delivery and its event.
func (p *pages) list(t testing.TB) []aPage {
	t.Helper()
	id := "endpoints/" + p.ids[70]
	first := p.get(t, aPage{path: id + "/deliveries"})
	dlv := aDelivery.FindStringSubmatch(first)
	require.NotNil(t, dlv)
	ev := eventOfPage.FindStringSubmatch(p.get(t, aPage{path: dlv[0]}))
	require.NotNil(t, ev)
	list := []aPage{
		{name: "endpoints"},
		{name: "endpoints, failing", path: "?status=failing"},
		{name: "endpoints, second page", path: "?" + link(t, nextList, p.get(t, aPage{}))},
		{name: "add endpoint", path: "new"},
		{name: "secret", path: "secret?endpoint=" + p.ids[70]},
		{name: "endpoint", path: id},
		{name: "edit", path: id + "/edit"},
		{name: "delete", path: id + "/delete"},
		{name: "send test", path: id + "/test"},
		{name: "deliveries", path: id + "/deliveries"},
		{name: "deliveries by status", path: id + "/deliveries?status=exhausted"},
		{name: "deliveries by type", path: id + "/deliveries?event=call.*"},
		{name: "deliveries of a rare type", path: id + "/deliveries?event=credits.low"},
		{name: "deliveries by time", path: id + "/deliveries?from=2026-01-01T00:00&until=2100-01-01T00:00"},
		{name: "retry all that match", path: id + "/retry?status=exhausted"},
		{name: "delivery", path: dlv[0]},
		{name: "event", path: ev[0]},
		{name: "operator", operator: true},
		{name: "operator, failing", path: "?status=failing", operator: true},
	}
	if next := nextPage.FindStringSubmatch(first); next != nil {
		list = append(list, aPage{name: "deliveries, second page", path: id + "/deliveries?" + next[1]})
	}
	return list
}

func link(t testing.TB, re *regexp.Regexp, body string) string {
	t.Helper()
	m := re.FindStringSubmatch(body)
	require.NotNil(t, m, "no link to the next page")
	return regexp.MustCompile("&amp;").ReplaceAllString(m[1], "&")
}

// get returns a page.
func (p *pages) get(t testing.TB, a aPage) string {
	t.Helper()
	w := httptest.NewRecorder()
	h := http.Handler(p.portal)
	if a.operator {
		h = p.operator
	}
	h.ServeHTTP(w, httptest.NewRequest("GET", "/"+a.path, nil))
	require.Equal(t, 200, w.Code, "%s: %s", a.name, w.Body)
	return w.Body.String()
}

// The pages of an account with a hundred endpoints and some thousand deliveries, also
// while a part of these waits, is held or is in flight, take at most ten statements each,
// begin and rollback included.
func TestAPageTakesTenStatements(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		p := newPages(t, d)
		p.finish(t, "done", 30)
		p.unfinish(t, 6)
		for _, a := range p.list(t) {
			for range 2 { // the first ones prepare them
				p.get(t, a)
			}
			before := p.rec.ran.Load()
			for _, st := range p.rec.during(func() { p.get(t, a) }) {
				t.Logf("%s: %.100s", a.name, regexp.MustCompile(`\s+`).ReplaceAllString(st.text, " "))
			}
			n := p.rec.ran.Load() - before
			t.Logf("%s: %d statements", a.name, n)
			assert.LessOrEqual(t, n, int64(10), a.name)
		}
	})
}
