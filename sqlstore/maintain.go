package sqlstore

import (
	"context"
	"database/sql"
	"slices"
	"sync"
	"time"

	"github.com/ringyo-ai/webhook"
)

// Maintain implements [webhook.Queue]. Each step is a transaction of its own,
// and an idle store is asked one question and not written to.
func (s *Store) Maintain(ctx context.Context, r webhook.MaintainRequest) (webhook.Maintained, error) {
	seen, err := s.look(ctx)
	if err != nil {
		return webhook.Maintained{}, s.failed("maintain", err)
	}
	m := &upkeep{s: s, limit: max(1, r.Limit), micros: seen.micros}
	if err := m.run(ctx, &seen); err != nil {
		return webhook.Maintained{}, s.failed("maintain", err)
	}
	if r.Retention > 0 {
		if err := m.purge(ctx, seen.micros-r.Retention.Microseconds()); err != nil {
			return webhook.Maintained{}, s.failed("purge", err)
		}
	}
	m.out.Now = fromMicros(m.micros)
	return m.out, nil
}

// upkeep is one Maintain call at work.
type upkeep struct {
	s      *Store
	limit  int
	micros int64
	out    webhook.Maintained
}

func (m *upkeep) run(ctx context.Context, seen *outlook) error {
	left := m.limit
	if seen.lease != 0 && seen.lease <= seen.micros {
		if err := m.expire(ctx, &left); err != nil {
			return err
		}
	}
	if seen.retry != 0 && seen.retry <= seen.micros {
		if err := m.promote(ctx, &left); err != nil {
			return err
		}
	}
	left = m.limit
	if seen.moving {
		if err := m.move(ctx, &left); err != nil {
			return err
		}
	}
	for i, s := range []struct {
		some bool
		sweep
	}{
		{seen.holding, sweep{[]string{m.s.sql.HeldStep}, func(mv mover) bool { return mv.status == endpointInactive }}},
		{seen.parking, sweep{[]string{m.s.sql.ParkedStep, m.s.sql.BegunStep}, func(mv mover) bool { return isPaused(mv.status) }}},
	} {
		if s.some {
			if err := m.sweep(ctx, s.sweep, &m.s.swept[i], &left); err != nil {
				return err
			}
		}
	}
	return nil
}

// due is a row of the queue whose time has come, or which has to move.
type due struct {
	k        key
	endpoint int64
	due      int64
	attempts int // on its schedule, once it is known
}

// promote makes what has become due ready, or what else its endpoint calls for.
// It takes at most left rows.
func (m *upkeep) promote(ctx context.Context, left *int) error {
	if *left == 0 {
		m.out.More = true
		return nil
	}
	var c moved
	err := m.s.write(ctx, func(t *txn) error {
		c = moved{}
		rows, err := m.waiting(ctx, t, *left)
		if err != nil {
			return err
		}
		states, err := m.statesOf(ctx, t, rows)
		if err != nil {
			return err
		}
		c.more = len(rows) == *left
		c.rows = len(rows)
		return m.put(ctx, t, rows, states, &c)
	})
	m.promoted(err, &c, left)
	return err
}

// promoted adds what was committed to the answer.
func (m *upkeep) promoted(err error, c *moved, left *int) {
	if err == nil {
		*left -= c.rows
		m.out.Readied += c.ready
		m.out.Held += c.held
		m.out.Cancelled += c.cancelled
		m.out.More = m.out.More || c.more
	}
}

func (m *upkeep) waiting(ctx context.Context, t *txn, limit int) (rows []due, err error) {
	err = t.query(ctx, m.s.sql.DueWaiting, func(r *sql.Rows) error {
		var d due
		err := r.Scan(&d.k, &d.endpoint, &d.due)
		rows = append(rows, d)
		return err
	}, m.micros, limit)
	return rows, err
}

// expire makes ready what is still leased by leases that are over, or what else
// its endpoint calls for. It takes at most left rows.
func (m *upkeep) expire(ctx context.Context, left *int) error {
	var c moved
	err := m.s.write(ctx, func(t *txn) error {
		c = moved{}
		leases, err := readLeases(ctx, t, m.s.sql.DueLeases, m.micros, *left)
		if err != nil {
			return err
		}
		c.more = len(leases) == *left
		rows, over, err := m.expired(ctx, t, leases, *left, &c)
		if err != nil {
			return err
		}
		states, err := m.statesOf(ctx, t, rows)
		if err != nil {
			return err
		}
		c.rows = len(rows)
		if err := m.unlease(ctx, t, rows, states, &c); err != nil {
			return err
		}
		return t.bulk(ctx, &m.s.sql.EndLeases, over, nil)
	})
	m.promoted(err, &c, left)
	return err
}

// lookFactor bounds how many deliveries are looked at for each that may be made
// ready: most of a lease that is over were settled.
const lookFactor = 4

// expired answers the deliveries that are still leased, at most limit, and the
// leases that nothing is left of then. One of which something is left is cut to
// that.
func (m *upkeep) expired(ctx context.Context, t *txn, leases []leaseRow, limit int, c *moved) (rows []due, over [][]any, err error) {
	of := make(map[leasedKey]lease)
	var keys []key
	for i, l := range leases {
		if i > 0 && len(keys)+len(l.keys) > lookFactor*limit {
			c.more, leases = true, leases[:i]
			break
		}
		for _, k := range l.keys {
			of[leasedKey{k, l.token}] = l.lease
		}
		keys = append(keys, l.keys...)
	}
	slices.SortFunc(keys, compareKeys)
	rest := make(map[lease][]key)
	err = readDeliveries(ctx, t, &m.s.sql.LockDeliveries, slices.Compact(keys), func(d loggedDelivery) {
		switch l, over := of[leasedKey{d.k, d.token}]; {
		case d.status != statusLeased || !over:
		case len(rows) == limit:
			rest[l] = append(rest[l], d.k)
		default:
			rows = append(rows, due{k: d.k, endpoint: d.endpoint, due: l.due, attempts: d.attempts})
		}
	})
	if err != nil {
		return nil, nil, err
	}
	for _, l := range leases {
		left := rest[l.lease]
		if len(left) == 0 {
			over = append(over, []any{l.due, l.token})
			continue
		}
		c.more = true
		if err := t.exec(ctx, m.s.sql.CutLease, joinKeys(left), l.due, l.token); err != nil {
			return nil, nil, err
		}
	}
	return rows, over, nil
}

// unlease moves leased deliveries to where their endpoints want them.
func (m *upkeep) unlease(ctx context.Context, t *txn, rows []due, states map[int64]int, c *moved) error {
	var expire, queue, cancel [][]any
	for _, d := range rows {
		status := states[d.endpoint]
		if status == endpointDeleted {
			c.cancelled++
			cancel = append(cancel, m.cancelled(d.k))
			continue
		}
		expire = append(expire, []any{d.k})
		queue = append(queue, []any{d.k, d.endpoint, c.count(d.endpoint, stateAt(status, d.due, m.micros, d.attempts)), d.due})
	}
	if err := t.bulk(ctx, &m.s.sql.Expire, expire, nil); err != nil {
		return err
	}
	if err := t.bulk(ctx, &m.s.sql.InsertQueue, queue, nil); err != nil {
		return err
	}
	if err := t.bulk(ctx, &m.s.sql.Cancel, cancel, nil); err != nil {
		return err
	}
	return m.s.wake(ctx, t, c.parked)
}

// cancelled answers a row of Cancel.
func (m *upkeep) cancelled(k key) []any {
	return []any{statusCancelled, m.micros, string(webhook.ReasonEndpointDeleted), k}
}

// statesOf answers the statuses of the rows' endpoints.
func (m *upkeep) statesOf(ctx context.Context, t *txn, rows []due) (map[int64]int, error) {
	states := make(map[int64]int)
	var nums [][]any
	for _, d := range rows {
		if _, asked := states[d.endpoint]; !asked {
			states[d.endpoint] = endpointDeleted
			nums = append(nums, []any{d.endpoint})
		}
	}
	err := t.bulk(ctx, &m.s.sql.EndpointStates, nums, func(r *sql.Rows) error {
		var num, version, probeAt int64
		var status int
		err := r.Scan(&num, &status, &version, &probeAt)
		states[num] = status
		return err
	})
	return states, err
}

// moved counts what put did.
type moved struct {
	rows, ready, held, cancelled int
	more                         bool
	parked                       map[int64]bool // endpoints of which something was parked, or had begun
}

// count counts a row that goes to a state, and answers that.
func (c *moved) count(endpoint, state int64) int64 {
	if state == stateHeld {
		c.held++
	} else {
		c.ready++
	}
	if state == stateParked || state == stateBegun {
		if c.parked == nil {
			c.parked = make(map[int64]bool)
		}
		c.parked[endpoint] = c.parked[endpoint] || state == stateBegun
	}
	return state
}

// readAttempts reads the attempts of rows that are to be parked.
func (m *upkeep) readAttempts(ctx context.Context, t *txn, rows []due, states map[int64]int) error {
	at := make(map[key]int)
	var keys []key
	for i, d := range rows {
		if isPaused(states[d.endpoint]) && d.due <= m.micros {
			at[d.k] = i
			keys = append(keys, d.k)
		}
	}
	return readDeliveries(ctx, t, &m.s.sql.ReadLeased, keys, func(d loggedDelivery) { rows[at[d.k]].attempts = d.attempts })
}

// put moves rows of the queue to where their endpoints want them.
func (m *upkeep) put(ctx context.Context, t *txn, rows []due, states map[int64]int, c *moved) error {
	if err := m.readAttempts(ctx, t, rows, states); err != nil {
		return err
	}
	var move, ended, finish [][]any
	for _, d := range rows {
		status := states[d.endpoint]
		if status == endpointDeleted {
			c.cancelled++
			ended = append(ended, []any{d.k})
			finish = append(finish, m.cancelled(d.k))
			continue
		}
		move = append(move, []any{c.count(d.endpoint, stateAt(status, d.due, m.micros, d.attempts)), d.k})
	}
	if err := t.bulk(ctx, &m.s.sql.MoveRows, move, nil); err != nil {
		return err
	}
	if err := t.bulk(ctx, &m.s.sql.Cancel, finish, nil); err != nil {
		return err
	}
	if err := t.bulk(ctx, &m.s.sql.DeleteQueue, ended, nil); err != nil {
		return err
	}
	return m.s.wake(ctx, t, c.parked)
}

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
