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
func (s *Store) Tallies(ctx context.Context, accountID, endpointID string, from, until time.Time) ([]webhook.Tally, error) {
	if _, err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	ep := s.endpoints[endpointID]
	if ep == nil || ep.rec.AccountID != accountID {
		return nil, webhook.ErrNotFound
	}
	var list []webhook.Tally
	for _, hour := range slices.Sorted(maps.Keys(ep.tallies)) {
		if t := *ep.tallies[hour]; !t.Hour.Before(from) && (until.IsZero() || t.Hour.Before(until)) {
			list = append(list, t)
		}
	}
	return list, nil
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
