package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
)

var postgres = dialect{
	name:         "PostgreSQL",
	concurrency:  4,
	quote:        `"`,
	numbered:     true,
	forUpdate:    "for update",
	skipLocked:   "for update skip locked",
	statements:   postgresSQL(),
	begin:        beginServer,
	bulk:         bulkArrays,
	keyArg:       func(k key) any { return k.uuid() },
	insertEvents: insertEventsReturning,
	enqueue:      enqueueAtOnce,
	settle:       settleDelivered,
	claim:        claimAtOnce,
	heldAfter:    heldAtOnce,
	migration:    migration{dir: "postgres", version: postgresVersion, exclusive: migratePostgres},
}

// few makes PostgreSQL expect one row of what it ends: a limit that it cannot see
// counts as a tenth. A statement is planned once and kept; one that was planned
// for more rows while its tables were small would read all of them until they are
// analysed.
const few = ` limit (select 1000000000)`

// someKeys and someNums are what is looked up, in order, as a table x.
const (
	someKeys = `(select k.id from unnest($1::uuid[]) as k (id) order by 1` + few + `) x`
	someNums = `(select k.num from unnest($1::bigint[]) as k (num) order by 1` + few + `) x`
)

// postgresSQL are the statements of PostgreSQL. Rows arrive as arrays, one for
// each column, so that a statement has one text whatever the size of the batch.
func postgresSQL() statements {
	s := portable()
	s.HasSchema = `select count(*) from pg_class where oid = to_regclass('{p}schema')`
	s.Clock = `(extract(epoch from clock_timestamp()) * 1000000)::bigint`

	s.InsertSubscriptions = bulk{kinds: "tti", text: `
		insert into {p}subscription (account, type, endpoint)
		select * from unnest($1::text[], $2::text[], $3::bigint[])`}
	s.EndpointNums = bulk{kinds: "t", text: `select id, num from {p}endpoint where id = any($1::text[])`}
	s.Targets = bulk{kinds: "i", text: `
		select p.num, p.id, p.account, p.url, p.headers, p.secrets, p.version, p.generation
		from ` + someNums + ` join {p}endpoint p on p.num = x.num`}

	s.InsertEvents = bulk{kinds: "utttiib", text: `
		insert into {p}event (uid, account, id, type, at, created_at, data)
		select x.uid, x.account, x.id, x.type, x.at, x.created_at, substring($7::bytea from x.start for x.size)
		from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $8::int[], $9::int[])
			as x (uid, account, id, type, at, created_at, start, size)
		on conflict (uid) do nothing returning uid`}
	s.ReadEvents = bulk{kinds: "u", text: `
		select e.uid, e.account, e.id, e.type, e.at, e.data from ` + someKeys + ` join {p}event e on e.uid = x.id`}
	s.DropEvents = bulk{kinds: "u", text: `delete from {p}event e using ` + someKeys + ` where e.uid = x.id`}
	s.InsertUnmatched = bulk{kinds: "tiu", text: `
		insert into {p}unmatched (account, created_at, event) select * from unnest($1::text[], $2::bigint[], $3::uuid[])`}
	s.DropUnmatched = bulk{kinds: "tiu", text: `
		delete from {p}unmatched u using (
			select * from unnest($1::text[], $2::bigint[], $3::uuid[]) as x (account, created_at, event)` + few + `) x
		where u.account = x.account and u.created_at = x.created_at and u.event = x.event`}
	s.Versions = bulk{kinds: "t", text: `
		select a.account, a.version from unnest($1::text[]) as x (account)
		cross join lateral (select * from {p}account a where a.account = x.account limit 1) a`}
	s.Match = bulk{kinds: "tt", text: `
		select x.account, x.type, p.num, p.status, p.version
		from unnest($1::text[], $2::text[]) as x (account, type)
		cross join lateral (
			select s.endpoint from {p}subscription s where s.account = x.account and s.type = x.type offset 0) s
		cross join lateral (
			select p.num, p.status, p.version from {p}endpoint p where p.num = s.endpoint and p.status <> 0 limit 1) p`}
	s.MatchAll = s.Match.text + `
		union all
		select a.account, '', 0, 0, a.version
		from unnest((select $3::text[])) as x (account)
		cross join lateral (select * from {p}account a where a.account = x.account limit 1) a`
	s.InsertDeliveries = bulk{kinds: "uuiiiii", text: `
		insert into {p}delivery (id, event, endpoint, status, token, ends_at, created_at)
		select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::smallint[], $5::bigint[], $6::bigint[], $7::bigint[])`}
	s.InsertQueue = bulk{kinds: "uiii", text: `
		insert into {p}queue (id, endpoint, state, due)
		select * from unnest($1::uuid[], $2::bigint[], $3::smallint[], $4::bigint[])`}

	s.Enqueue, s.Delivered = postgresEnqueue, postgresDelivered
	s.Pick = postgresPick
	s.PickRows = bulk{text: postgresPickNamed}
	s.Events = bulk{kinds: "u", text: `
		select e.uid, e.id, e.account, e.type, e.at, e.created_at, e.data
		from ` + someKeys + ` join {p}event e on e.uid = x.id`}
	s.Unlease = `
		with d as (
			update {p}delivery d set status = 0, token = 0, ends_at = 0
			from ` + someKeys + ` where d.id = x.id and d.status = 1 and d.token = $2 returning d.id, d.endpoint)
		insert into {p}queue (id, endpoint, state, due) select d.id, d.endpoint, 0, {clock} from d`

	s.LockQueue = bulk{kinds: "u", text: `
		select q.id from ` + someKeys + `
		cross join lateral (select q.id from {p}queue q where q.id = x.id limit 1 for update) q`}
	const logged = `d.id, d.endpoint, d.status, d.token, d.ends_at, d.attempts, d.made, d.releases`
	s.ReadLeased = bulk{kinds: "u", text: `select ` + logged + ` from ` + someKeys + ` join {p}delivery d on d.id = x.id`}
	s.LockDeliveries = bulk{kinds: "u", text: `
		select ` + logged + ` from ` + someKeys + `
		cross join lateral (select * from {p}delivery d where d.id = x.id limit 1 for update) d`}
	s.DeleteQueue = bulk{kinds: "u", text: `delete from {p}queue q using ` + someKeys + ` where q.id = x.id`}
	s.Finish = bulk{kinds: "iiiittiiibu", text: `
		update {p}delivery d set status = x.status, token = 0, ends_at = x.ends_at, attempts = x.attempts, made = x.made,
			reason = x.reason, sent_id = x.sent_id, sent_at = x.sent_at, sent_duration = x.sent_duration,
			sent_code = x.sent_code,
			sent_body = case when x.sent_id is not null then substring($10::bytea from x.start for x.size) end
		from (
			select * from unnest($1::int[], $2::bigint[], $3::int[], $4::int[], $5::text[], $6::text[], $7::bigint[],
				$8::bigint[], $9::int[], $11::uuid[], $12::int[], $13::int[])
			as x (status, ends_at, attempts, made, reason, sent_id, sent_at, sent_duration, sent_code, id, start, size)` + few + `) x
		where d.id = x.id`}
	s.Requeue = bulk{kinds: "iiiu", text: `
		update {p}delivery d set attempts = x.attempts, made = x.made, releases = x.releases,
			status = 0, token = 0, ends_at = 0, expired = 0
		from (
			select * from unnest($1::int[], $2::int[], $3::int[], $4::uuid[]) as x (attempts, made, releases, id)` + few + `) x
		where d.id = x.id`}
	s.EndLeases = bulk{kinds: "ii", text: `
		delete from {p}lease l using (select * from unnest($1::bigint[], $2::bigint[]) as x (due, token)` + few + `) x
		where l.due = x.due and l.token = x.token`}
	s.InsertAttempts = bulk{kinds: "uitiiittb", text: `
		insert into {p}attempt (delivery, number, id, at, duration, status, failure, detail, body)
		select x.delivery, x.number, x.id, x.at, x.duration, x.status, x.failure, x.detail,
			substring($9::bytea from x.start for x.size)
		from unnest($1::uuid[], $2::int[], $3::text[], $4::bigint[], $5::bigint[], $6::int[], $7::text[], $8::text[],
			$10::int[], $11::int[])
			as x (delivery, number, id, at, duration, status, failure, detail, start, size)`}
	s.Health = bulk{kinds: "i", text: `
		select ` + healthOf("p") + ` from ` + someNums + ` join {p}endpoint p on p.num = x.num`}
	s.LockHealth = bulk{kinds: "i", text: `
		select ` + healthOf("p") + ` from ` + someNums + `
		cross join lateral (select * from {p}endpoint p where p.num = x.num limit 1 for update) p`}
	s.SetHealth = bulk{kinds: "iiiitiiiiiii", text: `
		update {p}endpoint p set status = x.status, moving = greatest(p.moving, x.moving), version = x.version,
			generation = x.generation, disabled_reason = x.reason, disabled_at = x.disabled_at,
			failures = x.failures, failing_since = x.since,
			last_triggered_at = x.triggered, last_success_at = x.success, last_failure_at = x.failure
		from (
			select * from unnest($1::smallint[], $2::smallint[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[],
				$7::int[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[])
			as x (status, moving, version, generation, reason, disabled_at, failures, since, triggered, success, failure, num)` + few + `) x
		where p.num = x.num`}
	s.SetMoving = bulk{kinds: "i", text: `update {p}endpoint p set moving = 1 from ` + someNums + ` where p.num = x.num`}

	s.EndpointStates = bulk{kinds: "i", text: `
		select p.num, p.status, p.version from ` + someNums + ` join {p}endpoint p on p.num = x.num`}
	s.MoveRows = bulk{kinds: "iu", text: `
		update {p}queue q set state = x.state
		from (select * from unnest($1::int[], $2::uuid[]) as x (state, id)` + few + `) x
		where q.id = x.id`}
	s.Expire = bulk{kinds: "u", text: `
		update {p}delivery d set expired = d.expired + 1, status = 0, token = 0, ends_at = 0
		from ` + someKeys + ` where d.id = x.id`}
	s.Cancel = bulk{kinds: "iitu", text: `
		update {p}delivery d set status = x.status, ends_at = x.ends_at, reason = x.reason, token = 0
		from (
			select * from unnest($1::int[], $2::bigint[], $3::text[], $4::uuid[]) as x (status, ends_at, reason, id)` + few + `) x
		where d.id = x.id`}
	s.HeldStep = `
		with recursive e (num) as (
			(select endpoint from {p}queue where state = 4 and endpoint > ? order by endpoint limit 1)
			union all
			select (select q.endpoint from {p}queue q where q.state = 4 and q.endpoint > e.num order by q.endpoint limit 1)
			from e where e.num is not null)
		select num from e where num is not null limit ?`

	s.DeleteAttempts = bulk{kinds: "u", text: `delete from {p}attempt a using ` + someKeys + ` where a.delivery = x.id`}
	s.DeleteDeliveries = bulk{kinds: "u", text: `delete from {p}delivery d using ` + someKeys + ` where d.id = x.id`}
	s.LockEvents = bulk{kinds: "u", text: `
		select e.uid from ` + someKeys + `
		cross join lateral (select e.uid from {p}event e where e.uid = x.id limit 1 for update) e`}
	s.Unreferenced = bulk{kinds: "u", text: `
		select e.uid from ` + someKeys + ` join {p}event e on e.uid = x.id
		where (select d.id from {p}delivery d where d.event = e.uid limit 1) is null`}
	s.DeliveriesOf = bulk{kinds: "ui", text: `
		select d.id, d.event, d.endpoint, d.status from unnest($1::uuid[], $2::bigint[]) as x (event, endpoint)
		cross join lateral (
			select * from {p}delivery d where d.event = x.event and d.endpoint = x.endpoint limit 1 for update) d`}
	s.KeepSent = bulk{kinds: "u", text: `
		insert into {p}attempt (delivery, number, id, at, duration, status, failure, detail, body)
		select d.id, d.made, d.sent_id, d.sent_at, d.sent_duration, d.sent_code, '', '', d.sent_body
		from ` + someKeys + ` join {p}delivery d on d.id = x.id where d.sent_id is not null`}
	s.Restart = bulk{kinds: "u", text: `
		update {p}delivery d set status = 0, token = 0, ends_at = 0, attempts = 0, releases = 0, expired = 0, reason = '',
			sent_id = null, sent_at = 0, sent_duration = 0, sent_code = 0, sent_body = null
		from ` + someKeys + ` where d.id = x.id`}
	return s
}

// postgresPick claims in one statement. Parameters: cursor, deliveries in all,
// deliveries of each endpoint, endpoints with another number and that number,
// lease in microseconds, token.
//
// The two recursive walks go from one endpoint that has ready rows to the next
// by the index; they are evaluated as far as the limit asks for and no further.
// A row without an id is an endpoint that is not active.
const postgresPick = `
with recursive a (num) as (
	(select endpoint from {p}queue where state = 0 and endpoint > $1 order by endpoint limit 1)
	union all
	select (select q.endpoint from {p}queue q where q.state = 0 and q.endpoint > a.num order by q.endpoint limit 1)
	from a where a.num is not null),
b (num) as (
	(select endpoint from {p}queue where state = 0 and endpoint <= $1 order by endpoint limit 1)
	union all
	select (select q.endpoint from {p}queue q where q.state = 0 and q.endpoint > b.num and q.endpoint <= $1
		order by q.endpoint limit 1)
	from b where b.num is not null),
w (num) as (select num from a where num is not null union all select num from b where num is not null),
` + postgresLease

// postgresPickNamed is the same for the endpoints in $4 alone.
const postgresPickNamed = `
with w (num) as (select unnest((select $4::bigint[])) where $1::bigint >= 0),
` + postgresLease

const postgresLease = `
n as materialized (select {clock} as now),
s as materialized (select * from unnest((select $4::bigint[]), (select $5::int[])) as s (num, free)),
c as materialized (
	select w.num, p.version, r.id, r.due, r.at_row
	from w
	cross join lateral (
		select p.version, p.status in (1, 2) as active, p.moving from {p}endpoint p where p.num = w.num limit 1) p
	left join lateral (
		select q.id, q.due, q.ctid as at_row from {p}queue q
		where q.endpoint = w.num and q.state = 0 and p.active
		order by q.due, q.id limit coalesce((select s.free from s where s.num = w.num), $3::int)
		for update skip locked) r on true
	where r.id is not null or not p.active and p.moving = 0
	limit (select $2::bigint)),
g as (
	delete from {p}queue q using (
		select k.at_row from unnest(array(select c.at_row from c where c.id is not null)) as k (at_row)` + few + `) c
	where q.ctid = c.at_row),
u as (
	update {p}delivery d set status = 1, ends_at = (select now from n) + $6::bigint, token = $7::bigint
	from (
		select k.id, f.at_row from unnest(array(select c.id from c where c.id is not null order by 1)) as k (id)
		cross join lateral (select f.ctid as at_row from {p}delivery f where f.id = k.id limit 1) f` + few + `) c
	where d.ctid = c.at_row and d.id = c.id
	returning d.id, d.event, d.endpoint, d.attempts, d.releases, d.expired),
k as (
	insert into {p}lease (due, token, deliveries)
	select (select now from n) + $6::bigint, $7::bigint, string_agg(uuid_send(c.id), ''::bytea)
	from c where c.id is not null having count(*) > 0)
select (select now from n), u.id::text, u.event::text, u.endpoint, u.attempts, u.releases, u.expired, c.version, c.due
from u join c on c.id = u.id
union all
select (select now from n), '', '', c.num, 0, 0, 0, 0, 0 from c where c.id is null`

// claimAtOnce claims in one statement, which is its own transaction, and reads
// what goes with the rows after it.
func claimAtOnce(ctx context.Context, s *Store, c *claim) (err error) {
	if c.seen, err = s.look(ctx); err != nil || !c.seen.ready || c.terms.Max <= 0 {
		return err
	}
	t := &txn{s: s, q: s.db}
	if c.slots, err = s.slotsByNum(ctx, t, c.terms); err != nil {
		return err
	}
	text := s.sql.Pick
	if c.terms.PerEndpoint <= 0 {
		text = s.sql.PickRows.text
	}
	err = s.again(ctx, func() error {
		c.restart()
		nums, free := make([]any, 0, len(c.slots)), make([]any, 0, len(c.slots))
		for num, n := range c.slots {
			nums, free = append(nums, num), append(free, max(0, n))
		}
		return afterCommit(t.query(ctx, text, c.scan, c.cursor, c.terms.Max, max(0, c.terms.PerEndpoint),
			arrayOf(nums), arrayOf(free), c.terms.Lease.Microseconds(), c.token))
	})
	if err != nil || len(c.rows) == 0 {
		return err
	}
	c.sort()
	if err = c.readTargets(ctx, t); err == nil {
		err = c.readEvents(ctx, t)
	}
	if err != nil {
		c.giveBack(ctx, t)
	}
	return err
}

// scan reads a row of postgresPick.
func (c *claim) scan(r *sql.Rows) error {
	var row claimed
	var id, event string
	if err := r.Scan(&c.seen.micros, &id, &event, &row.endpoint, &row.attempts, &row.releases, &row.expired, &row.version, &row.due); err != nil {
		return err
	}
	if id == "" {
		c.met = append(c.met, row.endpoint)
		return nil
	}
	if err := row.event.Scan(event); err != nil {
		return err
	}
	if err := row.k.Scan(id); err != nil {
		return err
	}
	c.rows = append(c.rows, row)
	return nil
}

// sort puts the rows in the order of the walk, the oldest of each endpoint
// first: RETURNING has no order.
func (c *claim) sort() {
	slices.SortFunc(c.rows, func(a, b claimed) int {
		if behind := a.endpoint <= c.cursor; behind != (b.endpoint <= c.cursor) {
			if behind {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(a.endpoint, b.endpoint), cmp.Compare(a.due, b.due), compareKeys(a.k, b.k))
	})
}

// giveBack makes ready again what was leased but cannot be handed out. If that
// fails too, the leases end by themselves.
func (c *claim) giveBack(ctx context.Context, t *txn) {
	keys := make([]any, len(c.rows))
	for i, row := range c.rows {
		keys[i] = row.k
	}
	ctx, cancel := parting(ctx)
	defer cancel()
	_ = t.exec(ctx, c.s.sql.Unlease, arrayOf(keys), c.token)
}

func heldAtOnce(ctx context.Context, t *txn, after int64, limit int) (nums []int64, err error) {
	err = t.query(ctx, t.s.sql.HeldStep, func(r *sql.Rows) error {
		var num int64
		err := r.Scan(&num)
		nums = append(nums, num)
		return err
	}, after, limit)
	return nums, err
}
