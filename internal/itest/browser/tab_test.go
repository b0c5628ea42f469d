package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience is how long one step may take. It is no measure of speed: a page that hangs
// must end the test.
const patience = time.Minute

// traps report what a script that got into a page would do, and what its policy refused.
const traps = `
for (const name of ["alert", "confirm", "prompt", "print", "open"]) window[name] = (...a) => report(name + "(" + a + ")");
addEventListener("securitypolicyviolation", (e) => report("refused by the policy: " + e.violatedDirective + " " + e.blockedURI));
addEventListener("error", (e) => report("an error: " + e.message), true);
addEventListener("unhandledrejection", (e) => report("an error: " + e.reason));
`

// action is what a tab can do.
type action = chromedp.Action[chromedp.Void]

// set makes an action of a command of the protocol.
func set[P, R any](command cdp.Command[P, R], params P) action {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

// tab is one tab of the browser, with cookies of its own, that is watched.
type tab struct {
	*testing.T
	ctx     context.Context
	site    *site
	allowed []string // the beginnings of what may be requested

	mu       sync.Mutex
	problems []string
}

// open opens a tab on a site.
func (s *site) open(t *testing.T, actions ...action) *tab {
	t.Helper()
	b := &tab{T: t, site: s, allowed: []string{s.url(""), s.server.URL + operatorPrefix}}
	for _, other := range s.also {
		b.allowed = append(b.allowed, other.url(""), other.server.URL+operatorPrefix)
	}
	ctx, cancel := chromedp.NewContext(started(t), chromedp.WithNewBrowserContext(), chromedp.WithListener(b.watch))
	b.ctx = ctx
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // it closes the tab and waits for it
		cancel()
		assert.Empty(t, b.seen(), "what the browser noticed")
		assert.Empty(t, s.strays(), "requests beside the handler")
	})
	require.NoError(t, chromedp.Do(ctx,
		set(network.Enable, network.EnableParams{}), set(log.Enable, cdp.Empty{}), set(audits.Enable, cdp.Empty{}),
		set(runtime.AddBinding, runtime.AddBindingParams{Name: "report"}),
		set(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: traps}),
		set(emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}),
		set(emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Europe/Zurich"}),
		set(emulation.SetLocaleOverride, emulation.SetLocaleOverrideParams{Locale: "en-GB"}),
		chromedp.EmulateViewport(1280, 900),
	))
	b.do(actions...)
	return b
}

// watch notes what should not happen.
func (b *tab) watch(ev any) {
	switch ev := ev.(type) {
	case *network.EventRequestWillBeSent: // a data: URL is a picture of the browser's own, of its field for a date
		for _, prefix := range append([]string{"about:blank", "data:image/"}, b.allowed...) {
			if strings.HasPrefix(ev.Request.URL, prefix) {
				return
			}
		}
		b.problem("a request to %s", ev.Request.URL)
	case *log.EventEntryAdded:
		if e := ev.Entry; e.Source != log.EntrySourceNetwork || !strings.Contains(e.Text, "the server responded with a status of ") || strings.Contains(e.URL, "/assets/") {
			b.problem("the log says: %s %s %s", e.Source, e.Text, e.URL) // all but the status of a page
		}
	case *runtime.EventConsoleAPICalled:
		b.problem("the console says: %s %v", ev.Type, ev.Args)
	case *runtime.EventExceptionThrown:
		b.problem("a script failed: %s", ev.ExceptionDetails.Text)
	case *runtime.EventBindingCalled:
		b.problem("a page reports: %s", ev.Payload)
	case *audits.EventIssueAdded:
		if ev.Issue.Code == audits.InspectorIssueCodeContentSecurityPolicyIssue || ev.Issue.Code == audits.InspectorIssueCodeMixedContentIssue {
			b.problem("an issue: %s %+v", ev.Issue.Code, ev.Issue.Details.ContentSecurityPolicyIssueDetails)
		}
	case *page.EventJavascriptDialogOpening:
		b.problem("a dialog: %s", ev.Message)
	}
}

func (b *tab) problem(format string, a ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems = append(b.problems, fmt.Sprintf(format, a...))
}

// seen returns the problems and forgets them, for tests of the watch itself.
func (b *tab) seen() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := strings.Join(b.problems, "\n")
	b.problems = nil
	return all
}

// do runs actions, which must work.
func (b *tab) do(actions ...action) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	require.NoError(b, chromedp.Do(ctx, actions...))
}

// goes runs an action that leads to another page, and waits for that.
func (b *tab) goes(actions ...action) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	_, err := chromedp.RunResponse(ctx, actions...)
	require.NoError(b, err)
}

// visit opens a page of the site, by its path below the prefix.
func (b *tab) visit(path string) {
	b.Helper()
	b.do(chromedp.Navigate(b.site.url(path)))
}

// press clicks at a button or a link, by what it says, and waits for the next page.
func (b *tab) press(words string) {
	b.Helper()
	b.goes(chromedp.Click(chromedp.Search(fmt.Sprintf(`(//button|//a)[normalize-space()=%q]`, words))))
}

// is reports what an expression of JavaScript is. It works where scripts of pages are off.
func is[V any](b *tab, expression string) V {
	b.Helper()
	return get(b, chromedp.Evaluate[V](expression, chromedp.EvalAwaitPromise))
}

// get runs an action that returns something.
func get[V any](b *tab, a chromedp.Action[V]) V {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	require.NoError(b, err)
	return v
}

// evaluate runs a statement of JavaScript.
func (b *tab) evaluate(statement string) {
	b.Helper()
	b.do(chromedp.Evaluate[chromedp.Void](statement))
}

// submit sends the page's form to the server as it is, without the browser's own checks.
func (b *tab) submit() {
	b.Helper()
	b.evaluate(`document.querySelector("main form").noValidate = true`)
	b.goes(chromedp.Evaluate[chromedp.Void](`document.querySelector("main form").requestSubmit()`))
}

// until waits until an expression of JavaScript is true.
func (b *tab) until(expression string) {
	b.Helper()
	get(b, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(0))) // the timer of a page would be too fast after hurry
}

// hurry lets the timers of scripts run a hundred times as fast, and counts them.
func (b *tab) hurry() {
	b.Helper()
	b.do(set(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `{ const slow = setTimeout; window.rounds = 0; window.setTimeout = (f, ms) => { rounds++; return slow(f, ms / 100); }; }`,
	}))
}

// text is what the page shows.
func (b *tab) text() string {
	b.Helper()
	return is[string](b, "document.body.innerText")
}

// path is where the tab is, below the prefix.
func (b *tab) path() string {
	b.Helper()
	path, ok := strings.CutPrefix(is[string](b, "location.href"), b.site.url(""))
	require.True(b, ok, "the tab left the site")
	return path
}

// eventually waits until a condition holds on a page that is loaded again and again.
func (b *tab) eventually(path string, condition func(text string) bool) string {
	b.Helper()
	var text string
	for begin := time.Now(); time.Since(begin) < patience; {
		b.visit(path)
		if text = b.text(); condition(text) {
			return text
		}
		time.Sleep(20 * time.Millisecond) // a poll: what it waits for comes when it comes
	}
	require.Fail(b, "it did not come", text)
	return ""
}

// theme chooses light or dark, as the visitor's system does.
func theme(name string) action {
	return set(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}})
}

// withoutScripts turns off JavaScript in pages.
func withoutScripts() action {
	return set(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
}

// quote writes a string as JavaScript does.
func quote(t *testing.T, s string) string {
	t.Helper()
	b, err := json.Marshal(s)
	require.NoError(t, err)
	return string(b)
}
