package itest

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// holding returns the tables, whatever they are, that hold the text anywhere.
func (s *testStore) holding(t testing.TB, text string) (tables []string) {
	t.Helper()
	list := map[sqlstore.Dialect]string{
		sqlstore.SQLite:   `select name from sqlite_master where type = 'table' and name not like 'sqlite%'`,
		sqlstore.Postgres: `select table_name from information_schema.tables where table_schema = current_schema()`,
		sqlstore.MySQL:    `select table_name from information_schema.tables where table_schema = database()`,
	}[s.dialect]
	var names []string
	rows, err := s.db.Query(list)
	require.NoError(t, err)
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		names = append(names, name)
	}
	require.NoError(t, rows.Err())
	require.GreaterOrEqual(t, len(names), 10)
	for _, name := range names {
		rows, err := s.db.Query("select * from " + name)
		require.NoError(t, err)
		columns, err := rows.Columns()
		require.NoError(t, err)
		found := false
		for rows.Next() {
			cells, dst := make([][]byte, len(columns)), make([]any, len(columns))
			for i := range cells {
				dst[i] = &cells[i]
			}
			require.NoError(t, rows.Scan(dst...))
			found = found || bytes.Contains(bytes.Join(cells, []byte{0}), []byte(text))
		}
		require.NoError(t, rows.Err())
		if found {
			tables = append(tables, name)
		}
	}
	return tables
}

// Personal data that is erased is in no table any more, wherever it had got to.
func TestNoTableHoldsWhatWasErased(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		const payload, config = "xXpayloadXx", "xXconfigXx"
		for i, account := range []string{"a", "b"} {
			for n := range 2 {
				c := endpoint(fmt.Sprintf("wh_%d_%d", i, n))
				r := &c.Record
				r.AccountID = account
				r.URL += "/" + config
				r.Description, r.Metadata, r.Headers = config, map[string]string{"k": config}, map[string]string{"X-K": config}
				_, err := s.CreateEndpoint(ctx, c)
				require.NoError(t, err)
			}
		}
		emit := func(id, account string) {
			ev := event(id)
			ev.AccountID, ev.Data = account, []byte(`"`+payload+`"`)
			mustEnqueue(t, s, ev)
		}
		claim := func() []webhook.Leased {
			c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(100, 100)})
			require.NoError(t, err)
			return c.Deliveries
		}
		settle := func(l webhook.Leased, o webhook.Outcome, want webhook.SettleStatus) {
			t.Helper()
			st := delivered(l)
			st.Outcome, st.Attempt.ResponseBody = o, []byte("you said "+payload)
			if o != webhook.OutcomeDelivered {
				st.Attempt.Failure, st.Attempt.StatusCode = webhook.FailureHTTPStatus, 500
			}
			r, err := s.Settle(ctx, []webhook.Settlement{st})
			require.NoError(t, err)
			require.Equal(t, want, r.Results[0].Status, "%v", r.Results[0].Err)
		}

		emit("evt_1", "a")
		for i, l := range claim() {
			settle(l, []webhook.Outcome{webhook.OutcomeRetry, webhook.OutcomeDelivered}[i], webhook.SettleApplied)
		}
		s.rewind(t, time.Hour)
		_, err := s.Maintain(ctx, webhook.MaintainRequest{Limit: 100})
		require.NoError(t, err)
		flying := claim()
		require.Len(t, flying, 1)
		require.Len(t, s.holding(t, payload), 3, "the event, an attempt and a delivery")
		require.NoError(t, s.RedactEvent(ctx, "a", "evt_1"))
		assert.Empty(t, s.holding(t, payload))
		settle(flying[0], webhook.OutcomeRetry, webhook.SettleStale)
		settle(flying[0], webhook.OutcomeDelivered, webhook.SettleApplied)
		assert.Empty(t, s.holding(t, payload), "after a late success")

		for i := range 20 {
			emit(fmt.Sprint("evt_x", i), "a")
		}
		all := claim()
		for i, l := range all {
			if i%4 < 3 {
				settle(l, []webhook.Outcome{webhook.OutcomeRetry, webhook.OutcomeExhausted, webhook.OutcomeDelivered}[i%4], webhook.SettleApplied)
			}
		}
		before := s.number(t, "select count(*) from webhook_account")
		r := webhook.AccountDelete{AccountID: "a", Limit: 7}
		for calls := 0; ; calls++ {
			require.Less(t, calls, 100)
			gone, err := s.DeleteAccount(ctx, r)
			require.NoError(t, err)
			if r.Cursor = gone.Next; r.Cursor == "" {
				break
			}
		}
		assert.Empty(t, s.holding(t, payload))
		for _, table := range []string{"event", "delivery", "queue", "attempt", "unmatched"} {
			assert.Zero(t, s.number(t, "select count(*) from webhook_"+table), table)
		}
		settle(all[3], webhook.OutcomeRetry, webhook.SettleStale)
		settle(all[7], webhook.OutcomeDelivered, webhook.SettleStale)
		assert.Empty(t, s.holding(t, payload), "after late results")
		assert.Equal(t, []string{"webhook_endpoint"}, s.holding(t, config), "that of the other account")
		r.AccountID = "b"
		_, err = s.DeleteAccount(ctx, r)
		require.NoError(t, err)
		assert.Empty(t, s.holding(t, config))

		_, err = s.DeleteAccount(ctx, webhook.AccountDelete{AccountID: "never", Limit: 10})
		require.NoError(t, err)
		assert.Equal(t, before, s.number(t, "select count(*) from webhook_account"), "asking for an account makes none")
		s.rewind(t, 2*time.Hour)
		m, err := s.Maintain(ctx, webhook.MaintainRequest{Limit: 100})
		require.NoError(t, err)
		assert.Zero(t, m.Dropped+m.Cancelled+m.Readied)
		assert.Zero(t, s.number(t, "select count(*) from webhook_lease"))
	})
}

// A claim is not told that it may not read what was erased between its lease and
// its reading: those deliveries are not its own any more.
func TestAClaimLeavesOutWhatIsErasedMeanwhile(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		for round := range 20 {
			var evs []webhook.EventRecord
			for i := range 40 {
				evs = append(evs, event(fmt.Sprintf("evt_%d_%d", round, i)))
			}
			mustEnqueue(t, s, evs...)
			done := make(chan error, 1)
			go func() {
				for _, ev := range evs {
					if err := s.RedactEvent(context.Background(), "a", ev.ID); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
			for range 10 {
				c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(15, 15)})
				require.NoError(t, err)
				for _, l := range c.Deliveries {
					assert.NoError(t, l.Err)
					assert.NotEmpty(t, l.Event.Data)
				}
			}
			require.NoError(t, <-done)
		}
	})
}
