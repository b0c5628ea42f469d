package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringyo-ai/webhook"
)

// ListEvents implements [webhook.Log]. The cursor is the time and the key of the last
// event that was looked at.
func (s *Store) ListEvents(ctx context.Context, f webhook.EventFilter) (webhook.Page[webhook.EventInfo], error) {
	var page webhook.Page[webhook.EventInfo]
	l := &eventListing{s: s, f: &f, from: math.MinInt64, before: eventPlace{math.MaxInt64, lastKey}}
	if f.Limit < 1 {
		return page, invalid("Limit", "must be at least 1")
	}
	if !f.From.IsZero() {
		l.from = boundMicros(f.From)
	}
	if !f.Until.IsZero() {
		l.before = eventPlace{at: boundMicros(f.Until)}
	}
	if f.Cursor != "" {
		after, ok := parseEventPlace(f.Cursor)
		if !ok {
			return page, invalid("Cursor", "is not one that the store returned")
		}
		if after.less(l.before) {
			l.before = after
		}
	}
	if err := l.where.types(f.Types); err != nil || checkText("", f.AccountID, maxAccount) != nil {
		return page, err
	}
	err := s.view(ctx, func(t *txn) (err error) {
		run := *l // it can run again
		page, err = run.run(ctx, t)
		return err
	})
	return found(s, "list events", page, err)
}

// eventPlace is where an event stands among those of its account.
type eventPlace struct {
	at int64 // when it was stored
	k  key
}

func (a eventPlace) less(b eventPlace) bool {
	return a.at < b.at || a.at == b.at && compareKeys(a.k, b.k) < 0
}

func (a eventPlace) cursor() string { return fmt.Sprintf("%d_%x", a.at, a.k[:]) }

func parseEventPlace(text string) (a eventPlace, ok bool) {
	at, k, _ := strings.Cut(text, "_")
	var err error
	if a.at, err = strconv.ParseInt(at, 10, 64); err != nil || len(k) != 2*len(a.k) {
		return a, false
	}
	_, err = hex.Decode(a.k[:], []byte(k))
	return a, err == nil && a.cursor() == text
}

// eventListing is one ListEvents at work.
type eventListing struct {
	s      *Store
	f      *webhook.EventFilter
	from   int64
	before eventPlace
	where  conditions
	last   eventPlace
}

// run looks at the events in steps, as a listing does.
func (l *eventListing) run(ctx context.Context, t *txn) (page webhook.Page[webhook.EventInfo], err error) {
	if len(l.where.texts) == 0 {
		return page, l.take(ctx, t, &page, eventPlace{at: l.from})
	}
	look := max(l.f.Limit, firstLook)
	for looked := 0; ; look *= lookGrowth {
		look = min(look, lookAtMost)
		floor, more, err := l.floor(ctx, t, look)
		if err != nil {
			return page, err
		}
		if err := l.take(ctx, t, &page, floor); page.Next != "" || !more || err != nil {
			return page, err
		}
		l.before = floor
		if looked += look; looked >= lookAtMost {
			page.Next = floor.cursor()
			return page, nil
		}
	}
}

// between demands that events stand from a place on, and before another one, in a table
// whose column names their keys.
func (l *eventListing) between(table, column string, floor eventPlace) (text string, args []any) {
	text = strings.NewReplacer("T.", table+".", "KEY", column).Replace(` where T.account = ?
		and T.created_at >= ? and (T.created_at > ? or T.KEY >= ?) and T.created_at <= ? and (T.created_at < ? or T.KEY < ?)`)
	return text, []any{
		l.f.AccountID, floor.at, floor.at, l.s.dialect.keyArg(floor.k), l.before.at, l.before.at, l.s.dialect.keyArg(l.before.k),
	}
}

// latest orders what between selects.
func latest(table, column string) string {
	return ` order by ` + table + `.created_at desc, ` + table + `.` + column + ` desc limit ?`
}

// floor returns the place down to which a step looks: at so many more events. more is
// false when that is all.
func (l *eventListing) floor(ctx context.Context, t *txn, look int) (floor eventPlace, more bool, err error) {
	floor = eventPlace{at: l.from}
	of := l.s.dialect.lists.timeline
	text, args := l.between(of.alias, of.column, floor)
	err = t.queryOnce(ctx, `select `+of.alias+`.created_at, `+of.alias+`.`+of.column+` from `+of.table+text+latest(of.alias, of.column)+` offset ?`, func(r *sql.Rows) error {
		more = true
		return r.Scan(&floor.at, &floor.k)
	}, append(args, 1, look)...)
	return floor, more, err
}

// take fills the page with the events from the floor on.
func (l *eventListing) take(ctx context.Context, t *txn, page *webhook.Page[webhook.EventInfo], floor eventPlace) error {
	n := l.f.Limit + 1 - len(page.Items)
	of := l.s.dialect.lists.timeline
	part := func(table, column, from string) (string, []any) {
		text, args := l.between(table, column, floor)
		return `select e.uid, e.id, e.type, e.at, e.created_at, length(e.data) as size from ` + from + text + l.where.and() + latest(table, column),
			append(slices.Concat(args, l.where.args), n)
	}
	raw, args := part(of.alias, of.column, of.table+of.events)
	if l.s.dialect.history {
		recent, more := part("e", "uid", `(select * from {p}event where num > (select num from {p}timeline_end)) e`)
		raw = `select * from (` + raw + `) union all select * from (` + recent + `) order by created_at desc, uid desc limit ?`
		args = append(slices.Concat(args, more), n)
	}
	return t.queryOnce(ctx, raw, func(r *sql.Rows) error {
		if len(page.Items) == l.f.Limit {
			page.Next = l.last.cursor()
			return nil
		}
		var e webhook.EventInfo
		var at int64
		err := r.Scan(&l.last.k, &e.ID, &e.Type, &at, &l.last.at, &e.Size)
		e.Timestamp, e.CreatedAt = time.UnixMicro(at).UTC(), fromMicros(l.last.at)
		page.Items = append(page.Items, e)
		return err
	}, args...)
}
