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

// A Claim is bounded however many endpoints have no room, and calls with its cursor
// come to the end of a round, so that nobody asks for ever.
func TestClaimGoesRoundInBoundedSteps(t *testing.T) {
	t.Parallel()
	const endpoints, good = 2500, "wh_2400"
	s := memstore.New()
	for i := range endpoints {
		endpoint(t, s, "a", fmt.Sprint("wh_", i), "*")
	}
	enqueue(t, s, webhook.LeaseTerms{}, event("a", "evt_1"))
	for range 2 {
		asked, found, calls := 0, 0, 0
		terms := webhook.LeaseTerms{Max: 10, Lease: time.Minute, Room: room(func(c webhook.Candidate, n int) int {
			if asked++; c.EndpointID != good {
				return 0
			}
			return n
		})}
		for cursor, more := "", true; more; calls++ {
			before := asked
			c, err := s.Claim(context.Background(), webhook.ClaimRequest{LeaseTerms: terms, Cursor: cursor})
			require.NoError(t, err)
			assert.LessOrEqual(t, asked-before, 1000)
			cursor, more = c.Cursor, c.More
			found += len(c.Deliveries)
			require.Less(t, calls, 10, "the round has an end")
			for _, l := range c.Deliveries {
				_, err := s.Settle(context.Background(), []webhook.Settlement{{
					DeliveryID: l.DeliveryID, Token: l.Token, Outcome: webhook.OutcomeReleased, Generation: l.Target.Generation,
				}})
				require.NoError(t, err)
			}
		}
		assert.Equal(t, 3, calls)
		assert.Equal(t, endpoints, asked)
		assert.Equal(t, 1, found)
	}
}

// Probes and other deliveries take turns when there is room for few.
func TestProbesAndOthersTakeTurns(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := memstore.NewWith(memstore.Options{Clock: func() time.Time { return now }})
	const hanging = 10
	for i := range hanging {
		endpoint(t, s, "a", fmt.Sprint("wh_", i), "*")
	}
	for _, l := range enqueue(t, s, plenty, event("a", "evt_0")).Leased {
		_, err := s.Settle(context.Background(), []webhook.Settlement{{
			DeliveryID: l.DeliveryID, Token: l.Token, Outcome: webhook.OutcomeExhausted, Generation: l.Target.Generation,
			Pace: webhook.PacePaused, Pause: time.Second, MaxPause: time.Minute,
		}})
		require.NoError(t, err)
	}
	enqueue(t, s, plenty, event("a", "evt_1"))
	endpoint(t, s, "b", "wh_good", "*")
	for i := range hanging {
		enqueue(t, s, webhook.LeaseTerms{}, event("b", fmt.Sprint("evt_", i)))
	}
	now = now.Add(time.Minute)
	got := map[bool]int{}
	for range hanging {
		one := plenty
		one.Max = 1
		c, err := s.Claim(context.Background(), webhook.ClaimRequest{LeaseTerms: one})
		require.NoError(t, err)
		require.Len(t, c.Deliveries, 1)
		assert.True(t, c.More)
		got[c.Deliveries[0].Target.EndpointID == "wh_good"]++
	}
	assert.Equal(t, map[bool]int{true: hanging / 2, false: hanging / 2}, got)
}

func TestTermsAreChecked(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	endpoint(t, s, "a", "wh_1", "*")
	none := webhook.LeaseTerms{Max: 1, Lease: time.Minute}
	_, err := s.Claim(context.Background(), webhook.ClaimRequest{LeaseTerms: none})
	require.ErrorIs(t, err, webhook.ErrInvalidArgument)
	_, err = s.Claim(context.Background(), webhook.ClaimRequest{LeaseTerms: plenty, Cursor: "no cursor"})
	require.ErrorIs(t, err, webhook.ErrInvalidArgument)
	_, err = s.Enqueue(context.Background(), webhook.EnqueueRequest{Groups: [][]webhook.EventRecord{{event("a", "evt_1")}}, Handoff: none})
	require.ErrorIs(t, err, webhook.ErrInvalidArgument)
	_, err = s.GetEvent(context.Background(), "a", "evt_1")
	require.ErrorIs(t, err, webhook.ErrNotFound)
}
