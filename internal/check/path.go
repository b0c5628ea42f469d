package check

import (
	"strconv"
	"strings"
	"unicode"
)

// Path returns the name of a field in the terms of JSON: that of Events[0] is
// events[0], of AccountID account_id, of Headers["X-Team"] headers.x-team, and of
// Metadata["key"] metadata.key. What is in these terms already stays as it is.
func Path(field string) string {
	name, rest := field, ""
	if i := strings.IndexByte(field, '['); i >= 0 {
		name, rest = field[:i], field[i:]
	}
	if key, ok := strings.CutPrefix(rest, "["); ok && strings.HasSuffix(key, `"]`) {
		if text, err := strconv.Unquote(strings.TrimSuffix(key, "]")); err == nil {
			if name == "Headers" {
				text = strings.ToLower(text)
			}
			rest = "." + text
		}
	}
	return snake(name) + rest
}

// snake puts a name of Go into lower case, with an underscore before each word but the
// first: a word begins with the first of some capitals, or with the last of them if
// more follows.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 && runes[i-1] != '.' &&
			(!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
