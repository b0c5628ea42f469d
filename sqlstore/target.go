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

// targetsOf returns the targets of endpoints, given by number with the version
// that they are known to have, and reads those that the cache does not have.
func (s *Store) targetsOf(ctx context.Context, t *txn, want map[int64]int64) (map[int64]*webhook.Target, error) {
	targets := make(map[int64]*webhook.Target, len(want))
	var missing []number
	for num, version := range want {
		if c, ok := s.targets.get(num); ok && c.version == version {
			targets[num] = c.target
			continue
		}
		missing = append(missing, number(num))
	}
	err := t.queryAll(ctx, s.sql.Targets.of(missing), func(r *sql.Rows) error {
		num, c, err := s.scanTarget(r)
		if err != nil {
			return err
		}
		if c.target.Err == nil { // what cannot be read may be mended without a new version
			s.targets.put(num, c)
			s.nums.put(c.target.EndpointID, num)
		}
		targets[num] = c.target
		return nil
	})
	return targets, err
}

// targetColumns are what scanTarget reads, after the number.
const targetColumns = `id, account, url, headers, secrets, version, generation`

// scanTarget reads a target. Its Err says what cannot be read of it.
func (s *Store) scanTarget(r *sql.Rows) (num int64, c cachedTarget, err error) {
	var headers, secrets string
	var bad unread
	tg := &webhook.Target{}
	c.target = tg
	dst := columnsOf(&bad, targetColumns, &tg.EndpointID, &tg.AccountID, &tg.URL, &headers, &secrets, &c.version, &tg.Generation)
	if err := r.Scan(append([]any{&num}, dst...)...); err != nil {
		return num, c, err
	}
	tg.Headers, _, err = s.keys.openHeaders(tg.EndpointID, headers)
	bad.add(partHeaders, err)
	tg.Revision = c.version
	if tg.URL != "" || secrets != noSecrets { // otherwise deleted in between
		tg.Secrets, err = s.keys.openSecrets(tg.EndpointID, secrets)
		bad.add(partSecrets, err)
	}
	if tg.Err = bad.err(tg.EndpointID); tg.Err != nil {
		tg.URL, tg.Headers, tg.Secrets = "", nil, nil
	}
	return num, c, nil
}
