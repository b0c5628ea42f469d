package egress_test

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook/internal/egress"
)

// refused are URLs that no policy of public addresses accepts, by the number of
// the hostile case. All of them are parsed with http allowed.
var refused = []struct {
	number string
	kind   egress.Kind
	urls   []string
}{
	{"A1", egress.Address, []string{"http://127.0.0.1/"}},
	{"A2", egress.Address, []string{"http://127.0.0.1:5432/"}},
	{"A3", egress.Host, []string{"http://localhost/", "http://LOCALHOST/", "http://localhost./", "http://foo.localhost/"}},
	{"A4", egress.HostNumeric, []string{"http://2130706433/"}},
	{"A5", egress.HostNumeric, []string{"http://0x7f000001/", "http://0x7f.1/", "http://example.0x7f/", "http://127.0.0.0X1/"}},
	{"A6", egress.HostNumeric, []string{"http://0177.0.0.1/", "http://01.1.1.1/", "http://example.1/", "http://1.2.3/"}},
	{"A7", egress.HostNumeric, []string{"http://127.0.0.1./", "http://8.8.8.8./"}},
	{"A8", egress.HostNotASCII, []string{"http://１２７.0.0.1/", "http://①②⑦.0.0.1/", "http://127。0。0。1/", "http://b%C3%BCcher.example/"}},
	{"A9", egress.Address, []string{"http://[::1]/", "http://[::]/"}},
	{"A10", egress.Address, []string{"http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[0:0:0:0:0:ffff:127.0.0.1]/"}},
	{"A11", egress.Address, []string{"http://[::ffff:169.254.169.254]/"}},
	{"A12", egress.Address, []string{"https://[::ffff:8.8.8.8]/"}},
	{"A13", egress.Address, []string{"http://[::ffff:0:127.0.0.1]/", "http://[::127.0.0.1]/"}},
	{"A14", egress.Address, []string{"http://[64:ff9b::a9fe:a9fe]/"}},
	{"A15", egress.Address, []string{"http://[64:ff9b::808:808]/"}},
	{"A16", egress.Address, []string{"http://[2002:7f00:1::]/", "http://[2002:a9fe:a9fe::]/"}},
	{"A17", egress.Address, []string{"http://[2001:0:53aa:64c:0:0:8000:ffff]/"}},
	{"A18", egress.Address, []string{"http://[fd00:ec2::254]/"}},
	{"A19", egress.Address, []string{"http://[fe80::1]/", "http://[fe80::1%25eth0]/", "http://[febf::1]/", "http://[2606:4700::1111%251]/"}},
	{"A20", egress.Address, []string{"http://[fec0::1]/"}},
	{"A21", egress.Address, []string{"http://[ff02::1]/", "http://224.0.0.1/", "http://239.255.255.250:1900/"}},
	{"A22", egress.Address, []string{"http://10.0.0.1/", "http://172.16.0.1/", "http://172.31.255.255/", "http://192.168.0.1/"}},
	{"A24", egress.Address, []string{"http://100.64.0.1/", "http://100.100.100.200/", "http://100.127.255.255/"}},
	{"A25", egress.Address, []string{"http://168.63.129.16/"}},
	{"A26", egress.Address, []string{"http://192.0.0.192/", "http://192.0.0.1/"}},
	{"A27", egress.Address, []string{"http://192.0.2.1/", "http://198.51.100.1/", "http://203.0.113.1/", "http://198.18.0.1/", "http://192.88.99.1/", "http://0.0.0.0/", "http://255.255.255.255/"}},
	{"A28", egress.Host, []string{"http://metadata.google.internal/", "http://foo.internal/", "http://foo.local/", "http://foo.home.arpa/", "http://intranet/", "http://Foo.Internal./"}},
	{"A29", egress.Userinfo, []string{"https://example.com@127.0.0.1/"}},
	{"A30", egress.Userinfo, []string{"https://user:pass@example.com/", "https://@example.com/"}},
	{"A31", egress.Address, []string{"http://127.0.0.1#@example.com/"}},
	{"A31", egress.Fragment, []string{"https://example.com/#top", "https://example.com/#"}},
	{"A32", egress.Malformed, []string{`http://127.0.0.1\@example.com/`, `http://example.com\@127.0.0.1/`}},
	{"A33", egress.Scheme, []string{"file:///etc/passwd", "gopher://x/", "unix:///var/run/docker.sock", "ftp://x/", "javascript:alert(1)", "data:,x", "httpss://example.com/"}},
	{"A34", egress.Host, []string{"http://:80/", "http://", "https:///x", "https:example.com", "http://./"}},
	{"A36", egress.Port, []string{"https://example.com:0/", "https://example.com:99999/", "https://example.com:00000000000000000000000/"}},
	{"A39", egress.Malformed, []string{"https://[example.com]/", "https://[1.2.3.4]/", "https://[v1.x]/", "https://[]/", "https://[::1/"}},
	{"A41", egress.TooLong, []string{"https://example.com/" + strings.Repeat("a", egress.MaxURL-19), "https://" + strings.Repeat("a.", 1<<19), "https://example.com/" + strings.Repeat(" ", 1000)}},
	{"A42", egress.Host, []string{
		"https://xn--/", "https://-/", "https://example..com/", "https://.example.com/", "https://-a.example.com/", "https://a-.example.com/",
		"https://" + strings.Repeat("a", 64) + ".com/", "https://" + strings.Repeat("abcdefghi.", 25) + "abcd/", "https://exa$mple.com/",
	}},
	{"", egress.Malformed, []string{"", "/", "example.com", "//example.com/", " https://example.com/", "https://example.com/\n", "https://exa mple.com/", "https://example.com:x/", "https://%31%32%37.0.0.1/", "::"}},
}

func TestURLsThatAreRefused(t *testing.T) {
	t.Parallel()
	p := egress.Policy{AllowHTTP: true}
	for _, c := range refused {
		for _, raw := range c.urls {
			u, err := p.ParseURL(raw)
			var e *egress.Error
			if assert.ErrorAs(t, err, &e, "%s %.80q", c.number, raw) {
				assert.Equal(t, c.kind, e.Kind, "%s %.80q", c.number, raw)
				assert.Nil(t, u)
			}
		}
	}
}

func TestURLsThatAreAccepted(t *testing.T) {
	t.Parallel()
	label := strings.Repeat("a", 63)
	for _, c := range []struct{ number, raw, normal string }{
		{"A23", "http://172.15.255.255/", "http://172.15.255.255/"},
		{"A23", "http://172.32.0.1/", "http://172.32.0.1/"},
		{"A23", "http://11.0.0.1/", "http://11.0.0.1/"},
		{"A23", "http://100.63.255.255/", "http://100.63.255.255/"},
		{"A23", "http://100.128.0.1/", "http://100.128.0.1/"},
		{"A23", "https://[2606:4700:0:0::1111]/", "https://[2606:4700::1111]/"},
		{"A35", "http://example.com/", "http://example.com/"},
		{"A36", "https://example.com:8443/", "https://example.com:8443/"},
		{"A36", "https://example.com:65535/", "https://example.com:65535/"},
		{"A37", "https://example.com:/", "https://example.com/"},
		{"A37", "https://example.com:443", "https://example.com/"},
		{"A37", "https://example.com:0443/a", "https://example.com/a"},
		{"A37", "http://example.com:80?x", "http://example.com/?x"},
		{"A37", "http://example.com:443/", "http://example.com:443/"},
		{"A38", "HTTPS://EXAMPLE.COM/Path", "https://example.com/Path"},
		{"A38", "https://example.com/a%2fb/%7Eu/../c//d;e=1?Q=%41&a=b+c&&=", "https://example.com/a%2fb/%7Eu/../c//d;e=1?Q=%41&a=b+c&&="},
		{"A38", "https://example.com/?", "https://example.com/?"},
		{"A40", "https://example.com/%0d%0aX:y", "https://example.com/%0d%0aX:y"},
		{"A40", "https://example.com/?a b", "https://example.com/?a%20b"},
		{"A40", "https://example.com/ü b?ü", "https://example.com/%C3%BC%20b?%C3%BC"},
		{"A41", "https://example.com/" + strings.Repeat("a", egress.MaxURL-20), "https://example.com/" + strings.Repeat("a", egress.MaxURL-20)},
		{"A41", "https://example.com/?" + strings.Repeat(" ", 675) + "aa", "https://example.com/?" + strings.Repeat("%20", 675) + "aa"}, // exactly as long as it may be, once encoded
		{"A42", "https://" + label + ".com/", "https://" + label + ".com/"},
		{"A42", "https://" + strings.Repeat(label+".", 3) + label[:61] + "/", "https://" + strings.Repeat(label+".", 3) + label[:61] + "/"}, // 253 bytes
		{"A42", "https://az-09.az_09.az/", "https://az-09.az_09.az/"},
		{"A42", "https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"},
		{"", "https://a_b.example.com./", "https://a_b.example.com./"},
		{"", "https://1.example.com/", "https://1.example.com/"},
		{"", "https://internal.example.com/", "https://internal.example.com/"},
		{"", "https://notinternal.com/", "https://notinternal.com/"},
	} {
		u, err := (&egress.Policy{AllowHTTP: true}).ParseURL(c.raw)
		if assert.NoError(t, err, "%s %.80q", c.number, c.raw) {
			assert.Equal(t, c.normal, u.String(), c.number)
		}
	}
}

// What stands after the host arrives as it was registered: one byte that has to be
// encoded changes no other.
func TestPathAndQueryAreKeptByteForByte(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"/api/v4/projects/acme%2Fvoice/{env}/hook": "/api/v4/projects/acme%2Fvoice/%7Benv%7D/hook",
		"/..%2F..%2F":            "/..%2F..%2F",
		"/{}/..%2F..%2f/./../.":  "/%7B%7D/..%2F..%2f/./../.",
		"/%2e%2E/%41%7e%7B{":     "/%2e%2E/%41%7e%7B%7B",
		"//a//%2F/":              "//a//%2F/",
		"/a;b=1,2;c/!$&'()*+:=@": "/a;b=1,2;c/!$&'()*+:=@",
		"/[a]/%5Bb%5D":           "/[a]/%5Bb%5D",
		"/%C3%bc/ü/\xff/%ff%00":  "/%C3%bc/%C3%BC/%FF/%ff%00",
		"/a b/%20/+":             "/a%20b/%20/+",
		`/"<>\^` + "`{|}":        "/%22%3C%3E%5C%5E%60%7B%7C%7D",
		"/-._~/%2D%2E%5F%7E":     "/-._~/%2D%2E%5F%7E",
		"/%3Fa?b?c=%3F&d=/?":     "/%3Fa?b?c=%3F&d=/?",
		"/%23":                   "/%23",
		"?a=%2f{b}&c=%zz&%&a[]=": "/?a=%2f{b}&c=%zz&%&a[]=",
		"?":                      "/?",
		"/??":                    "/??",
		"/a?x=ü ;y=\"":           "/a?x=%C3%BC%20;y=\"",
		"/{a}?":                  "/%7Ba%7D?",
		"/a@b:c//https://x/%2f{": "/a@b:c//https://x/%2f%7B",
		"?u=https://x/{y}//z":    "/?u=https://x/{y}//z",
	} {
		for _, host := range []string{"https://example.com", "HTTPS://Example.COM:443", "https://[2606:4700::1111]:8443"} {
			u, err := new(egress.Policy).ParseURL(host + raw)
			if assert.NoError(t, err, raw) {
				assert.Equal(t, want, u.RequestURI(), raw)
				assert.True(t, strings.HasSuffix(u.String(), want), "%s: %s", raw, u)
				checkNormal(t, new(egress.Policy), u)
			}
		}
	}
}

// In a path half an escape means nothing, and servers refuse it.
func TestMalformedEscapesInAPathAreRefused(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/%zz", "/%", "/a%2", "/%2fb%", "/{%zz}", "/%%32"} {
		_, err := new(egress.Policy).ParseURL("https://example.com" + path)
		var e *egress.Error
		if assert.ErrorAs(t, err, &e, path) {
			assert.Equal(t, egress.Malformed, e.Kind, path)
		}
	}
}

func TestOnlyHTTPSByDefault(t *testing.T) { // A35
	t.Parallel()
	_, err := new(egress.Policy).ParseURL("http://example.com/")
	var e *egress.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, egress.Scheme, e.Kind)
	assert.Equal(t, "egress: invalid url: scheme", e.Error())
}

func TestPrivateNamesFollowTheAllowList(t *testing.T) {
	t.Parallel()
	accepts := func(raw string, allow ...string) bool {
		p := egress.Policy{}
		for _, a := range allow {
			p.Allow = append(p.Allow, netip.MustParsePrefix(a))
		}
		_, err := p.ParseURL(raw)
		return err == nil
	}
	for _, host := range []string{"receiver", "hooks.internal", "a.svc.cluster.local"} {
		assert.False(t, accepts("https://"+host+"/"), host)
		assert.True(t, accepts("https://"+host+"/", "10.0.0.0/8"), host)
	}
	assert.False(t, accepts("https://localhost/", "10.0.0.0/8"))
	assert.True(t, accepts("https://localhost/", "127.0.0.1/32"))
	assert.True(t, accepts("https://a.localhost/", "10.0.0.0/8", "::1/128"))
	assert.False(t, accepts("https://[::ffff:127.0.0.1]/", "127.0.0.0/8"), "a mapped literal is refused even then")
}

func FuzzParseURL(f *testing.F) {
	for _, c := range refused {
		for _, raw := range c.urls {
			if len(raw) < 300 {
				f.Add(raw)
			}
		}
	}
	f.Add("https://example.com/a%2fb?x y#z")
	f.Add("https://example.com/%2f{a}/..%2F?{%zz}")
	f.Add("https://u@[::1%25x]:65536/\\?\x80")
	p := &egress.Policy{AllowHTTP: true}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := p.ParseURL(raw)
		if err != nil {
			var e *egress.Error
			require.ErrorAs(t, err, &e)
			require.NotEmpty(t, e.Kind)
			return
		}
		checkNormal(t, p, u)
		path, slashes := decoded(raw)
		gotPath, gotSlashes := decoded(u.String())
		require.Equal(t, path, gotPath, raw)
		require.Equal(t, slashes, gotSlashes, raw)
	})
}

// checkNormal asserts what every accepted URL has in common.
func checkNormal(t *testing.T, p *egress.Policy, u *url.URL) {
	t.Helper()
	s := u.String()
	require.LessOrEqual(t, len(s), egress.MaxURL)
	require.False(t, strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c >= 0x7f }), "%q", s)
	again, err := p.ParseURL(s)
	require.NoError(t, err, s)
	require.Equal(t, s, again.String(), "the normal form is its own normal form")
	require.Equal(t, u.RequestURI(), again.RequestURI())
	require.Contains(t, []string{"http", "https"}, u.Scheme)
	require.Nil(t, u.User)
	require.Equal(t, strings.ToLower(u.Host), u.Host)
	require.True(t, strings.HasPrefix(u.RequestURI(), "/"), u.RequestURI())
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		require.True(t, p.Allowed(addr), s)
	}
}

// decoded returns what the path of raw decodes to, and how many slashes stood there
// before.
func decoded(raw string) (path string, slashes int) {
	rest, _, _ := strings.Cut(raw, "?")
	_, rest, _ = strings.Cut(rest, "//")
	_, rest, _ = strings.Cut(rest, "/")
	path, _ = url.PathUnescape(rest)
	return path, strings.Count(rest, "/")
}
