package storetest

import (
	"errors"
	"slices"
	"time"

	"github.com/ringyo-ai/webhook"
)

var brokenMaintain = []broken{
	{rule: "MaintainReadiesInBatches", also: []string{"DeletingCancelsWhatIsPending", "HoldingAndReleasingGoInBatches", "HoldingStopsWhenEnabledAgain", "RetentionGoesInBatches"}, fault: func(f *faulty) { // all at once
		f.maintainIn = func(r *webhook.MaintainRequest) { r.Limit = 1 << 20 }
	}},
	{rule: "HoldingAndReleasingGoInBatches", fault: func(f *faulty) { // releasing never has more
		f.maintainOut = func(_ webhook.MaintainRequest, m *webhook.Maintained) { m.More = m.More && m.Released == 0 }
	}},
	{rule: "HoldingStopsWhenEnabledAgain", fault: func(f *faulty) { // it goes on with what it had begun
		f.maintainOut = func(_ webhook.MaintainRequest, m *webhook.Maintained) {
			if m.Held == 5 {
				f.remember("holding", true)
			}
			if m.Held == 0 && f.recall("holding") != nil && m.Released > 0 {
				m.Held = 25
			}
		}
	}},
	{rule: "MaintainMayBeCalledByMany", fault: func(f *faulty) { // all who came at once count one row besides
		together := meeting(racedMaintainers)
		f.maintainOut = func(r webhook.MaintainRequest, m *webhook.Maintained) {
			if r.Limit == racedBatch && together() {
				m.Readied++
			}
		}
	}},
	{rule: "RetentionPurgesWhatHasEnded", also: []string{"OldRevisionsArePurged", "RetentionPurgesDeletedEndpoints"}, fault: func(f *faulty) {
		f.maintainIn = func(r *webhook.MaintainRequest) { r.Retention /= 2 }
	}},
	{rule: "RetentionPurgesDeletedEndpoints", fault: func(f *faulty) { // their ids stay taken
		f.deleted = func(id string) { f.remember("deleted "+id, true) }
		f.createOut = func(c webhook.EndpointCreate, _ *webhook.EndpointRecord, err *error) {
			if f.recall("deleted "+c.Record.ID) != nil {
				*err = webhook.ErrIDConflict
			}
		}
	}},
	{rule: "RetentionKeepsADeletedEndpointThatHasDeliveries", also: []string{"RetentionPurgesDeletedEndpoints"}, fault: func(f *faulty) {
		f.deleted = func(id string) { f.remember("deleted "+id, true) }
		f.maintainIn = func(r *webhook.MaintainRequest) {
			if r.Retention > 0 {
				f.remember("purged", true)
			}
		}
		f.listIn = func(q *webhook.DeliveryFilter) {
			if f.recall("purged") != nil && f.recall("deleted "+q.EndpointID) != nil {
				q.EndpointID = "wh_purged"
			}
		}
	}},
	{rule: "RetentionGoesInBatches", fault: func(f *faulty) {
		f.maintainIn = func(r *webhook.MaintainRequest) {
			if r.Retention > 0 {
				r.Limit = 1 << 20
			}
		}
	}},
	{rule: "RetentionKeepsWhatIsNotFinished", fault: func(f *faulty) { // what is old is gone
		f.maintainIn = func(r *webhook.MaintainRequest) {
			if r.Retention > 0 {
				f.remember("retention", r.Retention)
			}
		}
		f.eventOut = func(r *webhook.EventRecord, err *error) {
			now, _ := f.Store.Now(f.bg)
			if d, ok := f.recall("retention").(time.Duration); ok && *err == nil && r.CreatedAt.Before(now.Add(-100*d)) {
				*err = webhook.ErrNotFound
			}
		}
	}},
	{rule: "DeletedEndpointIsAnsweredNoMore", fault: func(f *faulty) { // from a cache
		f.getOut = func(account, id string, r *webhook.EndpointRecord, err *error) {
			if f.recall("deleted "+id) != nil && account == acct {
				*err = nil
			}
		}
		f.deleted = func(id string) { f.remember("deleted "+id, true) }
	}},
	{rule: "DeletingCancelsWhatIsPending", also: []string{"DeletingCancelsAtOnce", "RedactingCancelsWhatHasNotEnded"}, fault: func(f *faulty) {
		f.listOut = func(p *webhook.Page[webhook.Delivery], _ *error) {
			for i := range p.Items {
				if p.Items[i].Status == webhook.DeliveryCancelled {
					p.Items[i].Reason = ""
				}
			}
		}
	}},
	{rule: "DeletingCancelsAtOnce", fault: func(f *faulty) { // not before Maintain
		f.deleted = func(string) { f.remember("cancelling", true) }
		f.maintainIn = func(*webhook.MaintainRequest) { f.remember("cancelling", false) }
		f.listOut = func(p *webhook.Page[webhook.Delivery], _ *error) {
			for i := range p.Items {
				if p.Items[i].Status == webhook.DeliveryCancelled && f.recall("cancelling") == true {
					p.Items[i].Status, p.Items[i].Reason, p.Items[i].CompletedAt = webhook.DeliveryPending, "", time.Time{}
				}
			}
		}
	}},
	{rule: "SettleAfterDeleteMakesNothingPending", also: []string{"DeletingAnAccountRemovesAllOfIt", "FailingEndpointsAreListed", "OldestDueComesFirst"}, fault: func(f *faulty) { // a foreign key fails
		f.settleOut = func(batch []webhook.Settlement, out *webhook.Settled) {
			for i, s := range batch {
				_, err := f.Store.GetEndpoint(f.bg, acct, s.EndpointID)
				if out.Results[i].Status == webhook.SettleApplied && s.Outcome != webhook.OutcomeDelivered && errors.Is(err, webhook.ErrNotFound) {
					out.Results[i] = webhook.SettleResult{Status: webhook.SettleFailed, Err: err}
				}
			}
		}
	}},
}

var brokenLog = []broken{
	{rule: "RevisionsSayWhatWasSentWith", fault: func(f *faulty) { // a deleted endpoint has none
		f.deleted = func(id string) { f.remember("deleted "+id, true) }
		f.revisionsOut = func(id string, list *webhook.EndpointRevisions) {
			if f.recall("deleted "+id) != nil {
				*list = nil
			}
		}
	}},
	{rule: "OldRevisionsArePurged", fault: func(f *faulty) { // what ended stays
		f.revisionsOut = func(id string, list *webhook.EndpointRevisions) {
			if was, ok := f.recall(id).(webhook.EndpointRevisions); ok && len(was) > len(*list) {
				*list = was
			}
			f.remember(id, *list)
		}
	}},
	{rule: "DeliveriesAreListedNewestFirst", also: []string{"DeliveriesAreListedByTypeAndTime"}, fault: func(f *faulty) {
		f.listOut = func(p *webhook.Page[webhook.Delivery], _ *error) { slices.Reverse(p.Items) }
	}},
	{rule: "DeliveriesOfWhatDoesNotExist", also: []string{"LogsOfOthersAreNotFound"}, fault: func(f *faulty) { // an empty page
		f.listOut = func(p *webhook.Page[webhook.Delivery], err *error) {
			if errors.Is(*err, webhook.ErrNotFound) && f.recall("deleted") == nil {
				*err = nil
			}
		}
		f.deleted = func(string) { f.remember("deleted", true) }
	}},
	{rule: "UnknownStatusIsRefused", fault: func(f *faulty) { // it counts as any
		f.listIn = func(q *webhook.DeliveryFilter) {
			switch q.Status {
			case webhook.DeliveryPending, webhook.DeliveryHeld, webhook.DeliveryDelivered, webhook.DeliveryExhausted, webhook.DeliveryCancelled:
			default:
				q.Status = ""
			}
		}
	}},
	{rule: "ForeignCursorIsRefused", fault: func(f *faulty) {
		f.replayIn = func(r *webhook.ReplayRequest) {
			if len(r.Cursor) != 32 { // all of memstore's are as long
				r.Cursor = ""
			}
		}
	}},
	{rule: "RedeliverStartsAFullSchedule", fault: func(f *faulty) { // the old count goes on
		f.redeliver = func(_, id string, d *webhook.Delivery, _ *error) {
			if d.Attempts == 2 { // those that had ended
				f.remember("attempts of "+id, d.Attempts)
			}
		}
		f.claimOut = func(_ webhook.ClaimRequest, c *webhook.Claimed) {
			for i, l := range c.Deliveries {
				if n, ok := f.recall("attempts of " + l.DeliveryID).(int); ok {
					c.Deliveries[i].Attempts += n
				}
			}
		}
	}},
	{rule: "RedeliverGoesOnWithAScheduleThatHasNotEnded", fault: func(f *faulty) { // it begins anew
		f.redeliver = func(_, id string, _ *webhook.Delivery, _ *error) { f.remember("anew "+id, true) }
		f.claimOut = func(_ webhook.ClaimRequest, c *webhook.Claimed) {
			for i, l := range c.Deliveries {
				if f.recall("anew "+l.DeliveryID) != nil {
					c.Deliveries[i].Attempts = 0
				}
			}
		}
	}},
	{rule: "RedeliverLeavesALeaseAlone", fault: func(f *faulty) {
		f.redeliver = func(_, id string, _ *webhook.Delivery, _ *error) {
			_, _ = f.Store.Settle(f.bg, []webhook.Settlement{{DeliveryID: id, Token: f.token(id), Outcome: webhook.OutcomeReleased}})
		}
	}},
	{rule: "RedeliverFindsOnlyWhatThereIs", also: []string{"RedactedEventsAreNotSentAgain"}, fault: func(f *faulty) {
		f.redeliver = func(account, id string, d *webhook.Delivery, err *error) {
			if p, _ := f.Store.ListDeliveries(f.bg, webhook.DeliveryFilter{AccountID: account, DeliveryID: id, Limit: 1}); len(p.Items) == 1 {
				*d, *err = p.Items[0], nil
			}
		}
	}},
	{rule: "StatsCountWhatIsNotFinished", also: []string{"ParkedDeliveriesAreReady", "StatsOfSeveralEndpoints"}, fault: func(f *faulty) {
		f.statsOut = func(q *webhook.QueueStats) { q.OldestReady = 0 }
	}},
	{rule: "ReplayMakesPendingWhatWasNotDelivered", also: []string{"ADryRunCountsAndChangesNothing", "ReplayTakesStatuses"}, fault: func(f *faulty) { // delivered ones too
		f.replayOut = func(r webhook.ReplayRequest, out *webhook.Replayed, err *error) {
			p, _ := f.Store.ListDeliveries(f.bg, webhook.DeliveryFilter{AccountID: r.AccountID, EndpointID: r.EndpointID, Status: webhook.DeliveryDelivered, Limit: 1000})
			for _, d := range p.Items {
				if *err == nil {
					_, _ = f.Store.Redeliver(f.bg, r.AccountID, d.ID)
					out.Count++
				}
			}
		}
	}},
	{rule: "ReplayGoesInBatches", also: []string{"ADryRunCountsAndChangesNothing", "ReplayHasAStart", "ReplayHasAnEnd", "ReplayTakesStatuses"}, fault: func(f *faulty) {
		f.replayIn = func(r *webhook.ReplayRequest) { r.Limit = max(r.Limit, 10) }
	}},
	{rule: "ReplayHasAStart", also: []string{"ReplayHasAnEnd"}, fault: func(f *faulty) {
		f.replayIn = func(r *webhook.ReplayRequest) { r.Since = time.Time{} }
	}},
	{rule: "ReplayToAnInactiveEndpointHolds", fault: func(f *faulty) {
		f.deleted = func(id string) { f.remember("deleted "+id, true) }
		f.replayOut = func(r webhook.ReplayRequest, _ *webhook.Replayed, err *error) {
			if f.recall("deleted "+r.EndpointID) != nil {
				*err = nil
			}
		}
	}},
	{rule: "LogsOfOthersAreNotFound", fault: func(f *faulty) {
		f.attemptsIn = func(account *string, _ string) { *account = acct }
	}},
	{rule: "LiveLeasesAreNotShared", fault: func(f *faulty) { // those who read before any of them writes hand off the same
		together := meeting(racedEmitters)
		f.enqueueOut = func(r webhook.EnqueueRequest, out *webhook.Enqueued) {
			if r.Groups[0][0].Type != racedType || len(out.Leased) == 0 {
				return
			}
			f.remember("leased", out.Leased[0])
			if together() {
				out.Leased[0] = f.recall("leased").(webhook.Leased)
			}
		}
	}},
	{rule: "SameEventFromManyIsStoredOnce", fault: func(f *faulty) { // looks, and then inserts: a violation comes back as it is
		together := meeting(racedTwins)
		f.enqueueOut = func(r webhook.EnqueueRequest, out *webhook.Enqueued) {
			if r.Groups[0][0].Type == racedTwin && together() && out.Ready == 0 {
				out.Errs[0] = errors.New("duplicate key")
			}
		}
	}},
	{rule: modelCase, also: []string{"TrialsBecomeRarer"}, fault: func(f *faulty) { // a release is lost while its endpoint is inactive
		f.settleIn = func(s *webhook.Settlement) {
			r, err := f.Store.GetEndpoint(f.bg, acct, s.EndpointID)
			if err == nil && r.Status == webhook.EndpointInactive && s.Outcome == webhook.OutcomeReleased {
				s.Outcome = webhook.OutcomeExhausted
			}
		}
	}},
}
