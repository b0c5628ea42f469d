package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

var errRow = errors.New("duplicate key value violates unique constraint")

// refusingStore refuses the results of single deliveries, like a database that
// has a row which is in the way. As with SQLite there is one Settle call at once.
type refusingStore struct {
	webhook.Store
	silent bool // gives no reason
	all    bool // refuses everything

	mu      sync.Mutex
	refused map[string]bool // by event id
	names   map[string]string
	calls   int
}

func (s *refusingStore) ConcurrencyHint() int { return 1 }

func (s *refusingStore) refuse(eventID string, yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused == nil {
		s.refused = map[string]bool{}
	}
	s.refused[eventID] = yes
}

func (s *refusingStore) remember(leased []webhook.Leased) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil {
		s.names = map[string]string{}
	}
	for _, l := range leased {
		s.names[l.DeliveryID] = l.Event.ID
	}
}

func (s *refusingStore) Enqueue(ctx context.Context, r webhook.EnqueueRequest) (webhook.Enqueued, error) {
	a, err := s.Store.Enqueue(ctx, r)
	s.remember(a.Leased)
	return a, err
}

func (s *refusingStore) Claim(ctx context.Context, r webhook.ClaimRequest) (webhook.Claimed, error) {
	c, err := s.Store.Claim(ctx, r)
	s.remember(c.Deliveries)
	return c, err
}

func (s *refusingStore) Settle(ctx context.Context, batch []webhook.Settlement) (webhook.Settled, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	out := webhook.Settled{Results: make([]webhook.SettleResult, len(batch))}
	var good []webhook.Settlement
	var at []int
	for i, st := range batch {
		if s.all || s.refused[s.names[st.DeliveryID]] {
			out.Results[i].Status = webhook.SettleFailed
			if !s.silent {
				out.Results[i].Err = errRow
			}
			continue
		}
		good, at = append(good, st), append(at, i)
	}
	a, err := s.Store.Settle(ctx, good)
	for i, r := range a.Results {
		out.Results[at[i]] = r
	}
	out.Failing, out.Now = a.Failing, a.Now
	return out, err
}

func newRefusing(t testing.TB, adjust ...func(*webhook.Config)) (*rig, *refusingStore) {
	s := &refusingStore{}
	r := newRig(t, status(200), append(adjust, func(c *webhook.Config) { s.Store, c.Store = c.Store, s })...)
	return r, s
}

func TestAResultThatIsRefusedAloneKeepsNoOtherWaiting(t *testing.T) { // E26
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, s := newRefusing(t)
		ep := r.endpoint(hookURL)
		r.start()
		bad := event(t)
		s.refuse(bad.ID, true)
		require.NoError(t, r.Emit(t.Context(), bad))
		time.Sleep(10 * time.Second) // its repetitions are seconds apart by now
		for range 5 {
			r.emit(3)
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(5 * time.Millisecond) // the pause between two calls
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 15, "recorded without delay")

		s.refuse(bad.ID, false)
		time.Sleep(8 * time.Second)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 16, "the refused one was repeated")
		assert.Len(t, r.transport.requests(), 16, "and not sent again")
		assert.Less(t, s.calls, 40, "with growing pauses")
		r.stop()
	})
}

func TestStopWaitsForRefusedResultsWhileTheirLeasesLast(t *testing.T) { // E26
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &capture{}
		r, s := newRefusing(t, func(c *webhook.Config) { c.Logger, c.StopTimeout = log.logger(), -1 })
		r.endpoint(hookURL)
		r.start()
		bad := event(t)
		s.refuse(bad.ID, true)
		require.NoError(t, r.Emit(t.Context(), bad))
		begin := time.Now()
		r.stop()
		assert.InDelta(t, 64, time.Since(begin).Seconds(), 4, "the lease, and a pause between two repetitions")
		assert.Contains(t, log.text(), "lost=0 repeating=1")
		assert.Equal(t, 1, strings.Count(log.text(), "lost=1 repeating=0"), "said once, when it is given up")
	})
}

func TestStopGivesRefusedResultsUpWhenItsContextEnds(t *testing.T) { // E26
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, s := newRefusing(t)
		r.endpoint(hookURL)
		r.start()
		bad := event(t)
		s.refuse(bad.ID, true)
		require.NoError(t, r.Emit(t.Context(), bad))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		require.ErrorIs(t, r.Stop(ctx), context.DeadlineExceeded)
		assert.LessOrEqual(t, time.Since(begin), 12*time.Second)
	})
}

// refusesOne records nothing of one endpoint.
type refusesOne struct {
	webhook.Store
	endpoint string
}

func (s *refusesOne) Settle(ctx context.Context, batch []webhook.Settlement) (webhook.Settled, error) {
	out, err := s.Store.Settle(ctx, slices.DeleteFunc(slices.Clone(batch), func(st webhook.Settlement) bool { return st.EndpointID == s.endpoint }))
	all := make([]webhook.SettleResult, 0, len(batch))
	for _, st := range batch {
		if st.EndpointID == s.endpoint {
			all = append(all, webhook.SettleResult{Status: webhook.SettleFailed, Err: errRow})
			continue
		}
		all = append(all, out.Results[0])
		out.Results = out.Results[1:]
	}
	out.Results = all
	return out, err
}

// What cannot be recorded of one endpoint uses up no room of the others.
func TestAnEndpointOfWhichNothingIsRecordedKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &refusesOne{}
		r := newRig(t, status(200), func(c *webhook.Config) { s.Store, c.Store = c.Store, s })
		ep := r.endpoint(hookURL)
		s.endpoint = r.endpoint(healthyURL).ID
		r.start()
		for range 40 {
			r.emit(100)
			time.Sleep(time.Second)
		}
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 4000)
		assert.Less(t, len(r.transport.to(healthyURL)), 512)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = r.Stop(ctx)
	})
}

func TestWhatCannotBeRecordedIsNotSentWithoutEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, s := newRefusing(t, func(c *webhook.Config) { c.PerEndpoint = 64 })
		s.all = true
		for i := range 20 {
			r.endpoint(fmt.Sprint(hookURL, i))
		}
		r.start()
		for range 30 {
			r.emit(100)
			time.Sleep(time.Second) // less than a lease in all
		}
		n := len(r.transport.requests())
		assert.GreaterOrEqual(t, n, 1024)
		assert.LessOrEqual(t, n, 1024+256*runtime.GOMAXPROCS(0)+64+256, "what waits to be recorded, what calls have taken, and what was in flight")
		s.mu.Lock()
		s.all = false
		s.mu.Unlock()
		time.Sleep(2 * time.Minute)
		assert.GreaterOrEqual(t, len(r.transport.requests()), 3000, "it goes on by itself")
		r.stop()
	})
}

// slowSettles counts the Settle calls that are under way at once.
type slowSettles struct {
	webhook.Store
	hint             int
	under, most, all atomic.Int64
}

func (s *slowSettles) ConcurrencyHint() int { return s.hint }

func (s *slowSettles) Settle(ctx context.Context, batch []webhook.Settlement) (webhook.Settled, error) {
	s.all.Add(1)
	s.most.Store(max(s.most.Load(), s.under.Add(1)))
	defer s.under.Add(-1)
	time.Sleep(100 * time.Millisecond)
	return s.Store.Settle(ctx, batch)
}

func TestResultsAreRecordedInAsManyCallsAtOnceAsTheStoreLikes(t *testing.T) {
	t.Parallel()
	for _, hint := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			log := &capture{}
			s := &slowSettles{hint: hint}
			r := newRig(t, status(200), func(c *webhook.Config) {
				s.Store, c.Store = c.Store, s
				c.PerEndpoint, c.Logger = 64, log.logger()
			})
			ep := r.endpoint(hookURL)
			r.start()
			for range 20 {
				r.emit(50) // 500 while one call lasts: enough for the second and the third one to begin
				time.Sleep(10 * time.Millisecond)
			}
			r.stop()
			assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 1000)
			assert.EqualValues(t, hint, s.most.Load())
			assert.Less(t, s.all.Load(), int64(30), "the others share")
			assert.Empty(t, log.text(), "nothing failed, so nothing is said")
		})
	}
}

func TestDeliverDueSaysWhatItCouldNotRecord(t *testing.T) {
	t.Parallel()
	t.Run("refused alone", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r, s := newRefusing(t)
			ep := r.endpoint(hookURL)
			events := r.emit(3)
			s.refuse(events[1].ID, true)
			n, err := r.DeliverDue(t.Context())
			assert.Equal(t, 3, n)
			require.ErrorIs(t, err, webhook.ErrStore)
			require.ErrorIs(t, err, errRow)
			require.ErrorContains(t, err, "1 results could not be recorded")
			assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 2)
		})
	})
	t.Run("refused without a reason, and recorded later", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r, s := newRefusing(t)
			s.silent = true
			r.endpoint(hookURL)
			ev := r.emit(1)[0]
			s.refuse(ev.ID, true)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err := r.DeliverDue(ctx)
			require.ErrorContains(t, err, "without a reason")
			s.refuse(ev.ID, false)
			time.Sleep(2 * time.Minute)
			n, err := r.DeliverDue(t.Context())
			require.NoError(t, err)
			assert.Equal(t, 1, n)
		})
	})
	t.Run("the store is down", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r, f := newFaulty(t, status(200))
			r.endpoint(hookURL)
			r.emit(2)
			f.downAtSettle.Store(true)
			n, err := r.DeliverDue(t.Context())
			assert.Equal(t, 2, n)
			require.ErrorIs(t, err, errDown)
		})
	})
	t.Run("the lease passes to the repetition that succeeds", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r, s := newRefusing(t)
			ev := func() webhook.Event { r.endpoint(hookURL); return r.emit(1)[0] }()
			s.refuse(ev.ID, true)
			time.AfterFunc(time.Second, func() { s.refuse(ev.ID, false) })
			n, err := r.DeliverDue(t.Context())
			require.NoError(t, err)
			assert.Equal(t, 1, n)
		})
	})
}

// noise is a log that fails the test when something is told that is to be looked at.
func noise(t *testing.T) func(*webhook.Config) {
	return func(c *webhook.Config) {
		c.Logger = slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
}

type testLog struct{ t *testing.T }

func (l testLog) Write(line []byte) (int, error) {
	l.t.Errorf("logged: %s", line)
	return len(line), nil
}

// What is in flight when its event or account is erased ends as usual, what waits in
// memory is not sent, and neither leaves anything behind.
func TestErasingLetsAttemptsInFlightEnd(t *testing.T) {
	t.Parallel()
	type erasing struct {
		name  string
		erase func(r *rig, events []webhook.Event)
		left  int // deliveries in the log
	}
	for _, c := range []erasing{
		{"events", func(r *rig, events []webhook.Event) {
			for _, ev := range events {
				require.NoError(r.t, r.RedactEvent(r.t.Context(), "acme", ev.ID))
			}
		}, 120},
		{"the account", func(r *rig, _ []webhook.Event) {
			d, err := r.DeleteAccount(r.t.Context(), "acme")
			require.NoError(r.t, err)
			assert.Equal(r.t, webhook.AccountDeleted{Endpoints: 1, Deliveries: 120, Events: 120}, d)
			d, err = r.DeleteAccount(r.t.Context(), "acme")
			require.NoError(r.t, err)
			assert.Zero(r.t, d, "once more")
		}, 0},
	} {
		for _, code := range []int{200, 410, 500} {
			t.Run(fmt.Sprint(c.name, " with ", code), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var slow atomic.Bool
					r := newRig(t, func(_ context.Context, q *webhook.Request) (*webhook.Response, error) {
						if !slow.Load() {
							return &webhook.Response{StatusCode: 200, Body: q.Body}, nil
						}
						time.Sleep(50 * time.Millisecond)
						return &webhook.Response{StatusCode: code, Body: q.Body}, nil
					}, noise(t))
					ep := r.endpoint("https://receiver.example/")
					r.start()
					events := r.emit(20) // an endpoint that is quick has a queue in memory
					time.Sleep(time.Second)
					slow.Store(true)
					events = append(events, r.emit(100)...)
					time.Sleep(20 * time.Millisecond)
					begun := len(r.transport.requests())
					require.Greater(t, begun, 20)
					require.Less(t, begun, 120)
					c.erase(r, events)
					time.Sleep(time.Hour)
					assert.Equal(t, begun, len(r.transport.requests()), "what had not begun was sent")
					all := r.deliveries(ep.ID, "")
					assert.Len(t, all, c.left)
					for _, d := range all {
						assert.Contains(t, []webhook.DeliveryStatus{webhook.DeliveryCancelled, webhook.DeliveryDelivered}, d.Status)
						attempts, err := r.ListAttempts(t.Context(), "acme", d.ID)
						require.NoError(t, err)
						for _, a := range attempts {
							assert.Empty(t, a.ResponseBody, "it repeats the payload")
						}
					}
					stats, err := r.Stats(t.Context())
					require.NoError(t, err)
					assert.Zero(t, stats)
					ev, err := r.GetEvent(t.Context(), "acme", events[0].ID)
					if c.left == 0 {
						require.ErrorIs(t, err, webhook.ErrNotFound)
					} else {
						require.NoError(t, err)
						assert.Nil(t, ev.Data)
						assert.Empty(t, ev.Raw)
						assert.Equal(t, events[0].Type, ev.Type)
					}
					require.ErrorIs(t, r.RedactEvent(t.Context(), "acme", "evt_none"), webhook.ErrNotFound)
					r.stop()
				})
			})
		}
	}
}
