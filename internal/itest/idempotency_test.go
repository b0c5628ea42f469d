package itest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

func keyed(key string) webhook.IdempotencyBegin {
	return webhook.IdempotencyBegin{AccountID: "a", Key: key, Fingerprint: "f", Running: time.Minute, Keep: 24 * time.Hour}
}

// respond begins a request and stores its response.
func respond(t *testing.T, s *testStore, key, response string) {
	t.Helper()
	begun, err := s.BeginIdempotent(ctx, keyed(key))
	require.NoError(t, err)
	require.NoError(t, s.FinishIdempotent(ctx, webhook.IdempotencyMark{AccountID: "a", Key: key, Token: begun.Token}, []byte(response)))
}

// A response can hold a secret: it is sealed like one, and nobody runs a request again
// because its response cannot be opened.
func TestResponsesAreEncryptedAtRest(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		dsn := d.create(t)
		with := func(keys ...sqlstore.Key) *testStore { return d.storeOn(t, dsn, &sqlstore.Options{Keys: keys}) }
		repeated := func(s *testStore, key string) string {
			t.Helper()
			begun, err := s.BeginIdempotent(ctx, keyed(key))
			require.NoError(t, err)
			require.Zero(t, begun.Token)
			return string(begun.Response)
		}
		const response = "whsec_S3CRET\x00\xff"
		plain, old, next := with(), with(key("old", 1)), with(key("new", 2))
		respond(t, plain, "plain", response)
		assert.Equal(t, []string{"webhook_idempotency"}, old.holding(t, "S3CRET"))
		respond(t, old, "1", response)
		respond(t, old, "2", response)
		respond(t, old, "empty", "")
		assert.Empty(t, old.holding(t, "whsec_2"))
		assert.Equal(t, response, repeated(old, "1"))
		assert.Equal(t, response, repeated(old, "plain"))
		_, err := old.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)

		for _, s := range []*testStore{next, plain} {
			_, err = s.BeginIdempotent(ctx, keyed("1"))
			require.ErrorIs(t, err, webhook.ErrUnreadable)
			require.ErrorIs(t, err, sqlstore.ErrKey)
			other := keyed("1")
			other.Fingerprint = "g"
			_, err = s.BeginIdempotent(ctx, other)
			require.ErrorIs(t, err, webhook.ErrIdempotencyReused, "which needs no key")
		}
		both := with(key("new", 2), key("old", 1))
		old.exec(t, "update webhook_idempotency set sealed_by = 'lost' where sealed_by = 'old' and mark = (select m from (select max(mark) as m from webhook_idempotency where sealed_by = 'old') x)")
		n, err := both.ResealSecrets(ctx)
		require.NoError(t, err)
		assert.Equal(t, 4, n, "the endpoint and three responses of which one was plain")
		n, err = both.ResealSecrets(ctx)
		require.NoError(t, err)
		assert.Zero(t, n)
		assert.Equal(t, response, repeated(next, "plain"))
		assert.Empty(t, old.holding(t, "S3CRET"))

		// A response of one key is not that of another one.
		respond(t, next, "3", "of 3")
		respond(t, next, "4", "of 4")
		moved := next.number(t, "select token from webhook_idempotency where running_until = 0 order by expires_at desc limit 1")
		next.exec(t, fmt.Sprintf("update webhook_idempotency set response = (select r from (select response as r from webhook_idempotency where token = %d) x) where token <> %d", moved, moved))
		unreadable := 0
		for _, key := range []string{"3", "4"} {
			if _, err := next.BeginIdempotent(ctx, keyed(key)); err != nil {
				require.ErrorIs(t, err, webhook.ErrUnreadable)
				unreadable++
			}
		}
		assert.Equal(t, 1, unreadable)
	})
}

// Keys whose time is over go though nothing else is purged. A process that found fewer
// than it may take asks again after a minute.
func TestOldIdempotencyKeysArePurged(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		dsn := d.create(t)
		s := d.storeOn(t, dsn, nil)
		left := func() int64 { return s.number(t, "select count(*) from webhook_idempotency") }
		for i := range 5 {
			respond(t, s, fmt.Sprint(i), "{}")
			s.rewind(t, time.Second)
		}
		s.rewind(t, 25*time.Hour)
		respond(t, s, "new", "{}")
		maintain := func(s *testStore) webhook.Maintained {
			t.Helper()
			m, err := s.Maintain(ctx, webhook.MaintainRequest{Limit: 2})
			require.NoError(t, err)
			return m
		}
		for _, want := range []int64{4, 2} {
			assert.True(t, maintain(s).More)
			assert.Equal(t, want, left())
		}
		assert.False(t, maintain(s).More)
		assert.EqualValues(t, 1, left())
		s.rewind(t, 25*time.Hour)
		assert.False(t, maintain(s).More)
		assert.EqualValues(t, 1, left(), "it has just looked")
		assert.False(t, maintain(d.storeOn(t, dsn, nil)).More)
		assert.Zero(t, left(), "another process looks by itself")
	})
}

// DeleteAccount leaves no key and no response behind, whoever took part meanwhile.
func TestNoTableHoldsTheResponsesOfADeletedAccount(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		for i := range 5 {
			respond(t, s, fmt.Sprint(i), "S3CRET")
		}
		require.Equal(t, []string{"webhook_idempotency"}, s.holding(t, "S3CRET"))
		calls, out := 0, webhook.AccountDeleted{}
		for next := true; next; next = out.Next != "" {
			var err error
			out, err = s.DeleteAccount(ctx, webhook.AccountDelete{AccountID: "a", Cursor: out.Next, Limit: 2})
			require.NoError(t, err)
			calls++
		}
		assert.Equal(t, 3, calls)
		assert.Zero(t, s.number(t, "select count(*) from webhook_idempotency"))
	})
}
