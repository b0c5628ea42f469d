package itest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

const pauseLength = 10 * time.Minute

// pauser is a store with an endpoint, wh_1, that is to be paused.
type pauser struct {
	*testStore
	t testing.TB
}

// paused makes one whose endpoint has just timed out with evt_1, which waits for its
// retry in an hour.
func paused(t testing.TB, d database) pauser {
	t.Helper()
	p := pauser{d.store(t), t}
	_, err := p.CreateEndpoint(ctx, endpoint("wh_1"))
	require.NoError(t, err)
	mustEnqueue(t, p, event("evt_1"))
	l := p.claim()
	require.Len(t, l, 1)
	p.settle(timedOut(l[0], time.Hour))
	p.maintain()
	return p
}

func timedOut(l webhook.Leased, retryIn time.Duration) webhook.Settlement {
	st := delivered(l)
	st.Outcome, st.Delay, st.Counts = webhook.OutcomeRetry, retryIn, true
	st.Attempt.StatusCode, st.Attempt.Failure = 0, webhook.FailureTimeout
	st.Pace, st.Pause, st.MaxPause = webhook.PacePaused, pauseLength, 3*pauseLength
	return st
}

func answered(l webhook.Leased, pace webhook.Pace) webhook.Settlement {
	st := delivered(l)
	st.Pace = pace
	return st
}

func released(l webhook.Leased) webhook.Settlement {
	st := delivered(l)
	st.Outcome, st.Attempt = webhook.OutcomeReleased, nil
	return st
}

func (p pauser) claim() []webhook.Leased {
	p.t.Helper()
	c, err := p.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(100, 100)})
	require.NoError(p.t, err)
	return c.Deliveries
}

func (p pauser) settle(st ...webhook.Settlement) {
	p.t.Helper()
	r, err := p.Settle(ctx, st)
	require.NoError(p.t, err)
	for _, res := range r.Results {
		require.Equal(p.t, webhook.SettleApplied, res.Status)
	}
}

// maintain works until nothing is left to do, and returns how often it was called.
func (p pauser) maintain() (calls int) {
	p.t.Helper()
	for more := true; more; calls++ {
		m, err := p.Maintain(ctx, webhook.MaintainRequest{Limit: 100})
		require.NoError(p.t, err)
		more = m.More
	}
	return calls
}

func (p pauser) pass(d time.Duration) {
	p.t.Helper()
	p.rewind(p.t, d)
	p.maintain()
}

func (p pauser) endpoint() webhook.EndpointRecord {
	p.t.Helper()
	rec, err := p.GetEndpoint(ctx, "a", "wh_1")
	require.NoError(p.t, err)
	return rec
}

func (p pauser) stats(want webhook.QueueStats) {
	p.t.Helper()
	for _, id := range []string{"", "wh_1"} {
		q, err := p.QueueStats(ctx, "a", id)
		require.NoError(p.t, err)
		q.OldestReady = 0
		assert.Equal(p.t, want, q, "of %q", id)
	}
}

func (p pauser) states() map[int]int {
	p.t.Helper()
	all := map[int]int{}
	rows, err := p.db.Query("select state, count(*) from webhook_queue group by state")
	require.NoError(p.t, err)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var state, n int
		require.NoError(p.t, rows.Scan(&state, &n))
		all[state] = n
	}
	require.NoError(p.t, rows.Err())
	return all
}

func eventIDs(all []webhook.Leased) (ids []string) {
	for _, l := range all {
		ids = append(ids, l.Event.ID)
	}
	return ids
}

func TestAPausedEndpointIsProbedOneDeliveryAtATime(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		p := paused(t, d)
		rec := p.endpoint()
		assert.Equal(t, [2]any{webhook.PacePaused, webhook.EndpointFailing}, [2]any{rec.Pace, rec.Status})
		assert.InDelta(t, pauseLength, time.Until(rec.PausedTill), float64(time.Minute))

		// While it is paused nothing is handed off, and nothing is claimed.
		r := groups([]webhook.EventRecord{event("evt_2"), event("evt_3")})
		r.Handoff = terms(100, 100)
		out, err := p.Enqueue(ctx, r)
		require.NoError(t, err)
		assert.Empty(t, out.Leased)
		assert.Equal(t, 2, out.Ready)
		assert.Empty(t, r.Handoff.Room.(*room).asked)
		assert.Empty(t, p.claim())
		p.stats(webhook.QueueStats{Ready: 2, Waiting: 1})
		assert.Equal(t, map[int]int{5: 1, 6: 2}, p.states())

		// The pause is over: one is leased, and the next one when that is settled.
		p.pass(pauseLength + time.Minute)
		probe := p.claim()
		require.Equal(t, []string{"evt_2"}, eventIDs(probe))
		require.Empty(t, p.claim())
		p.settle(timedOut(probe[0], time.Hour))
		require.Empty(t, p.claim())
		rec = p.endpoint()
		assert.InDelta(t, 2*pauseLength, time.Until(rec.PausedTill), float64(time.Minute), "the next pause is longer")

		// What was attempted before is a probe when it is due, though the pause lasts.
		p.pass(2*pauseLength - 2*time.Minute)
		require.Empty(t, p.claim())
		p.exec(t, "update webhook_queue set due = due - 3600000000 where state = 5")
		p.maintain()
		assert.Equal(t, map[int]int{6: 1, 7: 2}, p.states())
		probe = p.claim()
		require.Equal(t, []string{"evt_1"}, eventIDs(probe), "the oldest that was attempted")
		p.settle(timedOut(probe[0], time.Hour)) // changes nothing: the pause lasts
		assert.Equal(t, rec.PausedTill.Add(-2*pauseLength+2*time.Minute), p.endpoint().PausedTill)
		probe = p.claim()
		require.Equal(t, []string{"evt_2"}, eventIDs(probe))

		// The first answer ends it.
		p.settle(answered(probe[0], webhook.PaceSlow))
		rec = p.endpoint()
		assert.Equal(t, [2]any{webhook.PaceSlow, webhook.EndpointActive}, [2]any{rec.Pace, rec.Status})
		assert.Zero(t, rec.PausedTill)
		p.maintain()
		assert.Equal(t, map[int]int{0: 1, 5: 1}, p.states())
		assert.Equal(t, []string{"evt_3"}, eventIDs(p.claim()))
		assert.Len(t, p.handOff("evt_4"), 1)
	})
}

// handOff emits an event and returns what was leased of it.
func (p pauser) handOff(id string) []webhook.Leased {
	p.t.Helper()
	r := groups([]webhook.EventRecord{event(id)})
	r.Handoff = terms(100, 100)
	out, err := p.Enqueue(ctx, r)
	require.NoError(p.t, err)
	return out.Leased
}

// One that has nothing to be probed with is probed with the next event, when the
// pause is over, whoever emits it.
func TestAPausedEndpointWithoutDeliveriesIsProbedWithTheNextEvent(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		p := paused(t, d)
		p.exec(t, "update webhook_queue set due = due + 360000000000 where state = 5")
		p.pass(pauseLength + time.Minute)
		require.Empty(t, p.claim(), "there is none")
		assert.Zero(t, p.number(t, "select probe_at from webhook_endpoint"), "nothing is looked for")
		require.Empty(t, p.handOff("evt_2"))
		tx, q := p.begin(t)
		mustEnqueue(t, q, event("evt_3"))
		require.NoError(t, tx.Commit())
		probe := p.claim()
		require.Len(t, probe, 1)
		assert.Empty(t, p.claim())
		p.maintain()
		assert.Equal(t, map[int]int{5: 1, 6: 1}, p.states(), "the other is parked")
		require.Empty(t, p.handOff("evt_4"))
		assert.Empty(t, p.claim())
		p.settle(released(probe[0]))
		assert.Len(t, p.claim(), 1)

		// An event that was parked at the very moment when there seemed to be none.
		p.exec(t, "update webhook_endpoint set probe_at = 0, probe_token = 0")
		assert.Empty(t, p.claim())
		p.maintain()
		assert.Len(t, p.claim(), 1)
	})
}

func TestTheProbeOfADeadProcessIsMadeAgain(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		p := paused(t, d)
		mustEnqueue(t, p, event("evt_2"), event("evt_3"))
		p.pass(pauseLength + time.Minute)
		require.Equal(t, []string{"evt_2"}, eventIDs(p.claim()))
		p.pass(30 * time.Minute)
		require.Empty(t, p.claim(), "its lease lasts")
		p.exec(t, "update webhook_queue set due = due + 360000000000 where state = 5")
		p.pass(31 * time.Minute)
		again := p.claim()
		require.Equal(t, []string{"evt_3"}, eventIDs(again), "it is due since before")
		assert.Empty(t, p.claim())
		p.settle(released(again[0]))
		again = p.claim()
		require.Equal(t, []string{"evt_2"}, eventIDs(again))
		assert.Equal(t, 1, again[0].Expired)
	})
}

// What is in flight when the pause begins tells when the next probe is due, but not
// while a probe is under way.
func TestOnlyTheProbeCallsForTheNextOne(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		p := pauser{d.store(t), t}
		_, err := p.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		mustEnqueue(t, p, event("evt_1"), event("evt_2"), event("evt_3"))
		l := p.claim()
		require.Len(t, l, 3)
		p.settle(timedOut(l[0], 0)) // it can be retried at once
		p.maintain()
		probe := p.claim()
		require.Equal(t, []string{"evt_1"}, eventIDs(probe))
		p.settle(released(l[1]))
		require.Empty(t, p.claim())
		p.settle(timedOut(probe[0], time.Hour))
		require.Empty(t, p.claim(), "the pause lasts for what was not attempted")
		p.stats(webhook.QueueStats{Ready: 1, Waiting: 1, Leased: 1})
		p.pass(pauseLength + time.Minute)
		assert.Equal(t, []string{"evt_2"}, eventIDs(p.claim()))
		p.settle(answered(l[2], webhook.PaceQuick))
		assert.Equal(t, webhook.PaceQuick, p.endpoint().Pace, "any answer ends it")
	})
}

func TestTwoProcessesMakeOneProbe(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		p := paused(t, d)
		mustEnqueue(t, p, event("evt_2"), event("evt_3"), event("evt_4"))
		other := pauser{d.storeOn(t, p.dsn, nil), t}
		for round := range 5 {
			p.exec(t, "update webhook_endpoint set paused_until = 1, probe_at = 1, probe_token = 0")
			var wg sync.WaitGroup
			found := make([][]webhook.Leased, 4)
			for i := range found {
				from := []pauser{p, other}[i%2]
				wg.Go(func() {
					c, err := from.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(100, 100)})
					if assert.NoError(t, err) {
						found[i] = c.Deliveries
					}
				})
			}
			wg.Wait()
			var all []webhook.Leased
			for _, f := range found {
				all = append(all, f...)
			}
			require.Len(t, all, 1, "round %d", round)
			p.settle(released(all[0]))
		}
	})
}

// A switch ends the pause, and a deleted endpoint's deliveries are cancelled.
func TestAPauseEndsWithTheEndpointItIsOf(t *testing.T) {
	t.Parallel()
	notUnderRace(t)
	for _, c := range []struct {
		name   string
		change func(p pauser)
		states map[int]int
		stats  webhook.QueueStats
		status webhook.EndpointStatus
		pace   webhook.Pace
	}{
		{
			"a new description", func(p pauser) { p.update(false, func(r *webhook.EndpointRecord) { r.Description = "new" }) },
			map[int]int{5: 1, 6: 2},
			webhook.QueueStats{Ready: 2, Waiting: 1},
			webhook.EndpointFailing, webhook.PacePaused,
		},
		{
			"a new URL", func(p pauser) { p.update(true, func(r *webhook.EndpointRecord) { r.URL = "https://example.org/new" }) },
			map[int]int{0: 2, 5: 1},
			webhook.QueueStats{Ready: 2, Waiting: 1},
			webhook.EndpointActive, webhook.PaceUnknown,
		},
		{
			"switched off", func(p pauser) { p.update(true, off) },
			map[int]int{4: 2, 5: 1},
			webhook.QueueStats{Held: 2, Waiting: 1},
			webhook.EndpointInactive, webhook.PaceUnknown,
		},
		{"switched off and on", func(p pauser) {
			p.update(true, off)
			p.maintain()
			p.update(true, func(r *webhook.EndpointRecord) { r.Status = webhook.EndpointActive })
		}, map[int]int{0: 2, 5: 1}, webhook.QueueStats{Ready: 2, Waiting: 1}, webhook.EndpointActive, webhook.PaceUnknown},
		{"switched off before it is parked", func(p pauser) {
			p.exec(p.t, "update webhook_queue set state = 0 where state = 6")
			p.update(false, off)
		}, map[int]int{4: 2, 5: 1}, webhook.QueueStats{Held: 2, Waiting: 1}, webhook.EndpointInactive, webhook.PaceUnknown},
		{"disabled by a failure", func(p pauser) {
			p.pass(pauseLength + time.Minute)
			st := timedOut(p.claim()[0], time.Hour)
			st.DisableAfter = 1
			p.settle(st)
		}, map[int]int{4: 1, 5: 2}, webhook.QueueStats{Held: 1, Waiting: 2}, webhook.EndpointInactive, webhook.PaceUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, d database) {
				p := paused(t, d)
				mustEnqueue(t, p, event("evt_2"), event("evt_3"))
				c.change(p)
				p.maintain()
				assert.Equal(t, c.states, p.states())
				p.stats(c.stats)
				rec := p.endpoint()
				assert.Equal(t, [2]any{c.status, c.pace}, [2]any{rec.Status, rec.Pace})
				page, err := p.ListEndpoints(ctx, webhook.EndpointFilter{AccountID: "a", Status: c.status, Limit: 10})
				require.NoError(t, err)
				assert.Len(t, page.Items, 1)
				assert.Equal(t, c.pace == webhook.PacePaused, p.number(t, "select count(*) from webhook_endpoint where probe_at > 0") == 1)
			})
		})
	}
	t.Run("deleted", func(t *testing.T) {
		onEach(t, func(t *testing.T, d database) {
			p := paused(t, d)
			mustEnqueue(t, p, event("evt_2"), event("evt_3"))
			require.NoError(t, p.DeleteEndpoint(ctx, webhook.EndpointDelete{AccountID: "a", ID: "wh_1"}))
			m, err := p.Maintain(ctx, webhook.MaintainRequest{Limit: 100})
			require.NoError(t, err)
			assert.Equal(t, 2, m.Cancelled)
			assert.Equal(t, map[int]int{5: 1}, p.states())
			p.pass(2 * time.Hour)
			assert.Empty(t, p.states())
			assert.Empty(t, p.claim())
		})
	})
}

func off(r *webhook.EndpointRecord) { r.Status = webhook.EndpointInactive }

func (p pauser) update(reset bool, change func(*webhook.EndpointRecord)) {
	p.t.Helper()
	rec := p.endpoint()
	change(&rec)
	_, err := p.UpdateEndpoint(ctx, webhook.EndpointUpdate{Record: rec, Reset: reset})
	require.NoError(p.t, err)
}

// What is made pending again is parked. It begins a schedule, unless it was on one.
func TestWhatIsSentAgainIsParkedWhileItsEndpointIsPaused(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		p := paused(t, d)
		page, err := p.ListDeliveries(ctx, webhook.DeliveryFilter{AccountID: "a", EndpointID: "wh_1", Limit: 1})
		require.NoError(t, err)
		again, err := p.Redeliver(ctx, "a", page.Items[0].ID)
		require.NoError(t, err)
		assert.Equal(t, webhook.DeliveryPending, again.Status)
		assert.Equal(t, map[int]int{7: 1}, p.states())
		other := event("evt_2")
		other.AccountID = "b"
		mustEnqueue(t, p, other)
		p.exec(t, "update webhook_unmatched set account = 'a'")
		p.exec(t, "update webhook_event set account = 'a'")
		r, err := p.Replay(ctx, webhook.ReplayRequest{AccountID: "a", EndpointID: "wh_1", Limit: 10})
		require.NoError(t, err)
		assert.Equal(t, 1, r.Count)
		assert.Equal(t, map[int]int{6: 1, 7: 1}, p.states())
		assert.Empty(t, p.claim())
		p.pass(pauseLength + time.Minute)
		assert.Len(t, p.claim(), 1)
	})
}

// A pause and its end move a backlog in batches, and keep what was attempted before
// what was not.
func TestABacklogIsParkedInBatches(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		p := pauser{d.store(t), t}
		_, err := p.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		_, err = p.CreateEndpoint(ctx, endpoint("wh_2", "wh_2.event"))
		require.NoError(t, err)
		const n = 1500
		evs := make([]webhook.EventRecord, n)
		for i := range evs {
			evs[i] = event(fmt.Sprint("evt_", i))
		}
		mustEnqueue(t, p, evs...)
		l := p.claim()
		require.Len(t, l, 100)
		retried := timedOut(l[1], 0)
		retried.Pace = webhook.PaceUnknown
		p.settle(retried, timedOut(l[0], time.Hour))
		assert.GreaterOrEqual(t, p.maintain(), (n-100)/100)
		assert.Equal(t, map[int]int{5: 1, 6: n - 100, 7: 1}, p.states())
		p.settle(answered(l[2], webhook.PaceQuick))
		one := event("evt_beside")
		one.Type = "wh_2.event"
		mustEnqueue(t, p, one)
		assert.Contains(t, eventIDs(p.claim()), "evt_beside")
		assert.GreaterOrEqual(t, p.maintain(), (n-100)/100)
		assert.Zero(t, p.states()[6]+p.states()[7])
	})
}

// A transaction that began before a pause, or before its end, leaves a delivery in
// the wrong place: it is found.
func TestADeliveryThatIsCommittedLateIsFound(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		p := paused(t, d)
		mustEnqueue(t, p, event("evt_2"))
		p.exec(t, "update webhook_queue set state = 0 where state = 6")
		require.Empty(t, p.claim())
		p.maintain()
		assert.Equal(t, map[int]int{5: 1, 6: 1}, p.states())
		p.update(true, func(r *webhook.EndpointRecord) { r.URL = "https://example.org/new" })
		p.maintain()
		p.exec(t, "update webhook_queue set state = 6 where state = 0")
		p.maintain()
		assert.Equal(t, map[int]int{0: 1, 5: 1}, p.states())
	})
}

// MaxBytes bounds what a claim reads, and leaves the rest where it was.
func TestAClaimReadsAsManyBytesAsItMay(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		var evs []webhook.EventRecord
		for i := range 100 {
			ev := event(fmt.Sprintf("evt_%02d", i))
			ev.Data = fmt.Appendf(nil, `"%01021d"`, i)
			evs = append(evs, ev)
		}
		mustEnqueue(t, s, evs...)
		due := s.number(t, "select min(due) from webhook_queue")
		for _, c := range []struct{ bytes, want int }{{1, 1}, {1023, 1}, {10 << 10, 10}, {10<<10 + 500, 10}} {
			tm := terms(100, 100)
			tm.MaxBytes = c.bytes
			r, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: tm})
			require.NoError(t, err)
			assert.Len(t, r.Deliveries, c.want, "of %d bytes", c.bytes)
			assert.True(t, r.More)
			for _, l := range r.Deliveries {
				assert.Len(t, l.Event.Data, 1023)
			}
		}
		assert.Equal(t, due, s.number(t, "select max(due) from webhook_queue"), "they are as due as they were")
		q, err := s.QueueStats(ctx, "", "")
		require.NoError(t, err)
		assert.Equal(t, [2]int{78, 22}, [2]int{q.Ready, q.Leased})
	})
}

// The pace of an endpoint reaches who asks for room, within a while.
func TestThePaceReachesRoom(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		p := pauser{d.store(t), t}
		_, err := p.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		asked := func(id string) webhook.Candidate {
			t.Helper()
			r := groups([]webhook.EventRecord{event(id)})
			r.Handoff = terms(1, 1)
			out, err := p.Enqueue(ctx, r)
			require.NoError(t, err)
			require.Len(t, out.Leased, 1)
			c := r.Handoff.Room.(*room).asked[0]
			p.settle(released(out.Leased[0]))
			tm := terms(1, 1)
			claimed, err := p.Claim(ctx, webhook.ClaimRequest{LeaseTerms: tm})
			require.NoError(t, err)
			require.Len(t, claimed.Deliveries, 1)
			assert.Equal(t, len(event(id).Data), c.Bytes)
			c.Bytes = 0
			assert.Equal(t, c, tm.Room.(*room).asked[0], "in a claim")
			next := answered(claimed.Deliveries[0], webhook.PaceQuick)
			if c.Pace == webhook.PaceQuick {
				next.Pace = webhook.PaceSlow
			}
			p.settle(next)
			return c
		}
		want := webhook.Candidate{EndpointID: "wh_1", AccountID: "a"}
		assert.Equal(t, want, asked("evt_1"), "not known")
		want.Pace = webhook.PaceQuick
		assert.Equal(t, want, asked("evt_2"), "it answered")
		p.rewind(t, time.Minute)
		p.settle(answered(p.handOff("evt_3")[0], webhook.PaceSlow))
		want.Pace = webhook.PaceSlow
		assert.Equal(t, want, asked("evt_4"), "a minute later")
	})
}
