package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ringyo-ai/webhook"
)

var brokenEnqueue = []broken{
	{rule: "EventComesBackAsEmitted", also: []string{"EventsAreListedNewestFirst"}, fault: func(f *faulty) {
		f.eventOut = func(r *webhook.EventRecord, _ *error) { r.CreatedAt = time.Time{} }
	}},
	{rule: "GroupIsAllOrNothing", also: []string{"BytesHaveABound", "SameIDOtherContentConflicts"}, fault: func(f *faulty) { // event by event
		f.enqueue = func(ctx context.Context, r webhook.EnqueueRequest) (webhook.Enqueued, error) {
			whole := webhook.Enqueued{Errs: make([]error, len(r.Groups))}
			for i, g := range r.Groups {
				for j := range g {
					one, err := f.Store.Enqueue(ctx, webhook.EnqueueRequest{Groups: [][]webhook.EventRecord{g[j : j+1]}, Handoff: r.Handoff})
					if err != nil {
						return whole, err
					}
					r.Handoff.Max -= len(one.Leased)
					whole.Errs[i] = errors.Join(whole.Errs[i], one.Errs[0])
					whole.Leased = append(whole.Leased, one.Leased...)
					whole.Ready += one.Ready
					whole.Held += one.Held
					whole.Now = one.Now
				}
			}
			return whole, nil
		}
	}},
	{rule: "SameEventAgainIsNoNews", fault: func(f *faulty) { // a second fan-out, once everything is delivered
		f.enqueueIn = func(r *webhook.EnqueueRequest) {
			for _, g := range r.Groups {
				for i := range g {
					q, _ := f.Store.QueueStats(f.bg, "", "")
					old, err := f.Store.GetEvent(f.bg, g[i].AccountID, g[i].ID)
					if err == nil && q == (webhook.QueueStats{}) && bytes.Equal(old.Data, g[i].Data) {
						g[i].ID += "_again"
					}
				}
			}
		}
	}},
	{rule: "SameIDOtherContentConflicts", also: []string{"RedactedEventsAreNotSentAgain"}, fault: func(f *faulty) { // the type is not compared
		f.enqueueIn = func(r *webhook.EnqueueRequest) {
			for _, g := range r.Groups {
				for i := range g {
					if old, err := f.Store.GetEvent(f.bg, g[i].AccountID, g[i].ID); err == nil {
						g[i].Type = old.Type
					}
				}
			}
		}
	}},
	{rule: "EventIDsAreUniqueWithinTheAccount", also: []string{"FanOutStaysInTheAccount"}, fault: func(f *faulty) { // unique in all
		f.enqueueIn = func(r *webhook.EnqueueRequest) {
			for n, g := range r.Groups {
				r.Groups[n] = slices.DeleteFunc(g, func(ev webhook.EventRecord) bool {
					f.mu.Lock()
					defer f.mu.Unlock()
					if owner, ok := f.known[ev.ID].(string); ok {
						return owner != ev.AccountID
					}
					f.known[ev.ID] = ev.AccountID
					return false
				})
			}
		}
	}},
	{rule: "EventsForAnInactiveEndpointAreHeld", fault: func(f *faulty) {
		f.enqueueOut = func(_ webhook.EnqueueRequest, out *webhook.Enqueued) { out.Ready, out.Held = out.Ready+out.Held, 0 }
	}},
	{rule: "HandOffHasItsBounds", also: []string{"RoomIsTakenForWhatIsLeased"}, fault: func(f *faulty) {
		f.enqueueIn = func(r *webhook.EnqueueRequest) { unnamed(&r.Handoff, func(int) bool { return true }) }
	}},
	{rule: "HandOffIsALease", also: []string{"ATrialThatSucceedsEnables", "AnAnswerEndsThePause", "EventsForAnInactiveEndpointAreHeld", "LeasesEndWithTheirProcess"}, fault: func(f *faulty) { // it has no length
		f.enqueueIn = func(r *webhook.EnqueueRequest) { r.Handoff.Lease = 0 }
	}},
	{rule: "FanOutBySubscription", fault: func(f *faulty) { // not beyond three words
		f.enqueueIn = func(r *webhook.EnqueueRequest) {
			for n, g := range r.Groups {
				r.Groups[n] = slices.DeleteFunc(g, func(ev webhook.EventRecord) bool { return strings.Count(string(ev.Type), ".") > 2 })
			}
		}
	}},
	{rule: "FanOutOncePerEndpoint", fault: func(f *faulty) { // once per subscription
		f.enqueueIn = func(r *webhook.EnqueueRequest) {
			p, _ := f.Store.ListEndpoints(f.bg, webhook.EndpointFilter{AccountID: acct, Limit: 100})
			for n, g := range r.Groups {
				for _, ev := range g {
					matches := 0
					for _, pattern := range ev.Type.Patterns() {
						if len(p.Items) == 1 && slices.Contains(p.Items[0].Events, pattern) {
							matches++
						}
					}
					for ; matches > 1; matches-- {
						ev.ID += "_twice"
						r.Groups[n] = append(r.Groups[n], ev)
					}
				}
			}
		}
	}},
	{rule: "FanOutStaysInTheAccount", fault: func(f *faulty) { // the empty account is somebody else
		f.enqueueIn = func(r *webhook.EnqueueRequest) {
			for _, g := range r.Groups {
				for i := range g {
					if g[i].AccountID == "" {
						g[i].AccountID = acct
					}
				}
			}
		}
	}},
	{rule: "CommitMakesDurable", also: []string{"DeletingAnAccountFindsWhatCameLate", "ConflictLeavesTheTransactionUsable", "LateCommitIsFound", "LateHoldIsFound"}, fault: func(f *faulty) {
		f.begin = func() (webhook.Enqueuer, func() error, func() error) {
			tx := f.mem.Begin()
			return tx, tx.Rollback, tx.Rollback
		}
	}},
	{rule: "RollbackLeavesNothing", also: []string{"DeletingAnAccountFindsWhatCameLate", "CommitMakesDurable", "LateCommitIsFound"}, fault: func(f *faulty) { // no transaction
		f.begin = func() (webhook.Enqueuer, func() error, func() error) {
			nothing := func() error { return nil }
			return f.mem, nothing, nothing
		}
	}},
	{rule: "ConflictLeavesTheTransactionUsable", fault: func(f *faulty) {
		f.begin = func() (webhook.Enqueuer, func() error, func() error) {
			tx := &aborting{Enqueuer: f.mem.Begin()}
			inner := tx.Enqueuer.(interface{ Commit() error })
			return tx, inner.Commit, func() error { return nil }
		}
	}},
	{rule: "LateHoldIsFound", fault: func(f *faulty) { // what was inactive once is held for ever
		f.begin = func() (webhook.Enqueuer, func() error, func() error) {
			tx := f.mem.Begin()
			if r, err := f.Store.GetEndpoint(f.bg, acct, "wh_1"); err == nil && r.Status == webhook.EndpointInactive {
				return tx, tx.Rollback, tx.Rollback
			}
			return tx, tx.Commit, tx.Rollback
		}
	}},
	{rule: "LateCommitIsFound", fault: func(f *faulty) { // what was begun before the last one seen is passed over
		f.begin = func() (webhook.Enqueuer, func() error, func() error) {
			tx := f.mem.Begin()
			f.remember("begun", true)
			return tx, tx.Commit, tx.Rollback
		}
		f.claimOut = func(_ webhook.ClaimRequest, c *webhook.Claimed) {
			begun := f.recall("begun") != nil
			c.Deliveries = slices.DeleteFunc(c.Deliveries, func(l webhook.Leased) bool {
				return begun && f.recall("seen") != nil && l.Event.ID == "evt_late"
			})
			if begun && len(c.Deliveries) > 0 {
				f.remember("seen", true)
			}
		}
	}},
}

// unnamed makes no difference in t's room for the endpoints whose number fits.
func unnamed(t *webhook.LeaseTerms, fits func(free int) bool) {
	if t.Room != nil {
		maps.DeleteFunc(roomOf(*t).free, func(_ string, free int) bool { return fits(free) })
	}
}

// aborting is a transaction that a conflict ends, as PostgreSQL's would be by an
// error that nobody expected.
type aborting struct {
	webhook.Enqueuer
	aborted error
}

func (a *aborting) Enqueue(ctx context.Context, r webhook.EnqueueRequest) (webhook.Enqueued, error) {
	out, err := a.Enqueuer.Enqueue(ctx, r)
	for i := range out.Errs {
		if a.aborted != nil {
			out.Errs[i] = a.aborted
		}
		a.aborted = errors.Join(a.aborted, out.Errs[i])
	}
	return out, err
}

var brokenClaim = []broken{
	{rule: "ClaimAnswersEverythingToSend", also: []string{"UpdateReplacesTheConfiguration"}, fault: func(f *faulty) {
		f.claimOut = func(_ webhook.ClaimRequest, c *webhook.Claimed) {
			for i := range c.Deliveries {
				t := *c.Deliveries[i].Target
				t.Headers = nil
				c.Deliveries[i].Target = &t
			}
		}
	}},
	{rule: "ClaimHasItsBounds", fault: func(f *faulty) { // endpoints that are named have as many as the others
		f.claimIn = func(r *webhook.ClaimRequest) {
			each := roomOf(r.LeaseTerms).each
			unnamed(&r.LeaseTerms, func(free int) bool { return each > 0 && free > each })
		}
	}},
	{rule: "ClaimIsALease", also: []string{
		"ManyPausedDelayNobody", "NextInSaysWhenToMaintain", "OneClock", "OneProbeAtATime", "OneTrialAtATime", "ParkedDeliveriesAreReady",
		"SwitchingEndsThePause", "TimeoutsWithinAPauseChangeNothing",
		"AQuietProcessLivesOn", "LeasesEndOnTimeAllTheSame", "LeasesEndWithTheirProcess",
	}, fault: func(f *faulty) {
		f.claimIn = func(r *webhook.ClaimRequest) { r.Lease = min(r.Lease, time.Second) }
	}},
	{rule: "ClaimTakesTheOldestFirst", also: []string{"StatsCountWhatIsNotFinished"}, fault: func(f *faulty) {
		f.claimOut = func(r webhook.ClaimRequest, c *webhook.Claimed) {
			f.rearrange(r, c, func(a, b webhook.Leased) int { return b.Event.CreatedAt.Compare(a.Event.CreatedAt) })
		}
	}},
	{rule: "ClaimTakesEndpointsInTurn", also: []string{"ClaimTakesEndpointsInTurnWhereRoomEnds", "BacklogDelaysNobodyElse", "ClaimTakesTheOldestFirst", "StatsCountWhatIsNotFinished"}, fault: func(f *faulty) { // always from the first one
		f.claimOut = func(r webhook.ClaimRequest, c *webhook.Claimed) {
			f.rearrange(r, c, func(a, b webhook.Leased) int {
				return cmp.Or(cmp.Compare(a.Target.EndpointID, b.Target.EndpointID), a.Event.CreatedAt.Compare(b.Event.CreatedAt))
			})
		}
	}},
	{rule: "ClaimTakesEndpointsInTurnWhereRoomEnds", fault: func(f *faulty) {
		f.claimOut = func(r webhook.ClaimRequest, c *webhook.Claimed) {
			if bounded, ok := r.Room.(*room); ok && bounded.whole > 0 {
				f.rearrange(r, c, func(a, b webhook.Leased) int { return cmp.Compare(a.Target.EndpointID, b.Target.EndpointID) })
			}
		}
	}},
	{rule: "BacklogDelaysNobodyElse", also: []string{"ClaimTakesTheOldestFirst", "StatsCountWhatIsNotFinished"}, fault: func(f *faulty) { // oldest first, whoever it is for
		f.claimOut = func(r webhook.ClaimRequest, c *webhook.Claimed) {
			f.rearrange(r, c, func(a, b webhook.Leased) int { return a.Event.CreatedAt.Compare(b.Event.CreatedAt) })
		}
	}},
	{rule: "FullEndpointIsPassedOver", also: []string{"ClaimHasItsBounds"}, fault: func(f *faulty) {
		f.claimIn = func(r *webhook.ClaimRequest) {
			unnamed(&r.LeaseTerms, func(free int) bool { return free == 0 })
		}
	}},
	{rule: "ClaimSaysMore", also: []string{"BytesHaveABound"}, fault: func(f *faulty) {
		f.claimOut = func(_ webhook.ClaimRequest, c *webhook.Claimed) { c.More = false }
	}},
	{rule: "NextInSaysWhenToMaintain", also: []string{"NextInCoversProbes", "OneTrialAtATime"}, fault: func(f *faulty) {
		f.claimOut = func(_ webhook.ClaimRequest, c *webhook.Claimed) { c.NextIn = -1 }
	}},
	{rule: "ClaimPassesOverInactiveAndDeleted", also: []string{"TrialsEnd"}, fault: func(f *faulty) { // until Maintain has held
		pending := func(r *webhook.EndpointRecord) {
			if f.recall("off "+r.ID) == true {
				r.Status, r.DisabledReason, r.DisabledAt = webhook.EndpointInactive, webhook.DisabledManually, time.Now()
			}
		}
		f.updateIn = func(u *webhook.EndpointUpdate) {
			p, _ := f.Store.ListEndpoints(f.bg, webhook.EndpointFilter{AccountID: acct, Limit: 100})
			q, _ := f.Store.QueueStats(f.bg, acct, u.Record.ID)
			if u.Record.Status == webhook.EndpointInactive && q.Ready > 0 && len(p.Items) > 2 {
				f.remember("off "+u.Record.ID, true)
				u.Record.Status = webhook.EndpointActive
			}
		}
		f.updateOut = pending
		f.getOut = func(_, _ string, r *webhook.EndpointRecord, _ *error) { pending(r) }
		f.maintainIn = func(*webhook.MaintainRequest) {
			p, _ := f.Store.ListEndpoints(f.bg, webhook.EndpointFilter{AccountID: acct, Limit: 100})
			for _, r := range p.Items {
				if pending(&r); r.Status == webhook.EndpointInactive {
					_, _ = f.Store.UpdateEndpoint(f.bg, webhook.EndpointUpdate{Record: r, Reset: true})
					f.remember("off "+r.ID, false)
				}
			}
		}
	}},
}

var brokenSettle = []broken{
	{rule: "DeliveredEnds", fault: func(f *faulty) {
		f.listOut = func(p *webhook.Page[webhook.Delivery], _ *error) {
			for i := range p.Items {
				if p.Items[i].Status == webhook.DeliveryDelivered {
					p.Items[i].CompletedAt = time.Time{}
				}
			}
		}
	}},
	{rule: "RetryIsDueAfterItsDelay", also: []string{"RetentionKeepsWhatIsNotFinished"}, fault: func(f *faulty) { // an hour at most
		f.settleIn = func(s *webhook.Settlement) { s.Delay = min(s.Delay, time.Hour) }
	}},
	{rule: "ExhaustedEnds", fault: func(f *faulty) {
		f.settleIn = func(s *webhook.Settlement) {
			if s.Outcome == webhook.OutcomeExhausted {
				s.Reason = webhook.ReasonAttempts
			}
		}
	}},
	{rule: "ReleaseCostsNothing", also: []string{"TrialsBecomeRarer"}, fault: func(f *faulty) { // a release is a retry
		f.settleIn = func(s *webhook.Settlement) {
			if s.Outcome == webhook.OutcomeReleased && s.Delay > 0 {
				s.Outcome = webhook.OutcomeRetry
			}
		}
	}},
	{rule: "GoneEndsAndDisables", also: []string{"NothingRecoversByDefault", "TrialsEnd"}, fault: func(f *faulty) { // it only ends
		f.settleIn = func(s *webhook.Settlement) {
			if s.Outcome == webhook.OutcomeGone {
				s.Outcome, s.Reason = webhook.OutcomeExhausted, webhook.ReasonGone
			}
		}
	}},
	{rule: "AttemptsAreLogged", also: []string{"AttemptsTellWhereTheyWent", "LastAttemptsOfAnEndpoint"}, fault: func(f *faulty) { f.attemptsOut = slices.Reverse[[]webhook.Attempt] }},
	{rule: "AttemptsTellWhereTheyWent", fault: func(f *faulty) { // of a success nothing is kept
		f.attemptsOut = func(log []webhook.Attempt) {
			for i := range log {
				if log[i].Failure == "" {
					log[i].Revision = 0
				}
			}
		}
	}},
	{rule: "SettleAnswersInOrder", fault: func(f *faulty) {
		f.settleOut = func(_ []webhook.Settlement, out *webhook.Settled) { slices.Reverse(out.Results) }
	}},
	{rule: "StaleTokenChangesNothing", also: []string{"HandOffIsALease", "LeasesEndWithTheirProcess", "SettleAnswersInOrder"}, fault: func(f *faulty) { // any token fits
		f.settleIn = func(s *webhook.Settlement) { s.Token = f.token(s.DeliveryID) }
	}},
	{rule: "DeliveredWinsFromEveryState", fault: func(f *faulty) {
		f.settleIn = func(s *webhook.Settlement) {
			if s.Outcome == webhook.OutcomeDelivered {
				p, _ := f.Store.ListDeliveries(f.bg, webhook.DeliveryFilter{AccountID: acct, DeliveryID: s.DeliveryID, Limit: 1})
				if len(p.Items) == 1 && p.Items[0].Status == webhook.DeliveryHeld {
					s.Outcome = webhook.OutcomeRetry
				}
			}
		}
	}},
	{rule: "AnOlderLeaseHidesNothing", fault: func(f *faulty) { // expires with the longest
		f.claimOut = func(r webhook.ClaimRequest, c *webhook.Claimed) {
			c.Deliveries = slices.DeleteFunc(c.Deliveries, func(l webhook.Leased) bool {
				longest, _ := f.recall(l.DeliveryID).(time.Duration)
				f.remember(l.DeliveryID, max(longest, r.Lease))
				return l.Expired > 0 && longest == lease && f.recall("short") != nil
			})
			if r.Lease == lease/2 {
				f.remember("short", true)
			}
		}
	}},
	{rule: "ExpiredLeasesAreCounted", fault: func(f *faulty) { // up to two
		f.claimOut = func(_ webhook.ClaimRequest, c *webhook.Claimed) {
			for i := range c.Deliveries {
				c.Deliveries[i].Expired = min(2, c.Deliveries[i].Expired)
			}
		}
	}},
	{rule: "FailuresAreCounted", fault: func(f *faulty) {
		f.getOut = func(_, _ string, r *webhook.EndpointRecord, _ *error) { r.FailingSince = time.Time{} }
	}},
	{rule: "TheLastFailureIsReported", fault: func(f *faulty) { // the report alone does not tell it
		f.settleOut = func(_ []webhook.Settlement, out *webhook.Settled) {
			for i := range out.Failing {
				out.Failing[i].LastFailure = webhook.Attempt{}
			}
		}
	}},
	{rule: "TheLastFailureIsReported", fault: func(f *faulty) { // with what the peer sent
		f.getOut = func(_, _ string, r *webhook.EndpointRecord, _ *error) {
			r.LastFailure.ResponseBody = []byte("of the peer")
		}
	}},
	{rule: "NineOneNineIsNotDisabled", also: []string{"TenFailuresDisableOnce"}, fault: func(f *faulty) { // counts failures, consecutive or not
		f.settleIn = func(s *webhook.Settlement) {
			if !s.Counts || s.DisableAfter != 10 {
				return
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			n, _ := f.known[s.EndpointID].(int)
			if f.known[s.EndpointID] = n + 1; n+1 >= 10 {
				s.DisableAfter = 1
			}
		}
	}},
	{rule: "TenFailuresDisableOnce", fault: func(f *faulty) { // at the eleventh
		f.settleIn = func(s *webhook.Settlement) {
			if s.DisableAfter == 10 {
				s.DisableAfter = 11
			}
		}
	}},
	{rule: "DisablingHappensOnceInARace", fault: func(f *faulty) { // all who look after all have written say so
		together := meeting(racedThreshold)
		f.settleOut = func(batch []webhook.Settlement, out *webhook.Settled) {
			if len(batch) == 0 || batch[0].DisableAfter != racedThreshold || !together() {
				return
			}
			id := batch[0].EndpointID
			if r, err := f.Store.GetEndpoint(f.bg, acct, id); err == nil && r.Status == webhook.EndpointInactive {
				out.Failing = []webhook.EndpointFailures{{EndpointID: id, AccountID: acct, Disabled: webhook.DisabledFailing}}
			}
		}
	}},
	{rule: "MinFailingDelaysDisabling", fault: func(f *faulty) {
		f.settleIn = func(s *webhook.Settlement) { s.MinFailing = 0 }
	}},
	{rule: "DisableAfterZeroHoldsBack", fault: func(f *faulty) {
		f.settleIn = func(s *webhook.Settlement) {
			if s.DisableAfter == 0 {
				s.DisableAfter = 10
			}
		}
	}},
	{rule: "OldGenerationChangesNoEndpoint", also: []string{"OldResultsAreNoTrials"}, fault: func(f *faulty) { // a success counts whenever it began
		f.settleIn = func(s *webhook.Settlement) {
			r, err := f.Store.GetEndpoint(f.bg, acct, s.EndpointID)
			if err == nil && s.Outcome == webhook.OutcomeDelivered {
				s.Generation = r.Generation
			}
		}
	}},
}
