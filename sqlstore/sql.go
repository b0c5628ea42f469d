package sqlstore

// endpointColumns are what scanEndpoint reads.
const endpointColumns = `num, id, account, url, events, description, metadata, headers, secrets,
	status, version, generation, disabled_reason, disabled_at, failures, failing_since,
	last_triggered_at, last_success_at, last_failure_at, last_failure, pace, paused_until, revised, revised_at, created_at, updated_at`

// eventColumns are what scanEvent reads, of event e.
const eventColumns = `e.id, e.account, e.type, e.at, e.created_at, e.data`

// deliveryColumns are what scanDelivery reads, of delivery d, event e, endpoint
// p and queue q.
const deliveryColumns = `d.id, e.account, p.id, e.id, e.type, d.status, d.reason, d.made,
	coalesce(q.state, -1), coalesce(q.due, 0), d.ends_at, d.created_at,
	case when p.status = 0 then p.updated_at else -1 end`

const deliveryJoins = `
	join {p}event e on e.uid = d.event
	join {p}endpoint p on p.num = d.endpoint
	left join {p}queue q on q.id = d.id`

// portable are the statements that every dialect understands. Look asks for the
// least of each kind, not whether there is any: for the latter PostgreSQL may
// read the table, in which what is asked for can lie behind all the rest.
func portable() statements {
	return statements{ // #nosec G101 -- SQL, some of which names a column called secrets
		SchemaVersion: `select coalesce(max(version), 0) from {p}schema`,
		TouchAccount: `
			insert into {p}account (account, version) values (?, ?)
			on conflict (account) do update set version = excluded.version`,
		CountEndpoints: `select count(*) from {p}endpoint where account = ? and status <> 0`,
		Failing: `
			select ` + endpointColumns + ` from {p}endpoint
			where status in (2, 3, 5) and num < ? and status in (?, ?, ?) order by num desc limit ?`,
		LastAttempts: lastAttempts(`select * from {p}delivery where endpoint = ? order by id desc limit ?`,
			`from d join {p}attempt a on a.delivery = d.id`),
		OldestDue: `
			select p.id, p.account, p.url, x.n, x.due from (
				select q.endpoint, count(*) as n, min(q.due) as due from (
					select endpoint, due from {p}queue where state = 0
					union all select endpoint, due from {p}queue where state > 5) q
				group by q.endpoint) x
			join {p}endpoint p on p.num = x.endpoint and p.status in (1, 2, 4, 5)
			order by x.due, p.num limit ?`,
		StatusOf:     `select status from {p}endpoint where num = ?`,
		CountStatus:  `select count(*) from {p}endpoint where account = ? and status in (?, ?, ?, ?, ?)`,
		AllEndpoints: `select count(*) from {p}endpoint where account = ?`,
		EndpointID:   `select num from {p}endpoint where id = ?`,
		InsertEndpoint: `
			insert into {p}endpoint (id, account, url, events, description, metadata, headers, secrets,
				status, version, generation, disabled_reason, disabled_at, last_failure, revised, revised_at, created_at, updated_at)
			values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, '', ?, ?, ?, ?)`,
		GetEndpoint:  `select ` + endpointColumns + ` from {p}endpoint where id = ? and account = ? and status <> 0`,
		LockEndpoint: `select ` + endpointColumns + ` from {p}endpoint where id = ? and account = ? and status <> 0 {update}`,
		ListEndpoints: `
			select ` + endpointColumns + ` from {p}endpoint
			where account = ? and num < ? and status in (?, ?, ?, ?, ?) order by num desc limit ?`,
		UpdateEndpoint: `
			update {p}endpoint set url = ?, events = ?, description = ?, metadata = ?, headers = ?, secrets = ?,
				status = ?, moving = ?, version = ?, generation = ?, disabled_reason = ?, disabled_at = ?,
				failures = ?, failing_since = ?, revised = ?, revised_at = ?, updated_at = ?, pace = pace * ?, pauses = pauses * ?,
				paused_until = paused_until * ?, probe_at = probe_at * ?, probe_token = probe_token * ?
			where num = ?`,
		DeleteEndpoint: `
			update {p}endpoint set status = 0, moving = 1, version = version + 1, generation = generation + 1,
				url = '', events = '[]', description = '', metadata = '{}', headers = '{}', secrets = '[]', last_failure = '', updated_at = ?,
				pace = 0, pauses = 0, paused_until = 0, probe_at = 0, probe_token = 0
			where num = ?`,
		DeleteSubscriptions: `delete from {p}subscription where endpoint = ?`,
		EndpointsAfter:      `select ` + endpointColumns + ` from {p}endpoint where num > ? and status <> 0 order by num limit ?`,
		LockSealed:          `select secrets, headers from {p}endpoint where num = ? {update}`,
		SetSealed:           `update {p}endpoint set secrets = ?, headers = ? where num = ?`,

		Revisions: `
			select revision, begun_at, ended_at, url, secrets, headers from {p}revision where endpoint = ? order by revision desc`,
		InsertRevision: `
			insert into {p}revision (endpoint, revision, begun_at, ended_at, url, secrets, headers) values (?, ?, ?, ?, ?, ?, ?)`,
		RevisionAt:      `select revision from {p}revision where endpoint = ? order by revision desc limit 1 offset ?`,
		DropRevisionsTo: `delete from {p}revision where endpoint = ? and revision <= ?`,
		OldRevisions:    `select endpoint, revision from {p}revision where ended_at < ? order by ended_at limit ?`,
		DropRevision:    `delete from {p}revision where endpoint = ? and revision = ?`,
		RevisionsAfter: `
			select r.endpoint, r.revision, p.id, r.url from {p}revision r join {p}endpoint p on p.num = r.endpoint
			where r.endpoint > ? or r.endpoint = ? and r.revision > ? order by r.endpoint, r.revision limit ?`,
		SetRevision: `update {p}revision set url = ? where endpoint = ? and revision = ?`,

		InsertMark: `
			insert into {p}idempotency (account, mark, fingerprint, token, running_until, expires_at, sealed_by, response)
			values (?, ?, ?, ?, ?, ?, '', '') on conflict (account, mark) do nothing`,
		LockMark: `
			select fingerprint, token, running_until, expires_at, sealed_by, response from {p}idempotency
			where account = ? and mark = ? {update}`,
		RenewMark: `
			update {p}idempotency set fingerprint = ?, token = ?, running_until = ?, expires_at = ?, sealed_by = '', response = ''
			where account = ? and mark = ?`,
		FinishMark:   `update {p}idempotency set running_until = 0, sealed_by = ?, response = ? where account = ? and mark = ?`,
		AbandonMark:  `delete from {p}idempotency where account = ? and mark = ? and token = ? and running_until <> 0`,
		MarkExpiring: `select expires_at from {p}idempotency where expires_at <= ? order by expires_at limit 1 offset ?`,
		ExpireMarks:  `delete from {p}idempotency where expires_at <= ?`,
		MarkAt:       `select mark from {p}idempotency where account = ? order by mark limit 1 offset ?`,
		DropMarks:    `delete from {p}idempotency where account = ? and mark <= ?`,
		MarksAfter: `
			select account, mark, token, sealed_by, response from {p}idempotency
			where (account > ? or account = ? and mark > ?) and running_until = 0 and sealed_by <> ?
			order by account, mark limit ?`,
		SetMark: `
			update {p}idempotency set sealed_by = ?, response = ?
			where account = ? and mark = ? and token = ? and running_until = 0 and sealed_by = ?`,

		InsertCounts:  `insert into {p}count (at, results) values (?, ?)`,
		LockCounts:    `select num, at, results from {p}count order by num limit ? {skip}`,
		LockAllCounts: `select num, at, results from {p}count order by num limit ? {update}`,
		DropTallies:   `delete from {p}tally where endpoint = ?`,
		TallyAt:       `select hour from {p}tally where hour <= ? order by hour limit 1 offset ?`,
		ExpireTallies: `delete from {p}tally where hour <= ?`,
		AddTallies: bulk[tallyRow]{row: `(` + forCounts("?", ", ") + `, ?, ?)`, sep: `, `, text: `
			insert into {p}tally as t (endpoint, hour, ` + forCounts("%", ", ") + `) values %ROWS%
			on conflict (endpoint, hour) do update set ` + forCounts("% = t.% + excluded.%", ", ")},

		Moving: `select num, status, version from {p}endpoint where moving = 1 and num > ? order by num limit ?`,
		Look: `
			select {clock}, coalesce((select min(due) from {p}lease), 0),
				coalesce((select min(due) from {p}queue where state = 5), 0),
				(select min(num) from {p}endpoint where moving = 1) is not null,
				(select min(endpoint) from {p}queue where state = 0) is not null,
				(select min(endpoint) from {p}queue where state = 4) is not null,
				(select min(endpoint) from {p}queue where state > 5) is not null,
				coalesce((select min(probe_at) from {p}endpoint where probe_at > 0), 0),
				coalesce((select min(probe_at) from {p}endpoint where probe_at > 0 and probe_at > (select {clock})), 0)`,
		ClearMoving:  `update {p}endpoint set moving = 0 where num = ? and version = ? and status = ? and moving = 1`,
		ReadyOf:      rowsOf("", "state = 0"),
		HeldOf:       rowsOf("", "state = 4"),
		ParkedOf:     rowsOf("", "state > 5 and state = 6"),
		BegunOf:      rowsOf("", "state > 5 and state = 7"),
		HeldStep:     stepOf("state = 4"),
		ParkedStep:   stepOf("state > 5"),
		RestOf:       `select id, due from {p}queue where state = 0 and endpoint = ? order by due, id limit ? offset ?`,
		LastEndpoint: `select coalesce(max(num), 0) from {p}endpoint`,
		ProbesDue: `
			select num, id, account, version, paused_until, probe_at, status from {p}endpoint
			where probe_at > 0 and probe_at >= ? and (probe_at > ? or num > ?) and probe_at <= ?
			order by probe_at, num limit ?`,
		HeldFirst: heldFirst(""),
		WakeTrial: `
			update {p}endpoint set probe_at = case when paused_until > ? then paused_until else ? end
			where num = ? and status = 3 and pauses > 0 and probe_at = 0`,
		DueLeases:   `select due, token, deliveries from {p}lease where due <= ? order by due, token limit ? {skip}`,
		InsertLease: `insert into {p}lease (due, token, process, deliveries) values (?, ?, ?, ?)`,
		CutLease:    `update {p}lease set deliveries = ? where due = ? and token = ?`,
		Leases:      `select due, token, deliveries from {p}lease where due > ? or due = ? and token > ? order by due, token limit ?`,
		LeasesOf:    `select due, token from {p}lease where process = ? and due > ? order by due, token`,
		DueWaiting:  `select id, endpoint, due from {p}queue where state = 5 and due <= ? order by due limit ? {skip}`,

		LockProcess:   `select id from {p}process where id = ? {update}`,
		LockDead:      `select id from {p}process where id = ? and alive_until = ? and alive_until <= ? {skip}`,
		InsertProcess: `insert into {p}process (id, alive_until) values (?, ?)`,
		SetProcess:    `update {p}process set alive_until = ? where id = ?`,
		DeleteProcess: `delete from {p}process where id = ?`,
		Quiet:         `select id, alive_until from {p}process where alive_until < ? and id <> ? order by id`,

		OldDeliveries: `select id, event, endpoint, status, created_at, ends_at from {p}delivery where id > ? order by id limit ?`,
		OldUnmatched: `
			select account, created_at, event from {p}unmatched where created_at < ? order by created_at limit ?`,

		OldEndpoints: `
			select num, case when status = 0 and updated_at < ? then 1 else 0 end from {p}endpoint
			where num > ? order by num limit ?`,
		DropEndpoint: `
			delete from {p}endpoint where num = ? and status = 0
			and not exists (select 1 from {p}delivery d where d.endpoint = ?)
			and not exists (select 1 from {p}revision r where r.endpoint = ?)`,

		LockEvent:     `select uid, length(data) from {p}event where uid = ? and account = ? and id = ? {update}`,
		BlankEvent:    `update {p}event set data = substr(data, 1, 0) where uid = ?`,
		DeliveriesAt:  `select id from {p}delivery where event = ? order by id`,
		LiveEndpoints: `select num, id from {p}endpoint where account = ? and num > ? and status <> 0 order by num limit ?`,
		AnyOf:         `select id, event from {p}delivery where endpoint = ? order by endpoint, id limit ?`,
		UnmatchedAt: `
			select created_at, event from {p}unmatched where account = ? order by account, created_at, event limit ?`,

		GetEvent:   `select e.uid, ` + eventColumns + ` from {p}event e where e.uid = ? and e.account = ? and e.id = ?`,
		EndpointOf: `select num from {p}endpoint where account = ? and id = ?`,
		Attempts: `
			select number, id, at, duration, status, failure, detail, revision, location, body
			from {p}attempt where delivery = ?
			union all
			select made, sent_id, sent_at, sent_duration, sent_code, '', '', sent_revision, '', sent_body
			from {p}delivery where id = ? and sent_id is not null
			order by 1`,
		Delivery:      `select ` + deliveryColumns + `, p.status, length(e.data) from {p}delivery d` + deliveryJoins + ` where d.id = ?`,
		EndpointsFrom: `select num, id from {p}endpoint where account = ? and num > ? order by num limit ?`,
		EventsOf:      eventsOf,
		FailedOf:      eventsOf,
		UnmatchedOf: `
			select u.event, u.event, e.type, u.created_at, 0, 0 from {p}unmatched u join {p}event e on e.uid = u.event
			where u.account = ? and u.created_at >= ? and (u.created_at > ? or u.event > ?)
			order by u.created_at, u.event limit ?`,
		DeliveriesOfEndpoint: deliveriesBefore("endpoint"),
		DeliveriesOfEvent:    deliveriesBefore("event"),
		Stats: `
			select x.state, x.active, sum(x.n), min(x.due) from (
				select q.state, case when p.status in (1, 2, 4, 5) then 1 else 0 end as active, q.n, q.due from (
					` + statsBy("0", "= 0") + ` union all ` + statsBy("4", "= 4") + ` union all ` + statsBy("5", "= 5") + ` union all ` + statsBy("6", "> 5") + `) q
				join {p}endpoint p on p.num = q.endpoint and p.status <> 0) x
			group by x.state, x.active`,
	}
}

// eventsOf lists the deliveries of an endpoint with their events.
const eventsOf = `
	select d.id, e.uid, e.type, e.created_at, d.status, length(e.data) from {p}delivery d join {p}event e on e.uid = d.event
	where d.endpoint = ? and d.id > ? order by d.id limit ?`

// lastAttempts returns the statement for the latest attempts of some deliveries d. Those
// that did not deliver are in a table of their own.
func lastAttempts(deliveries, failed string) string {
	return `
		with d as (` + deliveries + `)
		select d.id as delivery, d.made as number, d.sent_id, d.sent_at as at, d.sent_duration, d.sent_code,
			'' as failure, '' as detail, d.sent_revision, '' as location, d.sent_body from d where d.sent_id is not null
		union all
		select a.delivery, a.number, a.id, a.at, a.duration, a.status, a.failure, a.detail, a.revision, a.location, a.body ` + failed + `
		order by at desc, number desc limit ?`
}

// rowsOf returns the statement for the oldest rows of an endpoint in a state, by
// the index that hint names.
func rowsOf(hint, state string) string {
	return `select id, due from {p}queue ` + hint + ` where ` + state + ` and endpoint = ? order by due, id limit ? {skip}`
}

// heldFirst returns the statement for the oldest held row of an endpoint, by the index
// that hint names.
func heldFirst(hint string) string {
	return `select id, due from {p}queue ` + hint + ` where state = 4 and endpoint = ? order by due, id limit 1`
}

// stepOf returns the statement for the next endpoints that have rows in a state, by
// an index of these.
func stepOf(state string) string {
	return `
		with recursive w (num) as (
			select x.num from (select endpoint as num from {p}queue where ` + state + ` and endpoint > ? order by endpoint limit 1) x
			union all
			select (select q.endpoint from {p}queue q where q.` + state + ` and q.endpoint > w.num order by q.endpoint limit 1)
			from w where w.num is not null)
		select num from w where num is not null limit ?`
}

func deliveriesBefore(column string) string {
	return `
		select ` + deliveryColumns + ` from (
			select * from {p}delivery where ` + column + ` = ? and id < ? order by id desc limit ?
		) d` + deliveryJoins + ` order by d.id desc`
}

// statsBy returns the statement that counts the rows in a state by endpoint, for most
// states in the order of an index.
func statsBy(state, is string) string {
	return `select ` + state + ` as state, endpoint, count(*) as n, min(due) as due from {p}queue where state ` + is + ` group by endpoint`
}

// States of a row of the queue table.
const (
	stateReady   = 0
	stateHeld    = 4
	stateWaiting = 5
	stateParked  = 6 // the endpoint is paused
	stateBegun   = 7 // as well, and it was attempted before
)

// Statuses of a row of the delivery table. What is queued tells more in its row
// of the queue table.
const (
	statusQueued    = 0
	statusLeased    = 1
	statusDelivered = 2
	statusExhausted = 3
	statusCancelled = 4
)

// Statuses of a row of the endpoint table, and of one that is not there.
const (
	endpointGone     = -1
	endpointDeleted  = 0
	endpointActive   = 1
	endpointFailing  = 2
	endpointInactive = 3
	// pausedBy is added to active and failing while the endpoint is paused: what
	// looks for one that can be sent to passes it over.
	pausedBy = 3
)

// isPaused reports whether an endpoint of that status is paused.
func isPaused(status int) bool { return status > endpointInactive }

// unpaused returns what the status is apart from a pause.
func unpaused(status int) int {
	if isPaused(status) {
		return status - pausedBy
	}
	return status
}
