package egress_test

import (
	"net/netip"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ringyo-ai/webhook/internal/egress"
)

// badPorts are those that browsers refuse
// (https://fetch.spec.whatwg.org/#port-blocking).
var badPorts = []uint16{
	1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119,
	123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990,
	993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
}

// accepts reports whether a policy takes a URL with the port, and asserts that an
// address with it is judged alike at the dial.
func accepts(t *testing.T, p egress.Policy, scheme string, port uint16) bool {
	t.Helper()
	number := strconv.Itoa(int(port))
	_, err := p.ParseURL(scheme + "://example.com:" + number + "/")
	dialled := p.Control(t.Context(), "tcp4", "8.8.8.8:"+number, nil)
	assert.Equal(t, err == nil, dialled == nil, "port %d: %v, %v", port, err, dialled)
	var e *egress.Error
	if err != nil && assert.ErrorAs(t, err, &e) {
		assert.Equal(t, egress.PortBlocked, e.Kind, "port %d", port)
	}
	return err == nil
}

func TestPortsOfOtherProtocolsAreRefused(t *testing.T) {
	t.Parallel()
	others := []uint16{
		24, 26, 81, 88, 442, 444, 873, 1023, // below 1024
		1433, 1521, 3306, 5432, 6379, 11211, 27017, 26379, 2525, 5672, 9092, 1883, 5038, 8021, 2375, 2379, 9200, 10250, 3389, 5900, 6001, 6063, 9100,
	}
	for _, port := range append(others, badPorts...) {
		assert.False(t, accepts(t, egress.Policy{AllowHTTP: true}, "https", port), port)
		assert.False(t, accepts(t, egress.Policy{AllowHTTP: true}, "http", port), port)
		assert.True(t, accepts(t, egress.Policy{AllowPorts: []uint16{8443, port}}, "https", port), "%d is named", port)
	}
}

func TestPortsOfHTTPAreAccepted(t *testing.T) {
	t.Parallel()
	usual := []uint16{
		443, 1024, 1880, 3000, 3001, 3128, 4000, 4040, 4200, 4433, 5000, 5001, 5173, 5678, 7001, 7080, 7443, 8000, 8008, 8069, 8080, 8081, 8088, 8090,
		8123, 8443, 8787, 8888, 9000, 9080, 9090, 9443, 10000, 10443, 18080, 32767,
		2052, 2053, 2082, 2083, 2086, 2087, 2095, 2096, 8880, // those of Cloudflare
	}
	for _, port := range usual {
		assert.True(t, accepts(t, egress.Policy{}, "https", port), port)
	}
	for port := 32768; port <= 65535; port++ { // test servers have these
		p := egress.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
		assert.NoError(t, p.Control(t.Context(), "tcp4", "127.0.0.1:"+strconv.Itoa(port), nil), port)
	}
}

func TestPort80GoesWithHTTP(t *testing.T) {
	t.Parallel()
	assert.False(t, accepts(t, egress.Policy{}, "https", 80))
	assert.True(t, accepts(t, egress.Policy{AllowHTTP: true}, "https", 80))
	assert.True(t, accepts(t, egress.Policy{AllowHTTP: true}, "http", 80))
	assert.True(t, accepts(t, egress.Policy{AllowHTTP: true}, "http", 443))
	assert.True(t, accepts(t, egress.Policy{AllowPorts: []uint16{80}}, "https", 80))
}
