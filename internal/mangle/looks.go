package mangle

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// printed are the beginnings of what languages print for a value that is not text.
var printed = []struct{ prefix, says string }{
	{"[object ", printedBy("JavaScript", "an object")},
	{"{'", printedBy("Python", "a dict")},
	{"%{", printedBy("Elixir", "a map")},
	{"@{", printedBy("PowerShell", "an object")},
	{"map[", printedBy("Go", "a map")},
	{"&{", printedBy("Go", "a struct")},
	{"0xc0", printedBy("Go", "a pointer")},
	{"Object {", printedBy("Rust", "a JSON value")},
	{"[B@", "is what Java prints for a byte[]: make a String of it, or better, verify the bytes"},
	{"System.", printedBy(".NET", "an object")},
	{"java.", printedBy("Java", "an object")},
	{"org.", printedBy("Java", "an object")},
	{"#<", printedBy("Ruby", "an object")},
	{"Array", printedBy("PHP", "an array")},
	{"array", printedBy("PHP", "an array")},
	{"a:", printedBy("PHP", "an array (serialize)")},
	{"object(", printedBy("PHP", "an object")},
	{"Resource id", printedBy("PHP", "a stream")},
	{"<Buffer ", printedBy("Node", "a Buffer")},
	{"undefined", "is JavaScript's undefined: nothing read the body, or read it before; " + onTheWire},
	{"null", "is null: nothing read the body, or read it before; " + onTheWire},
	{"None", "is Python's None: nothing read the body, or read it before; " + onTheWire},
	{"POST ", "is the whole request with its headers: verify what follows the empty line"},
	{"--", "is a multipart form: something put the body into one; " + onTheWire},
}

func printedBy(language, what string) string {
	return "is what " + language + " prints for " + what + ": something parsed or wrapped it, and then made a text of the result; " + onTheWire
}

// looksPrinted knows what a beginning alone does not tell.
func looksPrinted(body []byte) string {
	for _, p := range printed {
		if bytes.HasPrefix(body, []byte(p.prefix)) {
			return p.says
		}
	}
	name, rest, equals := bytes.Cut(body, []byte("="))
	switch {
	case bytes.HasPrefix(body, []byte("<")) && bytes.Contains(body, []byte(" object at 0x")):
		return printedBy("Python", "an object")
	case bytes.HasPrefix(body, []byte("<")):
		return "is HTML or XML: it was converted, or is another request's"
	case bytes.HasPrefix(name, []byte(`{"`)) && bytes.HasPrefix(rest, []byte(">")):
		return printedBy("Ruby", "a hash")
	case equals && len(name) > 1 && name[0] == '{' && !bytes.ContainsAny(name, `" :`):
		return printedBy("Java", "a map")
	case isFormOfFields(body):
		return "was written as a form, with a field for each of its own: " + onTheWire
	}
	return ""
}

// isFormOfFields reports whether body is an event that a form was made of.
func isFormOfFields(body []byte) bool {
	values, err := url.ParseQuery(string(body))
	return err == nil && values.Has("id") && values.Has("event")
}

// looks returns what body looks like that it was not sent as, or "".
func (s *Search) looks(body []byte) string {
	if says := looksPrinted(body); says != "" {
		return says
	}
	event, isEvent := s.Event(body)
	switch {
	case !utf8.Valid(body):
		return "is not UTF-8: it was encoded in another charset such as Latin-1, or cut, or compressed; " + onTheWire
	case bytes.ContainsRune(body, utf8.RuneError):
		return "has the character U+FFFD, which stands for bytes that were not understood: it was decoded in another charset; " + onTheWire
	case asSingleBytes(body) != nil:
		return "was decoded as Latin-1 or Windows-1252 and encoded as UTF-8 (ë became Ã«): verify the bytes that came"
	case isCutOff(body):
		return "is cut off: it ends in the middle, at a limit of a buffer or a proxy; read all of it"
	case bytes.Contains(body, []byte(`\x`)) && !json.Valid(body):
		return `has escapes such as \xeb, which are not JSON's: a language printed it; ` + onTheWire
	case isEvent && !event.AsSent:
		return "was parsed and encoded again, as it has not the form in which events are sent: " + onTheWire
	}
	return ""
}

// isCutOff reports whether body is the beginning of a JSON object.
func isCutOff(body []byte) bool {
	var v struct{}
	err := json.Unmarshal(body, &v)
	return len(body) > 0 && body[0] == '{' && err != nil && err.Error() == "unexpected end of JSON input"
}

// Doubts returns what body has that is lost or changed when it is parsed and encoded
// again, but can be in what was sent too, or "". It completes the sentence "it …".
func Doubts(body []byte) string {
	root := parse(body)
	if root == nil || len(body) > MaxBody {
		return ""
	}
	if d := root.doubts(); d != "" {
		return d
	}
	if hasNeedlessEscapes(body) {
		return `has escapes such as \/ or \u0026 for characters that need none, as PHP, Rails, Gson and others write them`
	}
	return ""
}

// hasNeedlessEscapes reports whether JSON has an escape that it need not have, and that
// this library, and JavaScript, do not write.
func hasNeedlessEscapes(body []byte) bool {
	for {
		_, rest, found := bytes.Cut(body, []byte{'\\'})
		if !found {
			return false
		}
		body = rest[1:]
		if rest[0] == '/' {
			return true
		}
		if rest[0] != 'u' {
			continue
		}
		code, _ := strconv.ParseUint(string(rest[1:5]), 16, 16)
		if r := rune(code); r >= ' ' && r != '\u2028' && r != '\u2029' && !utf16.IsSurrogate(r) {
			return true
		}
	}
}

func (n *node) doubts() string {
	if n.kind == 0 && isRounded(n.text) {
		return "has whole numbers of more than 17 digits that end in zeros, as JavaScript, PHP and jq write numbers that they have rounded"
	}
	if n.kind == '{' && len(n.keys) > 1 && isIndex(n.keys[0]) {
		return "has fields with numbers for names in the front, where JavaScript moves them"
	}
	for _, kid := range n.kids {
		if d := kid.doubts(); d != "" {
			return d
		}
	}
	return ""
}

// isRounded reports whether a number is beyond what a float64 holds and looks it.
func isRounded(number string) bool {
	digits := strings.TrimPrefix(number, "-")
	if strings.ContainsAny(digits, "eE") {
		f, err := strconv.ParseFloat(number, 64)
		return err == nil && (f >= 1e17 || f <= -1e17)
	}
	return len(digits) > 17 && strings.Trim(digits[17:], "0") == "" && !strings.Contains(digits, ".")
}

func isIndex(key string) bool {
	n, err := strconv.ParseUint(key, 10, 32)
	return err == nil && strconv.FormatUint(n, 10) == key
}
