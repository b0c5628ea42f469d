package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"slices"

	"github.com/ringyo-ai/webhook"
)

// postgresDelivered records deliveries that succeeded and are still leased to
// the caller. Parameters: of each one the key, token, generation, and the
// attempt's id, time, duration and status; the bodies of all, and where that of
// each begins and how long it is; and how much an endpoint's times may lag, in
// microseconds. It answers the keys that it recorded.
//
// It deletes the places in the queue in the order given, then locks the endpoints
// that change (l) in theirs: those that are failing, or whose times are old. Rows
// are looked up by their key and written where they were found (ctid): a place in
// the queue that somebody else changed in between is not there any more, and
// whoever writes a pending delivery changes its place in the queue first.
const postgresDelivered = `
with n as materialized (select {clock} as now),
m as (
	delete from {p}queue q using (
		select x.*, f.at_row
		from unnest((select $1::uuid[]), (select $2::bigint[]), (select $3::bigint[]), (select $4::text[]),
			(select $5::bigint[]), (select $6::bigint[]), (select $7::int[]), (select $9::int[]), (select $10::int[]))
			as x (id, token, generation, attempt, at, duration, status, start, size)
		cross join lateral (select f.ctid as at_row from {p}queue f where f.id = x.id limit 1) f) x
	where q.ctid = x.at_row and q.id = x.id and q.state = 1 and q.token = x.token
	returning x.*, q.endpoint, q.made + 1 as number),
d as (
	update {p}delivery d set status = 2, attempts = m.number, done_at = n.now, reason = ''
	from n, m cross join lateral (select f.ctid as at_row from {p}delivery f where f.id = m.id limit 1) f
	where d.ctid = f.at_row),
a as (
	insert into {p}attempt (delivery, number, id, at, duration, status, failure, detail, body)
	select m.id, m.number, m.attempt, m.at, m.duration, m.status, '', '', substring($8::bytea from m.start for m.size) from m),
l as materialized (
	select p.num from {p}endpoint p, n
	where p.num = any (array(select distinct m.endpoint from m)) and p.status <> 0
	and (p.failures <> 0 or p.status = 2 or p.last_triggered_at <= n.now - $11::bigint or p.last_success_at <= n.now - $11::bigint)
	and exists (select from m where m.endpoint = p.num and m.generation = p.generation)
	order by p.num for update of p),
h as (
	update {p}endpoint p set failures = 0, failing_since = 0,
		status = case when p.status = 2 then 1 else p.status end,
		last_triggered_at = case when p.last_triggered_at <= n.now - $11::bigint then n.now else p.last_triggered_at end,
		last_success_at = case when p.last_success_at <= n.now - $11::bigint then n.now else p.last_success_at end
	from n where p.num = any (array(select l.num from l)))
select n.now, coalesce(m.id::text, '') from n left join m on true`

// settleDelivered records what was delivered in one statement, which is its own
// transaction: one round trip in the place of nine. It answers the items that it
// leaves to a transaction: other outcomes, deliveries that are not leased to the
// caller any more, and whatever concerns an endpoint that has such an item,
// since results of one endpoint apply in the order given.
func settleDelivered(ctx context.Context, s *Store, items []item, out *webhook.Settled) (rest []item, err error) {
	plain, rest := splitDelivered(items)
	if len(plain) == 0 {
		return rest, nil
	}
	rows := make([][]any, len(plain))
	for i, it := range plain {
		a := it.Attempt
		rows[i] = []any{it.k, int64(it.Token), it.Generation, a.ID, toMicros(a.At), int64(a.Duration), a.StatusCode, a.ResponseBody}
	}
	if arrayRows(rows) < len(rows) {
		return items, nil
	}
	args := append(columns("uiitiiib", rows), timesLag.Microseconds())
	done := make(map[key]bool, len(plain))
	err = s.again(ctx, func() error {
		clear(done)
		return afterCommit((&txn{s: s, q: s.db}).query(ctx, s.sql.Delivered, func(r *sql.Rows) error {
			var micros int64
			var id string
			err := r.Scan(&micros, &id)
			out.Now = fromMicros(micros)
			if err != nil || id == "" {
				return err
			}
			var k key
			err = k.Scan(id)
			done[k] = true
			return err
		}, args...))
	})
	switch {
	case kindOf(err) == kindData: // a row that the database refuses: find out which
		return items, nil
	case err != nil:
		return nil, err
	}
	for _, it := range plain {
		if done[it.k] {
			out.Results[it.at] = webhook.SettleResult{Status: webhook.SettleApplied, Delivery: webhook.DeliveryDelivered}
		} else {
			rest = append(rest, it)
		}
	}
	return rest, nil
}

// splitDelivered tells plain successes from the rest. They come in the order of
// their keys.
func splitDelivered(items []item) (plain, rest []item) {
	other := make(map[string]bool)
	seen := make(map[key]bool, len(items))
	for _, it := range items {
		if it.Outcome != webhook.OutcomeDelivered || it.Attempt == nil || it.Attempt.Failure != "" || it.Attempt.Detail != "" || seen[it.k] {
			other[it.EndpointID] = true
		}
		seen[it.k] = true
	}
	for _, it := range items {
		if other[it.EndpointID] {
			rest = append(rest, it)
		} else {
			plain = append(plain, it)
		}
	}
	slices.SortFunc(plain, func(a, b item) int { return cmp.Or(compareKeys(a.k, b.k), cmp.Compare(a.at, b.at)) })
	return plain, rest
}
