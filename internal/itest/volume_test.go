package itest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// million is the volume of the long tests: rows that wait for a retry, spread over
// a hundred thousand endpoints, and as many that are due at one endpoint. As many
// endpoints are paused.
const million = 1_000_000

// G1, G2: beside a million waiting retries of 100,000 endpoints and a million due
// deliveries of another one, claiming and emitting take no more than 1.5 times
// as long as on an empty database, and the event of one more endpoint is claimed
// within 100 ms.
//
// The empty database and the full one take turns, so that what else the machine
// does falls on both.
func TestAMillionRowsCostNothing(t *testing.T) {
	if !long() {
		t.Skip("skipped: it takes minutes; WEBHOOK_TEST_LONG=1 and make long run it")
	}
	for _, d := range databases { // not in parallel: they are timed
		t.Run(d.name, func(t *testing.T) {
			empty, full := d.store(t), d.store(t)
			for _, s := range []*testStore{empty, full} {
				for _, id := range []string{"wh_full", "wh_1"} {
					_, err := s.CreateEndpoint(ctx, endpoint(id, webhook.EventType(id+".event")))
					require.NoError(t, err)
				}
			}
			one := event("evt_full")
			one.Type = "wh_full.event"
			mustEnqueue(t, empty, one) // so that both claims pass an endpoint without room
			began := time.Now()
			full.fill(t, million, million/10, fmt.Sprint("3 + n % ", million/10))
			full.analyse(t)
			t.Logf("filled in %.0f s", time.Since(began).Seconds())
			q, err := full.QueueStats(ctx, "", "")
			require.NoError(t, err)
			require.Equal(t, [2]int{million + million/10, million}, [2]int{q.Ready, q.Waiting})

			var emit, claim float64
			for round := 0; round < 3 && (round == 0 || max(emit, claim) > 1.5); round++ {
				emit, claim = compare(t, empty, full, round)
			}
			assert.LessOrEqual(t, emit, 1.5, "emit")
			assert.LessOrEqual(t, claim, 1.5, "claim")
			full.claimsBeside(t)
		})
	}
}

// compare returns how many times as long emits and claims take on the full
// database. A busy machine can only make it more, since the full one needs more
// of the caches that all share: one round in three has to hold.
func compare(t *testing.T, empty, full *testStore, round int) (emit, claim float64) {
	t.Helper()
	var e, f timed
	for n := range 400 {
		e.cycle(t, empty, 1000*round+n)
		f.cycle(t, full, 1000*round+n)
	}
	ratio := func(what string, empty, full []time.Duration) float64 {
		a, b := median(empty), median(full)
		t.Logf("%s: median %v empty, %v full, %.2f times; slowest %v and %v", what, a, b, float64(b)/float64(a), slices.Max(empty), slices.Max(full))
		return float64(b) / float64(a)
	}
	return ratio("emit", e.emit, f.emit), ratio("claim", e.claim, f.claim)
}

// timed collects how long calls took.
type timed struct{ emit, claim []time.Duration }

// cycle takes one event through the store while wh_full has no room. The first
// ones warm it up.
func (m *timed) cycle(t *testing.T, s *testStore, n int) {
	t.Helper()
	ev := event(fmt.Sprintf("evt_new_%d", n))
	ev.Type = "wh_1.event"
	began := time.Now()
	mustEnqueue(t, s, ev)
	emitted := time.Since(began)
	began = time.Now()
	c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(64, 4, "wh_full")})
	claimed := time.Since(began)
	require.NoError(t, err)
	require.Len(t, c.Deliveries, 1)
	_, err = s.Settle(ctx, []webhook.Settlement{delivered(c.Deliveries[0])})
	require.NoError(t, err)
	if n%1000 >= 50 {
		m.emit, m.claim = append(m.emit, emitted), append(m.claim, claimed)
	}
}

func median(all []time.Duration) time.Duration {
	all = slices.Clone(all)
	slices.Sort(all)
	return all[len(all)/2]
}

// claimsBeside claims the events of one endpoint while the one with a million due
// has room too, and takes its share of each claim.
func (s *testStore) claimsBeside(t *testing.T) {
	t.Helper()
	var took []time.Duration
	cursor := ""
	for n := range 100 {
		ev := event(fmt.Sprintf("evt_beside_%d", n))
		ev.Type = "wh_1.event"
		mustEnqueue(t, s, ev)
		began := time.Now()
		for found := false; !found; {
			c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(64, 4), Cursor: cursor})
			require.NoError(t, err)
			require.NotEmpty(t, c.Deliveries)
			cursor = c.Cursor
			found = slices.ContainsFunc(c.Deliveries, func(l webhook.Leased) bool { return l.Event.ID == ev.ID })
		}
		took = append(took, time.Since(began))
	}
	t.Logf("an event beside a million due ones is claimed within %v, at most %v", median(took), slices.Max(took))
	assert.Less(t, median(took), 100*time.Millisecond)
}
