package sqlstore

import (
	"context"
	"database/sql"
	"slices"
	"sync"
	"time"
)

// mover is an endpoint whose deliveries have to follow it.
type mover struct {
	num, version int64
	status       int
	probeAt      int64 // as sweep reads it
}

// maxMovers is how many endpoints one call looks at.
const maxMovers = 50

// move holds, releases and cancels the deliveries of endpoints that were
// switched, at most limit in all.
func (m *upkeep) move(ctx context.Context, left *int) error {
	var movers []mover
	err := m.s.read(ctx, func(t *txn) error {
		movers = movers[:0]
		return t.query(ctx, m.s.sql.Moving, func(r *sql.Rows) error {
			var mv mover
			err := r.Scan(&mv.num, &mv.status, &mv.version)
			movers = append(movers, mv)
			return err
		}, maxMovers)
	})
	if err != nil {
		return err
	}
	m.out.More = m.out.More || len(movers) == maxMovers
	return m.moveEach(ctx, movers, left)
}

func (m *upkeep) moveEach(ctx context.Context, movers []mover, left *int) (err error) {
	for _, mv := range movers {
		if *left <= 0 {
			m.out.More = true
			return nil
		}
		if *left, err = m.moveOne(ctx, mv, *left); err != nil {
			return err
		}
	}
	return nil
}

// moveOne moves at most limit rows of one endpoint, and answers what is left of
// the limit. When nothing remains it takes the flag down, unless the endpoint was
// changed again. A pause that begins or ends is no release.
func (m *upkeep) moveOne(ctx context.Context, mv mover, limit int) (left int, err error) {
	var c moved
	var released int
	err = m.s.write(ctx, func(t *txn) error {
		c, left, released = moved{}, limit, 0
		for _, from := range m.sources(mv.status) {
			rows, err := m.rowsOf(ctx, t, from, mv.num, left)
			if err != nil {
				return err
			}
			left -= len(rows)
			ready := c.ready
			if err := m.put(ctx, t, rows, map[int64]int{mv.num: mv.status}, &c); err != nil {
				return err
			}
			if from == m.s.sql.HeldOf {
				released += c.ready - ready
			}
		}
		if left > 0 {
			return t.exec(ctx, m.s.sql.ClearMoving, mv.num, mv.version, mv.status)
		}
		c.more = true
		return nil
	})
	if err != nil {
		return limit, err
	}
	m.out.Held += c.held
	m.out.Released += released
	m.out.Cancelled += c.cancelled
	m.out.More = m.out.More || c.more
	return left, nil
}

// sources returns the statements for what is not where an endpoint's status wants
// it.
func (m *upkeep) sources(status int) []string {
	sq := m.s.sql
	switch {
	case status == endpointDeleted:
		return []string{sq.ReadyOf, sq.HeldOf, sq.BegunOf, sq.ParkedOf}
	case status == endpointInactive:
		return []string{sq.ReadyOf, sq.BegunOf, sq.ParkedOf}
	case isPaused(status):
		return []string{sq.ReadyOf, sq.HeldOf}
	}
	return []string{sq.HeldOf, sq.BegunOf, sq.ParkedOf}
}

func (m *upkeep) rowsOf(ctx context.Context, t *txn, text string, endpoint int64, limit int) (rows []due, err error) {
	if limit <= 0 {
		return nil, nil
	}
	err = t.query(ctx, text, func(r *sql.Rows) error {
		d := due{endpoint: endpoint}
		err := r.Scan(&d.k, &d.due)
		rows = append(rows, d)
		return err
	}, endpoint, limit)
	return rows, err
}

// sweepAtOnce is how many endpoints one call looks at that have held deliveries, and
// that have parked ones, once in sweepEvery, and sweepAgain how many in between.
const (
	sweepAtOnce = 500
	sweepAgain  = 50
	sweepEvery  = time.Second
)

// sweepCursor is how far a sweep has come, and when it last looked at many endpoints.
type sweepCursor struct {
	mu    sync.Mutex
	after int64
	at    time.Time
}

// next returns where to go on, and how many endpoints to look at.
func (c *sweepCursor) next() (after int64, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.at) < sweepEvery {
		return c.after, sweepAgain
	}
	c.at = time.Now()
	return c.after, sweepAtOnce
}

func (c *sweepCursor) set(after int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.after = after
}

// sweep is how endpoints are found that have held or parked deliveries, and which of
// them are to have some.
type sweep struct {
	steps []string // empty ones are none
	right func(mover) bool
}

// sweep looks at some of the endpoints that have held or parked deliveries, in turn,
// and moves those of the others: a transaction that began while its endpoint was
// inactive can hold a delivery long after that was enabled. Where deliveries were
// parked when there seemed to be something else to probe the endpoint with, it asks
// for the probe.
func (m *upkeep) sweep(ctx context.Context, sw sweep, swept *sweepCursor, left *int) error {
	from, n := swept.next()
	var after int64
	var movers []mover
	idle := make(map[int64]bool)
	err := m.s.read(ctx, func(t *txn) error {
		movers = movers[:0]
		clear(idle)
		var nums []int64
		for _, step := range sw.steps {
			if step == "" {
				continue
			}
			err := t.query(ctx, step, func(r *sql.Rows) error {
				var num int64
				err := r.Scan(&num)
				nums = append(nums, num)
				return err
			}, from, n)
			if err != nil {
				return err
			}
		}
		slices.Sort(nums)
		nums = slices.Compact(nums)
		nums = nums[:min(len(nums), n)]
		if after = 0; len(nums) == n {
			after = nums[n-1]
		}
		return t.bulk(ctx, &m.s.sql.EndpointStates, oneEach(nums), func(r *sql.Rows) error {
			var mv mover
			err := r.Scan(&mv.num, &mv.status, &mv.version, &mv.probeAt)
			switch {
			case !sw.right(mv):
				movers = append(movers, mv)
			case isPaused(mv.status) && mv.probeAt == 0:
				idle[mv.num] = false
			}
			return err
		})
	})
	if err != nil {
		return err
	}
	swept.set(after)
	if len(idle) > 0 {
		if err := m.s.write(ctx, func(t *txn) error { return m.s.wake(ctx, t, idle) }); err != nil {
			return err
		}
	}
	return m.moveEach(ctx, movers, left)
}
