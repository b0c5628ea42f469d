package webhookui

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/webhookapi"
)

// funcs are what templates call.
func (u *ui) funcs() template.FuncMap {
	return template.FuncMap{
		"t":        func(key string) string { return u.text(key) },
		"fill":     func(key string, pairs ...any) string { return fill(u.text(key), pairs...) },
		"status":   func(s any) string { return u.text(fmt.Sprintf("status.%v", s)) },
		"reason":   func(s any) string { return u.text(fmt.Sprintf("reason.%v", s)) },
		"failure":  func(s any) string { return u.text(fmt.Sprintf("failure.%v", s)) },
		"exact":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"machine":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"short":    func(t time.Time) string { return t.UTC().Format("2 Jan 15:04 UTC") },
		"took":     took,
		"count":    count,
		"peer":     peerText,
		"join":     u.joinTypes,
		"host":     host,
		"present":  func(t time.Time) bool { return !t.IsZero() },
		"add":      func(a, b int) int { return a + b },
		"pathSafe": url.PathEscape,
	}
}

// text returns a text by its key. One that is not there is shown by its key, which the
// tests refuse.
func (u *ui) text(key string) string {
	if s, ok := u.texts[key]; ok {
		return s
	}
	return key
}

// fill replaces {name} by its value, for pairs of both.
func fill(s string, pairs ...any) string {
	for i := 0; i+1 < len(pairs); i += 2 {
		s = strings.ReplaceAll(s, fmt.Sprintf("{%v}", pairs[i]), fmt.Sprint(pairs[i+1]))
	}
	return s
}

// took is a duration for people, with its unit.
func took(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "under 1 ms"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h"
	}
	return strconv.Itoa(int(d.Hours()/24)) + " d"
}

// count is a number with a narrow space between thousands.
func count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// peerText is what a receiver sent, as text: what is no UTF-8, and controls other than
// tabs and newlines, are shown as U+FFFD.
func peerText(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == utf8.RuneError || r >= 0x7f && r < 0xa0 || turns(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(string(b), "\uFFFD"))
}

// joinTypes returns a subscription in words.
func (u *ui) joinTypes(list []webhook.EventType) string {
	if slices.Contains(list, "*") {
		return u.text("events.every")
	}
	words := make([]string, len(list))
	for i, t := range list {
		words[i] = string(t)
	}
	return strings.Join(words, ", ")
}

func host(raw string) string {
	if u, err := url.Parse(raw); err == nil && u.Host != "" {
		return u.Host
	}
	return raw
}

// turns reports whether a rune changes the direction of what follows, so that text may
// look like another one.
func turns(r rune) bool { return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 }

// indent returns JSON for people. Runes that turn the direction are escaped, which means
// the same.
func indent(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	var out strings.Builder
	for _, r := range b.String() {
		if turns(r) {
			fmt.Fprintf(&out, `\u%04x`, r)
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}

func newKey() string { return rand.Text() }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// covers reports whether a subscription takes a type.
func covers(events []webhook.EventType, t webhook.EventType) bool {
	return slices.ContainsFunc(t.Patterns(), func(p webhook.EventType) bool { return slices.Contains(events, p) })
}

// grouped returns the catalogue by groups, in the order in which they first occur.
func grouped(types []webhookapi.EventType) (groups []group) {
	if types == nil {
		types = webhookapi.EventTypes()
	}
	for _, t := range types {
		name := t.Group
		if name == "" {
			name, _, _ = strings.Cut(string(t.Name), ".")
			name = strings.ReplaceAll(name, "_", " ")
		}
		i := slices.IndexFunc(groups, func(g group) bool { return g.Name == name })
		if i < 0 {
			groups, i = append(groups, group{Name: name}), len(groups)
		}
		groups[i].Types = append(groups[i].Types, t)
	}
	return groups
}

// chart is a bar for each hour: delivered below, failed attempts above.
type chart struct {
	Bars                         []bar
	Delivered, Failed, Exhausted int
	Most                         int
}

type bar struct {
	Hour              time.Time
	X                 int
	OKTop, OKHeight   int
	BadTop, BadHeight int
	Delivered, Failed int
	Exhausted         int
	P50, P95          string
}

// Height and width of a chart in its own units; each bar is 8 wide, with a gap of 2.
const (
	chartHeight = 48
	barWidth    = 10
)

// Width is the chart's width.
func (c *chart) Width() int { return barWidth * len(c.Bars) }

// newChart makes the chart of hours from a time on.
func newChart(tallies []webhook.Tally, from time.Time, hours int) *chart {
	c := &chart{Bars: make([]bar, hours)}
	for i := range c.Bars {
		c.Bars[i] = bar{Hour: from.Add(time.Duration(i) * time.Hour), X: barWidth*i + 1}
	}
	for _, t := range tallies {
		i := int(t.Hour.Sub(from) / time.Hour)
		if i < 0 || i >= hours {
			continue
		}
		b := &c.Bars[i]
		b.Delivered, b.Failed, b.Exhausted = t.Delivered, t.FailedAttempts, t.Exhausted
		b.P50, b.P95 = percentile(t, 0.5), percentile(t, 0.95)
		c.Delivered += t.Delivered
		c.Failed += t.FailedAttempts
		c.Exhausted += t.Exhausted
		c.Most = max(c.Most, t.Delivered+t.FailedAttempts)
	}
	if c.Most == 0 {
		return c
	}
	for i := range c.Bars {
		b := &c.Bars[i]
		b.OKHeight, b.BadHeight = scaled(b.Delivered, c.Most), scaled(b.Failed, c.Most)
		if over := b.OKHeight + b.BadHeight - chartHeight; over > 0 {
			b.OKHeight -= over
		}
		b.OKTop = chartHeight - b.OKHeight
		b.BadTop = b.OKTop - b.BadHeight
	}
	return c
}

// scaled is the height of a bar; what is not zero can be seen.
func scaled(n, most int) int {
	if n == 0 {
		return 0
	}
	return max(2, n*chartHeight/most)
}

func percentile(t webhook.Tally, p float64) string {
	d, ok := t.Percentile(p)
	if !ok {
		return ""
	}
	return took(d)
}
