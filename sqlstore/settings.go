package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ringyo-ai/webhook/internal/sqldb"
)

// SettingError says that a setting of the database, or of its sessions, keeps the store
// from working. [Store.Validate] and [Store.Migrate] find it before an event does. It
// is errors.ErrUnsupported for errors.Is.
type SettingError struct {
	Name   string // such as "search_path"
	Value  string // as it is now
	Reason string // what fails, and what is needed
}

// Error names the setting, its value and what is needed.
func (e *SettingError) Error() string {
	return fmt.Sprintf("sqlstore: the setting %s is %q: %s", e.Name, e.Value, e.Reason)
}

// Is reports whether target is [errors.ErrUnsupported].
func (e *SettingError) Is(target error) bool { return target == errors.ErrUnsupported }

// setting is one that the store looks at.
type setting struct {
	name  string
	bad   func(value string) bool
	why   string
	warns bool // it can work, but the operator should know
}

func is(values ...string) func(string) bool {
	return func(v string) bool {
		return slices.ContainsFunc(values, func(w string) bool { return strings.EqualFold(v, w) })
	}
}

// has reports that a list, such as sql_mode, has a word.
func has(word string) func(string) bool {
	return func(v string) bool { return slices.Contains(strings.Split(strings.ToUpper(v), ","), word) }
}

// below reports a number that is below n. 0 means no limit.
func below(n float64) func(string) bool {
	return func(v string) bool {
		f, err := strconv.ParseFloat(v, 64)
		return err == nil && f > 0 && f < n
	}
}

// Least limits. The statements of a batch take milliseconds; a second is room for a
// server that is busy. A statement of a batch has up to maxPacket, or one row with the
// largest payload that the engine takes by default.
const (
	leastTimeout = 1.0 // seconds
	leastPacket  = 2 << 20
	leastRows    = 1 << 20 // of a statement that has no limit of its own: many times those of a batch
)

const (
	notDurable = "the last commits can be lost when the machine fails, and with them events that Emit reported as stored"
	noSchema   = "no schema of the search path exists, so that tables can be neither made nor found: set it, or Options.Schema"
	readOnly   = "the store has to write: let it use sessions that may"
	tooShort   = "statements and transactions of the store take longer than that on a busy server: allow 1 s at the least"
)

var postgresSettings = []setting{
	{name: "default_transaction_read_only", bad: is("on"), why: readOnly},
	{name: "statement_timeout", bad: below(1000 * leastTimeout), why: tooShort},
	{name: "idle_in_transaction_session_timeout", bad: below(1000 * leastTimeout), why: tooShort},
	{name: "transaction_timeout", bad: below(1000 * leastTimeout), why: tooShort},
	{name: "lock_timeout", bad: below(1000 * leastTimeout), why: tooShort, warns: true},
	{name: "synchronous_commit", bad: is("off"), why: notDurable, warns: true},
	{name: "fsync", bad: is("off"), why: notDurable, warns: true},
	{name: "default_transaction_isolation", bad: is("serializable", "repeatable read"), why: "what the store does in one statement is repeated when it meets another one: read committed costs less", warns: true},
}

var mysqlSettings = []setting{
	{name: "sql_mode", bad: has("EMPTY_STRING_IS_NULL"), why: "empty text is stored as NULL: take EMPTY_STRING_IS_NULL out of it"},
	{name: "sql_mode", bad: has("ORACLE"), why: "statements are read as another language: take ORACLE out of it"},
	{name: "autocommit", bad: is("off", "0"), why: "what is read or written outside of a transaction stays in one that nobody ends: set it to 1"},
	{name: "completion_type", bad: is("chain", "release", "1", "2"), why: "a commit begins another transaction, or ends the connection: set it to NO_CHAIN"},
	{name: "tx_read_only", bad: is("on", "1"), why: readOnly},
	{name: "transaction_read_only", bad: is("on", "1"), why: readOnly},
	{name: "max_allowed_packet", bad: below(leastPacket), why: "a statement with a large event is longer than that: allow 2 MiB at the least"},
	{name: "max_statement_time", bad: below(leastTimeout), why: tooShort},
	{name: "max_execution_time", bad: below(1000 * leastTimeout), why: tooShort},
	{name: "innodb_flush_log_at_trx_commit", bad: is("0", "2"), why: notDurable, warns: true},
}

var sqliteSettings = []setting{
	{name: "query_only", bad: is("1"), why: readOnly},
	{name: "journal_mode", bad: is("off"), why: "what fails cannot be rolled back: set it to WAL"},
	{name: "synchronous", bad: is("0"), why: "a power failure can damage the file: set it to FULL"},
	{name: "synchronous", bad: is("1"), why: notDurable + ": set it to FULL", warns: true},
}

// checkSettings looks at the settings of a connection of the pool. What the store cannot
// work with is an error, once a connection that did not wait in the pool has it as well:
// one that did may have it from somebody who used it before. What the operator should
// know goes to the log.
func (s *Store) checkSettings(ctx context.Context) error {
	var risks []*SettingError
	err := s.again(ctx, func() error {
		return s.onConn(ctx, func(t *txn) (err error) {
			var bad []error
			if risks, bad, err = s.weigh(ctx, t); err == nil {
				err = errors.Join(bad...)
			}
			// SQLite has no failover, and a database in memory ends with its connection.
			if !s.dialect.oneWriter && errors.As(err, new(*SettingError)) {
				return sqldb.Spoiled(err)
			}
			return err
		})
	})
	for _, r := range risks {
		s.log.WarnContext(ctx, "webhook: a setting of the database", "name", r.Name, "value", r.Value, "problem", r.Reason)
	}
	return sqldb.Unspoiled(err)
}

// weigh returns the settings that are only risky, and those with which the store cannot
// work.
func (s *Store) weigh(ctx context.Context, t *txn) (risks []*SettingError, bad []error, err error) {
	values, err := s.dialect.settings(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range s.dialect.settingRules {
		v, ok := values[c.name]
		if !ok || !c.bad(v) {
			continue
		}
		found := &SettingError{Name: c.name, Value: v, Reason: c.why}
		if c.warns {
			risks = append(risks, found)
		} else {
			bad = append(bad, found)
		}
	}
	return risks, bad, nil
}

// readPairs reads the names and values of settings.
func readPairs(ctx context.Context, t *txn, text string) (map[string]string, error) {
	values := make(map[string]string)
	return values, t.query(ctx, text, func(r *sql.Rows) error {
		var name, value string
		err := r.Scan(&name, &value)
		values[strings.ToLower(name)] = value
		return err
	})
}

func namesOf(rules []setting) string {
	names := make([]string, len(rules))
	for i, r := range rules {
		names[i] = "'" + r.name + "'"
	}
	return strings.Join(names, ", ")
}

func settingsOfPostgres(ctx context.Context, t *txn) (map[string]string, error) {
	values, err := readPairs(ctx, t, `select name, setting from pg_settings where name in (`+namesOf(postgresSettings)+`)`)
	if err != nil || strings.Contains(t.s.prefix, ".") {
		return values, err
	}
	var path string
	var schema sql.NullString
	if err := t.q.QueryRowContext(ctx, `select current_setting('search_path'), current_schema()`).Scan(&path, &schema); err != nil {
		return nil, err
	}
	if !schema.Valid {
		return nil, &SettingError{Name: "search_path", Value: path, Reason: noSchema}
	}
	// Some drivers understand one form of bytes alone, where they come as text.
	var bytes []byte
	if err := t.q.QueryRowContext(ctx, `select decode('00ff5c', 'hex')`).Scan(&bytes); err != nil || string(bytes) != "\x00\xff\\" {
		var form string
		if again := t.q.QueryRowContext(ctx, `select current_setting('bytea_output')`).Scan(&form); again != nil || form == "hex" {
			return nil, errors.Join(err, again)
		}
		return nil, &SettingError{Name: "bytea_output", Value: form, Reason: "the driver does not read bytes in that form: set it to hex"}
	}
	return values, nil
}

// ranOut names the timeout that ended a statement, although its context goes on: a
// very short one ends even the question for it.
func ranOut(ctx context.Context, err error) error {
	var state interface{ SQLState() string }
	if ctx.Err() == nil && errors.As(err, &state) && state.SQLState() == "57014" {
		return errors.Join(&SettingError{Name: "statement_timeout", Value: "?", Reason: tooShort}, err)
	}
	return err
}

func settingsOfMySQL(ctx context.Context, t *txn) (map[string]string, error) {
	var big, most, rows string
	if err := t.q.QueryRowContext(ctx, `select @@sql_big_selects, @@max_join_size, @@sql_select_limit limit 1`).Scan(&big, &most, &rows); err != nil {
		return nil, err
	}
	if below(leastRows)(rows) || rows == "0" { // it cuts what has no limit of its own, and what SHOW returns
		return nil, &SettingError{
			Name: "sql_select_limit", Value: rows,
			Reason: "statements return no more rows than that, and nothing says that there are more: set it to default",
		}
	}
	var database sql.NullString
	if err := t.q.QueryRowContext(ctx, `select database()`).Scan(&database); err != nil {
		return nil, err
	}
	if !database.Valid {
		return nil, sqldb.ErrNoDatabase
	}
	if big == "0" { // SHOW is refused as well then
		return nil, &SettingError{
			Name: "max_join_size", Value: most,
			Reason: "what the server takes for a larger join is refused, since sql_big_selects is off, as it is once max_join_size is set: set it to 1",
		}
	}
	return readPairs(ctx, t, `show session variables where variable_name in (`+namesOf(mysqlSettings)+`)`)
}

func settingsOfSQLite(ctx context.Context, t *txn) (map[string]string, error) {
	values := make(map[string]string)
	for _, name := range []string{"query_only", "journal_mode", "synchronous", "locking_mode"} {
		var v string
		if err := t.q.QueryRowContext(ctx, `pragma `+name).Scan(&v); err != nil {
			return nil, err
		}
		values[name] = v
	}
	if strings.EqualFold(values["locking_mode"], "exclusive") && t.s.db.Stats().MaxOpenConnections != 1 {
		return nil, &SettingError{
			Name: "locking_mode", Value: values["locking_mode"],
			Reason: "one connection keeps all others of the pool out: set it to normal, or call db.SetMaxOpenConns(1)",
		}
	}
	return values, nil
}
