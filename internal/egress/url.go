package egress

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// MaxURL is the length in bytes of the longest URL that is accepted.
const MaxURL = 2048

// Kind says in one word what is wrong with a URL.
type Kind string

// The kinds, in the order in which they are looked for.
const (
	TooLong      Kind = "too_long"       // more than MaxURL bytes
	Malformed    Kind = "parse"          // not an absolute URL
	Scheme       Kind = "scheme"         // neither https nor, where allowed, http
	Userinfo     Kind = "userinfo"       // user or password before the host
	Host         Kind = "host"           // empty, malformed or a name of private networks
	HostNotASCII Kind = "host_not_ascii" // a name that is not in its ASCII form
	HostNumeric  Kind = "host_numeric"   // an IPv4 address in an unusual notation
	Address      Kind = "address"        // an address that must not be reached
	Port         Kind = "port"           // not within 1 to 65535
	PortBlocked  Kind = "port_blocked"   // the port of something else than HTTP
	Fragment     Kind = "fragment"       // something after '#'
)

// Problem returns a sentence that the owner of the URL may read, since it shows
// nothing of the URL, or "" for a kind that is none of the above.
func (k Kind) Problem() string {
	switch k {
	case TooLong:
		return "it is longer than 2048 bytes"
	case Malformed:
		return "it is not a URL of the form https://host/path"
	case Scheme:
		return "it must begin with https://"
	case Userinfo:
		return "it must not hold a user or a password; use a custom header"
	case Host:
		return "its host is not a public name"
	case HostNotASCII:
		return "its host must be given in the ASCII form (xn--…)"
	case HostNumeric:
		return "its host is an address in an unusual notation"
	case Address:
		return "its host is not a public address"
	case Port:
		return "its port is not within 1 to 65535"
	case PortBlocked:
		return "its port is not one of HTTP servers; use 443"
	case Fragment:
		return "it must not hold a '#'"
	}
	return ""
}

// Error is a refused URL.
type Error struct{ Kind Kind }

func (e *Error) Error() string { return "egress: invalid url: " + string(e.Kind) }

// ParseURL returns raw in its normal form, or an [*Error]. The normal form has
// scheme and host in lower case, no port where it is the scheme's own, and "/"
// for an empty path; path and query are kept byte for byte, except that bytes
// which cannot be sent are percent-encoded: in both what is not visible ASCII, and
// in the path what RFC 3986 allows in no path. Parsing the normal form again
// returns the same, and its RequestURI is what stands in the request. No name is
// resolved.
func (p *Policy) ParseURL(raw string) (*url.URL, error) {
	if len(raw) > MaxURL {
		return nil, &Error{TooLong}
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" {
		return nil, &Error{Malformed}
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !p.AllowHTTP) {
		return nil, &Error{Scheme}
	}
	if u.User != nil {
		return nil, &Error{Userinfo}
	}
	host, kind := p.host(u)
	if kind != "" {
		return nil, &Error{kind}
	}
	port, kind := p.normalPort(u.Scheme, u.Port())
	if kind != "" {
		return nil, &Error{kind}
	}
	if strings.IndexByte(raw, '#') >= 0 {
		return nil, &Error{Fragment}
	}
	n := &url.URL{Scheme: u.Scheme, Host: host + port, ForceQuery: u.ForceQuery, RawQuery: u.RawQuery}
	if Keep(n, raw) != nil {
		return nil, &Error{Malformed}
	}
	if len(n.String()) > MaxURL {
		return nil, &Error{TooLong}
	}
	return n, nil
}

// host returns the host as it stands in a URL, or what is wrong with it.
func (p *Policy) host(u *url.URL) (string, Kind) {
	if strings.HasPrefix(u.Host, "[") {
		return p.host6(u.Hostname())
	}
	h := strings.ToLower(u.Hostname())
	name := strings.TrimSuffix(h, ".")
	if name == "" {
		return "", Host
	}
	if !ascii(name) {
		return "", HostNotASCII
	}
	if addr, err := netip.ParseAddr(h); err == nil {
		if !p.Allowed(addr) {
			return "", Address
		}
		return h, ""
	}
	switch {
	case endsInNumber(name):
		return "", HostNumeric
	case !validName(name), !p.reachableName(name):
		return "", Host
	}
	return h, ""
}

// host6 checks what stands in brackets. An IPv4-mapped address is refused even
// where its IPv4 address is allowed: there is no honest reason to write it so.
func (p *Policy) host6(h string) (string, Kind) {
	addr, err := netip.ParseAddr(h)
	switch {
	case err != nil || !addr.Is6():
		return "", Malformed
	case addr.Is4In6() || !p.Allowed(addr):
		return "", Address
	}
	return "[" + addr.String() + "]", ""
}

// normalPort returns ":port", or "" for the scheme's own, or what is wrong with it.
func (p *Policy) normalPort(scheme, port string) (string, Kind) {
	if port == "" {
		return "", ""
	}
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || n == 0:
		return "", Port
	case scheme == "https" && n == 443 || scheme == "http" && n == 80:
		return "", ""
	case !p.allowsPort(uint16(n)):
		return "", PortBlocked
	}
	return ":" + strconv.FormatUint(n, 10), ""
}

// endsInNumber reports whether some parser would read name as an IPv4 address:
// the last label is decimal, octal or hexadecimal
// (https://url.spec.whatwg.org/#ends-in-a-number-checker).
func endsInNumber(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if strings.HasPrefix(last, "0x") {
		return true
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// validName reports whether name, in lower case, can be in DNS. Underscores are
// not in the book, but in use.
func validName(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label == "xn--" ||
			label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// privateSuffixes are names that lead nowhere on the public internet: special
// use (RFC 6761, 6762, 8375, ICANN's .internal) or in habitual private use.
var privateSuffixes = []string{
	"local", "localdomain", "internal", "intranet", "private", "corp", "home", "lan", "home.arpa",
}

// reachableName reports whether name can lead to an address that is allowed.
// Where private prefixes are allowed their names are too; this machine itself
// only where its own addresses are.
func (p *Policy) reachableName(name string) bool {
	if hasSuffix(name, "localhost") {
		return p.allowsLoopback()
	}
	if len(p.Allow) > 0 {
		return true
	}
	for _, s := range privateSuffixes {
		if hasSuffix(name, s) {
			return false
		}
	}
	return strings.Contains(name, ".")
}

func (p *Policy) allowsLoopback() bool {
	for _, a := range p.Allow {
		if a.Contains(netip.IPv6Loopback()) || a.Overlaps(loopback4.prefixes()[0]) {
			return true
		}
	}
	return false
}

var loopback4 = ranges{text: "127.0.0.0/8"}

// hasSuffix reports whether name is suffix or ends in a dot and suffix.
func hasSuffix(name, suffix string) bool {
	rest, ok := strings.CutSuffix(name, suffix)
	return ok && (rest == "" || rest[len(rest)-1] == '.')
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// Keep makes u, which net/url parsed from raw and which has a host, send path and
// query as they stand in raw; only bytes that cannot be sent are percent-encoded.
// What net/url keeps of a path is not enough: one byte that has to be encoded makes
// it encode the decoded path anew, in which "%2F" has become "/".
func Keep(u *url.URL, raw string) (err error) {
	u.RawQuery = encode(u.RawQuery, unsendable)
	u.RawPath = encode(rawPath(raw), unsendableInPath)
	u.Path, err = url.PathUnescape(u.RawPath)
	return err
}

// rawPath returns the path of raw, which has a scheme and a host, as it stands
// there, and "/" for none.
func rawPath(raw string) string {
	if i := strings.IndexAny(raw, "?#"); i >= 0 {
		raw = raw[:i]
	}
	_, rest, _ := strings.Cut(raw, "//")
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[i:]
	}
	return "/"
}

// encode percent-encodes the bytes of s that are bad.
func encode(s string, bad func(byte) bool) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; bad(c) {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// unsendable reports whether a request line cannot hold c. In a query browsers
// encode hardly more either (https://url.spec.whatwg.org/#query-percent-encode-set).
func unsendable(c byte) bool { return c <= ' ' || c >= 0x7f }

// unsendableInPath adds what RFC 3986 allows in no path. Servers refuse some of it
// (Tomcat all), browsers encode it, and net/url keeps no path that holds it. The
// brackets are not allowed either, but nobody encodes them.
func unsendableInPath(c byte) bool { return unsendable(c) || strings.IndexByte("\"<>\\^`{|}", c) >= 0 }
