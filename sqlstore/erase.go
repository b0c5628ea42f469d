package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/ringyo-ai/webhook"
)

// RedactEvent implements [webhook.Eraser]. An event without data is one that was
// redacted, since what is emitted has some. The event is locked first, so that a
// Replay that gives it a delivery at this moment comes before or after.
func (s *Store) RedactEvent(ctx context.Context, accountID, id string) error {
	if checkText("", accountID, maxAccount) != nil || checkText("", id, maxID) != nil {
		return webhook.ErrNotFound
	}
	return s.failed("redact event", s.write(ctx, func(t *txn) error {
		k, size := s.dialect.keyArg(eventKey(accountID, id)), 0
		err := t.row(ctx, s.sql.LockEvent, k, accountID, id).Scan(new(any), &size)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return webhook.ErrNotFound
		case err != nil || size == 0:
			return err
		}
		if err := t.exec(ctx, s.sql.BlankEvent, k); err != nil {
			return err
		}
		keys, err := readKeys(ctx, t, s.sql.DeliveriesAt, k)
		if err != nil {
			return err
		}
		return s.redact(ctx, t, keys)
	}))
}

func readKeys(ctx context.Context, t *txn, text string, args ...any) (keys []key, err error) {
	err = t.query(ctx, text, func(r *sql.Rows) error {
		var k key
		err := r.Scan(&k)
		keys = append(keys, k)
		return err
	}, args...)
	return keys, err
}

// redact cancels those of the deliveries that have not ended, and removes what the
// receivers said to the others. A probe of a paused endpoint makes room for the next.
func (s *Store) redact(ctx context.Context, t *txn, keys []key) error {
	now, err := t.clock(ctx)
	if err != nil {
		return err
	}
	var cancel []cancellation
	var probes []probeTime
	err = s.lockAll(ctx, t, keys, func(d loggedDelivery) {
		switch d.status {
		case statusLeased:
			probes = append(probes, probeTime{now, d.token, d.endpoint})
			fallthrough
		case statusQueued:
			cancel = append(cancel, cancellation{now, d.k, webhook.ReasonEventRedacted})
		}
	})
	if err != nil {
		return err
	}
	sortProbes(probes)
	sq := s.sql
	return t.execAll(ctx, sq.DeleteQueue.of(keys), sq.Cancel.of(cancel), sq.BlankAttempts.of(keys), sq.BlankDeliveries.of(keys),
		sq.UnsetProbes.of(probes))
}

// lockAll locks deliveries, which are in order, and reads them: those that are queued
// in the queue before, as Claim does.
func (s *Store) lockAll(ctx context.Context, t *txn, keys []key, take func(loggedDelivery)) error {
	if !s.dialect.oneWriter {
		if err := t.queryAll(ctx, s.sql.LockQueue.of(keys), ignoreRow); err != nil {
			return err
		}
	}
	return readDeliveries(ctx, t, &s.sql.LockDeliveries, keys, take)
}

// dropErased drops of the rows that have no event, or one without data, those that
// RedactEvent or DeleteAccount took out of the claim's hands before it was read. If
// that cannot be found out they stay, and the caller gives them back.
func (c *claim) dropErased(ctx context.Context) {
	var keys []key
	lost := make(map[key]bool)
	for _, row := range c.rows {
		if errors.Is(row.err, errNoEvent) || errors.Is(row.err, errNoData) {
			keys = append(keys, row.k)
			lost[row.k] = true
		}
	}
	if len(keys) == 0 {
		return
	}
	slices.SortFunc(keys, compareKeys)
	err := c.s.read(ctx, func(t *txn) error {
		return readDeliveries(ctx, t, &c.s.sql.ReadLeased, keys, func(d loggedDelivery) {
			if d.status == statusLeased && d.token == c.token {
				delete(lost, d.k)
			}
		})
	})
	if err == nil {
		c.rows = slices.DeleteFunc(c.rows, func(row claimed) bool { return lost[row.k] })
		c.s.leases.settle(map[int64]int{c.token: len(lost)}, nil)
	}
}

// An account is deleted in the order of its endpoints' numbers. The cursor is where
// to go on: behind an endpoint whose deliveries are gone, or at one of these.
const (
	liveEndpoints  = -1 // which are deleted before anything else
	unmatchedStage = math.MaxInt64
)

// DeleteAccount implements [webhook.Eraser]. Events are found by their deliveries, or
// among those that have none, as by Replay. The rows of the endpoints stay, as after
// DeleteEndpoint: what a transaction adds late is found by them.
func (s *Store) DeleteAccount(ctx context.Context, r webhook.AccountDelete) (webhook.AccountDeleted, error) {
	if r.Limit < 1 {
		return webhook.AccountDeleted{}, invalid("Limit", "must be at least 1")
	}
	d := &accountDeletion{s: s, account: r.AccountID, limit: r.Limit, at: liveEndpoints}
	if r.Cursor != "" {
		var err error
		if d.at, err = strconv.ParseInt(r.Cursor, 10, 64); err != nil || d.at < liveEndpoints {
			return webhook.AccountDeleted{}, invalid("Cursor", "is not one that the store returned")
		}
	}
	if checkText("", r.AccountID, maxAccount) != nil {
		return webhook.AccountDeleted{}, nil
	}
	if err := d.run(ctx); err != nil {
		return webhook.AccountDeleted{}, s.failed("delete account", err)
	}
	return d.out, nil
}

// accountDeletion is one DeleteAccount call at work. Each piece is a transaction of
// its own.
type accountDeletion struct {
	s       *Store
	account string
	limit   int
	at      int64
	out     webhook.AccountDeleted
}

func (d *accountDeletion) run(ctx context.Context) error {
	if d.at == liveEndpoints {
		done, err := d.endpoints(ctx)
		if err != nil || !done {
			d.out.Next = strconv.FormatInt(d.at, 10)
			return err
		}
		d.at = 0
	}
	if d.at != unmatchedStage {
		done, err := d.deliveries(ctx)
		if err != nil || !done {
			d.out.Next = strconv.FormatInt(d.at, 10)
			return err
		}
		d.at = unmatchedStage
	}
	if err := d.unmatched(ctx); err != nil {
		return err
	}
	return d.marks(ctx)
}

// endpoints deletes the endpoints that are left, and forgets them in this process.
// Without any it writes nothing, not even that there is such an account.
func (d *accountDeletion) endpoints(ctx context.Context) (done bool, err error) {
	live := make(map[int64]string)
	read := func(t *txn) error {
		clear(live)
		return t.query(ctx, d.s.sql.LiveEndpoints, func(r *sql.Rows) error {
			var num int64
			var id string
			err := r.Scan(&num, &id)
			live[num] = id
			return err
		}, d.account, 0, d.limit)
	}
	if err := d.s.read(ctx, read); err != nil || len(live) == 0 {
		return err == nil, err
	}
	err = d.s.write(ctx, func(t *txn) error {
		if err := d.s.touch(ctx, t, d.account); err != nil {
			return err
		}
		now, err := t.clock(ctx)
		if err != nil {
			return err
		}
		if err := read(t); err != nil { // with the account locked
			return err
		}
		for _, num := range slices.Sorted(maps.Keys(live)) {
			if err := t.exec(ctx, d.s.sql.DeleteSubscriptions, num); err != nil {
				return err
			}
			if err := t.exec(ctx, d.s.sql.DeleteEndpoint, now, num); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	d.out.Endpoints = len(live)
	d.forget(live)
	return len(live) < d.limit, nil
}

// forget takes the endpoints, their secrets and who wants which events out of the
// caches of this process. Those of others forget what they do not use.
func (d *accountDeletion) forget(gone map[int64]string) {
	ids := make(map[string]bool, len(gone))
	for _, id := range gone {
		ids[id] = true
	}
	is := func(num int64) bool { return gone[num] != "" }
	d.s.targets.removeIf(is)
	d.s.paces.removeIf(is)
	d.s.nums.removeIf(func(id string) bool { return ids[id] })
	d.s.matches.removeIf(func(t topic) bool { return t.account == d.account })
}

// deliveries deletes those of the account's endpoints, at most about limit, and the
// revisions of these endpoints.
func (d *accountDeletion) deliveries(ctx context.Context) (done bool, err error) {
	var nums []int64
	err = d.s.read(ctx, func(t *txn) error {
		nums = nil
		return t.query(ctx, d.s.sql.EndpointsFrom, func(r *sql.Rows) error {
			var num int64
			err := r.Scan(&num, new(any))
			nums = append(nums, num)
			return err
		}, d.account, d.at, sourcesAtOnce)
	})
	if err != nil {
		return false, err
	}
	for _, num := range nums {
		for {
			left := d.limit - d.out.Deliveries
			if left <= 0 {
				return false, nil
			}
			n, err := d.deliveriesOf(ctx, num, left)
			if err != nil {
				return false, err
			}
			if n < left {
				break
			}
		}
		err := d.s.write(ctx, func(t *txn) error {
			if err := d.s.dropTallies(ctx, t, num); err != nil {
				return err
			}
			return t.exec(ctx, d.s.sql.DropRevisionsTo, num, math.MaxInt64)
		})
		if err != nil {
			return false, err
		}
		d.at = num
	}
	return len(nums) < sourcesAtOnce, nil
}

// deliveriesOf deletes deliveries of one endpoint, whatever their status, and the
// events that have no other. Leases may name them for a while: who finds one then
// finds no delivery.
func (d *accountDeletion) deliveriesOf(ctx context.Context, num int64, limit int) (n int, err error) {
	s := d.s
	deleted, events := 0, 0
	err = s.write(ctx, func(t *txn) error {
		deleted, events = 0, 0
		of := make(map[key]key)
		var keys []key
		err := t.query(ctx, s.sql.AnyOf, func(r *sql.Rows) error {
			var k, event key
			err := r.Scan(&k, &event)
			of[k] = event
			keys = append(keys, k)
			return err
		}, num, limit)
		if n = len(keys); err != nil || n == 0 {
			return err
		}
		slices.SortFunc(keys, compareKeys)
		locked, history, parents := make([]key, 0, n), make([]listed, 0, n), make([]key, 0, n)
		err = s.lockAll(ctx, t, keys, func(l loggedDelivery) {
			locked = append(locked, l.k)
			history = append(history, listed{num, l.k})
			parents = append(parents, of[l.k])
		})
		if err != nil {
			return err
		}
		slices.SortFunc(parents, compareKeys)
		parents = slices.Compact(parents)
		sq := s.sql
		err = t.execAll(ctx, sq.DeleteQueue.of(locked), sq.DeleteAttempts.of(locked), sq.DeleteDeliveries.of(locked))
		if err != nil {
			return err
		}
		deleted = len(locked)
		if events, err = s.deleteEvents(ctx, t, parents); err != nil || !s.dialect.history {
			return err
		}
		return t.execAll(ctx, sq.DropHistory.of(history))
	})
	d.out.Deliveries += deleted
	d.out.Events += events
	return n, err
}

// unmatched deletes the events that nobody was subscribed to.
func (d *accountDeletion) unmatched(ctx context.Context) error {
	n, seen := 0, 0
	err := d.s.write(ctx, func(t *txn) (err error) {
		n, seen, err = d.s.dropUnmatched(ctx, t, d.s.sql.UnmatchedAt, func(r *sql.Rows) (unmatched, error) {
			u := unmatched{account: d.account}
			err := r.Scan(&u.created, &u.event)
			return u, err
		}, d.account, d.limit)
		return err
	})
	d.out.Events += n
	if seen == d.limit {
		d.out.Next = strconv.FormatInt(unmatchedStage, 10)
	}
	return err
}

// marks deletes idempotency keys.
func (d *accountDeletion) marks(ctx context.Context) error {
	more := false
	err := d.s.write(ctx, func(t *txn) (err error) {
		more, err = d.s.dropMarksOf(ctx, t, d.account, d.limit)
		return err
	})
	if more {
		d.out.Next = strconv.FormatInt(unmatchedStage, 10)
	}
	return err
}
