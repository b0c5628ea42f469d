package sqlstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/sqldb"
)

// TrialError says that something which delivering needs cannot be done on this database,
// with this user or in these sessions. [Store.Validate] and [Store.Migrate] find it
// before an event does.
type TrialError struct {
	Tried   string // such as "claim a delivery"
	Setting string // the setting that is known to cause such an error; empty: none, or a privilege is missing
	Err     error  // of the database, as a rule
}

// Error names what was tried, and the setting.
func (e *TrialError) Error() string {
	if e.Setting != "" {
		return fmt.Sprintf("sqlstore: the store cannot %s here, look at the setting %s: %v", e.Tried, e.Setting, e.Err)
	}
	return fmt.Sprintf("sqlstore: the store cannot %s here: %v", e.Tried, e.Err)
}

// Unwrap returns the error of the database.
func (e *TrialError) Unwrap() error { return e.Err }

// settingsOfCodes are the settings that are known to cause an error, by SQLSTATE and by
// MySQL's number.
var settingsOfCodes = map[string]string{
	"25006": "default_transaction_read_only",
	"57014": "statement_timeout",
	"55P03": "lock_timeout",
	"25P03": "idle_in_transaction_session_timeout",
	"25P04": "transaction_timeout",
	"1104":  "max_join_size",
	"1153":  "max_allowed_packet",
	"1175":  "sql_safe_updates",
	"1205":  "innodb_lock_wait_timeout",
	"1290":  "read_only",
	"1792":  "transaction_read_only",
	"1836":  "read_only",
	"1969":  "max_statement_time",
	"3024":  "max_execution_time",
}

// errRollBack ends a trial that went well.
var errRollBack = errors.New("nothing of a trial stays")

// errNoTrace means that a statement went well and did nothing.
var errNoTrace = errors.New("what was just written is not there: a trigger or a policy of the table may keep it away")

// try does once what delivering needs, with the statements that do it later, in one
// transaction that is always rolled back. It writes rows of an account of its own, so
// that it is in nobody's way; on SQLite it is the writer meanwhile, which takes
// milliseconds. A statement that looks for work, and would find that of others, is asked
// for none.
//
// Not tried are what commits and begins, and the statements that only look like others
// here, on the same tables: of replays, of probes, and of purging in the order of age.
func (s *Store) try(ctx context.Context) error {
	return s.again(ctx, func() error {
		t, err := s.dialect.begin(ctx, s)
		if err != nil {
			return &TrialError{Tried: "begin a transaction", Setting: settingOf(ctx, err), Err: err}
		}
		err = t.own.End(cmp.Or(s.rehearse(ctx, t.own.Tx), errRollBack))
		if err == errRollBack {
			return nil
		}
		return err
	})
}

func settingOf(ctx context.Context, err error) string {
	if ctx.Err() != nil {
		return ""
	}
	return settingsOfCodes[sqldb.CodeOf(err)]
}

// rehearse runs a life in the transaction.
func (s *Store) rehearse(ctx context.Context, tx Tx) error {
	w := &watched{Tx: tx}
	l := &life{s: s.inside(w), account: "trial_" + rand.Text(), endpoint: "trial_" + rand.Text()}
	for _, step := range []struct {
		tried string
		do    func(context.Context) error
	}{
		{"send a heartbeat", l.begin},
		{"create an endpoint", l.create},
		{"store events", l.enqueue},
		{"store events in a transaction of the caller", l.enqueueTx},
		{"claim a delivery", l.claim},
		{"record results", l.settle},
		{"end a lease", l.expire},
		{"move the deliveries of an endpoint", l.move},
		{"redeliver", l.redeliver},
		{"keep an idempotency key", l.idempotent},
		{"count results", l.tally},
		{"delete an endpoint", l.remove},
		{"purge", l.purge},
		{"end a process", l.end},
	} {
		if err := step.do(ctx); err != nil {
			// What came first is the cause: after it PostgreSQL refuses all others, and
			// much of the store tries another way.
			err = cmp.Or(w.first, err)
			return &TrialError{Tried: step.tried, Setting: settingOf(ctx, err), Err: err}
		}
		if err := w.first; err != nil {
			return &TrialError{Tried: step.tried, Setting: settingOf(ctx, err), Err: err}
		}
	}
	return nil
}

// inside returns a Store whose calls are all part of one transaction. It remembers
// nothing for s.
func (s *Store) inside(tx Tx) *Store {
	in := &Store{
		db: s.db, dialect: s.dialect, sql: s.sql, prefix: s.prefix, keys: s.keys, notify: s.notify, allowed: s.allowed,
		log: slog.New(slog.DiscardHandler), within: tx,
		targets: newCache[int64, cachedTarget](1),
		nums:    newCache[string, int64](1),
		matches: newCache[topic, match](1),
		paces:   newCache[int64, *atomic.Int64](1),
	}
	in.met.Store(true)
	return in
}

// watched keeps the first error of the statements that run on it.
type watched struct {
	Tx
	first error
}

func (w *watched) saw(err error) {
	if w.first == nil {
		w.first = err
	}
}

// ExecContext implements [Tx].
func (w *watched) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	r, err := w.Tx.ExecContext(ctx, query, args...)
	w.saw(err)
	return r, err
}

// QueryContext implements [Tx].
func (w *watched) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	r, err := w.Tx.QueryContext(ctx, query, args...)
	w.saw(err)
	return r, err
}

// QueryRowContext implements [Tx].
func (w *watched) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	r := w.Tx.QueryRowContext(ctx, query, args...)
	w.saw(r.Err())
	return r
}

// life is what a trial does.
type life struct {
	s                 *Store
	account, endpoint string
	process           webhook.ProcessID
	num               int64
	rec               webhook.EndpointRecord
	handed, claimed   []webhook.Leased
	old               map[key]oldDelivery
	m                 *upkeep
}

// only is a Room for the deliveries of one endpoint.
type only string

func (o only) Take(c webhook.Candidate, n int) int {
	if c.EndpointID != string(o) {
		return 0
	}
	return n
}

func (only) Reset() {}

func (l *life) terms(n int) webhook.LeaseTerms {
	return webhook.LeaseTerms{Max: n, Lease: time.Minute, Room: only(l.endpoint), Process: l.process}
}

func (l *life) begin(ctx context.Context) error {
	for range 2 { // the first one inserts, the second one updates
		out, err := l.s.Heartbeat(ctx, webhook.Heartbeat{Process: l.process, For: time.Minute})
		if err != nil {
			return err
		}
		l.process = out.Process
	}
	if l.s.notify != "" {
		return l.s.Signal(ctx)
	}
	return nil
}

func (l *life) create(ctx context.Context) (err error) {
	rec := webhook.EndpointRecord{
		Endpoint: webhook.Endpoint{
			ID: l.endpoint, AccountID: l.account, URL: "https://example.com/", Events: []webhook.EventType{webhook.EventCallFailed},
			Status: webhook.EndpointActive,
		},
		Secrets: []webhook.EndpointSecret{{Secret: webhook.NewSecret()}},
	}
	if l.rec, err = l.s.CreateEndpoint(ctx, webhook.EndpointCreate{Record: rec, Max: 1}); err != nil {
		return err
	}
	return l.s.read(ctx, func(t *txn) (err error) {
		l.num, err = t.endpointNum(ctx, l.endpoint)
		return err
	})
}

func (l *life) event(id string, typ webhook.EventType) webhook.EventRecord {
	return webhook.EventRecord{ID: id, AccountID: l.account, Type: typ, Timestamp: time.Now().UTC().Truncate(time.Millisecond), Data: []byte(`{"a":"é\\"}`)}
}

func (l *life) enqueue(ctx context.Context) error {
	out, err := l.s.Enqueue(ctx, webhook.EnqueueRequest{
		Groups:  [][]webhook.EventRecord{{l.event("1", webhook.EventCallFailed), l.event("2", webhook.EventCallFailed)}, {l.event("3", webhook.EventCallCompleted)}},
		Handoff: l.terms(1),
	})
	l.handed = out.Leased
	return cmp.Or(err, expect(len(out.Leased) == 1 && out.Ready == 1 && errors.Join(out.Errs...) == nil))
}

func (l *life) enqueueTx(ctx context.Context) error {
	q := l.s.Tx(l.s.within)
	out, err := q.Enqueue(ctx, webhook.EnqueueRequest{Groups: [][]webhook.EventRecord{
		{l.event("4", webhook.EventCallFailed)},
		{l.event("1", webhook.EventCallCompleted), l.event("5", webhook.EventCallFailed)}, // used already: the group goes again
	}})
	if err != nil {
		return err
	}
	return expect(len(out.Errs) == 2 && out.Errs[0] == nil && errors.Is(out.Errs[1], webhook.ErrIDConflict) && out.Ready == 1)
}

// claim leases what there is of the endpoint, beginning with it, and without looking at
// paused ones.
func (l *life) claim(ctx context.Context) error {
	seen, err := l.s.look(ctx)
	if err != nil {
		return err
	}
	c := &claim{s: l.s, key: l.s.queueKey(), terms: l.terms(2), from: from(l.num - 1)}
	c.seen = outlook{micros: seen.micros, ready: true}
	if err := c.pursue(ctx); err != nil {
		return err
	}
	l.claimed = c.result().Deliveries
	return expect(len(l.claimed) == 2)
}

func (l *life) settle(ctx context.Context) error {
	failed := l.result(l.claimed[0], webhook.OutcomeRetry)
	failed.Delay, failed.Counts, failed.DisableAfter = time.Hour, true, 100
	failed.Attempt.Failure, failed.Tally = webhook.FailureHTTPStatus, true
	out, err := l.s.Settle(ctx, []webhook.Settlement{l.result(l.handed[0], webhook.OutcomeDelivered)})
	if err == nil {
		err = applies(out)
	}
	if err == nil {
		out, err = l.s.Settle(ctx, []webhook.Settlement{failed})
	}
	return cmp.Or(err, applies(out))
}

func (l *life) result(d webhook.Leased, o webhook.Outcome) webhook.Settlement {
	return webhook.Settlement{
		DeliveryID: d.DeliveryID, Token: d.Token, EndpointID: l.endpoint, Generation: d.Target.Generation, Outcome: o, Pace: webhook.PaceQuick,
		Attempt: &webhook.Attempt{ID: "trial_" + rand.Text(), At: time.Now(), StatusCode: 200, ResponseBody: []byte("ok")},
	}
}

func applies(out webhook.Settled) error {
	for _, r := range out.Results {
		if r.Err != nil {
			return r.Err
		}
		if r.Status != webhook.SettleApplied {
			return errNoTrace
		}
	}
	return nil
}

// expire ends the lease of the delivery that was claimed and not settled.
func (l *life) expire(ctx context.Context) error {
	return l.s.write(ctx, func(t *txn) error {
		micros, err := t.clock(ctx)
		if err != nil {
			return err
		}
		l.m = &upkeep{s: l.s, micros: micros, limit: 10}
		var c moved
		if _, err := readLeases(ctx, t, l.s.sql.DueLeases, 0, 0); err != nil {
			return err
		}
		if _, err := l.m.waiting(ctx, t, 0, &c); err != nil {
			return err
		}
		k, _ := parseKey(l.claimed[1].DeliveryID)
		rows := []due{{k: k, endpoint: l.num, due: micros, token: int64(l.claimed[1].Token)}}
		states, err := l.m.statesOf(ctx, t, rows)
		if err != nil {
			return err
		}
		if err := l.m.unlease(ctx, t, rows, states, &c); err != nil {
			return err
		}
		if err := t.exec(ctx, l.s.sql.InsertLease, micros, int64(1), int64(l.process), joinKeys([]key{k})); err != nil {
			return err
		}
		if err := t.exec(ctx, l.s.sql.CutLease, joinKeys(nil), micros, int64(1)); err != nil {
			return err
		}
		return cmp.Or(t.execAll(ctx, l.s.sql.EndLeases.of([]lease{{due: micros, token: 1}})), expect(c.ready == 1))
	})
}

// move holds, parks and releases.
func (l *life) move(ctx context.Context) error {
	for _, to := range []webhook.EndpointStatus{webhook.EndpointInactive, webhook.EndpointActive} {
		rec, err := l.s.GetEndpoint(ctx, l.account, l.endpoint)
		if err != nil {
			return err
		}
		rec.Status = to
		if l.rec, err = l.s.UpdateEndpoint(ctx, webhook.EndpointUpdate{Record: rec, Reset: true}); err != nil {
			return err
		}
		if to == webhook.EndpointActive {
			err = l.moveTo(ctx, endpointActive+pausedBy)
		}
		if err == nil {
			err = l.moveTo(ctx, statusNumber[to])
		}
		if err != nil {
			return err
		}
	}
	return expect(l.m.out.Held >= 1)
}

func (l *life) moveTo(ctx context.Context, status int) error {
	_, err := l.m.moveOne(ctx, mover{num: l.num, version: l.rec.Revision, status: status}, 10)
	return err
}

func (l *life) redeliver(ctx context.Context) error {
	if _, err := l.s.ListAttempts(ctx, l.account, l.handed[0].DeliveryID); err != nil {
		return err
	}
	if _, err := l.s.QueueStats(ctx, l.account, l.endpoint); err != nil {
		return err
	}
	_, err := l.s.Redeliver(ctx, l.account, l.handed[0].DeliveryID)
	return err
}

func (l *life) remove(ctx context.Context) error {
	page, err := l.s.ListDeliveries(ctx, webhook.DeliveryFilter{AccountID: l.account, EndpointID: l.endpoint, Limit: 10})
	if err != nil {
		return err
	}
	l.old = make(map[key]oldDelivery)
	for _, d := range page.Items {
		k, _ := parseKey(d.ID)
		l.old[k] = oldDelivery{event: eventKey(l.account, d.EventID), endpoint: l.num}
	}
	if err := l.s.DeleteEndpoint(ctx, webhook.EndpointDelete{AccountID: l.account, ID: l.endpoint}); err != nil {
		return err
	}
	if _, err := l.s.ListRevisions(ctx, l.account, l.endpoint); err != nil { // of which DeleteEndpoint kept one
		return err
	}
	return l.moveTo(ctx, endpointDeleted)
}

// purge deletes what there is, whether it has ended or not.
func (l *life) purge(ctx context.Context) error {
	return l.s.write(ctx, func(t *txn) error {
		keys := make([]key, 0, len(l.old))
		for k := range l.old {
			keys = append(keys, k)
		}
		n, err := l.m.deleteDeliveries(ctx, t, keys, l.old, math.MaxInt64)
		if err != nil {
			return err
		}
		unmatchedKey := eventKey(l.account, "3")
		if _, err := l.s.deleteEvents(ctx, t, []key{unmatchedKey}); err != nil {
			return err
		}
		if err := t.execAll(ctx, l.s.sql.DropUnmatched.of([]unmatched{{l.account, l.m.micros, unmatchedKey}})); err != nil {
			return err
		}
		if err := t.exec(ctx, l.s.sql.DropRevisionsTo, l.num, math.MaxInt64); err != nil {
			return err
		}
		if err := t.exec(ctx, l.s.sql.DropEndpoint, l.num, l.num, l.num); err != nil {
			return err
		}
		return expect(n >= 3)
	})
}

func (l *life) end(ctx context.Context) error {
	_, err := l.s.Heartbeat(ctx, webhook.Heartbeat{Process: l.process})
	return err
}

func expect(ok bool) error {
	if !ok {
		return errNoTrace
	}
	return nil
}
