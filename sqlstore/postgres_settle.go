package sqlstore

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/ringyo-ai/webhook"
)

// postgresDelivered records deliveries that succeeded and are still leased to
// the caller. Parameters: of each one the key, token, generation, the attempt's id,
// time, duration and status, the pace, the revision, and where its body begins and how long it is;
// how much an endpoint's times may lag, in microseconds; of each lease that should be
// over the end, the token and how many of its deliveries that takes; the margin of
// its end; and the bodies of all. It returns the keys that it recorded, concatenated,
// and the numbers and paces of the endpoints that it wrote.
//
// It leaves alone what concerns an endpoint that is paused, or that is disabled and has
// trials (e). It writes the other
// deliveries in the order given, then locks the endpoints that change (l) in theirs:
// those that are failing, whose pace was not known, or whose times are old; a pace
// that is known is written together with the times. Rows are looked up
// by their key and written where they were found (ctid): one that somebody else
// changed in between is not there any more, and left alone.
const postgresDelivered = `
with n as materialized (select {clock} as now),
f as materialized (
	select x.*, f.at_row, f.lease_end, f.endpoint
	from unnest((select $1::uuid[]), (select $2::bigint[]), (select $3::bigint[]), (select $4::text[]),
		(select $5::bigint[]), (select $6::bigint[]), (select $7::int[]), (select $8::smallint[]),
		(select $9::bigint[]), (select $10::int[]), (select $11::int[]))
		as x (id, token, generation, attempt, at, duration, code, pace, revision, start, size)
	cross join lateral (
		select f.ctid as at_row, f.ends_at as lease_end, f.endpoint from {p}delivery f where f.id = x.id limit 1) f),
e as materialized (
	select p.num, p.other, p.changes
	from n cross join (select f.endpoint, max(f.pace) as pace from f group by 1` + few + `) m
	cross join lateral (
		select p.num, (p.status > 3 or p.status = 3 and p.pauses > 0) as other,
			p.status <> 0 and (p.failures <> 0 or p.status = 2 or p.last_triggered_at <= n.now - $12::bigint
				or p.last_success_at <= n.now - $12::bigint or p.pace = 0 and m.pace <> 0) as changes
		from {p}endpoint p where p.num = m.endpoint limit 1) p),
m as (
	update {p}delivery d set status = 2, token = 0, ends_at = n.now, attempts = d.attempts + 1, made = d.made + 1,
		sent_id = x.attempt, sent_at = x.at, sent_duration = x.duration, sent_code = x.code, sent_revision = x.revision,
		sent_body = substring($17::bytea from x.start for x.size)
	from n, (
		select f.* from f where f.endpoint <> all(array(select e.num from e where e.other))` + few + `) x
	where d.ctid = x.at_row and d.id = x.id and d.status = 1 and d.token = x.token
	returning x.id, x.token, x.lease_end, x.generation, x.pace, d.endpoint),
o as (
	delete from {p}lease k using n, (
		select x.token, coalesce(y.due, x.due) as due
		from unnest((select $13::bigint[]), (select $14::bigint[]), (select $15::int[])) as x (due, token, n)
		left join (select m.token, max(m.lease_end) as due, count(*) as n from m group by m.token) y on y.token = x.token
		where coalesce(y.n, 0) = x.n` + few + `) x
	where k.due = x.due and k.token = x.token and k.due > n.now + $16::bigint),
l as materialized (
	select p.num, m.pace
	from (
		select n.now, m.endpoint, m.generation, max(m.pace) as pace from n, m
		where m.endpoint = any(array(select e.num from e where e.changes))
		group by 1, 2, 3 order by 2, 3` + few + `) m
	cross join lateral (
		select p.num from {p}endpoint p
		where p.num = m.endpoint and p.generation = m.generation and p.status in (1, 2, 3)
		and (p.failures <> 0 or p.status = 2 or p.last_triggered_at <= m.now - $12::bigint
			or p.last_success_at <= m.now - $12::bigint or p.pace = 0 and m.pace <> 0)
		limit 1 for update) p),
h as (
	update {p}endpoint p set failures = 0, failing_since = 0,
		status = case when p.status = 2 then 1 else p.status end,
		pace = case when l.pace <> 0 and (p.pace = 0 or p.last_triggered_at <= n.now - $12::bigint) then l.pace else p.pace end,
		last_triggered_at = case when p.last_triggered_at <= n.now - $12::bigint then n.now else p.last_triggered_at end,
		last_success_at = case when p.last_success_at <= n.now - $12::bigint then n.now else p.last_success_at end
	from n, (select l.num, l.pace from l` + few + `) l where p.num = l.num
	returning p.num, p.pace)
select n.now, (select string_agg(uuid_send(m.id), ''::bytea) from m),
	coalesce((select string_agg(int8send(h.num) || int2send(h.pace), ''::bytea) from h), ''::bytea) from n`

// postgresTallied is postgresDelivered that counts what it records, see appendCount.
var postgresTallied = strings.NewReplacer(
	"returning x.id, x.token,", "returning x.duration, x.id, x.token,",
	"o as (", `c as (
	insert into {p}count (at, results)
	select n.now, m.results from n, (
		select string_agg(int8send(m.endpoint) || int8send(greatest(m.duration, 0) * 16 + 9), ''::bytea) as results from m) m
	where m.results is not null),
o as (`).Replace(postgresDelivered)

// settleDelivered records what was delivered in one statement, which is its own
// transaction: one round trip instead of nine. It returns the items that it
// leaves to a transaction: other outcomes, deliveries that are not leased to the
// caller any more, and whatever concerns an endpoint that has such an item,
// since results of one endpoint apply in the order given.
func settleDelivered(ctx context.Context, s *Store, items []item, out *webhook.Settled) (rest []item, err error) {
	plain, rest := splitDelivered(items)
	if len(plain) == 0 {
		return rest, nil
	}
	rows := make([]delivered, len(plain))
	for i, it := range plain {
		rows[i] = delivered{it}
	}
	text := s.sql.Delivered
	switch n := s.toTally(plain); n {
	case 0:
	case len(plain):
		text = s.sql.DeliveredTallied
	default:
		return items, nil
	}
	results := arraysOf(rows)
	if results.large() {
		return items, nil
	}
	tokens := make(map[int64]int)
	for _, it := range plain {
		tokens[int64(it.Token)]++
	}
	over := s.leases.finished(tokens)
	args := slices.Concat(results.texts(), []any{timesLag.Microseconds()},
		arraysOf(over).args(), []any{leaseMargin.Microseconds(), results.data()})
	done := make(map[key]bool, len(plain))
	var written []byte // endpoints that changed, each a number and a pace
	err = s.again(ctx, func() error {
		clear(done)
		var micros int64
		var recorded []byte
		written = nil
		err := s.onConn(ctx, func(t *txn) error {
			return afterCommit(t.row(ctx, text, args...).Scan(&micros, &recorded, &written))
		})
		out.Now = fromMicros(micros)
		for _, k := range splitKeys(recorded) {
			done[k] = true
		}
		return err
	})
	switch {
	case kindOf(err) == kindData: // a row that the database refuses: find out which
		return items, nil
	case err != nil:
		return nil, err
	}
	clear(tokens)
	for _, it := range plain {
		if done[it.k] {
			tokens[int64(it.Token)]++
			out.Results[it.at] = applied
		} else {
			rest = append(rest, it)
		}
	}
	s.leases.settle(tokens, over)
	for ; len(written) >= 10; written = written[10:] {
		num := int64(binary.BigEndian.Uint64(written)) // #nosec G115 -- int8send wrote an int64
		s.heardPace(num, webhook.Pace(binary.BigEndian.Uint16(written[8:])))
	}
	return rest, nil
}

// splitDelivered tells plain successes from the rest. They come in the order of
// their keys.
func splitDelivered(items []item) (plain, rest []item) {
	other := make(map[string]bool)
	seen := make(map[key]bool, len(items))
	for _, it := range items {
		if !it.delivers() || seen[it.k] {
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
