package check

import (
	"cmp"
	"time"
)

// Settings collects what is wrong with a configuration, in the order in which its
// fields are looked at.
type Settings []Problem

// Fail notes a problem of the field name.
func (s *Settings) Fail(name, problem string) {
	*s = append(*s, Problem{Field: name, Problem: problem})
}

// Positive fills in the default of a field that must not be negative.
func Positive[T int | time.Duration](s *Settings, name string, field *T, value T) {
	*field = cmp.Or(*field, value)
	if *field < 0 {
		s.Fail(name, "must not be negative")
	}
}

// OrOff fills in the default of a field that -1 switches off.
func OrOff[T int | int64 | time.Duration](s *Settings, name string, field *T, value T) {
	*field = cmp.Or(*field, value)
	if *field < -1 {
		s.Fail(name, "must not be negative, except -1 for none")
	}
}
