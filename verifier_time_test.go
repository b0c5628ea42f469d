package webhook_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

func TestTolerance(t *testing.T) { // H9
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	for _, tc := range []struct {
		tolerance time.Duration
		age       time.Duration
		want      error
	}{
		{0, 0, nil},
		{0, 5 * time.Minute, nil},
		{0, -5 * time.Minute, nil},
		{0, 5*time.Minute + time.Second, webhook.ErrTooOld},
		{0, -5*time.Minute - time.Second, webhook.ErrTooNew},
		{0, 5*time.Minute + 1, webhook.ErrTooOld},
		{time.Second, time.Second, nil},
		{time.Second, 2 * time.Second, webhook.ErrTooOld},
		{time.Second, -2 * time.Second, webhook.ErrTooNew},
		{1500 * time.Millisecond, 1500 * time.Millisecond, nil},
		{1500 * time.Millisecond, -1500 * time.Millisecond, nil},
		{1500 * time.Millisecond, 1501 * time.Millisecond, webhook.ErrTooOld},
		{1500 * time.Millisecond, -1501 * time.Millisecond, webhook.ErrTooNew},
		{time.Hour, 59 * time.Minute, nil},
		{-1, 20 * 365 * 24 * time.Hour, nil},
		{-1, -20 * 365 * 24 * time.Hour, nil},
	} {
		t.Run(fmt.Sprint(tc.tolerance, " ", tc.age), func(t *testing.T) {
			t.Parallel()
			v := newVerifier(t, webhook.VerifierConfig{
				Secrets: []webhook.Secret{s}, Tolerance: tc.tolerance,
				Clock: func() time.Time { return noon.Add(tc.age) },
			})
			r := signedAt(t, noon, exampleBody, s)
			assert.ErrorIs(t, v.Verify(r.body, r.header), tc.want)
		})
	}
}

func TestFarTimestampsDoNotOverflow(t *testing.T) { // H9
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	for ts, want := range map[int64]error{0: webhook.ErrTooOld, 1: webhook.ErrTooOld, 999_999_999_999: webhook.ErrTooNew} {
		r := signedAt(t, time.Unix(ts, 0), exampleBody, s)
		require.ErrorIs(t, noonVerifier(t, s).Verify(r.body, r.header), want, "%d", ts)
		require.ErrorIs(t, webhook.Verify(r.body, r.header, s), want, "%d", ts)
	}
	for _, at := range []time.Time{{}, time.Unix(-1, 0), time.Unix(1_000_000_000_000, 0)} {
		err := webhook.StandardSigner().Sign(http.Header{}, webhook.Message{ID: "evt_1", Timestamp: at}, s)
		require.ErrorIs(t, err, webhook.ErrInvalidArgument, "%v", at)
	}
}

func TestVerifyUsesTheRealClockAndFiveMinutes(t *testing.T) {
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	for age, want := range map[time.Duration]error{
		-6 * time.Minute: webhook.ErrTooNew, -4 * time.Minute: nil, 4 * time.Minute: nil, 6 * time.Minute: webhook.ErrTooOld,
	} {
		r := signedAt(t, time.Now().Add(-age), exampleBody, s)
		require.ErrorIs(t, webhook.Verify(r.body, r.header, s), want, "%v", age)
	}
}

func TestFreshnessIsJudgedAfterTheSignature(t *testing.T) { // H10
	t.Parallel()
	v := noonVerifier(t, mustSecret(t, exampleSecret))
	for _, at := range []time.Time{noon.Add(-time.Hour), noon.Add(time.Hour)} {
		r := signedAt(t, at, exampleBody, webhook.NewSecret())
		require.ErrorIs(t, v.Verify(r.body, r.header), webhook.ErrSignature)
	}
}

func TestReceiverWithAWrongClock(t *testing.T) { // H11
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	r := signedAt(t, noon, exampleBody, s)
	for off, want := range map[time.Duration]error{-6 * time.Minute: webhook.ErrTooNew, 6 * time.Minute: webhook.ErrTooOld} {
		clock := func() time.Time { return noon.Add(off) }
		v := newVerifier(t, webhook.VerifierConfig{Secrets: []webhook.Secret{s}, Clock: clock})
		require.ErrorIs(t, v.Verify(r.body, r.header), want)
		v = newVerifier(t, webhook.VerifierConfig{Secrets: []webhook.Secret{s}, Clock: clock, Tolerance: 10 * time.Minute})
		require.NoError(t, v.Verify(r.body, r.header), "a wider tolerance")
		v = newVerifier(t, webhook.VerifierConfig{Secrets: []webhook.Secret{s}, Clock: clock, Tolerance: -1})
		require.NoError(t, v.Verify(r.body, r.header), "no tolerance to keep")
	}
}

func TestVerifyIsStateless(t *testing.T) { // H12
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	v := noonVerifier(t, s)
	r := signedAt(t, noon, exampleBody, s)
	for range 3 {
		require.NoError(t, v.Verify(r.body, r.header))
	}
}
