package egress_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ringyo-ai/webhook/internal/egress"
)

func TestControlFailsClosed(t *testing.T) {
	t.Parallel()
	all := &egress.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}
	for _, c := range []struct {
		network, address string
		want             error
	}{
		{"tcp4", "8.8.8.8:443", nil},
		{"tcp6", "[2606:4700::1111]:443", nil},
		{"tcp4", "127.0.0.1:443", nil},
		{"tcp6", "[::1]:443", nil},
		{"tcp6", "[::ffff:8.8.8.8]:443", egress.ErrBlocked}, // A12: comes as tcp4 8.8.8.8 or not at all
		{"tcp4", "[::ffff:8.8.8.8]:443", egress.ErrBlocked}, // A12
		{"tcp4", "[2606:4700::1111]:443", egress.ErrBlocked},
		{"tcp6", "8.8.8.8:443", egress.ErrBlocked},
		{"tcp6", "[::ffff:10.0.0.1]:443", egress.ErrBlocked},
		{"tcp6", "[fe80::1%eth0]:443", egress.ErrBlocked},         // A19
		{"tcp6", "[2606:4700::1111%eth0]:443", egress.ErrBlocked}, // A19
		{"tcp4", "10.0.0.1:443", egress.ErrBlocked},               // A22
		{"tcp", ":443", egress.ErrBlocked},                        // A34
		{"tcp4", ":443", egress.ErrBlocked},                       // A34
		{"tcp4", "8.8.8.8:0", egress.ErrBlocked},                  // A36
		{"tcp4", "8.8.8.8:70000", egress.ErrBlocked},              // A36
		{"tcp4", "example.com:443", egress.ErrBlocked},            // never seen by Control
		{"tcp4", "", egress.ErrBlocked},
		{"tcp4", "0:443", egress.ErrBlocked},
		{"udp4", "8.8.8.8:443", egress.ErrBlocked},
		{"unix", "/var/run/docker.sock", egress.ErrBlocked},
		{"", "8.8.8.8:443", egress.ErrBlocked},
	} {
		assert.Equal(t, c.want, all.Control(t.Context(), c.network, c.address, nil), "%s %s", c.network, c.address)
	}
	assert.False(t, all.Allowed(netip.Addr{}))
}

func TestAllowAndDeny(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		number, allow, deny, addr string
		want                      bool
	}{
		{"A56", "10.0.0.0/8", "", "10.1.2.3", true},
		{"A56", "10.0.0.0/8", "", "11.1.2.3", true},
		{"A56", "10.0.0.0/8", "", "192.168.0.1", false},
		{"A56", "10.0.0.0/8", "", "::ffff:10.1.2.3", true},
		{"A56", "0.0.0.0/0", "", "10.0.0.1", true},
		{"A56", "0.0.0.0/0", "", "169.254.169.254", false},
		{"A56", "169.0.0.0/8", "", "169.254.169.254", false},
		{"A56", "169.254.0.0/16", "", "169.254.169.254", true},
		{"A56", "169.254.169.254/32", "", "169.254.169.254", true},
		{"A56", "169.254.169.254/32", "", "169.254.169.253", false},
		{"A56", "::/0", "", "fe80::1", false},
		{"A56", "fe80::/10", "", "fe80::1", true},
		{"A56", "168.63.0.0/16", "", "168.63.129.16", false},
		{"A56", "168.63.129.16/32", "", "168.63.129.16", true},
		{"A56", "fc00::/7", "", "fd00:ec2::1", true},
		{"A56", "fc00::/7", "", "fd00:ec2::254", false},
		{"A56", "fc00::/7", "", "fd00:ec2::23", false},
		{"A14", "::/0", "", "64:ff9b:1::a9fe:a9fe", false},
		{"A14", "::/0", "", "::ffff:0:a9fe:a9fe", false},
		{"A15", "::/0", "", "64:ff9b:1::808:808", true},
		{"A56", "fd00:ec2::254/128", "", "fd00:ec2::254", true},
		{"A56", "100.64.0.0/10", "", "100.64.1.1", true},
		{"A56", "100.64.0.0/10", "", "100.100.100.200", false},
		{"A52", "", "8.8.8.0/24", "8.8.8.8", false},
		{"A52", "", "8.8.8.0/24", "::ffff:8.8.8.8", false},
		{"A52", "10.0.0.0/8", "10.0.0.0/24", "10.0.0.1", false},
		{"A52", "10.0.0.0/8", "10.0.0.0/24", "10.0.1.1", true},
		{"A14", "64:ff9b::/96", "", "64:ff9b::a9fe:a9fe", false},
		{"A14", "64:ff9b::/96", "", "64:ff9b::7f00:1", false},
		{"A14", "::/0", "", "::7f00:1", false},
		{"A14", "2002::/16", "", "2002:7f00:1::", false},
		{"A14", "2002::/16", "", "2002:808:808::", true},
		{"A15", "64:ff9b::/96", "", "64:ff9b::808:808", true},
	} {
		var p egress.Policy
		if c.allow != "" {
			p.Allow = []netip.Prefix{netip.MustParsePrefix(c.allow)}
		}
		if c.deny != "" {
			p.Deny = []netip.Prefix{netip.MustParsePrefix(c.deny)}
		}
		assert.Equal(t, c.want, p.Allowed(netip.MustParseAddr(c.addr)), "%s allow %q deny %q: %s", c.number, c.allow, c.deny, c.addr)
	}
}

func TestCheckPrefixSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	assert.Empty(t, egress.CheckPrefix(netip.MustParsePrefix("10.0.0.0/8")))
	assert.Contains(t, egress.CheckPrefix(netip.Prefix{}), "not a valid prefix")
	assert.Contains(t, egress.CheckPrefix(netip.MustParsePrefix("::ffff:10.0.0.0/104")), "write it as IPv4")
	assert.Contains(t, egress.CheckPrefix(netip.MustParsePrefix("10.0.0.1/8")), "10.0.0.0/8")
}

// The first and the last address of each range of the registries, and those just
// outside of it.
func TestRangesEndWhereTheyShould(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		prefix        string
		before, after bool // whether the neighbours are public
	}{
		{"0.0.0.0/8", false, true},
		{"10.0.0.0/8", true, true},
		{"100.64.0.0/10", true, true},
		{"127.0.0.0/8", true, true},
		{"169.254.0.0/16", true, true},
		{"172.16.0.0/12", true, true},
		{"192.0.0.0/24", true, true},
		{"192.0.2.0/24", true, true},
		{"192.31.196.0/24", true, true},
		{"192.52.193.0/24", true, true},
		{"192.88.99.0/24", true, true},
		{"192.168.0.0/16", true, true},
		{"192.175.48.0/24", true, true},
		{"198.18.0.0/15", true, true},
		{"198.51.100.0/24", true, true},
		{"203.0.113.0/24", true, true},
		{"224.0.0.0/3", true, false},
		{"168.63.129.16/32", true, true},
		{"2001::/23", true, true},
		{"2001:db8::/32", true, true},
		{"2002::/16", true, true},
		{"2620:4f:8000::/48", true, true},
		{"3fff::/20", true, true},
		{"::/3", false, true},
		{"4000::/2", true, false},
		{"8000::/1", false, false},
	} {
		p := netip.MustParsePrefix(c.prefix)
		first, last := p.Addr(), lastOf(p)
		var policy egress.Policy
		assert.False(t, policy.Allowed(first), first)
		assert.False(t, policy.Allowed(last), last)
		assert.Equal(t, c.before, policy.Allowed(first.Prev()), "before %s", c.prefix)
		assert.Equal(t, c.after, policy.Allowed(last.Next()), "after %s", c.prefix)
	}
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
