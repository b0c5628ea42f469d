package check_test

import (
	"math"
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
		"ID":       {text((*check.Checker).ID), []string{"a", strings.Repeat("a", 255), "é."}, []string{"", strings.Repeat("a", 256), "a\n", "a\x7f"}},
		"Phone":    {text((*check.Checker).Phone), []string{"", "+12", "+123456789012345"}, []string{"+1", "+0123", "12", "+1234567890123456", "+12a", "sip:a@b.c"}},
		"PhoneOrSIP": {
			text((*check.Checker).PhoneOrSIP), []string{"", "+12", "sip:a@b.c", "sips:a@b.c"}, []string{"12", "SIP", "sip"},
		},
		"Email":    {text((*check.Checker).Email), []string{"", "a@b", "a@b@c"}, []string{"a", "@b", "a@", "a b@c", "a@b,c@d", "<a@b>", "a\x00@b"}},
		"HTTPURL":  {text((*check.Checker).HTTPURL), []string{"", "https://a", "http://a/b?c"}, []string{"a", "ftp://a", "https:///a", "://", "https:a"}},
		"TimeZone": {text((*check.Checker).TimeZone), []string{"", "UTC", "America/New_York", "Etc/GMT+1"}, []string{"+1", "a b", strings.Repeat("a", 65), "é"}},
		"Country":  {text((*check.Checker).Country), []string{"", "US"}, []string{"us", "USA", "U", "U1"}},
		"OneOf": {
			func(c *check.Checker, s string) { c.OneOf("f", s, false, "a", "b") }, []string{"", "a", "b"}, []string{"c", "A"},
		},
		"OneOf, required": {
			func(c *check.Checker, s string) { c.OneOf("f", s, true, "a", "b") }, []string{"a"}, []string{"", "c"},
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

func TestRulesOfNumbersAndTimes(t *testing.T) {
	t.Parallel()
	var c check.Checker
	c.NotNegative("f", 0)
	c.NotNegative("f", math.MaxInt)
	c.Time("f", time.Unix(0, 0))
	assert.Empty(t, c.Problems())
	c.NotNegative("f", -1)
	c.Time("f", time.Time{})
	assert.Equal(t, []check.Problem{{Field: "f", Problem: "must not be negative"}, {Field: "f", Problem: "is required"}}, c.Problems())
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
