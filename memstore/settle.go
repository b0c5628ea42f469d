package memstore

import (
	"context"
	"time"

	"github.com/ringyo-ai/webhook"
)

// Settle implements [webhook.Queue].
func (s *Store) Settle(ctx context.Context, batch []webhook.Settlement) (webhook.Settled, error) {
	now, err := s.begin(ctx)
	if err != nil {
		return webhook.Settled{}, err
	}
	defer s.mu.Unlock()
	b := settling{s: s, now: now}
	b.out.Now = now
	b.out.Results = make([]webhook.SettleResult, len(batch))
	for i := range batch {
		b.out.Results[i] = b.one(&batch[i])
	}
	for ep, i := range b.failing {
		b.out.Failing[i].LastFailure = ep.rec.LastFailure
	}
	return b.out, nil
}

// settling is one Settle call at work.
type settling struct {
	s       *Store
	now     time.Time
	out     webhook.Settled
	failing map[*endpoint]int // index in out.Failing
}

func (b *settling) one(st *webhook.Settlement) webhook.SettleResult {
	d := b.s.deliveries[st.DeliveryID]
	if d == nil {
		return webhook.SettleResult{Status: webhook.SettleStale}
	}
	owned := d.phase == leased && d.token == st.Token
	if !owned && (st.Outcome != webhook.OutcomeDelivered || d.phase == delivered) {
		return webhook.SettleResult{Status: webhook.SettleStale}
	}
	b.s.leave(d)
	if st.Tally {
		b.s.tally(d.ep, st, b.now)
	}
	d.record(st)
	b.outcome(d, st)
	if ep := d.ep; !ep.deleted && ep.rec.Generation == st.Generation {
		b.s.told(ep, st, b.now)
		b.count(ep, d, st)
	}
	return webhook.SettleResult{Status: webhook.SettleApplied, Delivery: d.phase.status()}
}

// record writes the attempt's log row and the counters of the delivery.
func (d *delivery) record(st *webhook.Settlement) {
	d.expired = 0
	if st.Outcome == webhook.OutcomeReleased {
		if st.Delay > 0 {
			d.releases++
		}
	} else {
		d.releases = 0
		d.attempts++
	}
	if st.Attempt != nil {
		a := cloneAttempt(*st.Attempt)
		a.DeliveryID = d.id
		a.Number = len(d.log) + 1
		a.At = a.At.UTC()
		if d.ev.redacted { // the receiver may have repeated what it was sent
			a.ResponseBody = nil
		}
		d.log = append(d.log, a)
	}
}

// outcome enters the delivery's next phase.
func (b *settling) outcome(d *delivery, st *webhook.Settlement) {
	switch st.Outcome {
	case webhook.OutcomeDelivered:
		b.s.end(d, delivered, "", b.now)
	case webhook.OutcomeExhausted:
		b.s.end(d, exhausted, st.Reason, b.now)
	case webhook.OutcomeGone:
		b.s.end(d, exhausted, webhook.ReasonGone, b.now)
	default:
		d.due = later(b.now.UnixNano(), st.Delay)
		b.s.pend(d, b.now)
	}
}

// count applies the result to its endpoint, whose generation it is of.
func (b *settling) count(ep *endpoint, d *delivery, st *webhook.Settlement) {
	r := &ep.rec
	if st.Attempt != nil && st.Outcome != webhook.OutcomeReleased {
		r.LastTriggeredAt = b.now
	}
	if ep.trials > 0 {
		b.tried(ep, st)
	}
	if st.Outcome == webhook.OutcomeDelivered {
		r.LastSuccessAt = b.now
		r.ConsecutiveFailures, r.FailingSince = 0, time.Time{}
		if ep.active() {
			r.Status = webhook.EndpointActive
		}
		return
	}
	if st.Attempt != nil && st.Outcome != webhook.OutcomeReleased {
		r.LastFailureAt = b.now
		r.LastFailure = d.log[len(d.log)-1]
		r.LastFailure.ResponseBody, r.LastFailure.Location = nil, ""
		if ep.active() {
			r.Status = webhook.EndpointFailing
		}
	}
	if st.Counts {
		b.failed(ep, st)
	}
	if st.Outcome == webhook.OutcomeGone {
		b.disable(ep, webhook.DisabledGone)
	}
}

// failed adds one to the endpoint's consecutive failures, and disables it when
// that reaches the threshold.
func (b *settling) failed(ep *endpoint, st *webhook.Settlement) {
	r := &ep.rec
	if r.ConsecutiveFailures == 0 {
		r.FailingSince = b.now
	}
	r.ConsecutiveFailures++
	rep := b.report(ep)
	rep.Added++
	rep.Failures = r.ConsecutiveFailures
	if st.Outcome != webhook.OutcomeGone && st.DisableAfter > 0 && r.ConsecutiveFailures >= st.DisableAfter &&
		b.now.Sub(r.FailingSince) >= st.MinFailing {
		if b.disable(ep, webhook.DisabledFailing) {
			b.plan(ep, st)
		}
	}
}

// disable disables the endpoint, and reports whether this changed it. By 410 it also
// ends the trials of one that is disabled.
func (b *settling) disable(ep *endpoint, why webhook.DisabledReason) bool {
	if !ep.active() && (why != webhook.DisabledGone || ep.rec.DisabledReason != webhook.DisabledFailing) {
		return false
	}
	disable(&ep.rec, why, b.now)
	ep.endTrials()
	ep.rec.Revision++
	ep.rec.Generation++
	ep.refresh()
	b.s.switched(ep)
	rep := b.report(ep)
	rep.Failures = ep.rec.ConsecutiveFailures
	rep.Disabled = why
	return true
}

// report returns the endpoint's entry in the result.
func (b *settling) report(ep *endpoint) *webhook.EndpointFailures {
	i, ok := b.failing[ep]
	if !ok {
		if b.failing == nil {
			b.failing = make(map[*endpoint]int)
		}
		i = len(b.out.Failing)
		b.failing[ep] = i
		b.out.Failing = append(b.out.Failing, webhook.EndpointFailures{EndpointID: ep.rec.ID, AccountID: ep.rec.AccountID})
	}
	return &b.out.Failing[i]
}
