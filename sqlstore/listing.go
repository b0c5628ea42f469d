package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/sqldb"
)

// Bounds of what one page of a filter looks at. It does so in a few steps, each over
// more rows than the one before: a filter that matches much ends with the first, and
// one that matches little takes few statements.
const (
	firstLook  = 2_000
	lookGrowth = 14
	lookAtMost = 200_000
)

// ListDeliveries implements [webhook.Log]. The cursor is the id of the last
// delivery that was looked at.
func (s *Store) ListDeliveries(ctx context.Context, f webhook.DeliveryFilter) (webhook.Page[webhook.Delivery], error) {
	var page webhook.Page[webhook.Delivery]
	l := &listing{s: s, f: &f, before: lastKey}
	if f.Cursor != "" {
		var ok bool
		if l.before, ok = parseKey(f.Cursor); !ok {
			return page, invalid("Cursor", "is not one that the store returned")
		}
	}
	switch {
	case f.Limit < 1:
		return page, invalid("Limit", "must be at least 1")
	case f.Status != "" && !slices.Contains(deliveryStatuses, f.Status):
		return page, invalid("Status", "must be pending, held, delivered, exhausted or cancelled")
	}
	if err := l.narrow(); err != nil {
		return page, err
	}
	in := s.view
	if f.DeliveryID != "" || f.EventID != "" && f.EndpointID == "" { // it takes one statement
		in = s.read
	}
	err := in(ctx, func(t *txn) (err error) {
		run := *l // it can run again
		page, err = run.run(ctx, t)
		return err
	})
	return found(s, "list deliveries", page, err)
}

var deliveryStatuses = []webhook.DeliveryStatus{
	webhook.DeliveryPending, webhook.DeliveryHeld, webhook.DeliveryDelivered, webhook.DeliveryExhausted, webhook.DeliveryCancelled,
}

// lastKey is behind every key.
var lastKey = key{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}

// listing is one ListDeliveries at work. What it is to find has keys from the one and
// before the other.
type listing struct {
	s            *Store
	f            *webhook.DeliveryFilter
	from, before key
	where        conditions // of the filter, beyond that and beyond whose deliveries they are
	whose        conditions
	failed       bool // all that it is to find was exhausted or cancelled
}

// narrow reads the filter.
func (l *listing) narrow() error {
	f := l.f
	if word := statusConditions[f.Status]; word != "" {
		l.where.add(word)
	}
	if !f.From.IsZero() {
		l.where.add(`d.created_at >= ?`, boundMicros(f.From))
		l.from = firstKeyAt(toMicros(f.From) - keyLag.Microseconds())
	}
	if !f.Until.IsZero() {
		l.where.add(`d.created_at < ?`, boundMicros(f.Until))
		if end := firstKeyAt(toMicros(f.Until) + keyLag.Microseconds()); compareKeys(end, l.before) < 0 {
			l.before = end
		}
	}
	return l.where.types(f.Types)
}

// boundMicros returns the first whole microsecond that is not before t.
func boundMicros(t time.Time) int64 { return t.Add(time.Microsecond - 1).UnixMicro() }

// statusConditions say in SQL what scanDelivery and statusWordOf do.
var statusConditions = map[webhook.DeliveryStatus]string{
	webhook.DeliveryPending:   `p.status <> 0 and (d.status = 1 or d.status = 0 and coalesce(q.state, -1) <> 4)`,
	webhook.DeliveryHeld:      `p.status <> 0 and d.status = 0 and q.state = 4`,
	webhook.DeliveryDelivered: `d.status = 2`,
	webhook.DeliveryExhausted: `d.status = 3`,
	webhook.DeliveryCancelled: `(d.status = 4 or p.status = 0 and d.status in (0, 1))`,
}

// conditions are what a WHERE clause demands, with their parameters.
type conditions struct {
	texts []string
	args  []any
}

func (c *conditions) add(text string, args ...any) {
	c.texts = append(c.texts, text)
	c.args = append(c.args, args...)
}

// types demands that the event is of one of the types, of which some are prefixes.
// Types are compared byte by byte, so that all with a prefix are in one range.
func (c *conditions) types(types []webhook.EventType) error {
	if len(types) == 0 || slices.Contains(types, "*") {
		return nil
	}
	var any []string
	for _, t := range types {
		if err := checkText("Types", string(t), maxType); err != nil {
			return err
		}
		if group, ok := strings.CutSuffix(string(t), ".*"); ok {
			any = append(any, `e.type >= ? and e.type < ?`)
			c.args = append(c.args, group+".", group+string('.'+1))
		} else {
			any = append(any, `e.type = ?`)
			c.args = append(c.args, string(t))
		}
	}
	c.texts = append(c.texts, "("+strings.Join(any, " or ")+")")
	return nil
}

// and returns the conditions as they stand behind others.
func (c *conditions) and() string {
	if len(c.texts) == 0 {
		return ""
	}
	return " and " + strings.Join(c.texts, " and ")
}

// text makes a statement of one that was put together.
func (s *Store) text(raw string) string {
	text := sqldb.Named(s.dialect.kind, strings.TrimSpace(raw), s.prefix)
	if s.dialect.numbered {
		text = sqldb.Number(text)
	}
	return text
}

// queryOnce is query for a statement that was put together: it is not kept.
func (t *txn) queryOnce(ctx context.Context, text string, scan func(*sql.Rows) error, args ...any) error {
	rows, err := t.q.QueryContext(ctx, t.s.text(text), args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err says what there is to say
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (l *listing) run(ctx context.Context, t *txn) (page webhook.Page[webhook.Delivery], err error) {
	f, num := l.f, int64(0)
	if f.EndpointID != "" {
		if num, err = l.s.endpointOf(ctx, t, f.AccountID, f.EndpointID); err != nil {
			return page, err
		}
	}
	if checkText("", f.AccountID, maxAccount) != nil || checkText("", f.EventID, maxID) != nil {
		return page, nil // nothing has such an id
	}
	switch {
	case f.DeliveryID != "":
		return l.byID(ctx, t)
	case f.EventID != "":
		if num != 0 {
			l.where.add(`p.num = ?`, num)
		}
		k := l.s.dialect.keyArg(eventKey(f.AccountID, f.EventID))
		// The bounds stand outside: a plan that is kept would read the index of all ids for them.
		raw := `select ` + deliveryColumns + ` from (
			select * from {p}delivery where event = ? order by id desc limit 1000000000) d` + l.s.dialect.lists.joins + `
			where d.id >= ? and d.id < ?` + l.where.and() + ` order by d.id desc limit ?`
		_, err = l.take(ctx, t, &page, raw, slices.Concat([]any{k, l.key(l.from), l.key(l.before)}, l.where.args))
		return page, err
	case num != 0 && len(l.where.texts) == 0:
		return l.plain(ctx, t, num)
	case num != 0:
		l.whose.add(`p.num = ?`, num)
		if l.failed, err = l.ofFailed(ctx, t, num); err != nil {
			return page, err
		}
		return l.steps(ctx, t, 1)
	}
	l.whose.add(`p.account = ?`, f.AccountID)
	n := 0
	if err := t.row(ctx, l.s.sql.AllEndpoints, f.AccountID).Scan(&n); err != nil || n == 0 {
		return page, err
	}
	return l.steps(ctx, t, n)
}

// ofFailed reports whether what is to be found is in the index of what was exhausted or
// cancelled. What a deleted endpoint has left is cancelled too, but not there until
// Maintain ends it.
func (l *listing) ofFailed(ctx context.Context, t *txn, num int64) (bool, error) {
	switch {
	case l.s.dialect.lists.failed.rows == "":
		return false, nil
	case l.f.Status == webhook.DeliveryCancelled:
		status := endpointDeleted
		err := t.row(ctx, l.s.sql.StatusOf, num).Scan(&status)
		return status != endpointDeleted, err
	}
	return l.f.Status == webhook.DeliveryExhausted, nil
}

func (l *listing) key(k key) any { return l.s.dialect.keyArg(k) }

func (l *listing) byID(ctx context.Context, t *txn) (page webhook.Page[webhook.Delivery], err error) {
	if l.f.Cursor != "" {
		return page, nil
	}
	row, err := l.s.delivery(ctx, t, l.f.AccountID, l.f.DeliveryID)
	if errors.Is(err, webhook.ErrNotFound) {
		return page, nil
	}
	if err == nil && fits(l.f, &row.Delivery) {
		page.Items = append(page.Items, row.Delivery)
	}
	return page, err
}

// fits reports whether a delivery of the account is one that the filter wants.
func fits(f *webhook.DeliveryFilter, d *webhook.Delivery) bool {
	return (f.EndpointID == "" || d.EndpointID == f.EndpointID) &&
		(f.EventID == "" || d.EventID == f.EventID) &&
		(f.Status == "" || d.Status == f.Status) &&
		(f.From.IsZero() || !d.CreatedAt.Before(f.From)) &&
		(f.Until.IsZero() || d.CreatedAt.Before(f.Until)) &&
		matchesAny(d.EventType, f.Types)
}

// matchesAny reports whether one of the patterns matches the type, or there are none.
func matchesAny(t webhook.EventType, patterns []webhook.EventType) bool {
	return len(patterns) == 0 ||
		slices.ContainsFunc(t.Patterns(), func(p webhook.EventType) bool { return slices.Contains(patterns, p) })
}

// plain lists the latest deliveries of one endpoint, whatever they are.
func (l *listing) plain(ctx context.Context, t *txn, num int64) (page webhook.Page[webhook.Delivery], err error) {
	err = t.query(ctx, l.s.sql.DeliveriesOfEndpoint, func(r *sql.Rows) error { return l.add(&page, r) },
		num, l.key(l.before), l.f.Limit+1)
	return page, err
}

// add puts a delivery on the page, or notes that there is one behind it.
func (l *listing) add(page *webhook.Page[webhook.Delivery], r *sql.Rows) error {
	if n := len(page.Items); n == l.f.Limit {
		page.Next = page.Items[n-1].ID
		return nil
	}
	row, err := scanDelivery(r)
	page.Items = append(page.Items, row.Delivery)
	return err
}

// take fills the page with what a statement finds, whose last parameter is how many
// that may be, and reports whether there is more than fits.
func (l *listing) take(ctx context.Context, t *txn, page *webhook.Page[webhook.Delivery], raw string, args []any) (full bool, err error) {
	err = t.queryOnce(ctx, raw, func(r *sql.Rows) error { return l.add(page, r) }, append(args, l.f.Limit+1-len(page.Items))...)
	return page.Next != "", err
}

// steps lists deliveries of so many endpoints, from the latest to the oldest.
func (l *listing) steps(ctx context.Context, t *txn, endpoints int) (page webhook.Page[webhook.Delivery], err error) {
	if l.s.dialect.history && !l.failed {
		if full, err := l.unlisted(ctx, t, &page); full || err != nil {
			return page, err
		}
	}
	look := l.f.Limit
	if len(l.where.texts) > 0 {
		look = max(look, firstLook)
	}
	from := l.s.dialect.lists.span
	switch lists := &l.s.dialect.lists; {
	case l.failed:
		from = lists.failed
	case lists.one != "" && l.f.EndpointID != "":
		from.rows = lists.one
	}
	most := lookAtMost
	if l.f.MaxScan > 0 {
		most = min(most, l.f.MaxScan)
	}
	for looked := 0; ; look *= lookGrowth {
		look = min(look, most)
		floor, more, err := l.floor(ctx, t, from.floor, 1+look/endpoints)
		if err != nil {
			return page, err
		}
		full, err := l.take(ctx, t, &page, l.of(from.rows)+` where d.id >= ?`+l.where.and()+` order by `+from.order+` desc limit ?`,
			slices.Concat(l.whose.args, []any{l.key(floor), l.key(l.before), l.key(floor)}, l.where.args))
		if full || !more || err != nil {
			return page, err
		}
		l.before = floor
		if looked += look; looked >= most {
			page.Next = floor.id()
			return page, nil
		}
	}
}

// of fills in whose deliveries they are.
func (l *listing) of(text string) string {
	return strings.Replace(text, "%WHOSE%", l.whose.texts[0], 1)
}

// floor returns the key down to which a step looks: at most so many more deliveries of
// each endpoint, and of one of them as many. more is false when that is all.
func (l *listing) floor(ctx context.Context, t *txn, text string, each int) (floor key, more bool, err error) {
	floor = l.from
	err = t.queryOnce(ctx, l.of(text), func(r *sql.Rows) error {
		var b sql.Null[key]
		err := r.Scan(&b)
		if more = b.Valid; more {
			floor = b.V
		}
		return err
	}, slices.Concat([]any{l.key(l.from), l.key(l.before), each}, l.whose.args)...)
	return floor, more, err
}

// unlisted lists the deliveries that are not in SQLite's history table yet. What is left
// is in it.
func (l *listing) unlisted(ctx context.Context, t *txn, page *webhook.Page[webhook.Delivery]) (full bool, err error) {
	var end []byte
	if err := t.row(ctx, l.s.sql.HistoryEnd).Scan(&end); err != nil {
		return false, err
	}
	full, err = l.take(ctx, t, page, l.s.dialect.lists.unlisted+` and `+l.whose.texts[0]+l.where.and()+` order by d.id desc limit ?`,
		slices.Concat([]any{end, l.key(l.from), l.key(l.before)}, l.whose.args, l.where.args))
	var after key // the first one behind the end
	copy(after[:], end)
	for i := len(after) - 1; i >= 0 && len(end) > 0; i-- {
		if after[i]++; after[i] != 0 {
			break
		}
	}
	if compareKeys(after, l.before) < 0 {
		l.before = after
	}
	return full, err
}
