package itest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// E7, E20: a database that has become read-only says so, at every write.
func TestAReadOnlyDatabaseIsALoudError(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		mustEnqueue(t, s, event("evt_1"))
		ro, err := sqlstore.New(d.open(t, readOnly(t, s)), d.dialect, nil)
		require.NoError(t, err)
		require.Error(t, ro.Validate(ctx), "it could not deliver")
		_, err = ro.GetEndpoint(ctx, "a", "wh_1")
		require.NoError(t, err, "reading goes on")

		_, err = ro.Enqueue(ctx, groups([]webhook.EventRecord{event("evt_2")}))
		require.Error(t, err)
		assert.NotErrorIs(t, err, webhook.ErrUnknownOutcome)
		_, err = ro.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(1, 1)})
		require.Error(t, err)
		_, err = ro.CreateEndpoint(ctx, endpoint("wh_2"))
		require.Error(t, err)

		c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(10, 10)})
		require.NoError(t, err)
		require.Len(t, c.Deliveries, 1, "nothing changed")
	})
}

func readOnly(t testing.TB, s *testStore) string {
	switch s.dialect {
	case sqlstore.SQLite:
		return "file:" + strings.Split(s.dsn, "?")[0] + "?mode=ro"
	case sqlstore.Postgres:
		u, err := url.Parse(s.dsn)
		require.NoError(t, err)
		q := u.Query()
		q.Set("default_transaction_read_only", "on")
		u.RawQuery = q.Encode()
		return u.String()
	}
	cfg, err := mysql.ParseDSN(s.dsn)
	require.NoError(t, err)
	name := "transaction_read_only"
	var n int
	if s.db.QueryRow("select count(*) from information_schema.session_variables where variable_name = 'tx_read_only'").Scan(&n) == nil && n > 0 {
		name = "tx_read_only" // MariaDB before 11.1
	}
	cfg.Params = map[string]string{name: "1"}
	return cfg.FormatDSN()
}

// E19: what does not fit is refused whole, and everything goes on when there is
// room again.
func TestAFullDiskLosesNothing(t *testing.T) {
	t.Parallel()
	d := databases[0]
	s := d.store(t)
	s.db.SetMaxOpenConns(1)
	_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
	require.NoError(t, err)
	s.exec(t, fmt.Sprintf("pragma max_page_count = %d", s.number(t, "pragma page_count")+40))
	stored := 0
	for ; stored < 1000; stored++ {
		big := event(fmt.Sprintf("evt_%d", stored))
		big.Data = []byte(`"` + strings.Repeat("x", 4096) + `"`)
		var r webhook.Enqueued
		if r, err = s.Enqueue(ctx, groups([]webhook.EventRecord{big})); err != nil {
			break
		}
		require.NoError(t, r.Errs[0])
	}
	require.ErrorContains(t, err, "full")
	assert.NotErrorIs(t, err, webhook.ErrUnknownOutcome)
	assert.EqualValues(t, stored, s.number(t, "select count(*) from webhook_event"))
	assert.EqualValues(t, stored, s.number(t, "select count(*) from webhook_queue"))

	s.exec(t, "pragma max_page_count = 1000000")
	mustEnqueue(t, s, event("evt_after"))
	c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(2000, 2000)})
	require.NoError(t, err)
	assert.Len(t, c.Deliveries, stored+1)
	var word string
	require.NoError(t, s.db.QueryRow("pragma integrity_check").Scan(&word))
	assert.Equal(t, "ok", word)
}

// E18: another writer is waited for, without any busy timeout, until the context
// ends.
func TestABusyFileIsWaitedFor(t *testing.T) {
	t.Parallel()
	d := databases[0]
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			dsn := strings.Split(d.create(t), "?")[0] + "?_pragma=busy_timeout(0)&_pragma=journal_mode(" + mode + ")"
			s := d.storeOn(t, dsn, nil)
			_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
			require.NoError(t, err)
			other, err := d.open(t, dsn).Conn(ctx)
			require.NoError(t, err)
			defer func() { _ = other.Close() }()

			_, err = other.ExecContext(ctx, "begin immediate")
			require.NoError(t, err)
			soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			_, err = s.Enqueue(soon, groups([]webhook.EventRecord{event("evt_1")}))
			require.Error(t, err, "the writer did not go away")

			done := make(chan error, 1)
			go func() {
				_, err := s.Enqueue(ctx, groups([]webhook.EventRecord{event("evt_2")}))
				done <- err
			}()
			// Without WAL a commit needs the file for itself, and the other one
			// has no busy timeout either.
			for err = errors.New("open"); err != nil; _, err = other.ExecContext(ctx, "commit") {
			}
			require.NoError(t, <-done)
			assert.EqualValues(t, 1, s.number(t, "select count(*) from webhook_event"))
		})
	}
}

// In a caller's transaction nothing is repeated: the driver's error comes back,
// wrapped, and the caller decides.
func TestTheDriversErrorReachesTheCallerOfEmitTx(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		if d.dialect == sqlstore.SQLite {
			t.Skip("skipped: there is one writer")
		}
		s := d.store(t)
		_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		first, q1 := s.begin(t)
		mustEnqueue(t, q1, event("evt_1"))

		conn, err := s.db.Conn(ctx)
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		limit := "set lock_timeout = 200"
		if d.dialect == sqlstore.MySQL {
			limit = "set innodb_lock_wait_timeout = 1"
		}
		_, err = conn.ExecContext(ctx, limit)
		require.NoError(t, err)
		second, err := conn.BeginTx(ctx, nil)
		require.NoError(t, err)
		_, err = s.Tx(second).Enqueue(ctx, groups([]webhook.EventRecord{event("evt_1")}))
		require.Error(t, err)
		var pg *pgconn.PgError
		var my *mysql.MySQLError
		switch {
		case errors.As(err, &pg):
			assert.Equal(t, "55P03", pg.Code)
		case errors.As(err, &my):
			assert.EqualValues(t, 1205, my.Number)
		default:
			t.Fatalf("%T is no error of the driver: %v", err, err)
		}
		require.NoError(t, second.Rollback())
		require.NoError(t, first.Commit())
		assert.EqualValues(t, 1, s.number(t, "select count(*) from webhook_delivery"))
	})
}

// E8: a serialization failure of a caller's transaction is the caller's.
func TestASnapshotThatIsTooOldIsSaid(t *testing.T) {
	t.Parallel()
	s := databases[1].store(t)
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(ctx, "select 1 from webhook_event")
	require.NoError(t, err)
	mustEnqueue(t, s, event("evt_1"))
	_, err = s.Tx(tx).Enqueue(ctx, groups([]webhook.EventRecord{event("evt_1")}))
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	assert.Equal(t, "40001", pg.Code)
}

// E5: a call under an ended context changes nothing.
func TestAnEndedContextChangesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		ended, cancel := context.WithCancel(ctx)
		cancel()
		_, err = s.Enqueue(ended, groups([]webhook.EventRecord{event("evt_1")}))
		require.ErrorIs(t, err, context.Canceled)
		assert.Zero(t, s.number(t, "select count(*) from webhook_event"))
		mustEnqueue(t, s, event("evt_1"))
	})
}

// What a column cannot hold is refused with its name, on every database alike,
// and spoils no other group.
func TestWhatDoesNotFitIsRefusedByName(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		long, nul := event("evt_1"), event("evt_2")
		long.AccountID = strings.Repeat("a", 256)
		nul.AccountID = "a\x00b"
		r, err := s.Enqueue(ctx, groups([]webhook.EventRecord{long}, []webhook.EventRecord{nul}, []webhook.EventRecord{event("evt_3")}))
		require.NoError(t, err)
		require.ErrorContains(t, r.Errs[0], "events[0].AccountID")
		require.ErrorIs(t, r.Errs[1], webhook.ErrInvalidArgument)
		require.NoError(t, r.Errs[2])
		c := endpoint("wh_1")
		c.Record.Description = "a\xffb"
		_, err = s.CreateEndpoint(ctx, c)
		require.ErrorIs(t, err, webhook.ErrInvalidArgument)
	})
}

// A settlement that the database refuses does not lose the others.
func TestOneRefusedSettlementLosesNoOther(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		mustEnqueue(t, s, event("evt_1"), event("evt_2"), event("evt_3"))
		c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(10, 10)})
		require.NoError(t, err)
		require.Len(t, c.Deliveries, 3)
		var batch []webhook.Settlement
		// A row that is there already, as after a restore that went wrong.
		bad := c.Deliveries[1]
		for _, l := range c.Deliveries {
			st := delivered(l)
			if l.DeliveryID == bad.DeliveryID {
				st.Outcome, st.Attempt.StatusCode, st.Attempt.Failure = webhook.OutcomeRetry, 500, webhook.FailureHTTPStatus
			}
			batch = append(batch, st)
		}
		id := strings.TrimPrefix(bad.DeliveryID, "dlv_")
		literal := map[sqlstore.Dialect]string{sqlstore.Postgres: "'" + id + "'", sqlstore.MySQL: "x'" + id + "'", sqlstore.SQLite: "x'" + id + "'"}[d.dialect]
		s.exec(t, "insert into webhook_attempt (delivery, number, id, at, duration, status, failure, detail, revision, location, body) values ("+literal+", 1, '', 1, 1, 1, '', '', 1, '', '')")
		r, err := s.Settle(ctx, batch)
		require.NoError(t, err)
		for i, l := range c.Deliveries {
			if l.DeliveryID == bad.DeliveryID {
				assert.Equal(t, webhook.SettleFailed, r.Results[i].Status)
				assert.Error(t, r.Results[i].Err)
				continue
			}
			assert.Equal(t, webhook.SettleApplied, r.Results[i].Status)
		}
		assert.EqualValues(t, 2, s.number(t, "select count(*) from webhook_delivery where status = 2"))
	})
}

// A delivery that is held by a transaction which began before its endpoint was
// enabled is released all the same.
func TestALateHeldDeliveryIsReleased(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		if d.dialect == sqlstore.SQLite {
			t.Skip("skipped: there is one writer")
		}
		s := d.store(t)
		rec, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		flip := func(to webhook.EndpointStatus) {
			rec.Status = to
			rec, err = s.UpdateEndpoint(ctx, webhook.EndpointUpdate{Record: rec, Reset: true})
			require.NoError(t, err)
		}
		maintain := func() {
			for more := true; more; {
				m, err := s.Maintain(ctx, webhook.MaintainRequest{Limit: 100})
				require.NoError(t, err)
				more = m.More
			}
		}
		flip(webhook.EndpointInactive)
		tx, q := s.begin(t)
		assert.Equal(t, 1, mustEnqueue(t, q, event("evt_held")).Held)
		flip(webhook.EndpointActive)
		maintain()
		tx2, q2 := s.begin(t)
		assert.Equal(t, 1, mustEnqueue(t, q2, event("evt_ready")).Ready)
		require.NoError(t, tx.Commit())
		maintain()
		c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(10, 10)})
		require.NoError(t, err)
		require.Len(t, c.Deliveries, 1, "held by a late commit, and released")

		flip(webhook.EndpointInactive)
		maintain()
		require.NoError(t, tx2.Commit())
		c, err = s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(10, 10)})
		require.NoError(t, err)
		assert.Empty(t, c.Deliveries, "ready by a late commit, but the endpoint is inactive")
		assert.Zero(t, c.NextIn, "Maintain has something to do")
		maintain()
		assert.EqualValues(t, 1, s.number(t, "select count(*) from webhook_queue where state = 4"))
	})
}
