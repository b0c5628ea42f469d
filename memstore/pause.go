package memstore

import (
	"container/heap"
	"time"

	"github.com/ringyo-ai/webhook"
)

// pauses is a heap of paused endpoints by the time of their next probe; each knows
// its place in it.
type pauses []*endpoint

// notPausing is the place of an endpoint that is not in the heap.
const notPausing = -1

// Len implements [heap.Interface].
func (p pauses) Len() int { return len(p) }

// Less implements [heap.Interface].
func (p pauses) Less(i, j int) bool { return p[i].probeAt < p[j].probeAt }

// Swap implements [heap.Interface].
func (p pauses) Swap(i, j int) {
	p[i], p[j] = p[j], p[i]
	p[i].pausing, p[j].pausing = i, j
}

// Push implements [heap.Interface].
func (p *pauses) Push(x any) {
	ep := x.(*endpoint)
	ep.pausing = len(*p)
	*p = append(*p, ep)
}

// Pop implements [heap.Interface].
func (p *pauses) Pop() any {
	last := len(*p) - 1
	ep := (*p)[last]
	(*p)[last] = nil
	*p = (*p)[:last]
	ep.pausing = notPausing
	return ep
}

// place keeps the endpoint where Claim looks for it: in turn with the others, or,
// while it is paused, where the time of its next probe says. Its deliveries stay
// where they are, so that a pause costs the same however many there are.
func (s *Store) place(ep *endpoint) {
	some := ep.active() && ep.counts[ready] > 0
	paused := ep.rec.Pace == webhook.PacePaused
	trying := ep.trials > 0 && len(ep.held) > 0
	switch {
	case some && !paused:
		if ep.turn == nil {
			ep.turn = s.turns.PushBack(ep)
		}
	case ep.turn != nil:
		s.turns.Remove(ep.turn)
		ep.turn = nil
	}
	if some && paused || trying {
		s.schedule(ep)
	} else {
		s.unschedule(ep)
	}
}

// schedule follows a change of the time of the next probe.
func (s *Store) schedule(ep *endpoint) {
	at := ep.probeTime()
	switch {
	case ep.probe != nil && at <= ep.probeAt: // due still: it keeps its turn
		ep.probeAt = at
	case ep.pausing != notPausing:
		ep.probeAt = at
		heap.Fix(&s.pauses, ep.pausing)
	default:
		s.unschedule(ep)
		ep.probeAt = at
		heap.Push(&s.pauses, ep)
	}
}

func (s *Store) unschedule(ep *endpoint) {
	if ep.probe != nil {
		s.probes.Remove(ep.probe)
		ep.probe = nil
	}
	if ep.pausing != notPausing {
		heap.Remove(&s.pauses, ep.pausing)
	}
}

// endPauses gives a turn to the paused endpoints whose next probe has become due.
func (s *Store) endPauses(now time.Time) {
	for len(s.pauses) > 0 && s.pauses[0].probeAt <= now.UnixNano() {
		ep := heap.Pop(&s.pauses).(*endpoint)
		ep.probe = s.probes.PushBack(ep)
	}
}

// probeTime returns when the endpoint, which is paused and has something ready, or is to
// recover and has something held, may be probed next: not while a probe is under way.
func (e *endpoint) probeTime() int64 {
	at := e.rec.PausedTill.UnixNano()
	if e.trials > 0 {
		at = e.rec.TrialAt.UnixNano()
	}
	if len(e.begun) > 0 && e.trials == 0 {
		at = min(at, e.begun[0].due)
	}
	if e.probed != nil {
		at = max(at, e.probed.due)
	}
	return at
}

// nextProbe returns what to lease when the next probe is due.
func (e *endpoint) nextProbe(now time.Time) *delivery {
	if e.trials > 0 {
		return e.held[0]
	}
	if len(e.begun) == 0 || len(e.ready) > 0 && !now.Before(e.rec.PausedTill) {
		return e.ready[0]
	}
	return e.begun[0]
}

// probing notes that the delivery, which was leased, is the endpoint's probe.
func (s *Store) probing(ep *endpoint, d *delivery) {
	ep.probed = d
	s.place(ep)
}

// told takes in what a settlement of the endpoint's generation says of its pace.
func (s *Store) told(ep *endpoint, st *webhook.Settlement, now time.Time) {
	r := &ep.rec
	paused := r.Pace == webhook.PacePaused
	switch {
	case st.Pace == webhook.PaceUnknown, !ep.active():
		return
	case st.Pace != webhook.PacePaused:
		r.Pace, r.PausedTill = st.Pace, time.Time{}
	case paused && now.Before(r.PausedTill):
		return
	default:
		if !paused {
			r.Pace, ep.pauses, ep.probed = webhook.PacePaused, 0, nil
		}
		ep.pauses++
		till := later(now.UnixNano(), pauseOf(ep.pauses, st.Pause, st.MaxPause))
		r.PausedTill = time.Unix(0, till).UTC()
	}
	s.place(ep)
}

// pauseOf returns the length of the n-th pause in a row: twice as long as the one
// before, but at most longest.
func pauseOf(n int, first, longest time.Duration) time.Duration {
	for ; n > 1 && first > 0 && first < longest; n-- {
		if first > longest/2 {
			return longest
		}
		first *= 2
	}
	return min(first, longest)
}
