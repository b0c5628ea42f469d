package itest

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// statement is one that the store ran, with its arguments.
type statement struct {
	text string
	args []any
}

// recorder collects what a store asks of its database.
type recorder struct {
	mu   sync.Mutex
	seen []statement
	ran  atomic.Int64 // of these what the driver took, and what begins and ends transactions
}

func (r *recorder) note(query string, args []driver.NamedValue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	st := statement{text: query}
	for _, a := range args {
		st.args = append(st.args, a.Value)
	}
	r.seen = append(r.seen, st)
}

// during returns the distinct statements that run during f.
func (r *recorder) during(f func()) (all []statement) {
	r.mu.Lock()
	r.seen = nil
	r.mu.Unlock()
	f()
	r.mu.Lock()
	defer r.mu.Unlock()
	known := map[string]bool{}
	for _, st := range r.seen {
		if !known[st.text] {
			known[st.text] = true
			all = append(all, st)
		}
	}
	return all
}

// backlog is how many rows wait for a retry, and how many are due at one
// endpoint that has no free slot.
const backlog = 100_000

// fill makes a backlog: that many rows that are ready, of endpoint 1, as many
// that wait, of the endpoint that the expression of n answers, and that many
// endpoints besides, and paused ones with a parked row.
func (s *testStore) fill(t testing.TB, backlog, endpoints int, waitAt string) {
	t.Helper()
	f := s.filler()
	f.insert(t, "endpoint", endpointColumns,
		"concat('wh_other_', n), concat('b', n % 5000), '', '[]', '', '{}', '{}', '[]', 1, 1, 1, '', 0, '', 1, 1", endpoints)
	f.paused(t, endpoints, 1)
	f.insert(t, "subscription", "account, type, endpoint", "concat('b', n % 5000), '*', n + 100", endpoints)
	f.insert(t, "event", "uid, "+eventColumns(s.dialect), f.event+", "+eventValues(s.dialect), backlog)
	for state, values := range map[int]string{0: "1, 0, 1", 5: waitAt + ", 5, 9000000000000000"} {
		f.insert(t, "queue", "id, endpoint, state, due", strings.ReplaceAll(f.key, "state", fmt.Sprint(state))+", "+values, backlog)
	}
	f.insert(t, "lease", "due, token, process, deliveries", "9000000000000000, n, 0, "+eventData(s.dialect), backlog/10)
	f.insert(t, "delivery", "id, event, endpoint, status, token, ends_at, created_at", strings.ReplaceAll(f.key, "state", "2")+", "+f.event+", 1, 2, 0, 1, 1", backlog)
}

// filler writes many rows: the texts are a key of its own for each n, one that is
// found again by it, and the numbers n from 1.
type filler struct {
	s                   *testStore
	key, event, numbers string
}

func (s *testStore) filler() filler {
	f := filler{s, "randomblob(16)", "cast(printf('%016d', n) as blob)", "with recursive g(n) as (select 1 union all select n + 1 from g where n < %d) "}
	switch s.dialect {
	case sqlstore.Postgres:
		f.key, f.event, f.numbers = "gen_random_uuid()", "lpad(to_hex(n), 32, '0')::uuid", "with g as (select generate_series(1, %d) as n) "
	case sqlstore.MySQL:
		f.key, f.event = "unhex(md5(concat(n, state)))", "unhex(lpad(hex(n), 32, '0'))"
		s.db.SetMaxOpenConns(1)
		for _, name := range []string{"max_recursive_iterations", "cte_max_recursion_depth"} { // MariaDB's, MySQL's
			_, _ = s.db.Exec("set session " + name + " = 1000000")
		}
	}
	return f
}

func (f filler) insert(t testing.TB, table, columns, values string, n int) {
	t.Helper()
	with, into := fmt.Sprintf(f.numbers, n), "insert into webhook_"+table+" ("+columns+") "
	text := with + into + "select " + values + " from g"
	if f.s.dialect == sqlstore.MySQL {
		text = into + with + "select " + values + " from g"
	}
	f.s.exec(t, text)
}

const endpointColumns = "id, account, url, events, description, metadata, headers, secrets, status, version, generation, disabled_reason, disabled_at, last_failure, created_at, updated_at"

// paused makes so many endpoints that are paused, with so many parked rows each.
func (f filler) paused(t testing.TB, endpoints, each int) {
	t.Helper()
	f.insert(t, "endpoint", endpointColumns+", pauses, paused_until, probe_at",
		"concat('wh_paused_', n), concat('b', n % 5000), '', '[]', '', '{}', '{}', '[]', 5, 1, 1, '', 0, '', 1, 1, 1, 9000000000000000, 9000000000000000", endpoints)
	for i := range each {
		key := strings.NewReplacer("n, state", fmt.Sprintf("num, 'paused', %d", i)).Replace(f.key)
		f.s.exec(t, "insert into webhook_queue (id, endpoint, state, due) select "+key+", num, 6, 1 from webhook_endpoint where status = 5")
	}
}

func eventColumns(d sqlstore.Dialect) string {
	if d == sqlstore.MySQL {
		return "account, id, type, at, created_at, data, origin"
	}
	return "account, id, type, at, created_at, data"
}

func eventData(d sqlstore.Dialect) string {
	if d == sqlstore.Postgres {
		return "''::bytea"
	}
	return "''"
}

func eventValues(d sqlstore.Dialect) string {
	values := "concat('b', n % 5000), concat('evt_', n), 'call.completed', 1, 1, " + eventData(d)
	if d == sqlstore.MySQL {
		return values + ", 1"
	}
	return values
}

// Every hot statement finds its rows by an index, with the planner's default
// settings, before and after it knows the tables, beside a backlog of waiting
// rows and of rows of an endpoint without room.
func TestHotStatementsUseTheirIndexes(t *testing.T) {
	notUnderRace(t)
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		for _, id := range []string{"wh_full", "wh_1", "wh_2"} {
			_, err := s.CreateEndpoint(ctx, endpoint(id))
			require.NoError(t, err)
		}
		s.fill(t, backlog, 10_000, "1")
		rec := &recorder{}
		db, err := openRecorded(d.driver, s.dsn, rec)
		require.NoError(t, err)
		t.Cleanup(func() { _ = db.Close() })
		hot, err := sqlstore.New(db, d.dialect, nil)
		require.NoError(t, err)

		var plans strings.Builder
		var written map[string]bool // each statement once
		for round, when := range []string{"never analysed", "analysed"} {
			if round == 1 {
				s.analyse(t)
				plans.Reset()
				written = map[string]bool{}
			}
			for _, step := range hotSteps(t, hot, round) {
				fmt.Fprintf(&plans, "### %s\n\n", step.name)
				for _, st := range rec.during(step.run) {
					plan := s.explain(t, st)
					if plan == "" {
						continue
					}
					if round == 1 && !written[st.text] {
						written[st.text] = true
						fmt.Fprintf(&plans, "`%.90s …`\n\n```\n%s\n```\n\n", strings.Join(strings.Fields(st.text), " "), plan)
					}
					for _, bad := range badPlans[d.dialect].FindAllString(plan, -1) {
						t.Errorf("%s, %s: %s\n%s\n%s", step.name, when, bad, st.text, plan)
					}
				}
			}
		}
		if os.Getenv("WEBHOOK_WRITE_PLANS") != "" {
			require.NoError(t, os.WriteFile("testdata/plans/"+d.name+".md", []byte(strings.TrimSpace(plans.String())+"\n"), 0o600))
		}
	})
}

// A statement is planned once for each connection and kept. Planned while the
// tables are small, it must not read all of them once they are not.
func TestPlansKeptFromAnEmptyStoreUseTheIndexes(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		if d.dialect != sqlstore.Postgres {
			t.Skip("skipped: it keeps no plan that depends on sizes")
		}
		s := d.store(t)
		for _, id := range []string{"wh_full", "wh_1", "wh_2"} {
			_, err := s.CreateEndpoint(ctx, endpoint(id))
			require.NoError(t, err)
		}
		rec := &recorder{}
		db, err := openRecorded(d.driver, s.dsn, rec)
		require.NoError(t, err)
		t.Cleanup(func() { _ = db.Close() })
		hot, err := sqlstore.New(db, d.dialect, nil)
		require.NoError(t, err)
		conn, err := s.db.Conn(ctx)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		run := func(text string) string {
			rows, err := conn.QueryContext(ctx, text)
			require.NoError(t, err, text)
			defer func() { _ = rows.Close() }()
			var all strings.Builder
			for rows.Next() {
				var line string
				require.NoError(t, rows.Scan(&line))
				all.WriteString(line + "\n")
			}
			require.NoError(t, rows.Err())
			return all.String()
		}
		run("set plan_cache_mode = force_generic_plan")
		whole := regexp.MustCompile(`Seq Scan on webhook_(queue|lease|delivery|event|attempt|account)\b`)
		seen := 0
		for _, step := range hotSteps(t, hot, 0) {
			for _, st := range rec.during(step.run) {
				if !strings.Contains(st.text, "webhook_") {
					continue
				}
				seen++
				name := fmt.Sprintf("kept_%d", seen)
				run("prepare " + name + " as " + st.text)
				text := "explain execute " + name
				if n := len(st.args); n > 0 {
					text += "(null" + strings.Repeat(", null", n-1) + ")"
				}
				plan := run(text)
				for _, bad := range whole.FindAllString(plan, -1) {
					t.Errorf("%s: %s\n%s\n%s", step.name, bad, st.text, plan)
				}
			}
		}
		assert.Greater(t, seen, 15)
	})
}

type hotStep struct {
	name string
	run  func()
}

// hotSteps are what happens to every delivery.
func hotSteps(t *testing.T, s *sqlstore.Store, round int) []hotStep {
	var leased []webhook.Leased
	settle := func(o webhook.Outcome) func() {
		return func() {
			st := delivered(leased[0])
			leased = leased[1:]
			st.Outcome, st.Delay = o, time.Hour
			r, err := s.Settle(ctx, []webhook.Settlement{st})
			require.NoError(t, err)
			require.Equal(t, webhook.SettleApplied, r.Results[0].Status)
		}
	}
	return []hotStep{
		{"Enqueue", func() {
			for i := range 5 {
				_, err := s.Enqueue(ctx, groups([]webhook.EventRecord{event(fmt.Sprintf("evt_%d_%d", round, i))}))
				require.NoError(t, err)
			}
		}},
		{"Claim", func() {
			c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(50, 20, "wh_full"), Cursor: "1"})
			require.NoError(t, err)
			leased = c.Deliveries
			require.Len(t, leased, 10, "two endpoints with room, five events each")
		}},
		{"Settle, delivered", settle(webhook.OutcomeDelivered)},
		{"Settle, retry", settle(webhook.OutcomeRetry)},
		{"Maintain", func() {
			_, err := s.Maintain(ctx, webhook.MaintainRequest{Limit: 100})
			require.NoError(t, err)
		}},
		{"Settle, paused", func() {
			var batch []webhook.Settlement
			for _, l := range leased[:2] {
				st := timedOut(l, time.Hour)
				st.Pause, st.MaxPause = 0, 0
				batch = append(batch, st)
			}
			_, err := s.Settle(ctx, batch)
			require.NoError(t, err)
		}},
		{"Enqueue, while it is paused", func() {
			_, err := s.Enqueue(ctx, groups([]webhook.EventRecord{event(fmt.Sprintf("evt_%d_paused", round))}))
			require.NoError(t, err)
		}},
		{"Claim, a probe", func() {
			c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(50, 20, "wh_full"), Cursor: "1"})
			require.NoError(t, err)
			require.NotEmpty(t, c.Deliveries)
			st := answered(c.Deliveries[0], webhook.PaceQuick)
			_, err = s.Settle(ctx, []webhook.Settlement{st})
			require.NoError(t, err)
		}},
		{"Maintain, parking and its end", func() {
			_, err := s.Maintain(ctx, webhook.MaintainRequest{Limit: 100})
			require.NoError(t, err)
		}},
	}
}

// badPlans match what reads a whole table.
var badPlans = map[sqlstore.Dialect]*regexp.Regexp{
	sqlstore.Postgres: regexp.MustCompile(`Seq Scan on webhook_(queue|lease|delivery|event|endpoint|subscription|attempt)\b`),
	sqlstore.SQLite:   regexp.MustCompile(`SCAN (webhook_)?(queue|lease|delivery|event|endpoint|subscription|attempt|q|d|e|p|s)\b(.{0,9}$)`),
	sqlstore.MySQL:    regexp.MustCompile(`(?m)^\d+ \| (SELECT|UPDATE|DELETE|PRIMARY|SIMPLE|UNION|SUBQUERY|DEPENDENT SUBQUERY) \| (webhook_\w+|[qdpest]) \| ALL \|.*$`),
}

func (s *testStore) analyse(t testing.TB) {
	t.Helper()
	if s.dialect != sqlstore.MySQL {
		s.exec(t, "analyze")
		return
	}
	for _, table := range []string{"queue", "delivery", "event", "endpoint", "subscription"} {
		rows, err := s.db.Query("analyze table webhook_" + table)
		require.NoError(t, err)
		require.NoError(t, rows.Close())
	}
}

// explain returns the plan of a statement, which is rolled back.
func (s *testStore) explain(t testing.TB, st statement) string {
	t.Helper()
	word := map[sqlstore.Dialect]string{sqlstore.Postgres: "explain ", sqlstore.MySQL: "explain ", sqlstore.SQLite: "explain query plan "}[s.dialect]
	if !regexp.MustCompile(`(?i)^\W*(select|insert|update|delete|with)\b`).MatchString(st.text) || !strings.Contains(st.text, "webhook_") {
		return ""
	}
	rows, err := s.db.QueryContext(ctx, word+st.text, st.args...)
	require.NoError(t, err, st.text)
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	require.NoError(t, err)
	var plan strings.Builder
	for rows.Next() {
		values := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		require.NoError(t, rows.Scan(into...))
		for i, v := range values {
			switch {
			case s.dialect == sqlstore.SQLite && i < len(values)-1:
			case i > 0 && s.dialect == sqlstore.MySQL:
				plan.WriteString(" | " + v.String)
			default:
				plan.WriteString(v.String)
			}
		}
		plan.WriteByte('\n')
	}
	require.NoError(t, rows.Err())
	return strings.TrimRight(plan.String(), "\n")
}
