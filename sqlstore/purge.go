package sqlstore

import (
	"context"
	"database/sql"
	"slices"
	"sync"
)

// purgeCursor is where the last purge stopped in the history. It only saves
// work: what is old and unfinished is not looked at in each call. Losing it loses
// nothing, and each process has its own.
type purgeCursor struct {
	mu       sync.Mutex
	delivery key
	endpoint int64
}

// purge forgets what ended before the given time, in the order of its creation,
// and looks at no more than limit rows of each kind.
func (m *upkeep) purge(ctx context.Context, before int64) error {
	c := &m.s.purged
	c.mu.Lock()
	defer c.mu.Unlock()
	n, next, err := m.purgeDeliveries(ctx, c.delivery, before)
	if err != nil {
		return err
	}
	c.delivery = next
	events, seen, err := m.purgeUnmatched(ctx, before)
	if err != nil {
		return err
	}
	revisions, err := m.purgeRevisions(ctx, before)
	if err != nil {
		return err
	}
	tallies, err := m.purgeTallies(ctx, before)
	if err != nil {
		return err
	}
	endpoints, after, err := m.purgeEndpoints(ctx, c.endpoint, before)
	if err != nil {
		return err
	}
	c.endpoint = after
	m.out.Purged += n + events + endpoints
	m.out.PurgeMore = next != (key{}) || seen == m.limit || revisions == m.limit || tallies || after != 0
	m.out.More = m.out.More || m.out.PurgeMore
	return nil
}

// purgeDeliveries returns how many rows went and where to go on: the zero key
// when the end was reached.
func (m *upkeep) purgeDeliveries(ctx context.Context, from key, before int64) (n int, next key, err error) {
	err = m.s.write(ctx, func(t *txn) error {
		n, next = 0, key{}
		old := make(map[key]oldDelivery)
		var keys []key
		seen, last, end := 0, key{}, false
		err := t.query(ctx, m.s.sql.OldDeliveries, func(r *sql.Rows) error {
			var event key
			var endpoint, created, done int64
			var status int
			if err := r.Scan(&last, &event, &endpoint, &status, &created, &done); err != nil {
				return err
			}
			seen++
			end = end || created >= before
			if status != statusQueued && status != statusLeased && done < before {
				old[last] = oldDelivery{event: event, endpoint: endpoint}
				keys = append(keys, last)
			}
			return nil
		}, m.s.dialect.keyArg(from), m.limit)
		if err != nil {
			return err
		}
		if !end && seen == m.limit {
			next = last
		}
		if len(keys) > 0 {
			n, err = m.deleteDeliveries(ctx, t, keys, old, before)
		}
		return err
	})
	return n, next, err
}

// oldDelivery is a delivery that seems to have ended long ago.
type oldDelivery struct {
	event    key
	endpoint int64
}

// deleteDeliveries deletes those deliveries that have ended before the given
// time. It locks them before it asks: a Redeliver or a Replay may have made one
// pending again since it was read.
func (m *upkeep) deleteDeliveries(ctx context.Context, t *txn, keys []key, old map[key]oldDelivery, before int64) (int, error) {
	var gone, events []key
	var history []listed
	asked := make(map[key]bool)
	err := readDeliveries(ctx, t, &m.s.sql.LockDeliveries, keys, func(d loggedDelivery) {
		if d.status == statusQueued || d.status == statusLeased || d.ends >= before {
			return
		}
		gone = append(gone, d.k)
		o := old[d.k]
		history = append(history, listed{o.endpoint, d.k})
		if !asked[o.event] {
			asked[o.event] = true
			events = append(events, o.event)
		}
	})
	if err != nil {
		return 0, err
	}
	sq := m.s.sql
	if err := t.execAll(ctx, sq.DeleteAttempts.of(gone), sq.DeleteDeliveries.of(gone)); err != nil {
		return 0, err
	}
	n, err := m.s.deleteEvents(ctx, t, events)
	if err != nil || !m.s.dialect.history {
		return len(gone) + n, err
	}
	return len(gone) + n, t.execAll(ctx, sq.DropHistory.of(history))
}

// deleteEvents deletes those of the events that have no delivery. Each is locked
// before that is asked, so that a Replay that gives one a delivery at this
// moment comes before or after.
func (s *Store) deleteEvents(ctx context.Context, t *txn, events []key) (n int, err error) {
	var free []key
	ignore := func(r *sql.Rows) error { return r.Scan(new(key), new(any)) }
	if err := t.queryAll(ctx, s.sql.LockEvents.of(events), ignore); err != nil {
		return 0, err
	}
	err = t.queryAll(ctx, s.sql.Unreferenced.of(events), func(r *sql.Rows) error {
		var k key
		err := r.Scan(&k)
		free = append(free, k)
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(free), s.dropEvents(ctx, t, free)
}

// purgeUnmatched forgets events that nobody was subscribed to.
func (m *upkeep) purgeUnmatched(ctx context.Context, before int64) (n, seen int, err error) {
	err = m.s.write(ctx, func(t *txn) (err error) {
		n, seen, err = m.s.dropUnmatched(ctx, t, m.s.sql.OldUnmatched, func(r *sql.Rows) (unmatched, error) {
			var u unmatched
			err := r.Scan(&u.account, &u.created, &u.event)
			return u, err
		}, before, m.limit)
		return err
	})
	return n, seen, err
}

// purgeEndpoints forgets endpoints that were deleted before the given time and have no
// delivery and no revision left. It returns how many went, and where to go on: 0 when the end was
// reached.
func (m *upkeep) purgeEndpoints(ctx context.Context, from, before int64) (n int, next int64, err error) {
	var old []int64
	seen := 0
	err = m.s.read(ctx, func(t *txn) error {
		old, seen, next = nil, 0, 0
		return t.query(ctx, m.s.sql.OldEndpoints, func(r *sql.Rows) error {
			var gone bool
			seen++
			err := r.Scan(&next, &gone)
			if gone {
				old = append(old, next)
			}
			return err
		}, before, from, m.limit)
	})
	if seen < m.limit {
		next = 0
	}
	if err != nil || len(old) == 0 {
		return 0, next, err
	}
	err = m.s.write(ctx, func(t *txn) error {
		n = 0
		for _, num := range old {
			r, err := t.execResult(ctx, m.s.sql.DropEndpoint, num, num, num)
			if err != nil {
				return err
			}
			dropped, err := r.RowsAffected()
			if err != nil {
				return err
			}
			n += int(dropped)
		}
		return nil
	})
	return n, next, err
}

// dropUnmatched deletes events that nobody was subscribed to, as a statement finds
// them. One that has got a delivery since, by a Replay, goes with that.
func (s *Store) dropUnmatched(
	ctx context.Context, t *txn, text string, scan func(*sql.Rows) (unmatched, error), args ...any,
) (n, seen int, err error) {
	var list []unmatched
	var events []key
	err = t.query(ctx, text, func(r *sql.Rows) error {
		u, err := scan(r)
		list = append(list, u)
		events = append(events, u.event)
		return err
	}, args...)
	if seen = len(list); err != nil || seen == 0 {
		return 0, seen, err
	}
	slices.SortFunc(events, compareKeys)
	if n, err = s.deleteEvents(ctx, t, events); err != nil {
		return 0, seen, err
	}
	return n, seen, t.execAll(ctx, s.sql.DropUnmatched.of(list))
}
