package itest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// SQLite brings the history of an endpoint up to date every so often: what is in
// it, what is behind it and what came late all belong to the endpoint, once each
// and in order, for whoever lists, replays and purges.
func TestSQLitesHistoryIsWholeAtAnyTime(t *testing.T) {
	t.Parallel()
	notUnderRace(t)
	d := databases[0]
	s := d.store(t)
	history := func() int64 { return s.number(t, "select count(*) from webhook_history") }
	total, emitted := 0, 0
	emit := func(to webhook.Store, events, endpoints int) {
		t.Helper()
		for events > 0 {
			evs := make([]webhook.EventRecord, min(100, events))
			for i := range evs {
				evs[i] = event(fmt.Sprintf("evt_%d", emitted))
				emitted++
			}
			mustEnqueue(t, to, evs...)
			events -= len(evs)
			total += len(evs) * endpoints
		}
	}
	listed := func(id string, want int) {
		t.Helper()
		f := webhook.DeliveryFilter{AccountID: "a", EndpointID: id, Limit: 700}
		seen, last := 0, ""
		for {
			p, err := s.ListDeliveries(ctx, f)
			require.NoError(t, err)
			for _, dl := range p.Items {
				require.Equal(t, id, dl.EndpointID)
				require.True(t, last == "" || dl.ID < last, "newest first, each once: %s after %s", dl.ID, last)
				last = dl.ID
				seen++
			}
			if f.Cursor = p.Next; p.Next == "" {
				break
			}
		}
		assert.Equal(t, want, seen, "deliveries of %s", id)
	}
	for _, id := range []string{"wh_1", "wh_2"} {
		_, err := s.CreateEndpoint(ctx, endpoint(id))
		require.NoError(t, err)
	}

	emit(s, 100, 2) // the first of a process takes over what others left
	assert.EqualValues(t, total, history())
	emit(s, 100, 2)
	assert.EqualValues(t, total-200, history(), "some are in the history, some behind it")
	listed("wh_1", emitted)
	emit(s, 2_600, 2)
	assert.Greater(t, history(), int64(4_000))
	assert.Less(t, history(), int64(total))
	listed("wh_1", emitted)
	listed("wh_2", emitted)

	other := d.storeOn(t, s.dsn, nil)
	emit(other, 1, 2)
	assert.EqualValues(t, total, history(), "another process takes over what this one had not added")

	// A process whose clock is ahead has added deliveries of its own.
	s.exec(t, "update webhook_history_end set delivery = x'ffffffffffffffffffffffffffffffff'")
	emit(s, 10, 2)
	assert.EqualValues(t, total, history(), "those that come late are added at once")
	listed("wh_1", emitted)
	s.exec(t, "update webhook_history_end set delivery = (select max(delivery) from webhook_history)")
	emit(s, 30, 2)
	listed("wh_2", emitted)

	_, err := s.CreateEndpoint(ctx, endpoint("wh_3"))
	require.NoError(t, err)
	replayed := func(id string) (n int) {
		t.Helper()
		r := webhook.ReplayRequest{AccountID: "a", EndpointID: id, Limit: 150}
		for {
			out, err := s.Replay(ctx, r)
			require.NoError(t, err)
			n += out.Count
			if r.Cursor = out.Next; out.Next == "" {
				return n
			}
		}
	}
	assert.Equal(t, emitted, replayed("wh_3"), "found among the deliveries of others")
	total += emitted
	listed("wh_3", emitted)

	s.exec(t, "delete from webhook_queue")
	s.exec(t, "update webhook_delivery set status = 2, ends_at = created_at")
	assert.Zero(t, replayed("wh_3"))
	s.exec(t, "update webhook_delivery set status = 3 where endpoint = (select num from webhook_endpoint where id = 'wh_3')")
	assert.Equal(t, emitted, replayed("wh_3"), "found among its own")
	s.exec(t, "delete from webhook_queue")
	s.exec(t, "update webhook_delivery set status = 2, ends_at = created_at")

	emit(s, 5, 3)
	s.exec(t, "update webhook_delivery set created_at = created_at - 7200000000, ends_at = ends_at - 7200000000 where status = 2")
	for {
		m, err := s.Maintain(ctx, webhook.MaintainRequest{Limit: 1000, Retention: time.Hour})
		require.NoError(t, err)
		if !m.More {
			break
		}
	}
	assert.EqualValues(t, 15, s.number(t, "select count(*) from webhook_delivery"))
	assert.LessOrEqual(t, history(), int64(15), "what is purged is in no history")
	listed("wh_1", 5)
	listed("wh_3", 5)
}
