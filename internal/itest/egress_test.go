package itest

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"code.dny.dev/ssrf"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook/internal/egress"
)

// Whatever an independent guard denies, ours denies: on addresses all over the
// space, and on the edges of both guards' ranges, where mistakes live. The
// reverse does not hold: ours denies some addresses more.
func TestOurGuardDeniesWhatAnotherDenies(t *testing.T) {
	t.Parallel()
	oracle := ssrf.New(ssrf.WithAnyPort())
	var ours egress.Policy
	denied, allowed := 0, 0
	check := func(a netip.Addr) {
		network := "tcp6"
		if a.Is4() {
			network = "tcp4"
		}
		address := netip.AddrPortFrom(a, 443).String()
		err := ours.Control(t.Context(), network, address, nil)
		if oracle.Safe(network, address, nil) != nil {
			denied++
			require.Error(t, err, address)
		} else if err == nil {
			allowed++
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		check(random4(r))
		check(random6(r))
	}
	for _, p := range interesting() {
		for _, a := range edges(p) {
			check(a)
			for range 20 {
				check(within(r, a, p))
			}
		}
	}
	require.Greater(t, denied, 100_000, "the addresses are spread over both kinds")
	require.Greater(t, allowed, 100_000)
}

func random4(r *rand.Rand) netip.Addr {
	n := r.Uint32()
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// random6 is in 2000::/3 half of the time, where it matters.
func random6(r *rand.Rand) netip.Addr {
	var b [16]byte
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	if r.IntN(2) == 0 {
		b[0] = 0x20 | b[0]&0x1f
	}
	return netip.AddrFrom16(b)
}

func interesting() []netip.Prefix {
	list := append([]netip.Prefix{ssrf.IPv6GlobalUnicast, ssrf.IPv6NAT64Prefix}, ssrf.IPv4DeniedPrefixes...)
	list = append(list, ssrf.IPv6DeniedPrefixes...)
	for _, s := range []string{"::/128", "::1/128", "::ffff:0:0/96", "::/96", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "100::/64", "5f00::/16", "64:ff9b:1::/48"} {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// edges are the first and last address of p and their neighbours.
func edges(p netip.Prefix) []netip.Addr {
	last := p.Addr().AsSlice()
	for i := p.Bits(); i < len(last)*8; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	end, _ := netip.AddrFromSlice(last)
	var list []netip.Addr
	for _, a := range []netip.Addr{p.Addr(), p.Addr().Prev(), p.Addr().Next(), end, end.Prev(), end.Next()} {
		if a.IsValid() {
			list = append(list, a)
		}
	}
	return list
}

// within changes some of the bits of a that p leaves open.
func within(r *rand.Rand, a netip.Addr, p netip.Prefix) netip.Addr {
	b := a.AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		if r.IntN(4) == 0 {
			b[i/8] ^= 0x80 >> (i % 8)
		}
	}
	out, _ := netip.AddrFromSlice(b)
	return out
}
