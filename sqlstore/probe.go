package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"sync"

	"github.com/ringyo-ai/webhook"
)

// While an endpoint is paused its deliveries are parked, where no claim looks for
// what is ready. Its row tells when the next probe is due (probe_at): when the pause
// is over, or at once when a delivery that was attempted before is due, or, while a
// probe is under way, when the lease of that ends. What parks a delivery of such an
// endpoint asks for its probe with it (Wake).
//
// When a probe is due and nothing is parked, probe_at becomes 0. What is emitted
// then goes to the ready rows, where a claim finds it, and finds that it is to be
// parked: so nobody who emits ever locks an endpoint. An event that is emitted at
// this very moment is found by sweep.

// probe is an endpoint that is to be probed, with the row chosen for it.
type probe struct {
	num int64
	k   key
}

// pausedEndpoint is a paused endpoint whose probe is due.
type pausedEndpoint struct {
	num, version, till, at int64
	status                 int // endpointInactive: it is to have a trial, see recover.go
	id, account            string
}

// probeCursor is the endpoint whose probe was offered last. Those that there was no
// room for do not hide the others. Each process has its own.
type probeCursor struct {
	mu      sync.Mutex
	at, num int64
}

const (
	// maxProbes is how many due probes one claim offers, and firstProbes how many
	// when none of these was taken.
	maxProbes   = 64
	firstProbes = 8
)

// probing reports whether some probe is due.
func (o *outlook) probing() bool { return o.probe != 0 && o.probe <= o.micros }

// chooseProbes chooses at most most probes.
func (c *claim) chooseProbes(ctx context.Context, t *txn, most int) error {
	offered, found := 0, firstProbes
	for offered < maxProbes && len(c.rows) < most && found == firstProbes {
		due, err := c.probesDue(ctx, t)
		if err != nil {
			return err
		}
		found = len(due)
		offered += found
		var wanted []pausedEndpoint
		for _, ep := range due {
			of := webhook.Candidate{EndpointID: ep.id, AccountID: ep.account, Pace: webhook.PacePaused}
			if len(c.rows)+len(wanted) < most && c.room(of, 1) == 1 {
				wanted = append(wanted, ep)
			}
		}
		if len(wanted) == 0 {
			return nil
		}
		if err := c.chooseRows(ctx, t, wanted); err != nil {
			return err
		}
		c.more = c.more || offered >= maxProbes || len(c.rows) >= most
	}
	return nil
}

// probesDue returns the next endpoints whose probe is due, in turn.
func (c *claim) probesDue(ctx context.Context, t *txn) (list []pausedEndpoint, err error) {
	p := &c.s.probed
	p.mu.Lock()
	defer p.mu.Unlock()
	err = t.query(ctx, c.s.sql.ProbesDue, func(r *sql.Rows) error {
		var ep pausedEndpoint
		err := r.Scan(&ep.num, &ep.id, &ep.account, &ep.version, &ep.till, &ep.at, &ep.status)
		if err != nil {
			var bad unread
			ep = pausedEndpoint{version: unknownVersion}
			dst := columnsOf(&bad, `id, account, version, paused_until, probe_at, status`, &ep.id, &ep.account, &ep.version, &ep.till, &ep.at, &ep.status)
			err = r.Scan(append([]any{&ep.num}, dst...)...)
			c.damage(ep.num, ep.id, ep.account, bad.err(ep.id))
		}
		list = append(list, ep)
		return err
	}, p.at, p.at, p.num, c.seen.micros, firstProbes)
	if len(list) < firstProbes {
		p.at, p.num = 0, 0
	} else {
		p.at, p.num = list[len(list)-1].at, list[len(list)-1].num
	}
	return list, err
}

// chooseRows chooses a row of each endpoint: the oldest one that was not attempted
// yet if the pause is over, otherwise the oldest of those that are due again.
func (c *claim) chooseRows(ctx context.Context, t *txn, wanted []pausedEndpoint) error {
	var asked []stateOf
	for _, ep := range wanted {
		if ep.status == endpointInactive {
			continue
		}
		asked = append(asked, stateOf{stateBegun, ep.num})
		if ep.till <= c.seen.micros {
			asked = append(asked, stateOf{stateParked, ep.num})
		}
	}
	oldest := make(map[int64]claimed, len(wanted))
	err := t.queryAll(ctx, c.s.sql.ProbeRows.of(asked), func(r *sql.Rows) error {
		var row claimed
		err := r.Scan(&row.endpoint, &c.key, &row.state, &row.due)
		if row.k = c.key.key; c.key.junk {
			return err
		}
		if old, ok := oldest[row.endpoint]; !ok || row.state < old.state {
			oldest[row.endpoint] = row
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := c.chooseTrials(ctx, t, wanted, oldest); err != nil {
		return err
	}
	for _, ep := range wanted {
		row, ok := oldest[ep.num]
		if !ok {
			c.idle = append(c.idle, ep.num)
			continue
		}
		row.version = ep.version
		c.rows = append(c.rows, row)
		c.probes = append(c.probes, probe{num: ep.num, k: row.k})
	}
	return nil
}

// lockProbes locks the endpoints that are to be probed, those whose probe is still
// due and that nobody else has locked, and drops the rows of the others.
func (c *claim) lockProbes(ctx context.Context, t *txn) error {
	if len(c.probes)+len(c.idle) == 0 {
		return nil
	}
	var rows []endpointAt
	for _, p := range c.probes {
		rows = append(rows, endpointAt{c.seen.micros, p.num})
	}
	for _, num := range c.idle {
		rows = append(rows, endpointAt{c.seen.micros, num})
	}
	slices.SortFunc(rows, func(a, b endpointAt) int { return cmp.Compare(a.endpoint, b.endpoint) })
	locked := make(map[int64]bool)
	err := t.queryAll(ctx, c.s.sql.LockProbes.of(rows), func(r *sql.Rows) error {
		var num int64
		err := r.Scan(&num)
		locked[num] = true
		return err
	})
	lost := make(map[key]bool)
	for _, p := range c.probes {
		lost[p.k] = !locked[p.num]
	}
	kept := make([]claimed, 0, len(c.rows))
	for _, row := range c.rows {
		if !lost[row.k] {
			kept = append(kept, row)
		}
	}
	c.rows = kept
	c.locked = locked
	return err
}

// setProbes notes the probes that are under way, and which endpoints have nothing to
// be probed with.
func (c *claim) setProbes(ctx context.Context, t *txn) error {
	leased := make(map[key]bool, len(c.rows))
	for _, row := range c.rows {
		leased[row.k] = true
	}
	var set []probeTime
	var end []endpointAt
	for _, p := range c.probes {
		if leased[p.k] {
			set = append(set, probeTime{later(c.seen.micros, c.terms.Lease), c.token, p.num})
		}
	}
	for _, num := range c.idle {
		if c.locked[num] {
			end = append(end, endpointAt{c.seen.micros, num})
		}
	}
	return t.execAll(ctx, c.s.sql.SetProbes.of(set), c.s.sql.EndProbes.of(end))
}

// parkedAt returns the state of a new delivery to each of the paused endpoints:
// parked, or ready if there was nothing to probe that one with.
func (s *Store) parkedAt(ctx context.Context, t *txn, nums []number) (map[int64]int64, error) {
	states := make(map[int64]int64, len(nums))
	for _, num := range nums {
		states[int64(num)] = stateParked
	}
	err := t.queryAll(ctx, s.sql.Idle.of(nums), func(r *sql.Rows) error {
		var num int64
		err := r.Scan(&num)
		states[num] = stateReady
		return err
	})
	return states, err
}

// wake asks for the probes of paused endpoints of which deliveries were parked; the
// value says whether some of these were attempted before. An endpoint that is not
// paused any more is left to Maintain.
func (s *Store) wake(ctx context.Context, t *txn, parked map[int64]bool) error {
	now, err := t.clock(ctx)
	if err != nil {
		return err
	}
	rows := make([]waking, 0, len(parked))
	for num, begun := range parked {
		rows = append(rows, waking{now, begun, num})
	}
	slices.SortFunc(rows, func(a, b waking) int { return cmp.Compare(a.endpoint, b.endpoint) })
	return t.execAll(ctx, s.sql.Wake.of(rows))
}

func boolNumber(b bool) int {
	if b {
		return 1
	}
	return 0
}
