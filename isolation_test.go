package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/race"
	"github.com/ringyo-ai/webhook/memstore"
)

// moment is what a good endpoint may wait for others.
const moment = 50 * time.Millisecond

func TestEndpointsThatHangDelayNoOther(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		hanging int
		every   time.Duration
		length  time.Duration
		account string // of those that hang; the good ones are of "good"
		proven  bool   // the good ones have answered before
		restart bool   // since the process began
		tx      bool
		p99     time.Duration
	}{
		{"1,000 of one account", 1000, time.Second, time.Minute, "good", true, false, false, moment},
		{"1,000 of another account, in transactions", 1000, time.Second, 20 * time.Second, "bad", true, false, true, moment},
		{"1,000, after a restart", 1000, time.Second, 20 * time.Second, "good", true, true, false, moment},
		{"1,000, the good ones are new", 1000, time.Second, 20 * time.Second, "good", false, false, false, 5 * time.Second},
		{"10,000 once a minute", 10_000, time.Minute, 30 * time.Second, "bad", true, false, false, time.Second},
		{"10,000 once a minute, in transactions", 10_000, time.Minute, 30 * time.Second, "good", true, false, true, time.Second},
	} {
		if race.Enabled {
			tt.hanging, tt.length = tt.hanging/5, min(tt.length, 20*time.Second)
		}
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newTown(t, memstore.New())
				bad := traffic{account: tt.account, name: "bad", n: tt.hanging, every: tt.every, tx: tt.tx}
				good := traffic{account: "good", name: "good", n: 20, every: time.Second, tx: tt.tx}
				w.settle(bad.n, bad.account, bad.name, silent)
				urls := w.settle(good.n, good.account, good.name, well)
				if tt.proven {
					w.play(2*time.Second, good)
					time.Sleep(time.Second)
				}
				if tt.restart {
					w.stop()
					w.boot()
				}
				w.forget()
				w.play(tt.length, bad, good)
				time.Sleep(5 * time.Second)
				n, p99 := w.measured(urls)
				t.Logf("%d sent, p99 %v, most in flight %d", n, p99, w.peak())
				assert.Equal(t, 20*int(tt.length/time.Second), n, "all that was emitted for the good ones")
				assert.LessOrEqual(t, p99, tt.p99)
				assert.LessOrEqual(t, w.peak(), 64+256+24*64)
				w.stop()
			})
		})
	}
}

func TestOneAccountsSlowEndpointsDelayNoOtherAccount(t *testing.T) {
	t.Parallel()
	// Alone, 20 endpoints with 4 slots each that take 20 ms get 56 of 64 places.
	const alone = 56 * 50
	for _, tt := range []struct {
		percent int // of what is sent alone
		p99     time.Duration
		share   float64 // of what is sent alone
	}{{1, moment, 0.0099}, {40, moment, 0.399}, {150, time.Hour, 0.45}} {
		t.Run(fmt.Sprint(tt.percent, "%"), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newTown(t, memstore.NewWith(memstore.Options{History: 100}))
				w.settle(100, "slow", "slow", after(4900*time.Millisecond, 200))
				urls := w.settle(20, "victim", "good", well)
				warm := traffic{account: "victim", name: "good", n: 20, every: time.Second}
				w.play(2*time.Second, warm)
				w.forget()
				length := 8 * time.Second
				if race.Enabled {
					length = time.Second
				}
				rate := alone * tt.percent / 100
				w.play(length,
					traffic{account: "slow", name: "slow", n: 100, every: time.Second},
					traffic{account: "victim", name: "good", n: 20, every: 20 * time.Second / time.Duration(rate)},
				)
				n, p99 := w.measured(urls)
				share := float64(n) / (alone * length.Seconds())
				t.Logf("%d sent, %.3f of what could be, p99 %v, most in flight %d", n, share, p99, w.peak())
				assert.GreaterOrEqual(t, share, tt.share)
				assert.LessOrEqual(t, p99, tt.p99)
				w.stop()
			})
		})
	}
}

// The wait of what is not sent costs no attempt, and what is probed follows its
// schedule: ten deliveries in a row are exhausted in time.
func TestAnEndpointThatOnlyHangsIsDisabledWithin20Minutes(t *testing.T) {
	t.Parallel()
	for _, every := range []time.Duration{100 * time.Millisecond, time.Second, 10 * time.Second} {
		t.Run(every.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newTown(t, memstore.New())
				w.settle(1, "good", "good", well)
				w.settle(1, "bad", "bad", silent)
				begin := time.Now()
				go w.play(20*time.Minute, traffic{account: "bad", name: "bad", n: 1, every: every}, traffic{account: "good", name: "good", n: 1, every: 10 * time.Second})
				for {
					time.Sleep(time.Second)
					p, err := w.engine.ListEndpoints(t.Context(), "bad", webhook.EndpointQuery{})
					require.NoError(t, err)
					if p.Items[0].Status == webhook.EndpointInactive {
						break
					}
					if !assert.Less(t, time.Since(begin), 20*time.Minute) {
						break
					}
				}
				t.Logf("disabled after %v, %d deliveries begun", time.Since(begin), w.sent("https://example.com/bad/bad/0"))
				time.Sleep(20 * time.Minute)
				w.stop()
			})
		})
	}
}

// An endpoint that hung and answers again is at full speed within moments of its
// next probe.
func TestAnEndpointThatRespondsAgainComesBackToFullSpeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, memstore.New())
		var mu sync.Mutex
		hanging := true
		url := w.settle(1, "a", "one", func() (time.Duration, int) {
			mu.Lock()
			defer mu.Unlock()
			if hanging {
				return 0, 0
			}
			return 20 * time.Millisecond, 200
		})[0]
		w.play(2*time.Minute, traffic{account: "a", name: "one", n: 1, every: 100 * time.Millisecond})
		assert.Less(t, w.sent(url), 30, "probed at growing pauses")
		mu.Lock()
		hanging = false
		mu.Unlock()
		time.Sleep(31*time.Second + 10*time.Second) // the longest pause, then 1,200 with 4 slots of 20 ms
		assert.Equal(t, 1200, w.sent(url))
		w.stop()
	})
}

func TestLargeEventsForEndpointsThatHangTakeLittleMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		spy := &byteSpy{Store: memstore.New(), size: map[string]int{}}
		w := newTown(t, spy)
		endpoints := 700
		if race.Enabled {
			endpoints = 100
		}
		w.settle(endpoints, "a", "bad", silent)
		good := w.settle(1, "b", "good", well)
		data := map[string]string{"text": string(make([]byte, 150_000))} // a megabyte as JSON: \u0000 six times as long
		for i := range endpoints {
			w.emit("a", "bad", i, data, false)
		}
		for range 20 {
			w.emit("b", "good", 0, data, false)
			time.Sleep(time.Second)
		}
		n, p99 := w.measured(good)
		assert.Equal(t, 20, n)
		assert.LessOrEqual(t, p99, 5*time.Second)
		w.stop() // before the spy's numbers are read: the feeder writes them
		assert.LessOrEqual(t, spy.most, 34<<20, "Config.MaxInMemory, and what is taken on at one moment")
		assert.Greater(t, spy.most, 10<<20)
	})
}

// byteSpy counts the bytes that are leased and not sent yet.
type byteSpy struct {
	webhook.Store

	mu   sync.Mutex
	size map[string]int // by delivery
	now  int
	most int
}

func (s *byteSpy) leased(list []webhook.Leased) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range list {
		s.size[l.DeliveryID] = len(l.Event.Data)
		s.now += len(l.Event.Data)
	}
	s.most = max(s.most, s.now)
}

func (s *byteSpy) Enqueue(ctx context.Context, r webhook.EnqueueRequest) (webhook.Enqueued, error) {
	out, err := s.Store.Enqueue(ctx, r)
	s.leased(out.Leased)
	return out, err
}

func (s *byteSpy) Claim(ctx context.Context, r webhook.ClaimRequest) (webhook.Claimed, error) {
	out, err := s.Store.Claim(ctx, r)
	s.leased(out.Deliveries)
	return out, err
}

func (s *byteSpy) Settle(ctx context.Context, batch []webhook.Settlement) (webhook.Settled, error) {
	for _, r := range batch {
		s.ended(r.DeliveryID)
	}
	return s.Store.Settle(ctx, batch)
}

func (s *byteSpy) ended(delivery string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now -= s.size[delivery]
	delete(s.size, delivery)
}

// Any mix of endpoints that behave badly, over accounts of all sizes: the good ones
// get what is emitted for them, in time.
func TestGoodEndpointsAreServedInAnyMix(t *testing.T) {
	t.Parallel()
	kinds := map[string]behaviour{
		"slow":    after(4900*time.Millisecond, 200),
		"lazy":    after(400*time.Millisecond, 200),
		"hanging": silent,
		"drops":   after(4900*time.Millisecond, -1),
		"resets":  after(5*time.Millisecond, -1),
		"fails":   after(10*time.Millisecond, 500),
		"busy":    after(10*time.Millisecond, 503),
		"huge":    after(60*time.Millisecond, hugeAnswer),
		"flapping": func() (time.Duration, int) {
			if time.Now().Unix()/20%2 == 0 {
				return 20 * time.Millisecond, 200
			}
			return 0, 0
		},
		"lying": func() (time.Duration, int) { // quick for as long as it takes to be trusted
			if time.Now().UnixMilli()%7 < 5 {
				return 10 * time.Millisecond, 200
			}
			return 4800 * time.Millisecond, 200
		},
	}
	names := slices.Sorted(maps.Keys(kinds))
	rounds := 5
	if race.Enabled {
		rounds = 2
	}
	if os.Getenv("WEBHOOK_TEST_LONG") == "1" {
		rounds = 100
	}
	for range rounds {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 1))
			synctest.Test(t, func(t *testing.T) {
				w := newTown(t, memstore.NewWith(memstore.Options{History: 1000}))
				var bad []traffic
				rate := 0.0
				for i := range 1 + rnd.IntN(8) {
					name := names[rnd.IntN(len(names))]
					n := []int{10, 30, 100, 300, 1000, 10_000}[rnd.IntN(6)]
					every := time.Duration(1+rnd.IntN(60)) * time.Second
					for rate += float64(n) / every.Seconds(); rate > 120; rate /= 2 {
						n /= 2
					}
					account := fmt.Sprint("acc", i)
					if rnd.IntN(4) == 0 {
						account = "good" // they share an account with the good ones
					}
					tr := traffic{account: account, name: fmt.Sprint(name, i), n: max(1, n), every: every, tx: rnd.IntN(3) == 0}
					if rnd.IntN(4) == 0 {
						tr.data = json.RawMessage(fmt.Sprintf(`{"text":"%0*d"}`, 20_000, i))
					}
					w.settle(tr.n, tr.account, tr.name, kinds[name])
					bad = append(bad, tr)
				}
				good := traffic{account: "good", name: "good", n: 20, every: time.Second, tx: rnd.IntN(3) == 0}
				urls := w.settle(good.n, good.account, good.name, well)
				w.play(2*time.Second, good)
				time.Sleep(time.Second)
				w.forget()
				w.play(20*time.Second, append(bad, good)...)
				time.Sleep(2 * time.Second)
				n, p99 := w.measured(urls)
				t.Logf("%d sent, p99 %v, most in flight %d, beside %+v", n, p99, w.peak(), bad)
				assert.Equal(t, 20*20, n)
				assert.LessOrEqual(t, p99, moment, "beside %+v", bad)
				w.stop()
			})
		})
	}
}

// Whatever their limits, and however they ask to wait: nobody else waits with them.
func TestEndpointsThatLimitTheirRateDelayNoOther(t *testing.T) {
	t.Parallel()
	for _, account := range []string{"good", "other"} {
		t.Run("of account "+account, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newTown(t, memstore.NewWith(memstore.Options{History: 1000}))
				n := 300
				if race.Enabled {
					n = 60
				}
				for i := range n {
					b := &bucket{rate: 0.5 + float64(i%10), burst: 1 + float64(i%3)}
					var mu sync.Mutex
					w.settle(1, account, fmt.Sprint("limited", i), func() (time.Duration, int) {
						mu.Lock()
						defer mu.Unlock()
						if b.take(time.Now(), 1) {
							return 20 * time.Millisecond, 200
						}
						return 2 * time.Millisecond, 429 + 74*(i%2)
					})
				}
				urls := w.settle(20, "good", "good", well)
				good := traffic{account: "good", name: "good", n: 20, every: time.Second}
				w.play(2*time.Second, good)
				for i := range n {
					w.emitMany(account, fmt.Sprint("limited", i), 20)
				}
				w.forget()
				w.play(20*time.Second, good)
				time.Sleep(2 * time.Second)
				sent, p99 := w.measured(urls)
				t.Logf("%d sent, p99 %v, most in flight %d", sent, p99, w.peak())
				assert.Equal(t, 20*20, sent)
				assert.LessOrEqual(t, p99, moment)
				w.stop()
			})
		})
	}
}

func TestWhatWasDisabledByHandOrBy410DoesNotComeBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code    int
		disable bool
		trials  int
	}{
		"by hand": {500, true, 0}, "by 410": {410, false, 0}, "by 410 in a trial": {500, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSwitch(c.code)
				r := newRig(t, s.answer, recovers)
				ep := r.endpoint(hookURL)
				r.start()
				defer r.stop()
				r.emit(1)
				time.Sleep(time.Second)
				require.Equal(t, webhook.EndpointInactive, r.get(ep.ID).Status)
				if c.disable {
					got, err := r.DisableEndpoint(t.Context(), "acme", ep.ID)
					require.NoError(t, err)
					require.Equal(t, webhook.DisabledManually, got.DisabledReason)
				}
				r.emit(3)
				s.code.Store(410)
				time.Sleep(time.Hour)
				s.code.Store(200)
				time.Sleep(24 * time.Hour)
				assert.Len(t, r.transport.requests(), 1+c.trials)
				assert.Equal(t, webhook.EndpointInactive, r.get(ep.ID).Status)
			})
		})
	}
}

func TestBacklogsOfAnAccountAreServedInTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, memstore.New())
		const n = 60
		busy := w.settle(n, "a", "busy", well)
		w.play(2*time.Second, traffic{account: "a", name: "busy", n: n, every: time.Second}) // known as quick
		for range 600 {
			for i := range n {
				w.emit("a", "busy", i, nil, false)
			}
		}
		w.forget()
		time.Sleep(2 * time.Second)
		for _, u := range busy {
			assert.Greater(t, w.sent(u), 30, "%s; the share of each is 106", u)
		}
		w.stop()
	})
}
