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
	kind        sqldb.Dialect
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

	begin func(context.Context, *Store) (*ownTxn, error)
	// bulk runs a statement for many rows; scan, if there is one, reads what it returns.
	bulk func(ctx context.Context, t *txn, b batch, scan func(*sql.Rows) error) error
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

	// settings reads those that settingRules are about, of a connection of the pool.
	settings     func(ctx context.Context, t *txn) (map[string]string, error)
	settingRules []setting

	lists  lists               // see listing
	keyArg func(key) any       // a key as a single parameter
	adapt  func(string) string // a statement, to what sessions can be set to; optional

	migrations string // the folder of them
}

// leaseTellsEvents reports whether it is known of which events the leased rows are,
// once they are leased.
func (d *dialect) leaseTellsEvents() bool { return d.leaseAtOnce != nil }

// statements are the texts of one dialect. In them {p} stands before a table's
// name, {update} and {skip} are the locking clauses, and ? is a placeholder.
type statements struct {
	Clock string // an expression: microseconds since 1970
	Now   string
	Lock  string // takes the write lock

	HasSchema, SchemaVersion string

	TouchAccount, CountEndpoints, AllEndpoints          string
	EndpointID, InsertEndpoint                          string
	GetEndpoint, LockEndpoint, ListEndpoints            string
	UpdateEndpoint, DeleteEndpoint, DeleteSubscriptions string
	EndpointsAfter, LockSealed, SetSealed               string

	Revisions, InsertRevision, RevisionAt       string
	OldRevisions, DropRevision, DropRevisionsTo string
	RevisionsAfter, SetRevision                 string

	InsertMark, LockMark, RenewMark, FinishMark, AbandonMark          string
	MarkExpiring, ExpireMarks, MarkAt, DropMarks, MarksAfter, SetMark string

	InsertCounts, LockCounts, LockAllCounts string
	DropCounts                              bulk[number]
	AddTallies                              bulk[tallyRow]
	DropTallies, TallyAt, ExpireTallies     string
	DeliveredTallied                        string // PostgreSQL

	InsertSubscriptions bulk[subscription]
	Targets             bulk[number]

	InsertEvents       bulk[createdEvent]
	InsertMarked       bulk[markedEvent] // MySQL
	Inserted           bulk[key]         // MySQL
	ReadEvents         bulk[key]
	DropEvents         bulk[key]
	Versions           bulk[accountName]
	Match              bulk[topic]
	Idle               bulk[number]
	InsertDeliveries   bulk[createdDelivery]
	InsertQueue        bulk[queuePlace]
	InsertUnmatched    bulk[unmatched]
	Enqueue, Delivered string // PostgreSQL
	MatchAll           string // PostgreSQL

	Pick, PickStep, Unlease string // in the dialect's own way
	RestOf, LastEndpoint    string
	PickStates              bulk[number] // MySQL
	PickRows                bulk[pick]
	LockRows, Undelivered   bulk[key]
	Lease                   bulk[leasing]
	LeaseAtOnce             string // PostgreSQL
	Leased, Events          bulk[key]
	GiveBack                bulk[key]
	DropJunk                string // SQLite

	Look, ProbesDue        string
	HeldFirst, WakeTrial   string
	ProbeRows              bulk[stateOf]
	LockProbes, EndProbes  bulk[endpointAt]
	SetProbes, UnsetProbes bulk[probeTime]
	Wake                   bulk[waking]
	Begun                  bulk[number]

	LockQueue, LockDeliveries bulk[key]
	DeleteQueue               bulk[key]
	Finish                    bulk[finish]
	Requeue                   bulk[requeue]
	InsertAttempts            bulk[loggedAttempt]
	EndLeases                 bulk[lease]
	Health, LockHealth        bulk[number]
	SetHealth                 bulk[healthChange]
	SetMoving                 bulk[number]
	Changing                  bulk[successOf] // SQLite
	Record                    bulk[success]   // SQLite

	HistoryEnd, SetHistoryEnd  string // SQLite, as the next ones
	AddHistory, AddTimeline    string
	SetTimelineEnd             string
	LowerTimelineEnd           string
	DropTimeline               bulk[key]
	InsertHistory, DropHistory bulk[listed]

	InsertLease, CutLease              string
	DueLeases, DueWaiting              string
	LockProcess, LockDead, Quiet       string
	InsertProcess, SetProcess          string
	DeleteProcess, LeasesOf            string
	CloseLeases                        bulk[closing]
	ReadyOf, HeldOf, ParkedOf, BegunOf string
	HeldStep, ParkedStep, BegunStep    string
	ReadyStep                          string
	Moving, ClearMoving                string
	Expire                             bulk[key]
	EndpointStates                     bulk[number]
	MoveRows                           bulk[newState]
	Cancel                             bulk[cancellation]

	OldDeliveries, OldUnmatched      string
	OldEndpoints, DropEndpoint       string
	DeleteAttempts, DeleteDeliveries bulk[key]
	LockEvents, Unreferenced         bulk[key]
	DropUnmatched                    bulk[unmatched]

	LockEvent, BlankEvent          string
	DeliveriesAt, LiveEndpoints    string
	AnyOf, UnmatchedAt             string
	BlankAttempts, BlankDeliveries bulk[key]

	GetEvent, Attempts, Delivery            string
	EndpointsFrom, UnmatchedOf              string
	EventsOf, FailedOf                      string
	EndpointOf                              string
	DeliveriesOfEndpoint, DeliveriesOfEvent string
	Stats, Leases                           string
	LastAttempts, OldestDue, Failing        string
	CountStatus, StatusOf                   string
	DeliveriesOf                            bulk[eventOf]
	FirstOf                                 bulk[key]
	KeepSent, Restart                       bulk[key]
	ReadLeased                              bulk[key]
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
	r := strings.NewReplacer("{clock}", s.Clock, "{update}", update, "{skip}", skip)
	s.ReadyStep = strings.ReplaceAll(s.HeldStep, "state = 4", "state = 0")
	v := reflect.ValueOf(&s).Elem()
	forTexts(v, func(text string) string {
		text = sqldb.Named(d.kind, strings.TrimSpace(r.Replace(text)), prefix)
		if d.numbered {
			text = sqldb.Number(text)
		}
		if d.adapt != nil {
			text = d.adapt(text)
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
		case interface{ stmt() *stmt }:
			b := p.stmt()
			b.text, b.row = f(b.text), f(b.row)
		}
	}
}
