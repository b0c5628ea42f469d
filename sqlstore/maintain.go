package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"slices"

	"github.com/ringyo-ai/webhook"
)

// Maintain implements [webhook.Queue]. Each step is a transaction of its own, and
// on an idle store it makes one query and no write.
func (s *Store) Maintain(ctx context.Context, r webhook.MaintainRequest) (webhook.Maintained, error) {
	seen, err := s.look(ctx)
	if err != nil {
		return webhook.Maintained{}, s.failed("maintain", err)
	}
	m := &upkeep{s: s, limit: max(1, r.Limit), micros: seen.micros}
	if err := m.run(ctx, &seen); err != nil {
		return webhook.Maintained{}, s.failed("maintain", err)
	}
	if err := m.fold(ctx); err != nil {
		return webhook.Maintained{}, s.failed("add to the tallies", err)
	}
	if err := m.purgeMarks(ctx); err != nil {
		return webhook.Maintained{}, s.failed("purge idempotency keys", err)
	}
	if r.Retention > 0 {
		if err := m.purge(ctx, seen.micros-r.Retention.Microseconds()); err != nil {
			return webhook.Maintained{}, s.failed("purge", err)
		}
	}
	m.out.Dropped += int(s.dropped.Swap(0))
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
		{seen.parking, sweep{m.parkedSteps(), func(mv mover) bool { return isPaused(mv.status) }}},
	} {
		if s.some {
			if err := m.sweep(ctx, s.sweep, &m.s.swept[i], &left); err != nil {
				return err
			}
		}
	}
	if seen.ready {
		return m.strays(ctx, &left)
	}
	return nil
}

// parkedSteps returns the statements that find the endpoints with parked deliveries,
// those included that were attempted before.
func (m *upkeep) parkedSteps() []string {
	if m.s.dialect.stateRanges {
		return []string{m.s.sql.ParkedStep}
	}
	return []string{m.s.sql.ParkedStep, m.s.sql.BegunStep}
}

// due is a row of the queue whose time has come, or which has to move.
type due struct {
	k        key
	endpoint int64
	due      int64
	attempts int   // on its schedule, once it is known
	token    int64 // of the lease that is over
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
		rows, err := m.waiting(ctx, t, *left, &c)
		if err != nil {
			return err
		}
		states, err := m.statesOf(ctx, t, rows)
		if err != nil {
			return err
		}
		c.more = c.more || len(rows) == *left
		c.rows = len(rows)
		return m.put(ctx, t, rows, states, &c)
	})
	m.promoted(err, &c, left)
	return err
}

// promoted adds what was committed to the result.
func (m *upkeep) promoted(err error, c *moved, left *int) {
	if err == nil {
		*left -= c.rows
		m.out.Readied += c.ready
		m.out.Held += c.held
		m.out.Cancelled += c.cancelled
		m.out.Dropped += c.dropped
		m.out.More = m.out.More || c.more
	}
}

func (m *upkeep) waiting(ctx context.Context, t *txn, limit int, c *moved) ([]due, error) {
	return m.queued(ctx, t, c, m.s.sql.DueWaiting, func(r *sql.Rows, k *queueKey) (d due, err error) {
		return d, r.Scan(k, &d.endpoint, &d.due)
	}, m.micros, limit)
}

// queued reads rows of the queue, and drops those that have no key.
func (m *upkeep) queued(
	ctx context.Context, t *txn, c *moved, text string, scan func(*sql.Rows, *queueKey) (due, error), args ...any,
) (rows []due, err error) {
	k := m.s.queueKey()
	err = t.query(ctx, text, func(r *sql.Rows) error {
		d, err := scan(r, &k)
		if d.k = k.key; !k.junk {
			rows = append(rows, d)
		}
		return err
	}, args...)
	if err != nil || !k.any {
		return rows, err
	}
	n, err := t.dropJunk(ctx)
	c.dropped += n
	c.more = true
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
		return t.execAll(ctx, m.s.sql.EndLeases.of(over))
	})
	m.promoted(err, &c, left)
	return err
}

// lookFactor bounds how many deliveries are looked at for each that may be made
// ready: most of a lease that is over were settled.
const lookFactor = 4

// expired returns the deliveries that are still leased, at most limit, and the
// leases that nothing is left of then. One of which something is left is cut to
// that.
func (m *upkeep) expired(ctx context.Context, t *txn, leases []leaseRow, limit int, c *moved) (rows []due, over []lease, err error) {
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
			rows = append(rows, due{k: d.k, endpoint: d.endpoint, due: l.due, attempts: d.attempts, token: d.token})
		}
	})
	if err != nil {
		return nil, nil, err
	}
	for _, l := range leases {
		left := rest[l.lease]
		if len(left) == 0 {
			over = append(over, l.lease)
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
	var expire, queued []key
	var queue []queuePlace
	var cancel []cancellation
	var probes []probeTime
	for _, d := range rows {
		status := states[d.endpoint]
		queued = append(queued, d.k)
		if c.cancels(status) {
			cancel = append(cancel, cancellation{m.micros, d.k, webhook.ReasonEndpointDeleted})
			continue
		}
		expire = append(expire, d.k)
		if isPaused(status) || status == endpointInactive { // its probe, perhaps, or trial, whose lease may end before its time
			probes = append(probes, probeTime{m.micros, d.token, d.endpoint})
		}
		queue = append(queue, queuePlace{d.k, d.endpoint, c.count(d.endpoint, stateAt(status, d.due, m.micros, d.attempts)), d.due})
	}
	sq := m.s.sql
	sortProbes(probes)
	// What is leased is not in the queue. If it is there nevertheless, that must
	// not keep everything else that has expired from getting there.
	err := t.execAll(ctx, sq.DeleteQueue.of(queued), sq.Expire.of(expire), sq.InsertQueue.of(queue), sq.Cancel.of(cancel),
		sq.UnsetProbes.of(probes))
	if err != nil {
		return err
	}
	return m.s.wake(ctx, t, c.parked)
}

// sortProbes puts them in the order in which endpoints are locked.
func sortProbes(probes []probeTime) {
	slices.SortFunc(probes, func(a, b probeTime) int { return cmp.Compare(a.endpoint, b.endpoint) })
}

// statesOf returns the statuses of the rows' endpoints.
func (m *upkeep) statesOf(ctx context.Context, t *txn, rows []due) (map[int64]int, error) {
	states := make(map[int64]int)
	var nums []number
	for _, d := range rows {
		if _, asked := states[d.endpoint]; !asked {
			states[d.endpoint] = endpointGone
			nums = append(nums, number(d.endpoint))
		}
	}
	err := t.queryAll(ctx, m.s.sql.EndpointStates.of(nums), func(r *sql.Rows) error {
		mv, err := scanMover(r, true)
		states[mv.num] = mv.status
		return err
	})
	return states, err
}

// moved counts what put did.
type moved struct {
	rows, ready, held, cancelled, dropped int
	more                                  bool
	parked                                map[int64]bool // endpoints of which something was parked, or had begun
}

// cancels reports whether the deliveries of an endpoint of that status are
// cancelled, and counts one.
func (c *moved) cancels(status int) bool {
	switch status {
	case endpointGone:
		c.dropped++
	case endpointDeleted:
		c.cancelled++
	default:
		return false
	}
	return true
}

// count counts a row that goes to a state, and returns that.
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
	var move []newState
	var ended []key
	var cancel []cancellation
	for _, d := range rows {
		status := states[d.endpoint]
		if c.cancels(status) {
			ended = append(ended, d.k)
			cancel = append(cancel, cancellation{m.micros, d.k, webhook.ReasonEndpointDeleted})
			continue
		}
		move = append(move, newState{c.count(d.endpoint, stateAt(status, d.due, m.micros, d.attempts)), d.k})
	}
	sq := m.s.sql
	if err := t.execAll(ctx, sq.MoveRows.of(move), sq.Cancel.of(cancel), sq.DeleteQueue.of(ended)); err != nil {
		return err
	}
	return m.s.wake(ctx, t, c.parked)
}
