package sqlstore

import (
	"context"
	"database/sql"
	"strings"

	"github.com/ringyo-ai/webhook/internal/sqldb"
)

var sqlite = dialect{
	settings:      settingsOfSQLite,
	settingRules:  sqliteSettings,
	kind:          sqldb.SQLite,
	name:          "SQLite",
	concurrency:   1,
	oneWriter:     true,
	prepare:       true,
	byteKeys:      true,
	ownClock:      true,
	stateRanges:   true,
	history:       true,
	recordsAtOnce: true,
	statements:    sqliteSQL(),
	lists:         sqliteLists,
	begin:         beginFile,
	bulk:          bulkChunks,
	keyArg:        keyBytes,
	insertEvents:  insertEventsReturning,
	visit:         visitNext,

	migrations: "sqlite",
}

// sqliteSQL are the statements of SQLite. It runs in the process, so that a call
// costs as much as what it does: the statements that every delivery needs take
// several rows, see bulkChunks. The times are parameters.
//
// Those that write several rows say "or fail": otherwise SQLite copies each page
// before it changes it, to undo the statement alone if one of its rows cannot be
// stored. Whoever gets an error rolls the whole transaction back.
func sqliteSQL() statements {
	s := portable()
	s.HasSchema = sqldb.HasTable(sqldb.SQLite, "{p}schema")
	s.Lock = `delete from {p}schema where 0`
	// What is no number, since somebody wrote it by hand, comes behind all numbers.
	s.Look = strings.NewReplacer("{clock}", "?", "coalesce((", "coalesce(cast((", "), 0)", ") as integer), 0)").Replace(s.Look)

	s.DropCounts = bulk[number]{row: `?`, sep: `,`, text: `delete from {p}count where num in (%ROWS%)`}

	s.InsertSubscriptions = bulk[subscription]{text: `insert into {p}subscription (account, type, endpoint) values (?, ?, ?)`}
	s.Targets = bulk[number]{row: `?`, sep: `,`, text: `
		select num, ` + targetColumns + ` from {p}endpoint where num in (%ROWS%)`}

	s.InsertEvents = bulk[createdEvent]{row: `(?,?,?,?,?,?,?)`, sep: `,`, text: `
		insert or fail into {p}event (uid, account, id, type, at, created_at, data) values %ROWS%
		on conflict (uid) do nothing returning uid`}
	s.ReadEvents = bulk[key]{text: `select e.uid, ` + eventColumns + ` from {p}event e where e.uid = ?`}
	s.DropEvents = bulk[key]{text: `delete from {p}event where uid = ?`}
	s.InsertUnmatched = bulk[unmatched]{row: `(?,?,?)`, sep: `,`, text: `insert into {p}unmatched (account, created_at, event) values %ROWS%`}
	s.DropUnmatched = bulk[unmatched]{text: `delete from {p}unmatched where account = ? and created_at = ? and event = ?`}
	s.Versions = bulk[accountName]{row: `?`, sep: `,`, text: `select account, version from {p}account where account in (%ROWS%)`}
	s.Match = bulk[topic]{row: `(?,?)`, sep: `,`, text: `
		with x (account, type) as (values %ROWS%)
		select s.account, s.type, p.num, p.id, p.status, p.pace, p.version
		from x cross join {p}subscription s on s.account = x.account and s.type = x.type
		cross join {p}endpoint p on p.num = s.endpoint and p.status <> 0`}
	s.Idle = bulk[number]{text: `select num from {p}endpoint where num = ? and probe_at = 0`}
	s.InsertDeliveries = bulk[createdDelivery]{row: `(?,?,?,?,?,?,?)`, sep: `,`, text: `
		insert or fail into {p}delivery (id, event, endpoint, status, token, ends_at, created_at) values %ROWS%`}
	s.InsertQueue = bulk[queuePlace]{row: `(?,?,?,?)`, sep: `,`, text: `insert or fail into {p}queue (id, endpoint, state, due) values %ROWS%`}

	s.PickStep = `
		select q.id, q.due, q.endpoint, p.id, p.account, coalesce(p.status, -1), p.version, p.pace, p.moving, p.probe_at
		from {p}queue q left join {p}endpoint p on p.num = q.endpoint
		where q.state = 0 and q.endpoint = (
			select endpoint from {p}queue where state = 0 and endpoint > ? order by endpoint limit 1)
		order by q.due, q.id limit ?`
	s.Lease = bulk[leasing]{same: 2, row: `?`, sep: `,`, text: `
		update or fail {p}delivery set status = 1, ends_at = ?, token = ? where id in (%ROWS%)`}
	s.LockRows = bulk[key]{row: `?`, sep: `,`, text: `
		select q.id, q.state, d.attempts, d.releases, d.expired
		from {p}queue q cross join {p}delivery d on d.id = q.id where q.id in (%ROWS%)`}
	s.Leased = bulk[key]{row: `(?)`, sep: `,`, text: `
		with x (id) as (values %ROWS%)
		select x.id, d.event, ` + eventColumns + `
		from x left join {p}delivery d on d.id = x.id left join {p}event e on e.uid = d.event`}
	s.Undelivered = bulk[key]{row: `?`, sep: `,`, text: `
		select q.id from {p}queue q where q.id in (%ROWS%) and not exists (select 1 from {p}delivery d where d.id = q.id)`}
	s.DropJunk = `delete from {p}queue where typeof(id) <> 'blob' or length(id) <> 16 returning 0`
	s.GiveBack = bulk[key]{text: `update {p}delivery set status = 0, token = 0, ends_at = 0 where id = ?`}

	s.ProbeRows = bulk[stateOf]{text: `
		select endpoint, id, state, due from {p}queue where state > 5 and state = ? and endpoint = ? order by due, id limit 1`}
	s.LockProbes = bulk[endpointAt]{text: `select num from {p}endpoint where probe_at <= ? and num = ? and (status > 3 or status = 3 and probe_at > 0)`}
	s.SetProbes = bulk[probeTime]{text: `update {p}endpoint set probe_at = ?, probe_token = ? where num = ?`}
	s.UnsetProbes = bulk[probeTime]{text: `update {p}endpoint set probe_at = ?, probe_token = 0 where probe_token = ? and num = ?`}
	s.EndProbes = bulk[endpointAt]{text: `
		update {p}endpoint set probe_at = case when paused_until > ?1 then paused_until else 0 end, probe_token = 0
		where num = ?2 and not exists (select 1 from {p}queue q where q.state > 5 and q.state = 7 and q.endpoint = ?2)
		and (paused_until > ?1 or not exists (select 1 from {p}queue q where q.state > 5 and q.endpoint = ?2))`}
	s.Wake = bulk[waking]{text: `
		update {p}endpoint set moving = case when status > 3 then moving else 1 end,
			probe_at = case when status <= 3 then probe_at when ?2 = 0 and paused_until > ?1 then paused_until else ?1 end
		where num = ?3 and (status <= 3 or probe_at = 0 or ?2 = 1 and probe_token = 0 and probe_at > ?1)`}
	s.Begun = bulk[number]{text: `select endpoint from {p}queue where state > 5 and state = 7 and endpoint = ? limit 1`}

	s.LockDeliveries = bulk[key]{row: `?`, sep: `,`, text: `
		select id, endpoint, status, token, ends_at, attempts, made, releases from {p}delivery where id in (%ROWS%)`}
	s.ReadLeased = s.LockDeliveries
	s.DeleteQueue = bulk[key]{row: `?`, sep: `,`, text: `delete from {p}queue where id in (%ROWS%)`}
	s.Finish = bulk[finish]{row: `(?,?,?,?,?,?,?,?,?,?,?,?)`, sep: `,`, text: `
		with x (status, ends_at, attempts, made, reason, sent_id, sent_at, sent_duration, sent_code, sent_revision, sent_body, id) as (values %ROWS%)
		update or fail {p}delivery set status = x.status, token = 0, ends_at = x.ends_at, attempts = x.attempts, made = x.made,
			reason = x.reason, sent_id = x.sent_id, sent_at = x.sent_at, sent_duration = x.sent_duration,
			sent_code = x.sent_code, sent_revision = x.sent_revision, sent_body = x.sent_body
		from x where {p}delivery.id = x.id`}
	s.Changing = bulk[successOf]{row: `(?,?,?)`, sep: `,`, text: `
		with x (num, since, pace) as (values %ROWS%)
		select x.num from x cross join {p}endpoint p on p.num = x.num
		where p.status <> 0 and (p.failures <> 0 or p.status in (2, 4, 5) or p.status = 3 and p.pauses > 0 or p.pace = 0 and x.pace <> 0
			or p.last_triggered_at <= x.since or p.last_success_at <= x.since)`}
	s.Record = bulk[success]{row: `(?,?,?,?,?,?,?,?,?)`, sep: `,`, text: `
		with x (id, token, ends_at, sent_id, sent_at, sent_duration, sent_code, sent_revision, sent_body) as (values %ROWS%)
		update or fail {p}delivery set status = 2, token = 0, ends_at = x.ends_at, attempts = attempts + 1, made = made + 1,
			sent_id = x.sent_id, sent_at = x.sent_at, sent_duration = x.sent_duration,
			sent_code = x.sent_code, sent_revision = x.sent_revision, sent_body = x.sent_body
		from x where {p}delivery.id = x.id and {p}delivery.status = 1 and {p}delivery.token = x.token`}
	s.Requeue = bulk[requeue]{text: `
		update {p}delivery set attempts = ?, made = ?, releases = ?, status = 0, token = 0, ends_at = 0, expired = 0 where id = ?`}
	s.CloseLeases = bulk[closing]{text: `update {p}lease set due = ? where due = ? and token = ?`}
	s.EndLeases = bulk[lease]{text: `delete from {p}lease where due = ? and token = ?`}
	s.InsertAttempts = bulk[loggedAttempt]{row: `(?,?,?,?,?,?,?,?,?,?,?)`, sep: `,`, text: `
		insert into {p}attempt (delivery, number, id, at, duration, status, failure, detail, revision, location, body) values %ROWS%`}
	s.Health = bulk[number]{row: `?`, sep: `,`, text: `select ` + healthColumns + ` from {p}endpoint where num in (%ROWS%)`}
	s.SetHealth = bulk[healthChange]{text: `
		update {p}endpoint set status = ?, moving = max(moving, ?), version = ?, generation = ?,
			disabled_reason = ?, disabled_at = ?, failures = ?, failing_since = ?,
			last_triggered_at = ?, last_success_at = ?, last_failure_at = ?, last_failure = coalesce(?, last_failure),
			pace = ?, pauses = ?, paused_until = ?, probe_at = ?, probe_token = ? where num = ?`}
	s.SetMoving = bulk[number]{text: `update {p}endpoint set moving = 1 where num = ?`}

	s.EndpointStates = bulk[number]{row: `?`, sep: `,`, text: `select num, status, version, probe_at, pauses from {p}endpoint where num in (%ROWS%)`}
	s.MoveRows = bulk[newState]{text: `update {p}queue set state = ? where id = ?`}
	s.Expire = bulk[key]{text: `update {p}delivery set expired = expired + 1, status = 0, token = 0, ends_at = 0 where id = ?`}
	s.Cancel = bulk[cancellation]{text: `update {p}delivery set status = ?, ends_at = ?, reason = ?, token = 0 where id = ?`}

	s.DeleteAttempts = bulk[key]{text: `delete from {p}attempt where delivery = ?`}
	s.DeleteDeliveries = bulk[key]{text: `delete from {p}delivery where id = ?`}
	s.LockEvents = bulk[key]{text: `select uid, length(data) from {p}event where uid = ?`}
	s.Unreferenced = bulk[key]{text: `
		select uid from {p}event where uid = ?
		and not exists (select 1 from {p}delivery d where d.event = {p}event.uid)`}
	s.BlankEvent = `update {p}event set data = x'' where uid = ?`
	const redacted = `exists (select 1 from {p}delivery d join {p}event e on e.uid = d.event where d.id = ?1 and length(e.data) = 0)`
	s.BlankAttempts = bulk[key]{text: `update {p}attempt set body = x'', location = '' where delivery = ?1 and ` + redacted}
	s.BlankDeliveries = bulk[key]{text: `update {p}delivery set sent_body = null where id = ?1 and ` + redacted}
	s.DeliveriesOf = bulk[eventOf]{text: `select id, event, endpoint, status from {p}delivery where event = ? and endpoint = ?`}
	s.FirstOf = bulk[key]{row: `?`, sep: `,`, text: `
		select event, min(endpoint) from {p}delivery where event in (%ROWS%) group by event`}
	s.KeepSent = bulk[key]{text: `
		insert into {p}attempt (delivery, number, id, at, duration, status, failure, detail, revision, location, body)
		select id, made, sent_id, sent_at, sent_duration, sent_code, '', '', sent_revision, '', sent_body
		from {p}delivery where id = ? and sent_id is not null`}
	s.Restart = bulk[key]{text: `
		update {p}delivery set status = 0, token = 0, ends_at = 0, reason = '',
			attempts = case when status = 0 then attempts else 0 end, releases = case when status = 0 then releases else 0 end,
			expired = case when status = 0 then expired else 0 end,
			sent_id = null, sent_at = 0, sent_duration = 0, sent_code = 0, sent_revision = 0, sent_body = null
		where id = ?`}

	s.AddTimeline = `
		insert or ignore into {p}timeline (account, created_at, event)
		select account, created_at, uid from {p}event where num > (select num from {p}timeline_end) order by account, created_at, uid`
	s.SetTimelineEnd = `update {p}timeline_end set num = (select max(num) from {p}event) where num < (select max(num) from {p}event)`
	s.LowerTimelineEnd = `
		update {p}timeline_end set num = (select coalesce(max(num), 0) from {p}event)
		where num > (select coalesce(max(num), 0) from {p}event)`
	s.DropTimeline = bulk[key]{text: `
		delete from {p}timeline where account = (select account from {p}event where uid = ?1)
		and created_at = (select created_at from {p}event where uid = ?1) and event = ?1`}
	s.HistoryEnd = `select delivery from {p}history_end`
	s.SetHistoryEnd = `update {p}history_end set delivery = (select max(id) from {p}delivery) where delivery < (select max(id) from {p}delivery)`
	s.AddHistory = `
		insert or ignore into {p}history (endpoint, delivery)
		select endpoint, id from {p}delivery where id > (select delivery from {p}history_end) order by endpoint, id`
	// What is not in the history table yet is read by its key: after an ANALYZE the planner
	// may otherwise skip through all of the index by event and endpoint. The sign of
	// +endpoint keeps it from that.
	s.DropEndpoint = `
		delete from {p}endpoint where num = ?1 and status = 0
		and not exists (select 1 from {p}history h where h.endpoint = ?2)
		and not exists (select 1 from {p}delivery d where d.id > (select delivery from {p}history_end) and +d.endpoint = ?2)
		and not exists (select 1 from {p}revision r where r.endpoint = ?3)`
	s.InsertHistory = bulk[listed]{row: `(?,?)`, sep: `,`, text: `insert or ignore into {p}history (endpoint, delivery) values %ROWS%`}
	s.DropHistory = bulk[listed]{text: `delete from {p}history where endpoint = ? and delivery = ?`}
	s.DeliveriesOfEndpoint = `
		select ` + deliveryColumns + ` from (
			select * from (
				select * from {p}delivery
				where id > (select delivery from {p}history_end) and id < ?2 and +endpoint = ?1 order by id desc limit ?3)
			union all select * from (
				select o.* from {p}history h cross join {p}delivery o on o.id = h.delivery
				where h.endpoint = ?1 and h.delivery < ?2 order by h.delivery desc limit ?3)
			order by id desc limit ?3
		) d` + deliveryJoins + ` order by d.id desc`
	s.LastAttempts = lastAttempts(`
		select * from (
			select * from {p}delivery where id > (select delivery from {p}history_end) and +endpoint = ?1 order by id desc limit ?2)
		union all select * from (
			select o.* from {p}history h cross join {p}delivery o on o.id = h.delivery
			where h.endpoint = ?1 order by h.delivery desc limit ?2)`,
		`from d cross join {p}attempt a on a.delivery = d.id`)
	s.AnyOf = `
		select * from (
			select o.id, o.event from {p}history h cross join {p}delivery o on o.id = h.delivery
			where h.endpoint = ?1 order by h.delivery limit ?2)
		union all select * from (
			select id, event from {p}delivery
			where id > (select delivery from {p}history_end) and +endpoint = ?1 order by id limit ?2)
		limit ?2`
	s.EventsOf = `
		select d.id, e.uid, e.type, e.created_at, d.status, length(e.data) from (
			select * from (
				select o.id, o.event, o.status from {p}history h cross join {p}delivery o on o.id = h.delivery
				where h.endpoint = ?1 and h.delivery > ?2 order by h.delivery limit ?3)
			union all select * from (
				select id, event, status from {p}delivery
				where id > (select delivery from {p}history_end) and id > ?2 and +endpoint = ?1 order by id limit ?3)
			order by id limit ?3
		) d join {p}event e on e.uid = d.event order by d.id`
	s.FailedOf = `
		select d.id, e.uid, e.type, e.created_at, d.status, length(e.data) from (
			select id, event, status from {p}delivery
			where endpoint = ? and status in (3, 4) and id > ? order by id limit ?
		) d join {p}event e on e.uid = d.event order by d.id`
	return s
}

// healthColumns are what readHealth reads.
const healthColumns = `num, id, account, status, version, generation, disabled_reason, disabled_at,
	failures, failing_since, last_triggered_at, last_success_at, last_failure_at,
	pace, pauses, paused_until, probe_at, probe_token`

// healthOf returns healthColumns of a table.
func healthOf(table string) string {
	return table + "." + strings.ReplaceAll(strings.Join(strings.Fields(healthColumns), " "), ", ", ", "+table+".")
}

// insertEventsReturning stores the events whose ids are new, where the statement
// returns which they are.
func insertEventsReturning(ctx context.Context, t *txn, in *intake) error {
	rows := make([]createdEvent, len(in.events))
	for i, ev := range in.events {
		rows[i] = createdEvent{ev, in.micros}
	}
	byKey := in.byKey()
	return t.queryAll(ctx, in.s.sql.InsertEvents.of(rows), func(r *sql.Rows) error {
		var k key
		err := r.Scan(&k)
		if ev := byKey[k]; ev != nil {
			ev.fresh = true
		}
		return err
	})
}
