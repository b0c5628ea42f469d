package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/ringyo-ai/webhook"
)

// claim is one Claim call at work. It chooses without locks, asking Room, and then
// leases what is still there.
type claim struct {
	s       *Store
	terms   webhook.LeaseTerms
	from    place // as asked for
	at      int64 // where the walk goes on: after this endpoint
	wrapped bool  // it goes to the round's end, and not to the last endpoint first
	passed  int64 // the endpoint visited last
	served  int64 // the one of which something was taken last; 0: none was
	whole   bool  // the walk came to the end of the round
	full    bool  // or it has all that was asked for
	visited int
	first   int    // rows of probes, which come first
	reads   int    // rows of each endpoint to read before Room is asked
	again   []stop // visited, of which there is more
	asked   bool   // Room was
	more    bool   // stopped before it had looked at all
	token   int64

	seen    outlook
	rows    []claimed
	probes  []probe                   // of rows, at paused endpoints
	locked  map[int64]bool            // of both, while they are leased
	idle    []int64                   // paused endpoints whose probe is due, and that have nothing to send
	met     []number                  // endpoints that have ready rows but are not active
	key     queueKey                  // scanned last
	strays  int                       // rows of the queue that were dropped, since their delivery is gone
	damaged map[int64]*webhook.Target // endpoints of which what a claim asks for cannot be read
	targets map[int64]*webhook.Target
}

// claimed is one row of the queue to be leased, with what is known of its delivery.
type claimed struct {
	k, event                    key
	endpoint, version           int64
	state, due                  int64  // in the queue
	at                          string // where it was found there, in PostgreSQL; or empty
	attempts, releases, expired int
	rec                         *webhook.EventRecord
	err                         error // why its event, or its delivery, cannot be read
}

// Claim implements [webhook.Queue]. The cursor is a [place].
func (s *Store) Claim(ctx context.Context, r webhook.ClaimRequest) (webhook.Claimed, error) {
	from, ok := parsePlace(r.Cursor)
	if !ok {
		return webhook.Claimed{}, invalid("Cursor", "is not one that the store returned")
	}
	if err := checkTerms(r.LeaseTerms); err != nil {
		return webhook.Claimed{}, err
	}
	if err := s.meet(ctx, s.db); err != nil {
		return webhook.Claimed{}, s.failed("claim", err)
	}
	c := &claim{s: s, key: s.queueKey(), terms: r.LeaseTerms, from: from}
	if err := c.run(ctx, r.Cursor == ""); err != nil {
		return webhook.Claimed{}, s.failed("claim", err)
	}
	if len(c.met) > 0 {
		c.flag(ctx)
	}
	return c.result(), nil
}

func checkTerms(t webhook.LeaseTerms) error {
	if t.Max > 0 && t.Room == nil {
		return fmt.Errorf("sqlstore: LeaseTerms.Room is required unless Max is 0: %w", webhook.ErrInvalidArgument)
	}
	return nil
}

// run leases, and reads what goes with the rows after that, when others can write
// again. A poll that finds nothing writes nothing.
func (c *claim) run(ctx context.Context, anywhere bool) (err error) {
	s := c.s
	if c.seen, err = s.look(ctx); err != nil || c.terms.Max <= 0 || !c.seen.ready && !c.seen.probing() {
		return err
	}
	if anywhere {
		if err := c.begin(ctx); err != nil {
			return err
		}
	}
	return c.pursue(ctx)
}

// pursue chooses among what was seen, leases that and reads it.
func (c *claim) pursue(ctx context.Context) error {
	s := c.s
	err := s.view(ctx, func(t *txn) error {
		c.restart()
		return c.choose(ctx, t)
	})
	if err != nil {
		return err
	}
	if err := c.dropJunk(ctx); err != nil || len(c.rows)+len(c.idle) == 0 {
		return err
	}
	if err := c.take(ctx); err != nil {
		return err
	}
	if c.strays > 0 { // reported by Maintain
		s.dropped.Add(int64(c.strays))
		c.more = true
	}
	if len(c.rows) == 0 {
		return nil
	}
	s.leases.add(c.seen.micros, lease{due: later(c.seen.micros, c.terms.Lease), token: c.token}, len(c.rows))
	n := 0 // of the rows, those that were read whole
	err = s.view(ctx, func(t *txn) (err error) {
		n = 0
		if err := c.readTargets(ctx, t); err != nil {
			return err
		}
		n, err = c.read(ctx, t)
		return err
	})
	back := c.rows[n:]
	c.rows = c.rows[:n]
	if len(back) > 0 && n > c.first { // those are the first of the next round
		c.served, c.full = c.rows[n-1].endpoint, true
	}
	c.more = c.more || len(back) > 0
	if err == nil {
		c.dropErased(ctx)
		return c.giveBack(ctx, back)
	}
	// If this fails too, the leases end by themselves.
	ctx, cancel := parting(ctx)
	defer cancel()
	_ = c.giveBack(ctx, back)
	return err
}

// begin chooses where the rounds of this process begin, at random: processes that
// began at the same endpoint would choose the same deliveries.
func (c *claim) begin(ctx context.Context) error {
	start := c.s.start.Load()
	if start < 0 {
		var last int64
		err := c.s.read(ctx, func(t *txn) error { return t.row(ctx, c.s.sql.LastEndpoint).Scan(&last) })
		if err != nil {
			return err
		}
		start = rand.Int64N(last + 1) // #nosec G404 -- has to differ, not to be secret
		c.s.start.Store(start)
	}
	c.from = from(start)
	return nil
}

// restart forgets what an attempt that failed chose.
func (c *claim) restart() {
	if c.asked {
		c.terms.Room.Reset()
	}
	c.at, c.wrapped = c.from.at, c.from.at < c.from.end
	c.passed, c.served, c.visited, c.reads, c.again = c.from.at, 0, 0, rowsPerStop, nil
	if c.s.crowded.Load() {
		c.reads = rowsPerTurn
	}
	c.whole, c.full, c.asked, c.more = false, false, false, false
	c.rows, c.probes, c.idle, c.met, c.damaged = nil, nil, nil, nil, nil
	c.key.any = false
}

// choose chooses what to lease. Probes come first, since they would otherwise wait
// for as long as others fill each claim, but leave half of the claim to those.
func (c *claim) choose(ctx context.Context, t *txn) error {
	if c.seen.probing() {
		most := c.terms.Max
		if c.seen.ready {
			most = (most + 1) / 2
		}
		if err := c.chooseProbes(ctx, t, most); err != nil {
			return err
		}
	}
	c.first = len(c.rows)
	if c.seen.ready && len(c.rows) < c.terms.Max {
		if err := c.walk(ctx, t); err != nil {
			return err
		}
	}
	c.more = c.more || len(c.rows) >= c.terms.Max
	return nil
}

// room asks for room for n deliveries of an endpoint.
func (c *claim) room(of webhook.Candidate, n int) int {
	c.asked = true
	return min(n, max(0, c.terms.Room.Take(of, n)))
}

// take leases the chosen rows. Those that somebody else took, or that were moved
// meanwhile, are left out.
func (c *claim) take(ctx context.Context) error {
	chosen := c.rows
	if c.s.dialect.leaseAtOnce != nil && len(c.probes)+len(c.idle) == 0 {
		return c.s.again(ctx, func() error {
			c.token, c.rows, c.strays = newToken(), chosen, 0
			return c.s.onConn(ctx, func(t *txn) error { return afterCommit(c.s.dialect.leaseAtOnce(ctx, t, c)) })
		})
	}
	return c.s.write(ctx, func(t *txn) (err error) {
		c.token, c.rows, c.strays = newToken(), chosen, 0
		if c.seen.micros, err = t.clock(ctx); err != nil {
			return err
		}
		if err := c.lockProbes(ctx, t); err != nil {
			return err
		}
		if c.s.dialect.leaseAtOnce != nil {
			err = c.s.dialect.leaseAtOnce(ctx, t, c)
		} else {
			err = c.lease(ctx, t)
		}
		if err != nil {
			return err
		}
		return c.setProbes(ctx, t)
	})
}

// keep leaves of the rows those that were found, with what was found, each once:
// what others did while they were chosen may have brought one up again.
func (c *claim) keep(found map[key]claimed) {
	var kept []claimed
	for _, row := range c.rows {
		if f, ok := found[row.k]; ok {
			row.event, row.attempts, row.releases, row.expired, row.err = f.event, f.attempts, f.releases, f.expired, f.err
			kept = append(kept, row)
			delete(found, row.k)
		}
	}
	c.rows = kept
}

// keys returns the rows' keys in their order, in which they are locked.
func (c *claim) keys() []key {
	keys := make([]key, len(c.rows))
	for i, row := range c.rows {
		keys[i] = row.k
	}
	slices.SortFunc(keys, compareKeys)
	return keys
}

// lease takes the rows out of the queue and leases their deliveries.
func (c *claim) lease(ctx context.Context, t *txn) error {
	sq := c.s.sql
	states := make(map[key]int64, len(c.rows))
	for _, row := range c.rows {
		states[row.k] = row.state
	}
	found := make(map[key]claimed, len(c.rows))
	err := t.queryAll(ctx, sq.LockRows.of(c.keys()), func(r *sql.Rows) error {
		row, err := scanLocked(r)
		if state, chosen := states[row.k]; chosen && state == row.state {
			found[row.k] = row
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := c.dropStrays(ctx, t, found); err != nil {
		return err
	}
	if c.keep(found); len(c.rows) == 0 {
		return nil
	}
	due, keys := later(c.seen.micros, c.terms.Lease), c.keys()
	leased := make([]leasing, len(keys))
	for i, k := range keys {
		leased[i] = leasing{lease{due, c.token}, k}
	}
	if err := t.execAll(ctx, sq.DeleteQueue.of(keys), sq.Lease.of(leased)); err != nil {
		return err
	}
	return t.exec(ctx, sq.InsertLease, due, c.token, int64(c.terms.Process), joinKeys(keys))
}

// dropJunk drops the rows of the queue that have no key, if there were some.
func (c *claim) dropJunk(ctx context.Context) error {
	if !c.key.any {
		return nil
	}
	n := 0
	err := c.s.write(ctx, func(t *txn) (err error) {
		n, err = t.dropJunk(ctx)
		return err
	})
	if err == nil {
		c.s.dropped.Add(int64(n))
		c.more = true
	}
	return err
}

// dropStrays drops those of the rows whose delivery is gone, since somebody deleted
// that by hand. They would be chosen again and again, instead of others.
func (c *claim) dropStrays(ctx context.Context, t *txn, found map[key]claimed) error {
	var missing []key
	for _, k := range c.keys() {
		if _, ok := found[k]; !ok {
			missing = append(missing, k)
		}
	}
	var strays []key
	err := t.queryAll(ctx, c.s.sql.Undelivered.of(missing), func(r *sql.Rows) error {
		var k key
		err := r.Scan(&k)
		strays = append(strays, k)
		return err
	})
	if err != nil {
		return err
	}
	c.strays = len(strays)
	return t.execAll(ctx, c.s.sql.DeleteQueue.of(strays))
}

// scanLocked reads a row of the queue with what is known of its delivery.
func scanLocked(r *sql.Rows) (row claimed, err error) {
	if err = r.Scan(&row.k, &row.state, &row.attempts, &row.releases, &row.expired); err == nil {
		return row, nil
	}
	var bad unread
	dst := columnsOf(&bad, `attempts, releases, expired`, &row.attempts, &row.releases, &row.expired)
	err = r.Scan(append([]any{&row.k, &row.state}, dst...)...)
	row.err = fmt.Errorf("sqlstore: the delivery's row cannot be read: %w", errors.Join(bad.causes...))
	return row, err
}

// giveBack puts rows that are leased but cannot be handed out where they were.
func (c *claim) giveBack(ctx context.Context, rows []claimed) error {
	if len(rows) == 0 {
		return nil
	}
	byKey := make(map[key]claimed, len(rows))
	keys := make([]key, len(rows))
	for i, row := range rows {
		byKey[row.k] = row
		keys[i] = row.k
	}
	slices.SortFunc(keys, compareKeys)
	n := 0
	err := c.s.write(ctx, func(t *txn) error {
		var mine []key
		var queue []queuePlace
		var probes []probeTime
		err := readDeliveries(ctx, t, &c.s.sql.LockDeliveries, keys, func(d loggedDelivery) {
			if d.status == statusLeased && d.token == c.token {
				row := byKey[d.k]
				mine = append(mine, d.k)
				queue = append(queue, queuePlace{d.k, row.endpoint, row.state, row.due})
			}
		})
		if err != nil {
			return err
		}
		n = len(mine)
		for _, p := range c.probes {
			if _, back := byKey[p.k]; back {
				probes = append(probes, probeTime{c.seen.micros, c.token, p.num})
			}
		}
		sq := c.s.sql
		return t.execAll(ctx, sq.GiveBack.of(mine), sq.InsertQueue.of(queue), sq.UnsetProbes.of(probes))
	})
	if err == nil {
		c.s.leases.settle(map[int64]int{c.token: n}, nil)
	}
	return err
}

// flag tells Maintain of endpoints that are not active and have ready rows all
// the same: whoever inserted them did not see the change. It is a hint, and
// repeated by the next claim that meets them.
func (c *claim) flag(ctx context.Context) {
	err := c.s.write(ctx, func(t *txn) error { return t.execAll(ctx, c.s.sql.SetMoving.of(c.met)) })
	c.seen.moving = c.seen.moving || err == nil
}

func (c *claim) result() webhook.Claimed {
	out := webhook.Claimed{
		Cursor: c.next().String(), More: c.more, NextIn: c.seen.nextIn(), Now: fromMicros(c.seen.micros),
	}
	for _, row := range c.rows {
		event, target := row.rec, c.targets[row.endpoint]
		if target == nil {
			continue // somebody deleted rows by hand: Maintain finds the lease
		}
		if row.err != nil {
			event = &webhook.EventRecord{AccountID: target.AccountID}
		}
		out.Deliveries = append(out.Deliveries, webhook.Leased{
			DeliveryID: row.k.id(), Token: webhook.LeaseToken(c.token),
			Attempts: row.attempts, Releases: row.releases, Expired: row.expired,
			Event: event, Target: target, Err: row.err,
		})
	}
	return out
}
