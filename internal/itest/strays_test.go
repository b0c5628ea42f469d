package itest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// Rows whose counterpart somebody deleted by hand are survived and cleaned up;
// what belongs to others flows.
func TestRowsWithoutTheirCounterpart(t *testing.T) {
	t.Parallel()
	notUnderRace(t)
	maintain := func(t *testing.T, s *testStore) (dropped int) {
		for more := true; more; {
			m, err := s.Maintain(ctx, webhook.MaintainRequest{Limit: 100})
			require.NoError(t, err)
			dropped += m.Dropped
			more = m.More
		}
		return dropped
	}
	claim := func(t *testing.T, s *testStore) []webhook.Leased {
		c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(100, 100)})
		require.NoError(t, err)
		return c.Deliveries
	}
	settle := func(t *testing.T, s *testStore, outcome webhook.Outcome, all ...webhook.Leased) {
		batch := make([]webhook.Settlement, len(all))
		for i, l := range all {
			batch[i] = delivered(l)
			if batch[i].Outcome = outcome; outcome != webhook.OutcomeDelivered {
				batch[i].Attempt = &webhook.Attempt{ID: "att_1", At: time.Now().UTC(), Failure: webhook.FailureTimeout}
			}
		}
		out, err := s.Settle(ctx, batch)
		require.NoError(t, err)
		for i, r := range out.Results {
			assert.NotEqual(t, webhook.SettleFailed, r.Status, "%d: %v", i, r.Err)
		}
	}
	const gone = "wh_gone" // the first endpoint that claims look at
	for _, c := range []struct {
		name   string
		damage func(*testing.T, *testStore, func(text string))
		drops  bool
	}{
		{"a ready row without its endpoint", func(t *testing.T, s *testStore, exec func(string)) {
			exec("delete from webhook_endpoint where id = '" + gone + "'")
		}, true},
		{"a held row without its endpoint", func(t *testing.T, s *testStore, exec func(string)) {
			exec("update webhook_queue set state = 4 where endpoint = {gone}")
			exec("delete from webhook_endpoint where id = '" + gone + "'")
		}, true},
		{"a waiting row without its endpoint", func(t *testing.T, s *testStore, exec func(string)) {
			exec("update webhook_queue set state = 5 where endpoint = {gone}")
			exec("delete from webhook_endpoint where id = '" + gone + "'")
		}, true},
		{"a parked row without its endpoint", func(t *testing.T, s *testStore, exec func(string)) {
			exec("update webhook_queue set state = 6 where endpoint = {gone}")
			exec("delete from webhook_endpoint where id = '" + gone + "'")
		}, true},
		{"a parked row of a delivery that was attempted, without its endpoint", func(t *testing.T, s *testStore, exec func(string)) {
			exec("update webhook_queue set state = 7 where endpoint = {gone}")
			exec("delete from webhook_endpoint where id = '" + gone + "'")
		}, true},
		{"a leased delivery without its endpoint", func(t *testing.T, s *testStore, exec func(string)) {
			settleLater := claim(t, s)
			exec("delete from webhook_endpoint where id = '" + gone + "'")
			settle(t, s, webhook.OutcomeRetry, settleLater[:1]...)
		}, true},
		{"a queue row without its delivery", func(t *testing.T, s *testStore, exec func(string)) {
			exec("delete from webhook_delivery where endpoint = {gone}")
		}, true},
		{"a lease of deliveries that are gone", func(t *testing.T, s *testStore, exec func(string)) {
			all := claim(t, s)
			exec("delete from webhook_delivery where endpoint = {gone}")
			for _, l := range all {
				settle(t, s, webhook.OutcomeRetry, l)
			}
		}, false},
		{"a lease that is no list of keys", func(t *testing.T, s *testStore, exec func(string)) {
			exec("insert into webhook_lease (due, token, process, deliveries) values (1, 1, 0, 'abc')")
		}, false},
		{"queue rows whose id is no key", func(t *testing.T, s *testStore, exec func(string)) {
			if s.dialect != sqlstore.SQLite {
				t.Skip("its columns hold nothing else")
			}
			for state, many := range map[int]int{0: 40, 4: 3, 5: 3, 6: 3, 7: 3} {
				for i := range many {
					for _, id := range []string{"x'%02x'", "'short %d'", "'00112233445566778899aabbccddee%02d'"} {
						exec(fmt.Sprintf("insert into webhook_queue (id, endpoint, state, due) values ("+id+", {gone}, %d, 1)", 10*state+i, state))
					}
				}
			}
		}, true},
		{"a queue row of a delivery that is leased", func(t *testing.T, s *testStore, exec func(string)) {
			claim(t, s)
			exec("insert into webhook_queue (id, endpoint, state, due) select id, endpoint, 4, 1 from webhook_delivery where endpoint = {gone}")
		}, false},
		{"attempts without their delivery", func(t *testing.T, s *testStore, exec func(string)) {
			all := claim(t, s)
			settle(t, s, webhook.OutcomeRetry, all...)
			exec("delete from webhook_delivery where endpoint = {gone}")
		}, true},
		{"a subscription without its endpoint", func(t *testing.T, s *testStore, exec func(string)) {
			exec("insert into webhook_subscription (account, type, endpoint) values ('a', 'call.*', 77)")
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, d database) {
				s := d.store(t)
				for _, id := range []string{gone, "wh_1"} {
					_, err := s.CreateEndpoint(ctx, endpoint(id))
					require.NoError(t, err)
				}
				num := fmt.Sprint(s.number(t, "select num from webhook_endpoint where id = '"+gone+"'"))
				for i := range 3 {
					mustEnqueue(t, s, event(fmt.Sprint("evt_", i)))
				}
				c.damage(t, s, func(text string) { s.exec(t, strings.ReplaceAll(text, "{gone}", num)) })
				s = d.storeOn(t, s.dsn, nil) // one that remembers nothing
				dropped := 0
				for i := range 3 {
					mustEnqueue(t, s, event(fmt.Sprint("evt_later_", i)))
					settle(t, s, webhook.OutcomeDelivered, claim(t, s)...)
					s.rewind(t, 2*time.Hour) // the leases are over
					dropped += maintain(t, s)
				}
				settle(t, s, webhook.OutcomeDelivered, claim(t, s)...)
				done := "select count(*) from webhook_delivery d join webhook_endpoint p on p.num = d.endpoint where p.id = 'wh_1' and d.status = 2"
				assert.EqualValues(t, 6, s.number(t, done), "what goes to the other endpoint")
				assert.Zero(t, s.number(t, "select count(*) from webhook_queue"))
				s.rewind(t, 2*time.Hour)
				maintain(t, s)
				assert.Zero(t, s.number(t, "select count(*) from webhook_lease"))
				assert.Equal(t, c.drops, dropped > 0, "dropped %d", dropped)
				_, err := s.QueueStats(ctx, "", "")
				require.NoError(t, err)
				_, err = s.Maintain(ctx, webhook.MaintainRequest{Limit: 100, Retention: time.Minute})
				require.NoError(t, err)
			})
		})
	}
}

// Emit calls that share a write share no fault: what the database refuses of one
// of them, here a second delivery for an event whose row somebody deleted, is that
// one's.
func TestAGroupThatTheDatabaseRefusesFailsAlone(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		mustEnqueue(t, s, event("evt_bad"))
		s.exec(t, "delete from webhook_event where id = 'evt_bad'")
		out, err := s.Enqueue(ctx, webhook.EnqueueRequest{
			Groups: [][]webhook.EventRecord{{event("evt_1")}, {event("evt_bad")}, {event("evt_2"), event("evt_3")}}, Handoff: terms(10, 10),
		})
		require.NoError(t, err)
		require.Len(t, out.Errs, 3)
		require.NoError(t, out.Errs[0])
		require.Error(t, out.Errs[1])
		require.NoError(t, out.Errs[2])
		assert.EqualValues(t, 3, s.number(t, "select count(*) from webhook_event"))
		assert.Equal(t, 3, out.Ready+len(out.Leased))

		_, err = s.Enqueue(ctx, groups([]webhook.EventRecord{event("evt_bad")}))
		require.Error(t, err, "alone it fails as well")
	})
}

// An id that an open transaction of a caller holds makes only those wait who use it
// too, and what shares their write; everybody else gets on, and so does a repetition
// of what shared it.
func TestAnIDThatAnOpenTransactionHoldsBlocksNobodyElse(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		if d.dialect == sqlstore.SQLite {
			t.Skip("nothing else can write while a transaction is open")
		}
		s := d.store(t)
		_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		tx, q := s.begin(t)
		mustEnqueue(t, q, event("evt_held"))

		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		_, err = s.Enqueue(short, groups([]webhook.EventRecord{event("evt_held")}, []webhook.EventRecord{event("evt_1")}))
		require.Error(t, err, "it waits for the transaction")
		mustEnqueue(t, s, event("evt_1"))
		mustEnqueue(t, s, event("evt_2"))
		c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(10, 10)})
		require.NoError(t, err)
		assert.Len(t, c.Deliveries, 2)
		_, err = s.Settle(ctx, settlements(c.Deliveries))
		require.NoError(t, err)
		_, err = s.Maintain(ctx, webhook.MaintainRequest{Limit: 10, Retention: time.Nanosecond})
		require.NoError(t, err)
		require.NoError(t, tx.Commit())
		mustEnqueue(t, s, event("evt_held"))
	})
}

// Housekeeping takes the endpoints in turn: one that was switched with much held
// keeps no other waiting.
func TestAnEndpointWithMuchToReleaseKeepsNoOtherWaiting(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		switched := func(id string, status webhook.EndpointStatus) {
			r, err := s.GetEndpoint(ctx, "a", id)
			require.NoError(t, err)
			r.Status = status
			_, err = s.UpdateEndpoint(ctx, webhook.EndpointUpdate{Record: r, Reset: true})
			require.NoError(t, err)
		}
		for _, id := range []string{"wh_big", "wh_small"} {
			c := endpoint(id, webhook.EventType(id[3:]+".*"))
			_, err := s.CreateEndpoint(ctx, c)
			require.NoError(t, err)
			switched(id, webhook.EndpointInactive)
		}
		var all []webhook.EventRecord
		for i := range 300 {
			ev := event(fmt.Sprint("evt_", i))
			ev.Type = "big.one"
			all = append(all, ev)
		}
		small := event("evt_small")
		small.Type = "small.one"
		mustEnqueue(t, s, append(all, small)...)
		switched("wh_big", webhook.EndpointActive)
		switched("wh_small", webhook.EndpointActive)
		m, err := s.Maintain(ctx, webhook.MaintainRequest{Limit: 100})
		require.NoError(t, err)
		assert.True(t, m.More)
		assert.LessOrEqual(t, m.Released, 100)
		p, err := s.ListDeliveries(ctx, webhook.DeliveryFilter{AccountID: "a", EndpointID: "wh_small", Status: webhook.DeliveryPending, Limit: 10})
		require.NoError(t, err)
		assert.Len(t, p.Items, 1, "released by the first call")
		for m.More {
			m, err = s.Maintain(ctx, webhook.MaintainRequest{Limit: 100})
			require.NoError(t, err)
		}
		assert.Zero(t, s.number(t, "select count(*) from webhook_queue where state = 4"))
	})
}
