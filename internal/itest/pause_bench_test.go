package itest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// BenchmarkClaimBesidePausedEndpoints measures the claim of one event beside nothing,
// beside 10,000 paused endpoints with a backlog, and beside as many whose next probe
// is due and that there is no room for.
func BenchmarkClaimBesidePausedEndpoints(b *testing.B) {
	const endpoints, each = 10_000, 10
	for _, d := range databases {
		for _, c := range []struct {
			name    string
			prepare func(*testStore)
		}{
			{"none", func(*testStore) {}},
			{"paused", func(s *testStore) { s.filler().paused(b, endpoints, each) }},
			{"due", func(s *testStore) {
				s.filler().paused(b, endpoints, each)
				s.exec(b, "update webhook_endpoint set paused_until = 1, probe_at = num where status = 5")
			}},
		} {
			b.Run(d.name+"/"+c.name, func(b *testing.B) {
				s := d.store(b)
				_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
				require.NoError(b, err)
				c.prepare(s)
				s.analyse(b)
				var took []time.Duration
				cursor, n := "", 0
				for b.Loop() {
					n++
					mustEnqueue(b, s, event(fmt.Sprint("evt_", n)))
					began := time.Now()
					claimed, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: onlyUnpaused(), Cursor: cursor})
					took = append(took, time.Since(began))
					require.NoError(b, err)
					require.Len(b, claimed.Deliveries, 1)
					cursor = claimed.Cursor
					_, err = s.Settle(ctx, []webhook.Settlement{answered(claimed.Deliveries[0], webhook.PaceQuick)})
					require.NoError(b, err)
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds()), "claim-p50-us")
				b.ReportMetric(float64(took[len(took)*9/10].Microseconds()), "claim-p90-us")
			})
		}
	}
}

// unpaused is a [webhook.Room] without room for paused endpoints.
type unpaused struct{}

// Take implements [webhook.Room].
func (unpaused) Take(c webhook.Candidate, n int) int {
	if c.Pace == webhook.PacePaused {
		return 0
	}
	return n
}

// Reset implements [webhook.Room].
func (unpaused) Reset() {}

func onlyUnpaused() webhook.LeaseTerms {
	return webhook.LeaseTerms{Max: 64, Lease: time.Hour, Room: unpaused{}}
}
