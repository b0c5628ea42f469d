package browser

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// customer is a server that verifies what it is sent, and can be broken.
type customer struct {
	mu     sync.Mutex
	secret webhook.Secret
	broken bool
	events []string // types of what was verified
}

func (c *customer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken {
		http.Error(w, "out of order", http.StatusInternalServerError)
		return
	}
	verifier, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{c.secret}})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	event, err := verifier.VerifyRequest(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	c.events = append(c.events, string(event.Type))
	_, _ = io.WriteString(w, "thanks for "+string(event.Type))
}

func (c *customer) change(f func(*customer)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c)
}

func (c *customer) seen(what string) (n int) {
	c.change(func(c *customer) {
		for _, t := range c.events {
			if t == what {
				n++
			}
		}
	})
	return n
}

var secretForm = regexp.MustCompile(`whsec_[A-Za-z0-9+/]{20,}=*`)

// The walk of the concepts page, in a browser with and without JavaScript, below three
// prefixes.
func TestTheWalk(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"/", "/webhooks/", "/a/b/c/"} {
		for _, scripts := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, JavaScript %t", prefix, scripts), func(t *testing.T) {
				t.Parallel()
				walk(t, prefix, scripts)
			})
		}
	}
}

func walk(t *testing.T, prefix string, scripts bool) {
	s := newSite(t, options{prefix: prefix, config: func(c *webhook.Config) {
		c.Retry, c.Disable, c.PollInterval = webhook.Schedule{time.Millisecond}, webhook.DisablePolicy{After: 1}, 10*time.Millisecond
	}})
	require.NoError(t, s.engine.Start(t.Context()))
	t.Cleanup(func() { assert.NoError(t, s.engine.Stop(context.Background())) })
	c := &customer{}
	s.responds("shop.example.com", c.ServeHTTP)
	b := s.open(t)
	if !scripts {
		b.do(withoutScripts())
	}

	b.visit("")
	assert.Contains(t, b.text(), "No endpoints yet")
	b.press("Add endpoint")
	b.do(chromedp.SendKeys(chromedp.ID("url"), "https://shop.example.com/hooks"), chromedp.SendKeys(chromedp.ID("description"), "The shop"))
	b.do(chromedp.Click(chromedp.CSS("[value=some]")), chromedp.Click(chromedp.CSS("[value='call.completed']")), chromedp.Click(chromedp.CSS("[value='credits.low']")))
	b.press("Add endpoint")

	secret := secretForm.FindString(b.text())
	require.NotEmpty(t, secret, "it is shown once: %s", b.text())
	b.copies(scripts, secret)
	b.do(chromedp.Reload())
	assert.NotContains(t, b.text(), "whsec_", "it is gone after a reload")
	assert.Contains(t, b.text(), "is not shown again")
	c.change(func(c *customer) {
		var err error
		c.secret, err = webhook.ParseSecret(secret)
		require.NoError(t, err)
	})

	b.press("Send test event")
	b.press("Send test")
	result := b.text()
	for _, part := range []string{"Delivered 200", "thanks for call.completed", "Webhook-Signature: v1,", "Webhook-Test: 1", "POST https://shop.example.com/hooks"} {
		assert.Contains(t, result, part)
	}
	assert.Regexp(t, `in (under )?\d+(\.\d)? m?s`, result, "how long it took")
	assert.Equal(t, 1, c.seen("call.completed"))
	list, err := s.engine.ListEndpoints(t.Context(), "acme", webhook.EndpointQuery{})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	assert.Equal(t, []webhook.EventType{"call.completed", "credits.low"}, list.Items[0].Events)
	page := "endpoints/" + list.Items[0].ID
	b.visit(page + "/deliveries")
	assert.Contains(t, b.text(), "Nothing was sent to this endpoint yet.", "a test is not stored")

	s.emit(t, "acme", "credits.low", "call.failed")
	log := b.eventually(page+"/deliveries", func(text string) bool { return strings.Contains(text, "Delivered\t1") })
	assert.NotContains(t, log, "call.failed", "it is not subscribed to that")
	b.shows(scripts)
	b.press("credits.low")
	assert.Contains(t, b.text(), "thanks for credits.low")

	c.change(func(c *customer) { c.broken = true })
	s.emit(t, "acme", "call.completed")
	why := b.eventually(page, func(text string) bool { return strings.Contains(text, "This endpoint is disabled") })
	assert.Contains(t, why, "Status 500")
	assert.Contains(t, why, "Your server failed while it handled the request. Its log should say why")
	s.emit(t, "acme", "call.completed", "credits.low")
	b.eventually(page, func(text string) bool { return strings.Contains(text, "2 held deliveries will be sent.") })

	c.change(func(c *customer) { c.broken = false })
	b.press("Enable")
	assert.Contains(t, b.text(), "Enabled. What was held is being sent.")
	b.eventually(page+"/deliveries", func(text string) bool { return strings.Count(text, "Delivered\t1") == 3 })
	assert.Equal(t, 2, c.seen("credits.low"))
	assert.Equal(t, 2, c.seen("call.completed"))
	b.visit(page)
	assert.NotContains(t, b.text(), "This endpoint is disabled")
}

// copies looks at the button beside a secret, which needs JavaScript.
func (b *tab) copies(scripts bool, secret string) {
	b.Helper()
	if !scripts {
		assert.NotContains(b, b.text(), "Copy", "a button that does nothing")
		return
	}
	b.do(chromedp.Click(chromedp.CSS("[data-copy=secret]")))
	b.until(`document.querySelector("[data-copy=secret]").disabled`)
	_, err := chromedp.CallBrowser(b.ctx, browser.SetPermission, browser.SetPermissionParams{
		Permission: &browser.PermissionDescriptor{Name: "clipboard-read"}, Setting: browser.PermissionSettingGranted,
		BrowserContextID: chromedp.FromContext(b.ctx).BrowserContextID,
	})
	require.NoError(b, err)
	assert.Equal(b, secret, is[string](b, "navigator.clipboard.readText()"))
}

// shows looks at the times: those of the visitor's zone, or else UTC, which is at hand.
func (b *tab) shows(scripts bool) {
	b.Helper()
	exact := is[string](b, `document.querySelector("[data-seconds]").title`)
	at, err := time.Parse("2006-01-02 15:04:05 UTC", exact)
	require.NoError(b, err)
	want := exact
	if scripts {
		zone, err := time.LoadLocation("Europe/Zurich")
		require.NoError(b, err)
		want = at.In(zone).Format("2 Jan 2006, 15:04:05")
	}
	assert.Equal(b, want, strings.Replace(is[string](b, `document.querySelector("[data-seconds]").textContent`), "Sept", "Sep", 1))
}

// A page that is open shows what happens, without a flicker where the visitor is at work.
func TestAPageStaysFresh(t *testing.T) {
	t.Parallel()
	s := newSite(t, options{})
	id := s.endpoint(t, webhook.EndpointParams{URL: "https://shop.example.com/"})
	b := s.open(t)
	b.hurry()
	b.visit("endpoints/" + id)
	assert.Contains(t, b.text(), "None yet.")
	s.emit(t, "acme", "credits.low")
	s.deliver(t)
	b.until(`document.body.innerText.includes("204")`)
	b.shows(true)

	// The visitor comes while a new page is on its way.
	b.evaluate(`{
		const real = fetch;
		window.coming = new Promise((come) => window.fetch = async (...a) => {
			window.fetch = real;
			const response = await real(...a);
			come(true);
			await new Promise((go) => window.go = go);
			return response;
		});
	}`)
	assert.True(t, is[bool](b, `coming`))
	b.evaluate(`document.querySelector("summary").focus(); window.kept = document.activeElement; go()`)
	b.until(fmt.Sprintf("rounds > %d", is[int](b, "rounds")+2))
	assert.True(t, is[bool](b, `window.kept === document.activeElement`), "the focus stays")
	s.emit(t, "acme", "credits.low")
	s.deliver(t)
	b.evaluate(`document.activeElement.blur()`)
	b.until(`document.querySelectorAll("tbody a").length === 2`)
}
