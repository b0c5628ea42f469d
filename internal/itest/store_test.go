package itest

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

var ctx = context.Background()

func endpoint(id string, events ...webhook.EventType) webhook.EndpointCreate {
	if len(events) == 0 {
		events = []webhook.EventType{"*"}
	}
	return webhook.EndpointCreate{Record: webhook.EndpointRecord{
		Endpoint: webhook.Endpoint{ID: id, AccountID: "a", URL: "https://example.com/" + id, Events: events, Status: webhook.EndpointActive},
		Secrets:  []webhook.EndpointSecret{{Secret: webhook.NewSecret()}},
	}}
}

func event(id string) webhook.EventRecord {
	return webhook.EventRecord{
		ID: id, AccountID: "a", Type: webhook.EventCallCompleted,
		Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Data: []byte(`{"id":"` + id + `"}`),
	}
}

func groups(g ...[]webhook.EventRecord) webhook.EnqueueRequest {
	return webhook.EnqueueRequest{Groups: g}
}

// room is a [webhook.Room] with so many slots for each endpoint, and another number
// for those that are named.
type room struct {
	each  int
	named map[string]int
	taken map[string]int
	asked []webhook.Candidate
}

// Take implements [webhook.Room].
func (r *room) Take(c webhook.Candidate, n int) int {
	free, named := r.named[c.EndpointID]
	if !named {
		free = r.each
	}
	r.asked = append(r.asked, c)
	n = max(0, min(n, free-r.taken[c.EndpointID]))
	r.taken[c.EndpointID] += n
	return n
}

// Reset implements [webhook.Room].
func (r *room) Reset() { clear(r.taken); r.asked = nil }

// terms are good for one call.
func terms(n, each int, full ...string) webhook.LeaseTerms {
	r := &room{each: each, named: map[string]int{}, taken: map[string]int{}}
	for _, id := range full {
		r.named[id] = 0
	}
	return webhook.LeaseTerms{Max: n, Lease: time.Hour, Room: r}
}

func mustEnqueue(t testing.TB, q webhook.Enqueuer, evs ...webhook.EventRecord) webhook.Enqueued {
	t.Helper()
	r, err := q.Enqueue(ctx, groups(evs))
	require.NoError(t, err)
	require.NoError(t, r.Errs[0])
	return r
}

func delivered(l webhook.Leased) webhook.Settlement {
	return webhook.Settlement{
		DeliveryID: l.DeliveryID, Token: l.Token, EndpointID: l.Target.EndpointID, Generation: l.Target.Generation,
		Outcome: webhook.OutcomeDelivered, Attempt: &webhook.Attempt{ID: "att_1", At: time.Now().UTC(), StatusCode: 200},
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	file, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "a.db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = file.Close() })
	pg, err := sql.Open("pgx", "postgres://127.0.0.1:1/nowhere")
	require.NoError(t, err)
	t.Cleanup(func() { _ = pg.Close() })

	for _, c := range []struct {
		name    string
		db      *sql.DB
		dialect sqlstore.Dialect
		opts    *sqlstore.Options
		want    string
	}{
		{"no database", nil, sqlstore.SQLite, nil, "db is nil"},
		{"no dialect", file, 0, nil, "dialect must be"},
		{"the dialect of another driver", file, sqlstore.Postgres, nil, "the driver of db, modernc.org/sqlite, is of SQLite"},
		{"the dialect of another server", pg, sqlstore.MySQL, nil, "is of PostgreSQL"},
		{"a prefix that is SQL", file, sqlstore.SQLite, &sqlstore.Options{TablePrefix: "a; drop table b; --"}, "TablePrefix"},
		{"a prefix that is too long", file, sqlstore.SQLite, &sqlstore.Options{TablePrefix: fmt.Sprintf("a%032d", 0)}, "TablePrefix"},
		{"a schema where there is none", file, sqlstore.SQLite, &sqlstore.Options{Schema: "s"}, "Schema"},
		{"a schema that is SQL", pg, sqlstore.Postgres, &sqlstore.Options{Schema: `s"."`}, "Schema"},
		{"a key of the wrong size", file, sqlstore.SQLite, &sqlstore.Options{Keys: sqlstore.SingleKey(make([]byte, 31))}, "32 bytes"},
		{"a key id twice", file, sqlstore.SQLite, &sqlstore.Options{Keys: append(sqlstore.SingleKey(make([]byte, 32)), sqlstore.SingleKey(make([]byte, 32))...)}, "twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := sqlstore.New(c.db, c.dialect, c.opts)
			require.ErrorContains(t, err, c.want)
			assert.ErrorIs(t, err, webhook.ErrInvalidArgument)
		})
	}
}

// Each connection of the pool would have a database of its own.
func TestAPoolOfDatabasesInMemoryIsRefusedAtItsFirstUse(t *testing.T) {
	t.Parallel()
	memory, err := sql.Open("sqlite", ":memory:")
	require.NoError(t, err)
	t.Cleanup(func() { _ = memory.Close() })
	s, err := sqlstore.New(memory, sqlstore.SQLite, nil)
	require.NoError(t, err, "New asks nothing")
	for call, err := range useEach(s, memory) {
		require.ErrorContains(t, err, "SetMaxOpenConns(1)", call)
		assert.ErrorIs(t, err, webhook.ErrInvalidArgument, call)
	}
}

func TestNewAsksNothingOfAServer(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("pgx", "postgres://127.0.0.1:1/nowhere")
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	s, err := sqlstore.New(db, sqlstore.Postgres, nil)
	require.NoError(t, err, "New works while the server is down")
	_, err = s.Enqueue(ctx, groups([]webhook.EventRecord{event("evt_1")}))
	require.Error(t, err)
	require.Error(t, s.Validate(ctx))
}

func TestOneConnectionInMemoryIsEnough(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite", ":memory:")
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	s, err := sqlstore.New(db, sqlstore.SQLite, nil)
	require.NoError(t, err)
	require.NoError(t, s.Migrate(ctx))
	cycle(t, s)
}

// cycle takes one event through the store.
func cycle(t testing.TB, s webhook.Store) {
	t.Helper()
	_, err := s.CreateEndpoint(ctx, endpoint("wh_cycle"))
	require.NoError(t, err)
	mustEnqueue(t, s, event("evt_cycle"))
	c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(10, 10)})
	require.NoError(t, err)
	require.Len(t, c.Deliveries, 1)
	r, err := s.Settle(ctx, []webhook.Settlement{delivered(c.Deliveries[0])})
	require.NoError(t, err)
	require.Equal(t, webhook.SettleApplied, r.Results[0].Status)
	_, err = s.Maintain(ctx, webhook.MaintainRequest{Limit: 100, Retention: time.Hour})
	require.NoError(t, err)
	log, err := s.ListAttempts(ctx, "a", c.Deliveries[0].DeliveryID)
	require.NoError(t, err)
	require.Len(t, log, 1)
	_, err = s.Redeliver(ctx, "a", c.Deliveries[0].DeliveryID)
	require.NoError(t, err)
	_, err = s.Replay(ctx, webhook.ReplayRequest{AccountID: "a", EndpointID: "wh_cycle", Limit: 10})
	require.NoError(t, err)
	require.NoError(t, s.DeleteEndpoint(ctx, webhook.EndpointDelete{AccountID: "a", ID: "wh_cycle"}))
	_, err = s.Maintain(ctx, webhook.MaintainRequest{Limit: 100})
	require.NoError(t, err)
}

// E24: the store never needs a second connection while it holds one.
func TestAPoolOfOneIsEnough(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		s.db.SetMaxOpenConns(1)
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			cycle(t, s)
		}()
		select {
		case <-done:
		case <-ctx.Done():
			t.Fatal("the store waits for a second connection")
		}
	})
}

func TestPrefixAndSchema(t *testing.T) {
	notUnderRace(t)
	onEach(t, func(t *testing.T, d database) {
		dsn := d.create(t)
		opts := &sqlstore.Options{TablePrefix: "crm_hooks_"}
		if d.dialect == sqlstore.Postgres {
			run(t, d.driver, dsn, `create schema "order"`)
			opts.Schema = "order"
		}
		s := d.storeOn(t, dsn, opts)
		require.NoError(t, s.Validate(ctx))
		require.NoError(t, s.Migrate(ctx), "a second time")
		cycle(t, s)

		plain := d.storeOn(t, dsn, nil)
		_, err := plain.GetEvent(ctx, "a", "evt_cycle")
		assert.ErrorIs(t, err, webhook.ErrNotFound, "two sets of tables in one database know nothing of each other")
	})
}

func TestMySQLDatabaseAsSchema(t *testing.T) {
	t.Parallel()
	d := databases[2]
	here, there := d.create(t), createMySQL(t)
	var name string
	require.NoError(t, d.open(t, there).QueryRow("select database()").Scan(&name))
	s := d.storeOn(t, here, &sqlstore.Options{Schema: name})
	cycle(t, s)
	require.NoError(t, s.Validate(ctx))
}

func TestBytesSurvive(t *testing.T) {
	t.Parallel()
	notUnderRace(t)
	big := make([]byte, 1<<20)
	for i := range big {
		big[i] = byte(i * 7)
	}
	payloads := map[string][]byte{
		"evt_order": []byte(`{"b":1,"a":2,"b":3,"n":12345678901234567890.10,"e":"\u0000\u2028é"}`),
		"evt_utf8":  {'"', 0xff, 0xfe, 0x00, '\'', '\\', '"'},
		"evt_empty": {},
		"evt_big":   big,
	}
	all := append(append([]database{}, databases...), others...)
	for _, d := range all {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			s := d.store(t)
			_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
			require.NoError(t, err)
			var group []webhook.EventRecord
			for id, data := range payloads {
				ev := event(id)
				ev.Data = data
				group = append(group, ev)
			}
			mustEnqueue(t, s, group...)
			c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(10, 10)})
			require.NoError(t, err)
			require.Len(t, c.Deliveries, len(payloads))
			for _, l := range c.Deliveries {
				assert.True(t, string(payloads[l.Event.ID]) == string(l.Event.Data), l.Event.ID)
			}
		})
	}
}
