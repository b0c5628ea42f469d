package browser

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// stops makes the list of what Tab should reach, in the order of the document: of a group
// of radio buttons that which is chosen. It notes where the focus comes past, which begins
// at the first of them.
const stops = `(() => {
  const list = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")].filter((e) =>
    e.type !== "hidden" && (e.type !== "radio" || e.checked) && e.checkVisibility({ visibilityProperty: true }) && !e.disabled);
  window.way = [];
  addEventListener("focusin", ({ target: e }) => {
    const style = getComputedStyle(e), r = e.getBoundingClientRect();
    way.push({ At: list.indexOf(e), Outline: style.outlineStyle, Width: parseFloat(style.outlineWidth), Tag: e.tagName,
      Left: r.left + scrollX, Top: r.top + scrollY, Right: r.right + scrollX, Bottom: r.bottom + scrollY });
  });
  document.activeElement.blur();
  list[0].focus({ focusVisible: true });
  return list.map((e) => e.tagName + " " + (e.name || e.innerText || e.ariaLabel || ""));
})()`

// stop is where the focus is.
type stop struct {
	At                       int // in the list, or -1
	Tag, Outline             string
	Width                    float64
	Left, Top, Right, Bottom float64
}

// tour presses Tab until the end of the page, and returns where it came past.
func (b *tab) tour() (names []string, way []stop) {
	b.Helper()
	names = is[[]string](b, stops)
	tab := input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeRawKeyDown, Key: "Tab", Code: "Tab", WindowsVirtualKeyCode: 9}
	for presses := 0; ; presses++ { // a field for a date has several stops of its own
		require.Less(b, presses, 10, "Tab never comes to the end")
		for range 1 + len(names)/2 {
			b.do(set(input.DispatchKeyEvent, tab))
		}
		way = is[[]stop](b, "way")
		for i, at := range way {
			if i > 0 && at.At == 0 { // it is round
				return names, way[:i]
			}
		}
	}
}

// Tab reaches all that can be used, in the order in which it is read, and one sees where
// it is.
func TestTheKeyboardReachesEverything(t *testing.T) {
	t.Parallel()
	s := newLiving(t, 1)
	b := s.open(t)
	for _, v := range s.views() {
		v.open(b)
		names, way := b.tour()
		var order []string
		for i, at := range way {
			if !assert.GreaterOrEqual(t, at.At, 0, "%s: %s is no control", v.name, at.Tag) {
				continue
			}
			name := names[at.At]
			order = append(order, name)
			assert.Equal(t, "solid", at.Outline, "%s: the focus of %s cannot be seen", v.name, name)
			assert.GreaterOrEqual(t, at.Width, 2.0, "%s: %s", v.name, name)
			if i < 2 { // the first one is the link to the content, which lies above the page
				continue
			}
			before := way[i-1]
			above := at.Bottom <= before.Top && at.Left < before.Right
			left := at.Bottom > before.Top && at.Top < before.Bottom && at.Right <= before.Left
			assert.False(t, above || left, "%s: after %s the focus goes back to %s", v.name, names[before.At], name)
		}
		assert.Equal(t, names, order, v.name)
	}
}

// The whole of a form, by keys alone.
func TestAFormByKeysAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t, options{})
	b := s.open(t)
	b.visit("")
	keys := func(keys ...string) {
		for _, k := range keys {
			b.do(chromedp.KeyEvent(k))
		}
	}
	to := func(what string) { // Tab until the focus is there
		t.Helper()
		for range 100 {
			keys(kb.Tab)
			if is[bool](b, fmt.Sprintf("document.activeElement.matches(%q)", what)) {
				return
			}
		}
		require.Fail(t, "Tab does not come to "+what)
	}
	keys(kb.Tab)
	assert.Equal(t, "Skip to the content", is[string](b, "document.activeElement.innerText"))
	assert.GreaterOrEqual(t, is[float64](b, "document.activeElement.getBoundingClientRect().left"), 0.0, "it can be seen")
	keys(kb.Enter)
	assert.Equal(t, "main", is[string](b, "document.activeElement.id"))
	keys(kb.Tab)
	assert.Equal(t, "Add endpoint", is[string](b, "document.activeElement.innerText"), "what is before the content was skipped")
	b.goes(chromedp.KeyEvent(kb.Enter))
	require.Equal(t, "new", b.path())

	to("#url")
	b.do(chromedp.KeyEvent("https://keys.example.com/hook"))
	to("#description")
	b.do(chromedp.KeyEvent("By keys"))
	to("[name=which]")
	keys(kb.ArrowDown)
	to("[value='call.failed']")
	keys(" ")
	to("#other")
	b.do(chromedp.KeyEvent("credits.*"))
	to("summary")
	keys(kb.Enter)
	to("#headers")
	b.do(chromedp.KeyEvent("X-Key: value"))
	to("button")
	b.goes(chromedp.KeyEvent(kb.Enter))
	list, err := s.engine.ListEndpoints(t.Context(), "acme", webhook.EndpointQuery{})
	require.NoError(t, err)
	require.Len(t, list.Items, 1, b.text())
	ep := list.Items[0]
	assert.Equal(t, []webhook.EventType{"call.failed", "credits.*"}, ep.Events)
	assert.Equal(t, "By keys", ep.Description)
	assert.Equal(t, []string{"X-Key"}, ep.HeaderNames)
}
