package lanes_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringyo-ai/webhook/internal/lanes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a scheduler whose work is its endpoints' names, and takes as long as the
// test says.
type bench struct {
	*lanes.Scheduler[string]
	t testing.TB

	mu      sync.Mutex
	begun   []string
	overdue []string
	nudges  atomic.Int64
	flying  map[string]int
	most    map[string]int
	attempt func(endpoint string) lanes.Verdict
}

func newBench(t testing.TB, attempt func(string) lanes.Verdict, adjust ...func(*lanes.Config[string])) *bench {
	b := &bench{t: t, attempt: attempt, flying: map[string]int{}, most: map[string]int{}}
	cfg := lanes.Config[string]{
		Quick: 8, Slow: 16, Trials: 8, PerEndpoint: 4, Bytes: 1000,
		Work: b.work,
		Overdue: func(back []string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.overdue = append(b.overdue, back...)
		},
		Nudge: func(known bool) {
			if known {
				b.nudges.Add(1)
			}
		},
	}
	for _, f := range adjust {
		f(&cfg)
	}
	b.Scheduler = lanes.New(cfg)
	b.Start()
	return b
}

func (b *bench) work(endpoint string, f *lanes.Flight[string]) {
	for f != nil {
		b.mu.Lock()
		b.begun = append(b.begun, endpoint)
		b.flying[endpoint]++
		b.most[endpoint] = max(b.most[endpoint], b.flying[endpoint])
		b.mu.Unlock()
		v := b.attempt(endpoint)
		b.mu.Lock()
		b.flying[endpoint]--
		b.mu.Unlock()
		b.Learn(f, v)
		endpoint, f = b.Next(f)
	}
}

// take asks for room for n pieces of an endpoint and adds what there is room for.
func (b *bench) take(account, endpoint string, p lanes.Pace, n, size int) int {
	b.t.Helper()
	r, _, _ := b.Room(false)
	n = r.Take(lanes.Candidate{Endpoint: endpoint, Account: account, Pace: p, Size: size}, n)
	jobs := make([]lanes.Job[string], n)
	for i := range jobs {
		jobs[i] = lanes.Job[string]{Endpoint: endpoint, Account: account, Size: size, Value: endpoint}
	}
	require.Empty(b.t, b.Add(jobs))
	r.Release(n)
	return n
}

func (b *bench) end() {
	b.Close()
	<-b.Drained()
}

func takes(d time.Duration, v lanes.Verdict) func(string) lanes.Verdict {
	return func(string) lanes.Verdict {
		time.Sleep(d)
		return v
	}
}

var (
	answered = lanes.Verdict{Kind: lanes.Answered}
	timedOut = lanes.Verdict{Kind: lanes.TimedOut, Pause: time.Minute}
)

// pass lets time pass, and everything come to rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestAnUnknownEndpointHasOneAttemptUntilItResponds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, takes(20*time.Millisecond, answered))
		assert.Equal(t, 1, b.take("a", "new", lanes.Unknown, 10, 1))
		assert.Zero(t, b.take("a", "new", lanes.Unknown, 10, 1))
		pass(time.Second)
		assert.Equal(t, 10, b.take("a", "new", lanes.Unknown, 10, 1), "it has answered quickly, whatever the store knows")
		pass(time.Second)
		assert.Equal(t, 4, b.most["new"])
		b.end()
	})
}

// A store had more of a new endpoint than one: it is asked again at the answer, and
// not at the next poll.
func TestMoreOfANewEndpointIsClaimedAfterItsFirstResponse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, takes(20*time.Millisecond, answered))
		require.Equal(t, 1, b.take("a", "new", lanes.Unknown, 10, 1))
		before := b.nudges.Load()
		pass(30 * time.Millisecond)
		assert.Equal(t, before+1, b.nudges.Load())
		b.end()
	})
}

func TestAnEndpointThatTimesOutHasOneSlotAndHoldsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, takes(5*time.Second, timedOut))
		assert.Equal(t, 10, b.take("a", "bad", lanes.Quick, 10, 1))
		pass(6 * time.Second)
		assert.Len(t, b.begun, 4)
		assert.Len(t, b.overdue, 6, "what waited is given back")
		assert.Zero(t, b.take("a", "bad", lanes.Quick, 1, 1), "nothing new while it pauses")
		assert.Equal(t, 1, b.take("a", "bad", lanes.Paused, 3, 1), "but what its store offers")
		assert.Zero(t, b.take("a", "bad", lanes.Paused, 3, 1))
		pass(time.Hour)
		assert.Equal(t, 1, b.take("a", "bad", lanes.Slow, 3, 1), "another process had an answer")
		b.end()
	})
}

func TestATimeoutBesideResponsesPausesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		b := newBench(t, nil)
		b.attempt = func(string) lanes.Verdict {
			b.mu.Lock()
			n++
			first := n == 1
			b.mu.Unlock()
			if first {
				time.Sleep(5 * time.Second)
				return timedOut
			}
			time.Sleep(20 * time.Millisecond)
			return answered
		}
		for range 10 {
			b.take("a", "one", lanes.Quick, 1, 1)
			pass(time.Second)
		}
		assert.Len(t, b.begun, 10)
		assert.Equal(t, 1, b.take("a", "one", lanes.Quick, 1, 1))
		b.end()
	})
}

func TestTheFirstResponsesBringFullSpeedBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hangs := true
		b := newBench(t, func(string) lanes.Verdict {
			if hangs {
				time.Sleep(5 * time.Second)
				return timedOut
			}
			time.Sleep(20 * time.Millisecond)
			return answered
		})
		b.take("a", "one", lanes.Quick, 1, 1)
		pass(6 * time.Second)
		hangs = false
		for _, p := range []lanes.Pace{lanes.Paused, lanes.Quick} {
			require.Equal(t, 1, b.take("a", "one", p, 1, 1))
			pass(time.Second)
		}
		assert.Equal(t, 16, b.take("a", "one", lanes.Quick, 20, 1))
		pass(time.Second)
		assert.Equal(t, 4, b.most["one"])
		b.end()
	})
}

func TestAccountsShareAPoolWithoutConfiguration(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		pace    lanes.Pace
		greedy  int // accounts
		took    time.Duration
		v       lanes.Verdict
		weights map[string]int
		want    map[string]int // attempts in flight
	}{
		{"quick, one", lanes.Quick, 1, 90 * time.Millisecond, answered, nil, map[string]int{"acc0": 7}},
		{"slow, one", lanes.Slow, 1, time.Second, answered, nil, map[string]int{"acc0": 6}},
		{"slow, two", lanes.Slow, 2, time.Second, answered, nil, map[string]int{"acc0": 6, "acc1": 4}},
		{"slow, two weights", lanes.Slow, 2, time.Second, answered, map[string]int{"acc0": 4}, map[string]int{"acc0": 11, "acc1": 2}},
		{"timed out, one", lanes.Paused, 1, time.Second, timedOut, nil, map[string]int{"acc0": 4}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, takes(tt.took, tt.v), func(c *lanes.Config[string]) {
					c.Weight = func(a string) int { return max(1, tt.weights[a]) }
				})
				got := map[string]int{}
				for acc := range tt.greedy {
					for i := range 20 {
						name := fmt.Sprint("acc", acc)
						b.take(name, fmt.Sprint(name, "/", i), tt.pace, 4, 1)
					}
				}
				synctest.Wait()
				b.mu.Lock()
				for e, n := range b.flying {
					got[e[:4]] += n
				}
				b.mu.Unlock()
				assert.Equal(t, tt.want, got)
				assert.NotZero(t, b.take("late", "late/0", tt.pace, 1, 1), "there is room for whoever comes next")
				b.end()
			})
		})
	}
}

func TestTheAccountWithTheFewestInFlightGoesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, takes(90*time.Millisecond, answered))
		for i := range 6 {
			b.take("a", fmt.Sprint("a", i), lanes.Quick, 4, 1)
		}
		synctest.Wait()
		b.take("b", "b0", lanes.Quick, 2, 1)
		synctest.Wait()
		b.mu.Lock()
		assert.Equal(t, 1, b.flying["b0"], "the place that was free")
		b.mu.Unlock()
		pass(91 * time.Millisecond)
		b.mu.Lock()
		assert.Contains(t, b.begun[8:10], "b0", "before more of the other's")
		b.mu.Unlock()
		pass(10 * time.Second)
		assert.Len(t, b.begun, 26)
		b.end()
	})
}

func TestBytesInMemoryHaveABound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, takes(time.Second, answered))
		got := 0
		for i := range 20 {
			got += b.take("a", fmt.Sprint("a", i), lanes.Unknown, 1, 200)
		}
		assert.Equal(t, 4, got, "of 1,000 bytes, an account that is alone gets two thirds, and what it began with")
		assert.Equal(t, 1, b.take("b", "b", lanes.Unknown, 1, 200))
		assert.Zero(t, b.take("c", "c", lanes.Unknown, 1, 200), "1,000 are held")
		_, most, _ := b.Room(false)
		assert.Zero(t, most)
		before := b.nudges.Load()
		pass(2 * time.Second)
		assert.Greater(t, b.nudges.Load(), before, "there is room again")
		assert.Equal(t, 1, b.take("c", "c", lanes.Unknown, 1, 5000), "where nothing is held one always fits")
		b.end()
	})
}

func TestAnAttemptThatBecomesSlowMakesRoomForQuickOnes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(e string) lanes.Verdict {
			if e[0] == 's' {
				time.Sleep(5 * time.Second)
			}
			time.Sleep(20 * time.Millisecond)
			return answered
		})
		for i := range 2 {
			require.Equal(t, 4, b.take("a", fmt.Sprint("surprise", i), lanes.Quick, 4, 1))
		}
		pass(101 * time.Millisecond)
		for i := range 8 {
			require.Equal(t, 1, b.take("a", fmt.Sprint("good", i), lanes.Quick, 1, 1))
		}
		pass(100 * time.Millisecond)
		assert.Len(t, b.begun, 7+8)
		assert.Zero(t, b.take("a", "surprise0", lanes.Quick, 1, 1), "it is a slow one now, and has its slots full")
		b.end()
	})
}

func TestWhatIsPromisedAndNotUsedIsFreeAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, takes(20*time.Millisecond, answered))
		r, most, bytes := b.Room(false)
		assert.Equal(t, 8*4+16+8, most)
		assert.Equal(t, 1000, bytes)
		c := lanes.Candidate{Endpoint: "e", Account: "a", Pace: lanes.Quick, Size: 10}
		assert.Equal(t, 16, r.Take(c, 99))
		assert.Zero(t, r.Take(c, 1))
		assert.Zero(t, b.take("a", "e", lanes.Quick, 1, 1), "promised to another")
		r.Reset()
		assert.Equal(t, 16, r.Take(c, 99))
		before := b.nudges.Load()
		r.Release(0)
		assert.Greater(t, b.nudges.Load(), before, "others may have been refused it")
		assert.Equal(t, 16, b.take("a", "e", lanes.Quick, 99, 10))
		b.end()
	})
}

func TestHalfOfTheRoomIsLeftToWhatWaitsInTheStore(t *testing.T) {
	t.Parallel()
	b := newBench(t, takes(0, answered))
	_, all, _ := b.Room(false)
	_, half, _ := b.Room(true)
	assert.Equal(t, all-16, half)
	b.end()
}

func TestCloseTakesBackWhatHasNotBegun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, takes(20*time.Millisecond, answered))
		require.Equal(t, 10, b.take("a", "e", lanes.Quick, 10, 1))
		assert.Equal(t, 4, b.InFlight())
		rest := b.Close()
		assert.Len(t, rest, 6)
		<-b.Drained()
		assert.Len(t, b.begun, 4)
		assert.Zero(t, b.InFlight())
		r, most, _ := b.Room(false)
		assert.Zero(t, most)
		assert.Zero(t, r.Take(lanes.Candidate{Endpoint: "e", Account: "a"}, 1))
		jobs := []lanes.Job[string]{{Endpoint: "e", Account: "a", Value: "e"}}
		assert.Equal(t, jobs, b.Add(jobs))
		assert.False(t, b.Wants())
	})
}

func TestRecallTakesBackWhatWaitsForOneEndpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, takes(20*time.Millisecond, answered))
		b.take("a", "e", lanes.Quick, 6, 1)
		b.take("a", "other", lanes.Quick, 6, 1)
		assert.Len(t, b.Recall("e"), 2)
		assert.Empty(t, b.Recall("none"))
		pass(time.Second)
		assert.Len(t, b.begun, 10)
		b.end()
	})
}

func TestWithdrawDropsWhatIsPicked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, takes(20*time.Millisecond, answered))
		b.take("a", "e", lanes.Quick, 6, 1)
		b.take("a", "other", lanes.Quick, 6, 1)
		b.Withdraw(func(v string) bool { return v == "e" })
		assert.Empty(t, b.Recall("e"), "nothing is left to take back")
		pass(time.Second)
		assert.Len(t, b.begun, 10, "four of e had begun")
		b.end()
	})
}

// What is remembered does not grow with the number of endpoints.
func TestMemoryDoesNotGrowWithEndpoints(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, takes(time.Millisecond, timedOut))
		for i := range 10_000 {
			b.take(fmt.Sprint("acc", i), fmt.Sprint("e", i), lanes.Unknown, 1, 1)
			pass(2 * time.Millisecond)
		}
		require.Len(t, b.begun, 10_000)
		lanesLeft, accounts := b.Remembered()
		assert.LessOrEqual(t, lanesLeft, 1024)
		assert.LessOrEqual(t, accounts, 1024)
		b.end()
	})
}

// BenchmarkScheduler measures what a piece of work costs: taking it on, choosing
// it, and learning how it went; with few and with many endpoints.
func BenchmarkScheduler(b *testing.B) {
	for _, endpoints := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(endpoints, "endpoints"), func(b *testing.B) {
			flights := make(chan *lanes.Flight[int], 64)
			s := lanes.New(lanes.Config[int]{
				Quick: 64, Slow: 256, Trials: 1024, PerEndpoint: 64, Bytes: 1 << 20,
				Work:    func(_ int, f *lanes.Flight[int]) { flights <- f },
				Overdue: func([]int) {},
				Nudge:   func(bool) {},
			})
			s.Start()
			names := make([]string, endpoints)
			for i := range names {
				names[i] = fmt.Sprint("wh_", i)
			}
			jobs := make([]lanes.Job[int], 32)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if n%len(jobs) != 0 {
					continue // a piece each, in batches
				}
				r, _, _ := s.Room(false)
				for i := range jobs {
					name := names[(n+i)%endpoints]
					jobs[i] = lanes.Job[int]{Endpoint: name, Account: "a", Size: 100}
					r.Take(lanes.Candidate{Endpoint: name, Account: "a", Pace: lanes.Quick, Size: 100}, 1)
				}
				s.Add(jobs)
				r.Release(len(jobs))
				for range jobs {
					f := <-flights
					s.Learn(f, answered)
					if _, next := s.Next(f); next != nil {
						flights <- next
					}
				}
			}
		})
	}
}

// What cannot be sent, or not be recorded, is not taken on for a time, whatever pace
// a store tells of. That another attempt is answered, or that the endpoint was
// changed, ends the first of these alone.
func TestNothingIsTakenOnThatCannotBeSentOrRecorded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		hold bool
		room int // once the endpoint was changed
	}{{"cannot be sent", false, 1}, {"cannot be recorded", true, 0}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				verdict := answered
				if !c.hold {
					verdict = lanes.Verdict{Kind: lanes.Withheld, Pause: 10 * time.Second}
				}
				b := newBench(t, takes(time.Millisecond, verdict))
				for range 2 {
					require.Equal(t, 1, b.take("a", "bad", lanes.Unknown, 1, 1))
					pass(time.Second)
					if c.hold {
						b.Hold("bad", 9*time.Second)
					}
					for _, p := range []lanes.Pace{lanes.Unknown, lanes.Quick, lanes.Paused} {
						assert.Zero(t, b.take("a", "bad", p, 1, 1), "%v", p)
					}
					pass(8 * time.Second)
					assert.Zero(t, b.take("a", "bad", lanes.Paused, 1, 1))
					pass(2 * time.Second)
				}
				require.Equal(t, 1, b.take("a", "bad", lanes.Unknown, 1, 1))
				pass(time.Second)
				if c.hold {
					b.Hold("bad", 9*time.Second)
				}
				assert.Empty(t, b.Recall("bad"))
				assert.Equal(t, c.room, b.take("a", "bad", lanes.Unknown, 1, 1))
				b.end()
			})
		})
	}
}

func TestAnEndpointThatRefusesGetsWhatItTakes(t *testing.T) {
	t.Parallel()
	for i, every := range []time.Duration{10 * time.Millisecond, 200 * time.Millisecond, 2 * time.Second, 10 * time.Millisecond, 200 * time.Millisecond, 2 * time.Second} {
		vague := i > 2
		t.Run(fmt.Sprint(every, ", vague ", vague), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var next time.Time
				taken, refused := 0, 0
				b := newBench(t, func(string) lanes.Verdict {
					time.Sleep(5 * time.Millisecond)
					mu.Lock()
					defer mu.Unlock()
					if now := time.Now(); !now.Before(next) {
						next = now.Add(every)
						taken++
						return answered
					}
					refused++
					return lanes.Verdict{Kind: lanes.Refused, Vague: vague}
				})
				length := 200 * every
				for begin := time.Now(); time.Since(begin) < length; {
					b.take("a", "one", lanes.Quick, 10, 1)
					pass(5 * time.Millisecond)
				}
				mu.Lock()
				t.Logf("%d taken, %d refused", taken, refused)
				assert.Greater(t, taken, 130, "of 200")
				assert.Less(t, refused, 50)
				mu.Unlock()
				b.end()
			})
		})
	}
}

func TestAnEndpointThatTakesAllAgainIsQuickAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var refuses atomic.Bool
		var sent atomic.Int64
		b := newBench(t, func(string) lanes.Verdict {
			time.Sleep(20 * time.Millisecond)
			sent.Add(1)
			if refuses.Load() {
				return lanes.Verdict{Kind: lanes.Refused}
			}
			return answered
		})
		play := func(d time.Duration) int64 {
			before := sent.Load()
			for begin := time.Now(); time.Since(begin) < d; pass(5 * time.Millisecond) {
				b.take("a", "one", lanes.Quick, 10, 1)
			}
			return sent.Load() - before
		}
		full := play(10 * time.Second)
		refuses.Store(true)
		assert.Less(t, play(5*time.Second), int64(20), "the gap grows while it refuses")
		refuses.Store(false)
		play(30 * time.Second)
		assert.Greater(t, play(10*time.Second), full*9/10)
		b.end()
	})
}

func TestAPauseThatAnEndpointAsksForIsBounded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ asks, first, second time.Duration }{
		{0, 0, 0},
		{time.Second, time.Second, time.Second},
		{45 * time.Second, 45 * time.Second, 45 * time.Second},
		{time.Hour, time.Minute, time.Minute}, // forgotten meanwhile: the store makes it longer
	} {
		t.Run(tt.asks.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var began []time.Time
				b := newBench(t, func(string) lanes.Verdict {
					mu.Lock()
					began = append(began, time.Now())
					mu.Unlock()
					return lanes.Verdict{Kind: lanes.Refused, Pause: tt.asks}
				})
				for i := range 3 {
					for b.take("a", "one", lanes.Slow, 1, 1) == 0 {
						pass(time.Millisecond)
					}
					for begun := 0; begun <= i; {
						pass(time.Millisecond)
						mu.Lock()
						begun = len(began)
						mu.Unlock()
					}
				}
				mu.Lock()
				require.Len(t, began, 3)
				assert.InDelta(t, tt.first, began[1].Sub(began[0]), float64(250*time.Millisecond))
				assert.InDelta(t, tt.second, began[2].Sub(began[1]), float64(250*time.Millisecond))
				mu.Unlock()
				b.end()
			})
		})
	}
}
