package sqlstore

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
)

// postgresEnqueue stores events, their deliveries and their places in the queue.
// Parameters: of each event the account, id, type, the patterns that match the
// type separated by spaces, and time; the data of all, and where that of each
// begins and how long it is; then the terms of the hand-off: how many in all and
// of each endpoint, another number by endpoint as a JSON object, lease in
// microseconds, token.
//
// It stores nothing if one of the ids is there already (d): what that means is
// for a transaction to find out. Each step finds its rows by an index, one by
// one, whatever the planner believes of the tables; parameters stand in
// sub-selects, so that the planner does not see how long an array is: it would
// plan each short one anew, which takes longer than running it. The keys are UUIDs of
// version 7 with the place in the batch behind the milliseconds, so that they
// sort as they were given. It answers a row for each delivery that is handed
// off, or one row without.
const postgresEnqueue = `
with n as materialized (
	select {clock} as now, pg_get_serial_sequence('{p}event', 'num')::regclass as seq),
d as materialized (
	select from unnest((select $1::text[]), (select $2::text[])) as x (account, id)
	cross join lateral (select from {p}event e where e.account = x.account and e.id = x.id limit 1) e limit 1),
x as materialized (
	select nextval(n.seq) as num, x.*
	from n cross join unnest((select $1::text[]), (select $2::text[]), (select $3::text[]), (select $4::text[]), (select $5::bigint[]), (select $7::int[]), (select $8::int[]))
		with ordinality as x (account, id, type, patterns, at, start, size, ord)
	where not exists (select from d)),
e as (
	insert into {p}event (num, account, id, type, at, created_at, data) overriding system value
	select x.num, x.account, x.id, x.type, x.at, n.now, substring($6::bytea from x.start for x.size) from x, n),
f as materialized (
	select x.num, x.ord, p.num as endpoint, p.version, p.status in (1, 2) as active,
		row_number() over (order by x.ord, p.num) as place,
		row_number() over (partition by p.num, p.status in (1, 2) order by x.ord) as nth
	from x
	cross join lateral (
		select distinct s.endpoint from unnest(string_to_array(x.patterns, ' ')) as t (type)
		cross join lateral (
			select s.endpoint from {p}subscription s where s.account = x.account and s.type = t.type offset 0) s) s
	cross join lateral (
		select p.num, p.version, p.status from {p}endpoint p where p.num = s.endpoint and p.status <> 0 limit 1) p),
g as materialized (
	select f.*, f.active and f.nth <= coalesce(((select $11::jsonb) ->> f.endpoint::text)::int, $10::int) as fits from f),
h as materialized (
	select g.*, case
			when g.fits and count(*) filter (where g.fits) over (order by g.place) <= $9::int then 1
			when g.active then 0
			else 4 end as state,
		encode(overlay(overlay(uuid_send(gen_random_uuid())
			placing substring(int8send(n.now / 1000) from 3) from 1 for 6)
			placing int2send((28672 + g.place % 4096)::int2) from 7 for 2), 'hex')::uuid as id
	from g, n),
v as (
	insert into {p}delivery (id, event, endpoint, created_at)
	select h.id, h.num, h.endpoint, n.now from h, n),
q as (
	insert into {p}queue (id, event, endpoint, state, due, token)
	select h.id, h.num, h.endpoint, h.state, n.now + case when h.state = 1 then $12::bigint else 0 end,
		case when h.state = 1 then $13::bigint else 0 end
	from h, n)
select n.now, exists (select from d),
	(select count(*) from h where h.state = 0), (select count(*) from h where h.state = 4),
	coalesce(l.id::text, ''), coalesce(l.ord, 0), coalesce(l.endpoint, 0), coalesce(l.version, 0)
from n left join (select * from h where h.state = 1) l on true order by l.place`

// enqueueAtOnce stores everything in one statement, which is its own
// transaction: one round trip in the place of seven. It leaves to a transaction
// what has an id that is used already.
func enqueueAtOnce(ctx context.Context, s *Store, in *intake) (done bool, err error) {
	args, ok := in.arrays()
	if !ok {
		return false, nil
	}
	t := &txn{s: s, q: s.db}
	if in.slots, err = s.slotsByNum(ctx, t, in.terms); err != nil {
		return false, err
	}
	var used bool
	err = s.again(ctx, func() error {
		in.restart()
		all := append(args, max(0, in.terms.Max), max(0, in.terms.PerEndpoint), objectOf(in.slots), in.terms.Lease.Microseconds(), in.token)
		return afterCommit(t.query(ctx, s.sql.Enqueue, func(r *sql.Rows) error { return in.scan(r, &used) }, all...))
	})
	switch {
	case kindOf(err) == kindData: // somebody else stored one of the ids at this moment, or the data is refused
		return false, nil
	case err != nil || used:
		return false, err
	}
	in.handOff(ctx, t)
	return true, nil
}

// arrays answers the events as parameters; ok is false when there are none, or
// more than one statement should carry.
func (in *intake) arrays() (args []any, ok bool) {
	rows := make([][]any, len(in.events))
	for i, ev := range in.events {
		patterns := make([]string, 0, 4)
		for _, p := range ev.rec.Type.Patterns() {
			patterns = append(patterns, string(p))
		}
		data := ev.rec.Data
		rows[i] = []any{ev.rec.AccountID, ev.rec.ID, string(ev.rec.Type), strings.Join(patterns, " "), ev.rec.Timestamp.UnixMicro(), data}
	}
	if len(rows) == 0 || arrayRows(rows) < len(rows) {
		return nil, false
	}
	return columns("ttttib", rows), true
}

// objectOf writes a map as a JSON object.
func objectOf(m map[int64]int) string {
	buf := []byte{'{'}
	for num, n := range m {
		if len(buf) > 1 {
			buf = append(buf, ',')
		}
		buf = append(buf, '"')
		buf = strconv.AppendInt(buf, num, 10)
		buf = append(buf, `":`...)
		buf = strconv.AppendInt(buf, int64(max(0, n)), 10)
	}
	return string(append(buf, '}'))
}

// scan reads a row of postgresEnqueue.
func (in *intake) scan(r *sql.Rows, used *bool) error {
	var id string
	var place int
	var h handed
	if err := r.Scan(&in.micros, used, &in.ready, &in.held, &id, &place, &h.endpoint, &h.version); err != nil || id == "" {
		return err
	}
	h.event = in.events[place-1]
	in.leased = append(in.leased, h)
	return in.leased[len(in.leased)-1].k.Scan(id)
}

// handOff reads where the deliveries go that are leased to the caller. Those
// that cannot be handed out, since that fails or their endpoint was deleted at
// this moment, are left to Claim: the events are stored.
func (in *intake) handOff(ctx context.Context, t *txn) {
	if err := in.readTargets(ctx, t); err != nil {
		in.targets = nil
	}
	var lost []any
	kept := in.leased[:0]
	for _, h := range in.leased {
		if in.targets[h.endpoint] == nil {
			lost = append(lost, h.k)
			continue
		}
		kept = append(kept, h)
	}
	in.leased = kept
	if len(lost) > 0 {
		in.ready += len(lost)
		// If this fails too, the leases end by themselves.
		_ = t.exec(context.WithoutCancel(ctx), in.s.sql.ReleaseToken, arrayOf(lost), in.token)
	}
}
