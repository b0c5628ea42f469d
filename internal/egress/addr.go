package egress

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"syscall"
)

// ErrBlocked is the error of a dial to an address that must not be reached. It names no
// address, so it may be shown.
var ErrBlocked = errors.New("egress: address not allowed")

// Policy says where requests may go. The zero value is the strict one: https to
// public addresses. It is safe for concurrent use and must not be changed once
// it is in use.
type Policy struct {
	AllowHTTP bool
	// Allow lists what may be reached besides public addresses, Deny what may
	// not be reached at all. Deny wins. See [CheckPrefix].
	Allow []netip.Prefix
	Deny  []netip.Prefix
	// AllowPorts are ports that may be reached besides those of HTTP.
	AllowPorts []uint16
}

// CheckPrefix returns what is wrong with an element of [Policy.Allow] or
// [Policy.Deny], or "".
func CheckPrefix(p netip.Prefix) string {
	switch {
	case !p.IsValid():
		return "is not a valid prefix"
	case p.Addr().Is4In6():
		return "is an IPv4-mapped prefix and would match nothing; write it as IPv4"
	case p != p.Masked():
		return "has bits set beyond its length; did you mean " + p.Masked().String() + "?"
	}
	return ""
}

// Allowed reports whether addr may be reached. An address with a zone may not.
func (p *Policy) Allowed(addr netip.Addr) bool {
	if !addr.IsValid() || addr.Zone() != "" {
		return false
	}
	addr = addr.Unmap()
	if contains(p.Deny, addr) {
		return false
	}
	if special, ok := guarded.find(addr); ok {
		return p.names(addr, special)
	}
	if contains(p.Allow, addr) {
		inner, ok := embedded(addr)
		return !ok || p.Allowed(inner)
	}
	return Public(addr)
}

// names reports whether Allow has a prefix for addr that is not wider than the
// guarded range that addr lies in: whoever allows 0.0.0.0/0 or fc00::/7 did not
// think of the cloud's metadata service.
func (p *Policy) names(addr netip.Addr, guarded netip.Prefix) bool {
	for _, a := range p.Allow {
		if a.Contains(addr) && a.Bits() >= guarded.Bits() {
			return true
		}
	}
	return false
}

// Control is net.Dialer.ControlContext. It fails closed: whatever is not a TCP
// connection to an address and port that it can read and allow is refused, an
// IPv4-mapped address too: package net turns one into IPv4 before it comes here.
func (p *Policy) Control(_ context.Context, network, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !p.allowsPort(ap.Port()) {
		return ErrBlocked
	}
	addr := ap.Addr()
	fits := network == "tcp4" && addr.Is4() || network == "tcp6" && addr.Is6() && !addr.Is4In6()
	if !fits || !p.Allowed(addr) {
		return ErrBlocked
	}
	return nil
}

// Public reports whether addr, which must not be IPv4-mapped, is an address of
// the public internet.
func Public(addr netip.Addr) bool {
	if addr.Is4() {
		return !special4.contains(addr)
	}
	return global6.contains(addr) && !special6.contains(addr)
}

// guarded are addresses whose owners hand out credentials or configuration to
// whoever asks from inside: link-local ones, among them the metadata services of
// most clouds, and metadata services elsewhere. Only an Allow prefix that names
// them opens them.
var guarded = ranges{text: `
	169.254.0.0/16
	168.63.129.16/32
	100.100.100.200/32
	192.0.0.192/32
	fe80::/10
	fd00:ec2::23/128
	fd00:ec2::254/128
	fd20:ce::254/128
	fd00:42::42/128
`}

// special4 are the IPv4 ranges of the IANA special-purpose address registry
// (https://www.iana.org/assignments/iana-ipv4-special-registry), multicast and
// class E. Anycast services of the registry that are globally reachable
// (AS112, AMT) are left out of the public internet too: no webhook lives there.
var special4 = ranges{text: `
	0.0.0.0/8
	10.0.0.0/8
	100.64.0.0/10
	127.0.0.0/8
	169.254.0.0/16
	172.16.0.0/12
	192.0.0.0/24
	192.0.2.0/24
	192.31.196.0/24
	192.52.193.0/24
	192.88.99.0/24
	192.168.0.0/16
	192.175.48.0/24
	198.18.0.0/15
	198.51.100.0/24
	203.0.113.0/24
	224.0.0.0/4
	240.0.0.0/4
`}

// global6 is the only part of IPv6 that is given out for the public internet
// (https://www.iana.org/assignments/ipv6-address-space). What lies outside
// (loopback, unique local, link-local, site-local, multicast, NAT64, mapped,
// translated and unassigned addresses) needs no list.
var global6 = ranges{text: "2000::/3"}

// special6 are the ranges inside global6 that are not of the public internet
// (https://www.iana.org/assignments/iana-ipv6-special-registry): protocol
// assignments with Teredo, benchmarking and ORCHID, documentation, 6to4, AS112.
var special6 = ranges{text: `
	2001::/23
	2001:db8::/32
	2002::/16
	2620:4f:8000::/48
	3fff::/20
`}

var (
	// The well-known prefix and that for local use (RFC 8215), of which the last
	// 32 bits are read, as under a prefix of 96 bits; and IPv4-translated ones.
	nat64   = ranges{text: "64:ff9b::/96 64:ff9b:1::/48 ::ffff:0:0:0/96"}
	sixTo4  = ranges{text: "2002::/16"}
	compat4 = ranges{text: "::/96"}
)

// embedded returns the IPv4 address that a gateway would make of addr, so that
// an allowed translation prefix is no way round the check.
func embedded(addr netip.Addr) (netip.Addr, bool) {
	b := addr.As16()
	switch {
	case addr.Is4():
		return netip.Addr{}, false
	case nat64.contains(addr), compat4.contains(addr) && addr.Compare(netip.IPv6Loopback()) > 0:
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case sixTo4.contains(addr):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}

func find(list []netip.Prefix, addr netip.Addr) (netip.Prefix, bool) {
	for _, p := range list {
		if p.Contains(addr) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

func contains(list []netip.Prefix, addr netip.Addr) bool {
	_, ok := find(list, addr)
	return ok
}

// ranges are prefixes that are parsed at their first use: nothing of this runs,
// nor is linked, in a program that imports the library only to verify.
type ranges struct {
	text string // separated by white space
	once sync.Once
	list []netip.Prefix
}

func (r *ranges) prefixes() []netip.Prefix {
	r.once.Do(func() {
		for s := range strings.FieldsSeq(r.text) {
			r.list = append(r.list, netip.MustParsePrefix(s))
		}
	})
	return r.list
}

func (r *ranges) find(addr netip.Addr) (netip.Prefix, bool) { return find(r.prefixes(), addr) }

func (r *ranges) contains(addr netip.Addr) bool { return contains(r.prefixes(), addr) }
