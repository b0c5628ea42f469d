package memstore

import (
	"cmp"
	"context"
	"slices"

	"github.com/ringyo-ai/webhook"
)

// GetEndpoints implements [webhook.EndpointStore].
func (s *Store) GetEndpoints(ctx context.Context, accountID string, ids []string) ([]webhook.EndpointRecord, error) {
	if _, err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var list []webhook.EndpointRecord
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		if ep, err := s.find(accountID, id); err == nil && !seen[id] {
			seen[id] = true
			list = append(list, cloneEndpoint(ep.rec))
		}
	}
	return list, nil
}

// CountEndpoints implements [webhook.EndpointStore].
func (s *Store) CountEndpoints(ctx context.Context, accountID string, status webhook.EndpointStatus) (int, error) {
	if err := checkStatus(status); err != nil {
		return 0, err
	}
	if _, err := s.begin(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	n := 0
	if acc := s.accounts[accountID]; acc != nil {
		for _, ep := range acc.endpoints.items {
			if !ep.deleted && (status == "" || ep.rec.Status == status) {
				n++
			}
		}
	}
	return n, nil
}

func checkStatus(status webhook.EndpointStatus) error {
	switch status {
	case "", webhook.EndpointActive, webhook.EndpointFailing, webhook.EndpointInactive:
		return nil
	}
	return invalid("Status", "must be active, failing or inactive")
}

// FailingEndpoints implements [webhook.EndpointStore].
func (s *Store) FailingEndpoints(ctx context.Context, q webhook.FailingQuery) (webhook.Page[webhook.EndpointRecord], error) {
	switch q.Status {
	case "", webhook.EndpointFailing, webhook.EndpointInactive:
	default:
		return webhook.Page[webhook.EndpointRecord]{}, invalid("Status", "must be failing or inactive")
	}
	if _, err := s.begin(ctx); err != nil {
		return webhook.Page[webhook.EndpointRecord]{}, err
	}
	defer s.mu.Unlock()
	var h history[*endpoint]
	for _, ep := range s.endpoints {
		if !ep.deleted && ep.rec.Status != webhook.EndpointActive {
			h.add(ep)
		}
	}
	slices.SortFunc(h.items, func(a, b *endpoint) int { return cmp.Compare(a.seq, b.seq) })
	return page(s, &h, q.Cursor, q.Limit, 0,
		func(ep *endpoint) bool { return q.Status == "" || ep.rec.Status == q.Status },
		func(ep *endpoint) webhook.EndpointRecord { return cloneEndpoint(ep.rec) })
}

// LastAttempts implements [webhook.Log]. It looks at all deliveries of the endpoint.
func (s *Store) LastAttempts(ctx context.Context, accountID, endpointID string, limit int) ([]webhook.Attempt, error) {
	if limit < 1 {
		return nil, invalid("limit", "must be at least 1")
	}
	if _, err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	if !s.remembers(accountID, endpointID) {
		return nil, webhook.ErrNotFound
	}
	var list []webhook.Attempt
	if ep := s.endpoints[endpointID]; ep != nil {
		for _, d := range ep.log.items {
			if !d.purged {
				list = append(list, d.log...)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b webhook.Attempt) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.Number, a.Number))
	})
	list = list[:min(limit, len(list))]
	out := make([]webhook.Attempt, len(list))
	for i := range list {
		out[i] = cloneAttempt(list[i])
	}
	return out, nil
}

// QueueStatsOf implements [webhook.Log].
func (s *Store) QueueStatsOf(ctx context.Context, accountID string, endpointIDs []string) (map[string]webhook.QueueStats, error) {
	now, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	stats := make(map[string]webhook.QueueStats, len(endpointIDs))
	for _, id := range endpointIDs {
		if ep, err := s.find(accountID, id); err == nil {
			stats[id] = ep.stats(now)
		}
	}
	return stats, nil
}

// OldestDue implements [webhook.Log].
func (s *Store) OldestDue(ctx context.Context, limit int) ([]webhook.EndpointBacklog, error) {
	if limit < 1 {
		return nil, invalid("limit", "must be at least 1")
	}
	now, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var list []webhook.EndpointBacklog
	for _, ep := range s.endpoints {
		var q webhook.QueueStats
		if ep.active() {
			ep.countReady(&q, now)
		}
		if q.Ready > 0 {
			list = append(list, webhook.EndpointBacklog{
				EndpointID: ep.rec.ID, AccountID: ep.rec.AccountID, URL: ep.rec.URL, Due: q.Ready, OldestDue: q.OldestReady,
			})
		}
	}
	slices.SortFunc(list, func(a, b webhook.EndpointBacklog) int {
		return cmp.Or(cmp.Compare(b.OldestDue, a.OldestDue), cmp.Compare(a.EndpointID, b.EndpointID))
	})
	return list[:min(limit, len(list))], nil
}
