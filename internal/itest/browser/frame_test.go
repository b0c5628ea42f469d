package browser

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/webhookui"
)

// host is another site, which shows one page.
func host(t *testing.T, html func() string) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprint(w, "<!DOCTYPE html><link rel=icon href=data:,>"+html())
	}))
	t.Cleanup(server.Close)
	return server
}

// A page is shown in a frame by the origins that the host names, and by nobody else.
func TestOnlyNamedOriginsMayFrame(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		named func(host string) []string
		shown bool
	}{
		"by default": {func(string) []string { return nil }, false},
		"named":      {func(host string) []string { return []string{"https://app.example.com", host} }, true},
		"another":    {func(string) []string { return []string{"https://app.example.com"} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s *site
			outer := host(t, func() string { return fmt.Sprintf("<iframe src=%q></iframe>", s.url("")) })
			s = newSite(t, options{portal: func(o *webhookui.Options) { o.FrameAncestors = c.named(outer.URL) }})
			b := s.open(t)
			b.allowed = append(b.allowed, outer.URL, "data:,")
			b.do(chromedp.Navigate(outer.URL))
			frames := get(b, func(ctx context.Context, t *chromedp.Target) (*page.FrameTree, error) {
				r, err := cdp.Call(ctx, t, page.GetFrameTree, cdp.Empty{})
				return r.FrameTree, err
			})
			require.Len(t, frames.ChildFrames, 1)
			if c.shown {
				assert.Equal(t, s.url(""), frames.ChildFrames[0].Frame.URL)
				return
			}
			assert.Contains(t, frames.ChildFrames[0].Frame.URL, "chrome-error:")
			assert.Contains(t, b.seen(), "frame-ancestors")
		})
	}
}

// What the form of another site sends does nothing, though the visitor is logged in here.
func TestAFormOfAnotherSiteIsRefused(t *testing.T) {
	t.Parallel()
	var s *site
	var id string
	outer := host(t, func() string {
		return fmt.Sprintf("<main><form method=post action=%q><button>Win</button></form></main>", s.url("endpoints/"+id+"/disable"))
	})
	s = newSite(t, options{})
	id = s.endpoint(t, webhook.EndpointParams{URL: "https://shop.example.com/"})
	b := s.open(t)
	b.allowed = append(b.allowed, outer.URL, "data:,")
	b.do(chromedp.Navigate(outer.URL))
	b.press("Win")
	assert.Contains(t, b.text(), "The request came from another site, and was refused.")
	ep, err := s.engine.GetEndpoint(t.Context(), "acme", id)
	require.NoError(t, err)
	assert.Equal(t, webhook.EndpointActive, ep.Status)
}
