package browser

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// violation is what axe-core found.
type violation struct {
	ID, Help string
	Nodes    []struct{ HTML, FailureSummary string }
}

func (v violation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", v.ID, v.Help)
	for _, n := range v.Nodes {
		fmt.Fprintf(&b, "\n  %s\n  %s", n.HTML, n.FailureSummary)
	}
	return b.String()
}

// axe returns the source of axe-core.
func axe(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile("js/node_modules/axe-core/axe.min.js")
	if os.IsNotExist(err) {
		missing(t, "axe-core is not installed: run npm ci in internal/itest/browser/js")
	}
	require.NoError(t, err)
	return string(source)
}

// violations lets rules of axe-core look at a page: all, unless some are named.
func (b *tab) violations(source string, rules ...string) []violation {
	b.Helper()
	b.evaluate("typeof axe === 'undefined' && (() => {" + source + "})()")
	only := ""
	if len(rules) > 0 {
		only = fmt.Sprintf(`, runOnly: "%s".split(" ")`, strings.Join(rules, " "))
	}
	return is[[]violation](b, `axe.run(document, {resultTypes: ["violations"], preload: false`+only+`}).then((r) => r.violations)`)
}

// Every page in every state keeps the rules of axe-core, in both themes.
func TestPagesAreAccessible(t *testing.T) {
	t.Parallel()
	source := axe(t)
	s := newLiving(t, 1)
	b := s.open(t)
	for _, v := range s.views() {
		v.open(b)
		b.do(theme("light"))
		for _, found := range b.violations(source) {
			assert.Fail(t, found.String(), "%s, light", v.name)
		}
		b.do(theme("dark")) // it is the same document in other colours
		for _, found := range b.violations(source, "color-contrast", "link-in-text-block") {
			assert.Fail(t, found.String(), "%s, dark", v.name)
		}
	}
}

// axe-core finds what is wrong, where something is: a test of the test.
func TestAnInaccessiblePageIsFound(t *testing.T) {
	t.Parallel()
	source := axe(t)
	s := newSite(t, options{})
	b := s.open(t)
	b.visit("new")
	assert.Empty(t, b.violations(source))
	b.evaluate(`document.querySelector("[for=description]").remove(); document.querySelector("h1").style.color = "#ccc"`)
	var found []string
	for _, v := range b.violations(source) {
		found = append(found, v.ID)
	}
	assert.Subset(t, found, []string{"color-contrast", "label"})
	b.do(chromedp.Navigate("about:blank"))
}
