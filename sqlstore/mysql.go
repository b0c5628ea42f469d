package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
)

var mysql = dialect{
	name:         "MySQL",
	concurrency:  4,
	quote:        "`",
	forUpdate:    "for update",
	skipLocked:   "for update skip locked",
	statements:   mysqlSQL(),
	begin:        beginServer,
	bulk:         bulkHex,
	keyArg:       func(k key) any { return k[:] },
	insertEvents: insertEventsWithOrigin,
	claim:        claimInTx,
	pick:         pickByGroups,
	heldAfter:    heldByGroups,
	migration:    migration{dir: "mysql", version: mysqlVersion, exclusive: migrateMySQL},
}

// mysqlSQL are the statements of MySQL and MariaDB. Rows are written into the
// text as placeholders; keys go as hexadecimal text, so that no driver and no
// server takes their bytes for text of the connection's character set. What is
// changed in many rows is joined with a derived table of the new values, which
// comes first so that the rows are found by their key.
func mysqlSQL() statements {
	s := portable()
	s.HasSchema = "select count(*) from information_schema.tables where concat(table_schema, '.', table_name) in " +
		"(replace('{p}schema', '`', ''), concat(database(), '.', '{p}schema'))"
	s.Clock = `timestampdiff(microsecond, '1970-01-01', utc_timestamp(6))`
	s.TouchAccount = `insert into {p}account (account, version) values (?, ?) on duplicate key update version = values(version)`

	s.ReadyOf = rowsOf(`state = 0`)
	s.HeldOf = rowsOf(`state = 4`)
	s.DueWaiting = `
		select id, endpoint, due from {p}queue force index (timer) where state = 5 and due <= ? order by due limit ? {skip}`

	s.InsertSubscriptions = bulk{row: `(?, ?, ?)`, sep: `, `, text: `insert into {p}subscription (account, type, endpoint) values %ROWS%`}
	s.EndpointNums = bulk{row: `?`, sep: `, `, text: `select id, num from {p}endpoint where id in (%ROWS%)`}
	s.Targets = bulk{row: `?`, sep: `, `, text: `
		select num, id, account, url, headers, secrets, version, generation from {p}endpoint where num in (%ROWS%)`}

	s.InsertEvents = bulk{row: `(unhex(?), ?, ?, ?, ?, ?, ?, ?)`, sep: `, `, text: `
		insert into {p}event (uid, account, id, type, at, created_at, data, origin) values %ROWS%
		on duplicate key update uid = {p}event.uid`}
	s.Inserted = bulk{row: `unhex(?)`, sep: `, `, text: `select uid, origin from {p}event where uid in (%ROWS%)`}
	s.ReadEvents = bulk{row: `unhex(?)`, sep: `, `, text: `
		select uid, account, id, type, at, data from {p}event where uid in (%ROWS%)`}
	s.DropEvents = bulk{row: `select unhex(?) as uid`, sep: ` union all `, text: `
		delete t from (%ROWS%) x straight_join {p}event t force index (primary) on t.uid = x.uid`}
	s.InsertUnmatched = bulk{row: `(?, ?, unhex(?))`, sep: `, `, text: `
		insert into {p}unmatched (account, created_at, event) values %ROWS%`}
	s.DropUnmatched = bulk{row: `select ? as account, ? as created_at, unhex(?) as event`, sep: ` union all `, text: `
		delete t from (%ROWS%) x straight_join {p}unmatched t force index (primary)
		on t.account = x.account and t.created_at = x.created_at and t.event = x.event`}
	s.Versions = bulk{row: `?`, sep: `, `, text: `select account, version from {p}account where account in (%ROWS%)`}
	s.Match = bulk{row: `(?, ?)`, sep: `, `, text: `
		select s.account, s.type, p.num, p.status, p.version
		from {p}subscription s join {p}endpoint p on p.num = s.endpoint and p.status <> 0
		where (s.account, s.type) in (%ROWS%)`}
	s.InsertDeliveries = bulk{row: `(unhex(?), unhex(?), ?, ?, ?, ?, ?)`, sep: `, `, text: `
		insert into {p}delivery (id, event, endpoint, status, token, ends_at, created_at) values %ROWS%`}
	s.InsertQueue = bulk{row: `(unhex(?), ?, ?, ?)`, sep: `, `, text: `
		insert into {p}queue (id, endpoint, state, due) values %ROWS%`}

	s.Pick = `
		select endpoint from {p}queue where state = 0 and endpoint > ?
		group by state, endpoint order by state, endpoint limit ?`
	s.PickStates = bulk{row: `?`, sep: `, `, text: `select num, status, version, moving from {p}endpoint where num in (%ROWS%)`}
	s.PickRows = bulk{
		row: `(select id, endpoint from {p}queue force index (ready)
			where state = 0 and endpoint = ? order by due, id limit ? for update skip locked)`,
		sep: ` union all `, text: `%ROWS%`,
	}
	s.Lease = bulk{row: `select ? as ends_at, ? as token, unhex(?) as id`, sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}delivery d force index (primary) on d.id = x.id
		set d.status = 1, d.ends_at = x.ends_at, d.token = x.token`}
	s.Leased = bulk{row: `unhex(?)`, sep: `, `, text: `
		select d.id, d.event, d.attempts, d.releases, d.expired, e.id, e.account, e.type, e.at, e.created_at, e.data
		from {p}delivery d force index (primary) straight_join {p}event e on e.uid = d.event where d.id in (%ROWS%)`}

	s.LockQueue = bulk{row: `unhex(?)`, sep: `, `, text: `
		select id from {p}queue force index (primary) where id in (%ROWS%) order by id for update`}
	s.LockDeliveries = bulk{row: `unhex(?)`, sep: `, `, text: `
		select id, endpoint, status, token, ends_at, attempts, made, releases from {p}delivery force index (primary)
		where id in (%ROWS%) order by id for update`}
	s.ReadLeased = bulk{row: `unhex(?)`, sep: `, `, text: `
		select id, endpoint, status, token, ends_at, attempts, made, releases from {p}delivery force index (primary)
		where id in (%ROWS%)`}
	s.DeleteQueue = bulk{row: `select unhex(?) as id`, sep: ` union all `, text: `
		delete t from (%ROWS%) x straight_join {p}queue t force index (primary) on t.id = x.id`}
	s.Finish = bulk{
		row: `select ? as status, ? as ends_at, ? as attempts, ? as made, ? as reason, ? as sent_id, ? as sent_at,
			? as sent_duration, ? as sent_code, cast(? as binary) as sent_body, unhex(?) as id`,
		sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}delivery d force index (primary) on d.id = x.id
		set d.status = x.status, d.token = 0, d.ends_at = x.ends_at, d.attempts = x.attempts, d.made = x.made,
			d.reason = x.reason, d.sent_id = x.sent_id, d.sent_at = x.sent_at, d.sent_duration = x.sent_duration,
			d.sent_code = x.sent_code, d.sent_body = x.sent_body`,
	}
	s.Requeue = bulk{row: `select ? as attempts, ? as made, ? as releases, unhex(?) as id`, sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}delivery d force index (primary) on d.id = x.id
		set d.attempts = x.attempts, d.made = x.made, d.releases = x.releases, d.status = 0, d.token = 0, d.ends_at = 0, d.expired = 0`}
	s.EndLeases = bulk{row: `select ? as due, ? as token`, sep: ` union all `, text: `
		delete t from (%ROWS%) x straight_join {p}lease t force index (primary) on t.due = x.due and t.token = x.token`}
	s.InsertAttempts = bulk{row: `(unhex(?), ?, ?, ?, ?, ?, ?, ?, ?)`, sep: `, `, text: `
		insert into {p}attempt (delivery, number, id, at, duration, status, failure, detail, body) values %ROWS%`}
	s.Health = bulk{row: `?`, sep: `, `, text: `select ` + healthColumns + ` from {p}endpoint where num in (%ROWS%)`}
	s.LockHealth = bulk{row: `?`, sep: `, `, text: `
		select ` + healthColumns + ` from {p}endpoint force index (primary) where num in (%ROWS%) order by num for update`}
	s.SetHealth = bulk{
		row: `select ? as status, ? as moving, ? as version, ? as generation, ? as reason, ? as disabled_at,
			? as failures, ? as since, ? as triggered, ? as success, ? as failure, ? as num`,
		sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}endpoint p force index (primary) on p.num = x.num
		set p.status = x.status, p.moving = greatest(p.moving, x.moving), p.version = x.version,
			p.generation = x.generation, p.disabled_reason = x.reason, p.disabled_at = x.disabled_at,
			p.failures = x.failures, p.failing_since = x.since,
			p.last_triggered_at = x.triggered, p.last_success_at = x.success, p.last_failure_at = x.failure`,
	}
	s.SetMoving = bulk{row: `?`, sep: `, `, text: `update {p}endpoint set moving = 1 where num in (%ROWS%)`}

	s.EndpointStates = bulk{row: `?`, sep: `, `, text: `select num, status, version from {p}endpoint where num in (%ROWS%)`}
	s.MoveRows = bulk{row: `select ? as state, unhex(?) as id`, sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}queue q force index (primary) on q.id = x.id set q.state = x.state`}
	s.Expire = bulk{row: `select unhex(?) as id`, sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}delivery d force index (primary) on d.id = x.id
		set d.expired = d.expired + 1, d.status = 0, d.token = 0, d.ends_at = 0`}
	s.Cancel = bulk{row: `select ? as status, ? as ends_at, ? as reason, unhex(?) as id`, sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}delivery d force index (primary) on d.id = x.id
		set d.status = x.status, d.ends_at = x.ends_at, d.reason = x.reason, d.token = 0`}
	s.HeldStep = `
		select endpoint from {p}queue where state = 4 and endpoint > ?
		group by state, endpoint order by state, endpoint limit ?`

	s.DeleteAttempts = bulk{row: `select unhex(?) as id`, sep: ` union all `, text: `
		delete t from (%ROWS%) x straight_join {p}attempt t force index (primary) on t.delivery = x.id`}
	s.DeleteDeliveries = bulk{row: `select unhex(?) as id`, sep: ` union all `, text: `
		delete t from (%ROWS%) x straight_join {p}delivery t force index (primary) on t.id = x.id`}
	s.LockEvents = bulk{row: `unhex(?)`, sep: `, `, text: `select uid from {p}event force index (primary) where uid in (%ROWS%) order by uid for update`}
	s.Unreferenced = bulk{row: `unhex(?)`, sep: `, `, text: `
		select e.uid from {p}event e where e.uid in (%ROWS%)
		and not exists (select 1 from {p}delivery d where d.event = e.uid)`}
	s.DeliveriesOf = bulk{row: `(unhex(?), ?)`, sep: `, `, text: `
		select id, event, endpoint, status from {p}delivery force index (event) where (event, endpoint) in (%ROWS%) order by id for update`}
	s.KeepSent = bulk{row: `select unhex(?) as id`, sep: ` union all `, text: `
		insert into {p}attempt (delivery, number, id, at, duration, status, failure, detail, body)
		select d.id, d.made, d.sent_id, d.sent_at, d.sent_duration, d.sent_code, '', '', d.sent_body
		from (%ROWS%) x straight_join {p}delivery d force index (primary) on d.id = x.id and d.sent_id is not null`}
	s.Restart = bulk{row: `select unhex(?) as id`, sep: ` union all `, text: `
		update (%ROWS%) x straight_join {p}delivery d force index (primary) on d.id = x.id
		set d.status = 0, d.token = 0, d.ends_at = 0, d.attempts = 0, d.releases = 0, d.expired = 0, d.reason = '',
			d.sent_id = null, d.sent_at = 0, d.sent_duration = 0, d.sent_code = 0, d.sent_body = null`}

	// The assignments are made from left to right: due, which the others ask
	// for, is the last one.
	s.InboxBegin = `
		insert into {p}inbox (id, state, token, due) values (?, 0, ?, ?)
		on duplicate key update token = if(due <= ?, values(token), token), state = if(due <= ?, 0, state),
			due = if(due <= ?, values(due), due)`
	s.InboxCommit = `
		insert into {p}inbox (id, state, token, due) values (?, 1, ?, ?)
		on duplicate key update state = 1, due = values(due)`
	s.InboxPurge = `delete from {p}inbox where due <= ? order by due limit ?`
	return s
}

// Locking reads name their index: MySQL locks every row that it looks at, and
// waits for those that others hold, so that on a small table a plan that reads
// all of it would wait for transactions that have nothing to do with it.
func rowsOf(state string) string {
	return `select id, due from {p}queue force index (ready) where ` + state + ` and endpoint = ? order by due, id limit ? {skip}`
}

// bulkHex is bulkRows with keys as hexadecimal text.
func bulkHex(ctx context.Context, t *txn, b *bulk, rows [][]any, scan func(*sql.Rows) error) error {
	for _, row := range rows {
		for i, v := range row {
			if k, ok := v.(key); ok {
				row[i] = hex.EncodeToString(k[:])
			}
		}
	}
	return bulkRows(ctx, t, b, rows, scan)
}

// insertEventsWithOrigin stores the events whose ids are new. The number of
// affected rows means little here, so that each row names the call that inserted
// it.
func insertEventsWithOrigin(ctx context.Context, t *txn, in *intake) error {
	origin := newToken()
	rows, keys := make([][]any, len(in.events)), make([][]any, len(in.events))
	for i, ev := range in.events {
		rows[i] = append(ev.row(in.micros), origin)
		keys[i] = []any{ev.k}
	}
	if err := t.bulk(ctx, &in.s.sql.InsertEvents, rows, nil); err != nil {
		return err
	}
	byKey := in.byKey()
	return t.bulk(ctx, &in.s.sql.Inserted, keys, func(r *sql.Rows) error {
		var k key
		var by int64
		err := r.Scan(&k, &by)
		if ev := byKey[k]; ev != nil && by == origin {
			ev.fresh = true
		}
		return err
	})
}

// endpointsAtOnce is how many endpoints a claim asks for in one statement.
const endpointsAtOnce = 25

// pickByGroups walks over the endpoints that have ready rows by a loose scan of
// the index, in portions: from the cursor to the end, and from the start to the
// cursor.
func pickByGroups(ctx context.Context, t *txn, c *claim) error {
	if c.terms.PerEndpoint <= 0 {
		var nums []int64
		for num, free := range c.slots {
			if free > 0 {
				nums = append(nums, num)
			}
		}
		return c.takeGroup(ctx, t, nums)
	}
	for after, wrapped := c.cursor, false; len(c.rows) < c.terms.Max; {
		nums, err := c.group(ctx, t, after, wrapped)
		if err != nil {
			return err
		}
		if err := c.takeGroup(ctx, t, nums); err != nil {
			return err
		}
		switch {
		case len(nums) == endpointsAtOnce:
			after = nums[len(nums)-1]
		case wrapped || c.cursor == 0:
			return nil
		default:
			after, wrapped = 0, true
		}
	}
	return nil
}

// group answers the next endpoints that have ready rows.
func (c *claim) group(ctx context.Context, t *txn, after int64, wrapped bool) (nums []int64, err error) {
	err = t.query(ctx, c.s.sql.Pick, func(r *sql.Rows) error {
		var num int64
		err := r.Scan(&num)
		if !wrapped || num <= c.cursor {
			nums = append(nums, num)
		}
		return err
	}, after, endpointsAtOnce)
	return nums, err
}

// takeGroup takes the oldest rows of each endpoint that has room.
func (c *claim) takeGroup(ctx context.Context, t *txn, nums []int64) error {
	var ids, wanted [][]any
	for _, num := range nums {
		if c.free(num) > 0 {
			ids = append(ids, []any{num})
		}
	}
	stops := make(map[int64]stop, len(ids))
	err := t.bulk(ctx, &c.s.sql.PickStates, ids, func(r *sql.Rows) error {
		var ep stop
		err := r.Scan(&ep.num, &ep.status, &ep.version, &ep.moving)
		stops[ep.num] = ep
		return err
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		ep := stops[id[0].(int64)]
		switch {
		case ep.status == endpointActive || ep.status == endpointFailing:
			wanted = append(wanted, []any{ep.num, c.free(ep.num)})
		case !ep.moving:
			c.met = append(c.met, ep.num)
		}
	}
	return t.bulk(ctx, &c.s.sql.PickRows, wanted, func(r *sql.Rows) error {
		var row claimed
		err := r.Scan(&row.k, &row.endpoint)
		row.version = stops[row.endpoint].version
		if len(c.rows) < c.terms.Max {
			c.rows = append(c.rows, row)
		}
		return err
	})
}

func heldByGroups(ctx context.Context, t *txn, after int64, limit int) (nums []int64, err error) {
	err = t.query(ctx, t.s.sql.HeldStep, func(r *sql.Rows) error {
		var num int64
		err := r.Scan(&num)
		nums = append(nums, num)
		return err
	}, after, limit)
	return nums, err
}
