package storetest

import (
	"time"

	"github.com/ringyo-ai/webhook"
)

// inactive returns wh_1 as it is stored, and whether it is disabled.
func (f *faulty) inactive() (webhook.EndpointRecord, bool) {
	r, err := f.Store.GetEndpoint(f.bg, acct, "wh_1")
	return r, err == nil && r.Status == webhook.EndpointInactive
}

var brokenRecover = []broken{
	{rule: "NothingRecoversByDefault", also: []string{"ATrialIsOfOneProcess", "ATrialThatSucceedsEnables", "ATrialWaitsForADelivery", "OldResultsAreNoTrials", "OneTrialAtATime", "TheTrialOfADeadProcess", "TrialsBecomeRarer", "TrialsEnd"}, fault: func(f *faulty) { // everything does
		f.settleIn = func(s *webhook.Settlement) { s.Recover, s.MaxRecover = time.Minute, time.Hour }
	}},
	{rule: "OneTrialAtATime", also: []string{"ATrialIsOfOneProcess", "ATrialThatSucceedsEnables", "ATrialWaitsForADelivery", "OldResultsAreNoTrials", "TheTrialOfADeadProcess", "TrialsBecomeRarer", "TrialsEnd"}, fault: func(f *faulty) { // none is made
		f.settleIn = func(s *webhook.Settlement) { s.Recover = 0 }
	}},
	{rule: "OneTrialAtATime", fault: func(f *faulty) { // it takes the place of a good one
		f.claimIn = func(r *webhook.ClaimRequest) {
			if _, off := f.inactive(); off && r.Room != nil {
				inner := r.Room
				r.Room = asking{inner, func(c webhook.Candidate, n int) int {
					c.Pace = webhook.PaceUnknown
					return inner.Take(c, n)
				}}
			}
		}
	}},
	{rule: "ATrialIsOfOneProcess", also: []string{"OldResultsAreNoTrials", "OneTrialAtATime", "TheTrialOfADeadProcess", "TrialsBecomeRarer", "TrialsEnd"}, fault: func(f *faulty) { // all get it
		f.claimOut = func(_ webhook.ClaimRequest, c *webhook.Claimed) {
			if _, off := f.inactive(); off && len(c.Deliveries) > 0 {
				f.remember("trial", c.Deliveries)
			} else if all, ok := f.recall("trial").([]webhook.Leased); ok && off {
				c.Deliveries = all
			}
		}
	}},
	{rule: "TheTrialOfADeadProcess", fault: func(f *faulty) { // it lasts as long as its lease
		f.claimIn = func(r *webhook.ClaimRequest) {
			if _, off := f.inactive(); off {
				r.Process = 0
			}
		}
	}},
	{rule: "TrialsBecomeRarer", also: []string{"OneTrialAtATime"}, fault: func(f *faulty) { // they do not
		f.settleIn = func(s *webhook.Settlement) { s.MaxRecover = s.Recover }
	}},
	{rule: "TrialsBecomeRarer", fault: func(f *faulty) { // without end
		f.settleIn = func(s *webhook.Settlement) { s.MaxRecover = 1000 * time.Hour }
	}},
	{rule: "TrialsBecomeRarer", fault: func(f *faulty) { // a release counts as a failure
		f.settleIn = func(s *webhook.Settlement) {
			if s.Outcome == webhook.OutcomeReleased && s.Recover > 0 {
				s.Outcome = webhook.OutcomeRetry
			}
		}
	}},
	{rule: "ATrialThatSucceedsEnables", also: []string{"OldResultsAreNoTrials"}, fault: func(f *faulty) { // nobody is told
		f.settleOut = func(_ []webhook.Settlement, s *webhook.Settled) { s.Enabled = nil }
	}},
	{rule: "ATrialThatSucceedsEnables", also: []string{"OldResultsAreNoTrials", "TrialsEnd"}, fault: func(f *faulty) { // every success does
		f.settleOut = func(in []webhook.Settlement, s *webhook.Settled) {
			if len(in) == 1 && in[0].Outcome == webhook.OutcomeDelivered && len(s.Enabled) == 0 && in[0].EndpointID == "wh_1" {
				s.Enabled = []webhook.EndpointEnabled{{EndpointID: "wh_1", AccountID: acct, Trials: 1}}
			}
		}
	}},
	{rule: "ATrialWaitsForADelivery", fault: func(f *faulty) { // what is emitted while nothing is held is lost to it
		f.enqueueOut = func(_ webhook.EnqueueRequest, _ *webhook.Enqueued) {
			if r, off := f.inactive(); off && !r.TrialAt.IsZero() {
				r.DisabledReason = webhook.DisabledManually
				_, _ = f.Store.UpdateEndpoint(f.bg, webhook.EndpointUpdate{Record: r})
			}
		}
	}},
	{rule: "TrialsEnd", fault: func(f *faulty) { // not by hand
		f.updateIn = func(u *webhook.EndpointUpdate) {
			if r, off := f.inactive(); off && u.Record.Status == webhook.EndpointInactive {
				u.Record.DisabledReason = r.DisabledReason
			}
		}
	}},
	{rule: "OldResultsAreNoTrials", fault: func(f *faulty) { // they count as well
		f.settleIn = func(s *webhook.Settlement) {
			if r, off := f.inactive(); off && s.Outcome == webhook.OutcomeDelivered && s.Recover > 0 {
				s.Generation = r.Generation
			}
		}
	}},
}
