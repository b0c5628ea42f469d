package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"strings"

	"github.com/ringyo-ai/webhook/internal/sqldb"
)

var postgres = dialect{
	settings:     settingsOfPostgres,
	settingRules: postgresSettings,
	kind:         sqldb.Postgres,
	name:         "PostgreSQL",
	concurrency:  4,
	numbered:     true,
	stateRanges:  true,
	statements:   postgresSQL(),
	lists:        postgresLists,
	begin:        beginServer,
	bulk:         bulkArrays,
	keyArg:       keyHex,
	insertEvents: insertEventsReturning,
	enqueue:      enqueueAtOnce,
	settle:       settleDelivered,
	visit:        visitAtOnce,
	leaseAtOnce:  leaseAtOnce,

	migrations: "postgres",
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
	s.HasSchema = sqldb.HasTable(sqldb.Postgres, "{p}schema")
	s.Clock = `(extract(epoch from clock_timestamp()) * 1000000)::bigint`

	s.DropCounts = bulk[number]{text: `delete from {p}count c using ` + someNums + ` where c.num = x.num`}
	s.AddTallies = bulk[tallyRow]{text: `
		insert into {p}tally as t (endpoint, hour, ` + forCounts("%", ", ") + `)
		select * from unnest($1::bigint[], $2::bigint[]` + intArrays(3, len(tallyCounts)) + `) order by 1, 2
		on conflict (endpoint, hour) do update set ` + forCounts("% = t.% + excluded.%", ", ")}

	s.InsertSubscriptions = bulk[subscription]{text: `
		insert into {p}subscription (account, type, endpoint)
		select * from unnest($1::text[], $2::text[], $3::bigint[])`}
	s.Targets = bulk[number]{text: `
		select p.num, p.id, p.account, p.url, p.headers, p.secrets, p.version, p.generation
		from ` + someNums + ` join {p}endpoint p on p.num = x.num`}

	s.InsertEvents = bulk[createdEvent]{text: `
		insert into {p}event (uid, account, id, type, at, created_at, data)
		select x.uid, x.account, x.id, x.type, x.at, x.created_at, substring($9::bytea from x.start for x.size)
		from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::int[], $8::int[])
			as x (uid, account, id, type, at, created_at, start, size)
		on conflict (uid) do nothing returning uid`}
	s.ReadEvents = bulk[key]{text: `
		select e.uid, ` + eventColumns + ` from ` + someKeys + ` join {p}event e on e.uid = x.id`}
	s.DropEvents = bulk[key]{text: `delete from {p}event e using ` + someKeys + ` where e.uid = x.id`}
	s.InsertUnmatched = bulk[unmatched]{text: `
		insert into {p}unmatched (account, created_at, event) select * from unnest($1::text[], $2::bigint[], $3::uuid[])`}
	s.DropUnmatched = bulk[unmatched]{text: `
		delete from {p}unmatched u using (
			select * from unnest($1::text[], $2::bigint[], $3::uuid[]) as x (account, created_at, event)` + few + `) x
		where u.account = x.account and u.created_at = x.created_at and u.event = x.event`}
	s.Versions = bulk[accountName]{text: `
		select a.account, a.version from unnest($1::text[]) as x (account)
		cross join lateral (select * from {p}account a where a.account = x.account limit 1) a`}
	s.Match = bulk[topic]{text: `
		select x.account, x.type, p.num, p.id, p.status, p.pace, p.version
		from unnest($1::text[], $2::text[]) as x (account, type)
		cross join lateral (
			select s.endpoint from {p}subscription s where s.account = x.account and s.type = x.type offset 0) s
		cross join lateral (
			select p.num, p.id, p.status, p.pace, p.version from {p}endpoint p where p.num = s.endpoint and p.status <> 0 limit 1) p`}
	s.MatchAll = s.Match.text + `
		union all
		select a.account, '', 0, '', 0, 0, a.version
		from unnest((select $3::text[])) as x (account)
		cross join lateral (select * from {p}account a where a.account = x.account limit 1) a`
	s.Idle = bulk[number]{text: `select p.num from ` + someNums + ` join {p}endpoint p on p.num = x.num where p.probe_at = 0`}
	s.InsertDeliveries = bulk[createdDelivery]{text: `
		insert into {p}delivery (id, event, endpoint, status, token, ends_at, created_at)
		select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::smallint[], $5::bigint[], $6::bigint[], $7::bigint[])`}
	s.InsertQueue = bulk[queuePlace]{text: `
		insert into {p}queue (id, endpoint, state, due)
		select * from unnest($1::uuid[], $2::bigint[], $3::smallint[], $4::bigint[])`}

	s.Enqueue, s.Delivered, s.DeliveredTallied = postgresEnqueue, postgresDelivered, postgresTallied
	s.Pick, s.LeaseAtOnce = postgresPick, postgresLease
	s.Events = bulk[key]{text: `
		select x.id, x.id, ` + eventColumns + `
		from (select k.id from unnest($1::uuid[]) as k (id)` + few + `) x
		left join lateral (select * from {p}event e where e.uid = x.id limit 1) e on true`}
	s.GiveBack = bulk[key]{text: `
		update {p}delivery d set status = 0, token = 0, ends_at = 0 from ` + someKeys + ` where d.id = x.id`}

	s.ProbeRows = bulk[stateOf]{text: `
		select q.endpoint, q.id, q.state, q.due
		from (select * from unnest($1::smallint[], $2::bigint[]) as x (state, num)` + few + `) x
		cross join lateral (
			select * from {p}queue q where q.state > 5 and q.state = x.state and q.endpoint = x.num
			order by q.due, q.id limit 1) q`}
	s.LockProbes = bulk[endpointAt]{text: `
		select p.num from (
			select * from unnest($1::bigint[], $2::bigint[]) as x (now, num) order by 2` + few + `) x
		cross join lateral (
			select * from {p}endpoint p where p.num = x.num and (p.status > 3 or p.status = 3 and p.probe_at > 0) and p.probe_at <= x.now
			limit 1 for update skip locked) p`}
	s.SetProbes = bulk[probeTime]{text: `
		update {p}endpoint p set probe_at = x.at, probe_token = x.token
		from (select * from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as x (at, token, num)` + few + `) x
		where p.num = x.num`}
	s.UnsetProbes = bulk[probeTime]{text: `
		update {p}endpoint p set probe_at = x.at, probe_token = 0
		from (select * from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as x (at, token, num)` + few + `) x
		where p.num = x.num and p.probe_token = x.token`}
	s.EndProbes = bulk[endpointAt]{text: `
		update {p}endpoint p set probe_at = case when p.paused_until > x.now then p.paused_until else 0 end, probe_token = 0
		from (
			select x.*, (select q.state from {p}queue q where q.state > 5 and q.endpoint = x.num order by q.state desc limit 1) as state
			from unnest($1::bigint[], $2::bigint[]) as x (now, num)` + few + `) x
		where p.num = x.num and (x.state is null or x.state = 6 and p.paused_until > x.now)`}
	s.Wake = bulk[waking]{text: `
		update {p}endpoint p set moving = case when p.status > 3 then p.moving else 1 end,
			probe_at = case when p.status <= 3 then p.probe_at
				when x.begun = 0 and p.paused_until > x.now then p.paused_until else x.now end
		from (select * from unnest($1::bigint[], $2::int[], $3::bigint[]) as x (now, begun, num)` + few + `) x
		where p.num = x.num
		and (p.status <= 3 or p.probe_at = 0 or x.begun = 1 and p.probe_token = 0 and p.probe_at > x.now)`}
	s.Begun = bulk[number]{text: `
		select q.endpoint from ` + someNums + `
		cross join lateral (select q.endpoint from {p}queue q where q.state > 5 and q.state = 7 and q.endpoint = x.num limit 1) q`}
	s.Unlease = `
		with d as (
			update {p}delivery d set status = 0, token = 0, ends_at = 0
			from ` + someKeys + ` where d.id = x.id and d.status = 1 and d.token = $2 returning d.id, d.endpoint)
		insert into {p}queue (id, endpoint, state, due) select d.id, d.endpoint, 0, {clock} from d`

	s.LockQueue = bulk[key]{text: `
		select q.id from ` + someKeys + `
		cross join lateral (select q.id from {p}queue q where q.id = x.id limit 1 for update) q`}
	const logged = `d.id, d.endpoint, d.status, d.token, d.ends_at, d.attempts, d.made, d.releases`
	s.ReadLeased = bulk[key]{text: `select ` + logged + ` from ` + someKeys + ` join {p}delivery d on d.id = x.id`}
	s.LockDeliveries = bulk[key]{text: `
		select ` + logged + ` from ` + someKeys + `
		cross join lateral (select * from {p}delivery d where d.id = x.id limit 1 for update) d`}
	s.DeleteQueue = bulk[key]{text: `delete from {p}queue q using ` + someKeys + ` where q.id = x.id`}
	s.Finish = bulk[finish]{text: `
		update {p}delivery d set status = x.status, failed = case when x.status > 2 then 1 else 0 end, token = 0,
			ends_at = x.ends_at, attempts = x.attempts, made = x.made,
			reason = x.reason, sent_id = nullif(x.sent_id, ''), sent_at = x.sent_at, sent_duration = x.sent_duration,
			sent_code = x.sent_code, sent_revision = x.sent_revision,
			sent_body = case when x.sent_id <> '' then substring($14::bytea from x.start for x.size) end
		from (
			select * from unnest($1::int[], $2::bigint[], $3::int[], $4::int[], $5::text[], $6::text[], $7::bigint[],
				$8::bigint[], $9::int[], $10::bigint[], $11::int[], $12::int[], $13::uuid[])
			as x (status, ends_at, attempts, made, reason, sent_id, sent_at, sent_duration, sent_code, sent_revision, start, size, id)` + few + `) x
		where d.id = x.id`}
	s.Requeue = bulk[requeue]{text: `
		update {p}delivery d set attempts = x.attempts, made = x.made, releases = x.releases,
			status = 0, token = 0, ends_at = 0, expired = 0
		from (
			select * from unnest($1::int[], $2::int[], $3::int[], $4::uuid[]) as x (attempts, made, releases, id)` + few + `) x
		where d.id = x.id`}
	s.CloseLeases = bulk[closing]{text: `
		update {p}lease l set due = x.at
		from (select * from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as x (at, due, token)` + few + `) x
		where l.due = x.due and l.token = x.token`}
	s.EndLeases = bulk[lease]{text: `
		delete from {p}lease l using (select * from unnest($1::bigint[], $2::bigint[]) as x (due, token)` + few + `) x
		where l.due = x.due and l.token = x.token`}
	s.InsertAttempts = bulk[loggedAttempt]{text: `
		insert into {p}attempt (delivery, number, id, at, duration, status, failure, detail, revision, location, body)
		select x.delivery, x.number, x.id, x.at, x.duration, x.status, x.failure, x.detail,
			x.revision, x.location, substring($13::bytea from x.start for x.size)
		from unnest($1::uuid[], $2::int[], $3::text[], $4::bigint[], $5::bigint[], $6::int[], $7::text[], $8::text[],
			$9::bigint[], $10::text[], $11::int[], $12::int[])
			as x (delivery, number, id, at, duration, status, failure, detail, revision, location, start, size)`}
	s.Health = bulk[number]{text: `
		select ` + healthOf("p") + ` from ` + someNums + ` join {p}endpoint p on p.num = x.num`}
	s.LockHealth = bulk[number]{text: `
		select ` + healthOf("p") + ` from ` + someNums + `
		cross join lateral (select * from {p}endpoint p where p.num = x.num limit 1 for update) p`}
	s.SetHealth = bulk[healthChange]{text: `
		update {p}endpoint p set status = x.status, moving = greatest(p.moving, x.moving), version = x.version,
			generation = x.generation, disabled_reason = x.reason, disabled_at = x.disabled_at,
			failures = x.failures, failing_since = x.since,
			last_triggered_at = x.triggered, last_success_at = x.success, last_failure_at = x.failure,
			last_failure = coalesce(x.failed, p.last_failure),
			pace = x.pace, pauses = x.pauses, paused_until = x.paused_until, probe_at = x.probe_at, probe_token = x.probe_token
		from (
			select * from unnest($1::smallint[], $2::smallint[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[],
				$7::int[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::text[],
				$13::smallint[], $14::int[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[])
			as x (status, moving, version, generation, reason, disabled_at, failures, since, triggered, success, failure, failed,
				pace, pauses, paused_until, probe_at, probe_token, num)` + few + `) x
		where p.num = x.num`}
	s.SetMoving = bulk[number]{text: `update {p}endpoint p set moving = 1 from ` + someNums + ` where p.num = x.num`}

	s.EndpointStates = bulk[number]{text: `
		select p.num, p.status, p.version, p.probe_at, p.pauses from ` + someNums + ` join {p}endpoint p on p.num = x.num`}
	s.MoveRows = bulk[newState]{text: `
		update {p}queue q set state = x.state
		from (select * from unnest($1::int[], $2::uuid[]) as x (state, id)` + few + `) x
		where q.id = x.id`}
	s.Expire = bulk[key]{text: `
		update {p}delivery d set expired = d.expired + 1, status = 0, token = 0, ends_at = 0
		from ` + someKeys + ` where d.id = x.id`}
	s.Cancel = bulk[cancellation]{text: `
		update {p}delivery d set status = x.status, failed = 1, ends_at = x.ends_at, reason = x.reason, token = 0
		from (
			select * from unnest($1::int[], $2::bigint[], $3::text[], $4::uuid[]) as x (status, ends_at, reason, id)` + few + `) x
		where d.id = x.id`}

	s.DeleteAttempts = bulk[key]{text: `delete from {p}attempt a using ` + someKeys + ` where a.delivery = x.id`}
	s.DeleteDeliveries = bulk[key]{text: `delete from {p}delivery d using ` + someKeys + ` where d.id = x.id`}
	s.LockEvents = bulk[key]{text: `
		select e.uid, length(e.data) from ` + someKeys + `
		cross join lateral (select e.uid, e.data from {p}event e where e.uid = x.id limit 1 for update) e`}
	s.Unreferenced = bulk[key]{text: `
		select e.uid from ` + someKeys + ` join {p}event e on e.uid = x.id
		where (select d.id from {p}delivery d where d.event = e.uid limit 1) is null`}
	s.BlankAttempts = bulk[key]{text: `
		update {p}attempt a set body = substr(a.body, 1, 0), location = '' from ` + someKeys + ` join {p}delivery d on d.id = x.id
		join {p}event e on e.uid = d.event and length(e.data) = 0 where a.delivery = x.id`}
	s.BlankDeliveries = bulk[key]{text: `
		update {p}delivery d set sent_body = null from ` + someKeys + ` cross join lateral (
			select f.id from {p}delivery f join {p}event e on e.uid = f.event and length(e.data) = 0
			where f.id = x.id and f.sent_body is not null limit 1) f
		where d.id = f.id`}
	s.DeliveriesOf = bulk[eventOf]{text: `
		select d.id, d.event, d.endpoint, d.status from unnest($1::uuid[], $2::bigint[]) as x (event, endpoint)
		cross join lateral (
			select * from {p}delivery d where d.event = x.event and d.endpoint = x.endpoint limit 1 for update) d`}
	s.LastAttempts = strings.Replace(s.LastAttempts, `from d join {p}attempt a on a.delivery = d.id`,
		`from d cross join lateral (select * from {p}attempt a where a.delivery = d.id order by a.number desc`+few+`) a`, 1)
	for _, text := range []*string{&s.DeliveriesOfEndpoint, &s.DeliveriesOfEvent, &s.Delivery} {
		*text = strings.Replace(*text, deliveryJoins, postgresJoins, 1)
	}
	s.EventsOf = `
		select d.id, e.uid, e.type, e.created_at, d.status, length(e.data)
		from (select * from {p}delivery where endpoint = ? and id > ? order by id limit ?) d
		cross join lateral (select * from {p}event e where e.uid = d.event limit 1) e order by d.id`
	s.FailedOf = strings.Replace(s.EventsOf, `endpoint = ?`, `failed = 1 and endpoint = ?`, 1)
	s.FirstOf = bulk[key]{text: `
		select x.id, d.endpoint from ` + someKeys + `
		cross join lateral (select d.endpoint from {p}delivery d where d.event = x.id order by d.endpoint limit 1) d`}
	s.KeepSent = bulk[key]{text: `
		insert into {p}attempt (delivery, number, id, at, duration, status, failure, detail, revision, location, body)
		select d.id, d.made, d.sent_id, d.sent_at, d.sent_duration, d.sent_code, '', '', d.sent_revision, '', d.sent_body
		from ` + someKeys + ` join {p}delivery d on d.id = x.id where d.sent_id is not null`}
	s.Restart = bulk[key]{text: `
		update {p}delivery d set status = 0, failed = 0, token = 0, ends_at = 0, reason = '',
			attempts = case when status = 0 then attempts else 0 end, releases = case when status = 0 then releases else 0 end,
			expired = case when status = 0 then expired else 0 end,
			sent_id = null, sent_at = 0, sent_duration = 0, sent_code = 0, sent_revision = 0, sent_body = null
		from ` + someKeys + ` where d.id = x.id`}
	return s
}

// postgresPick walks over the endpoints that have ready rows. Parameters: walk from
// after this endpoint, to this one, and then from the start to this one (0: not);
// endpoints in all; rows of each; rows in all.
//
// The two recursive walks go from one endpoint that has ready rows to the next by
// the index; they are evaluated as far as the limits ask for and no further.
const postgresPick = `
with recursive a (num) as (
	(select endpoint from {p}queue where state = 0 and endpoint > $1 and endpoint <= $2 order by endpoint limit 1)
	union all
	select (select q.endpoint from {p}queue q where q.state = 0 and q.endpoint > a.num and q.endpoint <= $2
		order by q.endpoint limit 1)
	from a where a.num is not null),
b (num) as (
	(select endpoint from {p}queue where state = 0 and endpoint <= $3 order by endpoint limit 1)
	union all
	select (select q.endpoint from {p}queue q where q.state = 0 and q.endpoint > b.num and q.endpoint <= $3
		order by q.endpoint limit 1)
	from b where b.num is not null),
w (num) as (select num from a where num is not null union all select num from b where num is not null)
select w.num, p.id, p.account, coalesce(p.status, -1), p.version, p.pace, p.moving, p.probe_at, coalesce(r.id::text, ''), coalesce(r.due, 0), r.at_row::text
from (select w.num from w limit (select $4::bigint)) w
left join lateral (select * from {p}endpoint p where p.num = w.num limit 1) p on true
left join lateral (
	select q.id, q.due, q.ctid as at_row from {p}queue q
	where q.endpoint = w.num and q.state = 0 and (p.status in (1, 2) or p.status > 3 and p.probe_at = 0)
	order by q.due, q.id limit (select $5::bigint)) r on true
limit (select $6::bigint)`

// postgresLease leases rows of the queue that are still there. Parameters: their keys
// and states, and where they were found; the lease in microseconds, the token, and the
// process. Where a row was found (ctid) saves looking it up by its key, but holds only
// until somebody changes it; then the place is empty, or another row's.
//
// What it finds comes with the number of rows that it took out of the queue: of some
// the delivery may be gone.
const postgresLease = `
with n as materialized (select {clock} as now),
c as materialized (
	select q.id, q.at_row
	from (
		select x.id, x.state, case when x.at_row <> '(0,0)' then x.at_row
			else (select q.ctid from {p}queue q where q.id = x.id) end as at_row
		from unnest((select $1::uuid[]), (select $2::smallint[]), (select $3::tid[])) as x (id, state, at_row)
		order by 1` + few + `) x
	cross join lateral (
		select q.id, q.ctid as at_row from {p}queue q where q.ctid = x.at_row and q.id = x.id and q.state = x.state
		limit 1 for update skip locked) q),
g as (
	delete from {p}queue q using (
		select k.at_row from unnest(array(select c.at_row from c)) as k (at_row)` + few + `) c
	where q.ctid = c.at_row),
u as (
	update {p}delivery d set status = 1, ends_at = (select now from n) + $4::bigint, token = $5::bigint
	from (
		select k.id, f.at_row from unnest(array(select c.id from c)) as k (id)
		cross join lateral (select f.ctid as at_row from {p}delivery f where f.id = k.id limit 1) f` + few + `) c
	where d.ctid = c.at_row and d.id = c.id
	returning d.id, d.event, d.attempts, d.releases, d.expired),
k as (
	insert into {p}lease (due, token, process, deliveries)
	select (select now from n) + $4::bigint, $5::bigint, $6::bigint, string_agg(uuid_send(c.id), ''::bytea)
	from c having count(*) > 0)
select (select now from n), u.id::text, u.event::text, u.attempts, u.releases, u.expired from u
union all
select (select now from n), '', '', count(distinct c.id), 0, 0 from c`

// visitAtOnce goes to several endpoints in one statement.
func visitAtOnce(ctx context.Context, t *txn, c *claim, n int) (stops []stop, done bool, err error) {
	to, then := int64(math.MaxInt64), c.from.end
	if c.wrapped {
		to, then = c.from.end, 0
	}
	most, found := 2*c.terms.Max+rowsPerStop, 0
	err = t.query(ctx, c.s.sql.Pick, func(r *sql.Rows) error {
		var ep stop
		var id string
		var row claimed
		var at sql.NullString
		found++
		err := scanStop(r, &ep, []any{&ep.num}, []any{&id, &row.due, &at})
		if err != nil {
			return err
		}
		if len(stops) == 0 || stops[len(stops)-1].num != ep.num {
			stops = append(stops, ep)
		}
		if id == "" {
			return nil
		}
		row.endpoint, row.version, row.at = ep.num, ep.version, at.String
		last := &stops[len(stops)-1]
		last.rows = append(last.rows, row)
		return last.rows[len(last.rows)-1].k.Scan(id)
	}, c.at, to, then, n, c.reads, most)
	if err != nil || len(stops) == 0 {
		return nil, true, err
	}
	done = len(stops) < n && found < most
	if found == most && len(stops) > 1 {
		stops = stops[:len(stops)-1] // some of its rows may be missing
	}
	c.at = stops[len(stops)-1].num
	c.wrapped = c.wrapped || c.at <= c.from.end
	return stops, done, nil
}

// leaseAtOnce leases the rows in one statement.
func leaseAtOnce(ctx context.Context, t *txn, c *claim) error {
	if len(c.rows) == 0 {
		return nil
	}
	chosen := make([]chosenRow, len(c.rows))
	for i, row := range c.rows {
		chosen[i] = chosenRow{row.k, row.state, row.at}
	}
	taken := 0 // out of the queue
	found := make(map[key]claimed, len(c.rows))
	err := t.query(ctx, c.s.sql.LeaseAtOnce, func(r *sql.Rows) error {
		var row claimed
		var id, event string
		err := r.Scan(&c.seen.micros, &id, &event, &row.attempts, &row.releases, &row.expired)
		switch {
		case err != nil:
			return err
		case id == "":
			taken = row.attempts
			return nil
		}
		err = errors.Join(row.k.Scan(id), row.event.Scan(event))
		found[row.k] = row
		return err
	}, append(arraysOf(chosen).args(), c.terms.Lease.Microseconds(), c.token, int64(c.terms.Process))...)
	if err == nil {
		c.strays = taken - len(found)
		c.keep(found)
	}
	return err
}
