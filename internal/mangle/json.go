package mangle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// node is a JSON value. What has neither text nor anything inside, such as a number,
// true or {}, is a leaf: its literal.
type node struct {
	kind byte   // '{', '[', '"' or 0 for a leaf
	text string // of a string, decoded, or a leaf
	keys []string
	kids []*node
}

// parse returns nil for what is not JSON.
func parse(b []byte) *node {
	if !json.Valid(b) { // which bounds the depth too
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return next(d)
}

func next(d *json.Decoder) *node {
	token, err := d.Token()
	if err != nil {
		return &node{text: "null"} // it was valid
	}
	switch t := token.(type) {
	case json.Delim:
		n := &node{kind: t.String()[0]}
		for d.More() {
			if t == '{' {
				n.keys = append(n.keys, next(d).text)
			}
			n.kids = append(n.kids, next(d))
		}
		_, _ = d.Token()
		if len(n.kids) == 0 {
			return &node{text: string(t) + string(t+2)} // ASCII has } and ] two after { and [
		}
		return n
	case string:
		return &node{kind: '"', text: t}
	case nil:
		return &node{text: "null"}
	default:
		return &node{text: fmt.Sprint(t)}
	}
}

// style is a way to write JSON, in which encoders differ.
type style struct {
	escaped string // characters that are written as escapes
	ascii   bool   // all beyond ASCII is
	upper   bool   // with upper-case digits
	spaced  bool   // a space follows each comma and colon
}

// styles returns those of senders. Whatever a receiver's encoder wrote is decoded first,
// so its style does not matter.
func styles() (all []style) {
	for _, spaced := range []bool{false, true} {
		for _, ascii := range []style{{}, {ascii: true}, {ascii: true, upper: true}} {
			for _, escaped := range []string{
				"\u2028\u2029",            // Go without HTML escapes, as this library sends
				"",                        // JavaScript, Java, Ruby, Rust
				"<>&\u2028\u2029",         // Go's default
				"/",                       // PHP
				"<>&'=\u2028\u2029",       // Gson
				"<>&'+`\"\\\u007f\u00a0/", // near to System.Text.Json
			} {
				all = append(all, style{escaped, ascii.ascii, ascii.upper, spaced})
			}
		}
	}
	return all
}

func (s style) append(dst []byte, n *node) []byte {
	switch n.kind {
	case 0:
		return append(dst, n.text...)
	case '"':
		return s.appendText(dst, n.text)
	}
	comma, colon := ",", ":"
	if s.spaced {
		comma, colon = ", ", ": "
	}
	dst = append(dst, n.kind)
	for i, kid := range n.kids {
		if i > 0 {
			dst = append(dst, comma...)
		}
		if n.kind == '{' {
			dst = append(s.appendText(dst, n.keys[i]), colon...)
		}
		dst = s.append(dst, kid)
	}
	return append(dst, n.kind+2)
}

// shortEscape returns the letter of the short escape of a character, 0 if there is
// none.
func shortEscape(r rune) byte {
	switch r {
	case '"', '\\', '/':
		return byte(r) // #nosec G115 -- one of these
	case '\b':
		return 'b'
	case '\f':
		return 'f'
	case '\n':
		return 'n'
	case '\r':
		return 'r'
	case '\t':
		return 't'
	}
	return 0
}

func (s style) appendText(dst []byte, text string) []byte {
	dst = append(dst, '"')
	for _, r := range text {
		listed := strings.ContainsRune(s.escaped, r)
		short := shortEscape(r)
		switch {
		case short != 0 && (r != '/' || listed):
			dst = append(dst, '\\', short)
		case r < ' ', listed, s.ascii && r > '~':
			dst = s.appendEscape(dst, r)
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

func (s style) appendEscape(dst []byte, r rune) []byte {
	form := `\u%04x`
	if s.upper {
		form = `\u%04X`
	}
	if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
		return fmt.Appendf(fmt.Appendf(dst, form, high), form, low)
	}
	return fmt.Appendf(dst, form, r)
}

// document is a JSON value that can be written anew, and what goes around it.
type document struct {
	root *node
	wrap func([]byte) []byte
}

func (d document) write(s style) []byte { return d.wrap(s.append(nil, d.root)) }

// documents are the data of an event in its envelope, and the whole body: that of
// another sender, whose envelope is not known.
func (s subject) documents() (all []document) {
	if s.event != nil {
		if root := parse(s.event.Raw); root != nil {
			all = append(all, document{root, s.event.Render})
		}
	}
	if root := parse(s.body); root != nil {
		all = append(all, document{root, func(b []byte) []byte { return b }})
	}
	return all
}

func compacted(s subject) iter.Seq[[]byte] {
	var out bytes.Buffer
	if json.Compact(&out, s.body) != nil {
		return one(nil)
	}
	return one(out.Bytes())
}

// rendered is the event with its data as they came.
func rendered(s subject) iter.Seq[[]byte] {
	if s.event == nil {
		return one(nil)
	}
	return one(s.event.Render(s.event.Raw))
}

func escaped(s subject) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, d := range s.documents() {
			for _, st := range styles() {
				if !yield(d.write(st)) {
					return
				}
			}
		}
	}
}

// ordered has the fields in the order of the payload's type, or of Go's maps.
func ordered(s subject) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if s.event == nil {
			return
		}
		for _, root := range []*node{parse(s.event.Typed), sorted(parse(s.event.Raw))} {
			if root == nil {
				continue
			}
			for _, st := range styles() {
				if !yield(s.event.Render(st.append(nil, root))) {
					return
				}
			}
		}
	}
}

// sorted has the keys of all objects in order.
func sorted(n *node) *node {
	if n == nil {
		return nil
	}
	out := &node{kind: n.kind, text: n.text}
	index := make([]int, len(n.kids))
	for i := range index {
		index[i] = i
	}
	if n.kind == '{' {
		slices.SortStableFunc(index, func(a, b int) int { return strings.Compare(n.keys[a], n.keys[b]) })
	}
	for _, i := range index {
		if n.kind == '{' {
			out.keys = append(out.keys, n.keys[i])
		}
		out.kids = append(out.kids, sorted(n.kids[i]))
	}
	return out
}
