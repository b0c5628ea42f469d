package webhook_test

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

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
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
func resolveWith(tr *webhook.HTTPTransport, r *net.Resolver) {
	tr.SetDial(func(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error) {
		d.Resolver = r
		return d.DialContext(ctx, network, addr)
	})
}

// In these tests 127.0.0.2 stands for the public address, since no test leaves
// this machine: it alone is allowed. A server listens on both addresses.
func TestNamesThatLeadToAddresses(t *testing.T) {
	t.Parallel()
	const public, private = "127.0.0.2", "127.0.0.1"
	for _, c := range []struct {
		name string
		zone zone
		kind webhook.FailureKind // empty: reaches the public address
	}{
		{"A43 private", zone{addrs: []string{private}}, webhook.FailureBlockedAddress},
		{"A44 public and private", zone{addrs: []string{public, private}}, ""},
		{"A44 private and public", zone{addrs: []string{private, public}}, ""},
		{"A44 public that refuses, and private", zone{addrs: []string{"127.0.0.3", private}}, webhook.FailureBlockedAddress},
		{"A46 private IPv6 alone", zone{addrs: []string{"fd00::1"}}, webhook.FailureBlockedAddress},
		{"A46 loopback IPv6 alone", zone{addrs: []string{"::1"}}, webhook.FailureBlockedAddress},
		{"A46 public IPv4, private IPv6", zone{addrs: []string{"fd00::1", public}}, ""},
		{"A10 mapped IPv6", zone{addrs: []string{"::ffff:127.0.0.1"}}, webhook.FailureBlockedAddress},
		{"A14 NAT64", zone{addrs: []string{"64:ff9b::7f00:1"}}, webhook.FailureBlockedAddress},
		{"A34 unspecified", zone{addrs: []string{"0.0.0.0"}}, webhook.FailureBlockedAddress},
		{"A47 alias of a metadata service", zone{alias: "metadata.google.internal", addrs: []string{"169.254.169.254"}}, webhook.FailureBlockedAddress},
		{"A47 alias of itself", zone{alias: "hooks.example.com"}, webhook.FailureDNSNotFound},
		{"A47 no such name", zone{rcode: nxDomain}, webhook.FailureDNSNotFound},
		{"A47 empty answer", zone{}, webhook.FailureDNSNotFound},
		{"A47 server failure", zone{rcode: servFail}, webhook.FailureDNSTemporary},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			port := listenOnBoth(t, public, private, c.kind != "")
			cfg := webhook.HTTPConfig{AllowHTTP: true, AllowPrefixes: []netip.Prefix{netip.MustParsePrefix(public + "/32"), netip.MustParsePrefix("127.0.0.3/32")}}
			tr := newTestTransport(t, cfg)
			resolveWith(tr, resolver(func(uint16) zone { return c.zone }))
			url := "http://hooks.example.com:" + port + "/"
			require.NoError(t, tr.CheckURL(url), "registration resolves no name")
			_, err := postTo(t, tr, url)
			if c.kind == "" {
				require.NoError(t, err)
				return
			}
			e := transportFailure(t, err)
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
	cfg := webhook.HTTPConfig{AllowHTTP: true, MaxIdle: -1, AllowPrefixes: []netip.Prefix{netip.MustParsePrefix(public + "/32")}}
	tr := newTestTransport(t, cfg)
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
		assert.Equal(t, webhook.FailureBlockedAddress, transportFailure(t, err).Kind)
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
		tr := newTestTransport(t, webhook.HTTPConfig{})
		resolveWith(tr, resolver(func(uint16) zone { return zone{mute: true} }))
		start := time.Now()
		_, err := postTo(t, tr, "https://hooks.example.com/")
		assert.Equal(t, 3*time.Second, time.Since(start))
		e := transportFailure(t, err)
		assert.Equal(t, webhook.FailureDNSTemporary, e.Kind)
		assertFixedWords(t, e)
		time.Sleep(time.Minute) // package net gives up its own questions later
	})
}

// The system's own resolver, cgo or Go, has no way round the guard either.
func TestLocalhostByTheSystemsResolver(t *testing.T) { // A3
	t.Parallel()
	tr := newTestTransport(t, webhook.HTTPConfig{AllowHTTP: true, AllowPrefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")}})
	url := rawServer(t, func(c net.Conn) { t.Error("reached") })
	_, err := postTo(t, tr, strings.Replace(url, "127.0.0.1", "localhost", 1))
	assert.Equal(t, webhook.FailureBlockedAddress, transportFailure(t, err).Kind)
}

// A host whose own name server fails is told apart from a resolver that fails.
func TestANameServerThatFails(t *testing.T) { // A58
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(srv.Close)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(srv.URL, "http://"))
	const ours, theirs = webhook.FailureDNSTemporary, webhook.FailureDNSServer
	for _, c := range []struct {
		name     string
		bad      zone
		resolves bool // the others' hosts
		want     []webhook.FailureKind
	}{
		{"it fails", zone{rcode: servFail}, true, []webhook.FailureKind{ours, ours, theirs, theirs}},
		{"it refuses", zone{rcode: 5}, true, []webhook.FailureKind{ours, ours, theirs, theirs}},
		{"nothing is resolved", zone{rcode: servFail}, false, []webhook.FailureKind{ours, ours, ours, ours, ours, ours}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := loopbackConfig()
			cfg.MaxIdle = -1 // each request looks its host up
			tr := newTestTransport(t, cfg)
			resolveWith(tr, resolverOfNames(func(name string, _ uint16) zone {
				if strings.HasPrefix(name, "good.") && c.resolves {
					return zone{addrs: []string{"127.0.0.1"}}
				}
				return c.bad
			}))
			send := func(account, host string) error {
				_, err := tr.Send(t.Context(), &webhook.Request{URL: "http://" + host + ":" + port + "/", AccountID: account, Header: http.Header{}})
				return err
			}
			for i, want := range c.want {
				assert.Equal(t, c.resolves, send("b", "good.example.com") == nil)
				e := transportFailure(t, send("a", "hooks.example.org"))
				assert.Equal(t, want, e.Kind, i)
				assertFixedWords(t, e)
			}
		})
	}
}

// The same of one that never answers, within the time for connecting.
func TestANameServerThatNeverAnswers(t *testing.T) { // A58
	t.Parallel()
	_, err := resolver(func(uint16) zone { return zone{rcode: nxDomain} }).LookupHost(t.Context(), "first.example.com") // see TestSlowDNS
	require.Error(t, err)
	synctest.Test(t, func(t *testing.T) {
		tr := newTestTransport(t, webhook.HTTPConfig{AllowHTTP: true, MaxIdle: -1})
		inMemory(t, tr, answerWith(okAnswer))
		answered := tr.Dial()
		tr.SetDial(func(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, "bad.") {
				d.Resolver = resolver(func(uint16) zone { return zone{mute: true} })
				return d.DialContext(ctx, network, addr)
			}
			require.NoError(t, d.ControlContext(ctx, "tcp4", "8.8.8.8:80", nil))
			return answered(ctx, d, network, addr)
		})
		for i := range 4 {
			_, err := tr.Send(t.Context(), &webhook.Request{URL: "http://good.example.org/", AccountID: "b", Header: http.Header{}})
			require.NoError(t, err)
			start := time.Now()
			_, err = tr.Send(t.Context(), &webhook.Request{URL: "http://bad.example.com/", AccountID: "a", Header: http.Header{}})
			assert.Equal(t, 3*time.Second, time.Since(start))
			want := webhook.FailureDNSTemporary
			if i >= 2 {
				want = webhook.FailureDNSServer
			}
			assert.Equal(t, want, transportFailure(t, err).Kind)
		}
		time.Sleep(time.Minute) // package net gives up its own questions later
	})
}

// Such an endpoint uses up its attempts, shows why, and is disabled in the end.
func TestAnEndpointWhoseNameServerFailsIsDisabled(t *testing.T) { // A58
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := newTestTransport(t, webhook.HTTPConfig{AllowHTTP: true, MaxIdle: -1})
		inMemory(t, tr, answerWith(okAnswer))
		answered := tr.Dial()
		tr.SetDial(func(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, "bad.") {
				return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "server misbehaving", Name: addr, IsTemporary: true}}
			}
			require.NoError(t, d.ControlContext(ctx, "tcp4", "8.8.8.8:80", nil))
			return answered(ctx, d, network, addr)
		})
		e, err := webhook.New(webhook.Config{Store: memstore.New(), Transport: tr, Logger: quiet, Disable: webhook.DisablePolicy{After: 2}})
		require.NoError(t, err)
		create := func(account, url string) webhook.Endpoint {
			ep, _, err := e.CreateEndpoint(t.Context(), webhook.EndpointParams{AccountID: account, URL: url, Events: []webhook.EventType{"*"}})
			require.NoError(t, err)
			return ep
		}
		bad, _ := create("a", "http://bad.example.com/"), create("b", "http://good.example.org/")
		for range 150 {
			for _, account := range []string{"a", "b"} {
				ev, err := webhook.NewEvent(account, "test.happened", 1)
				require.NoError(t, err)
				require.NoError(t, e.Emit(t.Context(), ev))
				_, err = e.DeliverDue(t.Context())
				require.NoError(t, err)
			}
			time.Sleep(10 * time.Second)
		}
		ep, err := e.GetEndpoint(t.Context(), "a", bad.ID)
		require.NoError(t, err)
		assert.Equal(t, webhook.EndpointInactive, ep.Status)
		page, err := e.ListDeliveries(t.Context(), "a", webhook.DeliveryQuery{EndpointID: bad.ID, Status: webhook.DeliveryExhausted})
		require.NoError(t, err)
		require.NotEmpty(t, page.Items)
		attempts, err := e.ListAttempts(t.Context(), "a", page.Items[0].ID)
		require.NoError(t, err)
		require.NotEmpty(t, attempts)
		assert.Equal(t, webhook.FailureDNSServer, attempts[0].Failure)
		assert.Equal(t, "the name server of your domain did not answer", attempts[0].Detail)
	})
}
