package sqlstore

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringyo-ai/webhook"
)

// QueueStats implements [webhook.Log]. It counts: its cost grows with what is
// not finished.
func (s *Store) QueueStats(ctx context.Context, accountID, endpointID string) (webhook.QueueStats, error) {
	if endpointID != "" {
		all, err := s.QueueStatsOf(ctx, accountID, []string{endpointID})
		q, known := all[endpointID]
		if err == nil && !known {
			err = webhook.ErrNotFound
		}
		return q, err
	}
	var q webhook.QueueStats
	err := s.snapshot(ctx, func(t *txn) error {
		q = webhook.QueueStats{}
		now, err := t.clock(ctx)
		if err != nil {
			return err
		}
		if err := s.countLeased(ctx, t, func(int64) { q.Leased++ }); err != nil {
			return err
		}
		return t.query(ctx, s.sql.Stats, func(r *sql.Rows) error {
			var state, oldest int64
			var active bool
			var n int
			err := r.Scan(&state, &active, &n, &oldest)
			addState(&q, state, active, n, time.Duration(now-oldest)*time.Microsecond)
			return err
		})
	})
	return found(s, "queue stats", q, err)
}

// endpointStats returns the statement for what the queue has of some endpoints: a row for
// each of them, and one for its waiting rows, if any. Each count but that one is asked for
// by itself, since an index has the rows of one endpoint in one state; waiting ones are
// by time alone.
func endpointStats(marks, clock string) string {
	const of = ` from {p}queue q where q.endpoint = p.num and `
	return `
		with p as (
			select num, id, case when status in (1, 2, 4, 5) then 1 else 0 end as active
			from {p}endpoint where id in (` + marks + `) and account = ? and status <> 0)
		select p.num, p.id, p.active, ` + clock + `,
			(select count(*)` + of + `q.state = 0), coalesce((select min(q.due)` + of + `q.state = 0), 0),
			(select count(*)` + of + `q.state > 5 and q.state in (6, 7)), coalesce((select min(q.due)` + of + `q.state > 5 and q.state in (6, 7)), 0),
			(select count(*)` + of + `q.state = 4), 0
		from p
		union all
		select q.endpoint, '', 0, 0, 0, 0, 0, 0, 0, count(*) from {p}queue q
		where q.state = 5 and q.endpoint in (select num from p) group by q.endpoint`
}

// QueueStatsOf implements [webhook.Log].
func (s *Store) QueueStatsOf(ctx context.Context, accountID string, endpointIDs []string) (map[string]webhook.QueueStats, error) {
	marks, args := some(endpointIDs)
	if len(args) == 0 || checkText("", accountID, maxAccount) != nil {
		return map[string]webhook.QueueStats{}, nil
	}
	var stats map[string]webhook.QueueStats
	err := s.snapshot(ctx, func(t *txn) error {
		stats = make(map[string]webhook.QueueStats, len(args))
		ids := make(map[int64]string, len(args))
		counts := make(map[int64]*webhook.QueueStats, len(args))
		clock := s.sql.Clock
		if s.dialect.ownClock {
			now, err := t.clock(ctx)
			if err != nil {
				return err
			}
			clock = strconv.FormatInt(now, 10)
		}
		err := t.queryOnce(ctx, endpointStats(marks, clock), func(r *sql.Rows) error {
			var num, now int64
			var id string
			var active bool
			var ready, parked, held, waiting int
			var readyDue, parkedDue int64
			if err := r.Scan(&num, &id, &active, &now, &ready, &readyDue, &parked, &parkedDue, &held, &waiting); err != nil {
				return err
			}
			q := counts[num]
			if q == nil {
				q = &webhook.QueueStats{}
				counts[num] = q
			}
			q.Waiting += waiting
			if id != "" {
				ids[num] = id
				addState(q, stateReady, active, ready, time.Duration(now-readyDue)*time.Microsecond)
				addState(q, stateParked, active, parked, time.Duration(now-parkedDue)*time.Microsecond)
				addState(q, stateHeld, active, held, 0)
			}
			return nil
		}, append(args, accountID)...)
		if err != nil {
			return err
		}
		err = s.countLeased(ctx, t, func(endpoint int64) {
			if q := counts[endpoint]; q != nil {
				q.Leased++
			}
		})
		for num, id := range ids {
			stats[id] = *counts[num]
		}
		return err
	})
	return found(s, "queue stats", stats, err)
}

// addState adds n rows in a state.
func addState(q *webhook.QueueStats, state int64, active bool, n int, oldest time.Duration) {
	switch {
	case n == 0:
	case state == stateWaiting:
		q.Waiting += n
	case state != stateHeld && active:
		q.Ready += n
		q.OldestReady = max(q.OldestReady, oldest)
	default:
		q.Held += n // Maintain has yet to hold what is ready here
	}
}

// leasesAtOnce is how many leases are read in one piece.
const leasesAtOnce = 100

// countLeased calls count with the endpoint of each delivery that is leased.
func (s *Store) countLeased(ctx context.Context, t *txn, count func(endpoint int64)) error {
	for after := (lease{}); ; {
		list, err := readLeases(ctx, t, s.sql.Leases, after.due, after.due, after.token, leasesAtOnce)
		if err != nil {
			return err
		}
		of := make(map[leasedKey]bool)
		var keys []key
		for _, l := range list {
			for _, k := range l.keys {
				of[leasedKey{k, l.token}] = true
			}
			keys = append(keys, l.keys...)
			after = l.lease
		}
		slices.SortFunc(keys, compareKeys)
		err = s.readLeased(ctx, t, slices.Compact(keys), func(k key, endpoint, token int64) {
			if of[leasedKey{k, token}] {
				count(endpoint)
			}
		})
		if err != nil || len(list) < leasesAtOnce {
			return err
		}
	}
}

// readLeased calls take for those of the deliveries that are leased. Where there are no
// arrays it asks for many with one statement.
func (s *Store) readLeased(ctx context.Context, t *txn, keys []key, take func(k key, endpoint, token int64)) error {
	if !s.dialect.oneWriter {
		return readDeliveries(ctx, t, &s.sql.ReadLeased, keys, func(d loggedDelivery) {
			if d.status == statusLeased {
				take(d.k, d.endpoint, d.token)
			}
		})
	}
	for some := range slices.Chunk(keys, maxParameters) {
		args := make([]any, len(some))
		for i, k := range some {
			args[i] = s.dialect.keyArg(k)
		}
		err := t.queryOnce(ctx, `select id, endpoint, token from {p}delivery where id in (?`+strings.Repeat(`, ?`, len(args)-1)+`) and status = 1`,
			func(r *sql.Rows) error {
				var k key
				var endpoint, token int64
				err := r.Scan(&k, &endpoint, &token)
				take(k, endpoint, token)
				return err
			}, args...)
		if err != nil {
			return err
		}
	}
	return nil
}
