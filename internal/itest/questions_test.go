package itest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// What matches one of a hundred thousand rows is on one page, found by a handful of
// statements that read no whole table, beside as many rows of others.
func TestRareRowsAreFoundOnOnePage(t *testing.T) {
	notUnderRace(t)
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		for _, id := range []string{"wh_full", "wh_1"} {
			_, err := s.CreateEndpoint(ctx, endpoint(id))
			require.NoError(t, err)
		}
		s.fill(t, backlog, 1_000, "1")
		s.exec(t, "update webhook_event set account = 'a' where id <> 'evt_50000'")
		s.exec(t, "update webhook_event set account = 'a', type = 'credits.low' where id = 'evt_50000'")
		s.exec(t, "update webhook_delivery set endpoint = (select num from webhook_endpoint where id = 'wh_full')")
		number := "cast(substr(id, 5) as bigint)"
		if d.dialect == sqlstore.MySQL {
			number = "cast(substr(id, 5) as signed)"
		}
		s.exec(t, "update webhook_event set created_at = "+number)
		s.exec(t, `insert into webhook_attempt (delivery, number, id, at, duration, status, failure, detail, revision, location, body)
			select id, 1, 'att_1', 1, 1, 500, 'timeout', '', 1, '', `+eventData(d.dialect)+` from webhook_delivery`)
		rare := s.rareDelivery(t)
		failed := map[sqlstore.Dialect]string{sqlstore.Postgres: ", failed = 1"}[d.dialect]
		s.exec(t, "update webhook_delivery set status = 3"+failed+" where event in (select uid from webhook_event where id = 'evt_50000')")
		s.analyse(t)
		rec := &recorder{}
		db, err := openRecorded(d.driver, s.dsn, rec)
		require.NoError(t, err)
		t.Cleanup(func() { _ = db.Close() })
		q, err := sqlstore.New(db, d.dialect, nil)
		require.NoError(t, err)

		types := []webhook.EventType{"credits.*"}
		lists := map[string]webhook.DeliveryFilter{
			"status, endpoint": {EndpointID: "wh_full", Status: webhook.DeliveryExhausted},
			"status, account":  {Status: webhook.DeliveryExhausted},
			"type, endpoint":   {EndpointID: "wh_full", Types: types},
			"type, account":    {Types: types},
		}
		for what, f := range lists {
			f.AccountID, f.Limit = "a", 20
			s.oneStep(t, rec, what, func() {
				p, err := q.ListDeliveries(ctx, f)
				require.NoError(t, err)
				if assert.Len(t, p.Items, 1, what) {
					assert.Equal(t, rare, p.Items[0].EventID, what)
				}
				assert.Empty(t, p.Next, what)
			})
		}
		s.oneStep(t, rec, "type, a short search", func() {
			f := lists["type, endpoint"]
			f.AccountID, f.Limit, f.MaxScan = "a", 20, 500
			p, err := q.ListDeliveries(ctx, f)
			require.NoError(t, err)
			assert.Empty(t, p.Items, "it is further back")
			assert.NotEmpty(t, p.Next)
		})
		s.oneStep(t, rec, "events by type", func() {
			p, err := q.ListEvents(ctx, webhook.EventFilter{AccountID: "a", Types: types, Limit: 20})
			require.NoError(t, err)
			if assert.Len(t, p.Items, 1) {
				assert.Equal(t, rare, p.Items[0].ID)
			}
			assert.Empty(t, p.Next)
		})
		s.oneStep(t, rec, "all events", func() {
			p, err := q.ListEvents(ctx, webhook.EventFilter{AccountID: "a", Limit: 20})
			require.NoError(t, err)
			assert.Len(t, p.Items, 20)
		})
		s.oneStep(t, rec, "failing endpoints", func() {
			_, err := q.FailingEndpoints(ctx, webhook.FailingQuery{Limit: 20})
			require.NoError(t, err)
		})
		s.oneStep(t, rec, "last attempts", func() {
			_, err := q.LastAttempts(ctx, "a", "wh_full", 20)
			require.NoError(t, err)
		})
	})
}

// rareDelivery prepares the rows that fill made, and returns the id of the rare event.
func (s *testStore) rareDelivery(t *testing.T) string {
	t.Helper()
	if s.dialect == sqlstore.SQLite { // fill goes past the store, which lists late
		s.exec(t, "insert or ignore into webhook_history (endpoint, delivery) select endpoint, id from webhook_delivery")
		s.exec(t, "update webhook_history_end set delivery = (select max(id) from webhook_delivery)")
		s.exec(t, "insert or ignore into webhook_timeline (account, created_at, event) select account, created_at, uid from webhook_event")
		s.exec(t, "update webhook_timeline_end set num = (select max(num) from webhook_event)")
	}
	return "evt_50000"
}

// oneStep runs a call twice and checks the statements of the second: the first prepares
// them.
func (s *testStore) oneStep(t *testing.T, rec *recorder, what string, run func()) {
	t.Helper()
	run()
	start := time.Now()
	statements := rec.during(run)
	took := time.Since(start)
	t.Logf("%s: %d statements, %v", what, rec.count(), took.Round(time.Millisecond))
	most := 9
	if s.dialect == sqlstore.MySQL { // its driver prepares each first
		most *= 2
	}
	assert.LessOrEqual(t, rec.count(), most, what)
	for _, st := range statements {
		plan := s.explain(t, st)
		for _, bad := range badPlans[s.dialect].FindAllString(plan, -1) {
			t.Errorf("%s: %s\n%s\n%s", what, bad, fmt.Sprint(strings.Fields(st.text)), plan)
		}
	}
}

// SQLite's table of events by time is brought up to date late. What is in it, what is
// not, and what got the number of an event that was deleted are all found, by the same
// process and by others.
func TestEventsAreFoundBeforeAndAfterTheyAreListed(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		var want []string
		check := func(q *sqlstore.Store, what string) {
			t.Helper()
			f := webhook.EventFilter{AccountID: "a", Limit: 2}
			var got []string
			for {
				p, err := q.ListEvents(ctx, f)
				require.NoError(t, err, what)
				for _, e := range p.Items {
					got = append(got, e.ID)
				}
				if f.Cursor = p.Next; f.Cursor == "" {
					break
				}
			}
			assert.Equal(t, want, got, what)
		}
		emit := func(q *sqlstore.Store, id string) {
			t.Helper()
			out, err := q.Enqueue(ctx, groups([]webhook.EventRecord{event(id)}))
			require.NoError(t, err)
			require.NoError(t, out.Errs[0])
			want = append([]string{id}, want...)
		}
		process := func() *sqlstore.Store { // a new one adds to the table with its first event
			q, err := sqlstore.New(s.db, d.dialect, nil)
			require.NoError(t, err)
			return q
		}
		for i := range 3 {
			q := process()
			emit(q, fmt.Sprintf("evt_%d_listed", i))
			emit(q, fmt.Sprintf("evt_%d_late", i))
			check(q, "in the process that stored them")
			check(s.Store, "in another one")
		}
		if d.dialect == sqlstore.SQLite {
			assert.EqualValues(t, 5, s.number(t, "select count(*) from webhook_timeline"))
		}
		r := webhook.AccountDelete{AccountID: "a", Limit: 100}
		q := process()
		emit(q, "evt_last")
		_, err := q.DeleteAccount(ctx, r)
		require.NoError(t, err)
		want = nil
		check(q, "after they were deleted")
		if d.dialect == sqlstore.SQLite {
			assert.Zero(t, s.number(t, "select count(*) from webhook_timeline"))
		}
		for i := range 4 {
			emit(q, fmt.Sprintf("evt_%d_again", i))
			check(q, "with the number of one that was deleted")
		}
	})
}

// The cursor of a replay, which a tenant can see, names endpoints of its own account by
// their ids: the number of a row would tell how many endpoints there are.
func TestTheCursorOfAReplayTellsNoNumbers(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		mustEnqueue(t, s, event("evt_1"), event("evt_2"))
		_, err = s.CreateEndpoint(ctx, endpoint("wh_2"))
		require.NoError(t, err)
		r := webhook.ReplayRequest{AccountID: "a", EndpointID: "wh_2", Limit: 1}
		n, named := 0, false
		for {
			out, err := s.Replay(ctx, r)
			require.NoError(t, err)
			n += out.Count
			assert.Regexp(t, `^([oeu]_(0|\d{16})_[0-9a-f]{32}:(wh_1)?)?$`, out.Next)
			named = named || strings.Contains(out.Next, "wh_1")
			if r.Cursor = out.Next; r.Cursor == "" {
				break
			}
		}
		assert.Equal(t, 2, n)
		assert.True(t, named)
		for _, bad := range []string{"e_0_00000000000000000000000000000000:wh_none", "e_0_00000000000000000000000000000000:", "o_0_00:", "x_0_00000000000000000000000000000000:", "o_0_00000000000000000000000000000000:wh_1"} {
			r.Cursor = bad
			_, err := s.Replay(ctx, r)
			assert.ErrorIs(t, err, webhook.ErrInvalidArgument, bad)
		}
	})
}
