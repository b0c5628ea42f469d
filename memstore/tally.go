package memstore

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/ringyo-ai/webhook"
)

// oldTally is the tally of one hour, if its endpoint still has it.
type oldTally struct {
	ep   *endpoint
	hour int64 // Unix seconds
}

// tally counts a settlement that was applied.
func (s *Store) tally(ep *endpoint, st *webhook.Settlement, now time.Time) {
	hour := now.Truncate(time.Hour)
	t := ep.tallies[hour.Unix()]
	if t == nil {
		if ep.tallies == nil {
			ep.tallies = make(map[int64]*webhook.Tally)
		}
		t = &webhook.Tally{Hour: hour}
		ep.tallies[hour.Unix()] = t
		s.tallied = append(s.tallied, oldTally{ep, hour.Unix()})
		if len(s.tallied) > s.history {
			s.purgeTally()
		}
	}
	t.Add(st.Tallied())
}

// purgeTally forgets the one that began first.
func (s *Store) purgeTally() {
	old := s.tallied[0]
	s.tallied[0] = oldTally{}
	s.tallied = s.tallied[1:]
	delete(old.ep.tallies, old.hour)
}

// Tallies implements [webhook.Tallier].
func (s *Store) Tallies(ctx context.Context, accountID string, q webhook.TallyQuery) (map[string][]webhook.Tally, error) {
	if _, err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	all := make(map[string][]webhook.Tally, len(q.EndpointIDs))
	for _, id := range q.EndpointIDs {
		if ep := s.endpoints[id]; ep != nil && ep.rec.AccountID == accountID {
			all[id] = ep.talliesWithin(q.From, q.Until)
		}
	}
	return all, nil
}

func (e *endpoint) talliesWithin(from, until time.Time) (list []webhook.Tally) {
	for _, hour := range slices.Sorted(maps.Keys(e.tallies)) {
		if t := *e.tallies[hour]; within(t.Hour, from, until) {
			list = append(list, t)
		}
	}
	return list
}

// dropTallies forgets those of an account's deleted endpoints.
func (s *Store) dropTallies(account string) {
	s.tallied = slices.DeleteFunc(s.tallied, func(old oldTally) bool {
		if !old.ep.deleted || old.ep.rec.AccountID != account {
			return false
		}
		old.ep.tallies = nil
		return true
	})
}
