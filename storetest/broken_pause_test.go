package storetest

import (
	"time"

	"github.com/ringyo-ai/webhook"
)

// asking is a Room that changes what another one is asked, or what that returns.
type asking struct {
	webhook.Room
	take func(c webhook.Candidate, n int) int
}

// Take implements [webhook.Room].
func (a asking) Take(c webhook.Candidate, n int) int { return a.take(c, n) }

// pausedNow returns the endpoint of acct if it is paused, and whether the pause
// lasts.
func (f *faulty) pausedNow(id string) (r webhook.EndpointRecord, paused, lasts bool) {
	r, err := f.Store.GetEndpoint(f.bg, acct, id)
	now, _ := f.Store.Now(f.bg)
	paused = err == nil && r.Pace == webhook.PacePaused
	return r, paused, paused && now.Before(r.PausedTill)
}

// unpause ends the pause of an endpoint of acct, and returns its generation.
func (f *faulty) unpause(id string) int64 {
	r, paused, _ := f.pausedNow(id)
	if paused {
		r, _ = f.Store.UpdateEndpoint(f.bg, webhook.EndpointUpdate{Record: r, Reset: true})
	}
	return r.Generation
}

var brokenRoom = []broken{
	{rule: "RoomIsToldWhatIsKnown", fault: func(f *faulty) { // it knows no bytes
		f.enqueueIn = func(r *webhook.EnqueueRequest) {
			if inner := r.Handoff.Room; inner != nil {
				r.Handoff.Room = asking{inner, func(c webhook.Candidate, n int) int {
					c.Bytes = 0
					return inner.Take(c, n)
				}}
			}
		}
	}},
	{rule: "RoomIsToldWhatIsKnown", also: []string{"PaceIsShown"}, fault: func(f *faulty) { // a first success is slow
		f.settleIn = func(s *webhook.Settlement) {
			if r, _, _ := f.pausedNow(s.EndpointID); r.Pace == webhook.PaceUnknown && s.Pace == webhook.PaceQuick {
				s.Pace = webhook.PaceSlow
			}
		}
	}},
	{rule: "RoomIsTakenForWhatIsLeased", also: []string{"NextInCoversProbes", "OneTrialAtATime", "RoomIsToldWhatIsKnown"}, fault: func(f *faulty) {
		f.claimOut = func(r webhook.ClaimRequest, _ *webhook.Claimed) { r.Room.Reset() }
	}},
	{rule: "BytesHaveABound", fault: func(f *faulty) {
		f.claimIn = func(r *webhook.ClaimRequest) { r.MaxBytes = 0 }
	}},
	{rule: "BytesHaveABound", fault: func(f *faulty) {
		f.enqueueIn = func(r *webhook.EnqueueRequest) { r.Handoff.MaxBytes = 0 }
	}},
	{rule: "BytesHaveABound", fault: func(f *faulty) { // a large one never fits
		f.claimIn = func(r *webhook.ClaimRequest) {
			if r.MaxBytes == 1 {
				r.Max = 0
			}
		}
	}},
}

var brokenPause = []broken{
	{rule: "PaceIsShown", fault: func(f *faulty) {
		f.endpoints = func(all []webhook.EndpointRecord) {
			for i := range all {
				all[i].Pace = webhook.PaceUnknown
			}
		}
	}},
	{rule: "PausedEndpointIsLeftAlone", fault: func(f *faulty) { // it is handed off
		f.enqueueIn = func(r *webhook.EnqueueRequest) {
			if r.Handoff.Max > 0 {
				f.unpause("wh_1")
			}
		}
	}},
	{rule: "PausedEndpointIsLeftAlone", fault: func(f *faulty) { // until Maintain has parked
		f.claimIn = func(r *webhook.ClaimRequest) {
			if r.Max == pausedMax {
				f.unpause("wh_1")
			}
		}
	}},
	{rule: "PausesGrow", also: []string{"AnAnswerEndsThePause", "TimeoutsWithinAPauseChangeNothing"}, fault: func(f *faulty) { // all are as long as the first
		f.settleIn = func(s *webhook.Settlement) { s.MaxPause = s.Pause }
	}},
	{rule: "PausesGrow", fault: func(f *faulty) { // without end
		f.settleIn = func(s *webhook.Settlement) { s.MaxPause = 1000 * time.Hour }
	}},
	{rule: "TimeoutsWithinAPauseChangeNothing", also: []string{"RetriesKeepTheirSchedule"}, fault: func(f *faulty) { // each begins one
		f.settleIn = func(s *webhook.Settlement) {
			if _, _, lasts := f.pausedNow(s.EndpointID); lasts && s.Pace == webhook.PacePaused {
				s.Generation = f.unpause(s.EndpointID)
			}
		}
	}},
	{rule: "AnAnswerEndsThePause", fault: func(f *faulty) { // a slow one does not
		f.settleIn = func(s *webhook.Settlement) {
			if _, paused, _ := f.pausedNow(s.EndpointID); paused && s.Pace == webhook.PaceSlow {
				s.Pace = webhook.PaceUnknown
			}
		}
	}},
	{rule: "OnlyThisGenerationHasAPace", fault: func(f *faulty) { // so have failures of any
		f.settleIn = func(s *webhook.Settlement) {
			if s.Outcome == webhook.OutcomeExhausted && !s.Counts {
				r, _, _ := f.pausedNow(s.EndpointID)
				s.Generation = max(s.Generation, r.Generation)
			}
		}
	}},
	{rule: "OnlyThisGenerationHasAPace", fault: func(f *faulty) { // a stale answer ends a pause
		f.settleOut = func(batch []webhook.Settlement, out *webhook.Settled) {
			for i, s := range batch {
				if out.Results[i].Status == webhook.SettleStale && s.Pace == webhook.PaceQuick {
					f.unpause(s.EndpointID)
				}
			}
		}
	}},
	{rule: "ResetEndsThePause", fault: func(f *faulty) {
		f.updateIn = func(u *webhook.EndpointUpdate) {
			if _, paused, _ := f.pausedNow(u.Record.ID); paused && u.Record.Status != webhook.EndpointInactive {
				u.Reset = false
			}
		}
	}},
	{rule: "SwitchingEndsThePause", fault: func(f *faulty) { // what was parked is not released
		f.updateIn = func(u *webhook.EndpointUpdate) {
			if _, paused, _ := f.pausedNow(u.Record.ID); paused && u.Record.Status == webhook.EndpointInactive {
				f.remember("parked", true)
			}
		}
		f.maintainOut = func(_ webhook.MaintainRequest, m *webhook.Maintained) {
			if f.recall("parked") != nil {
				m.Released = 0
			}
		}
	}},
	{rule: "DeletingCancelsWhatIsParked", fault: func(f *faulty) { // it lists them as they were
		f.settleIn = func(s *webhook.Settlement) {
			if s.Pace == webhook.PacePaused {
				f.remember("paused "+s.EndpointID, true)
			}
		}
		f.listOut = func(p *webhook.Page[webhook.Delivery], _ *error) {
			for i, d := range p.Items {
				if d.Status == webhook.DeliveryCancelled && f.recall("paused "+d.EndpointID) != nil {
					p.Items[i].Status = webhook.DeliveryPending
				}
			}
		}
	}},
	{rule: "ParkedDeliveriesAreReady", also: []string{"WhatIsMadePendingWaitsToo"}, fault: func(f *faulty) {
		f.statsOut = func(q *webhook.QueueStats) {
			if _, paused, _ := f.pausedNow("wh_1"); paused {
				q.Ready = 0
			}
		}
	}},
	{rule: "WhatIsMadePendingWaitsToo", fault: func(f *faulty) {
		f.redeliver = func(string, string, *webhook.Delivery, *error) { f.unpause("wh_1") }
	}},
	{rule: "WhatIsMadePendingWaitsToo", fault: func(f *faulty) {
		f.replayOut = func(webhook.ReplayRequest, *webhook.Replayed, *error) { f.unpause("wh_1") }
	}},
}

var brokenProbe = []broken{
	{rule: "OneProbeAtATime", also: []string{
		"AnAnswerEndsThePause", "DeletingCancelsWhatIsParked", "NextInCoversProbes", "PausesGrow",
		"RetriesKeepTheirSchedule", "TheProbeOfADeadProcess", "TimeoutsWithinAPauseChangeNothing", "WhatIsMadePendingWaitsToo",
	}, fault: func(f *faulty) { // all when the pause is over
		f.claimIn = func(*webhook.ClaimRequest) {
			if _, paused, lasts := f.pausedNow("wh_1"); paused && !lasts {
				f.unpause("wh_1")
			}
		}
	}},
	{rule: "OneProbeAtATime", also: []string{"TheProbeOfADeadProcess"}, fault: func(f *faulty) { // the next one when that is settled, though its lease has ended
		f.claimIn = func(r *webhook.ClaimRequest) {
			if _, paused, _ := f.pausedNow("wh_1"); paused && f.recall("probe") != nil {
				r.Max = 0
			}
		}
		f.claimOut = func(_ webhook.ClaimRequest, c *webhook.Claimed) {
			if _, paused, _ := f.pausedNow("wh_1"); paused && len(c.Deliveries) > 0 {
				f.remember("probe", c.Deliveries[0].DeliveryID)
			}
		}
		f.settleIn = func(s *webhook.Settlement) {
			if f.recall("probe") == s.DeliveryID {
				f.remember("probe", nil)
			}
		}
	}},
	{rule: "RetriesKeepTheirSchedule", also: []string{"ParkedDeliveriesAreReady"}, fault: func(f *faulty) { // they wait for the end of the pause
		f.claimIn = func(r *webhook.ClaimRequest) {
			if _, _, lasts := f.pausedNow("wh_1"); lasts {
				r.Max = 0
			}
		}
	}},
	{rule: "NextInCoversProbes", fault: func(f *faulty) {
		f.claimOut = func(_ webhook.ClaimRequest, c *webhook.Claimed) {
			if _, _, lasts := f.pausedNow("wh_1"); lasts {
				c.NextIn = -1
			}
		}
	}},
	{rule: "NextInCoversProbes", fault: func(f *faulty) {
		f.claimOut = func(_ webhook.ClaimRequest, c *webhook.Claimed) {
			if _, paused, lasts := f.pausedNow("wh_1"); paused && !lasts {
				c.NextIn = 0
			}
		}
	}},
	{rule: "ManyPausedDelayNobody", also: []string{"PausedEndpointIsLeftAlone"}, fault: func(f *faulty) { // it asks for all
		f.claimIn = func(r *webhook.ClaimRequest) {
			p, _ := f.Store.ListEndpoints(f.bg, webhook.EndpointFilter{AccountID: acct, Limit: 2 * manyPaused})
			for _, ep := range p.Items {
				if ep.Pace == webhook.PacePaused {
					roomOf(r.LeaseTerms).asked = append(roomOf(r.LeaseTerms).asked, webhook.Candidate{EndpointID: ep.ID})
				}
			}
		}
	}},
	{rule: "RefusedProbesHideNothing", fault: func(f *faulty) { // it looks at the first ones only
		f.claimIn = func(r *webhook.ClaimRequest) { firstOnly(r, webhook.PacePaused) }
	}},
	{rule: "RefusedEndpointsHideNothing", fault: func(f *faulty) {
		f.claimIn = func(r *webhook.ClaimRequest) {
			if r.Max == 10 {
				firstOnly(r, webhook.PaceUnknown)
			}
		}
	}},
	{rule: "RefusedEndpointsHideNothing", also: []string{"ClaimSaysMore"}, fault: func(f *faulty) { // it begins again and again
		f.claimOut = func(r webhook.ClaimRequest, c *webhook.Claimed) { c.More = c.More || r.Max == 10 }
	}},
}

// firstOnly lets a claim look at the first endpoints of a pace alone.
func firstOnly(r *webhook.ClaimRequest, p webhook.Pace) {
	inner := r.Room
	r.Room = asking{inner, func(c webhook.Candidate, n int) int {
		if c.Pace == p && len(c.EndpointID) > len("wh_h00") {
			return 0
		}
		return inner.Take(c, n)
	}}
}
