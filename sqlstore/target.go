package sqlstore

import (
	"context"
	"database/sql"

	"github.com/ringyo-ai/webhook"
)

// cachedTarget is a Target as of one version of its endpoint.
type cachedTarget struct {
	version int64
	target  *webhook.Target
}

// targetsOf answers the targets of endpoints, given by number with the version
// that they are known to have, and reads those that the cache does not have.
func (s *Store) targetsOf(ctx context.Context, t *txn, want map[int64]int64) (map[int64]*webhook.Target, error) {
	targets := make(map[int64]*webhook.Target, len(want))
	var missing [][]any
	for num, version := range want {
		if c, ok := s.targets.get(num); ok && c.version == version {
			targets[num] = c.target
			continue
		}
		missing = append(missing, []any{num})
	}
	err := t.bulk(ctx, &s.sql.Targets, missing, func(r *sql.Rows) error {
		num, c, err := s.scanTarget(r)
		if err != nil {
			return err
		}
		s.targets.put(num, c)
		s.nums.put(c.target.EndpointID, num)
		targets[num] = c.target
		return nil
	})
	return targets, err
}

func (s *Store) scanTarget(r *sql.Rows) (num int64, c cachedTarget, err error) {
	var headers, secrets string
	tg := &webhook.Target{}
	err = r.Scan(&num, &tg.EndpointID, &tg.AccountID, &tg.URL, &headers, &secrets, &c.version, &tg.Generation)
	if err != nil {
		return num, c, err
	}
	if err := fromJSON(headers, "headers", &tg.Headers); err != nil {
		return num, c, err
	}
	if tg.Secrets, err = s.keys.open(tg.EndpointID, secrets); err != nil {
		return num, c, err
	}
	c.target = tg
	return num, c, nil
}

// slotsByNum answers the free slots by endpoint number. An id of no endpoint is
// left out: nothing of it can be leased.
func (s *Store) slotsByNum(ctx context.Context, t *txn, terms webhook.LeaseTerms) (map[int64]int, error) {
	slots := make(map[int64]int, len(terms.Slots))
	if terms.Max <= 0 {
		return slots, nil
	}
	free := make(map[string]int)
	var missing [][]any
	for _, sl := range terms.Slots {
		if num, ok := s.nums.get(sl.EndpointID); ok {
			slots[num] = sl.Free
			continue
		}
		if checkText("", sl.EndpointID, maxID) == nil {
			free[sl.EndpointID] = sl.Free
			missing = append(missing, []any{sl.EndpointID})
		}
	}
	err := t.bulk(ctx, &s.sql.EndpointNums, missing, func(r *sql.Rows) error {
		var id string
		var num int64
		if err := r.Scan(&id, &num); err != nil {
			return err
		}
		s.nums.put(id, num)
		slots[num] = free[id]
		return nil
	})
	return slots, err
}
