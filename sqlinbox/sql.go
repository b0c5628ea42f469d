package sqlinbox

import (
	"strings"

	"github.com/ringyo-ai/webhook/internal/sqldb"
)

// statements are the texts of one dialect. In them {p} stands before a table's name
// and ? is a placeholder.
type statements struct {
	now                  string // microseconds since 1970; empty: the process's clock
	lock                 string // takes SQLite's write lock
	hasSchema, version   string
	begin, state, commit string
	abandon, mark, purge string
	nowAgain             bool // begin ends with the time twice more
}

func statementsOf(d Dialect, prefix string) statements {
	s := statements{
		version: `select coalesce(max(version), 0) from {p}inbox_schema`,
		begin: `
			insert into {p}inbox as i (id, state, token, due) values (?, 0, ?, ?)
			on conflict (id) do update set state = 0, token = excluded.token, due = excluded.due where i.due <= ?`,
		state: `select state, token from {p}inbox where id = ?`,
		commit: `
			insert into {p}inbox (id, state, token, due) values (?, 1, ?, ?)
			on conflict (id) do update set state = 1, due = excluded.due`,
		abandon: `delete from {p}inbox where id = ? and token = ? and state = 0`,
		mark:    `update {p}inbox set state = 1, due = ? where id = ? and token = ? and state = 0`,
	}
	const old = `delete from {p}inbox where id in (select id from {p}inbox where due <= ? order by due limit ?`
	switch d {
	case Postgres:
		s.now = `select (extract(epoch from clock_timestamp()) * 1000000)::bigint`
		s.purge = old + ` for update skip locked)`
	case MySQL:
		s.now = `select timestampdiff(microsecond, '1970-01-01', utc_timestamp(6))`
		// The assignments are made from left to right: due, which the others ask
		// for, is the last one.
		s.begin = `
			insert into {p}inbox (id, state, token, due) values (?, 0, ?, ?)
			on duplicate key update token = if(due <= ?, values(token), token), state = if(due <= ?, 0, state),
				due = if(due <= ?, values(due), due)`
		s.nowAgain = true
		s.commit = `
			insert into {p}inbox (id, state, token, due) values (?, 1, ?, ?)
			on duplicate key update state = 1, due = values(due)`
		s.purge = `delete from {p}inbox where due <= ? order by due limit ?`
	case SQLite:
		s.lock = `delete from {p}inbox where 0`
		s.purge = old + `)`
	}
	for _, text := range []*string{&s.lock, &s.version, &s.begin, &s.state, &s.commit, &s.abandon, &s.mark, &s.purge} {
		*text = strings.TrimSpace(sqldb.Named(sqldb.Dialect(d), *text, prefix))
		if d == Postgres {
			*text = sqldb.Number(*text)
		}
	}
	s.hasSchema = sqldb.HasTable(sqldb.Dialect(d), sqldb.Named(sqldb.Dialect(d), "{p}inbox_schema", prefix))
	return s
}
