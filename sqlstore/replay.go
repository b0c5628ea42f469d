package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/ringyo-ai/webhook"
)

// Redeliver implements [webhook.Log].
func (s *Store) Redeliver(ctx context.Context, accountID, deliveryID string) (webhook.Delivery, error) {
	var out webhook.Delivery
	err := s.write(ctx, func(t *txn) error {
		k, ok := parseKey(deliveryID)
		if !ok {
			return webhook.ErrNotFound
		}
		// Locked before it is read, in the order of Settle.
		if err := s.lock(ctx, t, []key{k}); err != nil {
			return err
		}
		row, endpoint, err := s.deliveryAndEndpoint(ctx, t, accountID, deliveryID)
		if err == nil && endpoint == endpointDeleted {
			err = webhook.ErrNotFound
		}
		if err != nil {
			return err
		}
		if row.state != stateLeased {
			now, err := t.clock(ctx)
			if err != nil {
				return err
			}
			if err := s.restart(ctx, t, []restarted{{k: k, status: endpoint}}, now); err != nil {
				return err
			}
			row, err = s.delivery(ctx, t, accountID, deliveryID)
			if err != nil {
				return err
			}
		}
		out = row.Delivery
		return nil
	})
	return out, s.failed("redeliver", err)
}

// lock locks the rows of deliveries.
func (s *Store) lock(ctx context.Context, t *txn, keys []key) error {
	rows := make([][]any, len(keys))
	for i, k := range keys {
		rows[i] = []any{k}
	}
	ignore := func(*sql.Rows) error { return nil }
	if err := t.bulk(ctx, &s.sql.LockQueue, rows, ignore); err != nil {
		return err
	}
	return t.bulk(ctx, &s.sql.LockDeliveries, rows, ignore)
}

// restarted is a delivery that gets a full schedule again, and the status of its
// endpoint.
type restarted struct {
	k      key
	status int
}

// restart makes deliveries, which are locked and not leased, pending: their row
// of the queue is made anew from the log.
func (s *Store) restart(ctx context.Context, t *txn, list []restarted, now int64) error {
	var old, queue, log [][]any
	for _, d := range list {
		old = append(old, []any{d.k})
		queue = append(queue, []any{stateAt(d.status, now, now), now, d.k})
	}
	// What is unfinished has its attempts counted in the queue alone.
	if err := t.bulk(ctx, &s.sql.CountMade, old, func(r *sql.Rows) error {
		var k key
		var made int
		err := r.Scan(&k, &made)
		log = append(log, []any{statusPending, made, 0, "", k})
		return err
	}); err != nil {
		return err
	}
	if err := t.bulk(ctx, &s.sql.Finish, log, nil); err != nil {
		return err
	}
	if err := t.bulk(ctx, &s.sql.DeleteQueue, old, nil); err != nil {
		return err
	}
	return t.bulk(ctx, &s.sql.QueueAgain, queue, nil)
}

// Replay implements [webhook.Log]. It goes from the oldest event to the newest;
// the cursor is the time and the number of the last one.
func (s *Store) Replay(ctx context.Context, r webhook.ReplayRequest) (webhook.Replayed, error) {
	p := &replay{s: s, limit: max(1, r.Limit), since: toMicros(r.Since)}
	if r.Cursor != "" {
		if _, err := fmt.Sscanf(r.Cursor, "%d_%d", &p.since, &p.after); err != nil {
			return webhook.Replayed{}, invalid("Cursor", "is not one that the store answered")
		}
	}
	var out webhook.Replayed
	err := s.write(ctx, func(t *txn) (err error) {
		rec, num, err := s.endpointWithNum(ctx, t, s.sql.GetEndpoint, r.AccountID, r.EndpointID)
		if err != nil {
			return err
		}
		p.rec, p.num = &rec, num
		out, err = p.run(ctx, t)
		return err
	})
	if err != nil {
		return webhook.Replayed{}, s.failed("replay", err)
	}
	return out, nil
}

// replay is one Replay call at work.
type replay struct {
	s            *Store
	rec          *webhook.EndpointRecord
	num          int64
	since, after int64
	limit        int
}

func (p *replay) run(ctx context.Context, t *txn) (out webhook.Replayed, err error) {
	now, err := t.clock(ctx)
	if err != nil {
		return out, err
	}
	events, next, err := p.events(ctx, t)
	if err != nil {
		return out, err
	}
	// Locked against the purge, which asks for deliveries once it has the lock.
	found := make(map[int64]bool)
	var rows, pairs [][]any
	for _, num := range events {
		rows = append(rows, []any{num})
	}
	err = t.bulk(ctx, &p.s.sql.LockEvents, rows, func(r *sql.Rows) error {
		var num int64
		err := r.Scan(&num)
		found[num] = true
		pairs = append(pairs, []any{num, p.num})
		return err
	})
	if err != nil {
		return out, err
	}
	again, err := p.existing(ctx, t, pairs, found)
	if err != nil {
		return out, err
	}
	if err := p.s.restart(ctx, t, again, now); err != nil {
		return out, err
	}
	created, err := p.create(ctx, t, events, found, now)
	return webhook.Replayed{Count: len(again) + created, Next: next}, err
}

// events answers the next events that match the subscription.
func (p *replay) events(ctx context.Context, t *txn) (nums []int64, next string, err error) {
	var last, at int64
	seen := 0
	err = t.query(ctx, p.s.sql.Timeline, func(r *sql.Rows) error {
		var typ webhook.EventType
		if seen++; seen > p.limit {
			next = fmt.Sprintf("%d_%d", at, last)
			return nil
		}
		if err := r.Scan(&last, &typ, &at); err != nil {
			return err
		}
		for _, pattern := range typ.Patterns() {
			if slices.Contains(p.rec.Events, pattern) {
				nums = append(nums, last)
				break
			}
		}
		return nil
	}, p.rec.AccountID, p.since, p.since, p.after, p.limit+1)
	return nums, next, err
}

// existing answers the deliveries that ended undelivered, and takes every event
// that has a delivery out of found.
func (p *replay) existing(ctx context.Context, t *txn, pairs [][]any, found map[int64]bool) (again []restarted, err error) {
	status := statusNumber[p.rec.Status]
	err = t.bulk(ctx, &p.s.sql.DeliveriesOf, pairs, func(r *sql.Rows) error {
		var k key
		var event int64
		var was int
		err := r.Scan(&k, &event, &was)
		delete(found, event)
		if was == statusExhausted || was == statusCancelled {
			again = append(again, restarted{k: k, status: status})
		}
		return err
	})
	return again, err
}

// create makes the deliveries that are missing.
func (p *replay) create(ctx context.Context, t *txn, events []int64, found map[int64]bool, now int64) (n int, err error) {
	state := stateAt(statusNumber[p.rec.Status], now, now)
	var deliveries, queue [][]any
	for _, num := range events {
		if found[num] {
			k := newKey()
			deliveries = append(deliveries, []any{k, num, p.num, now})
			queue = append(queue, []any{k, num, p.num, state, now, int64(0)})
		}
	}
	if err := t.bulk(ctx, &p.s.sql.InsertDeliveries, deliveries, nil); err != nil {
		return 0, err
	}
	return len(deliveries), t.bulk(ctx, &p.s.sql.InsertQueue, queue, nil)
}
