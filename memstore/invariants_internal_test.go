package memstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// TestIndexesAgree does random things and looks, in between, whether everything
// that the store knows in two places says the same in both.
func TestIndexesAgree(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			w := newWalk(t, seed)
			for step := range 1500 {
				w.step()
				if step%100 == 0 {
					checkIndexes(t, w.s)
				}
			}
			w.end()
			checkIndexes(t, w.s)
			assert.Empty(t, w.s.accounts, "accounts are forgotten with their last event and endpoint")
			assert.Empty(t, w.s.deliveries)
			for id, ep := range w.s.endpoints {
				assert.Nil(t, ep, "of %s only the id is kept", id)
			}
		})
	}
}

// walk does random things to a store.
type walk struct {
	t      *testing.T
	s      *Store
	rnd    *rand.Rand
	now    time.Time
	ids    []string
	events int
	held   []webhook.Leased
}

func newWalk(t *testing.T, seed uint64) *walk {
	w := &walk{t: t, rnd: rand.New(rand.NewPCG(seed, 2)), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	w.s = NewWith(Options{History: 30, Clock: func() time.Time { return w.now }})
	return w
}

// ownerOf returns the account of an endpoint: one of ten.
func ownerOf(id string) string { return "acc_" + id[len(id)-1:] }

func (w *walk) step() {
	ctx := context.Background()
	w.now = w.now.Add(time.Duration(w.rnd.IntN(90)) * time.Second)
	switch n := w.rnd.IntN(100); {
	case n < 3:
		id := fmt.Sprint("wh_", len(w.ids))
		w.ids = append(w.ids, id)
		_, err := w.s.CreateEndpoint(ctx, webhook.EndpointCreate{Record: webhook.EndpointRecord{
			Endpoint: webhook.Endpoint{ID: id, AccountID: ownerOf(id), Events: []webhook.EventType{"*", "call.*"}},
		}})
		require.NoError(w.t, err)
	case n < 5 && len(w.ids) > 0:
		_ = w.s.DeleteEndpoint(ctx, webhook.EndpointDelete{AccountID: ownerOf(w.id()), ID: w.id()})
	case n < 15 && len(w.ids) > 0:
		w.flip(w.id())
	case n < 45:
		w.emit()
	case n < 65:
		c, err := w.s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: w.terms()})
		require.NoError(w.t, err)
		w.held = append(w.held, c.Deliveries...)
	case n < 85:
		w.settle()
	case n < 88 && len(w.held) > 0:
		l := w.held[w.rnd.IntN(len(w.held))]
		_, _ = w.s.Redeliver(ctx, l.Event.AccountID, l.DeliveryID)
	case n < 90 && len(w.ids) > 0:
		id := w.id()
		_, _ = w.s.Replay(ctx, webhook.ReplayRequest{AccountID: ownerOf(id), EndpointID: id, Limit: 5})
	default:
		w.maintain(time.Duration(w.rnd.IntN(2)) * time.Hour)
	}
}

func (w *walk) id() string { return w.ids[w.rnd.IntN(len(w.ids))] }

func (w *walk) terms() webhook.LeaseTerms {
	return webhook.LeaseTerms{
		Max: w.rnd.IntN(6), MaxBytes: w.rnd.IntN(3) * 20, Lease: 5 * time.Minute,
		Room: roomOf{w.rnd.IntN(4), map[string]int{}},
	}
}

// roomOf is a [webhook.Room] of so many deliveries of each endpoint.
type roomOf struct {
	each  int
	taken map[string]int
}

// Take implements [webhook.Room].
func (r roomOf) Take(c webhook.Candidate, n int) int {
	n = min(n, r.each-r.taken[c.EndpointID])
	r.taken[c.EndpointID] += n
	return n
}

// Reset implements [webhook.Room].
func (r roomOf) Reset() { clear(r.taken) }

func (w *walk) maintain(retention time.Duration) bool {
	m, err := w.s.Maintain(context.Background(), webhook.MaintainRequest{Limit: 1 + w.rnd.IntN(10), Retention: retention})
	require.NoError(w.t, err)
	return m.More
}

func (w *walk) flip(id string) {
	r, err := w.s.GetEndpoint(context.Background(), ownerOf(id), id)
	if err != nil {
		return
	}
	if r.Status == webhook.EndpointInactive {
		r.Status = webhook.EndpointActive
	} else {
		r.Status = webhook.EndpointInactive
	}
	_, err = w.s.UpdateEndpoint(context.Background(), webhook.EndpointUpdate{Record: r, Reset: true})
	require.NoError(w.t, err)
}

func (w *walk) emit() {
	var g []webhook.EventRecord
	for range 1 + w.rnd.IntN(4) {
		w.events++
		g = append(g, webhook.EventRecord{ID: fmt.Sprint("evt_", w.rnd.IntN(w.events)), AccountID: fmt.Sprint("acc_", w.rnd.IntN(10)), Type: "call.completed", Data: make([]byte, w.rnd.IntN(15))})
	}
	out, err := w.s.Enqueue(context.Background(), webhook.EnqueueRequest{Groups: [][]webhook.EventRecord{g}, Handoff: w.terms()})
	require.NoError(w.t, err)
	w.held = append(w.held, out.Leased...)
}

func (w *walk) settle() {
	var batch []webhook.Settlement
	for range min(len(w.held), w.rnd.IntN(4)) {
		l := w.held[w.rnd.IntN(len(w.held))]
		batch = append(batch, webhook.Settlement{
			DeliveryID: l.DeliveryID, Token: l.Token, EndpointID: l.Target.EndpointID,
			Generation: l.Target.Generation, Outcome: webhook.Outcome(1 + w.rnd.IntN(5)), Delay: time.Duration(w.rnd.IntN(10)) * time.Minute,
			Counts: true, DisableAfter: 3, Attempt: &webhook.Attempt{},
			Pace: webhook.Pace(w.rnd.IntN(4)), Pause: 2 * time.Minute, MaxPause: 10 * time.Minute,
			Recover: time.Duration(w.rnd.IntN(5)) * time.Minute, MaxRecover: 10 * time.Minute,
		})
	}
	_, err := w.s.Settle(context.Background(), batch)
	require.NoError(w.t, err)
}

// end deletes every endpoint and purges everything.
func (w *walk) end() {
	for _, id := range w.ids {
		_ = w.s.DeleteEndpoint(context.Background(), webhook.EndpointDelete{AccountID: ownerOf(id), ID: id})
	}
	w.now = w.now.Add(time.Hour)
	for w.maintain(0) {
	}
	w.now = w.now.Add(time.Hour)
	for w.maintain(time.Minute) {
	}
}

func checkIndexes(t *testing.T, s *Store) {
	t.Helper()
	counts, ended := [phases]int{}, 0
	for id, d := range s.deliveries {
		require.Equal(t, id, d.id)
		require.False(t, d.purged)
		counts[d.phase]++
		switch {
		case d.phase == ready:
			require.Same(t, d, (*d.ep.readyQueue(d))[d.pos])
		case d.phase == held:
			require.Same(t, d, d.ep.held[d.pos])
		case d.phase.ended():
			ended++
		default:
			require.Same(t, d, s.timers[d.pos])
		}
		require.Same(t, d.ev, d.ev.acc.events[d.ev.rec.ID])
		require.Same(t, d, d.ev.to(d.ep))
	}
	require.Equal(t, counts, s.counts)
	require.Equal(t, ended, s.finished.len)
	require.Len(t, s.timers, counts[waiting]+counts[leased])
	require.LessOrEqual(t, s.finished.len, s.history)
	require.LessOrEqual(t, s.unheard.Len(), s.history)
	checkHeap(t, s.timers)
	turns, probes, pauses := 0, 0, 0
	for _, ep := range s.endpoints {
		if ep == nil {
			continue
		}
		checkHeap(t, ep.ready)
		checkHeap(t, ep.begun)
		checkHeap(t, ep.held)
		checkPlace(t, s, ep)
		if ep.turn != nil {
			turns++
		}
		if ep.probe != nil {
			probes++
		}
		if ep.pausing != notPausing {
			pauses++
		}
		require.True(t, ep.moving || !ep.unsettled(), "Maintain knows of what it has to move")
		require.LessOrEqual(t, ep.log.dead*2, len(ep.log.items)+1)
	}
	require.Equal(t, turns, s.turns.Len())
	require.Equal(t, probes, s.probes.Len())
	require.Len(t, s.pauses, pauses)
	for i, ep := range s.pauses {
		require.Equal(t, i, ep.pausing)
		require.False(t, s.pauses.Less(i, (i-1)/2), "heap order")
	}
}

// checkPlace checks that the endpoint is where Claim looks for it, and only there.
func checkPlace(t *testing.T, s *Store, ep *endpoint) {
	t.Helper()
	require.Len(t, ep.ready, ep.counts[ready]-len(ep.begun))
	some, paused := ep.active() && ep.counts[ready] > 0, ep.rec.Pace == webhook.PacePaused
	require.Equal(t, some && !paused, ep.turn != nil, "in turn if and only if it can be claimed")
	trying := ep.trials > 0 && len(ep.held) > 0
	probing := some && paused || trying
	require.Equal(t, probing && ep.probe == nil, ep.pausing != notPausing, "waits for its probe or trial")
	require.False(t, !probing && ep.probe != nil, "has no probe to make")
	require.Equal(t, paused, !ep.rec.PausedTill.IsZero())
	require.Equal(t, ep.trials > 0, !ep.rec.TrialAt.IsZero())
	require.True(t, ep.trials == 0 || ep.rec.Status == webhook.EndpointInactive && ep.rec.DisabledReason == webhook.DisabledFailing)
	if probing {
		require.Equal(t, ep.probeTime(), ep.probeAt)
	}
	if ep.probe != nil {
		require.LessOrEqual(t, ep.probeAt, s.time().UnixNano())
	}
	if ep.probed != nil {
		require.Equal(t, leased, ep.probed.phase)
		require.Same(t, ep, ep.probed.ep)
	}
	require.True(t, ep.active() || ep.rec.Pace == webhook.PaceUnknown)
}

func checkHeap(t *testing.T, q queue) {
	t.Helper()
	for i := 1; i < len(q); i++ {
		require.False(t, q.before(i, (i-1)/2), "heap order")
	}
}
