package browser

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
)

// spills returns what does not fit: text beyond the window, content beyond its box, and
// boxes that scroll without a name or without the keyboard.
const spills = `(() => {
  const found = [], wide = document.documentElement.scrollWidth;
  if (wide > innerWidth) found.push("the page is " + wide + " wide in a window of " + innerWidth);
  for (const e of document.body.querySelectorAll("*")) {
    const style = getComputedStyle(e), name = e.tagName + "." + e.className + " " + e.textContent.trim().slice(0, 60);
    if (e.namespaceURI !== "http://www.w3.org/1999/xhtml" || style.display === "inline" || style.display === "none" || !e.clientWidth || e.matches(".skip, input, select, option")) continue;
    const over = e.scrollWidth > e.clientWidth + 1;
    if (!over) continue;
    if (!["auto", "scroll"].includes(style.overflowX)) found.push("it is wider than its box: " + name);
    else if (e.tagName !== "TEXTAREA" && (e.tabIndex < 0 || !e.getAttribute("aria-label"))) found.push("it scrolls and cannot be reached or has no name: " + name);
  }
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), range = document.createRange();
  for (let n; n = texts.nextNode();) {
    if (!n.data.trim() || n.parentElement.closest(".scroll, .skip, select, textarea")) continue;
    range.selectNodeContents(n);
    for (const r of range.getClientRects()) if (r.width && (r.right > innerWidth + 1 || r.left < -1)) { found.push("it is cut off: " + n.data.trim().slice(0, 60)); break; }
  }
  return found;
})()`

// Every page fits into 320 pixels and can be read at twice its size, be it by the zoom of
// the browser or by larger letters. Tables alone scroll, each in a box of its own.
func TestPagesFit(t *testing.T) {
	t.Parallel()
	s := newLiving(t, 1)
	b := s.open(t)
	for _, v := range s.views() {
		v.open(b)
		for _, size := range []struct {
			what    string
			width   int64
			scale   float64
			letters string
		}{
			{"320 pixels, or 640 at 200 %", 320, 2, ""},
			{"1280 pixels at 200 %", 640, 2, ""},
			{"letters of twice the size", 640, 1, "200%"},
			{"a tablet", 768, 1, ""},
		} {
			b.do(chromedp.EmulateViewport(size.width, 700, chromedp.EmulateScale(size.scale)))
			b.evaluate(`document.documentElement.style.fontSize = "` + size.letters + `"; for (const d of document.querySelectorAll("details")) d.open = true`)
			assert.Empty(t, is[[]string](b, spills), "%s, %s", v.name, size.what)
		}
	}
}
