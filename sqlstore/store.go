package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/check"
	"github.com/ringyo-ai/webhook/internal/sqldb"
)

// Options configure a Store. The zero value is the default of each field.
type Options struct {
	// TablePrefix begins the name of each table. Lower-case letters, digits and
	// underscores, at most 32, beginning with a letter. Defaults to "webhook_".
	TablePrefix string

	// Schema is the PostgreSQL schema, or the MySQL database, that holds the
	// tables, of the same form as TablePrefix. It has to exist. Defaults to what
	// the connection finds by itself. SQLite has none.
	Schema string

	// Keys encrypt the endpoints' signing secrets, the values of their own headers, and
	// the responses under idempotency keys, which can hold a secret, at rest. The first
	// one seals, all of them open. Without keys, these are stored as they are.
	// [Store.ResealSecrets] says how to replace one.
	Keys []Key

	// NotifyChannel switches signals to other processes on, on PostgreSQL alone:
	// after commits, at most once per 5 ms, this channel is notified, and a process
	// whose Config.Listen listens to it delivers at once what this one emits. Of the
	// same form as TablePrefix, at most 63 bytes. Defaults to none.
	NotifyChannel string

	// AllowServers names databases that are refused with a [ServerError] otherwise,
	// by its field Name, such as "CockroachDB". The store is tested on none of them.
	AllowServers []string

	// Logger takes what the operator should know. Defaults to slog.Default().
	Logger *slog.Logger
}

// DefaultTablePrefix begins the name of each table.
const DefaultTablePrefix = "webhook_"

// Store is a [webhook.Store] on a SQL database. It is safe for concurrent use,
// and any number of processes may share one database.
type Store struct {
	db      *sql.DB
	dialect *dialect
	sql     *statements
	prefix  string // qualified, as it stands before a table's name
	keys    keyring
	notify  string       // the statement that notifies; empty: none does
	allowed []string     // Options.AllowServers
	log     *slog.Logger // of the options
	met     atomic.Bool  // the database is one that the store can use

	within   Tx            // all of it happens in this transaction, of a trial; nil otherwise
	writer   chan struct{} // held while writing, by dialects with one writer
	prepared preparedSet

	chunkTexts sync.Map // of bulkChunks

	targets  *cache[int64, cachedTarget]
	nums     *cache[string, int64] // endpoint id to its number
	matches  *cache[topic, match]
	paces    *cache[int64, *atomic.Int64] // of the subscribers in matches, by endpoint number
	start    atomic.Int64                 // where claims without a cursor begin; -1: not chosen yet
	probed   probeCursor
	moved    atomic.Int64   // the endpoint whose deliveries were moved last
	swept    [2]sweepCursor // of endpoints with held deliveries, and with parked ones
	strays   atomic.Int64   // the endpoint whose ready deliveries were looked at last
	purged   purgeCursor
	foldAt   atomic.Int64 // when it adds next to the tallies what was counted
	tallying atomic.Bool  // it counts itself
	marksAt  atomic.Int64 // when this process looks next for idempotency keys whose time is over, in microseconds
	leases   leaseBook

	dropped  atomic.Int64 // rows of the queue that claims dropped, for the next Maintain to tell of
	straysAt atomic.Int64 // when all of those had been looked at, in microseconds
	unlisted atomic.Int64 // deliveries inserted since the last of this process were added to the history
	untimed  atomic.Int64 // likewise events, and the timeline
	crowded  atomic.Bool  // the last claim visited many endpoints
}

var (
	_ webhook.Store             = (*Store)(nil)
	_ webhook.ConcurrencyHinter = (*Store)(nil)
	_ webhook.Heartbeater       = (*Store)(nil)
	_ webhook.Tallier           = (*Store)(nil)
)

// Sizes of a generation of the caches: what is used most stays, and memory does
// not grow with the number of endpoints.
const (
	cachedTargets = 1 << 13
	cachedNums    = 1 << 15
	cachedMatches = 1 << 14
)

// New makes a Store on db, which stays the caller's to configure and to close. nil
// options are the defaults. It refuses a driver that is known to be of another
// dialect. It sends nothing to the database, so that it works while that is down:
// use [Store.Migrate] or [Store.Validate] before the first event. A Store that has
// done neither asks before it first writes or leases, with the errors of
// [Store.Validate] that are about what the database is.
func New(db *sql.DB, d Dialect, opts *Options) (*Store, error) {
	if db == nil {
		return nil, invalid("db", "is nil")
	}
	spec := dialects[d]
	if spec == nil {
		return nil, invalid("dialect", "must be Postgres, MySQL or SQLite")
	}
	if opts == nil {
		opts = &Options{}
	}
	if err := checkDriver(db, d); err != nil {
		return nil, err
	}
	prefix, err := tablePrefix(d, opts)
	if err != nil {
		return nil, err
	}
	keys, err := newKeyring(opts.Keys)
	if err != nil {
		return nil, err
	}
	notify, err := notification(d, opts.NotifyChannel)
	if err != nil {
		return nil, err
	}
	for i, name := range opts.AllowServers {
		if !slices.Contains(sqldb.Unfit(), name) {
			return nil, invalid(fmt.Sprintf("Options.AllowServers[%d]", i), "is none of "+strings.Join(slices.Compact(slices.Sorted(slices.Values(sqldb.Unfit()))), ", "))
		}
	}
	s := &Store{
		allowed: slices.Clone(opts.AllowServers),
		log:     cmp.Or(opts.Logger, slog.Default()),
		db:      db,
		notify:  notify,
		dialect: spec,
		sql:     spec.statements.render(prefix, spec),
		prefix:  prefix,
		keys:    keys,
		targets: newCache[int64, cachedTarget](cachedTargets),
		nums:    newCache[string, int64](cachedNums),
		matches: newCache[topic, match](cachedMatches),
		paces:   newCache[int64, *atomic.Int64](cachedNums),
	}
	s.start.Store(-1)
	s.unlisted.Store(historyLag) // what processes before this one have left
	s.untimed.Store(timelineLag)
	if spec.oneWriter {
		s.writer = make(chan struct{}, 1)
	}
	return s, nil
}

// tablePrefix returns what stands before each table's name.
func tablePrefix(d Dialect, o *Options) (string, error) {
	prefix, p := sqldb.Prefix(sqldb.Dialect(d), cmp.Or(o.TablePrefix, DefaultTablePrefix), o.Schema)
	if p != nil {
		return "", invalid(p.Field, p.Text)
	}
	return prefix, nil
}

// invalid makes the error for an argument of New.
func invalid(field, problem string) error {
	return &webhook.ValidationError{Fields: []webhook.FieldError{{Field: field, Problem: problem, Path: check.Path(field)}}}
}

// ConcurrencyHint implements [webhook.ConcurrencyHinter]: one writer for SQLite,
// several for the others, which group commits by themselves.
func (s *Store) ConcurrencyHint() int { return s.dialect.concurrency }

// Now implements [webhook.Store].
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	var now int64
	err := s.read(ctx, func(t *txn) (err error) {
		now, err = t.clock(ctx)
		return err
	})
	if err != nil {
		return time.Time{}, s.failed("now", err)
	}
	return fromMicros(now), nil
}

// Tx makes an Enqueuer of the caller's own transaction, for
// [webhook.Dispatcher.EmitTx]: what it stores exists once the caller has committed, and
// never if the caller rolls back. tx is a *sql.Tx, or a *sql.Conn on which a
// transaction was begun; sqlx's and bun's Tx; of gorm's transaction
// tx.Statement.ConnPool; for ent the *sql.Tx that its driver was made of; [PgxTx] makes
// one of a pgx.Tx. Any other implementation must pass statements and arguments on
// unchanged. On SQLite the transaction should have begun with BEGIN IMMEDIATE;
// otherwise a write after a read can fail with SQLITE_BUSY, as the caller's own
// statements can. [webhook.Dispatcher] says what an error of EmitTx leaves of the
// transaction. [Store.InTx] does all of this for a *sql.Tx.
func (s *Store) Tx(tx Tx) webhook.Enqueuer { return &enqueuer{s: s, tx: sqldb.Transaction(tx)} }

// Tx is what [Store.Tx] and [Store.MigrateTx] need of a transaction.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// errTxArgument returns a nil transaction.
var errTxArgument = errors.New("the transaction is nil")

// failed wraps an error of the database once, with what to do where that is
// known.
func (s *Store) failed(op string, err error) error {
	if err == nil {
		return nil
	}
	for _, plain := range []error{
		webhook.ErrNotFound, webhook.ErrIDConflict, webhook.ErrVersionConflict, webhook.ErrEndpointLimit,
		webhook.ErrIdempotencyRunning, webhook.ErrIdempotencyReused,
	} {
		if errors.Is(err, plain) {
			return err
		}
	}
	if unfit := (*ServerError)(nil); errors.As(err, &unfit) || errors.Is(err, webhook.ErrInvalidArgument) {
		return err
	}
	if kindOf(err) == kindNoTable {
		return fmt.Errorf("sqlstore: %s: the tables %s… are missing or of another version, call Migrate: %w", op, s.prefix, err)
	}
	return fmt.Errorf("sqlstore: %s: %w", op, err)
}

// found returns what was read, or only the error: what a query that was cut off has
// read until then is half a row or half a page.
func found[T any](s *Store, op string, v T, err error) (T, error) {
	if err != nil {
		var none T
		return none, s.failed(op, err)
	}
	return v, nil
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func toMicros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// later adds a delay without overflow.
func later(now int64, d time.Duration) int64 { return now + max(0, d.Microseconds()) }

// checkText refuses what not every database stores as it is. NUL and invalid
// UTF-8 are refused by PostgreSQL, and MySQL would cut text in silence when its
// strict mode is off.
func checkText(field, s string, limit int) error {
	switch {
	case len(s) > limit:
		return invalid(field, fmt.Sprintf("is longer than %d bytes", limit))
	case strings.IndexByte(s, 0) >= 0 || strings.ToValidUTF8(s, "") != s:
		return invalid(field, "must be UTF-8 without NUL")
	}
	return nil
}

// Limits of the columns, in bytes.
const (
	maxID      = 64
	maxAccount = 255
	maxType    = 128
	maxText    = 1 << 20
)
