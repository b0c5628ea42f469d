// Package check has the rules of the fields of events and of endpoints, and collects
// everything that breaks them.
package check

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
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
	c.line(field, s, maxID)
}

// OptionalID is ID, but takes the empty string.
func (c *Checker) OptionalID(field, s string) { c.line(field, s, maxID) }

// Line checks an optional text of one line: a number, an address, a word. What it says
// is not judged, since it comes from a network or from another system.
func (c *Checker) Line(field, s string) { c.line(field, s, maxLine) }

// URL checks an optional URL. Which schemes and forms there are is not judged.
func (c *Checker) URL(field, s string) { c.line(field, s, maxURL) }

// Limits in bytes. Indexes of databases have room for an id. A SIP URI with its
// parameters and headers has some 300 bytes, a URL that is signed with a session token
// about 2,000: both limits are some times that.
const (
	maxID   = 255
	maxLine = 1 << 10
	maxURL  = 8 << 10
)

func (c *Checker) line(field, s string, most int) {
	if len(s) > most || !utf8.ValidString(s) || HasControl(s) {
		c.FailUnder(field, fmt.Sprintf("must be at most %d bytes of UTF-8 without control characters", most))
	}
}

// Time checks a required time.
func (c *Checker) Time(field string, t time.Time) {
	if t.IsZero() {
		c.FailUnder(field, "is required")
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

// HasControl reports whether s has control characters of ASCII.
func HasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
