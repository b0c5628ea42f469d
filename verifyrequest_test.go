package webhook_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// httpRequest makes the server's view of r.
func httpRequest(t testing.TB, r request) *http.Request {
	t.Helper()
	req := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/", bytes.NewReader(r.body))
	for k, v := range r.header {
		req.Header[k] = v
	}
	return req
}

const callBody = `{"id":"evt_1","event":"call.completed","timestamp":"2024-01-15T10:30:00.5Z","webhook_id":"wh_1",` +
	`"data":{ "call_id":"call_1", "duration_seconds":42 }}`

func TestVerifyRequestReturnsATypedEvent(t *testing.T) {
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	req := httpRequest(t, signedAt(t, noon, callBody, s))
	e, err := noonVerifier(t, s).VerifyRequest(req)
	require.NoError(t, err)
	call, ok := e.Data.(webhook.CallCompleted)
	require.True(t, ok, "%T", e.Data)
	assert.Equal(t, "call_1", call.CallID)
	e.Data = nil
	assert.Equal(t, webhook.Event{
		ID: "evt_1", Type: webhook.EventCallCompleted, EndpointID: "wh_1",
		Timestamp: time.Date(2024, 1, 15, 10, 30, 0, 5e8, time.UTC),
		Raw:       json.RawMessage(`{ "call_id":"call_1", "duration_seconds":42 }`),
	}, e)
}

func TestVerifyRequestSetsTestFromTheHeaderOrTheField(t *testing.T) {
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	withField := func(value string) string { return strings.Replace(callBody, `"data":`, `"test":`+value+`,"data":`, 1) }
	for name, c := range map[string]struct {
		body, header string
		want         bool
	}{
		"the header":             {callBody, "1", true},
		"neither":                {callBody, "", false},
		"the header is 0":        {callBody, "0", false},
		"the header is true":     {callBody, "true", false},
		"the header was removed": {withField(`{"probe":[]}`), "", true},
		"both":                   {withField(`{}`), "1", true},
		"the field is null":      {withField(`null`), "", true},
		"the field is false":     {withField(`false`), "", true},
		"the field in the data":  {strings.Replace(callBody, `"call_id"`, `"test":true,"call_id"`, 1), "", false},
	} {
		req := httpRequest(t, signedAt(t, noon, c.body, s))
		req.Header.Set("webhook-test", c.header)
		e, err := noonVerifier(t, s).VerifyRequest(req)
		require.NoError(t, err, name)
		assert.Equal(t, c.want, e.Test, name)
		assert.IsType(t, webhook.CallCompleted{}, e.Data, name)
	}
}

func TestVerifyRequestWantsTheSignedIDInTheBody(t *testing.T) {
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	body := strings.Replace(callBody, "evt_1", "evt_2", 1)
	_, err := noonVerifier(t, s).VerifyRequest(httpRequest(t, signedAt(t, noon, body, s)))
	require.ErrorIs(t, err, webhook.ErrMalformedEvent)

	scheme := timestamped(t, "X-Signature") // signs no id
	v := newVerifier(t, webhook.VerifierConfig{Secrets: list(s), Scheme: scheme, Clock: atNoon})
	req := httpRequest(t, signedWith(t, scheme, noon, body, s))
	req.Header.Set("webhook-id", "evt_1")
	e, err := v.VerifyRequest(req)
	require.NoError(t, err)
	assert.Equal(t, "evt_2", e.ID)
}

func TestVerifyRequestParsesOnlyWhatIsVerified(t *testing.T) {
	t.Parallel()
	v := noonVerifier(t, mustSecret(t, exampleSecret))
	e, err := v.VerifyRequest(httpRequest(t, signedAt(t, noon, "not json", webhook.NewSecret())))
	require.ErrorIs(t, err, webhook.ErrSignature)
	assert.Zero(t, e)
}

// closable notes that it was closed.
type closable struct {
	io.Reader
	closed bool
}

func (c *closable) Close() error { c.closed = true; return nil }

func TestVerifyRequestLeavesTheBytesThatItRead(t *testing.T) {
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	for name, c := range map[string]struct {
		secret webhook.Secret
		body   string
		want   error
	}{
		"an event":      {s, callBody, nil},
		"forged":        {webhook.NewSecret(), callBody, webhook.ErrSignature},
		"not an event":  {s, "[]", webhook.ErrMalformedEvent},
		"an empty body": {s, "", webhook.ErrMalformedEvent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := httpRequest(t, signedAt(t, noon, c.body, c.secret))
			wire := &closable{Reader: req.Body}
			req.Body = wire
			for range 2 { // so it can be verified again, too
				_, err := noonVerifier(t, s).VerifyRequest(req)
				require.ErrorIs(t, err, c.want)
			}
			got, err := io.ReadAll(req.Body)
			require.NoError(t, err)
			assert.Equal(t, c.body, string(got))
			require.NoError(t, req.Body.Close())
			assert.True(t, wire.closed)
		})
	}
}

func TestVerifyRequestReadsNoBodyWithoutSignature(t *testing.T) {
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	for _, cfg := range []webhook.VerifierConfig{{}, {Scheme: timestamped(t, "X-Signature")}} {
		cfg.Secrets = list(s)
		req := httpRequest(t, request{nil, []byte(callBody)})
		req.Body = io.NopCloser(iotest.ErrReader(errors.New("was read")))
		_, err := newVerifier(t, cfg).VerifyRequest(req)
		require.ErrorIs(t, err, webhook.ErrMissingHeader)
	}
}

func TestVerifyRequestBoundsTheBody(t *testing.T) {
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	r := signedAt(t, noon, callBody, s)
	n := int64(len(callBody))
	for name, tc := range map[string]struct {
		max, length int64
		want        error
	}{
		"exactly the limit":             {n, n, nil},
		"exactly the limit, chunked":    {n, -1, nil},
		"one byte more":                 {n - 1, n, webhook.ErrBodyTooLarge},
		"one byte more, chunked":        {n - 1, -1, webhook.ErrBodyTooLarge},
		"no limit":                      {-1, n, nil},
		"the default":                   {0, n, nil},
		"announced beyond the default":  {0, 2<<20 + 1, webhook.ErrBodyTooLarge},
		"no limit, but not as announed": {-1, n + 1, webhook.ErrBodyConsumed},
	} {
		v := newVerifier(t, webhook.VerifierConfig{Secrets: list(s), Clock: atNoon, MaxBody: tc.max})
		req := httpRequest(t, r)
		req.ContentLength = tc.length
		_, err := v.VerifyRequest(req)
		require.ErrorIs(t, err, tc.want, name)
	}
}

// bottomless counts what is read of a body that never ends.
type bottomless struct{ n int }

func (e *bottomless) Read(p []byte) (int, error) { e.n += len(p); return len(p), nil }
func (e *bottomless) Close() error               { return nil }

func TestVerifyRequestStopsReadingAtTheLimit(t *testing.T) {
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	body := &bottomless{}
	req := httpRequest(t, signedAt(t, noon, callBody, s))
	req.Body, req.ContentLength = body, -1
	_, err := noonVerifier(t, s).VerifyRequest(req)
	require.ErrorIs(t, err, webhook.ErrBodyTooLarge)
	assert.LessOrEqual(t, body.n, 5<<20)
}

func TestBodyReadBefore(t *testing.T) { // H16
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	v := noonVerifier(t, s)
	for name, spoil := range map[string]func(*http.Request){
		"read to the end":     func(r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) },
		"read in part":        func(r *http.Request) { _, _ = r.Body.Read(make([]byte, 10)) },
		"taken away":          func(r *http.Request) { r.Body = nil },
		"no body any more":    func(r *http.Request) { r.Body = http.NoBody },
		"chunked, all read":   func(r *http.Request) { r.Body, r.ContentLength = http.NoBody, -1 },
		"chunked, taken away": func(r *http.Request) { r.Body, r.ContentLength = nil, -1 },
	} {
		req := httpRequest(t, signedAt(t, noon, callBody, s))
		spoil(req)
		_, err := v.VerifyRequest(req)
		require.ErrorIs(t, err, webhook.ErrBodyConsumed, name)
	}
}

// The server's own body behaves otherwise than a reader in a test.
func TestBodyReadBeforeOnAServer(t *testing.T) { // H16
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	v := newVerifier(t, webhook.VerifierConfig{Secrets: list(s)})
	verdicts := make(chan error, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/read":
			_, _ = io.ReadAll(r.Body)
		case "/closed":
			_ = r.Body.Close()
		}
		_, err := v.VerifyRequest(r)
		verdicts <- err
	}))
	defer srv.Close()
	for path, want := range map[string]error{"/": nil, "/read": webhook.ErrBodyConsumed, "/closed": webhook.ErrBodyConsumed} {
		for _, body := range []io.Reader{strings.NewReader(callBody), io.MultiReader(strings.NewReader(callBody))} { // known length, chunked
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+path, body)
			require.NoError(t, err)
			req.Header = signedAt(t, time.Now(), callBody, s).header
			res, err := srv.Client().Do(req)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.ErrorIs(t, <-verdicts, want, path)
		}
	}
}

func TestVerifyRequestDistinguishesReadErrorsFromSignatures(t *testing.T) {
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	broken := errors.New("connection reset")
	for _, want := range []error{broken, io.ErrUnexpectedEOF} { // H19: the client went away
		req := httpRequest(t, signedAt(t, noon, callBody, s))
		req.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), iotest.ErrReader(want)))
		_, err := noonVerifier(t, s).VerifyRequest(req)
		require.ErrorIs(t, err, want)
		require.ErrorIs(t, err, webhook.ErrBodyRead)
		require.NotErrorIs(t, err, webhook.ErrSignature)
	}
	req := httpRequest(t, signedAt(t, noon, callBody, s))
	req.Body = http.MaxBytesReader(httptest.NewRecorder(), req.Body, 10)
	_, err := noonVerifier(t, s).VerifyRequest(req)
	require.ErrorIs(t, err, webhook.ErrBodyTooLarge, "a limit set around it")
}

// H17, H18: the signature covers the bytes on the wire, whatever they are said
// to be.
func TestContentHeadersDoNotMatter(t *testing.T) { // H17, H18
	t.Parallel()
	s := mustSecret(t, exampleSecret)
	v := noonVerifier(t, s)
	for _, h := range []map[string]string{
		nil,
		{"Content-Type": "text/plain"},
		{"Content-Type": "application/json; charset=utf-16"},
		{"Content-Type": "application/x-www-form-urlencoded"},
		{"Content-Encoding": "gzip"},
	} {
		req := httpRequest(t, signedAt(t, noon, callBody, s))
		for k, value := range h {
			req.Header.Set(k, value)
		}
		_, err := v.VerifyRequest(req)
		require.NoError(t, err, h)
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(w, callBody)
	require.NoError(t, w.Close())
	r := signedAt(t, noon, zipped.String(), s)
	require.NoError(t, v.Verify(r.body, r.header), "the bytes on the wire")
	_, err := v.VerifyRequest(httpRequest(t, r))
	require.ErrorIs(t, err, webhook.ErrMalformedEvent, "not decoded")
}

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
		rest := strings.Repeat(" ", 4<<10-len(value)) // what this scheme passes over
		if header == "X-Signature" {
			rest = ",v0=" + strings.Repeat("0", len(rest)-len(",v0="))
		}
		r.header[header] = []string{value + rest}
		require.NoError(t, v.Verify(r.body, r.header), header)
		r.header[header][0] += rest[len(rest)-1:]
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
