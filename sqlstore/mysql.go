package sqlstore

import (
	"context"
	"database/sql"
	"strings"

	"github.com/ringyo-ai/webhook/internal/sqldb"
)

var mysql = dialect{
	settings:      settingsOfMySQL,
	settingRules:  mysqlSettings,
	kind:          sqldb.MySQL,
	name:          "MySQL",
	concurrency:   4,
	statements:    mysqlSQL(),
	lists:         mysqlLists,
	begin:         beginServer,
	bulk:          bulkRows,
	commitsTables: true,
	keyArg:        keyBytes,
	insertEvents:  insertEventsWithOrigin,
	visit:         visitGroups,
	adapt:         allowJoins,

	migrations: "mysql",
}

// mysqlSQL are the statements of MySQL and MariaDB. Rows are written into the
// text as placeholders; keys go as hexadecimal text, so that no driver and no
// server takes their bytes for text of the connection's character set. What is
// changed in many rows is joined with a derived table of the new values, which
// comes first so that the rows are found by their key.
//
// Locking reads name their index: MySQL locks every row that it looks at, and
// waits for those that others hold, so that on a small table a plan that reads
// all of it would wait for transactions that have nothing to do with it.
func mysqlSQL() statements {
	s := portable()
	s.HasSchema = sqldb.HasTable(sqldb.MySQL, "{p}schema")
	s.Clock = `timestampdiff(microsecond, '1970-01-01', utc_timestamp(6))`
	s.TouchAccount = `insert into {p}account (account, version) values (?, ?) on duplicate key update version = values(version)`

	s.InsertMark = strings.Replace(s.InsertMark, `on conflict (account, mark) do nothing`, `on duplicate key update token = token`, 1)
	s.DropCounts = bulk[number]{row: `?`, sep: `, `, text: `delete from {p}count where num in (%ROWS%)`}
	s.AddTallies.text = `
		insert into {p}tally (endpoint, hour, ` + forCounts("%", ", ") + `) values %ROWS%
		on duplicate key update ` + forCounts("% = % + values(%)", ", ")
	s.ExpireTallies = `delete t from {p}tally t force index (age) where t.hour <= ?`
	s.ExpireMarks = `delete t from {p}idempotency t force index (age) where t.expires_at <= ?`

	s.ReadyOf = rowsOf(`force index (ready)`, `state = 0`)
	s.HeldOf = rowsOf(`force index (ready)`, `state = 4`)
	s.ParkedOf = rowsOf(`force index (ready)`, `state = 6`)
	s.HeldFirst = heldFirst(`force index (ready)`)
	s.BegunOf = rowsOf(`force index (ready)`, `state = 7`)
	s.Look = strings.Replace(s.Look, `(select min(endpoint) from {p}queue where state > 5)`,
		`coalesce((select min(endpoint) from {p}queue where state = 6), (select min(endpoint) from {p}queue where state = 7))`, 1)
	s.LockEvent = strings.Replace(s.LockEvent, "{p}event", "{p}event force index (primary)", 1)
	s.DueWaiting = `
		select id, endpoint, due from {p}queue force index (timer) where state = 5 and due <= ? order by due limit ? {skip}`

	s.InsertSubscriptions = bulk[subscription]{row: `(?, ?, ?)`, sep: `, `, text: `insert into {p}subscription (account, type, endpoint) values %ROWS%`}
	s.Targets = bulk[number]{row: `?`, sep: `, `, text: `
		select num, ` + targetColumns + ` from {p}endpoint where num in (%ROWS%)`}

	s.InsertMarked = bulk[markedEvent]{row: `(unhex(?), ?, ?, ?, ?, ?, ?, ?)`, sep: `, `, text: `
		insert into {p}event (uid, account, id, type, at, created_at, data, origin) values %ROWS%
		on duplicate key update uid = {p}event.uid`}
	s.Inserted = bulk[key]{row: `unhex(?)`, sep: `, `, text: `select uid, origin from {p}event where uid in (%ROWS%)`}
	s.ReadEvents = bulk[key]{row: `unhex(?)`, sep: `, `, text: `
		select e.uid, ` + eventColumns + ` from {p}event e where e.uid in (%ROWS%)`}
	s.DropEvents = bulk[key]{row: `select unhex(?) as uid`, sep: ` union all `, text: `
		delete t from (%ROWS%) x straight_join {p}event t force index (primary) on t.uid = x.uid`}
	s.InsertUnmatched = bulk[unmatched]{row: `(?, ?, unhex(?))`, sep: `, `, text: `
		insert into {p}unmatched (account, created_at, event) values %ROWS%`}
	s.DropUnmatched = bulk[unmatched]{row: `select ? as account, ? as created_at, unhex(?) as event`, sep: ` union all `, text: `
		delete t from (%ROWS%) x straight_join {p}unmatched t force index (primary)
		on t.account = x.account and t.created_at = x.created_at and t.event = x.event`}
	s.Versions = bulk[accountName]{row: `?`, sep: `, `, text: `select account, version from {p}account where account in (%ROWS%)`}
	s.Match = bulk[topic]{row: `(?, ?)`, sep: `, `, text: `
		select s.account, s.type, p.num, p.id, p.status, p.pace, p.version
		from {p}subscription s join {p}endpoint p on p.num = s.endpoint and p.status <> 0
		where (s.account, s.type) in (%ROWS%)`}
	s.Idle = bulk[number]{row: `?`, sep: `, `, text: `select num from {p}endpoint where num in (%ROWS%) and probe_at = 0`}
	s.InsertDeliveries = bulk[createdDelivery]{row: `(unhex(?), unhex(?), ?, ?, ?, ?, ?)`, sep: `, `, text: `
		insert into {p}delivery (id, event, endpoint, status, token, ends_at, created_at) values %ROWS%`}
	s.InsertQueue = bulk[queuePlace]{row: `(unhex(?), ?, ?, ?)`, sep: `, `, text: `
		insert into {p}queue (id, endpoint, state, due) values %ROWS%`}

	s.Pick = `
		select endpoint from {p}queue where state = 0 and endpoint > ?
		group by state, endpoint order by state, endpoint limit ?`
	s.PickStates = bulk[number]{row: `?`, sep: `, `, text: `
		select num, id, account, status, version, pace, moving, probe_at from {p}endpoint where num in (%ROWS%)`}
	s.PickRows = bulk[pick]{
		row: `(select id, endpoint, due from {p}queue force index (ready)
			where state = 0 and endpoint = ? order by due, id limit ?)`,
		sep: ` union all `, text: `%ROWS%`,
	}
	s.Lease = bulk[leasing]{row: `select ? as ends_at, ? as token, unhex(?) as id`, sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}delivery d force index (primary) on d.id = x.id
		set d.status = 1, d.ends_at = x.ends_at, d.token = x.token`}
	s.LockRows = bulk[key]{row: `unhex(?)`, sep: `, `, text: `
		select q.id, q.state, d.attempts, d.releases, d.expired
		from {p}queue q force index (primary) straight_join {p}delivery d force index (primary) on d.id = q.id
		where q.id in (%ROWS%) order by q.id for update skip locked`}
	s.Leased = bulk[key]{row: `select unhex(?) as id`, sep: ` union all `, text: `
		select x.id, d.event, ` + eventColumns + `
		from (%ROWS%) x left join {p}delivery d force index (primary) on d.id = x.id
		left join {p}event e force index (primary) on e.uid = d.event`}
	s.Undelivered = bulk[key]{row: `select unhex(?) as id`, sep: ` union all `, text: `
		select q.id from (%ROWS%) x straight_join {p}queue q force index (primary) on q.id = x.id
		left join {p}delivery d force index (primary) on d.id = x.id where d.id is null`}
	s.GiveBack = bulk[key]{row: `select unhex(?) as id`, sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}delivery d force index (primary) on d.id = x.id
		set d.status = 0, d.token = 0, d.ends_at = 0`}

	s.ProbeRows = bulk[stateOf]{
		row: `(select endpoint, id, state, due from {p}queue force index (ready)
			where state = ? and endpoint = ? order by due, id limit 1)`,
		sep: ` union all `, text: `%ROWS%`,
	}
	s.LockProbes = bulk[endpointAt]{row: `(probe_at <= ? and num = ? and (status > 3 or status = 3 and probe_at > 0))`, sep: ` or `, text: `
		select num from {p}endpoint force index (primary) where %ROWS% order by num for update skip locked`}
	s.SetProbes = bulk[probeTime]{row: `select ? as at, ? as token, ? as num`, sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}endpoint p force index (primary) on p.num = x.num
		set p.probe_at = x.at, p.probe_token = x.token`}
	s.UnsetProbes = bulk[probeTime]{row: `select ? as at, ? as token, ? as num`, sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}endpoint p force index (primary) on p.num = x.num and p.probe_token = x.token
		set p.probe_at = x.at, p.probe_token = 0`}
	s.EndProbes = bulk[endpointAt]{row: `select ? as now, ? as num`, sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}endpoint p force index (primary) on p.num = x.num
			and not exists (select 1 from {p}queue q where q.state = 7 and q.endpoint = x.num)
			and (p.paused_until > x.now or not exists (select 1 from {p}queue q where q.state = 6 and q.endpoint = x.num))
		set p.probe_at = case when p.paused_until > x.now then p.paused_until else 0 end, p.probe_token = 0`}
	s.Wake = bulk[waking]{row: `select ? as now, ? as begun, ? as num`, sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}endpoint p force index (primary) on p.num = x.num
			and (p.status <= 3 or p.probe_at = 0 or x.begun = 1 and p.probe_token = 0 and p.probe_at > x.now)
		set p.moving = case when p.status > 3 then p.moving else 1 end,
			p.probe_at = case when p.status <= 3 then p.probe_at
				when x.begun = 0 and p.paused_until > x.now then p.paused_until else x.now end`}
	s.Begun = bulk[number]{row: `?`, sep: `, `, text: `
		select endpoint from {p}queue force index (ready) where state = 7 and endpoint in (%ROWS%) group by state, endpoint`}

	s.LockQueue = bulk[key]{row: `unhex(?)`, sep: `, `, text: `
		select id from {p}queue force index (primary) where id in (%ROWS%) order by id for update`}
	s.LockDeliveries = bulk[key]{row: `unhex(?)`, sep: `, `, text: `
		select id, endpoint, status, token, ends_at, attempts, made, releases from {p}delivery force index (primary)
		where id in (%ROWS%) order by id for update`}
	s.ReadLeased = bulk[key]{row: `unhex(?)`, sep: `, `, text: `
		select id, endpoint, status, token, ends_at, attempts, made, releases from {p}delivery force index (primary)
		where id in (%ROWS%)`}
	s.DeleteQueue = bulk[key]{row: `select unhex(?) as id`, sep: ` union all `, text: `
		delete t from (%ROWS%) x straight_join {p}queue t force index (primary) on t.id = x.id`}
	s.Finish = bulk[finish]{
		row: `select ? as status, ? as ends_at, ? as attempts, ? as made, ? as reason, ? as sent_id, ? as sent_at,
			? as sent_duration, ? as sent_code, ? as sent_revision, cast(? as binary) as sent_body, unhex(?) as id`,
		sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}delivery d force index (primary) on d.id = x.id
		set d.status = x.status, d.token = 0, d.ends_at = x.ends_at, d.attempts = x.attempts, d.made = x.made,
			d.reason = x.reason, d.sent_id = x.sent_id, d.sent_at = x.sent_at, d.sent_duration = x.sent_duration,
			d.sent_code = x.sent_code, d.sent_revision = x.sent_revision, d.sent_body = x.sent_body`,
	}
	s.Requeue = bulk[requeue]{row: `select ? as attempts, ? as made, ? as releases, unhex(?) as id`, sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}delivery d force index (primary) on d.id = x.id
		set d.attempts = x.attempts, d.made = x.made, d.releases = x.releases, d.status = 0, d.token = 0, d.ends_at = 0, d.expired = 0`}
	s.CloseLeases = bulk[closing]{row: `select ? as at, ? as due, ? as token`, sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}lease t force index (primary) on t.due = x.due and t.token = x.token set t.due = x.at`}
	s.EndLeases = bulk[lease]{row: `select ? as due, ? as token`, sep: ` union all `, text: `
		delete t from (%ROWS%) x straight_join {p}lease t force index (primary) on t.due = x.due and t.token = x.token`}
	s.InsertAttempts = bulk[loggedAttempt]{row: `(unhex(?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, sep: `, `, text: `
		insert into {p}attempt (delivery, number, id, at, duration, status, failure, detail, revision, location, body) values %ROWS%`}
	s.Health = bulk[number]{row: `?`, sep: `, `, text: `select ` + healthColumns + ` from {p}endpoint where num in (%ROWS%)`}
	s.LockHealth = bulk[number]{row: `?`, sep: `, `, text: `
		select ` + healthColumns + ` from {p}endpoint force index (primary) where num in (%ROWS%) order by num for update`}
	s.SetHealth = bulk[healthChange]{
		row: `select ? as status, ? as moving, ? as version, ? as generation, ? as reason, ? as disabled_at,
			? as failures, ? as since, ? as triggered, ? as success, ? as failure, ? as failed,
			? as pace, ? as pauses, ? as paused_until, ? as probe_at, ? as probe_token, ? as num`,
		sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}endpoint p force index (primary) on p.num = x.num
		set p.status = x.status, p.moving = greatest(p.moving, x.moving), p.version = x.version,
			p.generation = x.generation, p.disabled_reason = x.reason, p.disabled_at = x.disabled_at,
			p.failures = x.failures, p.failing_since = x.since,
			p.last_triggered_at = x.triggered, p.last_success_at = x.success, p.last_failure_at = x.failure,
			p.last_failure = coalesce(x.failed, p.last_failure),
			p.pace = x.pace, p.pauses = x.pauses, p.paused_until = x.paused_until,
			p.probe_at = x.probe_at, p.probe_token = x.probe_token`,
	}
	s.SetMoving = bulk[number]{row: `?`, sep: `, `, text: `update {p}endpoint set moving = 1 where num in (%ROWS%)`}

	s.EndpointStates = bulk[number]{row: `?`, sep: `, `, text: `select num, status, version, probe_at, pauses from {p}endpoint where num in (%ROWS%)`}
	s.MoveRows = bulk[newState]{row: `select ? as state, unhex(?) as id`, sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}queue q force index (primary) on q.id = x.id set q.state = x.state`}
	s.Expire = bulk[key]{row: `select unhex(?) as id`, sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}delivery d force index (primary) on d.id = x.id
		set d.expired = d.expired + 1, d.status = 0, d.token = 0, d.ends_at = 0`}
	s.Cancel = bulk[cancellation]{row: `select ? as status, ? as ends_at, ? as reason, unhex(?) as id`, sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}delivery d force index (primary) on d.id = x.id
		set d.status = x.status, d.ends_at = x.ends_at, d.reason = x.reason, d.token = 0`}
	s.HeldStep = `
		select endpoint from {p}queue where state = 4 and endpoint > ?
		group by state, endpoint order by state, endpoint limit ?`
	s.ParkedStep = strings.ReplaceAll(s.HeldStep, "state = 4", "state = 6")
	s.BegunStep = strings.ReplaceAll(s.HeldStep, "state = 4", "state = 7")

	s.DeleteAttempts = bulk[key]{row: `select unhex(?) as id`, sep: ` union all `, text: `
		delete t from (%ROWS%) x straight_join {p}attempt t force index (primary) on t.delivery = x.id`}
	s.DeleteDeliveries = bulk[key]{row: `select unhex(?) as id`, sep: ` union all `, text: `
		delete t from (%ROWS%) x straight_join {p}delivery t force index (primary) on t.id = x.id`}
	s.LockEvents = bulk[key]{row: `unhex(?)`, sep: `, `, text: `
		select uid, length(data) from {p}event force index (primary) where uid in (%ROWS%) order by uid for update`}
	s.Unreferenced = bulk[key]{row: `unhex(?)`, sep: `, `, text: `
		select e.uid from {p}event e where e.uid in (%ROWS%)
		and not exists (select 1 from {p}delivery d where d.event = e.uid)`}
	s.BlankAttempts = bulk[key]{row: `select unhex(?) as id`, sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}delivery d force index (primary) on d.id = x.id
		straight_join {p}event e force index (primary) on e.uid = d.event and length(e.data) = 0
		straight_join {p}attempt a force index (primary) on a.delivery = x.id
		set a.body = substr(a.body, 1, 0), a.location = ''`}
	s.BlankDeliveries = bulk[key]{row: `select unhex(?) as id`, sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}delivery d force index (primary) on d.id = x.id
		straight_join {p}event e force index (primary) on e.uid = d.event and length(e.data) = 0
		set d.sent_body = null`}
	s.DeliveriesOf = bulk[eventOf]{row: `(unhex(?), ?)`, sep: `, `, text: `
		select id, event, endpoint, status from {p}delivery force index (event) where (event, endpoint) in (%ROWS%) order by id for update`}
	s.LastAttempts = strings.Replace(s.LastAttempts, `from d join {p}attempt a`, `from d straight_join {p}attempt a force index (primary)`, 1)
	s.FirstOf = bulk[key]{row: `unhex(?)`, sep: `, `, text: `
		select event, min(endpoint) from {p}delivery force index (event) where event in (%ROWS%) group by event`}
	s.KeepSent = bulk[key]{row: `select unhex(?) as id`, sep: ` union all `, text: `
		insert into {p}attempt (delivery, number, id, at, duration, status, failure, detail, revision, location, body)
		select d.id, d.made, d.sent_id, d.sent_at, d.sent_duration, d.sent_code, '', '', d.sent_revision, '', d.sent_body
		from (%ROWS%) x straight_join {p}delivery d force index (primary) on d.id = x.id and d.sent_id is not null`}
	s.Restart = bulk[key]{row: `select unhex(?) as id`, sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}delivery d force index (primary) on d.id = x.id
		set d.attempts = d.attempts * (d.status = 0), d.releases = d.releases * (d.status = 0), d.expired = d.expired * (d.status = 0),
			d.status = 0, d.token = 0, d.ends_at = 0, d.reason = '',
			d.sent_id = null, d.sent_at = 0, d.sent_duration = 0, d.sent_code = 0, d.sent_revision = 0, d.sent_body = null`}

	return s
}

// allowJoins lets a statement change rows by a join where sql_safe_updates is set, which
// looks for a WHERE that uses a key, and refuses one whose keys come from a derived
// table. Each of the servers is told in its own way, which the other takes for a comment,
// and for this statement alone: the session stays as it is, and no round trip is needed.
func allowJoins(text string) string {
	for _, verb := range []string{"update ", "delete "} {
		if rest, ok := strings.CutPrefix(text, verb); ok {
			return `/*M! set statement sql_safe_updates = 0 for */ ` + verb + `/*+ set_var(sql_safe_updates = off) */ ` + rest
		}
	}
	return text
}

// insertEventsWithOrigin stores the events whose ids are new. The number of
// affected rows means little here, so that each row names the call that inserted
// it.
func insertEventsWithOrigin(ctx context.Context, t *txn, in *intake) error {
	origin := newToken()
	rows, keys := make([]markedEvent, len(in.events)), make([]key, len(in.events))
	for i, ev := range in.events {
		rows[i] = markedEvent{createdEvent{ev, in.micros}, origin}
		keys[i] = ev.k
	}
	if err := t.execAll(ctx, in.s.sql.InsertMarked.of(rows)); err != nil {
		return err
	}
	byKey := in.byKey()
	return t.queryAll(ctx, in.s.sql.Inserted.of(keys), func(r *sql.Rows) error {
		var k key
		var by int64
		err := r.Scan(&k, &by)
		if ev := byKey[k]; ev != nil && by == origin {
			ev.fresh = true
		}
		return err
	})
}
