package itest

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// proxy stands between a store and its server, and cuts every connection when a
// chosen number of the server's bytes has passed.
type proxy struct {
	net.Listener
	to   string
	left atomic.Int64 // bytes until the cut; below 1: none is planned
	wg   sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]bool
}

func newProxy(t testing.TB, to string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{Listener: l, to: to, open: map[net.Conn]bool{}}
	p.wg.Go(p.serve)
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) serve() {
	for {
		client, err := p.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.open[client], p.open[server] = true, true
		p.mu.Unlock()
		p.wg.Go(func() { _, _ = io.Copy(server, client); p.close(client, server) })
		p.wg.Go(func() { _, _ = io.Copy(&counted{client, p}, server); p.close(client, server) })
	}
}

func (p *proxy) close(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.open, c)
		_ = c.Close()
	}
}

// cut closes every connection at once.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		_ = c.Close()
	}
}

// counted passes the server's bytes on until the cut.
type counted struct {
	net.Conn
	p *proxy
}

func (c *counted) Write(b []byte) (int, error) {
	if c.p.left.Load() <= 0 {
		return c.Conn.Write(b)
	}
	left := c.p.left.Add(-int64(len(b)))
	if left > 0 {
		return c.Conn.Write(b)
	}
	_, _ = c.Conn.Write(b[:max(0, len(b)+int(left)-1)])
	c.p.cut()
	return 0, io.ErrClosedPipe
}

// behind makes a store on s's database behind a proxy.
func (s *testStore) behind(t testing.TB) (*testStore, *proxy) {
	t.Helper()
	var p *proxy
	var dsn string
	if s.dialect == sqlstore.MySQL {
		cfg, err := mysql.ParseDSN(s.dsn)
		require.NoError(t, err)
		p = newProxy(t, cfg.Addr)
		cfg.Addr = p.Addr().String()
		dsn = cfg.FormatDSN()
	} else {
		u, err := url.Parse(s.dsn)
		require.NoError(t, err)
		p = newProxy(t, u.Host)
		u.Host = p.Addr().String()
		q := u.Query()
		q.Set("sslmode", "disable")
		u.RawQuery = q.Encode()
		dsn = u.String()
	}
	return s.storeOn(t, dsn, nil), p
}

func onServers(t *testing.T, f func(t *testing.T, d database)) {
	t.Helper()
	for _, d := range databases[1:] {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			f(t, d)
		})
	}
}

// E4, E5: the connection is cut at each byte of the server's answers, that to
// COMMIT among them. Whoever repeats the call has one event and one delivery,
// and an error after which the event is there says that this is possible.
func TestACutAtAnyByteOfEmitDoublesNothing(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, d database) {
		direct := d.store(t)
		_, err := direct.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		far, p := direct.behind(t)
		far.db.SetMaxOpenConns(1)
		cuts, unknown := 0, 0
		mustEnqueue(t, far, event("evt_first")) // from now on the store remembers who wants it
		answered := p.count(func() { mustEnqueue(t, far, event("evt_whole")) })
		for _, n := range places(answered) {
			id := fmt.Sprintf("evt_%d", n)
			require.NoError(t, far.db.Ping())
			p.left.Store(n)
			_, err := far.Enqueue(ctx, groups([]webhook.EventRecord{event(id)}))
			p.left.Store(0)
			if err != nil {
				cuts++
				if _, there := direct.GetEvent(ctx, "a", id); there == nil {
					unknown++
					require.ErrorIs(t, err, webhook.ErrUnknownOutcome)
				}
			}
			r, err := far.Enqueue(ctx, groups([]webhook.EventRecord{event(id)}))
			require.NoError(t, err)
			require.NoError(t, r.Errs[0])
			list, err := direct.ListDeliveries(ctx, webhook.DeliveryFilter{AccountID: "a", EventID: id, Limit: 10})
			require.NoError(t, err)
			require.Len(t, list.Items, 1)
		}
		t.Logf("%d cuts, %d of them after the commit", cuts, unknown)
		assert.Positive(t, unknown, "no cut hit the answer to the commit")
	})
}

// count returns how many of the server's bytes pass during f.
func (p *proxy) count(f func()) int64 {
	const many = 1 << 40
	p.left.Store(many)
	f()
	return many - p.left.Swap(0)
}

// places are where an answer of that many bytes is cut: here and there, and at
// each byte of its end, where the COMMIT is answered.
func places(answered int64) (all []int64) {
	for n := int64(1); n < answered-32; n += 1 + answered/40 {
		all = append(all, n)
	}
	for n := max(1, answered-32); n <= answered+1; n++ {
		all = append(all, n)
	}
	return all
}

// E3: the same for Settle. A delivery is recorded once.
func TestACutAtAnyByteOfSettleRecordsOnce(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, d database) {
		direct := d.store(t)
		_, err := direct.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		far, p := direct.behind(t)
		far.db.SetMaxOpenConns(1)
		lease := func(n int64) []webhook.Settlement {
			mustEnqueue(t, direct, event(fmt.Sprintf("evt_%d", n)))
			c, err := direct.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(1, 1)})
			require.NoError(t, err)
			require.Len(t, c.Deliveries, 1)
			return []webhook.Settlement{delivered(c.Deliveries[0])}
		}
		whole := lease(0)
		answered := p.count(func() { _, err = far.Settle(ctx, whole) })
		require.NoError(t, err)
		for _, n := range places(answered) {
			batch := lease(n)
			require.NoError(t, far.db.Ping())
			p.left.Store(n)
			_, err = far.Settle(ctx, batch)
			p.left.Store(0)
			if err != nil {
				r, err := far.Settle(ctx, batch)
				require.NoError(t, err)
				require.Contains(t, []webhook.SettleStatus{webhook.SettleApplied, webhook.SettleStale}, r.Results[0].Status)
			}
			list, err := direct.ListDeliveries(ctx, webhook.DeliveryFilter{AccountID: "a", DeliveryID: batch[0].DeliveryID, Limit: 1})
			require.NoError(t, err)
			require.Equal(t, webhook.DeliveryDelivered, list.Items[0].Status)
			require.Equal(t, 1, list.Items[0].Attempts)
		}
		assert.Zero(t, direct.number(t, "select count(*) from webhook_queue"))
	})
}

// E2: connections are cut again and again while an engine works. Nothing is
// lost, no event is doubled, and the engine goes on without help.
func TestTheEngineOutlivesCutConnections(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, d database) {
		direct := d.store(t)
		r := newReceiver(t)
		for _, id := range childEndpoints[:3] {
			_, err := direct.CreateEndpoint(ctx, childEndpoint(id, r.URL))
			require.NoError(t, err)
		}
		far, p := direct.behind(t)
		e, err := newEngine(far, nil)
		require.NoError(t, err)
		require.NoError(t, e.Start(ctx))
		const events = 300
		for n := range events {
			ev, err := webhook.NewEvent("a", "custom.thing", json.RawMessage(`{}`))
			require.NoError(t, err)
			ev.ID = fmt.Sprintf("evt_%d", n)
			if n%3 == 0 {
				p.left.Store(1 + rand.Int64N(3000))
			}
			for err = e.Emit(ctx, ev); err != nil; err = e.Emit(ctx, ev) {
			}
		}
		p.left.Store(0)
		for deadline := time.Now().Add(time.Minute); direct.unfinished(t) > 0; {
			require.True(t, time.Now().Before(deadline), "the engine did not resume")
			direct.endLeases(t) // of claims whose answer was cut off
		}
		require.NoError(t, e.Stop(ctx))
		for _, id := range childEndpoints[:3] {
			assert.Len(t, (&parent{t: t, s: direct}).deliveries(id), events, id)
		}
		for n := range events {
			assert.True(t, r.accepted[fmt.Sprintf("wh_ok evt_%d", n)], n)
		}
	})
}
