package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ringyo-ai/webhook/internal/batch"
	"github.com/ringyo-ai/webhook/internal/redact"
)

const (
	// maxSettle bounds one Settle call.
	maxSettle = 256
	// maxUnsettled is how many results may wait to be recorded before workers
	// wait too: what cannot be recorded should not be sent either.
	maxUnsettled = 1024
)

// Nobody waits for a success to be recorded, and each call costs the store a commit:
// there is a settlePause between two calls, unless manyUnsettled wait, or something
// that failed.
const (
	settlePause   = 5 * time.Millisecond
	manyUnsettled = 160
)

// manyRefused is how many results of one endpoint may wait after the store refused
// them before nothing is sent to it for refusedPause: they must not use up
// maxUnsettled, on which everybody waits.
const (
	manyRefused  = 64
	refusedPause = 10 * time.Second
)

// newRecorder makes what records results. Only successes are not urgent: the schedule
// of a failure begins when it is recorded.
func (e *Engine) newRecorder(places int) *batch.Recorder[result] {
	return batch.NewRecorder(batch.RecorderConfig[result]{
		Places: places, MaxBatch: maxSettle, MaxWaiting: maxUnsettled, Many: manyUnsettled, Pause: settlePause,
		Record: func(ctx context.Context, results []result, refused func([]result)) {
			_ = e.settle(ctx, results, refused) // logged
		},
		Repeats: func() func() time.Duration { return storeBackOff().NextBackOff },
		Owner:   func(r result) string { return r.settlement.EndpointID }, ManyRefused: manyRefused,
		Crowded: func(endpoint string) { e.sched.Hold(endpoint, refusedPause) },
	})
}

// record hands a result to the recorder.
func (e *Engine) record(r result) {
	e.results.Add(r, r.settlement.Outcome != OutcomeDelivered)
}

// settle records a batch, repeating what fails while its lease lasts: after that
// another process attempts it anyway. What the store refuses, though it responds,
// goes to refused instead, unless that is nil. The error says how many results were
// given up.
func (e *Engine) settle(ctx context.Context, batch []result, refused func([]result)) error {
	pause := storeBackOff()
	lost := 0
	var cause error
	for {
		e.allow(batch)
		failed, responded, err := e.settleOnce(ctx, batch)
		batch = stillLeased(failed)
		lost += len(failed) - len(batch)
		if len(failed) > 0 {
			cause = err
			e.log.Error("webhook: results could not be recorded", "error", err, "lost", len(failed)-len(batch), "repeating", len(batch))
		}
		if len(batch) > 0 && ctx.Err() == nil {
			if !responded || refused == nil {
				sleep(ctx, pause.NextBackOff())
				continue
			}
			refused(batch)
		} else {
			lost += len(batch)
		}
		if lost == 0 {
			return nil
		}
		return fmt.Errorf("%w: %d results could not be recorded, their deliveries are sent again: %w", ErrStore, lost, cause)
	}
}

func stillLeased(batch []result) []result {
	now := time.Now()
	kept := batch[:0]
	for _, r := range batch {
		if now.Before(r.leaseEnd) {
			kept = append(kept, r)
		}
	}
	return kept
}

// allow decides for each failure that counts whether it may disable.
func (e *Engine) allow(batch []result) {
	var thresholds map[string]int
	ctx, cancel := e.vetoContext()
	defer cancel()
	for i := range batch {
		s := &batch[i].settlement
		if !s.Counts || e.cfg.Disable.After < 1 {
			continue
		}
		after, asked := thresholds[s.EndpointID]
		if !asked {
			if thresholds == nil {
				thresholds = map[string]int{}
			}
			if !e.outage.CutOff() && e.allowDisable(ctx, batch[i].Target.AccountID, s.EndpointID) {
				after = e.cfg.Disable.After
			}
			thresholds[s.EndpointID] = after
		}
		s.DisableAfter, s.MinFailing = after, e.cfg.Disable.MinFailing
	}
}

// settleOnce makes one call and returns what must be repeated, and whether the
// store responded at all.
func (e *Engine) settleOnce(ctx context.Context, batch []result) (failed []result, responded bool, err error) {
	settlements := make([]Settlement, len(batch))
	for i := range batch {
		settlements[i] = batch[i].settlement
		settlements[i].Tally = e.cfg.Tallies
		settlements[i].Recover, settlements[i].MaxRecover = e.cfg.Disable.RecoverAfter, e.cfg.Disable.RecoverMax
	}
	begin := time.Now()
	// Recording goes on when its caller's context ends: the attempts were made.
	settled, err := call(context.WithoutCancel(ctx), e.store, func(ctx context.Context) (Settled, error) {
		return e.store.Settle(ctx, settlements)
	})
	if err == nil && len(settled.Results) != len(batch) {
		err = storeError(errResultCount)
	}
	if err != nil {
		for i := range batch {
			batch[i].unanswered = true
		}
		return batch, false, err
	}
	e.clock.Observe(begin, settled.Now)
	var unseen []*result
	for i, res := range settled.Results {
		switch res.Status {
		case SettleApplied:
			e.applied(&batch[i], res)
		case SettleStale:
			if batch[i].unanswered {
				unseen = append(unseen, &batch[i])
			}
		default:
			batch[i].unanswered = true // the store may have lost the result of a part of the call
			failed, err = append(failed, batch[i]), cmp.Or(res.Err, errRefused)
		}
	}
	addURLs(batch, settled.Failing)
	e.endpointsFailing(settled.Failing)
	e.endpointsEnabled(settled.Enabled)
	e.unseen(ctx, unseen)
	return failed, true, err
}

// applied follows up one recorded result.
func (e *Engine) applied(r *result, res SettleResult) {
	s := &r.settlement
	if res.Delivery == DeliveryPending && s.Outcome == OutcomeReleased && s.Delay == 0 {
		e.feed.Wake()
	} else if res.Delivery == DeliveryPending {
		e.feed.MaintainIn(s.Delay)
	}
	h := &e.cfg.Hooks
	d := DeliveryInfo{
		DeliveryID: r.DeliveryID,
		AccountID:  r.Target.AccountID,
		EndpointID: r.Target.EndpointID,
		EventID:    r.Event.ID,
		EventType:  r.Event.Type,
		Attempts:   r.Attempts,
		Status:     res.Delivery,
	}
	if s.Attempt != nil {
		d.Attempts++
	}
	if res.Delivery == DeliveryExhausted {
		d.Reason = s.Reason
	}
	if h.OnAttempt != nil && r.verdict.sent() {
		a := AttemptInfo{DeliveryInfo: d, StatusCode: r.last.StatusCode, Failure: r.last.Failure, Detail: r.detail, Location: r.location, Err: r.err, Duration: r.last.Duration, Revision: r.Target.Revision}
		if res.Delivery == DeliveryPending {
			a.NextIn = s.Delay
		}
		e.hooks.Enqueue(func(ctx context.Context) { h.OnAttempt(ctx, a) })
	}
	if h.OnDelivered != nil && res.Delivery == DeliveryDelivered && s.Outcome == OutcomeDelivered {
		e.hooks.Enqueue(func(ctx context.Context) { h.OnDelivered(ctx, d) })
	}
	if h.OnExhausted != nil && res.Delivery == DeliveryExhausted {
		e.hooks.Enqueue(func(ctx context.Context) { h.OnExhausted(ctx, d) })
	}
}

// addURLs sets where the failures were sent: the batch knows it, so that no store has
// to read it.
func addURLs(batch []result, failing []EndpointFailures) {
	for i := range failing {
		f := &failing[i]
		for j := range batch {
			if t := batch[j].Target; t.EndpointID == f.EndpointID && (f.URL == "" || batch[j].DeliveryID == f.LastFailure.DeliveryID) {
				f.URL = t.URL
			}
		}
	}
}

// endpointsFailing warns at half and four fifths of the threshold, and reports
// endpoints that were disabled.
func (e *Engine) endpointsFailing(all []EndpointFailures) {
	h := &e.cfg.Hooks
	after := e.cfg.Disable.After
	for _, f := range all {
		if f.Disabled != "" {
			e.log.Warn("webhook: an endpoint was disabled", "endpoint", f.EndpointID, "account", f.AccountID, "reason", string(f.Disabled), "failures", f.Failures,
				"host", redact.Host(f.URL), "delivery", f.LastFailure.DeliveryID, "failure", string(f.LastFailure.Failure), "status", f.LastFailure.StatusCode)
			if h.OnEndpointDisabled != nil {
				e.hooks.Enqueue(func(ctx context.Context) { h.OnEndpointDisabled(ctx, f) })
			}
			continue
		}
		before := f.Failures - f.Added
		for _, mark := range [...]int{(after + 1) / 2, (4*after + 4) / 5} {
			if h.OnEndpointFailing != nil && after > 0 && before < mark && mark <= f.Failures {
				e.hooks.Enqueue(func(ctx context.Context) { h.OnEndpointFailing(ctx, f) })
				break
			}
		}
	}
}

// endpointsEnabled reports endpoints that a trial enabled. What is held for them is to
// be released.
func (e *Engine) endpointsEnabled(all []EndpointEnabled) {
	h := &e.cfg.Hooks
	for _, r := range all {
		e.log.Info("webhook: an endpoint that its failures had disabled takes deliveries again", "endpoint", r.EndpointID, "account", r.AccountID,
			"disabled_at", r.DisabledAt, "trials", r.Trials)
		e.feed.MaintainIn(0)
		if h.OnEndpointEnabled != nil {
			e.hooks.Enqueue(func(ctx context.Context) { h.OnEndpointEnabled(ctx, r) })
		}
	}
}

// unseenTime bounds what unseen asks: results wait to be recorded meanwhile, and
// the store was ill a moment ago.
const unseenTime = time.Second

// unseen follows up results that an earlier call has recorded, though what it returned
// was lost: nobody else has reported what it did. Another process may have recorded one
// instead, after its lease; then the hooks say some things twice.
func (e *Engine) unseen(ctx context.Context, results []*result) {
	if len(results) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unseenTime)
	defer cancel()
	var failed error
	asked := make(map[string]bool)
	for _, r := range results {
		s := &r.settlement
		status, known := DeliveryPending, true
		switch s.Outcome {
		case OutcomeDelivered:
			status = DeliveryDelivered
		case OutcomeExhausted, OutcomeGone:
			var err error
			status = DeliveryExhausted
			known, err = e.exhausted(ctx, r)
			failed = cmp.Or(failed, err)
		}
		if known {
			e.applied(r, SettleResult{Status: SettleApplied, Delivery: status})
		}
		if (s.Counts || s.Outcome == OutcomeGone) && s.Attempt != nil && !asked[s.EndpointID] {
			asked[s.EndpointID] = true
			failed = cmp.Or(failed, e.disabledSince(ctx, r.Target, s.Attempt.At))
		}
	}
	if failed != nil {
		e.log.Error("webhook: it is not known what the store recorded, so hooks were not called", "error", failed)
	}
}

// exhausted reports whether a delivery is recorded as exhausted: one that was not
// recorded could have been cancelled, or gone to another process.
func (e *Engine) exhausted(ctx context.Context, r *result) (bool, error) {
	page, err := call(ctx, e.store, func(ctx context.Context) (Page[Delivery], error) {
		return e.store.ListDeliveries(ctx, DeliveryFilter{AccountID: r.Target.AccountID, DeliveryID: r.DeliveryID, Limit: 1})
	})
	return len(page.Items) > 0 && page.Items[0].Status == DeliveryExhausted, err
}

// clockSlack is how far the engine's idea of the store's clock may be off here.
const clockSlack = time.Second

// disabledSince reports that an endpoint was disabled by its failures, if it was
// since the given time.
func (e *Engine) disabledSince(ctx context.Context, t *Target, since time.Time) error {
	rec, err := call(ctx, e.store, func(ctx context.Context) (EndpointRecord, error) {
		return e.store.GetEndpoint(ctx, t.AccountID, t.EndpointID)
	})
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err == nil && rec.Status == EndpointInactive && rec.DisabledReason != DisabledManually && rec.DisabledAt.After(since.Add(-clockSlack)):
		e.endpointsFailing([]EndpointFailures{{
			EndpointID: t.EndpointID, AccountID: t.AccountID, URL: rec.URL, Failures: rec.ConsecutiveFailures,
			Disabled: rec.DisabledReason, LastFailure: rec.LastFailure,
		}})
	}
	return err
}
