package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ringyo-ai/webhook"
)

// errFull ends the reading of events when the call has as many bytes as it may.
var errFull = errors.New("as many bytes as were asked for")

// read reads the events of the rows, in their order, until that is more than
// MaxBytes, and returns how many of the rows it was.
func (c *claim) read(ctx context.Context, t *txn) (n int, err error) {
	found := make(map[key]readEvent, len(c.rows))
	records := make(map[key]*webhook.EventRecord, len(c.rows)) // of events that several deliveries share
	bytes, full := 0, false
	err = t.queryAll(ctx, c.toRead(), func(r *sql.Rows) error {
		var k, event key
		rec, bad, err := scanLeased(r, &k, &event)
		if err != nil {
			return err
		}
		if bad != nil || records[event] == nil {
			records[event] = &rec
		}
		found[k] = readEvent{rec: records[event], bad: bad}
		if bytes += len(rec.Data); c.terms.MaxBytes > 0 && bytes > c.terms.MaxBytes {
			full = true
			return errFull
		}
		return nil
	})
	if err != nil && !full {
		return 0, err
	}
	return c.fit(found, full), nil
}

// readEvent is an event as it was read. bad says why it could not be.
type readEvent struct {
	rec *webhook.EventRecord
	bad error
}

// toRead returns the statement for the events of the rows, and what to ask for: the
// deliveries, or the events where these are known from the lease.
func (c *claim) toRead() batch {
	if !c.s.dialect.leaseTellsEvents() {
		keys := make([]key, len(c.rows))
		for i, row := range c.rows {
			keys[i] = row.k
		}
		return c.s.sql.Leased.of(keys)
	}
	keys, asked := make([]key, 0, len(c.rows)), make(map[key]bool)
	for _, row := range c.rows {
		if !asked[row.event] {
			asked[row.event] = true
			keys = append(keys, row.event)
		}
	}
	return c.s.sql.Events.of(keys)
}

// fit gives the rows their events, and returns how many of them are within MaxBytes,
// or one. full means that not all were read.
func (c *claim) fit(found map[key]readEvent, full bool) int {
	bytes := 0
	for i := range c.rows {
		row := &c.rows[i]
		k := row.k
		if c.s.dialect.leaseTellsEvents() {
			k = row.event
		}
		ev, ok := found[k]
		switch {
		case !ok && full:
			return i
		case !ok: // somebody deleted rows by hand, just now
			ev.bad = errNoEvent
		}
		row.rec = ev.rec
		if row.err == nil {
			row.err = ev.bad
		}
		if row.err != nil {
			continue
		}
		if bytes += len(ev.rec.Data); i > 0 && c.terms.MaxBytes > 0 && bytes > c.terms.MaxBytes {
			return i
		}
	}
	return len(c.rows)
}

// readTargets reads where the rows go.
func (c *claim) readTargets(ctx context.Context, t *txn) (err error) {
	want := make(map[int64]int64, len(c.rows))
	for _, row := range c.rows {
		want[row.endpoint] = row.version
	}
	c.targets, err = c.s.targetsOf(ctx, t, want)
	for num, tg := range c.damaged {
		if of := c.targets[num]; of != nil && of.Err == nil {
			c.targets[num] = tg
		}
	}
	return err
}

var (
	errNoEvent = errors.New("sqlstore: the delivery's event is not there any more")
	errNoData  = errors.New("sqlstore: the event has no data")
)

// scanLeased is scanReadable of an event that is to be sent.
func scanLeased(r *sql.Rows, others ...any) (rec webhook.EventRecord, bad, err error) {
	rec, bad, err = scanReadable(r, others...)
	if bad == nil && len(rec.Data) == 0 {
		bad = errNoData
	}
	return rec, bad, err
}

// scanReadable is scanEvent for what others are read with: bad says why the event
// cannot be read. The first of the others is the key of the row.
func scanReadable(r *sql.Rows, others ...any) (rec webhook.EventRecord, bad, err error) {
	rec, err = scanEvent(r, others...)
	if err == nil {
		return rec, nil, nil
	}
	var id any
	dst := append(slices.Clone(others), &id, new(any), new(any), new(any), new(any), new(any))
	bad = fmt.Errorf("sqlstore: the event's row cannot be read: %w", err)
	if err = r.Scan(dst...); err != nil { // so what stands before the event
		for i := range others[1:] {
			dst[1+i] = new(any)
		}
		err = r.Scan(dst...)
	}
	if id == nil { // of a left join
		bad = errNoEvent
	}
	return webhook.EventRecord{}, bad, err
}

// scanEvent reads eventColumns, after some others.
func scanEvent(row scanner, others ...any) (webhook.EventRecord, error) {
	var rec webhook.EventRecord
	var at, created int64
	err := row.Scan(append(others, &rec.ID, &rec.AccountID, &rec.Type, &at, &created, &rec.Data)...)
	rec.Timestamp, rec.CreatedAt = time.UnixMicro(at).UTC(), fromMicros(created)
	return rec, err
}
