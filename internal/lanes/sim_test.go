package lanes_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ringyo-ai/webhook/internal/lanes"
	"github.com/ringyo-ai/webhook/internal/race"
)

// peer is an endpoint of a simulation, with what waits for it in a store.
type peer struct {
	id, account string
	every       time.Duration                // between two events
	answers     func() (time.Duration, bool) // how long an attempt takes, and whether it is answered
	known       lanes.Pace

	backlog []time.Time // when what waits was emitted
	pauses  int
	until   time.Time
	probing bool
	sent    []time.Duration // waits
	emitted int
}

// sim is a process and a store that forgets nothing: what there is no room for
// waits in the store, and is claimed when the scheduler asks.
type sim struct {
	s *lanes.Scheduler[*work]

	mu     sync.Mutex
	peers  []*peer
	next   int // the peer that the next claim begins with
	asked  int // candidates
	nudge  chan struct{}
	hungry atomic.Bool // the last claim left something, or there is work that there is room for again
	most   int
}

type work struct {
	peer *peer
	at   time.Time
}

func newSim(peers []*peer) *sim {
	m := &sim{peers: peers, nudge: make(chan struct{}, 1)}
	m.s = lanes.New(lanes.Config[*work]{
		Quick: 64, Slow: 256, Trials: 1536, PerEndpoint: 4, Bytes: 32 << 20,
		Work:    m.work,
		Overdue: func(back []*work) { m.back(back) },
		Nudge: func(known bool) {
			if !known && !m.hungry.Load() {
				return
			}
			m.hungry.Store(true)
			select {
			case m.nudge <- struct{}{}:
			default:
			}
		},
	})
	return m
}

func (m *sim) work(w *work, f *lanes.Flight[*work]) {
	for f != nil {
		p := w.peer
		m.mu.Lock()
		p.sent = append(p.sent, time.Since(w.at))
		m.most = max(m.most, m.s.InFlight())
		m.mu.Unlock()
		took, answered := p.answers()
		time.Sleep(took)
		v := lanes.Verdict{Kind: lanes.Answered}
		if !answered {
			v = lanes.Verdict{Kind: lanes.TimedOut, Pause: time.Second}
		}
		pace, _ := m.s.Learn(f, v)
		m.learned(p, pace)
		w, f = m.s.Next(f)
	}
}

// learned is what a store keeps of an endpoint.
func (m *sim) learned(p *peer, pace lanes.Pace) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p.probing = false
	if p.known = pace; pace != lanes.Paused {
		p.pauses, p.until = 0, time.Time{}
	} else if !time.Now().Before(p.until) {
		p.until = time.Now().Add(min(30*time.Second, time.Second<<p.pauses))
		p.pauses++
	}
}

func (m *sim) back(back []*work) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range back {
		w.peer.backlog = append(w.peer.backlog, w.at)
	}
}

// run plays for d of virtual time.
func (m *sim) run(d time.Duration) {
	m.s.Start()
	end := time.Now().Add(d)
	var wg sync.WaitGroup
	for i, p := range m.peers {
		wg.Go(func() {
			time.Sleep(p.every * time.Duration(i*7919%1000) / 1000)
			for ; time.Now().Before(end); time.Sleep(p.every) {
				m.emit(p, time.Now())
			}
		})
	}
	done := make(chan struct{})
	var claims sync.WaitGroup
	claims.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-m.nudge:
			case <-time.After(time.Second):
				m.hungry.Store(true)
			}
			if m.hungry.Load() {
				m.claim()
			}
			time.Sleep(time.Millisecond) // what a claim takes
		}
	})
	wg.Wait()
	time.Sleep(time.Second) // what was emitted last
	close(done)
	claims.Wait()
	m.s.Close()
	<-m.s.Drained()
}

func (m *sim) emit(p *peer, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p.emitted++
	r, most, _ := m.s.Room(false)
	if most > 0 && p.known != lanes.Paused && r.Take(candidate(p), 1) == 1 {
		m.s.Add([]lanes.Job[*work]{{Endpoint: p.id, Account: p.account, Size: 1000, Value: &work{p, now}}})
		r.Release(1)
		return
	}
	r.Release(0)
	p.backlog = append(p.backlog, now)
}

func candidate(p *peer) lanes.Candidate {
	return lanes.Candidate{Endpoint: p.id, Account: p.account, Pace: p.known}
}

func (m *sim) claim() {
	if !m.s.Wants() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hungry.Store(false)
	r, most, _ := m.s.Room(false)
	var jobs []lanes.Job[*work]
	for range m.peers {
		if len(jobs) >= most {
			m.hungry.Store(true)
			break
		}
		p := m.peers[m.next]
		m.next = (m.next + 1) % len(m.peers)
		n := len(p.backlog)
		if p.known == lanes.Paused {
			n = min(n, 1)
			if p.probing || time.Now().Before(p.until) {
				continue
			}
		}
		if n == 0 {
			continue
		}
		m.asked++
		got := r.Take(candidate(p), n)
		p.probing = p.known == lanes.Paused && got > 0
		for _, at := range p.backlog[:got] {
			jobs = append(jobs, lanes.Job[*work]{Endpoint: p.id, Account: p.account, Size: 1000, Value: &work{p, at}})
		}
		p.backlog = p.backlog[got:]
	}
	m.s.Add(jobs)
	r.Release(len(jobs))
}

// waits returns what the deliveries of some peers waited, and how many of those
// emitted were begun.
func waits(peers []*peer) (p99 time.Duration, share float64) {
	var all []time.Duration
	emitted := 0
	for _, p := range peers {
		all = append(all, p.sent...)
		emitted += p.emitted
	}
	slices.Sort(all)
	if len(all) == 0 {
		return 0, 0
	}
	return all[len(all)*99/100], float64(len(all)) / float64(emitted)
}

func constant(d time.Duration, answered bool) func() (time.Duration, bool) {
	return func() (time.Duration, bool) { return d, answered }
}

func group(n int, account func(i int) string, name string, every time.Duration, known lanes.Pace, answers func() (time.Duration, bool)) []*peer {
	list := make([]*peer, n)
	for i := range list {
		list[i] = &peer{id: fmt.Sprint(name, i), account: account(i), every: every, known: known, answers: answers}
	}
	return list
}

func one(name string) func(int) string { return func(int) string { return name } }

func of(accounts int) func(int) string {
	return func(i int) string { return fmt.Sprint("noisy", i%accounts) }
}

func TestGoodEndpointsDoNotWaitForOthers(t *testing.T) {
	t.Parallel()
	const (
		hang   = 5 * time.Second
		slow   = 4900 * time.Millisecond
		moment = 50 * time.Millisecond
	)
	quick := constant(20*time.Millisecond, true)
	flapping := func() (time.Duration, bool) {
		if time.Now().Unix()/60%2 == 0 {
			return 20 * time.Millisecond, true
		}
		return hang, false
	}
	for _, known := range []bool{false, true} {
		as := func(p lanes.Pace) lanes.Pace {
			if known {
				return p
			}
			return lanes.Unknown
		}
		good := func(every time.Duration) []*peer {
			return group(20, one("a"), "good", every, as(lanes.Quick), quick)
		}
		hanging := func(n int, account func(int) string, every time.Duration) []*peer {
			return group(n, account, "bad", every, as(lanes.Paused), constant(hang, false))
		}
		slowing := func(n int, account func(int) string) []*peer {
			return group(n, account, "bad", time.Second, as(lanes.Slow), constant(slow, true))
		}
		for _, tt := range []struct {
			name      string
			good, bad []*peer
			p99       time.Duration
			most      int // attempts in flight
		}{
			{"350 hang, one account", good(time.Second), hanging(350, one("a"), time.Second), moment, 330},
			{"1,000 hang, one account", good(time.Second), hanging(1000, one("a"), time.Second), moment, 330},
			{"10,000 hang of another account", good(time.Second), hanging(10_000, one("b"), time.Minute), moment, 330},
			{"30 accounts with 100 that hang", good(time.Second / 2), hanging(3000, of(30), 2*time.Second), moment, 330},
			{"one account with 100 slow", good(time.Second / 10), slowing(100, one("b")), moment, 330},
			{"30 accounts with 100 slow", good(time.Second / 10), slowing(3000, of(30)), moment, 330},
			{"400 flap", good(time.Second / 5), group(400, one("a"), "bad", time.Second, as(lanes.Quick), flapping), moment, 500},
			{
				"a victim that takes 400 ms beside 5 slow accounts", group(20, one("a"), "good", time.Second, as(lanes.Slow), constant(400*time.Millisecond, true)),
				slowing(500, of(5)), 500 * time.Millisecond, 330,
			},
		} {
			t.Run(fmt.Sprintf("%s, known %v", tt.name, known), func(t *testing.T) {
				t.Parallel()
				if race.Enabled && len(tt.bad) > 1000 {
					tt.bad = tt.bad[:1000]
				}
				synctest.Test(t, func(t *testing.T) {
					m := newSim(append(slices.Clone(tt.good), tt.bad...))
					m.run(20 * time.Second)
					p99, share := waits(tt.good)
					t.Logf("p99 %v, share %.3f, most in flight %d, candidates asked %d", p99, share, m.most, m.asked)
					if !known {
						tt.most = 64 + 256 + 1536 // each endpoint is tried once
					}
					assert.LessOrEqual(t, p99, tt.p99)
					assert.Greater(t, share, 0.995)
					assert.LessOrEqual(t, m.most, tt.most)
				})
			})
		}
	}
}
