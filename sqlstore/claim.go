package sqlstore

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"time"

	"github.com/ringyo-ai/webhook"
)

// claim is one Claim call at work.
type claim struct {
	s      *Store
	terms  webhook.LeaseTerms
	slots  map[int64]int // by endpoint number
	cursor int64         // begin after this endpoint
	token  int64

	seen    outlook
	rows    []claimed
	met     []int64 // endpoints that have ready rows but are not active
	targets map[int64]*webhook.Target
	events  map[key]*webhook.EventRecord
}

// claimed is one row of the queue that was leased, and what its delivery tells.
type claimed struct {
	k, event                    key
	endpoint, version, due      int64
	attempts, releases, expired int
}

// Claim implements [webhook.Queue]. The cursor is the number of the endpoint
// that was served last.
func (s *Store) Claim(ctx context.Context, r webhook.ClaimRequest) (webhook.Claimed, error) {
	cursor := int64(0)
	if r.Cursor != "" {
		var err error
		if cursor, err = strconv.ParseInt(r.Cursor, 10, 64); err != nil || cursor < 0 {
			return webhook.Claimed{}, invalid("Cursor", "is not one that the store answered")
		}
	}
	c := &claim{s: s, terms: r.LeaseTerms, cursor: cursor}
	if err := s.dialect.claim(ctx, s, c); err != nil {
		return webhook.Claimed{}, s.failed("claim", err)
	}
	s.leases.add(c.seen.micros, lease{due: later(c.seen.micros, c.terms.Lease), token: c.token}, len(c.rows))
	if len(c.met) > 0 {
		c.flag(ctx)
	}
	return c.answer(), nil
}

// restart forgets what an attempt that was rolled back found.
func (c *claim) restart() {
	c.token, c.rows, c.met = newToken(), nil, nil
}

// free answers the slots of an endpoint.
func (c *claim) free(num int64) int {
	if n, named := c.slots[num]; named {
		return n
	}
	return c.terms.PerEndpoint
}

// claimInTx picks and leases in one transaction, and reads what goes with the
// rows after it, when others can write again. A poll that finds nothing writes
// nothing: it asks before it begins.
func claimInTx(ctx context.Context, s *Store, c *claim) error {
	var err error
	if c.seen, err = s.look(ctx); err != nil || !c.seen.ready || c.terms.Max <= 0 {
		return err
	}
	err = s.write(ctx, func(t *txn) error {
		c.restart()
		now, err := t.clock(ctx)
		if err != nil {
			return err
		}
		c.seen.micros = now
		if c.slots, err = s.slotsByNum(ctx, t, c.terms); err != nil {
			return err
		}
		if err := s.dialect.pick(ctx, t, c); err != nil {
			return err
		}
		return c.lease(ctx, t)
	})
	if err != nil || len(c.rows) == 0 {
		return err
	}
	err = s.read(ctx, func(t *txn) error {
		if err := c.readTargets(ctx, t); err != nil {
			return err
		}
		return c.readLeased(ctx, t)
	})
	if err != nil {
		ctx, cancel := parting(ctx)
		defer cancel()
		c.release(ctx)
	}
	return err
}

// release makes ready again what was leased but cannot be handed out. If that
// fails too, the leases end by themselves.
func (c *claim) release(ctx context.Context) {
	items := make([]item, len(c.rows))
	for i, row := range c.rows {
		items[i] = item{k: row.k, at: i, Settlement: &webhook.Settlement{
			DeliveryID: row.k.id(), Token: webhook.LeaseToken(c.token), Outcome: webhook.OutcomeReleased,
		}}
	}
	_ = c.s.settleAll(ctx, items, &webhook.Settled{Results: make([]webhook.SettleResult, len(items))})
}

// lease takes the rows out of the queue and leases their deliveries.
func (c *claim) lease(ctx context.Context, t *txn) error {
	if len(c.rows) == 0 {
		return nil
	}
	due := later(c.seen.micros, c.terms.Lease)
	keys := make([]key, len(c.rows))
	for i, row := range c.rows {
		keys[i] = row.k
	}
	slices.SortFunc(keys, compareKeys)
	queued, leased := make([][]any, len(keys)), make([][]any, len(keys))
	for i, k := range keys {
		queued[i], leased[i] = []any{k}, []any{due, c.token, k}
	}
	sq := c.s.sql
	if err := t.bulk(ctx, &sq.DeleteQueue, queued, nil); err != nil {
		return err
	}
	if err := t.bulk(ctx, &sq.Lease, leased, nil); err != nil {
		return err
	}
	return t.exec(ctx, sq.InsertLease, due, c.token, joinKeys(keys))
}

// readLeased reads the deliveries and their events.
func (c *claim) readLeased(ctx context.Context, t *txn) error {
	rows := make(map[key]*claimed, len(c.rows))
	keys := make([][]any, len(c.rows))
	for i := range c.rows {
		rows[c.rows[i].k] = &c.rows[i]
		keys[i] = []any{c.rows[i].k}
	}
	c.events = make(map[key]*webhook.EventRecord, len(c.rows))
	return t.bulk(ctx, &c.s.sql.Leased, keys, func(r *sql.Rows) error {
		var k, event key
		var row claimed
		rec, err := scanEvent(r, &k, &event, &row.attempts, &row.releases, &row.expired)
		if at := rows[k]; at != nil {
			at.event, at.attempts, at.releases, at.expired = event, row.attempts, row.releases, row.expired
		}
		if c.events[event] == nil {
			c.events[event] = &rec
		}
		return err
	})
}

// readTargets reads where the rows go.
func (c *claim) readTargets(ctx context.Context, t *txn) (err error) {
	want := make(map[int64]int64, len(c.rows))
	for _, row := range c.rows {
		want[row.endpoint] = row.version
	}
	c.targets, err = c.s.targetsOf(ctx, t, want)
	return err
}

// readEvents reads the events of the rows.
func (c *claim) readEvents(ctx context.Context, t *txn) error {
	c.events = make(map[key]*webhook.EventRecord, len(c.rows))
	var keys [][]any
	for _, row := range c.rows {
		if _, asked := c.events[row.event]; !asked {
			c.events[row.event] = nil
			keys = append(keys, []any{row.event})
		}
	}
	return t.bulk(ctx, &c.s.sql.Events, keys, func(r *sql.Rows) error {
		var k key
		rec, err := scanEvent(r, &k)
		c.events[k] = &rec
		return err
	})
}

// scanEvent reads an event's columns, after some others.
func scanEvent(row scanner, others ...any) (webhook.EventRecord, error) {
	var rec webhook.EventRecord
	var at, created int64
	err := row.Scan(append(others, &rec.ID, &rec.AccountID, &rec.Type, &at, &created, &rec.Data)...)
	rec.Timestamp, rec.CreatedAt = time.UnixMicro(at).UTC(), fromMicros(created)
	return rec, err
}

// flag tells Maintain of endpoints that are not active and have ready rows all
// the same: whoever inserted them did not see the change. It is a hint, and
// repeated by the next claim that meets them.
func (c *claim) flag(ctx context.Context) {
	rows := make([][]any, len(c.met))
	for i, num := range c.met {
		rows[i] = []any{num}
	}
	err := c.s.write(ctx, func(t *txn) error { return t.bulk(ctx, &c.s.sql.SetMoving, rows, nil) })
	c.seen.moving = c.seen.moving || err == nil
}

func (c *claim) answer() webhook.Claimed {
	out := webhook.Claimed{Cursor: strconv.FormatInt(c.cursor, 10), Now: fromMicros(c.seen.micros), NextIn: c.seen.nextIn()}
	for _, row := range c.rows {
		event, target := c.events[row.event], c.targets[row.endpoint]
		if event == nil || target == nil {
			continue // somebody deleted rows by hand
		}
		out.Deliveries = append(out.Deliveries, webhook.Leased{
			DeliveryID: row.k.id(), Token: webhook.LeaseToken(c.token),
			Attempts: row.attempts, Releases: row.releases, Expired: row.expired,
			Event: event, Target: target,
		})
		out.Cursor = strconv.FormatInt(row.endpoint, 10)
	}
	out.More = len(c.rows) > 0 && len(c.rows) >= c.terms.Max
	return out
}
