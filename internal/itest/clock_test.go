package itest

import (
	"database/sql"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// E15: processes whose clocks differ neither steal live leases nor starve. In a
// bubble of testing/synctest it is the year 2000.
func TestClocksOfProcessesDoNotMatter(t *testing.T) {
	onServers(t, func(t *testing.T, d database) {
		s := d.store(t)
		_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		mustEnqueue(t, s, event("evt_1"))
		claims := func(s webhook.Store) int {
			_, err := s.Maintain(ctx, webhook.MaintainRequest{Limit: 100, Retention: 24 * time.Hour})
			require.NoError(t, err)
			c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(10, 10)})
			require.NoError(t, err)
			assert.WithinDuration(t, now(t, s), c.Now, time.Minute)
			return len(c.Deliveries)
		}
		past := func(f func(old webhook.Store)) {
			synctest.Test(t, func(t *testing.T) {
				require.Equal(t, 2000, time.Now().Year())
				db, err := sql.Open(d.driver, s.dsn)
				require.NoError(t, err)
				defer func() { _ = db.Close() }()
				old, err := sqlstore.New(db, d.dialect, nil)
				require.NoError(t, err)
				f(old)
			})
		}
		past(func(old webhook.Store) { assert.Equal(t, 1, claims(old), "it does not starve") })
		assert.Zero(t, claims(s), "nobody steals its lease")
		s.rewind(t, 2*time.Hour)
		assert.Equal(t, 1, claims(s))
		past(func(old webhook.Store) { assert.Zero(t, claims(old), "it steals no lease") })
		s.rewind(t, 2*time.Hour)
		past(func(old webhook.Store) {
			assert.Equal(t, 1, claims(old))
			mustEnqueue(t, old, event("evt_2"))
		})
		assert.Equal(t, 1, claims(s))
	})
}

func now(t testing.TB, s webhook.Store) time.Time {
	at, err := s.Now(ctx)
	require.NoError(t, err)
	return at
}
