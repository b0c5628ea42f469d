package sqlstore

import (
	"context"
	"database/sql"
	"slices"
	"sync"
	"time"
)

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
	steps []string
	right func(mover) bool
}

// sweep looks at some of the endpoints that have held or parked deliveries, in turn,
// and moves those of the others: a transaction that began while its endpoint was
// inactive can hold a delivery long after that was enabled. Where deliveries were
// parked when there seemed to be something else to probe the endpoint with, it asks
// for the probe, and for the trial of an endpoint of which something is held again.
func (m *upkeep) sweep(ctx context.Context, sw sweep, swept *sweepCursor, left *int) error {
	from, n := swept.next()
	movers, after, err := m.endpointsIn(ctx, sw.steps, from, n)
	if err != nil {
		return err
	}
	swept.set(after)
	idle := make(map[int64]bool)
	for _, mv := range movers {
		if mv.idleTrial() {
			if err := m.wakeTrial(ctx, mv.num); err != nil {
				return err
			}
		}
		if sw.right(mv) && isPaused(mv.status) && mv.probeAt == 0 {
			idle[mv.num] = false
		}
	}
	if len(idle) > 0 {
		if err := m.s.write(ctx, func(t *txn) error { return m.s.wake(ctx, t, idle) }); err != nil {
			return err
		}
	}
	return m.moveEach(ctx, slices.DeleteFunc(movers, sw.right), left)
}

// strayPause is how often each process looks for ready rows that no claim takes.
const strayPause = 10 * time.Minute

// strays drops the ready rows of endpoints that are not there any more. No endpoint
// is ever removed, so somebody did that by hand.
func (m *upkeep) strays(ctx context.Context, left *int) error {
	if m.micros-m.s.straysAt.Load() < strayPause.Microseconds() {
		return nil
	}
	movers, after, err := m.endpointsIn(ctx, []string{m.s.sql.ReadyStep}, m.s.strays.Load(), sweepAtOnce)
	if err != nil {
		return err
	}
	movers = slices.DeleteFunc(movers, func(mv mover) bool { return mv.status != endpointGone })
	if err := m.moveEach(ctx, movers, left); err != nil || *left <= 0 {
		return err
	}
	if m.s.strays.Store(after); after == 0 {
		m.s.straysAt.Store(m.micros)
	}
	return nil
}

// endpointsIn returns the next n endpoints that the statements find in the queue, and
// where to go on: 0 at the end.
func (m *upkeep) endpointsIn(ctx context.Context, steps []string, from int64, n int) (movers []mover, after int64, err error) {
	err = m.s.read(ctx, func(t *txn) error {
		nums, err := numsOf(ctx, t, steps, from, n)
		if err != nil {
			return err
		}
		if after = 0; len(nums) == n {
			after = int64(nums[n-1])
		}
		found := make(map[int64]mover, len(nums))
		err = t.queryAll(ctx, m.s.sql.EndpointStates.of(nums), func(r *sql.Rows) error {
			mv, err := scanMover(r, true)
			found[mv.num] = mv
			return err
		})
		movers = make([]mover, 0, len(nums))
		for _, num := range nums {
			mv, there := found[int64(num)]
			if !there {
				mv = mover{num: int64(num), status: endpointGone}
			}
			movers = append(movers, mv)
		}
		return err
	})
	return movers, after, err
}

// numsOf returns the next n endpoints that any of the statements finds.
func numsOf(ctx context.Context, t *txn, steps []string, from int64, n int) (nums []number, err error) {
	for _, step := range steps {
		err := t.query(ctx, step, func(r *sql.Rows) error {
			var num number
			err := r.Scan(&num)
			nums = append(nums, num)
			return err
		}, from, n)
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(nums)
	nums = slices.Compact(nums)
	return nums[:min(len(nums), n)], nil
}
