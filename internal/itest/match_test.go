package itest

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// What one process remembers of who wants what ends with any change by another:
// an event that comes after it goes where the endpoints are then.
func TestRememberedSubscribersAreForgotten(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		other := d.storeOn(t, s.dsn, nil)
		n := 0
		emit := func() webhook.Enqueued {
			t.Helper()
			n++
			r := groups([]webhook.EventRecord{event(fmt.Sprintf("evt_%d", n))})
			r.Handoff = terms(100, 100)
			out, err := s.Enqueue(ctx, r)
			require.NoError(t, err)
			require.NoError(t, out.Errs[0])
			return out
		}
		update := func(id string, change func(*webhook.EndpointRecord)) {
			t.Helper()
			rec, err := other.GetEndpoint(ctx, "a", id)
			require.NoError(t, err)
			change(&rec)
			_, err = other.UpdateEndpoint(ctx, webhook.EndpointUpdate{Record: rec})
			require.NoError(t, err)
		}
		for _, step := range []struct {
			name         string
			change       func()
			leased, held int
		}{
			{"before there is one", func() {}, 0, 0},
			{"created", func() {
				_, err := other.CreateEndpoint(ctx, endpoint("wh_1"))
				require.NoError(t, err)
			}, 1, 0},
			{"a second one", func() {
				_, err := other.CreateEndpoint(ctx, endpoint("wh_2", "call.*"))
				require.NoError(t, err)
			}, 2, 0},
			{"subscribed to something else", func() {
				update("wh_2", func(r *webhook.EndpointRecord) { r.Events = []webhook.EventType{"agent.*"} })
			}, 1, 0},
			{"switched off", func() {
				update("wh_1", func(r *webhook.EndpointRecord) { r.Status = webhook.EndpointInactive })
			}, 0, 1},
			{"switched on", func() {
				update("wh_1", func(r *webhook.EndpointRecord) { r.Status = webhook.EndpointActive })
			}, 1, 0},
			{"gone", func() {
				_, err := other.Maintain(ctx, webhook.MaintainRequest{Limit: 100})
				require.NoError(t, err)
				c, err := other.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(1, 1)})
				require.NoError(t, err)
				require.Len(t, c.Deliveries, 1, "the one that was held")
				st := delivered(c.Deliveries[0])
				st.Outcome, st.Attempt.StatusCode, st.Attempt.Failure = webhook.OutcomeGone, 410, webhook.FailureHTTPStatus
				r, err := other.Settle(ctx, []webhook.Settlement{st})
				require.NoError(t, err)
				require.Len(t, r.Failing, 1)
			}, 0, 1},
			{"deleted", func() {
				require.NoError(t, other.DeleteEndpoint(ctx, webhook.EndpointDelete{AccountID: "a", ID: "wh_1"}))
			}, 0, 0},
		} {
			step.change()
			for range 2 { // the second one remembers
				out := emit()
				assert.Len(t, out.Leased, step.leased, step.name)
				assert.Equal(t, step.held, out.Held, step.name)
			}
		}
		// A new URL reaches what is handed off.
		update("wh_2", func(r *webhook.EndpointRecord) { r.Events = []webhook.EventType{"*"} })
		require.Len(t, emit().Leased, 1)
		update("wh_2", func(r *webhook.EndpointRecord) { r.URL = "https://example.com/moved" })
		assert.Equal(t, "https://example.com/moved", emit().Leased[0].Target.URL)
	})
}

// A transaction of the caller that reads ahead remembers who wanted what as of a
// change that is undone. Nobody may take that for current after another change.
func TestAnAccountsVersionIsGivenOutOnce(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		if d.dialect != sqlstore.MySQL {
			t.Skip("skipped: nothing reads what is not committed")
		}
		s := d.store(t)
		first, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		emitted := false
		undone := s.hooked(t, s.dsn, &hooks{run: func(query string) error {
			if emitted || !strings.Contains(query, "webhook_endpoint") || !strings.Contains(query, "for update") {
				return nil
			}
			emitted = true
			tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadUncommitted})
			require.NoError(t, err)
			mustEnqueue(t, s.Tx(tx), event("evt_1"))
			return tx.Commit()
		}})
		first.Revision = 99
		_, err = undone.UpdateEndpoint(ctx, webhook.EndpointUpdate{Record: first})
		require.ErrorIs(t, err, webhook.ErrVersionConflict)
		require.True(t, emitted)
		_, err = s.CreateEndpoint(ctx, endpoint("wh_2"))
		require.NoError(t, err)
		assert.Equal(t, 2, mustEnqueue(t, s, event("evt_2")).Ready)
	})
}

// A database that lost its last changes, by a failover or since a copy of it was
// restored, gives out the same numbers once more: nobody may take for current
// what was remembered of the lost ones.
func TestWhereRequestsGoIsForgottenWithWhatTheDatabaseLost(t *testing.T) {
	target := func(t *testing.T, s *testStore, ev webhook.EventRecord) *webhook.Target {
		t.Helper()
		mustEnqueue(t, s, ev)
		c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(1, 1)})
		require.NoError(t, err)
		require.Len(t, c.Deliveries, 1)
		return c.Deliveries[0].Target
	}
	onEach(t, func(t *testing.T, d database) {
		t.Run("a new URL", func(t *testing.T) {
			s := d.store(t)
			other := d.storeOn(t, s.dsn, nil)
			first, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
			require.NoError(t, err)
			lost, kept := first, first
			lost.URL, kept.URL = "https://example.com/lost", "https://example.com/kept"
			_, err = s.UpdateEndpoint(ctx, webhook.EndpointUpdate{Record: lost})
			require.NoError(t, err)
			require.Equal(t, lost.URL, target(t, s, event("evt_1")).URL)
			s.exec(t, fmt.Sprintf("update webhook_endpoint set url = '%s', version = %d", first.URL, first.Revision))
			_, err = other.UpdateEndpoint(ctx, webhook.EndpointUpdate{Record: kept})
			require.NoError(t, err)
			assert.Equal(t, kept.URL, target(t, s, event("evt_2")).URL)
		})
		t.Run("another account", func(t *testing.T) {
			s := d.store(t)
			other := d.storeOn(t, s.dsn, nil)
			lost, kept := endpoint("wh_lost"), endpoint("wh_kept")
			lost.Record.AccountID = "lost"
			_, err := s.CreateEndpoint(ctx, lost)
			require.NoError(t, err)
			num := s.number(t, "select num from webhook_endpoint")
			ev := event("evt_1")
			ev.AccountID = "lost"
			require.Equal(t, "lost", target(t, s, ev).AccountID)
			for _, table := range []string{"account", "endpoint", "revision", "subscription", "event", "delivery", "queue", "lease"} {
				s.exec(t, "delete from webhook_"+table)
			}
			switch d.dialect {
			case sqlstore.SQLite:
				s.exec(t, fmt.Sprintf("update sqlite_sequence set seq = %d where name = 'webhook_endpoint'", num-1))
			case sqlstore.Postgres:
				s.exec(t, fmt.Sprintf("alter table webhook_endpoint alter column num restart with %d", num))
			case sqlstore.MySQL:
				s.exec(t, fmt.Sprintf("alter table webhook_endpoint auto_increment = %d", num))
			}
			_, err = other.CreateEndpoint(ctx, kept)
			require.NoError(t, err)
			require.Equal(t, num, s.number(t, "select num from webhook_endpoint"))
			assert.Equal(t, "a", target(t, s, event("evt_2")).AccountID)
		})
	})
}
