package mangle

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const byteOrderMark = "\ufeff"

func trimmed(s subject) iter.Seq[[]byte] {
	b := bytes.Trim(bytes.TrimPrefix(s.body, []byte(byteOrderMark)), " \t\r\n\x00")
	return one(b)
}

func untrimmed(s subject) iter.Seq[[]byte] {
	return each(
		append(bytes.Clone(s.body), '\n'),
		append(bytes.Clone(s.body), "\r\n"...),
		append([]byte(byteOrderMark), s.body...),
	)
}

func lineEnds(s subject) iter.Seq[[]byte] {
	unix := bytes.ReplaceAll(s.body, []byte("\r\n"), []byte("\n"))
	if !bytes.Contains(unix, []byte("\n")) {
		return one(nil)
	}
	return each(unix, bytes.ReplaceAll(unix, []byte("\n"), []byte("\r\n")))
}

func fromBase64(s subject) iter.Seq[[]byte] {
	text := strings.NewReplacer("\r", "", "\n", "", "-", "+", "_", "/").Replace(strings.TrimSpace(string(s.body)))
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || len(b) < 2 {
		return one(nil)
	}
	return one(b)
}

func fromHex(s subject) iter.Seq[[]byte] {
	text := strings.NewReplacer(`\x`, "", "0x", "", "[]byte{", "", "<Buffer ", "", ">", "", "}", "", ", ", "", " ", "", "-", "").Replace(string(bytes.TrimSpace(s.body)))
	b, err := hex.DecodeString(text)
	if err != nil || len(b) < 2 {
		return one(nil)
	}
	return one(b)
}

// fromString decodes a JSON string, with its quotes or without them, and one that
// another language quoted.
func fromString(s subject) iter.Seq[[]byte] {
	text := bytes.TrimSpace(s.body)
	switch {
	case len(text) > 1 && text[0] == '"':
	case bytes.Contains(text, []byte(`\"`)) && !json.Valid(text):
		text = slices.Concat([]byte{'"'}, text, []byte{'"'})
	default:
		return one(nil)
	}
	var inner string
	if json.Unmarshal(text, &inner) != nil {
		return one(unquoted(text))
	}
	return one([]byte(inner))
}

// fromBytes reads {"type":"Buffer","data":[1,2]}, [1,2], {"0":1,"1":2}, [1 2], 1,2
// and b'…'.
func fromBytes(s subject) iter.Seq[[]byte] {
	text := bytes.TrimSpace(s.body)
	if len(text) < 2 {
		return one(nil)
	}
	if text[0] == 'b' && (text[1] == '\'' || text[1] == '"') {
		return one(unquoted(text[1:]))
	}
	var buffer struct{ Data []octet }
	if text[0] == '{' && json.Unmarshal(text, &buffer) == nil && buffer.Data != nil {
		return one(join(buffer.Data))
	}
	if root := parse(text); root != nil && root.kind == '{' {
		return one(root.indexed())
	}
	if len(bytes.Trim(text, "0123456789,")) == 0 {
		text = slices.Concat([]byte{'['}, text, []byte{']'})
	}
	if text[0] != '[' {
		return one(nil)
	}
	var list []octet
	if json.Unmarshal(text, &list) == nil ||
		json.Unmarshal(bytes.ReplaceAll(text, []byte(" "), []byte(",")), &list) == nil {
		return one(join(list))
	}
	return one(nil)
}

// octet is a number of a list: encoding/json would read a []byte as base64. Java's are
// signed.
type octet int16

func join(list []octet) []byte {
	if len(list) < 2 {
		return nil
	}
	out := make([]byte, len(list))
	for i, v := range list {
		if v < -128 || v > 255 {
			return nil
		}
		out[i] = byte(v) // #nosec G115 -- two's complement is meant
	}
	return out
}

// indexed reads an object of the keys 0, 1 and so on.
func (n *node) indexed() []byte {
	out := make([]byte, len(n.kids))
	for i, kid := range n.kids {
		v, err := strconv.ParseUint(kid.text, 10, 8)
		if err != nil || n.keys[i] != strconv.Itoa(i) {
			return nil
		}
		out[i] = byte(v)
	}
	return out
}

// unquoted undoes the escapes of Python, Go and PHP. The text begins with a quote.
func unquoted(text []byte) (out []byte) {
	rest := string(bytes.TrimSuffix(text[1:], text[:1]))
	for rest != "" {
		if strings.HasPrefix(rest, `\'`) || strings.HasPrefix(rest, `\"`) {
			out, rest = append(out, rest[1]), rest[2:]
			continue
		}
		r, multibyte, tail, err := strconv.UnquoteChar(rest, 0)
		switch {
		case err != nil:
			return nil
		case multibyte:
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, byte(r)) // #nosec G115 -- one byte, see UnquoteChar
		}
		rest = tail
	}
	return out
}

// fields are the names under which platforms hand a body over.
var fields = []string{"body", "rawBody", "raw_body", "payload", "Message", "detail", "message", "data", "Records"}

// fromFields takes the body out of a value around it. There a text is the body, and a
// value is what was parsed of it.
func fromFields(s subject) iter.Seq[[]byte] {
	text := bytes.TrimSpace(s.body)
	var list []json.RawMessage
	if bytes.HasPrefix(text, []byte("[")) && json.Unmarshal(text, &list) == nil && len(list) == 1 {
		return one(list[0])
	}
	var object map[string]json.RawMessage
	if s.event != nil || json.Unmarshal(text, &object) != nil {
		return one(nil)
	}
	return func(yield func([]byte) bool) {
		for _, name := range fields {
			value := object[name]
			var inner string
			if json.Unmarshal(value, &inner) == nil && inner != "" {
				value = json.RawMessage(inner)
			}
			if len(value) > 1 && !yield(value) {
				return
			}
		}
	}
}

func fromForm(s subject) iter.Seq[[]byte] {
	text := string(s.body)
	if !strings.ContainsAny(text, "%+=") {
		return one(nil)
	}
	return func(yield func([]byte) bool) {
		values, err := url.ParseQuery(text)
		if err == nil && len(values) <= len(fields) {
			for _, v := range values {
				if len(v[0]) > 1 && !yield([]byte(v[0])) {
					return
				}
			}
		}
		for _, t := range []string{text, strings.TrimRight(text, "=")} {
			if whole, err := url.QueryUnescape(t); err == nil && whole != text && !yield([]byte(whole)) {
				return
			}
		}
	}
}

func fromEntities(s subject) iter.Seq[[]byte] {
	if text := unescaped(string(s.body)); text != string(s.body) {
		return one([]byte(text))
	}
	return one(nil)
}

// unescaped replaces the entities that filters write: five names, and numbers.
// Package html knows all names, which makes every program larger that imports it.
func unescaped(text string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "&")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		text = after
		if name, rest, closed := strings.Cut(after, ";"); closed && len(name) < 9 {
			if r, known := entity(name); known {
				out.WriteRune(r)
				text = rest
				continue
			}
		}
		out.WriteByte('&')
	}
}

func entity(name string) (r rune, known bool) {
	switch name {
	case "quot":
		return '"', true
	case "amp":
		return '&', true
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "apos":
		return '\'', true
	}
	digits, base := strings.TrimPrefix(name, "#"), 10
	if len(digits) == len(name) {
		return 0, false
	}
	if hexadecimal := strings.TrimLeft(digits, "xX"); len(hexadecimal) == len(digits)-1 {
		digits, base = hexadecimal, 16
	}
	n, err := strconv.ParseUint(digits, base, 21)
	return rune(n), err == nil && utf8.ValidRune(rune(n)) // #nosec G115 -- 21 bits
}

// decompressed reads gzip, zlib and bare deflate, up to MaxBody bytes.
func decompressed(s subject) iter.Seq[[]byte] {
	if len(s.body) < 3 || utf8.Valid(s.body) {
		return one(nil)
	}
	var r io.Reader
	switch in := bytes.NewReader(s.body); {
	case s.body[0] == 0x1f && s.body[1] == 0x8b:
		z, err := gzip.NewReader(in)
		if err != nil {
			return one(nil)
		}
		r = z
	case s.body[0]&0x0f == 8 && (int(s.body[0])<<8+int(s.body[1]))%31 == 0:
		z, err := zlib.NewReader(in)
		if err != nil {
			return one(nil)
		}
		r = z
	default:
		r = flate.NewReader(in)
	}
	return one(readAll(r))
}

// readAll returns nil for what cannot be read or is too large.
func readAll(r io.Reader) []byte {
	b, err := io.ReadAll(io.LimitReader(r, MaxBody+1))
	if err != nil || len(b) > MaxBody || len(b) == 0 {
		return nil
	}
	return b
}

func fromChunks(s subject) iter.Seq[[]byte] {
	size, _, found := bytes.Cut(s.body, []byte("\r\n"))
	if _, err := strconv.ParseUint(string(size), 16, 32); !found || err != nil {
		return one(nil)
	}
	head := strings.NewReader("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(io.MultiReader(head, bytes.NewReader(s.body))), nil)
	if err != nil {
		return one(nil)
	}
	defer func() { _ = res.Body.Close() }()
	return one(readAll(res.Body))
}
