package itest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// BenchmarkClaimBesidePausedEndpoints measures the claim of one event beside nothing,
// beside 10,000 paused endpoints with a backlog, and beside as many whose next probe
// is due and that there is no room for. They take turns, so that what else the machine
// does falls on all: it reports medians, and what each is times the first.
func BenchmarkClaimBesidePausedEndpoints(b *testing.B) {
	const endpoints, each = 10_000, 10
	for _, d := range databases {
		b.Run(d.name, func(b *testing.B) {
			none, paused, due := d.store(b), d.store(b), d.store(b)
			stores := []*testStore{none, paused, due}
			for _, s := range stores {
				_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
				require.NoError(b, err)
			}
			paused.filler().paused(b, endpoints, each)
			due.filler().paused(b, endpoints, each)
			due.exec(b, "update webhook_endpoint set paused_until = 1, probe_at = num where status = 5")
			took := make([][]time.Duration, len(stores))
			cursors := make([]string, len(stores))
			for _, s := range stores {
				s.analyse(b)
			}
			n := 0
			for b.Loop() {
				n++
				for i, s := range stores {
					mustEnqueue(b, s, event(fmt.Sprint("evt_", n)))
					began := time.Now()
					c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: onlyUnpaused(), Cursor: cursors[i]})
					took[i] = append(took[i], time.Since(began))
					require.NoError(b, err)
					require.Len(b, c.Deliveries, 1)
					cursors[i] = c.Cursor
					_, err = s.Settle(ctx, []webhook.Settlement{answered(c.Deliveries[0], webhook.PaceQuick)})
					require.NoError(b, err)
				}
			}
			first := median(took[0])
			for i, name := range []string{"none", "paused", "due"} {
				m := median(took[i])
				b.ReportMetric(float64(m.Microseconds()), name+"-us")
				b.ReportMetric(float64(m)/float64(first), name+"-times")
			}
		})
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
