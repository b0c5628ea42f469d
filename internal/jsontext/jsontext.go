// Package jsontext writes JSON and looks at its text, without decoding it.
package jsontext

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/ringyo-ai/webhook/internal/safe"
)

// MaxDepth is how deep arrays and objects may be nested in an event's data. With
// the envelope that is 64, the fewest that a common parser reads by default, which
// is System.Text.Json; encoding/json reads 10,000.
const MaxDepth = 63

// Problem says why receivers would read the valid JSON b differently from one another;
// it is empty if they would not. What they disagree on is bytes that are not UTF-8 (RFC
// 8259, section 8.1), escapes of half a surrogate pair (section 8.2), and what is nested
// deeper than some of them read.
func Problem(b []byte) string {
	switch {
	case bytes.Count(b, []byte{'['})+bytes.Count(b, []byte{'{'}) > MaxDepth && depth(b) > MaxDepth: // few brackets are counted fast
		return fmt.Sprintf("must not be nested more than %d deep", MaxDepth)
	case !utf8.Valid(b):
		return "must be UTF-8"
	case hasLoneSurrogate(b):
		return `must not hold half a surrogate pair, such as \ud83d without \ude00`
	}
	return ""
}

// Encode encodes data as encoding/json does, but leaves <, > and & alone: the
// text is for a machine, not for a page. A panic in a MarshalJSON of data comes
// back as an error.
func Encode(data any) (b []byte, err error) {
	defer safe.Recover(func(p *safe.Panic) { b, err = nil, fmt.Errorf("cannot be encoded: panic: %v", p.Value) })
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(data); err != nil {
		return nil, fmt.Errorf("cannot be encoded: %w", err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// depth returns how deep the arrays and objects of the valid JSON b are nested.
func depth(b []byte) (most int) {
	open, text := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			open++
			most = max(most, open)
		case c == '}' || c == ']':
			open--
		}
	}
	return most
}

// hasLoneSurrogate reports whether the valid JSON b escapes half a surrogate
// pair.
func hasLoneSurrogate(b []byte) bool {
	for {
		i := bytes.IndexByte(b, '\\')
		if i < 0 {
			return false
		}
		b = b[i:]
		switch r := surrogate(b); {
		case r == 0:
			b = b[2:]
		case r < 0xDC00 && surrogate(b[6:]) >= 0xDC00:
			b = b[12:]
		default:
			return true
		}
	}
}

// surrogate returns the surrogate that b begins with as an escape, 0 for
// anything else.
func surrogate(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0
	}
	var r rune
	for _, c := range b[2:6] {
		r = r<<4 | hexDigit(c)
	}
	if r < 0xD800 || r > 0xDFFF {
		return 0
	}
	return r
}

func hexDigit(c byte) rune {
	switch {
	case c <= '9':
		return rune(c - '0')
	case c <= 'F':
		return rune(c - 'A' + 10)
	}
	return rune(c - 'a' + 10)
}
