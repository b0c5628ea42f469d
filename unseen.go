package webhook

import (
	"cmp"
	"context"
	"errors"
	"time"
)

// unseenTime bounds what unseen asks: results wait to be recorded meanwhile, and
// the store was ill a moment ago.
const unseenTime = time.Second

// unseen follows up results that an earlier call has recorded whose answer was
// lost: nobody else was told of what it did. Another process may have recorded
// one instead, after its lease; then the hooks say some things twice.
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

// disabledSince tells that an endpoint was disabled by its failures, if it was
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
			EndpointID: t.EndpointID, AccountID: t.AccountID, Failures: rec.ConsecutiveFailures, Disabled: rec.DisabledReason,
		}})
	}
	return err
}
