package webhook_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

func TestRequestsAreStampedWithTheStoresClock(t *testing.T) { // E15
	t.Parallel()
	for _, skew := range []time.Duration{-time.Hour, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			log := &capture{}
			r := newRig(t, status(200), func(c *webhook.Config) {
				c.Store = &skewedStore{c.Store, skew}
				c.Logger = log.logger()
			})
			ep := r.endpoint(hookURL)
			r.start()
			defer r.stop()
			r.emit(1)
			time.Sleep(time.Second)
			v, err := webhook.NewVerifier(webhook.VerifierConfig{
				Secrets: []webhook.Secret{secretOf(t, r, ep.ID)},
				Clock:   func() time.Time { return r.transport.requests()[0].at.Add(skew) },
			})
			require.NoError(t, err)
			sent := r.transport.requests()[0]
			require.NoError(t, v.Verify(sent.Body, sent.Header))
			assert.Contains(t, log.text(), "clock")
		})
	}
}

func TestRotationSignsWithBothSecretsUntilTheOldOneExpires(t *testing.T) { // D10
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, status(200), func(c *webhook.Config) { c.PollInterval = time.Hour })
		ep, old, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{AccountID: "acme", URL: hookURL, Events: []webhook.EventType{"*"}})
		require.NoError(t, err)
		r.start()
		defer r.stop()
		fresh, err := r.RotateSecret(t.Context(), "acme", ep.ID, webhook.RotateParams{})
		require.NoError(t, err)
		r.emit(1)
		time.Sleep(23 * time.Hour)
		r.emit(1)
		time.Sleep(2 * time.Hour)
		r.emit(1)
		time.Sleep(time.Second)

		sent := r.transport.requests()
		require.Len(t, sent, 3)
		for i, s := range sent {
			clock := func() time.Time { return s.at }
			for name, secret := range map[string]webhook.Secret{"old": old, "new": fresh} {
				v, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{secret}, Clock: clock})
				require.NoError(t, err)
				err = v.Verify(s.Body, s.Header)
				if name == "old" && i == 2 {
					assert.ErrorIs(t, err, webhook.ErrSignature, "after the overlap")
				} else {
					assert.NoError(t, err, "%s secret, request %d", name, i)
				}
			}
		}
	})
}

func TestATestEventIsSignedLikeAnyOther(t *testing.T) {
	t.Parallel()
	r := newRig(t, status(200))
	ep := r.endpoint(hookURL)
	_, err := r.SendTest(t.Context(), "acme", ep.ID, webhook.EventCallCompleted)
	require.NoError(t, err)
	sent := r.transport.requests()[0]
	require.NoError(t, webhook.Verify(sent.Body, sent.Header, secretOf(t, r, ep.ID)))
	got, err := webhook.ParseEvent(sent.Body)
	require.NoError(t, err)
	assert.Equal(t, ep.ID, got.EndpointID)
	assert.IsType(t, webhook.CallCompleted{}, got.Data)
}
