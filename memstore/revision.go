package memstore

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/ringyo-ai/webhook"
)

// oldRevision is a revision that ended, if its endpoint still has it.
type oldRevision struct {
	ep       *endpoint
	revision int64
	until    time.Time
}

// ListRevisions implements [webhook.Log].
func (s *Store) ListRevisions(ctx context.Context, accountID, endpointID string) (webhook.EndpointRevisions, error) {
	if _, err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	ep := s.endpoints[endpointID]
	if ep == nil || ep.rec.AccountID != accountID || ep.deleted && len(ep.revisions) == 0 {
		return nil, webhook.ErrNotFound
	}
	var list webhook.EndpointRevisions
	if !ep.deleted {
		list = append(list, ep.revision())
	}
	for _, r := range slices.Backward(ep.revisions) {
		r.Secrets, r.HeaderNames = slices.Clone(r.Secrets), slices.Clone(r.HeaderNames)
		list = append(list, r)
	}
	return list, nil
}

// revision returns what the endpoint is sent to with now.
func (e *endpoint) revision() webhook.EndpointRevision {
	r := webhook.EndpointRevision{
		Revision: e.revised, URL: e.rec.URL, HeaderNames: slices.Clone(e.rec.HeaderNames), Since: e.revisedAt,
	}
	for _, s := range e.rec.Secrets {
		r.Secrets = append(r.Secrets, webhook.SecretHint{Hint: s.Secret.Hint(), ExpiresAt: s.ExpiresAt})
	}
	return r
}

// revises reports whether an update changes what requests are made with.
func revises(in webhook.EndpointRecord, old *webhook.EndpointRecord) bool {
	sameSecret := func(a, b webhook.EndpointSecret) bool {
		return a.Secret.Equal(b.Secret) && a.ExpiresAt.Equal(b.ExpiresAt)
	}
	return in.URL != old.URL || !maps.Equal(in.Headers, old.Headers) ||
		len(in.Secrets) > 0 && !slices.EqualFunc(in.Secrets, old.Secrets, sameSecret)
}

// revise keeps what the endpoint was sent to with until now.
func (s *Store) revise(ep *endpoint, now time.Time) {
	r := ep.revision()
	r.Until = now
	ep.revisions = append(ep.revisions, r)
	if n := len(ep.revisions) - webhook.MaxRevisions; n > 0 {
		ep.revisions = slices.Delete(ep.revisions, 0, n)
	}
	s.revised = append(s.revised, oldRevision{ep, r.Revision, now})
	s.trim()
}

// purgeRevision forgets the one that ended first.
func (s *Store) purgeRevision() {
	old := s.revised[0]
	s.revised[0] = oldRevision{}
	s.revised = s.revised[1:]
	if ep := old.ep; len(ep.revisions) > 0 && ep.revisions[0].Revision == old.revision {
		ep.revisions = slices.Delete(ep.revisions, 0, 1)
		s.forget(ep)
	}
}

// dropRevisions forgets those of an account's deleted endpoints.
func (s *Store) dropRevisions(account string) {
	s.revised = slices.DeleteFunc(s.revised, func(old oldRevision) bool {
		if !old.ep.deleted || old.ep.rec.AccountID != account {
			return false
		}
		old.ep.revisions = nil
		s.forget(old.ep)
		return true
	})
}
