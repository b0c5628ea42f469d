package check_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ringyo-ai/webhook/internal/check"
)

func TestCheckerNamesFieldsByItemAndPlace(t *testing.T) {
	t.Parallel()
	one := check.Checker{Under: "data."}
	one.Fail("id", "is wrong")
	one.FailUnder("name", "is wrong")
	assert.Equal(t, []check.Problem{{Field: "id", Problem: "is wrong"}, {Field: "data.name", Problem: "is wrong"}}, one.Problems())

	many := check.Checker{List: "events", Under: "data."}
	many.Item = 3
	many.Required("name", "")
	assert.Equal(t, []check.Problem{{Field: "events[3].data.name", Problem: "is required"}}, many.Problems())
}

func TestCheckerListsSoMany(t *testing.T) {
	t.Parallel()
	c := check.Checker{List: "events"}
	for i := range 5000 {
		c.Item = i
		c.Fail("id", "is wrong")
	}
	all := c.Problems()
	assert.Len(t, all, check.MaxProblems+1)
	assert.Equal(t, check.Problem{Field: "events", Problem: "have more problems, which are not listed"}, all[check.MaxProblems])
}

func TestRules(t *testing.T) {
	t.Parallel()
	type rule func(c *check.Checker, s string)
	text := func(f func(*check.Checker, string, string)) rule {
		return func(c *check.Checker, s string) { f(c, "f", s) }
	}
	for name, tc := range map[string]struct {
		rule      rule
		good, bad []string
	}{
		"Required": {text((*check.Checker).Required), []string{"a", " "}, []string{""}},
		"ID": {
			text((*check.Checker).ID),
			[]string{"a", strings.Repeat("a", 255), "é."},
			[]string{"", strings.Repeat("a", 256), "a\n", "a\x7f", "a\xff"},
		},
		"OptionalID": {text((*check.Checker).OptionalID), []string{"", "a"}, []string{strings.Repeat("a", 256), "\x00"}},
		"Line": {
			text((*check.Checker).Line),
			[]string{"", " ", "+1 (415) 555-0123;ext=7", "\u202a+1\u202c", "sip:" + strings.Repeat("a", 1020)},
			[]string{"sip:" + strings.Repeat("a", 1021), "a\r\nVia: b", "\x00", "\x7f", "+1\xff"},
		},
		"URL": {
			text((*check.Checker).URL),
			[]string{"", "https://a/100%.mp3", "s3://a/b", strings.Repeat("a", 8192)},
			[]string{strings.Repeat("a", 8193), "a\tb", "\xc3"},
		},
	} {
		for _, s := range tc.good {
			var c check.Checker
			tc.rule(&c, s)
			assert.Empty(t, c.Problems(), "%s takes %q", name, s)
		}
		for _, s := range tc.bad {
			var c check.Checker
			tc.rule(&c, s)
			assert.NotEmpty(t, c.Problems(), "%s refuses %q", name, s)
		}
	}
}

func TestRuleOfTimes(t *testing.T) {
	t.Parallel()
	var c check.Checker
	c.Time("f", time.Unix(0, 0))
	assert.Empty(t, c.Problems())
	c.Time("f", time.Time{})
	assert.Equal(t, []check.Problem{{Field: "f", Problem: "is required"}}, c.Problems())
}

func TestEventType(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"call.completed": true, "A-z_0.9": true, "": false, "a b": false, "é": false, "a*": false, "a\n": false,
		strings.Repeat("a", 128): true, strings.Repeat("a", 129): false,
	} {
		assert.Equal(t, want, check.EventType(s), "%q", s)
	}
}

func TestHasControl(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{"": false, "a é": false, "a\x00": true, "\t": true, "\x7f": true} {
		assert.Equal(t, want, check.HasControl(s), "%q", s)
	}
}
