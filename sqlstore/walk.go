package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"

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
	seen                  int   // how many were taken before those
	all                   bool  // there are none behind them
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
	// rowsPerTurn is how many rows of an endpoint a claim takes before it has gone on
	// to the others.
	rowsPerTurn = 4
	// rowsPerStop is how many it reads with that where few endpoints have ready rows, so
	// that there will be room for more of each.
	rowsPerStop = 16
	// enoughRows is how many make a claim worth its while.
	enoughRows = 64
	// fewRows is how many it reads while Room refuses: two tell one from several.
	fewRows = 2
	// maxVisits is how many endpoints one claim looks at, about, when Room takes
	// little: the others are left to the next call.
	maxVisits = 1000
	// firstVisits is how many endpoints the first statement looks at where one
	// looks at several, and the next one at twice as many.
	firstVisits = 32
)

// place is where a claim begins, among the endpoints by their numbers: it visits those
// after at, to the last, and then from the first one to end, itself included. A round
// that one call does not complete goes on with the next call, where at and end differ;
// the round after it begins behind next.
type place struct{ at, end, next int64 }

func (p place) String() string {
	if p.at == p.end {
		return strconv.FormatInt(p.at, 10)
	}
	return fmt.Sprintf("%d-%d-%d", p.at, p.end, p.next)
}

// parsePlace is the reverse of String. "" is the place before all.
func parsePlace(text string) (p place, ok bool) {
	if text == "" {
		return place{}, true
	}
	parts := strings.Split(text, "-")
	nums := make([]int64, len(parts))
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 63)
		if err != nil {
			return place{}, false
		}
		nums[i] = int64(n) // #nosec G115 -- of 63 bits
	}
	switch len(nums) {
	case 1:
		return from(nums[0]), true
	case 3:
		return place{nums[0], nums[1], nums[2]}, true
	}
	return place{}, false
}

// from returns the place of a new round.
func from(endpoint int64) place { return place{endpoint, endpoint, endpoint} }

// next returns where the next call begins. A new round begins behind the endpoint of
// which something was taken last: where Room takes less than a round brings, the same
// ones would be served for ever if it began where the last one did.
func (c *claim) next() place {
	if c.visited == 0 {
		return c.from
	}
	if c.full {
		return from(c.served)
	}
	begin := c.from.at
	switch {
	case c.from.at != c.from.end:
		begin = c.from.next
	case c.served != 0:
		begin = c.served
	}
	if c.whole {
		return from(begin)
	}
	return place{c.passed, c.from.end, begin}
}

// walk goes from one endpoint that has ready rows to the next, by index, and takes
// what there is room for: of each a few at a time, in turn, until there is no more room.
// Events mostly come for many endpoints at a time, so that the oldest few of each lie
// on fewer pages than as many of one.
func (c *claim) walk(ctx context.Context, t *txn) error {
	defer func() { c.s.crowded.Store(c.visited >= firstVisits) }()
	done, refused, first := false, false, firstVisits
	if c.reads == rowsPerTurn {
		first = max(first, c.terms.Max/rowsPerTurn)
	}
	for n := first; !done && c.visited < maxVisits; n *= 2 {
		var stops []stop
		var err error
		if stops, done, err = c.s.dialect.visit(ctx, t, c, min(n, maxVisits-c.visited)); err != nil {
			return err
		}
		for i := range stops {
			ep := &stops[i]
			c.visited++
			c.passed = ep.num
			switch took := c.visit(ep); {
			case took > 0:
				c.served, refused = ep.num, false
			case len(ep.rows) > 0:
				refused = true
			}
			if len(c.rows) >= c.terms.Max {
				c.full = true
				return nil
			}
		}
		switch {
		case refused:
			c.reads = fewRows
		case c.reads == fewRows:
			c.reads = rowsPerTurn
		}
	}
	c.whole, c.more = done, c.more || !done
	for len(c.again) > 0 {
		turn := c.again
		c.again = nil
		for i := range turn {
			if err := c.revisit(ctx, t, &turn[i], len(turn) == 1); err != nil {
				return err
			}
			if len(c.rows) >= c.terms.Max {
				c.full = true
				return nil
			}
		}
	}
	return nil
}

// visit takes a few of the rows of an endpoint, and returns how many.
func (c *claim) visit(ep *stop) (took int) {
	if ep.status == endpointGone {
		return 0 // Maintain drops its rows
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
			took = 1
		}
		ep.rows = nil // as nobody is refused
		return took
	}
	if len(ep.rows) == 0 {
		return 0
	}
	return c.turn(ep, c.reads)
}

// turn takes a few of the rows of an endpoint that were read, which are so many if
// there are more, and returns how many. Where there was room for all, the endpoint has
// another turn.
func (c *claim) turn(ep *stop, read int) int {
	n := min(rowsPerTurn, len(ep.rows), c.terms.Max-len(c.rows))
	took := c.room(ep.candidate(), n)
	c.rows = append(c.rows, ep.rows[:took]...)
	ep.all = ep.all || len(ep.rows) < read
	ep.rows = ep.rows[took:]
	ep.seen += took
	if took == n && (len(ep.rows) > 0 || !ep.all) {
		c.again = append(c.again, *ep)
	}
	return took
}

// revisit gives an endpoint another turn. If its rows have to be read, Room is asked
// before, since mostly it has none. One that is left alone takes many at a time. To read
// a few of each of many endpoints is left to the next call, which reads them all at once.
func (c *claim) revisit(ctx context.Context, t *txn, ep *stop, alone bool) error {
	if len(ep.rows) > 0 {
		if c.turn(ep, len(ep.rows)) > 0 {
			c.served = ep.num
		}
		return nil
	}
	if len(c.rows) >= enoughRows && c.visited >= firstVisits {
		c.more = true
		return nil
	}
	want := rowsPerTurn
	if alone {
		want = rowsPerStop
	}
	if want = c.room(ep.candidate(), min(want, c.terms.Max-len(c.rows))); want == 0 {
		return nil
	}
	err := t.query(ctx, c.s.sql.RestOf, func(r *sql.Rows) error {
		row := claimed{endpoint: ep.num, version: ep.version}
		err := r.Scan(&c.key, &row.due)
		ep.rows = c.found(ep.rows, row)
		return err
	}, ep.num, want, ep.seen)
	if err != nil {
		return err
	}
	if len(ep.rows) > 0 {
		c.served = ep.num
	}
	c.rows = append(c.rows, ep.rows...)
	if len(ep.rows) == want {
		ep.seen += want
		ep.rows = nil
		c.again = append(c.again, *ep)
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

// visitNext goes to the next endpoint alone. It is of SQLite, in which a statement
// costs little.
func visitNext(ctx context.Context, t *txn, c *claim, _ int) (stops []stop, done bool, err error) {
	for {
		ep, err := c.step(ctx, t)
		switch {
		case err != nil:
			return nil, false, err
		case ep.num != 0 && (!c.wrapped || ep.num <= c.from.end):
			c.at = ep.num
			return []stop{ep}, false, nil
		case !c.wrap():
			return nil, true, nil
		}
	}
}

// wrap goes on at the start, or reports that the round is complete.
func (c *claim) wrap() bool {
	if c.wrapped || c.from.end == 0 {
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
	}, c.at, c.reads)
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
		if !c.wrapped || last <= c.from.end {
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
			wanted = append(wanted, pick{ep.num, c.reads})
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
