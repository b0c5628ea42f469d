package itest

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

func key(id string, b byte) sqlstore.Key {
	return sqlstore.Key{ID: id, Bytes: bytes.Repeat([]byte{b}, 32)}
}

func TestSecretsAreEncryptedAtRest(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		dsn := d.create(t)
		with := func(keys ...sqlstore.Key) *testStore { return d.storeOn(t, dsn, &sqlstore.Options{Keys: keys}) }
		stored := func(s *testStore) (text string) {
			require.NoError(t, s.db.QueryRow("select secrets from webhook_endpoint where id = 'wh_1'").Scan(&text))
			return text
		}

		plain := with()
		c := endpoint("wh_1")
		secret := c.Record.Secrets[0].Secret
		_, err := plain.CreateEndpoint(ctx, c)
		require.NoError(t, err)
		assert.Contains(t, stored(plain), secret.Reveal(), "without keys it is stored as it is")

		old := with(key("old", 1))
		n, err := old.ResealSecrets(ctx)
		require.NoError(t, err)
		assert.Equal(t, 1, n)
		assert.NotContains(t, stored(old), secret.Reveal())
		assert.NotContains(t, stored(old), "whsec_")

		both := with(key("new", 2), key("old", 1))
		got, err := both.GetEndpoint(ctx, "a", "wh_1")
		require.NoError(t, err)
		assert.Equal(t, secret.Reveal(), got.Secrets[0].Secret.Reveal())
		n, err = both.ResealSecrets(ctx)
		require.NoError(t, err)
		assert.Equal(t, 1, n)
		n, err = both.ResealSecrets(ctx)
		require.NoError(t, err)
		assert.Zero(t, n, "nothing is left to do")

		next := with(key("new", 2))
		require.NoError(t, next.Validate(ctx))
		mustEnqueue(t, next, event("evt_1"))
		claimed, err := next.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(1, 1)})
		require.NoError(t, err)
		require.Len(t, claimed.Deliveries, 1)
		assert.Equal(t, secret.Reveal(), claimed.Deliveries[0].Target.Secrets[0].Secret.Reveal())
	})
}

func TestAWrongKeyChangesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		dsn := d.create(t)
		right := d.storeOn(t, dsn, &sqlstore.Options{Keys: []sqlstore.Key{key("k", 1)}})
		_, err := right.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		mustEnqueue(t, right, event("evt_1"))
		for name, keys := range map[string][]sqlstore.Key{
			"none": nil, "another id": {key("other", 1)}, "another key under the same id": {key("k", 2)},
		} {
			wrong := d.storeOn(t, dsn, &sqlstore.Options{Keys: keys})
			require.ErrorIs(t, wrong.Validate(ctx), sqlstore.ErrKey, name)
			_, err = wrong.GetEndpoint(ctx, "a", "wh_1")
			require.ErrorIs(t, err, sqlstore.ErrKey, name)
			_, err = wrong.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(1, 1)})
			require.ErrorIs(t, err, sqlstore.ErrKey, name)
			assert.NotContains(t, err.Error(), "whsec_")
		}
		c, err := right.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(1, 1)})
		require.NoError(t, err)
		require.Len(t, c.Deliveries, 1, "claims under a wrong key left it ready")
		assert.Zero(t, c.Deliveries[0].Expired)
	})
}

// A sealed secret is bound to its endpoint.
func TestASecretOfAnotherRowDoesNotOpen(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.storeOn(t, d.create(t), &sqlstore.Options{Keys: []sqlstore.Key{key("k", 1)}})
		for _, id := range []string{"wh_1", "wh_2"} {
			_, err := s.CreateEndpoint(ctx, endpoint(id))
			require.NoError(t, err)
		}
		var text string
		require.NoError(t, s.db.QueryRow("select secrets from webhook_endpoint where id = 'wh_1'").Scan(&text))
		s.exec(t, "update webhook_endpoint set secrets = '"+text+"' where id = 'wh_2'")
		_, err := s.GetEndpoint(ctx, "a", "wh_2")
		require.ErrorIs(t, err, sqlstore.ErrKey)
	})
}
