package memstore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

func endpoint(t testing.TB, s *memstore.Store, account, id string, events ...webhook.EventType) webhook.EndpointRecord {
	t.Helper()
	r, err := s.CreateEndpoint(context.Background(), webhook.EndpointCreate{Record: webhook.EndpointRecord{
		Endpoint: webhook.Endpoint{ID: id, AccountID: account, URL: "https://example.com/" + id, Events: events, Status: webhook.EndpointActive},
		Secrets:  []webhook.EndpointSecret{{Secret: webhook.NewSecret()}},
	}})
	require.NoError(t, err)
	return r
}

func event(account, id string) webhook.EventRecord {
	return webhook.EventRecord{
		ID: id, AccountID: account, Type: webhook.EventCallCompleted,
		Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Data: []byte(`{"call_id":"c"}`),
	}
}

func enqueue(t testing.TB, q webhook.Enqueuer, h webhook.LeaseTerms, events ...webhook.EventRecord) webhook.Enqueued {
	t.Helper()
	r, err := q.Enqueue(context.Background(), webhook.EnqueueRequest{Groups: [][]webhook.EventRecord{events}, Handoff: h})
	require.NoError(t, err)
	require.NoError(t, r.Errs[0])
	return r
}

func deliver(t testing.TB, s *memstore.Store, leased []webhook.Leased) {
	t.Helper()
	batch := make([]webhook.Settlement, len(leased))
	for i, l := range leased {
		batch[i] = webhook.Settlement{
			DeliveryID: l.DeliveryID, Token: l.Token, EndpointID: l.Target.EndpointID,
			Generation: l.Target.Generation, Outcome: webhook.OutcomeDelivered, Attempt: &webhook.Attempt{StatusCode: 200},
		}
	}
	r, err := s.Settle(context.Background(), batch)
	require.NoError(t, err)
	for _, res := range r.Results {
		require.Equal(t, webhook.SettleApplied, res.Status)
	}
}

// room is a [webhook.Room] that asks a function.
type room func(c webhook.Candidate, n int) int

// Take implements [webhook.Room].
func (r room) Take(c webhook.Candidate, n int) int { return r(c, n) }

// Reset implements [webhook.Room].
func (room) Reset() {}

var plenty = webhook.LeaseTerms{Max: 1 << 20, Lease: time.Minute, Room: room(func(_ webhook.Candidate, n int) int { return n })}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	s := memstore.NewWith(memstore.Options{History: 10})
	endpoint(t, s, "a", "wh_1", "*")
	for i := range 100 {
		deliver(t, s, enqueue(t, s, plenty, event("a", fmt.Sprint("evt_", i))).Leased)
		enqueue(t, s, plenty, event("nobody", fmt.Sprint("evt_", i)))
	}
	var kept int
	for i := range 100 {
		for _, account := range []string{"a", "nobody"} {
			if _, err := s.GetEvent(context.Background(), account, fmt.Sprint("evt_", i)); err == nil {
				assert.GreaterOrEqual(t, i, 90, "the oldest go first")
				kept++
			}
		}
	}
	assert.Equal(t, 20, kept)
	p, err := s.ListDeliveries(context.Background(), webhook.DeliveryFilter{AccountID: "a", EndpointID: "wh_1", Limit: 1000})
	require.NoError(t, err)
	assert.Len(t, p.Items, 10)
}

func TestUnfinishedIsKeptWhateverTheBound(t *testing.T) {
	t.Parallel()
	s := memstore.NewWith(memstore.Options{History: 1})
	endpoint(t, s, "a", "wh_1", "*")
	for i := range 50 {
		enqueue(t, s, webhook.LeaseTerms{}, event("a", fmt.Sprint("evt_", i)))
	}
	c, err := s.Claim(context.Background(), webhook.ClaimRequest{LeaseTerms: plenty})
	require.NoError(t, err)
	require.Len(t, c.Deliveries, 50)
	deliver(t, s, c.Deliveries)
}

func TestTxCommitFindsConflictsMadeMeanwhile(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	endpoint(t, s, "a", "wh_1", "*")
	tx := s.Begin()
	assert.Equal(t, 1, enqueue(t, tx, plenty, event("a", "evt_1")).Ready)
	enqueue(t, tx, plenty, event("a", "evt_2"))
	other := event("a", "evt_2")
	other.Data = []byte(`{}`)
	enqueue(t, s, webhook.LeaseTerms{}, other)

	require.ErrorIs(t, tx.Commit(), webhook.ErrIDConflict)
	require.ErrorIs(t, tx.Commit(), memstore.ErrTxDone)
	require.ErrorIs(t, tx.Rollback(), memstore.ErrTxDone)
	_, err := tx.Enqueue(context.Background(), webhook.EnqueueRequest{})
	require.ErrorIs(t, err, memstore.ErrTxDone)
	_, err = s.GetEvent(context.Background(), "a", "evt_1")
	require.ErrorIs(t, err, webhook.ErrNotFound)
}
