// Package redact leaves of URLs their scheme and host: the path and the query of a
// customer's URL can be all that keeps others from using it, and what an error or a
// panic says comes into logs.
package redact

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Host returns scheme and host of a URL, and "" for what is not one.
func Host(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
}

// shortest is the length in bytes of the shortest path that is looked for without its
// host. A shorter one is no secret, and would be found in other words.
const shortest = 8

// Text returns s with the host alone of every http and https URL in it, and without
// the paths and queries of the known URLs, wherever they stand.
func Text(s string, known ...string) string {
	for _, raw := range known {
		if raw == "" {
			continue
		}
		s = replace(s, raw, Host(raw))
		if u, err := url.Parse(raw); err == nil {
			for _, part := range []string{u.RequestURI(), u.EscapedPath(), u.Path, u.RawQuery} {
				if len(part) >= shortest {
					s = replace(s, part, "/…")
				}
			}
		}
	}
	return hosts(s)
}

// replace replaces what is as it is, and what is quoted.
func replace(s, what, by string) string {
	s = strings.ReplaceAll(s, what, by)
	if quoted := strconv.Quote(what); quoted[1:len(quoted)-1] != what {
		s = strings.ReplaceAll(s, quoted[1:len(quoted)-1], by)
	}
	return s
}

// hosts cuts off what follows the hosts of URLs, and the passwords before them.
func hosts(s string) string {
	var out strings.Builder
	for {
		i := scheme(s)
		if i < 0 {
			break
		}
		out.WriteString(s[:i])
		s = s[i:]
		end := strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || strings.ContainsRune("\"'`<>\\", r) })
		if end < 0 {
			end = len(s)
		}
		authority := s[:end]
		if i := strings.IndexAny(authority, "/?#"); i >= 0 {
			authority = authority[:i]
		}
		out.WriteString(authority[strings.LastIndexByte(authority, '@')+1:])
		for end > len(authority) && strings.IndexByte(":;,.)", s[end-1]) >= 0 {
			end-- // what ends a sentence, not a URL
		}
		s = s[end:]
	}
	out.WriteString(s)
	return out.String()
}

// scheme returns where the next URL goes on after its scheme, and -1 if there is none.
func scheme(s string) int {
	for from := 0; ; {
		i := strings.Index(s[from:], "://")
		if i < 0 {
			return -1
		}
		from += i + len("://")
		before := strings.ToLower(s[:from])
		if strings.HasSuffix(before, "http://") || strings.HasSuffix(before, "https://") {
			return from
		}
	}
}

// Error returns err as it is where [Text] would change neither its text nor the text
// of anything that it wraps. Otherwise it returns an error with the changed text. For
// errors.Is and errors.As that is what err is, but it unwraps to nothing, since many
// programs log all that an error wraps.
func Error(err error, known ...string) error {
	if err == nil {
		return nil
	}
	texts := []string{err.Error()}
	each(err, func(inner error) {
		texts = append(texts, inner.Error())
		if e, ok := inner.(*url.Error); ok && !slices.Contains(known, e.URL) {
			known = append(slices.Clip(known), e.URL)
		}
	})
	for _, text := range texts {
		if Text(text, known...) != text {
			return &hidden{Text(texts[0], known...), err}
		}
	}
	return err
}

// each calls f with all that err wraps.
func each(err error, f func(error)) {
	f(err)
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			each(inner, f)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			if inner != nil {
				each(inner, f)
			}
		}
	}
}

// hidden is an error whose own text holds a URL.
type hidden struct {
	text string
	err  error
}

func (h *hidden) Error() string        { return h.text }
func (h *hidden) GoString() string     { return h.text }
func (h *hidden) Is(target error) bool { return errors.Is(h.err, target) }

// As finds a [*url.Error] with the host alone.
func (h *hidden) As(target any) bool {
	if !errors.As(h.err, target) {
		return false
	}
	if e, ok := target.(**url.Error); ok {
		*e = &url.Error{Op: (*e).Op, URL: Host((*e).URL), Err: Error((*e).Err)}
	}
	return true
}
