package webhookapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ringyo-ai/webhook"
)

// maxBody is how many bytes a body may have.
const maxBody = 64 << 10

// readBody reads the body of a request that changes something.
func (r *request) readBody(w http.ResponseWriter) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return refused("", "the body must have at most 64 KiB")
	case err != nil:
		return refused("", "the body could not be read to its end")
	case len(body) == 0:
		return nil
	}
	types := []string{"application/json"}
	if r.Method == http.MethodPatch {
		types = append(types, "application/merge-patch+json")
	}
	name, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset := params["charset"]; err != nil || !slices.Contains(types, name) || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return &apiError{status: http.StatusUnsupportedMediaType, code: "invalid_request", message: "the Content-Type must be application/json"}
	}
	if !utf8.Valid(body) {
		return refused("", "the body is not valid UTF-8")
	}
	r.body = body
	return nil
}

// object reads the fields of a JSON object, and collects what is wrong with them.
type object struct {
	fields map[string]json.RawMessage
	faults []fault
}

// object reads the body as a JSON object with fields of these names alone. An empty body
// is an object without fields, unless something is required.
func (r *request) object(names ...string) (*object, error) {
	o := &object{fields: map[string]json.RawMessage{}}
	if len(bytes.TrimSpace(r.body)) == 0 {
		return o, nil
	}
	fields, where, err := members(r.body, "")
	if err != nil {
		return nil, refused(where, err.Error())
	}
	for _, f := range fields {
		if !slices.Contains(names, f.name) {
			o.wrong(f.name, "is not a field of this request")
			continue
		}
		o.fields[f.name] = f.value
	}
	return o, nil
}

// noFields refuses a body that has any.
func (r *request) noFields() error {
	o, err := r.object()
	if err != nil {
		return err
	}
	return o.err()
}

// member is a field of an object.
type member struct {
	name  string
	value json.RawMessage
}

// members returns the fields of a JSON object, in their order. where is the path of what
// is wrong.
func members(raw []byte, path string) (list []member, where string, err error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	start, err := dec.Token()
	if err != nil || start != json.Delim('{') {
		if err == nil && json.Valid(raw) {
			return nil, path, errors.New(strings.TrimSpace(path + " must be an object"))
		}
		return nil, path, errors.New("the body is not valid JSON")
	}
	for dec.More() {
		token, err := dec.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, path, errors.New("the body is not valid JSON")
		}
		at := join(path, name)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, at, errors.New("the body is not valid JSON")
		}
		if slices.ContainsFunc(list, func(m member) bool { return m.name == name }) {
			return nil, at, errors.New(at + " is given twice")
		}
		list = append(list, member{name, value})
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return nil, path, errors.New("the body is not valid JSON")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, path, errors.New("the body has more after its JSON value")
	}
	return list, "", nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func (o *object) wrong(path, problem string) {
	o.faults = append(o.faults, fault{"invalid_request", path + " " + problem, path})
}

// code gives the faults of a field a code of its own.
func (o *object) code(field, code string) {
	for i, f := range o.faults {
		if f.Field == field || strings.HasPrefix(f.Field, field+"[") {
			o.faults[i].Code = code
		}
	}
}

// err returns what is wrong, or nil.
func (o *object) err() error {
	if len(o.faults) == 0 {
		return nil
	}
	return faulty(o.faults)
}

// null reports whether a field is there and null.
func (o *object) null(name string) bool { return string(o.fields[name]) == "null" }

// has reports whether a field is there.
func (o *object) has(name string) bool { return o.fields[name] != nil }

// decode reads a field into dst, if it is there.
func (o *object) decode(name string, dst any, must string) bool {
	raw, ok := o.fields[name]
	if !ok {
		return false
	}
	if string(raw) == "null" || json.Unmarshal(raw, dst) != nil {
		o.wrong(name, must)
		return false
	}
	return true
}

func (o *object) string(name string) (s string, ok bool) {
	ok = o.decode(name, &s, "must be a string")
	return s, ok
}

// optional is string of a field that may be null, which is the empty string.
func (o *object) optional(name string) (s string, ok bool) {
	if o.null(name) {
		return "", true
	}
	return o.string(name)
}

func (o *object) bool(name string) (b bool) {
	o.decode(name, &b, "must be true or false")
	return b
}

func (o *object) int(name string) (n int, ok bool) {
	ok = o.decode(name, &n, "must be a whole number")
	return n, ok
}

func (o *object) time(name string) (t time.Time) {
	if s, ok := o.string(name); ok {
		var err error
		if t, err = time.Parse(time.RFC3339, s); err != nil {
			o.wrong(name, "must be a time such as 2026-01-31T12:00:00Z")
		}
	}
	return t
}

// list reads an array of strings.
func list[T ~string](o *object, name string) (out []T, ok bool) {
	var items []json.RawMessage
	if !o.decode(name, &items, "must be an array of strings") {
		return nil, false
	}
	out = make([]T, len(items))
	for i, raw := range items {
		var s *string
		if json.Unmarshal(raw, &s) != nil || s == nil {
			o.wrong(name+"["+itoa(i)+"]", "must be a string")
			continue
		}
		out[i] = T(*s)
	}
	return out, true
}

// strings reads an object of strings. Where null is allowed it is nil.
func (o *object) strings(name string, null bool) (out map[string]*string, ok bool) {
	raw, ok := o.fields[name]
	if !ok {
		return nil, false
	}
	fields, where, err := members(raw, name)
	if err != nil {
		o.faults = append(o.faults, fault{"invalid_request", err.Error(), where})
		return nil, false
	}
	out = make(map[string]*string, len(fields))
	for _, f := range fields {
		var s *string
		switch err := json.Unmarshal(f.value, &s); {
		case err != nil:
			o.wrong(join(name, f.name), "must be a string")
		case s == nil && !null:
			o.wrong(join(name, f.name), "must be a string and not null")
		}
		out[f.name] = s
	}
	return out, true
}

// values returns what all of m are set to.
func values(m map[string]*string) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		if v != nil {
			out[k] = *v
		}
	}
	return out
}

// params are the query parameters of a request.
type params struct {
	values url.Values
	faults []fault
}

// query returns the query parameters, which may be of these names, each once but for
// those that end in [].
func query(r *request, names ...string) (*params, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refused("", "the query is not well formed")
	}
	p := &params{values: q}
	for _, name := range sortedKeys(q) {
		switch {
		case !slices.Contains(names, name):
			p.wrong(name, "is not a parameter of this request")
		case len(q[name]) > 1:
			p.wrong(name, "is given twice")
		case !utf8.ValidString(q.Get(name)):
			p.wrong(name, "is not valid UTF-8")
		}
	}
	return p, p.err()
}

func sortedKeys(q url.Values) []string {
	keys := make([]string, 0, len(q))
	for k := range q {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (p *params) wrong(name, problem string) {
	if !utf8.ValidString(name) {
		name = strings.ToValidUTF8(name, "\uFFFD")
	}
	p.faults = append(p.faults, fault{"invalid_request", name + " " + problem, name})
}

func (p *params) err() error {
	if len(p.faults) == 0 {
		return nil
	}
	return faulty(p.faults)
}

func (p *params) get(name string) string { return p.values.Get(name) }

// limit is how many items a page may have: 1 to 100, by default 20.
func (p *params) limit() int {
	s := p.get("limit")
	if s == "" && !p.values.Has("limit") {
		return 20
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 100 {
		p.wrong("limit", "must be a number from 1 to 100")
	}
	return n
}

func (p *params) time(name string) (t time.Time) {
	if !p.values.Has(name) {
		return t
	}
	t, err := time.Parse(time.RFC3339, p.get(name))
	if err != nil {
		p.wrong(name, "must be a time such as 2026-01-31T12:00:00Z")
	}
	return t
}

// types reads event types, separated by commas.
func (p *params) types(name string) (list []webhook.EventType) {
	if !p.values.Has(name) {
		return nil
	}
	for _, t := range strings.Split(p.get(name), ",") {
		if t == "" {
			p.wrong(name, "must hold event types, separated by commas")
			return nil
		}
		list = append(list, webhook.EventType(t))
	}
	return list
}

// word reads one of a few words.
func word[T ~string](p *params, name string, words ...T) T {
	if !p.values.Has(name) {
		return ""
	}
	s := T(p.get(name))
	if !slices.Contains(words, s) {
		p.wrong(name, "must be one of "+listed(words))
	}
	return s
}

func listed[T ~string](words []T) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(w))
	}
	return b.String()
}
