package memstore

import (
	"context"
	"slices"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/check"
)

// CreateEndpoint implements [webhook.EndpointStore].
func (s *Store) CreateEndpoint(ctx context.Context, c webhook.EndpointCreate) (webhook.EndpointRecord, error) {
	rec := cloneEndpoint(c.Record)
	now, err := s.begin(ctx)
	if err != nil {
		return webhook.EndpointRecord{}, err
	}
	defer s.mu.Unlock()
	if s.endpoints[rec.ID] != nil || s.graves[rec.ID] != nil {
		return webhook.EndpointRecord{}, webhook.ErrIDConflict
	}
	if acc := s.accounts[rec.AccountID]; acc != nil && c.Max > 0 && acc.live >= c.Max {
		return webhook.EndpointRecord{}, webhook.ErrEndpointLimit
	}
	fresh(&rec, now)
	if err := s.finish(c.Idempotency, rec); err != nil {
		return webhook.EndpointRecord{}, err
	}
	acc := s.account(rec.AccountID)
	ep := &endpoint{rec: rec, seq: s.nextSeq(), acc: acc, pausing: notPausing, revised: rec.Revision, revisedAt: now}
	ep.refresh()
	s.endpoints[rec.ID] = ep
	acc.endpoints.add(ep)
	acc.live++
	acc.subscribe(ep)
	return cloneEndpoint(ep.rec), nil
}

// fresh sets what the store owns of a new endpoint.
func fresh(r *webhook.EndpointRecord, now time.Time) {
	r.Revision, r.Generation = 1, 1
	r.HeaderNames = r.Headers.Names()
	r.CreatedAt, r.UpdatedAt = now, now
	r.ConsecutiveFailures, r.FailingSince = 0, time.Time{}
	r.LastTriggeredAt, r.LastSuccessAt, r.LastFailureAt, r.TrialAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	if r.Status == webhook.EndpointInactive {
		disable(r, r.DisabledReason, now)
	} else {
		enable(r)
	}
}

// GetEndpoint implements [webhook.EndpointStore].
func (s *Store) GetEndpoint(ctx context.Context, accountID, id string) (webhook.EndpointRecord, error) {
	if _, err := s.begin(ctx); err != nil {
		return webhook.EndpointRecord{}, err
	}
	defer s.mu.Unlock()
	ep, err := s.find(accountID, id)
	if err != nil {
		return webhook.EndpointRecord{}, err
	}
	return cloneEndpoint(ep.rec), nil
}

// UpdateEndpoint implements [webhook.EndpointStore].
func (s *Store) UpdateEndpoint(ctx context.Context, u webhook.EndpointUpdate) (webhook.EndpointRecord, error) {
	in := cloneEndpoint(u.Record)
	now, err := s.begin(ctx)
	if err != nil {
		return webhook.EndpointRecord{}, err
	}
	defer s.mu.Unlock()
	ep, err := s.find(in.AccountID, in.ID)
	if err != nil {
		return webhook.EndpointRecord{}, err
	}
	if ep.rec.Revision != in.Revision {
		return webhook.EndpointRecord{}, webhook.ErrVersionConflict
	}
	next := ep.rec
	configure(&next, in, u.Reset, now)
	if err := s.finish(u.Idempotency, next); err != nil {
		return webhook.EndpointRecord{}, err
	}
	ep.acc.unsubscribe(ep)
	if revises(in, &ep.rec) {
		s.revise(ep, now)
		ep.revised, ep.revisedAt = next.Revision, now
	}
	ep.rec = next
	if ep.rec.DisabledReason != webhook.DisabledFailing {
		ep.endTrials()
	}
	ep.acc.subscribe(ep)
	ep.refresh()
	s.switched(ep)
	return cloneEndpoint(ep.rec), nil
}

// configure takes over from in what a caller may set.
func configure(r *webhook.EndpointRecord, in webhook.EndpointRecord, reset bool, now time.Time) {
	r.URL, r.Description, r.Metadata = in.URL, in.Description, in.Metadata
	r.Headers, r.HeaderNames = in.Headers, in.Headers.Names()
	if len(in.Events) > 0 {
		r.Events = in.Events
	}
	if len(in.Secrets) > 0 {
		r.Secrets = in.Secrets
	}
	r.UpdatedAt = now
	r.Revision++
	on, want := r.Status != webhook.EndpointInactive, in.Status != webhook.EndpointInactive
	switch {
	case on && !want:
		disable(r, in.DisabledReason, now)
	case !on && want:
		enable(r)
	case !on && in.DisabledReason == webhook.DisabledManually && r.DisabledReason == webhook.DisabledFailing:
		r.DisabledReason = webhook.DisabledManually
	}
	if reset || on && !want {
		r.Generation++
	}
	if reset {
		forgetPace(r)
		r.ConsecutiveFailures, r.FailingSince = 0, time.Time{}
		if r.Status == webhook.EndpointFailing {
			r.Status = webhook.EndpointActive
		}
	}
}

func enable(r *webhook.EndpointRecord) {
	r.Status, r.DisabledReason, r.DisabledAt = webhook.EndpointActive, "", time.Time{}
	forgetPace(r)
}

func disable(r *webhook.EndpointRecord, why webhook.DisabledReason, now time.Time) {
	if why == "" {
		why = webhook.DisabledManually
	}
	r.Status, r.DisabledReason, r.DisabledAt = webhook.EndpointInactive, why, now
	forgetPace(r)
}

func forgetPace(r *webhook.EndpointRecord) {
	r.Pace, r.PausedTill = webhook.PaceUnknown, time.Time{}
}

// ListEndpoints implements [webhook.EndpointStore].
func (s *Store) ListEndpoints(ctx context.Context, f webhook.EndpointFilter) (webhook.Page[webhook.EndpointRecord], error) {
	if err := checkStatus(f.Status); err != nil {
		return webhook.Page[webhook.EndpointRecord]{}, err
	}
	if _, err := s.begin(ctx); err != nil {
		return webhook.Page[webhook.EndpointRecord]{}, err
	}
	defer s.mu.Unlock()
	var none history[*endpoint]
	h := &none
	if acc := s.accounts[f.AccountID]; acc != nil {
		h = &acc.endpoints
	}
	return page(s, h, f.Cursor, f.Limit, 0,
		func(ep *endpoint) bool { return f.Status == "" || ep.rec.Status == f.Status },
		func(ep *endpoint) webhook.EndpointRecord { return cloneEndpoint(ep.rec) })
}

// DeleteEndpoint implements [webhook.EndpointStore].
func (s *Store) DeleteEndpoint(ctx context.Context, d webhook.EndpointDelete) error {
	now, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	ep, err := s.find(d.AccountID, d.ID)
	if err != nil {
		return err
	}
	if d.IfRevision != 0 && d.IfRevision != ep.rec.Revision {
		return webhook.ErrVersionConflict
	}
	s.deleteEndpoint(ep, now)
	s.leaveAccount(ep.acc)
	return nil
}

func (s *Store) deleteEndpoint(ep *endpoint, now time.Time) {
	s.revise(ep, now)
	ep.deleted, ep.ended = true, now.UnixNano()
	ep.acc.unsubscribe(ep)
	ep.acc.endpoints.drop()
	ep.acc.live--
	ep.rec = webhook.EndpointRecord{Endpoint: webhook.Endpoint{ID: ep.rec.ID, AccountID: ep.rec.AccountID}}
	ep.target, ep.trials = nil, 0
	s.switched(ep)
	s.forget(ep)
}

// find returns the account's endpoint, unless it is deleted.
func (s *Store) find(accountID, id string) (*endpoint, error) {
	ep := s.endpoints[id]
	if ep == nil || ep.deleted || ep.rec.AccountID != accountID {
		return nil, webhook.ErrNotFound
	}
	return ep, nil
}

// buried is what is kept of a deleted endpoint that has no delivery and no revision
// left, until it is purged.
type buried struct {
	id, account string
	ended       int64 // Unix nanoseconds: when it was deleted
}

// forget keeps nothing but the id of a deleted endpoint that has no delivery and no
// revision left.
func (s *Store) forget(ep *endpoint) {
	id := ep.rec.ID
	if ep.deleted && ep.log.len() == 0 && len(ep.revisions) == 0 && s.endpoints[id] == ep {
		delete(s.endpoints, id)
		s.graves[id] = s.gravesIn.PushBack(buried{id: id, account: ep.rec.AccountID, ended: ep.ended})
	}
}

// invalid makes the error for one field of an argument.
func invalid(field, problem string) error {
	return &webhook.ValidationError{Fields: []webhook.FieldError{{Field: field, Problem: problem, Path: check.Path(field)}}}
}

// account returns the account, which it makes if need be.
func (s *Store) account(id string) *account {
	acc := s.accounts[id]
	if acc == nil {
		acc = &account{
			id:          id,
			subscribers: make(map[webhook.EventType][]*endpoint),
			events:      make(map[string]*event),
		}
		s.accounts[id] = acc
	}
	return acc
}

// leaveAccount drops an account that has nothing left.
func (s *Store) leaveAccount(acc *account) {
	if acc.live == 0 && len(acc.events) == 0 {
		delete(s.accounts, acc.id)
	}
}

func (a *account) subscribe(ep *endpoint) {
	for i, t := range ep.rec.Events {
		if !slices.Contains(ep.rec.Events[:i], t) {
			a.subscribers[t] = append(a.subscribers[t], ep)
		}
	}
}

func (a *account) unsubscribe(ep *endpoint) {
	for _, t := range ep.rec.Events {
		rest := slices.DeleteFunc(a.subscribers[t], func(other *endpoint) bool { return other == ep })
		if len(rest) == 0 {
			delete(a.subscribers, t)
		} else {
			a.subscribers[t] = rest
		}
	}
}
