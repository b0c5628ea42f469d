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
