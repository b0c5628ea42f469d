package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// The longest id with the longest timestamp must have room, and what is a byte
// longer must not find any.
func TestTheLongestIDAndTimestamp(t *testing.T) { // H20
	t.Parallel()
	const longest = "999999999999"
	v := newVerifier(t, webhook.VerifierConfig{Secrets: list(mustSecret(t, exampleSecret)), Tolerance: -1})
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(exampleSecret, "whsec_"))
	require.NoError(t, err)
	for _, c := range []struct {
		id        int
		timestamp string
		want      error
	}{
		{256, longest, nil},
		{255, longest, nil},
		{256, "0", nil},
		{257, longest, webhook.ErrInvalidHeader},
		{256, longest + "9", webhook.ErrInvalidHeader},
	} {
		id := strings.Repeat("a", c.id)
		m := hmac.New(sha256.New, key)
		m.Write([]byte(id + "." + c.timestamp + "." + exampleBody))
		h := http.Header{
			"Webhook-Id": {id}, "Webhook-Timestamp": {c.timestamp},
			"Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))},
		}
		assert.Equal(t, c.want, v.Verify([]byte(exampleBody), h), "%d %s", c.id, c.timestamp)
	}
}

func TestAHeaderExactlyAsLongAsItMayBe(t *testing.T) { // H6
	t.Parallel()
	secret := mustSecret(t, exampleSecret)
	for header, v := range map[string]*webhook.Verifier{
		"Webhook-Signature": noonVerifier(t, secret),
		"X-Signature":       newVerifier(t, webhook.VerifierConfig{Secrets: list(secret), Scheme: timestamped(t, "X-Signature"), Clock: atNoon}),
	} {
		var signer webhook.Signer = webhook.StandardSigner()
		if header == "X-Signature" {
			signer = timestamped(t, header)
		}
		r := signedWith(t, signer, noon, exampleBody, secret)
		value := r.header.Get(header)
		r.header[header] = []string{value + strings.Repeat(" ", 4<<10-len(value))}
		require.NoError(t, v.Verify(r.body, r.header), header)
		r.header[header][0] += " "
		require.ErrorIs(t, v.Verify(r.body, r.header), webhook.ErrSignature, header)
	}
}

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
