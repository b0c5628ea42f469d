package itest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

func TestAFanOutBeyondEveryLimitOfOneStatement(t *testing.T) { // C12
	notUnderRace(t)
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		const endpoints, events = 20, 700 // with 5 values each more than PostgreSQL's 65,535 parameters
		for i := range endpoints {
			_, err := s.CreateEndpoint(ctx, endpoint(fmt.Sprintf("wh_%d", i)))
			require.NoError(t, err)
		}
		var group []webhook.EventRecord
		for i := range events {
			group = append(group, event(fmt.Sprintf("evt_%d", i)))
		}
		assert.Equal(t, endpoints*events, mustEnqueue(t, s, group...).Ready)
		stats, err := s.QueueStats(ctx, "", "")
		require.NoError(t, err)
		assert.EqualValues(t, endpoints*events, stats.Ready)
	})
}

func TestAFailedRollbackHidesNotTheFirstError(t *testing.T) { // E6
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		mustEnqueue(t, s, event("evt_1"), event("evt_2"))
		c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(10, 10)})
		require.NoError(t, err)
		require.Len(t, c.Deliveries, 2)

		errStatement, errRollback := errors.New("the statement failed"), errors.New("the rollback failed")
		var failing, began, undone atomic.Bool
		h := &hooks{
			begin: func(driver.TxOptions) error { began.Store(true); return nil },
			run: func(query string) error {
				if failing.Load() && began.Load() && regexp.MustCompile(`(?is)^\W*(insert|update|delete)\b`).MatchString(query) {
					return errStatement
				}
				return nil
			},
			rollback: func() error {
				if failing.Load() {
					undone.Store(true)
					return errRollback
				}
				return nil
			},
		}
		broken := s.hooked(t, s.dsn, h)
		failing.Store(true)
		retry := delivered(c.Deliveries[0])
		retry.Outcome, retry.Delay = webhook.OutcomeRetry, time.Hour
		retry.Attempt.StatusCode = 500
		_, err = broken.Settle(ctx, []webhook.Settlement{retry, delivered(c.Deliveries[1])})
		require.ErrorIs(t, err, errStatement)
		require.NotErrorIs(t, err, errRollback)
		require.True(t, undone.Load(), "there was a rollback, and it failed")

		failing.Store(false)
		r, err := broken.Settle(ctx, []webhook.Settlement{retry, delivered(c.Deliveries[1])})
		require.NoError(t, err, "the broken connection is not used again")
		for _, res := range r.Results {
			assert.Equal(t, webhook.SettleApplied, res.Status)
		}
		mustEnqueue(t, broken, event("evt_3"))
	})
}

func TestALockWaitThatTimesOutIsRolledBackAndRepeated(t *testing.T) { // E10
	t.Parallel()
	d := databases[2]
	s := d.store(t)
	_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
	require.NoError(t, err)
	cfg, err := mysql.ParseDSN(s.dsn)
	require.NoError(t, err)
	cfg.Params = map[string]string{"innodb_lock_wait_timeout": "1"}

	tx, q := s.begin(t) // holds the row that the other one wants
	mustEnqueue(t, q, event("evt_1"))
	var begun, undone atomic.Int64
	impatient := s.hooked(t, cfg.FormatDSN(), &hooks{
		begin: func(driver.TxOptions) error {
			if begun.Add(1) == 2 { // its first transaction has failed by now
				return tx.Commit()
			}
			return nil
		},
		rollback: func() error { undone.Add(1); return nil },
	})
	mustEnqueue(t, impatient, event("evt_1"))
	assert.EqualValues(t, 2, begun.Load())
	assert.EqualValues(t, 1, undone.Load(), "the whole transaction, not the statement alone")
	stats, err := s.QueueStats(ctx, "", "")
	require.NoError(t, err)
	assert.EqualValues(t, 1, stats.Ready, "one fan-out")
}

func TestAnOpenClaimBlocksNobody(t *testing.T) { // E11, E12
	onServers(t, func(t *testing.T, d database) {
		s := d.store(t)
		for _, id := range []string{"wh_1", "wh_2"} {
			_, err := s.CreateEndpoint(ctx, endpoint(id))
			require.NoError(t, err)
		}
		var evs []webhook.EventRecord
		for i := range 10 {
			evs = append(evs, event(fmt.Sprintf("evt_%d", i)))
		}
		mustEnqueue(t, s, evs...)

		open, release := make(chan struct{}), make(chan struct{})
		var levels sync.Map
		var once sync.Once
		slow := s.hooked(t, s.dsn, &hooks{
			begin: func(o driver.TxOptions) error { levels.Store(sql.IsolationLevel(o.Isolation), true); return nil },
			commit: func() error {
				once.Do(func() { close(open); <-release })
				return nil
			},
		})
		first := make(chan []webhook.Leased, 1)
		go func() {
			c, err := slow.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(6, 3)})
			assert.NoError(t, err)
			first <- c.Deliveries
		}()
		var got []webhook.Leased
		select {
		case <-open:
		case got = <-first: // a claim of one statement has no commit to wait at
		}
		dsn := s.dsn
		if d.dialect == sqlstore.MySQL {
			cfg, err := mysql.ParseDSN(s.dsn)
			require.NoError(t, err)
			cfg.Params = map[string]string{"innodb_lock_wait_timeout": "1"}
			dsn = cfg.FormatDSN()
		}
		other := s.hooked(t, dsn, &hooks{rollback: func() error { return errors.New("something was in the way") }})
		mustEnqueue(t, other, event("evt_new"))
		c, err := other.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(100, 100)})
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(c.Deliveries), 10, "all that the first one did not take")
		var batch []webhook.Settlement
		for _, l := range c.Deliveries {
			batch = append(batch, delivered(l))
		}
		_, err = other.Settle(ctx, batch)
		require.NoError(t, err)
		close(release)
		if got == nil {
			got = <-first
		}
		seen := map[string]bool{}
		for _, l := range append(got, c.Deliveries...) {
			assert.False(t, seen[l.DeliveryID], "claimed twice")
			seen[l.DeliveryID] = true
		}
		levels.Range(func(level, _ any) bool { return assert.Equal(t, sql.LevelReadCommitted, level) })
	})
}

func TestTimesAreTheSameWhateverTheSession(t *testing.T) { // E13
	notUnderRace(t)
	for _, d := range append(append([]database{}, databases...), others...) {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			s := d.store(t)
			_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
			require.NoError(t, err)
			ev := event("evt_1")
			ev.Timestamp = time.Date(2026, 3, 8, 2, 30, 0, 999e6, time.UTC) // an hour that New York leaves out
			mustEnqueue(t, s, ev)
			c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(1, 1)})
			require.NoError(t, err)
			require.Len(t, c.Deliveries, 1)
			assert.Equal(t, ev.Timestamp, c.Deliveries[0].Event.Timestamp)
			st := delivered(c.Deliveries[0])
			st.Outcome, st.Delay = webhook.OutcomeRetry, 1500*time.Millisecond+500*time.Microsecond
			st.Attempt.StatusCode, st.Attempt.At = 500, time.Date(2026, 10, 25, 0, 30, 0, 1000, time.UTC)
			r, err := s.Settle(ctx, []webhook.Settlement{st})
			require.NoError(t, err)
			p, err := s.ListDeliveries(ctx, webhook.DeliveryFilter{AccountID: "a", EventID: "evt_1", Limit: 1})
			require.NoError(t, err)
			assert.Equal(t, st.Delay, p.Items[0].NextAttemptAt.Sub(r.Now), "to the microsecond, never rounded")
			assert.Equal(t, time.UTC, p.Items[0].NextAttemptAt.Location())
			log, err := s.ListAttempts(ctx, "a", p.Items[0].ID)
			require.NoError(t, err)
			assert.Equal(t, st.Attempt.At, log[0].At)
			assert.WithinDuration(t, now(t, s), r.Now, time.Minute)
		})
	}
}

func TestALongTransactionsClockGoesOn(t *testing.T) { // E14
	t.Parallel()
	s := databases[1].store(t)
	_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
	require.NoError(t, err)
	tx, q := s.begin(t)
	var began float64
	require.NoError(t, tx.QueryRow("select extract(epoch from now())").Scan(&began))
	_, err = tx.Exec("select pg_sleep(0.05)")
	require.NoError(t, err)
	r := mustEnqueue(t, q, event("evt_1"))
	require.NoError(t, tx.Commit())
	assert.GreaterOrEqual(t, float64(r.Now.UnixMicro())/1e6-began, 0.05, "not the time of its beginning")
}

func TestAPoolOfDatabasesInMemoryIsRefused(t *testing.T) { // E21
	t.Parallel()
	for _, dsn := range []string{":memory:", "file::memory:", "file:x?mode=memory"} {
		db, err := sql.Open("sqlite", dsn)
		require.NoError(t, err)
		t.Cleanup(func() { _ = db.Close() })
		for connections, ok := range map[int]bool{0: false, 2: false, 1: true} {
			db.SetMaxOpenConns(connections)
			s, err := sqlstore.New(db, sqlstore.SQLite, nil)
			require.NoError(t, err, "New asks nothing")
			err = s.Migrate(ctx)
			if ok {
				require.NoError(t, err, dsn)
				continue
			}
			require.ErrorContains(t, err, "SetMaxOpenConns(1)", dsn)
		}
	}
}

// What needs a session, or leaves something behind in it, does not work behind
// PgBouncer, which gives each transaction another one.
var sessionState = regexp.MustCompile(`(?i)\b(listen|unlisten|notify|prepare|deallocate|declare|discard|pg_(try_)?advisory_(un)?lock|temp(orary)?|set\s+(session|time|search_path)|set_config)\b`)

func TestNothingNeedsASession(t *testing.T) { // E23
	t.Parallel()
	d := others[0]
	dsn := d.create(t)
	rec := &recorder{}
	db, err := openRecorded(d.driver, dsn, rec)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	s, err := sqlstore.New(db, d.dialect, nil)
	require.NoError(t, err)
	all := rec.during(func() {
		require.NoError(t, s.Migrate(ctx))
		cycle(t, s)
	})
	require.Greater(t, len(all), 10)
	for _, st := range all {
		assert.NotRegexp(t, sessionState, st.text)
	}
}

func TestRowsThatNobodyCanCleanUpYetHideNothing(t *testing.T) { // E27
	t.Parallel()
	s := databases[1].store(t)
	for i := range 4 {
		_, err := s.CreateEndpoint(ctx, endpoint(fmt.Sprintf("wh_%d", i)))
		require.NoError(t, err)
	}
	pin, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	require.NoError(t, err)
	defer func() { _ = pin.Rollback() }()
	_, err = pin.Exec("select 1 from pg_class limit 1") // from now on no dead row may go
	require.NoError(t, err)
	for round := range 10 {
		var group []webhook.EventRecord
		for i := range 100 {
			group = append(group, event(fmt.Sprintf("evt_%d_%d", round, i)))
		}
		mustEnqueue(t, s, group...)
		for left := 400; left > 0; {
			c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(100, 25)})
			require.NoError(t, err)
			require.NotEmpty(t, c.Deliveries, "%d are ready", left)
			batch := make([]webhook.Settlement, len(c.Deliveries))
			for i, l := range c.Deliveries {
				batch[i] = delivered(l)
			}
			_, err = s.Settle(ctx, batch)
			require.NoError(t, err)
			left -= len(batch)
		}
	}
	stats, err := s.QueueStats(ctx, "", "")
	require.NoError(t, err)
	assert.Equal(t, webhook.QueueStats{}, stats)
}

func TestAUserWithoutRightsToMakeTables(t *testing.T) { // E29
	t.Parallel()
	d := databases[1]
	dsn := d.create(t)
	role := randomName()
	owner := d.open(t, dsn)
	exec := func(text string) {
		_, err := owner.Exec(text)
		require.NoError(t, err, text)
	}
	exec("create role " + role + " login password '" + role + "'")
	defer exec("grant " + role + " to current_user; drop owned by " + role + "; drop role " + role)
	exec("revoke create on schema public from public")
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	u.User = url.UserPassword(role, role)
	limited, err := sqlstore.New(d.open(t, u.String()), d.dialect, nil)
	require.NoError(t, err)
	require.ErrorContains(t, limited.Migrate(ctx), "42501")
	require.Error(t, limited.Validate(ctx), "nothing was half made")

	_ = d.storeOn(t, dsn, nil) // somebody who may
	exec("grant select, insert, update, delete on all tables in schema public to " + role)
	exec("grant usage on all sequences in schema public to " + role)
	require.NoError(t, limited.Validate(ctx))
	require.NoError(t, limited.Migrate(ctx), "there is nothing left to do")
	cycle(t, limited)
}

func TestQueriesThatAreCutOffMixNothingUp(t *testing.T) { // E30
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		const n = 50
		var group []webhook.EventRecord
		for i := range n {
			group = append(group, event(fmt.Sprintf("evt_%d", i)))
		}
		mustEnqueue(t, s, group...)
		var answered, cut atomic.Int64
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 100 {
					soon, cancel := context.WithTimeout(ctx, rand.N(2*time.Millisecond))
					id := fmt.Sprintf("evt_%d", rand.N(n))
					ev, err := s.GetEvent(soon, "a", id)
					p, listErr := s.ListDeliveries(soon, webhook.DeliveryFilter{AccountID: "a", EventID: id, Limit: 10})
					cancel()
					if err != nil {
						cut.Add(1)
						assert.Equal(t, webhook.EventRecord{}, ev)
					} else {
						answered.Add(1)
						assert.Equal(t, id, ev.ID)
						assert.JSONEq(t, `{"id":"`+id+`"}`, string(ev.Data))
					}
					if listErr != nil {
						assert.Empty(t, p, "nothing that was read until then")
					}
					for _, item := range p.Items {
						assert.Equal(t, id, item.EventID)
					}
				}
			})
		}
		wg.Wait()
		t.Logf("%d answered, %d cut off", answered.Load(), cut.Load())
		c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(n, n)})
		require.NoError(t, err)
		require.Len(t, c.Deliveries, n)
		for _, l := range c.Deliveries {
			assert.JSONEq(t, `{"id":"`+l.Event.ID+`"}`, string(l.Event.Data))
		}
	})
}
