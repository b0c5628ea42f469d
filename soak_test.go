package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"strconv"
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

// soak is a day of a platform's life in virtual time: 100 endpoints that fail in
// every way, a store that goes down, a clock that jumps, processes that stop and
// processes that die.
type soak struct {
	t     testing.TB
	rnd   *rand.Rand
	store *memstore.Store
	jump  atomic.Int64 // of the store's clock
	world world

	engine *webhook.Engine
	faults *faultyStore
	dead   []*webhook.Engine // died without Stop; stopped at the end
	deaths int

	endpoints []webhook.Endpoint
	accepted  map[string]string // event id → account
}

// world is what the endpoints do at the moment.
type world struct {
	mu    sync.Mutex
	modes map[string]int // by URL
	sends map[string]int // by URL and event id
}

const (
	modeOK = iota
	modeError
	modeBusy // 429 with Retry-After
	modeHang
	modeReset
	modeOurs
	modes
)

func (w *world) Send(ctx context.Context, r *webhook.Request) (*webhook.Response, error) {
	w.mu.Lock()
	mode := w.modes[r.URL]
	w.sends[r.URL+r.Header.Get("Webhook-Id")]++
	w.mu.Unlock()
	time.Sleep(20 * time.Millisecond)
	switch mode {
	case modeError:
		return &webhook.Response{StatusCode: 500}, nil
	case modeBusy:
		return &webhook.Response{StatusCode: 429, Header: http.Header{"Retry-After": {"45"}}}, nil
	case modeHang:
		return hangs(ctx, r)
	case modeReset:
		return nil, errors.New("connection reset by peer")
	case modeOurs:
		return nil, &webhook.TransportError{Kind: webhook.FailureLocal}
	}
	return &webhook.Response{StatusCode: 200}, ctx.Err()
}

func TestSoakInVirtualTime(t *testing.T) { // G9: not parallel: it measures the heap
	length := 15 * time.Minute
	if os.Getenv("WEBHOOK_TEST_LONG") == "1" {
		length = 24 * time.Hour
	}
	seed := rand.Uint64()
	t.Logf("seed %d, %v", seed, length)
	synctest.Test(t, func(t *testing.T) {
		s := &soak{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), accepted: map[string]string{}}
		s.world.modes, s.world.sends = map[string]int{}, map[string]int{}
		s.store = memstore.NewWith(memstore.Options{History: -1, Clock: func() time.Time {
			return time.Now().Add(time.Duration(s.jump.Load()))
		}})
		s.boot()
		s.register(100)
		before := heap()
		for range int(length.Seconds()) {
			s.step()
			time.Sleep(time.Second)
		}
		s.heal()
		s.check()
		// What remains is the history that the store was told to keep.
		full := heap() - before
		assert.Less(t, float64(full)/float64(max(1, len(s.accepted))), 64e3, "bytes kept per event")
		for _, e := range s.dead {
			_ = e.Stop(canceled(t))
		}
		require.NoError(t, s.engine.Stop(t.Context()))
		s.letGo()
		time.Sleep(time.Hour) // those that died have leases to wait for
		left := heap() - before
		t.Logf("heap: %d MiB with the history, %d KiB without", full>>20, left>>10)
		assert.Less(t, left, int64(4<<20), "the heap ends where it began")
	}) // which also waits for every goroutine, and fails if one is left waiting
}

// letGo forgets the history and whoever held it.
func (s *soak) letGo() {
	s.store, s.engine, s.faults, s.dead, s.endpoints, s.accepted = nil, nil, nil, nil, nil, nil
	s.world.modes, s.world.sends = nil, nil
}

func canceled(t testing.TB) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // what a sync.Pool holds lives through one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// boot starts a process.
func (s *soak) boot() {
	s.faults = &faultyStore{Store: s.store}
	e, err := webhook.New(webhook.Config{Store: s.faults, Transport: &s.world, Logger: quiet, PollInterval: 10 * time.Second})
	require.NoError(s.t, err)
	require.NoError(s.t, e.Start(s.t.Context()))
	s.engine = e
}

func (s *soak) register(n int) {
	for i := range n {
		ep, _, err := s.engine.CreateEndpoint(s.t.Context(), webhook.EndpointParams{
			AccountID: fmt.Sprint("account", i%10), URL: fmt.Sprintf("https://example.com/%d", i), Events: []webhook.EventType{"*"},
		})
		require.NoError(s.t, err)
		s.endpoints = append(s.endpoints, ep)
	}
}

// step is one second: usually some events, at times a fault or its end.
func (s *soak) step() {
	for range s.rnd.IntN(3) {
		ev, err := webhook.NewEvent(fmt.Sprint("account", s.rnd.IntN(10)), "soak.step", s.rnd.Int())
		require.NoError(s.t, err)
		if s.engine.Emit(s.t.Context(), ev) == nil {
			s.accepted[ev.ID] = ev.AccountID
		}
	}
	ep := s.endpoints[s.rnd.IntN(len(s.endpoints))]
	switch n := s.rnd.IntN(1000); {
	case n < 100:
		s.world.mu.Lock()
		s.world.modes[ep.URL] = s.rnd.IntN(modes)
		s.world.mu.Unlock()
	case n < 150:
		s.world.mu.Lock()
		s.world.modes[ep.URL] = modeOK
		s.world.mu.Unlock()
	case n < 160:
		_, _ = s.engine.DisableEndpoint(s.t.Context(), ep.AccountID, ep.ID)
	case n < 200:
		_, _ = s.engine.EnableEndpoint(s.t.Context(), ep.AccountID, ep.ID)
	case n < 205:
		_, _ = s.engine.RotateSecret(s.t.Context(), ep.AccountID, ep.ID, webhook.RotateParams{Overlap: time.Minute})
	case n < 215:
		s.faults.down.Store(!s.faults.down.Load())
	case n < 220:
		s.faults.lost.Store(!s.faults.lost.Load())
	case n < 240:
		s.faults.down.Store(false)
		s.faults.lost.Store(false)
	case n < 242:
		s.jump.Add(int64(time.Duration(s.rnd.IntN(600)) * time.Second))
	case n < 245:
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Duration(s.rnd.IntN(3000))*time.Millisecond)
		_ = s.engine.Stop(ctx)
		cancel()
		s.boot()
	case n < 248: // dies: nothing that it does reaches the store any more
		s.faults.down.Store(true)
		s.dead = append(s.dead, s.engine)
		s.deaths++
		s.boot()
	}
}

// heal repairs everything and gives it time.
func (s *soak) heal() {
	s.faults.down.Store(false)
	s.faults.lost.Store(false)
	s.world.mu.Lock()
	clear(s.world.modes)
	s.world.mu.Unlock()
	for range 4 {
		for _, ep := range s.endpoints {
			_, err := s.engine.EnableEndpoint(s.t.Context(), ep.AccountID, ep.ID)
			require.NoError(s.t, err)
		}
		time.Sleep(time.Hour)
	}
}

// check holds what every accepted event ended as against the promise.
func (s *soak) check() {
	stats, err := s.engine.Stats(s.t.Context())
	require.NoError(s.t, err)
	assert.Equal(s.t, webhook.Stats{}, stats, "nothing is left unfinished")
	perAccount := map[string]int{}
	for _, ep := range s.endpoints {
		perAccount[ep.AccountID]++
		got, err := s.engine.GetEndpoint(s.t.Context(), ep.AccountID, ep.ID)
		require.NoError(s.t, err)
		assert.NotEqual(s.t, webhook.EndpointInactive, got.Status)
	}
	outcomes := map[webhook.DeliveryStatus]int{}
	for id, account := range s.accepted {
		p, err := s.store.ListDeliveries(s.t.Context(), webhook.DeliveryFilter{AccountID: account, EventID: id, Limit: 1000})
		require.NoError(s.t, err)
		require.Len(s.t, p.Items, perAccount[account], "one delivery for each endpoint of the account")
		for _, d := range p.Items {
			outcomes[d.Status]++
			s.checkDelivery(&d)
		}
	}
	s.t.Logf("%d events accepted, deliveries %v, %d processes died", len(s.accepted), outcomes, s.deaths)
	assert.Positive(s.t, outcomes[webhook.DeliveryDelivered])
}

func (s *soak) checkDelivery(d *webhook.Delivery) {
	attempts, err := s.store.ListAttempts(s.t.Context(), d.AccountID, d.ID)
	require.NoError(s.t, err)
	switch d.Status {
	case webhook.DeliveryDelivered:
		require.NotEmpty(s.t, attempts)
		assert.Equal(s.t, 200, attempts[len(attempts)-1].StatusCode)
	case webhook.DeliveryExhausted:
		assert.NotEmpty(s.t, d.Reason)
	default:
		assert.Fail(s.t, "a delivery is neither delivered nor exhausted", "%+v", d)
	}
	assert.LessOrEqual(s.t, d.Attempts, 6, "a schedule has six attempts")
}

// processStore is a faultyStore that takes heartbeats, unless it is mute.
type processStore struct {
	*faultyStore
	mem   *memstore.Store
	mute  atomic.Bool
	ended atomic.Int64 // processes that heartbeats ended
}

func (s *processStore) Heartbeat(ctx context.Context, h webhook.Heartbeat) (webhook.Heartbeaten, error) {
	if s.mute.Load() {
		return webhook.Heartbeaten{}, errDown
	}
	b, err := fault(s.faultyStore, func() (webhook.Heartbeaten, error) { return s.mem.Heartbeat(ctx, h) })
	s.ended.Add(int64(b.Ended))
	return b, err
}

// processes starts engines that share a store, each with a connection of its own to
// it, which answer makes requests for.
func processes(t *testing.T, n int, answer func(i int) func(context.Context, *webhook.Request) (*webhook.Response, error)) ([]*rig, []*processStore) {
	t.Helper()
	mem := memstore.New()
	rigs, stores := make([]*rig, n), make([]*processStore, n)
	for i := range rigs {
		stores[i] = &processStore{faultyStore: &faultyStore{Store: mem}, mem: mem}
		rigs[i] = newRig(t, answer(i), func(c *webhook.Config) { c.Store = stores[i] })
		rigs[i].start()
		time.Sleep(700 * time.Millisecond) // so that their heartbeats go at different times
	}
	return rigs, stores
}

func TestWhatAKilledProcessHeldIsSentWithin20Seconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, s := processes(t, 2, func(i int) func(context.Context, *webhook.Request) (*webhook.Response, error) {
			if i == 0 {
				return hangs
			}
			return status(200)
		})
		p[0].endpoint(hookURL)
		p[0].emit(1)
		time.Sleep(time.Millisecond)
		require.Len(t, p[0].transport.requests(), 1)
		time.Sleep(7 * time.Second)
		s[0].down.Store(true) // nothing that it does is seen any more
		killed := time.Now()
		time.Sleep(time.Minute)
		sent := p[1].transport.requests()
		require.Len(t, sent, 1)
		assert.LessOrEqual(t, sent[0].at.Sub(killed), 20*time.Second)
		assert.GreaterOrEqual(t, sent[0].at.Sub(killed), 10*time.Second, "an attempt that began may go on for so long")
		s[0].down.Store(false)
		time.Sleep(time.Minute)
		assert.Len(t, p[1].transport.requests(), 1)
		p[0].stop()
		p[1].stop()
		b, err := s[0].mem.Heartbeat(t.Context(), webhook.Heartbeat{For: 1000 * time.Hour})
		require.NoError(t, err)
		assert.Empty(t, b.Quiet, "no process is left in the store")
	})
}

func TestTheHeartbeatAloneMayFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, s := processes(t, 1, func(int) func(context.Context, *webhook.Request) (*webhook.Response, error) { return status(200) })
		p[0].endpoint(hookURL)
		s[0].mute.Store(true)
		for n := 1; n <= 100; n++ {
			time.Sleep(time.Second)
			p[0].emit(1)
			time.Sleep(10 * time.Millisecond)
			require.Len(t, p[0].transport.requests(), n)
		}
		p[0].stop()
	})
}

// When the store comes back, every process is quiet. Whoever is first leaves the
// others the time to say that they live.
func TestAnOutageOfTheStoreEndsNoProcess(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			p, s := processes(t, 3, func(int) func(context.Context, *webhook.Request) (*webhook.Response, error) {
				return func(context.Context, *webhook.Request) (*webhook.Response, error) {
					time.Sleep(3 * time.Second)
					return &webhook.Response{StatusCode: 200}, nil
				}
			})
			p[0].endpoint(hookURL)
			for _, r := range p {
				r.emit(2)
				time.Sleep(time.Duration(random.Int64N(int64(2 * time.Second))))
			}
			for _, st := range s {
				st.down.Store(true)
			}
			time.Sleep(20*time.Second + time.Duration(random.Int64N(int64(20*time.Second))))
			for _, st := range s {
				st.down.Store(false)
			}
			time.Sleep(2 * time.Minute)
			sent := make(map[string]int)
			for i, r := range p {
				assert.Zero(t, s[i].ended.Load(), "seed %d: no process was dead", seed)
				for _, q := range r.transport.requests() {
					sent[q.DeliveryID]++
				}
				r.stop()
			}
			require.Len(t, sent, 6)
			for id, n := range sent {
				assert.Equal(t, 1, n, id)
			}
		})
	}
}

// Whatever happens to their connections to the store, no delivery is with a receiver
// twice at the same time, and none is lost.
func TestTwoProcessesNeverSendOneDeliveryAtOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			random, steps := rand.New(rand.NewPCG(seed, 2)), rand.New(rand.NewPCG(seed, 3))
			var mu sync.Mutex
			with, done := make(map[string]int), make(map[string]bool)
			p, s := processes(t, 3, func(int) func(context.Context, *webhook.Request) (*webhook.Response, error) {
				return func(ctx context.Context, r *webhook.Request) (*webhook.Response, error) {
					mu.Lock()
					with[r.DeliveryID]++
					assert.Equal(t, 1, with[r.DeliveryID], "seed %d: with two processes at once", seed)
					takes := time.Duration(random.Int64N(int64(15 * time.Second)))
					mu.Unlock()
					select {
					case <-time.After(takes):
					case <-ctx.Done():
					}
					mu.Lock()
					defer mu.Unlock()
					with[r.DeliveryID]--
					done[r.DeliveryID] = done[r.DeliveryID] || ctx.Err() == nil
					return &webhook.Response{StatusCode: 200}, ctx.Err()
				}
			})
			for i := range 5 {
				p[0].endpoint(hookURL + strconv.Itoa(i))
			}
			emitted := 0
			for range 200 {
				i := steps.IntN(len(p))
				s[i].down.Store(steps.IntN(4) == 0)
				s[i].mute.Store(steps.IntN(3) == 0)
				if p[i].Emit(t.Context(), event(t)) == nil {
					emitted++
				}
				time.Sleep(time.Duration(steps.Int64N(int64(5 * time.Second))))
			}
			for _, st := range s {
				st.down.Store(false)
				st.mute.Store(false)
			}
			time.Sleep(time.Hour)
			for _, r := range p {
				r.stop()
			}
			assert.Len(t, done, 5*emitted)
		})
	}
}
