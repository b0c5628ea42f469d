package sqlstore

import (
	"context"
	"database/sql"
	"reflect"
	"strconv"
	"strings"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/sqldb"
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
func (d Dialect) String() string {
	if spec := dialects[d]; spec != nil {
		return spec.name
	}
	return "Dialect(" + strconv.Itoa(int(d)) + ")"
}

var dialects = map[Dialect]*dialect{Postgres: &postgres, MySQL: &mysql, SQLite: &sqlite}

// dialect is what one kind of database does in its own way: its SQL, and the few
// steps that have another shape there.
type dialect struct {
	name        string
	concurrency int // see [webhook.ConcurrencyHinter]
	statements  statements

	// What the database is like.
	oneWriter     bool // one transaction writes at a time, and locks no rows
	ownClock      bool // times are those of this process, not of a server
	numbered      bool // placeholders are $1, $2, …
	prepare       bool // hot statements are prepared on the pool
	byteKeys      bool // keys are bytes, and may be of any length
	stateRanges   bool // an index of the queue serves a range of states
	commitsTables bool // each statement that makes a table commits

	// What the statements can do.
	history       bool // there is a table of each endpoint's deliveries, see insertDeliveries
	recordsAtOnce bool // successes are recorded without reading their deliveries, see recordAtOnce

	check func(*sql.DB) error // asked by New
	begin func(context.Context, *Store) (*ownTxn, error)
	// bulk runs one statement for many rows; scan reads what it returns.
	bulk func(ctx context.Context, t *txn, b *bulk, rows [][]any, scan func(*sql.Rows) error) error
	// insertEvents stores the events whose ids are new and marks them.
	insertEvents func(ctx context.Context, t *txn, in *intake) error
	// enqueue does an Enqueue in one step, if it can; optional.
	enqueue func(ctx context.Context, s *Store, in *intake) (done bool, err error)
	// settle does the plain part of a Settle in one step and returns the rest;
	// optional.
	settle func(ctx context.Context, s *Store, items []item, out *webhook.Settled) (rest []item, err error)
	// visit returns the next endpoints that have ready rows, with the oldest of
	// these, at most about n of them; done means that the round is complete.
	visit func(ctx context.Context, t *txn, c *claim, n int) (stops []stop, done bool, err error)
	// leaseAtOnce leases the chosen rows that are still there in one statement;
	// optional.
	leaseAtOnce func(ctx context.Context, t *txn, c *claim) error

	keyArg func(key) any // a key as a single parameter

	migrations string // the folder of them
}

// leaseTellsEvents reports whether it is known of which events the leased rows are,
// once they are leased.
func (d *dialect) leaseTellsEvents() bool { return d.leaseAtOnce != nil }

// bulk is a statement for many rows. text holds %ROWS% where the rows belong,
// each written as row and separated by sep; with arrays, or one row at a time,
// it holds none. kinds has a letter for each column: i integer, t text, u a
// key, b bytes. The first same values, alike in all rows, stand once before them
// (bulkChunks).
type bulk struct {
	text, row, sep, kinds string
	same                  int
}

// statements are the texts of one dialect. In them {p} stands before a table's
// name, {update} and {skip} are the locking clauses, and ? is a placeholder.
type statements struct {
	Clock string // an expression: microseconds since 1970
	Now   string
	Lock  string // takes the write lock

	HasSchema, SchemaVersion string

	TouchAccount, CountEndpoints                        string
	EndpointID, InsertEndpoint                          string
	GetEndpoint, LockEndpoint, ListEndpoints            string
	UpdateEndpoint, DeleteEndpoint, DeleteSubscriptions string
	EndpointsAfter, LockSecrets, SetSecrets             string
	InsertSubscriptions, Targets                        bulk

	InsertEvents, ReadEvents, DropEvents bulk
	Versions, Match, Idle                bulk
	InsertDeliveries, InsertQueue        bulk
	InsertUnmatched                      bulk
	Enqueue, Delivered, MatchAll         string // PostgreSQL

	Pick, PickStep, Unlease       string // in the dialect's own way
	RestOf, LastEndpoint          string
	LeaseAtOnce                   string // PostgreSQL
	PickRows, Lease, Events       bulk
	PickStates, Inserted, Leased  bulk // MySQL
	LockRows, Undelivered         bulk
	GiveBack                      bulk
	DropJunk                      string // SQLite
	ProbesDue                     string
	ProbeRows, LockProbes         bulk
	SetProbes, UnsetProbes        bulk
	EndProbes, Wake, Begun        bulk
	Look                          string
	LockQueue, LockDeliveries     bulk
	DeleteQueue, Finish, Requeue  bulk
	InsertAttempts, EndLeases     bulk
	Health, LockHealth, SetHealth bulk
	SetMoving                     bulk
	Changing, Record              bulk // SQLite
	HistoryEnd, AddHistory        string
	SetHistoryEnd                 string
	InsertHistory, DropHistory    bulk

	InsertLease, CutLease            string
	DueLeases, DueWaiting            string
	LockProcess, LockDead, Quiet     string
	InsertProcess, SetProcess        string
	DeleteProcess, LeasesOf          string
	CloseLeases                      bulk
	Expire                           bulk
	ReadyOf, HeldOf, ParkedOf        string
	BegunOf                          string
	HeldStep, ParkedStep, BegunStep  string
	ReadyStep                        string
	Moving, ClearMoving              string
	EndpointStates, MoveRows, Cancel bulk

	OldDeliveries, OldUnmatched      string
	DeleteAttempts, DeleteDeliveries bulk
	LockEvents, Unreferenced         bulk
	DropUnmatched                    bulk

	GetEvent, Attempts                      string
	EndpointsFrom, EventsOf, UnmatchedOf    string
	Delivery                                string
	DeliveriesOf, KeepSent, Restart         bulk
	EndpointOf                              string
	DeliveriesOfEndpoint, DeliveriesOfEvent string
	StatsAll, StatsOf, Leases               string
	ReadLeased                              bulk
}

// render fills in what depends on the store's options.
func (s statements) render(prefix string, d *dialect) *statements {
	update, skip := "for update", "for update skip locked"
	if d.oneWriter {
		update, skip = "", ""
	}
	if !d.ownClock {
		s.Now = "select {clock}"
	}
	r := strings.NewReplacer("{p}", prefix, "{clock}", s.Clock, "{update}", update, "{skip}", skip)
	s.ReadyStep = strings.ReplaceAll(s.HeldStep, "state = 4", "state = 0")
	v := reflect.ValueOf(&s).Elem()
	forTexts(v, func(text string) string {
		text = strings.TrimSpace(r.Replace(text))
		if d.numbered {
			text = sqldb.Number(text)
		}
		return text
	})
	return &s
}

// forTexts replaces the statement texts in v, a struct of strings and bulks.
func forTexts(v reflect.Value, f func(string) string) {
	for i := range v.NumField() {
		switch p := v.Field(i).Addr().Interface().(type) {
		case *string:
			*p = f(*p)
		case *bulk:
			p.text, p.row = f(p.text), f(p.row)
		}
	}
}

// bulk runs a statement for all rows, if there are any.
func (t *txn) bulk(ctx context.Context, b *bulk, rows [][]any, scan func(*sql.Rows) error) error {
	if len(rows) == 0 {
		return nil
	}
	return t.s.dialect.bulk(ctx, t, b, rows, scan)
}

// chunks are the numbers of rows of one statement in bulkChunks: few, so that
// each can be prepared once.
var chunks = [...]int{32, 8, 1}

// bulkChunks runs the statement for several rows at once, in few sizes. Where
// there is no network in between, most of the price of a small statement is
// everything around it.
func bulkChunks(ctx context.Context, t *txn, b *bulk, rows [][]any, scan func(*sql.Rows) error) error {
	if b.row == "" {
		return bulkEach(ctx, t, b, rows, scan)
	}
	return inChunks(rows, func(part [][]any) error {
		if text := t.s.chunkText(b, len(part)); scan == nil {
			return t.exec(ctx, text, flat(b, part)...)
		} else {
			return t.query(ctx, text, scan, flat(b, part)...)
		}
	})
}

func inChunks(rows [][]any, f func([][]any) error) error {
	for _, n := range chunks {
		for ; len(rows) >= n; rows = rows[n:] {
			if err := f(rows[:n]); err != nil {
				return err
			}
		}
	}
	return nil
}

// flat returns the values of rows one after the other.
func flat(b *bulk, rows [][]any) []any {
	args := make([]any, 0, len(rows)*len(rows[0]))
	args = append(args, rows[0][:b.same]...)
	for _, row := range rows {
		args = append(args, row[b.same:]...)
	}
	return args
}

// chunkText returns the statement for n rows, made once.
func (s *Store) chunkText(b *bulk, n int) string {
	type of struct {
		b *bulk
		n int
	}
	text, ok := s.chunkTexts.Load(of{b, n})
	if !ok {
		text = strings.Replace(b.text, "%ROWS%", b.row+strings.Repeat(b.sep+b.row, n-1), 1)
		s.chunkTexts.Store(of{b, n}, text)
	}
	return text.(string)
}

// bulkEach runs the statement once for each row.
func bulkEach(ctx context.Context, t *txn, b *bulk, rows [][]any, scan func(*sql.Rows) error) error {
	for _, row := range rows {
		var err error
		if scan == nil {
			err = t.exec(ctx, b.text, row...)
		} else {
			err = t.query(ctx, b.text, scan, row...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Bounds of one statement of bulkRows. MySQL's protocol allows 65,535
// parameters, and its servers packets of 1 MiB at the least; a row above that
// goes alone.
const (
	maxParameters = 16_000
	maxPacket     = 512 << 10
)

// bulkRows writes the rows into the text of the statement as parameters.
func bulkRows(ctx context.Context, t *txn, b *bulk, rows [][]any, scan func(*sql.Rows) error) error {
	for len(rows) > 0 {
		n, args := fill(rows)
		text := strings.Replace(b.text, "%ROWS%", b.row+strings.Repeat(b.sep+b.row, n-1), 1)
		var err error
		if scan == nil {
			err = t.exec(ctx, text, args...)
		} else {
			err = t.query(ctx, text, scan, args...)
		}
		if err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// fill takes as many rows as one statement holds and returns their values.
func fill(rows [][]any) (n int, args []any) {
	size := 0
	for ; n < len(rows); n++ {
		row := 0
		for _, v := range rows[n] {
			row += sizeOf(v)
		}
		if n > 0 && (size+row > maxPacket || len(args)+len(rows[n]) > maxParameters) {
			break
		}
		size += row
		args = append(args, rows[n]...)
	}
	return n, args
}

func sizeOf(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case []byte:
		return len(v)
	}
	return 8
}
