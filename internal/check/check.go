// Package check has the rules of the fields of events and of endpoints, and collects
// everything that breaks them.
package check

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Problem is one thing that is wrong with a field.
type Problem struct {
	Field   string // such as "data.call_id" or "events[2].type"
	Problem string // what is wrong and what is wanted, such as "is required"
}

// Checker collects what is wrong with an item, or with the items of a list. Its
// methods that have no other documentation take the name of a field below Under and
// its value, and note a problem if the value is wrong.
type Checker struct {
	List  string // name of the list; empty: there is one item, and no list
	Item  int    // index of the item at hand
	Under string // what the names of the checked fields begin with, such as "data."

	problems []Problem
}

// Problems returns what was noted, in its order.
func (c *Checker) Problems() []Problem { return c.problems }

// MaxProblems is how many problems are listed, which bounds the text of an error. If
// there are more, one last entry says so.
const MaxProblems = 100

// Fail notes a problem of a field of the item at hand.
func (c *Checker) Fail(field, problem string) {
	switch {
	case len(c.problems) > MaxProblems:
		return
	case len(c.problems) == MaxProblems:
		c.problems = append(c.problems, Problem{c.List, "have more problems, which are not listed"})
		return
	}
	if c.List != "" {
		field = fmt.Sprintf("%s[%d].%s", c.List, c.Item, field)
	}
	c.problems = append(c.problems, Problem{field, problem})
}

// FailUnder notes a problem of a field below Under.
func (c *Checker) FailUnder(field, problem string) { c.Fail(c.Under+field, problem) }

// Required refuses the empty string.
func (c *Checker) Required(field, s string) {
	if s == "" {
		c.FailUnder(field, "is required")
	}
}

// ID checks a required id. What ids look like is the platform's affair.
func (c *Checker) ID(field, s string) {
	c.Required(field, s)
	if len(s) > 255 || HasControl(s) {
		c.FailUnder(field, "must be at most 255 bytes without control characters")
	}
}

// Phone checks an optional phone number.
func (c *Checker) Phone(field, s string) {
	if s != "" && !validE164(s) {
		c.FailUnder(field, `must be an E.164 number: "+", then 2 to 15 digits, the first not 0`)
	}
}

// PhoneOrSIP is Phone, but takes a SIP address too.
func (c *Checker) PhoneOrSIP(field, s string) {
	if strings.HasPrefix(s, "sip:") || strings.HasPrefix(s, "sips:") {
		return
	}
	c.Phone(field, s)
}

// Email checks an optional mail address. It only catches what cannot be one.
func (c *Checker) Email(field, s string) {
	if s == "" {
		return
	}
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at == len(s)-1 || strings.ContainsAny(s, " ,<>") || HasControl(s) {
		c.FailUnder(field, "must be one mail address")
	}
}

// HTTPURL checks an optional URL.
func (c *Checker) HTTPURL(field, s string) {
	if s == "" {
		return
	}
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" {
		c.FailUnder(field, "must be an absolute http or https URL")
	}
}

// OneOf checks a word, which may be empty unless it is required.
func (c *Checker) OneOf(field, s string, required bool, words ...string) {
	if s == "" && !required || slices.Contains(words, s) {
		return
	}
	c.FailUnder(field, "must be one of "+strings.Join(words, ", "))
}

// NotNegative refuses numbers below 0.
func (c *Checker) NotNegative(field string, n int) {
	if n < 0 {
		c.FailUnder(field, "must not be negative")
	}
}

// Time checks a required time.
func (c *Checker) Time(field string, t time.Time) {
	if t.IsZero() {
		c.FailUnder(field, "is required")
	}
}

// TimeZone checks the form of an optional IANA name. Whether the zone exists is
// not asked: that would depend on the zone data of the machine.
func (c *Checker) TimeZone(field, s string) {
	if s == "" {
		return
	}
	ok := len(s) <= 64 && isLetter(s[0])
	for i := range len(s) {
		ok = ok && (isLetter(s[i]) || isDigit(s[i]) || strings.IndexByte("/_+-", s[i]) >= 0)
	}
	if !ok {
		c.FailUnder(field, `must be the IANA name of a time zone, such as "America/New_York"`)
	}
}

// Country checks an optional country code.
func (c *Checker) Country(field, s string) {
	if s == "" {
		return
	}
	if len(s) != 2 || s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z' {
		c.FailUnder(field, `must be an ISO 3166-1 code of two capital letters, such as "US"`)
	}
}

// EventType reports whether t is a type that can be emitted: 1 to 128 of the
// characters A-Z a-z 0-9 _ . -
func EventType(t string) bool {
	for i := range len(t) {
		if c := t[i]; !isLetter(c) && !isDigit(c) && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return t != "" && len(t) <= 128
}

// validE164 reports whether s is a number as ITU-T E.164 has it: at most 15
// digits, beginning with a country code, none of which begins with 0.
func validE164(s string) bool {
	if len(s) < 3 || len(s) > 16 || s[0] != '+' || s[1] == '0' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if !isDigit(s[i]) {
			return false
		}
	}
	return true
}

// HasControl reports whether s has control characters of ASCII.
func HasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
