package sqlstore

// lists are beginnings of statements that depend on a filter.
type lists struct {
	span
	unlisted string
	one      string // rows of a single endpoint, in their order; optional
	failed   span   // of those of a single endpoint that were exhausted or cancelled; optional
	joins    string // what deliveryColumns are read of, besides the delivery d
	timeline timeline
}

// span is how to read the deliveries of endpoints from one key and before another one.
type span struct {
	rows  string
	floor string // for the first key of a step
	order string // the column by which rows come in their order
}

// timeline is a table of each account's events by time: its alias, the column of their
// keys, and what joins it with the events e.
type timeline struct{ alias, column, table, events string }

// floorOf returns the floor statement for a table of each endpoint's deliveries.
func floorOf(table, column, nullsLast string) string { return floorWhere(table, column, ``, nullsLast) }

// floorWhere is floorOf for those rows x for which a condition holds.
func floorWhere(table, column, and, nullsLast string) string {
	return `
		select f from (
			select (
				select x.` + column + ` from ` + table + ` x where x.endpoint = p.num and x.` + column + ` >= ? and x.` + column + ` < ?` + and + `
				order by x.` + column + ` desc limit 1 offset ?) as f
			from {p}endpoint p where %WHOSE%) y
		order by f desc` + nullsLast + ` limit 1`
}

// postgresJoins are deliveryJoins that look up each row by its key, however many rows the
// planner takes the tables for.
const postgresJoins = `
	cross join lateral (select * from {p}event e where e.uid = d.event limit 1) e
	cross join lateral (select * from {p}endpoint p where p.num = d.endpoint limit 1) p
	left join lateral (select * from {p}queue q where q.id = d.id limit 1) q on true`

// postgresOne returns the statement for the deliveries d of one endpoint, in their order,
// for which a condition holds.
func postgresOne(and string) string {
	return `
		select ` + deliveryColumns + ` from (
			select * from {p}delivery d where d.endpoint = (select p.num from {p}endpoint p where %WHOSE%) and d.id >= ? and d.id < ?` + and + `
			order by d.id desc` + few + `) d` + postgresJoins
}

var postgresLists = lists{
	joins: postgresJoins,
	one:   postgresOne(``),
	failed: span{
		rows:  postgresOne(` and d.failed = 1`),
		floor: floorWhere(`{p}delivery`, `id`, ` and x.failed = 1`, ` nulls last`),
		order: `d.id`,
	},
	span: span{
		rows: `
		select ` + deliveryColumns + ` from (select * from {p}endpoint p where %WHOSE%` + few + `) p
		cross join lateral (
			select * from {p}delivery d where d.endpoint = p.num and d.id >= ? and d.id < ? order by d.id desc` + few + `) d
		cross join lateral (select * from {p}event e where e.uid = d.event limit 1) e
		left join lateral (select * from {p}queue q where q.id = d.id limit 1) q on true`,
		floor: floorOf(`{p}delivery`, `id`, ` nulls last`),
		order: `d.id`,
	},
	timeline: timeline{`e`, `uid`, `{p}event e`, ``},
}

var mysqlLists = lists{
	joins: deliveryJoins,
	span: span{
		rows: `
		select ` + deliveryColumns + ` from (select * from {p}endpoint p where %WHOSE%) p
		straight_join {p}delivery d force index (endpoint) on d.endpoint = p.num and d.id >= ? and d.id < ?
		straight_join {p}event e force index (primary) on e.uid = d.event
		left join {p}queue q on q.id = d.id`,
		floor: floorOf(`{p}delivery`, `id`, ``),
		order: `d.id`,
	},
	timeline: timeline{`e`, `uid`, `{p}event e force index (account)`, ``},
}

var sqliteLists = lists{
	joins: deliveryJoins,
	span: span{
		rows: `
		select ` + deliveryColumns + ` from (select * from {p}endpoint p where %WHOSE%) p
		cross join {p}history h on h.endpoint = p.num and h.delivery >= ? and h.delivery < ?
		cross join {p}delivery d on d.id = h.delivery
		cross join {p}event e on e.uid = d.event
		left join {p}queue q on q.id = d.id`,
		floor: floorOf(`{p}history`, `delivery`, ``),
		order: `h.delivery`,
	},
	failed: span{
		rows: `
		select ` + deliveryColumns + ` from (select * from {p}endpoint p where %WHOSE%) p
		cross join {p}delivery d on d.endpoint = p.num and d.status in (3, 4) and d.id >= ? and d.id < ?
		cross join {p}event e on e.uid = d.event
		left join {p}queue q on q.id = d.id`,
		floor: floorWhere(`{p}delivery`, `id`, ` and x.status in (3, 4)`, ``),
		order: `d.id`,
	},
	timeline: timeline{`x`, `event`, `{p}timeline x`, ` cross join {p}event e on e.uid = x.event`},
	unlisted: `
		select ` + deliveryColumns + ` from {p}delivery d
		cross join {p}endpoint p on p.num = d.endpoint
		cross join {p}event e on e.uid = d.event
		left join {p}queue q on q.id = d.id
		where d.id > ? and d.id >= ? and d.id < ?`,
}
