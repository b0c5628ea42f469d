package webhook

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// checker collects what is wrong with events.
type checker struct {
	event  int // index of the event at hand; negative: there is only one
	max    int // bytes of data; 0: no limit
	fields []FieldError
}

func (c *checker) err() error {
	if len(c.fields) == 0 {
		return nil
	}
	return &ValidationError{Fields: c.fields}
}

// maxProblems bounds the text of an error.
const maxProblems = 100

// fail notes a problem of a field of the event at hand.
func (c *checker) fail(field, problem string) {
	switch {
	case len(c.fields) > maxProblems:
		return
	case len(c.fields) == maxProblems:
		c.fields = append(c.fields, FieldError{"events", "have more problems, which are not listed"})
		return
	}
	if c.event >= 0 {
		field = fmt.Sprintf("events[%d].%s", c.event, field)
	}
	c.fields = append(c.fields, FieldError{field, problem})
}

// failData notes a problem of a field of its payload.
func (c *checker) failData(field, problem string) { c.fail("data."+field, problem) }

func (c *checker) required(field, s string) {
	if s == "" {
		c.failData(field, "is required")
	}
}

// id checks a required id. What ids look like is the platform's affair.
func (c *checker) id(field, s string) {
	c.required(field, s)
	if len(s) > 255 || hasControl(s) {
		c.failData(field, "must be at most 255 bytes without control characters")
	}
}

// phone checks an optional phone number.
func (c *checker) phone(field, s string) {
	if s != "" && !validE164(s) {
		c.failData(field, `must be an E.164 number: "+", then 2 to 15 digits, the first not 0`)
	}
}

func (c *checker) phoneOrSIP(field, s string) {
	if strings.HasPrefix(s, "sip:") || strings.HasPrefix(s, "sips:") {
		return
	}
	c.phone(field, s)
}

// email checks an optional mail address. It only catches what cannot be one.
func (c *checker) email(field, s string) {
	if s == "" {
		return
	}
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at == len(s)-1 || strings.ContainsAny(s, " ,<>") || hasControl(s) {
		c.failData(field, "must be one mail address")
	}
}

// httpURL checks an optional URL.
func (c *checker) httpURL(field, s string) {
	if s == "" {
		return
	}
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" {
		c.failData(field, "must be an absolute http or https URL")
	}
}

// oneOf checks a word.
func (c *checker) oneOf(field, s string, required bool, words ...string) {
	if s == "" && !required || slices.Contains(words, s) {
		return
	}
	c.failData(field, "must be one of "+strings.Join(words, ", "))
}

func (c *checker) notNegative(field string, n int) {
	if n < 0 {
		c.failData(field, "must not be negative")
	}
}

// time checks a required time.
func (c *checker) time(field string, t time.Time) {
	if t.IsZero() {
		c.failData(field, "is required")
	}
}

// timeZone checks the form of an optional IANA name. Whether the zone exists is
// not asked: that would depend on the zone data of the machine.
func (c *checker) timeZone(field, s string) {
	if s == "" {
		return
	}
	ok := len(s) <= 64 && isLetter(s[0])
	for i := range len(s) {
		ok = ok && (isLetter(s[i]) || isDigit(s[i]) || strings.IndexByte("/_+-", s[i]) >= 0)
	}
	if !ok {
		c.failData(field, `must be the IANA name of a time zone, such as "America/New_York"`)
	}
}

// country checks an optional country code.
func (c *checker) country(field, s string) {
	if s == "" {
		return
	}
	if len(s) != 2 || s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z' {
		c.failData(field, `must be an ISO 3166-1 code of two capital letters, such as "US"`)
	}
}

// turn checks one turn of a transcript.
func (c *checker) turn(i int, t TranscriptTurn) {
	if t.Role == "" {
		c.failData(fmt.Sprintf("transcript[%d].role", i), "is required")
	}
	if !(t.Timestamp >= 0) { // NaN too
		c.failData(fmt.Sprintf("transcript[%d].timestamp", i), "must be 0 or more seconds")
	}
}

// validType reports whether t is a type that can be emitted.
func validType(t EventType) bool {
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

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
