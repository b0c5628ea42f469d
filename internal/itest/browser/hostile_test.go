package browser

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// corpus are the hostile strings, which the tests of webhookui use too.
func corpus(t *testing.T) (list []string) {
	t.Helper()
	file, err := os.Open("../../../webhookui/testdata/hostile.txt")
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if line := lines.Text(); strings.HasPrefix(line, `"`) {
			s, err := strconv.Unquote(line)
			require.NoError(t, err, line)
			list = append(list, s)
		}
	}
	require.GreaterOrEqual(t, len(list), 40)
	return list
}

// packs puts the strings into as few as the lengths of a description and a URL allow.
func packs(list []string) (packed [][]string) {
	size := 0
	for _, s := range list {
		n := max(len(s), len(url.QueryEscape(s))*2/3) + 7 // a URL has 2,048 bytes
		if len(packed) == 0 || size+n > 950 {
			packed, size = append(packed, nil), 0
		}
		size += n
		packed[len(packed)-1] = append(packed[len(packed)-1], s)
	}
	return packed
}

// plain reports whether a page shows a string as it is: without controls, which are
// replaced.
func plain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
	})
}

// foreign returns what no page of ours has: elements, attributes and links that are not
// from a template.
const foreign = `((home) => {
  const tags = new Set("html head meta title link script body a header div main p h1 h2 h3 nav ul li span small time strong form input label select option optgroup button fieldset legend code textarea details summary dl dt dd section table thead tbody tr th td svg rect line figure article pre br progress".split(" "));
  const attributes = /^(aria-\w+|class|content|charset|name|lang|href|src|rel|defer|id|tabindex|role|title|datetime|value|type|required|maxlength|placeholder|autocomplete|spellcheck|for|method|action|rows|checked|selected|hidden|open|scope|label|data-(seconds|refresh|refresh-in|copy|progress|steps|stop)|max|viewBox|preserveAspectRatio|x|y|x1|x2|y1|y2|width|height)$/;
  const found = [];
  for (const e of document.querySelectorAll("*")) {
    if (!tags.has(e.localName)) found.push("<" + e.localName + ">");
    for (const a of e.attributes) if (!attributes.test(a.name)) found.push(e.localName + " " + a.name);
    for (const to of [e.href, e.src, e.action]) if (typeof to === "string" && to && !to.startsWith(home)) found.push(e.localName + " leads to " + to);
  }
  if (document.scripts.length !== 1 || document.styleSheets.length !== 1) found.push("more scripts or styles");
  return found;
})`

// harmless checks that a page is ours alone and fits, and shows these strings.
func (b *tab) harmless(where string, home string, shown []string) {
	b.Helper()
	assert.Empty(b, is[[]string](b, foreign+fmt.Sprintf("(%q)", home)), where)
	assert.Empty(b, is[[]string](b, spills), where)
	if text := is[string](b, `document.body.textContent`); len(shown) > 0 {
		for _, s := range shown {
			if plain(s) {
				assert.Contains(b, text, s, where)
			}
		}
	}
}

// raw responds with bytes that no server of Go would send.
func raw(w http.ResponseWriter, response string) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = c.Write([]byte(response))
	_ = c.Close()
}

// Strings that break out of badly made pages are text wherever a tenant or a receiver can
// put them.
func TestHostileStringsAreText(t *testing.T) {
	t.Parallel()
	s := newSite(t, options{config: func(c *webhook.Config) {
		c.Retry, c.Disable, c.MaxEndpoints = webhook.Schedule{}, webhook.DisablePolicy{After: -1}, -1
	}})
	b := s.open(t)
	b.do(chromedp.EmulateViewport(320, 700))
	strange := corpus(t)
	for i, pack := range packs(strange) {
		all := strings.Join(pack, " | ")
		host := fmt.Sprintf("hostile-%d.example.com", i)
		bodies := []string{ // what the receiver responds, one after the other
			"HTTP/1.1 500 " + strings.NewReplacer("\r", "", "\n", "").Replace(all) + "\r\nX-Hostile: " + pack[0] + "\r\n\r\n" + all,
			"HTTP/1.1 302 Found\r\nLocation: " + strings.NewReplacer("\r", "", "\n", "", "\x00", "").Replace(all) + "\r\n\r\n",
			all,
			"HTTP/1.1 200 OK\r\n\r\n" + all,
		}
		s.responds(host, func(w http.ResponseWriter, _ *http.Request) {
			s.mu.Lock()
			response := bodies[0]
			bodies = append(bodies[1:], response)
			s.mu.Unlock()
			raw(w, response)
		})
		id := s.endpoint(t, webhook.EndpointParams{
			URL: "https://" + host + "/?x=" + url.QueryEscape(all), Description: all,
			Headers: webhook.Headers{"X-'`&|$#": "v"}, Metadata: map[string]string{"k": strings.ToValidUTF8(pack[0], "")},
		})
		ev, err := webhook.NewEvent("acme", "call.recording.ready", map[string]string{"text": all})
		require.NoError(t, err)
		for range 3 {
			ev.ID += "x"
			require.NoError(t, s.engine.Emit(t.Context(), ev))
			s.deliver(t)
		}
		valid := make([]string, len(pack)) // as JSON and forms take them
		for i, p := range pack {
			valid[i] = strings.ToValidUTF8(p, "\uFFFD")
		}

		for path, shown := range map[string][]string{
			"endpoints/" + id: pack, "endpoints/" + id + "/edit": nil, "endpoints/" + id + "/delete": nil, "endpoints/" + id + "/deliveries": nil, "events/" + ev.ID: nil,
		} {
			b.visit(path)
			b.harmless(path, s.url(""), shown)
		}
		list, err := s.engine.ListDeliveries(t.Context(), "acme", webhook.DeliveryQuery{EndpointID: id})
		require.NoError(t, err)
		require.Len(t, list.Items, 3)
		for n, d := range list.Items {
			b.visit("deliveries/" + d.ID)
			shown := pack
			if n < 2 { // the newest was no HTTP, the one before had the strings in a header alone
				shown = nil
			}
			b.harmless("delivery", s.url(""), shown)
		}
		b.visit("endpoints/" + id + "/test")
		b.submit()
		b.harmless("test", s.url(""), pack)

		query := url.Values{}
		for _, name := range []string{"status", "event", "from", "until", "cursor", "done", "endpoint"} {
			query.Set(name, all)
		}
		for _, path := range []string{"", "endpoints/" + id + "/deliveries", "endpoints/" + id + "/retry", "secret", "endpoints/" + url.PathEscape(valid[0])} {
			b.visit(path + "?" + query.Encode())
			b.harmless(path, s.url(""), nil)
		}
		b.visit("new")
		b.evaluate(fmt.Sprintf(`{
			const hostile = %s, form = document.querySelector("main form");
			form.url.type = "text";
			for (const name of ["url", "description", "other", "headers"]) form[name].value = hostile;
			form.event[0].value = hostile; form.event[0].checked = true; form.which[1].checked = true;
		}`, quote(t, strings.Join(valid, " | "))))
		b.submit()
		assert.Contains(t, b.text(), "Add endpoint")
		b.harmless("form", s.url(""), nil)
	}
	for next := ""; ; { // the list, with all descriptions
		b.visit(next)
		b.harmless("list", s.url(""), nil)
		if next = is[string](b, `document.querySelector("[rel=next]")?.getAttribute("href") ?? ""`); next == "" {
			break
		}
		next = strings.TrimPrefix(next, "./")
	}
	s.hostileURLs(t, b, strange)
}

// hostileURLs puts strings into URLs as they are, where that is a URL, and into the names
// of accounts, which the operator sees.
func (s *site) hostileURLs(t *testing.T, b *tab, strange []string) {
	accepted := 0
	for _, text := range strange {
		for _, raw := range []string{"https://example.com/?" + text, "https://example.com/" + text, "https://" + text} {
			ep, _, err := s.engine.CreateEndpoint(t.Context(), webhook.EndpointParams{AccountID: text, URL: raw, Events: []webhook.EventType{"*"}})
			if err == nil {
				accepted++
				_, err = s.engine.DisableEndpoint(t.Context(), text, ep.ID)
				require.NoError(t, err)
				continue
			}
			var refused *webhook.URLError
			var invalid *webhook.ValidationError
			require.True(t, errors.As(err, &refused) || errors.As(err, &invalid), "%q: %v", raw, err)
		}
	}
	assert.Greater(t, accepted, 40)
	for next := ""; ; {
		b.do(chromedp.Navigate(s.server.URL + operatorPrefix + next))
		b.harmless("operator", s.server.URL+operatorPrefix, nil)
		if next = is[string](b, `document.querySelector("[rel=next]")?.getAttribute("href") ?? ""`); next == "" {
			return
		}
		next = strings.TrimPrefix(next, "./")
	}
}
