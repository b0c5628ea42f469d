package itest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// What is made pending again between the two looks of a purge stays, and is
// delivered. SQLite has one writer, so nothing comes between.
func TestAPurgeLeavesWhatBecamePendingMeanwhile(t *testing.T) {
	ways := map[string]func(t *testing.T, s *testStore, id string){
		"Redeliver": func(t *testing.T, s *testStore, id string) {
			d, err := s.Redeliver(ctx, "a", id)
			require.NoError(t, err)
			assert.Equal(t, webhook.DeliveryPending, d.Status)
		},
		"Replay": func(t *testing.T, s *testStore, _ string) {
			out, err := s.Replay(ctx, webhook.ReplayRequest{AccountID: "a", EndpointID: "wh_1", Limit: 10})
			require.NoError(t, err)
			assert.Equal(t, 1, out.Count)
		},
	}
	onEach(t, func(t *testing.T, d database) {
		if d.dialect == sqlstore.SQLite {
			t.Skip("skipped: there is one writer")
		}
		for name, again := range ways {
			t.Run(name, func(t *testing.T) {
				s := d.store(t)
				_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
				require.NoError(t, err)
				mustEnqueue(t, s, event("evt_1"))
				c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(1, 1)})
				require.NoError(t, err)
				l := c.Deliveries[0]
				_, err = s.Settle(ctx, []webhook.Settlement{{
					DeliveryID: l.DeliveryID, Token: l.Token, EndpointID: "wh_1", Generation: 1,
					Outcome: webhook.OutcomeExhausted, Reason: webhook.ReasonAttempts,
				}})
				require.NoError(t, err)
				s.rewind(t, 48*time.Hour)

				looked, done := false, false
				purging := s.hooked(t, s.dsn, &hooks{run: func(query string) error {
					switch {
					case strings.Contains(query, "select id, event, endpoint, status, created_at, ends_at"):
						looked = true
					case looked && !done:
						done = true
						again(t, s, l.DeliveryID)
					}
					return nil
				}})
				_, err = purging.Maintain(ctx, webhook.MaintainRequest{Limit: 100, Retention: 24 * time.Hour})
				require.NoError(t, err)
				require.True(t, done)
				c, err = s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(1, 1)})
				require.NoError(t, err)
				require.Len(t, c.Deliveries, 1)
				assert.Equal(t, "evt_1", c.Deliveries[0].Event.ID)
			})
		}
	})
}
