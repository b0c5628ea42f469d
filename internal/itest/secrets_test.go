package itest

import (
	"bytes"
	"fmt"
	"strings"
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
	notUnderRace(t)
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

// Values of headers are often secrets too. Their names are not.
func TestHeadersAreEncryptedAtRest(t *testing.T) {
	notUnderRace(t)
	onEach(t, func(t *testing.T, d database) {
		dsn := d.create(t)
		with := func(keys ...sqlstore.Key) *testStore { return d.storeOn(t, dsn, &sqlstore.Options{Keys: keys}) }
		stored := func(s *testStore) string {
			return s.text(t, "select headers from webhook_endpoint where id = 'wh_1'")
		}
		const value = "Bearer 5f4dcc3b"
		old := with(key("old", 1))
		c := endpoint("wh_1")
		c.Record.Headers = webhook.Headers{"Authorization": value, "X-Empty": ""}
		_, err := old.CreateEndpoint(ctx, c)
		require.NoError(t, err)
		assert.NotContains(t, stored(old), "5f4dcc3b")
		assert.Contains(t, stored(old), "Authorization")

		both := with(key("new", 2), key("old", 1))
		rec, err := both.GetEndpoint(ctx, "a", "wh_1")
		require.NoError(t, err)
		old.exec(t, "update webhook_endpoint set secrets = '"+sealedBy(t, both, rec)+"' where id = 'wh_1'")
		n, err := both.ResealSecrets(ctx)
		require.NoError(t, err)
		assert.Equal(t, 1, n, "the headers alone are sealed with the old key")
		n, err = both.ResealSecrets(ctx)
		require.NoError(t, err)
		assert.Zero(t, n)

		next := with(key("new", 2))
		require.NoError(t, next.Validate(ctx))
		mustEnqueue(t, next, event("evt_1"))
		claimed, err := next.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(1, 1)})
		require.NoError(t, err)
		require.Len(t, claimed.Deliveries, 1)
		require.NoError(t, claimed.Deliveries[0].Target.Err)
		assert.Equal(t, value, claimed.Deliveries[0].Target.Headers["Authorization"])

		plain := with()
		got, err := plain.GetEndpoint(ctx, "a", "wh_1")
		require.NoError(t, err)
		assert.Contains(t, got.Unreadable, "headers")
		assert.Empty(t, got.Headers)
		assert.Equal(t, []string{"Authorization", "X-Empty"}, got.HeaderNames, "which need no key")
	})
}

// The URL of an old revision is sealed, and resealed with the rest.
func TestOldRevisionsAreEncryptedAtRest(t *testing.T) {
	notUnderRace(t)
	onEach(t, func(t *testing.T, d database) {
		dsn := d.create(t)
		with := func(keys ...sqlstore.Key) *testStore { return d.storeOn(t, dsn, &sqlstore.Options{Keys: keys}) }
		old := with(key("old", 1))
		rec, err := old.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		const secret = "https://hooks.example.com/services/S3CRET"
		for _, url := range []string{secret, "https://example.com/"} {
			rec.URL = url
			rec, err = old.UpdateEndpoint(ctx, webhook.EndpointUpdate{Record: rec, Reset: true})
			require.NoError(t, err)
		}
		rows := func() string {
			return old.text(t, "select url from webhook_revision where revision = (select max(revision) from webhook_revision)")
		}
		assert.NotContains(t, rows(), "S3CRET")
		url := func(s *testStore) string {
			list, err := s.ListRevisions(ctx, "a", "wh_1")
			require.NoError(t, err)
			require.Len(t, list, 3)
			assert.Equal(t, []webhook.SecretHint{{Hint: rec.Secrets[0].Secret.Hint()}}, list[1].Secrets)
			return list[1].URL
		}
		assert.Equal(t, secret, url(old))
		assert.Empty(t, url(with(key("other", 3))), "which is told without the key")
		n, err := with(key("new", 2), key("old", 1)).ResealSecrets(ctx)
		require.NoError(t, err)
		assert.Equal(t, 3, n, "the endpoint and two revisions")
		n, err = with(key("new", 2), key("old", 1)).ResealSecrets(ctx)
		require.NoError(t, err)
		assert.Zero(t, n)
		assert.Equal(t, secret, url(with(key("new", 2))))
	})
}

// sealedBy returns the secrets of rec as s stores them for its endpoint.
func sealedBy(t *testing.T, s *testStore, rec webhook.EndpointRecord) string {
	before := s.text(t, "select headers from webhook_endpoint where id = '"+rec.ID+"'")
	_, err := s.UpdateEndpoint(ctx, webhook.EndpointUpdate{Record: rec})
	require.NoError(t, err)
	s.exec(t, "update webhook_endpoint set headers = '"+before+"' where id = '"+rec.ID+"'")
	return s.text(t, "select secrets from webhook_endpoint where id = '"+rec.ID+"'")
}

// A value opens under its own name alone, and no secret opens as a header, which
// would be sent.
func TestASealedTextOpensInItsOwnPlaceAlone(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.storeOn(t, d.create(t), &sqlstore.Options{Keys: []sqlstore.Key{key("k", 1)}})
		c := endpoint("wh_1")
		c.Record.Headers = webhook.Headers{"Authorization": "Bearer 5f4dcc3b"}
		_, err := s.CreateEndpoint(ctx, c)
		require.NoError(t, err)
		headers := s.text(t, "select headers from webhook_endpoint where id = 'wh_1'")
		secrets := s.text(t, "select secrets from webhook_endpoint where id = 'wh_1'")
		for name, moved := range map[string]string{
			"under another name":    strings.Replace(headers, "Authorization", "X-Other", 1),
			"a secret as a header":  `{"X-Other":` + strings.Trim(secrets, "[]") + `}`,
			"the value in the open": `{"X-Other":"Bearer 5f4dcc3b"}`,
		} {
			s.exec(t, "update webhook_endpoint set headers = '"+moved+"' where id = 'wh_1'")
			got, err := s.GetEndpoint(ctx, "a", "wh_1")
			require.NoError(t, err)
			assert.Equal(t, []string{"headers"}, got.Unreadable, name)
		}
	})
}

// Headers that cannot be opened are replaced as a whole or not at all.
func TestUnreadableHeadersAreReplacedAsAWhole(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		dsn := d.create(t)
		c := endpoint("wh_1")
		c.Record.Headers = webhook.Headers{"Authorization": "Bearer 5f4dcc3b", "X-Team": "blue"}
		first := d.storeOn(t, dsn, &sqlstore.Options{Keys: []sqlstore.Key{key("lost", 1)}})
		_, err := first.CreateEndpoint(ctx, c)
		require.NoError(t, err)
		s := d.storeOn(t, dsn, &sqlstore.Options{Keys: []sqlstore.Key{key("k", 2)}})
		e, err := webhook.New(webhook.Config{Store: s.Store, Transport: &sentTo{}})
		require.NoError(t, err)
		before := s.text(t, "select headers from webhook_endpoint where id = 'wh_1'")
		value, text := "Bearer new", "changed"
		_, err = e.UpdateEndpoint(ctx, "a", "wh_1", webhook.EndpointChange{Headers: webhook.HeaderChanges{"Authorization": &value}})
		require.ErrorIs(t, err, webhook.ErrUnreadable)
		_, err = e.UpdateEndpoint(ctx, "a", "wh_1", webhook.EndpointChange{Description: &text})
		require.NoError(t, err)
		assert.Equal(t, before, s.text(t, "select headers from webhook_endpoint where id = 'wh_1'"))
		got, err := e.UpdateEndpoint(ctx, "a", "wh_1", webhook.EndpointChange{Headers: webhook.HeaderChanges{"Authorization": &value, "X-Team": nil}})
		require.NoError(t, err)
		assert.Equal(t, []string{"Authorization"}, got.HeaderNames)
		assert.Equal(t, []string{"secrets"}, got.Unreadable)
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
			got, err := wrong.GetEndpoint(ctx, "a", "wh_1")
			require.NoError(t, err, name)
			assert.Equal(t, []string{"secrets"}, got.Unreadable, name)
			assert.Empty(t, got.Secrets, name)
			c, err := wrong.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(1, 1)})
			require.NoError(t, err, name)
			require.Len(t, c.Deliveries, 1, name)
			require.ErrorIs(t, c.Deliveries[0].Target.Err, sqlstore.ErrKey, name)
			assert.NotContains(t, c.Deliveries[0].Target.Err.Error(), "whsec_")
			back := delivered(c.Deliveries[0])
			back.Outcome, back.Attempt = webhook.OutcomeReleased, nil
			_, err = wrong.Settle(ctx, []webhook.Settlement{back})
			require.NoError(t, err, name)
		}
		c, err := right.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(1, 1)})
		require.NoError(t, err)
		require.Len(t, c.Deliveries, 1, "what was given back under a wrong key")
		require.NoError(t, c.Deliveries[0].Target.Err)
		assert.Zero(t, c.Deliveries[0].Attempts)
	})
}

// Every step of a replacement restarts one process after the other: at each
// moment both can read what both store.
func TestReplacingAKeyWhileProcessesRestartOneAfterAnother(t *testing.T) {
	t.Parallel()
	notUnderRace(t)
	old, fresh := key("old", 1), key("new", 2)
	for _, c := range []struct {
		name   string
		steps  [][]sqlstore.Key
		reseal int // after this step
	}{
		{"replace", [][]sqlstore.Key{{old}, {old, fresh}, {fresh, old}, {fresh}}, 2},
		{"the first one", [][]sqlstore.Key{nil, {{}, fresh}, {fresh}}, 2},
		{"the last one", [][]sqlstore.Key{{old}, {{}, old}, nil}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, d database) {
				dsn := d.create(t)
				with := func(step int) *testStore { return d.storeOn(t, dsn, &sqlstore.Options{Keys: c.steps[step]}) }
				a, b := with(0), with(0)
				n := 0
				all := func() {
					t.Helper()
					for _, s := range []*testStore{a, b} {
						n++
						_, err := s.CreateEndpoint(ctx, endpoint(fmt.Sprint("wh_", n)))
						require.NoError(t, err)
						rec, err := s.GetEndpoint(ctx, "a", "wh_1")
						require.NoError(t, err)
						_, err = s.UpdateEndpoint(ctx, webhook.EndpointUpdate{Record: rec}) // seals it anew
						require.NoError(t, err)
						require.NoError(t, a.Validate(ctx))
						require.NoError(t, b.Validate(ctx))
					}
				}
				all()
				for step := 1; step < len(c.steps); step++ {
					b = with(step)
					all() // a has the step before
					a = with(step)
					all()
					if step == c.reseal {
						changed, err := b.ResealSecrets(ctx)
						require.NoError(t, err)
						assert.Positive(t, changed)
						changed, err = a.ResealSecrets(ctx)
						require.NoError(t, err)
						assert.Zero(t, changed)
						all()
					}
				}
				require.NoError(t, with(len(c.steps)-1).Validate(ctx))
			})
		})
	}
}

// The order that leaves out a step shows in Validate, and mends itself.
func TestAKeyThatSealsBeforeAllProcessesHaveIt(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		dsn := d.create(t)
		with := func(keys ...sqlstore.Key) *testStore { return d.storeOn(t, dsn, &sqlstore.Options{Keys: keys}) }
		a, b := with(key("old", 1)), with(key("new", 2), key("old", 1))
		_, err := b.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		_, err = a.CreateEndpoint(ctx, endpoint("wh_2"))
		require.NoError(t, err)
		require.NoError(t, b.Validate(ctx))
		var bad *sqlstore.UnreadableError
		require.ErrorAs(t, a.Validate(ctx), &bad)
		require.Len(t, bad.Endpoints, 1)
		assert.Equal(t, "wh_1", bad.Endpoints[0].ID)

		got, err := a.GetEndpoint(ctx, "a", "wh_1")
		require.NoError(t, err)
		got.Description = "changed by a process without the key"
		_, err = a.UpdateEndpoint(ctx, webhook.EndpointUpdate{Record: got})
		require.NoError(t, err)
		require.NoError(t, b.Validate(ctx), "the secret is still there")
		a = with(key("new", 2), key("old", 1))
		require.NoError(t, a.Validate(ctx))
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
		got, err := s.GetEndpoint(ctx, "a", "wh_2")
		require.NoError(t, err)
		assert.Equal(t, []string{"secrets"}, got.Unreadable)
		require.ErrorIs(t, s.Validate(ctx), sqlstore.ErrKey)
	})
}
