package check

import (
	"fmt"
	"maps"
	"net/textproto"
	"slices"
	"strings"
)

// Limits of an endpoint's custom headers. Servers commonly allow 8 KiB for all
// the headers of a request and 100 of them.
const (
	maxHeaders     = 50
	maxHeaderBytes = 8 << 10 // names and values together
)

// reservedHeaders belong to the library, to the connection or to the proxy in
// between. Idempotency-Key is among them because net/http would send a request
// that has it twice. Names that begin with one of reservedPrefixes are reserved
// too.
var reservedHeaders = []string{
	"Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Date", "Expect",
	"Host", "Http2-Settings", "Idempotency-Key", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding",
	"Upgrade", "User-Agent", "X-Idempotency-Key",
}

var reservedPrefixes = []string{"Proxy-", "Webhook-"}

// Headers returns what is wrong with an endpoint's custom headers, of single ones as
// many problems as there may be headers.
func Headers(headers map[string]string) (all []Problem) {
	add := func(field, problem string) { all = append(all, Problem{field, problem}) }
	if len(headers) > maxHeaders {
		add("Headers", fmt.Sprintf("has more than %d entries", maxHeaders))
	}
	size, wrong := 0, 0
	seen := make(map[string]bool, len(headers))
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		size += len(name) + len(headers[name])
		key := textproto.CanonicalMIMEHeaderKey(name)
		if p := headerProblem(name, key, headers[name], seen[key]); p != "" && wrong < maxHeaders {
			add(fmt.Sprintf("Headers[%.64q]", name), p)
			wrong++
		}
		seen[key] = true
	}
	if size > maxHeaderBytes {
		add("Headers", fmt.Sprintf("has more than %d bytes in all", maxHeaderBytes))
	}
	return all
}

func headerProblem(name, key, value string, seen bool) string {
	switch {
	case !HeaderName(name):
		return "is not a header name"
	case reservedForEndpoints(key):
		return "is reserved"
	case seen:
		return "is given twice; upper and lower case are the same"
	case !validHeaderValue(value):
		return "has a value with other than printable ASCII characters, or with space around it"
	}
	return ""
}

// ReservedHeader reports whether a header, in canonical form, belongs to the
// connection, to a proxy or to the library in every scheme of signing.
func ReservedHeader(key string) bool { return slices.Contains(reservedHeaders, key) }

// reservedForEndpoints reports whether an endpoint may not have a header of its own of
// that name.
func reservedForEndpoints(key string) bool {
	return ReservedHeader(key) ||
		slices.ContainsFunc(reservedPrefixes, func(p string) bool { return strings.HasPrefix(key, p) })
}

// HeaderName reports whether s is a token (RFC 9110, 5.6.2).
func HeaderName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// validHeaderValue is stricter than RFC 9110: bytes beyond ASCII are read as
// Latin-1 by some servers and as UTF-8 by others.
func validHeaderValue(s string) bool {
	for i := range len(s) {
		if (s[i] < ' ' && s[i] != '\t') || s[i] >= 0x7f {
			return false
		}
	}
	return strings.Trim(s, " \t") == s
}
