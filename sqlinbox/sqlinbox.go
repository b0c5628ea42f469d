package sqlinbox

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/sqldb"
	"github.com/ringyo-ai/webhook/receive"
)

// Dialect is the kind of database.
type Dialect int

const (
	// Postgres is PostgreSQL 13 or newer.
	Postgres Dialect = iota + 1
	// MySQL is MySQL 8.0.1 or newer, and MariaDB 10.6 or newer.
	MySQL
	// SQLite is SQLite 3.35 or newer.
	SQLite
)

// String returns the name of the dialect.
func (d Dialect) String() string { return sqldb.Dialect(d).String() }

// Options configure an Inbox. The zero value is the default of each field.
type Options struct {
	// TablePrefix begins the names of the two tables, inbox and inbox_schema.
	// Lower-case letters, digits and underscores, at most 32, beginning with a
	// letter. Defaults to "webhook_".
	TablePrefix string

	// Schema is the PostgreSQL schema, or the MySQL database, that holds the
	// tables, of the same form as TablePrefix. It has to exist. Defaults to what
	// the connection finds by itself. SQLite has none.
	Schema string

	// Window is how long a handled event is remembered. It has to be longer than
	// the sender tries. Defaults to 24 hours.
	Window time.Duration
}

// DefaultTablePrefix begins the name of each table.
const DefaultTablePrefix = "webhook_"

const defaultWindow = 24 * time.Hour

// checkTimeout bounds what New asks a file.
const checkTimeout = 5 * time.Second

// Inbox is a [receive.Deduper] in the database of a receiving server: it knows
// what any process has handled, before and after restarts.
//
// It can do what no Deduper beside the database can: [On] and [Inbox.InTx] commit the
// mark in the same transaction as the handler's own work, so that the event has
// exactly one effect there, whatever crashes when. That is also the durable form
// of working later: a handler that only writes the event, or a job, to a table
// of its own returns within milliseconds and loses nothing.
//
// With that mark the event is handled. So a type whose handler is registered with On,
// or calls InTx or [Inbox.Mark], has no other handler, and what follows after the
// commit must not fail: nothing would be tried again.
//
// A row is about 100 bytes; rows go when their window ends. An Inbox is safe for
// concurrent use, and any number of processes may share one database.
type Inbox struct {
	db      *sql.DB
	dialect Dialect
	prefix  string // qualified, as it stands before a table's name
	sql     statements
	window  time.Duration
	writer  chan struct{} // held while InTx runs on SQLite
	begun   atomic.Uint64
}

var _ receive.Deduper = (*Inbox)(nil)

// New makes an Inbox on db, which stays the caller's to configure and to close. nil
// opts are the defaults. It fails with a [*webhook.ValidationError] for an argument
// that it refuses, such as a driver that is known to be of another dialect, or a SQLite
// database in memory whose pool may open more than one connection. New sends nothing to
// a server, so that it works while the server is down. Call [Inbox.Migrate] before the
// first event.
func New(db *sql.DB, d Dialect, opts *Options) (*Inbox, error) {
	if db == nil {
		return nil, invalid(&sqldb.Problem{Field: "db", Text: "is nil"})
	}
	if d < Postgres || d > SQLite {
		return nil, invalid(&sqldb.Problem{Field: "dialect", Text: "must be Postgres, MySQL or SQLite"})
	}
	if opts == nil {
		opts = &Options{}
	}
	if opts.Window < 0 {
		return nil, invalid(&sqldb.Problem{Field: "Options.Window", Text: "must not be negative"})
	}
	if p := sqldb.CheckDriver(db, sqldb.Dialect(d)); p != nil {
		return nil, invalid(p)
	}
	prefix, p := sqldb.Prefix(sqldb.Dialect(d), cmp.Or(opts.TablePrefix, DefaultTablePrefix), opts.Schema)
	if p != nil {
		return nil, invalid(p)
	}
	if d == SQLite {
		ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
		defer cancel()
		switch p, err := sqldb.CheckMemory(ctx, db, db); {
		case err != nil:
			return nil, fmt.Errorf("sqlinbox: %w", err)
		case p != nil:
			return nil, invalid(p)
		}
	}
	return &Inbox{
		db: db, dialect: d, prefix: prefix, sql: statementsOf(d, prefix),
		window: cmp.Or(opts.Window, defaultWindow), writer: make(chan struct{}, 1),
	}, nil
}

func invalid(p *sqldb.Problem) error {
	return &webhook.ValidationError{Fields: []webhook.FieldError{{Field: p.Field, Problem: p.Text}}}
}

// failed wraps an error of the database once, with what to do where that is known.
func (i *Inbox) failed(err error) error {
	switch {
	case err == nil:
		return nil
	case sqldb.KindOf(err) == sqldb.NoTable:
		return fmt.Errorf("sqlinbox: the table %sinbox is missing or of another version, call Migrate: %w", i.prefix, err)
	}
	return fmt.Errorf("sqlinbox: %w", err)
}

// clock returns the database's time in microseconds.
func (i *Inbox) clock(ctx context.Context, q sqldb.Tx) (now int64, err error) {
	if i.sql.now == "" {
		return time.Now().UnixMicro(), ctx.Err()
	}
	err = q.QueryRowContext(ctx, i.sql.now).Scan(&now)
	return now, err
}

// later adds a delay to a time.
func later(now int64, d time.Duration) int64 { return now + max(0, d.Microseconds()) }

// errTxArgument reports a nil transaction.
var errTxArgument = errors.New("sqlinbox: the transaction is nil")
