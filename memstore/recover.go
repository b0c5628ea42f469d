package memstore

import (
	"time"

	"github.com/ringyo-ai/webhook"
)

// plan makes the first trial of an endpoint due, that its failures have just disabled.
func (b *settling) plan(ep *endpoint, st *webhook.Settlement) {
	if st.Recover > 0 {
		ep.trials = 1
		ep.tryAfter(b.now, st.Recover)
		b.s.place(ep)
	}
}

func (e *endpoint) tryAfter(now time.Time, d time.Duration) {
	e.rec.TrialAt = time.Unix(0, later(now.UnixNano(), d)).UTC()
}

// tried takes in the result of a trial, and reports whether it enables the endpoint.
// Nothing else of this generation was leased, but what was being leased when the
// endpoint was disabled: that comes before the trial is due, and plans none.
func (b *settling) tried(ep *endpoint, st *webhook.Settlement) {
	switch due := !ep.rec.TrialAt.After(b.now); {
	case st.Recover <= 0:
		ep.endTrials()
	case st.Outcome == webhook.OutcomeDelivered:
		b.out.Enabled = append(b.out.Enabled, webhook.EndpointEnabled{
			EndpointID: ep.rec.ID, AccountID: ep.rec.AccountID, DisabledAt: ep.rec.DisabledAt, Trials: ep.trials,
		})
		ep.endTrials()
		enable(&ep.rec)
		ep.rec.Revision++
		ep.refresh()
		b.s.switched(ep)
		return
	case !due:
	case st.Outcome == webhook.OutcomeReleased:
		ep.tryAfter(b.now, st.Delay)
	default:
		ep.trials++
		ep.tryAfter(b.now, pauseOf(ep.trials, st.Recover, st.MaxRecover))
	}
	b.s.place(ep)
}

func (e *endpoint) endTrials() { e.trials, e.rec.TrialAt = 0, time.Time{} }

// placeTrial follows a change of what is held for the endpoint.
func (s *Store) placeTrial(ep *endpoint) {
	if ep.trials > 0 {
		s.place(ep)
	}
}
