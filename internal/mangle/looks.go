package mangle

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// printed are the beginnings of what languages print for a value that is not text.
var printed = []struct{ prefix, says string }{
	{"[object ", "is what JavaScript prints for an object: something parsed it, and then made a text of the result; " + onTheWire},
	{"{'", "is what Python prints for a dict: something parsed it, and then made a text of the result; " + onTheWire},
	{`{"id"=>`, "is what Ruby prints for a hash: something parsed it, and then made a text of the result; " + onTheWire},
	{"{id=", "is what Java prints for a map: something parsed it, and then made a text of the result; " + onTheWire},
	{"map[", "is what Go prints for a map: something parsed it, and then made a text of the result; " + onTheWire},
	{"[B@", "is what Java prints for a byte[]: make a String of it, or better, verify the bytes"},
	{"Array", "is what PHP prints for an array: something parsed it, and then made a text of the result; " + onTheWire},
	{"undefined", "is JavaScript's undefined: nothing read the body, or read it before; " + onTheWire},
	{"null", "is null: nothing read the body, or read it before; " + onTheWire},
	{"POST ", "is the whole request with its headers: verify what follows the empty line"},
	{"--", "is a multipart form: something put the body into one; " + onTheWire},
	{"<", "is HTML or XML: it was converted, or is another request's"},
}

// looks returns what body looks like that it was not sent as, or "".
func (s *Search) looks(body []byte) string {
	for _, p := range printed {
		if bytes.HasPrefix(body, []byte(p.prefix)) {
			return p.says
		}
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
	return root.doubts()
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
