package itest

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// A claim that has leased deliveries, and then cannot read them, gives them back:
// they do not wait for the end of a lease that nobody holds.
func TestAClaimThatCannotReadGivesBack(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		mustEnqueue(t, s, event("evt_1"), event("evt_2"))
		broken := errors.New("no events today")
		unlucky := s.hooked(t, s.dsn, &hooks{run: func(query string) error {
			if strings.Contains(query, ".data") && strings.Contains(query, "select") || strings.Contains(query, ", data from") {
				return broken
			}
			return nil
		}})
		c, err := unlucky.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(10, 10)})
		require.Error(t, err)
		require.Empty(t, c.Deliveries)
		q, err := s.QueueStats(ctx, "", "")
		require.NoError(t, err)
		assert.Equal(t, 0, q.Leased)
		assert.Equal(t, 2, q.Ready+q.Waiting)
		s.endLeases(t)
		c, err = s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(10, 10)})
		require.NoError(t, err)
		require.Len(t, c.Deliveries, 2)
		for _, l := range c.Deliveries {
			assert.Zero(t, l.Attempts)
		}
	})
}
