package sqlstore

import (
	"context"
	"database/sql"
)

// mover is an endpoint whose deliveries have to follow it.
type mover struct {
	num, version int64
	status       int
	probeAt      int64 // as sweep reads it
	pauses       int   // likewise
}

// idleTrial reports whether the endpoint is to have a trial, and had nothing for it.
func (mv *mover) idleTrial() bool {
	return mv.status == endpointInactive && mv.pauses > 0 && mv.probeAt == 0
}

// scanMover reads a mover, with probe_at and pauses if these are among the columns. One that
// cannot be read counts as active: a claim says why it waits.
func scanMover(r *sql.Rows, withProbe bool) (mv mover, err error) {
	dst := []any{&mv.num, &mv.status, &mv.version}
	if withProbe {
		dst = append(dst, &mv.probeAt, &mv.pauses)
	}
	if r.Scan(dst...) == nil {
		return mv, nil
	}
	var bad unread
	mv = mover{status: endpointActive, version: unknownVersion}
	dst = append([]any{&mv.num}, columnsOf(&bad, `status, version, probe_at, pauses`, dst[1:]...)...)
	return mv, r.Scan(dst...)
}

// maxMovers is how many endpoints one call looks at.
const maxMovers = 50

// move holds, releases and cancels the deliveries of endpoints that were
// switched, at most limit in all. It takes the endpoints in turn.
func (m *upkeep) move(ctx context.Context, left *int) error {
	var movers []mover
	from := m.s.moved.Load()
	err := m.s.read(ctx, func(t *txn) error {
		movers = movers[:0]
		return t.query(ctx, m.s.sql.Moving, func(r *sql.Rows) error {
			mv, err := scanMover(r, false)
			movers = append(movers, mv)
			return err
		}, from, maxMovers)
	})
	if err != nil {
		return err
	}
	switch {
	case len(movers) == maxMovers:
		m.out.More = true
		m.s.moved.Store(movers[maxMovers-1].num)
	case from > 0: // the end: there may be some before
		m.out.More = true
		m.s.moved.Store(0)
	}
	return m.moveEach(ctx, movers, left)
}

// moveEach moves rows of each endpoint. They share what is left, so that one with
// many keeps no other waiting.
func (m *upkeep) moveEach(ctx context.Context, movers []mover, left *int) error {
	for i, mv := range movers {
		if *left <= 0 {
			m.out.More = true
			return nil
		}
		share := max(1, *left/(len(movers)-i))
		rest, err := m.moveOne(ctx, mv, share)
		if err != nil {
			return err
		}
		*left -= share - rest
	}
	return nil
}

// moveOne moves at most limit rows of one endpoint, and returns what is left of
// the limit. When nothing remains it takes the flag down, unless the endpoint was
// changed again. A pause that begins or ends is no release.
func (m *upkeep) moveOne(ctx context.Context, mv mover, limit int) (left int, err error) {
	var c moved
	var released int
	err = m.s.write(ctx, func(t *txn) error {
		c, left, released = moved{}, limit, 0
		for _, from := range m.sources(mv.status) {
			rows, err := m.rowsOf(ctx, t, from, mv.num, left, &c)
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
		if left > 0 && !c.more {
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
	m.out.Dropped += c.dropped
	m.out.More = m.out.More || c.more
	return left, nil
}

// sources returns the statements for what is not where an endpoint's status wants
// it.
func (m *upkeep) sources(status int) []string {
	sq := m.s.sql
	switch {
	case status == endpointDeleted, status == endpointGone:
		return []string{sq.ReadyOf, sq.HeldOf, sq.BegunOf, sq.ParkedOf}
	case status == endpointInactive:
		return []string{sq.ReadyOf, sq.BegunOf, sq.ParkedOf}
	case isPaused(status):
		return []string{sq.ReadyOf, sq.HeldOf}
	}
	return []string{sq.HeldOf, sq.BegunOf, sq.ParkedOf}
}

func (m *upkeep) rowsOf(ctx context.Context, t *txn, text string, endpoint int64, limit int, c *moved) (rows []due, err error) {
	if limit <= 0 {
		return nil, nil
	}
	return m.queued(ctx, t, c, text, func(r *sql.Rows, k *queueKey) (due, error) {
		d := due{endpoint: endpoint}
		return d, r.Scan(k, &d.due)
	}, endpoint, limit)
}
