package sqlstore

import (
	"context"
	"database/sql"
	"slices"

	"github.com/ringyo-ai/webhook"
)

// stop is an endpoint on the way of a claim, and its oldest ready rows.
type stop struct {
	num, version, probeAt int64
	id, account           string
	status                int
	pace                  webhook.Pace
	moving                int
	rows                  []claimed
	err                   error // why some of it cannot be read
}

// stopColumns are what scanStop reads, after the number.
const stopColumns = `id, account, status, version, pace, moving, probe_at`

// scanStop reads a stop, with what stands before and after its columns. What of it
// cannot be read makes it one that is handed out with the reason.
func scanStop(r *sql.Rows, ep *stop, before, after []any) error {
	dst := append(slices.Clip(before), &ep.id, &ep.account, &ep.status, &ep.version, &ep.pace, &ep.moving, &ep.probeAt)
	if r.Scan(append(dst, after...)...) == nil {
		return nil
	}
	var bad unread
	var pace int
	*ep = stop{num: ep.num, status: endpointActive, version: unknownVersion}
	lenient := columnsOf(&bad, stopColumns, &ep.id, &ep.account, &ep.status, &ep.version, &pace, &ep.moving, &ep.probeAt)
	err := r.Scan(slices.Concat(before, lenient, after)...)
	ep.pace, ep.err = webhook.Pace(pace), bad.err(ep.id)
	return err
}

// unknownVersion is no version of an endpoint.
const unknownVersion = -1

// idle reports whether the endpoint is paused and has nothing but ready rows, which
// came when there was nothing to probe it with.
func (ep *stop) idle() bool { return isPaused(ep.status) && ep.probeAt == 0 }

func (ep *stop) candidate() webhook.Candidate {
	return webhook.Candidate{EndpointID: ep.id, AccountID: ep.account, Pace: paceOf(ep.status, ep.pace)}
}

// paceOf returns the pace that others see.
func paceOf(status int, pace webhook.Pace) webhook.Pace {
	if isPaused(status) {
		return webhook.PacePaused
	}
	return pace
}

const (
	// rowsPerStop is how many rows of an endpoint a claim sees before it asks Room.
	rowsPerStop = 16
	// maxVisits is how many endpoints one claim looks at, about, when Room takes
	// little: the others are left to the next call.
	maxVisits = 1000
	// firstVisits is how many endpoints the first statement looks at where one
	// looks at several, and the next one at twice as many.
	firstVisits = 32
)

// walk goes from one endpoint that has ready rows to the next, by index, and takes
// what there is room for: from the cursor to the end, and from the start to where it
// began.
func (c *claim) walk(ctx context.Context, t *txn) error {
	for n := firstVisits; ; n *= 2 {
		stops, done, err := c.s.dialect.visit(ctx, t, c, min(n, maxVisits-c.visited))
		if err != nil {
			return err
		}
		for i := range stops {
			c.visited++
			c.cursor = stops[i].num
			if err := c.visit(ctx, t, &stops[i]); err != nil {
				return err
			}
			if len(c.rows) >= c.terms.Max {
				return nil
			}
		}
		if done {
			return nil
		}
		if c.visited >= maxVisits {
			c.more = true
			return nil
		}
	}
}

// visit takes of an endpoint what there is room for.
func (c *claim) visit(ctx context.Context, t *txn, ep *stop) error {
	if ep.status == endpointGone {
		return nil // Maintain drops its rows
	}
	if ep.err != nil {
		c.damage(ep.num, ep.id, ep.account, ep.err)
	}
	if ep.status != endpointActive && ep.status != endpointFailing {
		if ep.moving == 0 {
			c.met = append(c.met, number(ep.num))
		}
		if ep.idle() && len(ep.rows) > 0 && c.room(ep.candidate(), 1) == 1 {
			row := ep.rows[0]
			c.rows = append(c.rows, row)
			c.probes = append(c.probes, probe{num: ep.num, k: row.k})
		}
		return nil
	}
	for seen := 0; len(ep.rows) > 0; {
		n := min(len(ep.rows), c.terms.Max-len(c.rows))
		took := c.room(ep.candidate(), n)
		c.rows = append(c.rows, ep.rows[:took]...)
		if seen += took; took < n || len(ep.rows) < rowsPerStop || len(c.rows) >= c.terms.Max {
			return nil
		}
		if err := c.rest(ctx, t, ep, seen); err != nil {
			return err
		}
	}
	return nil
}

// damage notes why an endpoint that is to be handed out cannot be read.
func (c *claim) damage(num int64, id, account string, err error) {
	if c.damaged == nil {
		c.damaged = make(map[int64]*webhook.Target)
	}
	c.damaged[num] = &webhook.Target{EndpointID: id, AccountID: account, Err: err}
}

// rest reads further rows of an endpoint.
func (c *claim) rest(ctx context.Context, t *txn, ep *stop, seen int) error {
	ep.rows = nil
	return t.query(ctx, c.s.sql.RestOf, func(r *sql.Rows) error {
		row := claimed{endpoint: ep.num, version: ep.version}
		err := r.Scan(&c.key, &row.due)
		ep.rows = c.found(ep.rows, row)
		return err
	}, ep.num, max(rowsPerStop, c.terms.Max-len(c.rows)), seen)
}

// visitNext goes to the next endpoint alone. It is of SQLite, in which a statement
// costs little.
func visitNext(ctx context.Context, t *txn, c *claim, _ int) (stops []stop, done bool, err error) {
	for {
		ep, err := c.step(ctx, t)
		switch {
		case err != nil:
			return nil, false, err
		case ep.num != 0 && (!c.wrapped || ep.num <= c.from):
			c.at = ep.num
			return []stop{ep}, false, nil
		case !c.wrap():
			return nil, true, nil
		}
	}
}

// wrap goes on at the start, or reports that the round is complete.
func (c *claim) wrap() bool {
	if c.wrapped || c.from == 0 {
		return false
	}
	c.wrapped, c.at = true, 0
	return true
}

// step returns the next endpoint that has ready rows. 0 is no endpoint's number.
func (c *claim) step(ctx context.Context, t *txn) (ep stop, err error) {
	err = t.query(ctx, c.s.sql.PickStep, func(r *sql.Rows) error {
		var row claimed
		rows := ep.rows
		err := scanStop(r, &ep, []any{&c.key, &row.due, &ep.num}, nil)
		row.endpoint, row.version = ep.num, ep.version
		ep.rows = c.found(rows, row)
		return err
	}, c.at, rowsPerStop)
	return ep, err
}

// found adds a row whose key was scanned, unless that is junk.
func (c *claim) found(rows []claimed, row claimed) []claimed {
	if c.key.junk {
		return rows
	}
	row.k = c.key.key
	return append(rows, row)
}

// visitGroups goes to the next endpoints by a loose scan of the index, which tells
// their numbers. It is of MySQL.
func visitGroups(ctx context.Context, t *txn, c *claim, n int) (stops []stop, done bool, err error) {
	n = min(n, groupsAtOnce)
	var nums []number
	last := int64(0)
	err = t.query(ctx, c.s.sql.Pick, func(r *sql.Rows) error {
		err := r.Scan(&last)
		if !c.wrapped || last <= c.from {
			nums = append(nums, number(last))
		}
		return err
	}, c.at, n)
	if err != nil {
		return nil, false, err
	}
	if len(nums) == n {
		c.at = last
	} else {
		done = !c.wrap()
	}
	stops, err = c.group(ctx, t, nums)
	return stops, done, err
}

// groupsAtOnce is how many endpoints a statement of MySQL looks at.
const groupsAtOnce = 128

// group reads the endpoints and their oldest rows.
func (c *claim) group(ctx context.Context, t *txn, nums []number) ([]stop, error) {
	byNum := make(map[int64]*stop, len(nums))
	err := t.queryAll(ctx, c.s.sql.PickStates.of(nums), func(r *sql.Rows) error {
		var ep stop
		err := scanStop(r, &ep, []any{&ep.num}, nil)
		byNum[ep.num] = &ep
		return err
	})
	if err != nil {
		return nil, err
	}
	var wanted []pick
	for _, num := range nums {
		if ep := byNum[int64(num)]; ep != nil && (ep.status == endpointActive || ep.status == endpointFailing || ep.idle()) {
			wanted = append(wanted, pick{ep.num, rowsPerStop})
		}
	}
	err = t.queryAll(ctx, c.s.sql.PickRows.of(wanted), func(r *sql.Rows) error {
		var row claimed
		err := r.Scan(&row.k, &row.endpoint, &row.due)
		if ep := byNum[row.endpoint]; ep != nil {
			row.version = ep.version
			ep.rows = append(ep.rows, row)
		}
		return err
	})
	stops := make([]stop, len(nums))
	for i, num := range nums {
		stops[i] = stop{num: int64(num), status: endpointGone}
		if ep := byNum[int64(num)]; ep != nil {
			stops[i] = *ep
		}
	}
	return stops, err
}
