package httpsend_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook/internal/httpsend"
)

// DNS record types and response codes (RFC 1035, RFC 3596).
const (
	typeA, typeCNAME, typeAAAA   = 1, 5, 28
	noError, servFail, nxDomain  = 0, 2, 3
	dnsHeader, dnsResponse, inet = 12, 0x8180, 1
)

// zone is what a name server answers to a question for addresses.
type zone struct {
	rcode uint16
	alias string // the answers are those of this name
	addrs []string
	mute  bool
}

// resolver asks an in-memory name server, which calls answer for each question.
func resolver(answer func(qtype uint16) zone) *net.Resolver {
	return resolverOfNames(func(_ string, qtype uint16) zone { return answer(qtype) })
}

// resolverOfNames is resolver with answers that depend on the name.
func resolverOfNames(answer func(name string, qtype uint16) zone) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			for serveDNS(theirs, answer) == nil {
			}
		}()
		return ours, nil
	}}
}

// serveDNS answers one question in the framing of TCP: a length before each
// message.
func serveDNS(c net.Conn, answer func(name string, qtype uint16) zone) error {
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return err
	}
	msg := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, msg); err != nil {
		return err
	}
	end, name := dnsHeader, ""
	for msg[end] != 0 {
		next := end + int(msg[end]) + 1
		name += string(msg[end+1:next]) + "."
		end = next
	}
	question := msg[dnsHeader : end+5]
	z := answer(name, binary.BigEndian.Uint16(msg[end+1:]))
	if z.mute {
		_, err := io.Copy(io.Discard, c)
		return err
	}
	reply := z.reply(msg[:2], question)
	_, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
	return err
}

func (z zone) reply(id, question []byte) []byte {
	qtype := binary.BigEndian.Uint16(question[len(question)-4:])
	owner := []byte{0xc0, dnsHeader} // a pointer to the question's name
	var records []byte
	count := uint16(0)
	add := func(rtype uint16, data []byte) {
		records = append(records, owner...)
		records = binary.BigEndian.AppendUint16(records, rtype)
		records = append(records, 0, inet, 0, 0, 0, 0)
		records = binary.BigEndian.AppendUint16(records, uint16(len(data)))
		records = append(records, data...)
		count++
	}
	if z.alias != "" {
		var name []byte
		for label := range strings.SplitSeq(z.alias, ".") {
			name = append(append(name, byte(len(label))), label...)
		}
		name = append(name, 0)
		add(typeCNAME, name)
		owner = name
	}
	for _, s := range z.addrs {
		if a := netip.MustParseAddr(s); a.Is4() == (qtype == typeA) {
			add(map[bool]uint16{true: typeA, false: typeAAAA}[a.Is4()], a.AsSlice())
		}
	}
	reply := append([]byte(nil), id...)
	for _, n := range []uint16{dnsResponse | z.rcode, 1, count, 0, 0} {
		reply = binary.BigEndian.AppendUint16(reply, n)
	}
	return append(append(reply, question...), records...)
}

// resolveWith makes tr resolve names with r. The network stays real.
func resolveWith(tr *sender, r *net.Resolver) {
	tr.dial = func(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error) {
		d.Resolver = r
		return d.DialContext(ctx, network, addr)
	}
}

// In these tests 127.0.0.2 stands for the public address, since no test leaves
// this machine: it alone is allowed. A server listens on both addresses.
func TestNamesThatLeadToAddresses(t *testing.T) {
	t.Parallel()
	const public, private = "127.0.0.2", "127.0.0.1"
	for _, c := range []struct {
		name string
		zone zone
		kind httpsend.Kind // empty: reaches the public address
	}{
		{"A43 private", zone{addrs: []string{private}}, httpsend.BlockedAddress},
		{"A44 public and private", zone{addrs: []string{public, private}}, ""},
		{"A44 private and public", zone{addrs: []string{private, public}}, ""},
		{"A44 public that refuses, and private", zone{addrs: []string{"127.0.0.3", private}}, httpsend.BlockedAddress},
		{"A46 private IPv6 alone", zone{addrs: []string{"fd00::1"}}, httpsend.BlockedAddress},
		{"A46 loopback IPv6 alone", zone{addrs: []string{"::1"}}, httpsend.BlockedAddress},
		{"A46 public IPv4, private IPv6", zone{addrs: []string{"fd00::1", public}}, ""},
		{"A10 mapped IPv6", zone{addrs: []string{"::ffff:127.0.0.1"}}, httpsend.BlockedAddress},
		{"A14 NAT64", zone{addrs: []string{"64:ff9b::7f00:1"}}, httpsend.BlockedAddress},
		{"A34 unspecified", zone{addrs: []string{"0.0.0.0"}}, httpsend.BlockedAddress},
		{"A47 alias of a metadata service", zone{alias: "metadata.google.internal", addrs: []string{"169.254.169.254"}}, httpsend.BlockedAddress},
		{"A47 alias of itself", zone{alias: "hooks.example.com"}, httpsend.DNSNotFound},
		{"A47 no such name", zone{rcode: nxDomain}, httpsend.DNSNotFound},
		{"A47 empty answer", zone{}, httpsend.DNSNotFound},
		{"A47 server failure", zone{rcode: servFail}, httpsend.DNSTemporary},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			port := listenOnBoth(t, public, private, c.kind != "")
			cfg := overHTTP(public+"/32", "127.0.0.3/32")
			tr := newSender(t, cfg)
			resolveWith(tr, resolver(func(uint16) zone { return c.zone }))
			url := "http://hooks.example.com:" + port + "/"
			_, err := postTo(t, tr, url)
			if c.kind == "" {
				require.NoError(t, err)
				return
			}
			e := failure(t, err)
			assert.Equal(t, c.kind, e.Kind, e.Err)
			assertFixedWords(t, e)
		})
	}
}

// listenOnBoth listens on one port of two addresses. What arrives at the second
// fails the test, and so does what arrives at the first when it is blocked too.
func listenOnBoth(t *testing.T, public, private string, blocked bool) (port string) {
	t.Helper()
	first, err := net.Listen("tcp", public+":0")
	if err != nil {
		t.Skipf("this system has no second loopback address: %v", err)
	}
	_, port, _ = net.SplitHostPort(first.Addr().String())
	second, err := net.Listen("tcp", private+":"+port)
	if err != nil {
		t.Skipf("the port is taken on the other address: %v", err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if blocked || strings.HasPrefix(r.Context().Value(http.LocalAddrContextKey).(net.Addr).String(), private) {
			t.Error("an address was reached that must not be")
		}
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(first) })
	serving.Go(func() { _ = srv.Serve(second) })
	t.Cleanup(func() { _ = srv.Close(); serving.Wait() })
	return port
}

// A name that changes to a private address after it was checked, or between two
// attempts, is caught at the connection.
func TestRebinding(t *testing.T) { // A45
	t.Parallel()
	const public, private = "127.0.0.2", "127.0.0.1"
	port := listenOnBoth(t, public, private, false)
	var rebound atomic.Bool
	cfg := overHTTP(public + "/32")
	cfg.MaxIdle = -1
	tr := newSender(t, cfg)
	resolveWith(tr, resolver(func(uint16) zone {
		if rebound.Load() {
			return zone{addrs: []string{private}}
		}
		return zone{addrs: []string{public}}
	}))
	_, err := postTo(t, tr, "http://hooks.example.com:"+port+"/")
	require.NoError(t, err)
	rebound.Store(true)
	for range 2 {
		_, err = postTo(t, tr, "http://hooks.example.com:"+port+"/")
		assert.Equal(t, httpsend.BlockedAddress, failure(t, err).Kind)
	}
}

// DNS is part of the connect budget, and a resolver that does not answer is the
// sender's.
func TestSlowDNS(t *testing.T) { // A47
	t.Parallel()
	// Package net makes a channel of its own at the first question, which must
	// not belong to the bubble.
	_, err := resolver(func(uint16) zone { return zone{rcode: nxDomain} }).LookupHost(t.Context(), "first.example.com")
	require.Error(t, err)
	synctest.Test(t, func(t *testing.T) {
		tr := newSender(t, strict())
		resolveWith(tr, resolver(func(uint16) zone { return zone{mute: true} }))
		start := time.Now()
		_, err := postTo(t, tr, "https://hooks.example.com/")
		assert.Equal(t, 3*time.Second, time.Since(start))
		e := failure(t, err)
		assert.Equal(t, httpsend.DNSTemporary, e.Kind)
		assertFixedWords(t, e)
		time.Sleep(time.Minute) // package net gives up its own questions later
	})
}

// The system's own resolver, cgo or Go, has no way round the guard either.
func TestLocalhostByTheSystemsResolver(t *testing.T) { // A3
	t.Parallel()
	tr := newSender(t, overHTTP("127.0.0.9/32"))
	url := rawServer(t, func(c net.Conn) { t.Error("reached") })
	_, err := postTo(t, tr, strings.Replace(url, "127.0.0.1", "localhost", 1))
	assert.Equal(t, httpsend.BlockedAddress, failure(t, err).Kind)
}

// A host whose own name server fails is told apart from a resolver that fails.
func TestANameServerThatFails(t *testing.T) { // A58
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(srv.Close)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(srv.URL, "http://"))
	const ours, theirs = httpsend.DNSTemporary, httpsend.DNSServer
	for _, c := range []struct {
		name     string
		bad      zone
		resolves bool // the others' hosts
		want     []httpsend.Kind
	}{
		{"it fails", zone{rcode: servFail}, true, []httpsend.Kind{ours, ours, theirs, theirs}},
		{"it refuses", zone{rcode: 5}, true, []httpsend.Kind{ours, ours, theirs, theirs}},
		{"nothing is resolved", zone{rcode: servFail}, false, []httpsend.Kind{ours, ours, ours, ours, ours, ours}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := loopback()
			cfg.MaxIdle = -1 // each request looks its host up
			tr := newSender(t, cfg)
			resolveWith(tr, resolverOfNames(func(name string, _ uint16) zone {
				if strings.HasPrefix(name, "good.") && c.resolves {
					return zone{addrs: []string{"127.0.0.1"}}
				}
				return c.bad
			}))
			send := func(account, host string) error {
				_, err := tr.Send(t.Context(), httpsend.Request{URL: "http://" + host + ":" + port + "/", Owner: account, Header: http.Header{}})
				return err
			}
			for i, want := range c.want {
				assert.Equal(t, c.resolves, send("b", "good.example.com") == nil)
				e := failure(t, send("a", "hooks.example.org"))
				assert.Equal(t, want, e.Kind, i)
				assertFixedWords(t, e)
			}
		})
	}
}

// The same of one that never answers, within the time for connecting.
func TestANameServerThatNeverResponds(t *testing.T) { // A58
	t.Parallel()
	_, err := resolver(func(uint16) zone { return zone{rcode: nxDomain} }).LookupHost(t.Context(), "first.example.com") // see TestSlowDNS
	require.Error(t, err)
	synctest.Test(t, func(t *testing.T) {
		cfg := overHTTP()
		cfg.MaxIdle = -1
		tr := newSender(t, cfg)
		inMemory(t, tr, answerWith(okAnswer))
		answered := tr.dial
		tr.dial = func(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, "bad.") {
				d.Resolver = resolver(func(uint16) zone { return zone{mute: true} })
				return d.DialContext(ctx, network, addr)
			}
			require.NoError(t, d.ControlContext(ctx, "tcp4", "8.8.8.8:80", nil))
			return answered(ctx, d, network, addr)
		}
		for i := range 4 {
			_, err := tr.Send(t.Context(), httpsend.Request{URL: "http://good.example.org/", Owner: "b", Header: http.Header{}})
			require.NoError(t, err)
			start := time.Now()
			_, err = tr.Send(t.Context(), httpsend.Request{URL: "http://bad.example.com/", Owner: "a", Header: http.Header{}})
			assert.Equal(t, 3*time.Second, time.Since(start))
			want := httpsend.DNSTemporary
			if i >= 2 {
				want = httpsend.DNSServer
			}
			assert.Equal(t, want, failure(t, err).Kind)
		}
		time.Sleep(time.Minute) // package net gives up its own questions later
	})
}
