package itest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

func (s *testStore) tallied(t testing.TB, id string) (sum webhook.Tally) {
	t.Helper()
	all, err := s.Tallies(ctx, "a", webhook.TallyQuery{EndpointIDs: []string{id}})
	require.NoError(t, err)
	for _, tally := range all[id] {
		sum.Add(tally)
	}
	return sum
}

// Two processes settle results of the same endpoints, in opposite orders, add them to the
// tallies, and read them, all at once: nothing waits for ever, and each result is counted
// once, whichever way it was recorded.
func TestProcessesTallyTheSameEndpointsAtOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		const endpoints, events, rounds = 8, 40, 4
		dsn := d.create(t)
		stores := []*testStore{d.storeOn(t, dsn, nil), d.storeOn(t, dsn, nil)}
		for i := range endpoints {
			_, err := stores[0].CreateEndpoint(ctx, endpoint(fmt.Sprint("wh_", i)))
			require.NoError(t, err)
		}
		want := webhook.Tally{}
		for round := range rounds {
			for i := range events {
				mustEnqueue(t, stores[0], event(fmt.Sprintf("evt_%d_%d", round, i)))
			}
			var wg sync.WaitGroup
			var mu sync.Mutex
			for p, s := range stores {
				out, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(endpoints*events/2, events/2)})
				require.NoError(t, err)
				require.Len(t, out.Deliveries, endpoints*events/2)
				for part := range 4 {
					wg.Go(func() {
						for i := part * 4; i < len(out.Deliveries); i += 16 {
							batch := make([]webhook.Settlement, 0, 4)
							for k := range out.Deliveries[i:min(i+4, len(out.Deliveries))] {
								at := i + k
								if p == 1 {
									at = len(out.Deliveries) - 1 - at
								}
								st := delivered(out.Deliveries[at])
								st.Tally, st.Attempt.Duration = true, time.Millisecond
								if i/4%3 == 0 {
									st.Outcome, st.Attempt.Failure = webhook.OutcomeExhausted, webhook.FailureHTTPStatus
								}
								batch = append(batch, st)
							}
							res, err := s.Settle(ctx, batch)
							assert.NoError(t, err)
							mu.Lock()
							for n, r := range res.Results {
								assert.Equal(t, webhook.SettleApplied, r.Status, r.Err)
								want.Add(batch[n].Tallied())
							}
							mu.Unlock()
							assert.NoError(t, s.foldNow())
							_, err = s.Tallies(ctx, "a", webhook.TallyQuery{EndpointIDs: []string{"wh_0", "wh_7"}})
							assert.NoError(t, err)
						}
					})
				}
			}
			wg.Wait()
		}
		require.NotZero(t, want.Exhausted)
		sum := func() (sum webhook.Tally) {
			for i := range endpoints {
				sum.Add(stores[0].tallied(t, fmt.Sprint("wh_", i)))
			}
			return sum
		}
		assert.Equal(t, want, sum())
		require.NoError(t, stores[1].foldNow())
		assert.Zero(t, stores[0].number(t, "select count(*) from webhook_count"))
		assert.Equal(t, want, sum())
		assert.LessOrEqual(t, stores[0].number(t, "select count(*) from webhook_tally"), int64(2*endpoints), "one for each hour")
	})
}

// foldNow adds to the tallies what was counted, as a process does that has just started.
func (s *testStore) foldNow() error {
	fresh, err := sqlstore.New(s.db, s.dialect, nil)
	if err != nil {
		return err
	}
	for more := true; more && err == nil; {
		var m webhook.Maintained
		m, err = fresh.Maintain(ctx, webhook.MaintainRequest{Limit: 100})
		more = m.More
	}
	return err
}

// Without Tally nothing is counted, and with it Settle writes one row for all results of
// a transaction, though they are of many endpoints.
func TestWhatIsCountedIsOneRowOfATransaction(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		for i := range 20 {
			_, err := s.CreateEndpoint(ctx, endpoint(fmt.Sprint("wh_", i)))
			require.NoError(t, err)
		}
		mustEnqueue(t, s, event("evt_1"))
		mustEnqueue(t, s, event("evt_2"))
		mustEnqueue(t, s, event("evt_3"))
		out, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(60, 3)})
		require.NoError(t, err)
		require.Len(t, out.Deliveries, 60)
		settle := func(n int, change func(*webhook.Settlement)) int64 {
			batch := make([]webhook.Settlement, n)
			for i := range batch {
				batch[i] = delivered(out.Deliveries[i])
				change(&batch[i])
			}
			out.Deliveries = out.Deliveries[n:]
			res, err := s.Settle(ctx, batch)
			require.NoError(t, err)
			for _, r := range res.Results {
				require.Equal(t, webhook.SettleApplied, r.Status)
			}
			return s.number(t, "select count(*) from webhook_count")
		}
		assert.Zero(t, settle(20, func(*webhook.Settlement) {}))
		assert.EqualValues(t, 1, settle(20, func(st *webhook.Settlement) { st.Tally = true }))
		assert.EqualValues(t, 20*16, s.number(t, "select length(results) from webhook_count"))
		assert.EqualValues(t, 2, settle(20, func(st *webhook.Settlement) {
			st.Tally, st.Outcome, st.Delay, st.Attempt.Failure = true, webhook.OutcomeRetry, time.Hour, webhook.FailureHTTPStatus
		}))
	})
}

// BenchmarkSettleTallied records batches of 100 successes of 100 endpoints with and
// without tallies, in turn, and then adds up all that was counted.
func BenchmarkSettleTallied(b *testing.B) {
	for _, d := range databases {
		b.Run(d.name, func(b *testing.B) {
			s := d.store(b)
			for i := range 100 {
				_, err := s.CreateEndpoint(ctx, endpoint(fmt.Sprint("wh_", i)))
				require.NoError(b, err)
			}
			var spent [2]time.Duration
			n := 0
			for b.Loop() {
				for on := range spent {
					mustEnqueue(b, s, event(fmt.Sprintf("evt_%d", n)))
					n++
					out, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(100, 1)})
					require.NoError(b, err)
					batch := make([]webhook.Settlement, len(out.Deliveries))
					for i, l := range out.Deliveries {
						batch[i] = delivered(l)
						batch[i].Tally = on == 1
					}
					begin := time.Now()
					_, err = s.Settle(ctx, batch)
					spent[on] += time.Since(begin)
					require.NoError(b, err)
				}
			}
			begin := time.Now()
			require.NoError(b, s.foldNow())
			b.ReportMetric(float64(time.Since(begin).Microseconds())/float64(n/2), "µs/added-up")
			b.ReportMetric(float64(spent[0].Microseconds())/float64(n/2), "µs/off")
			b.ReportMetric(float64(spent[1].Microseconds())/float64(n/2), "µs/on")
		})
	}
}
