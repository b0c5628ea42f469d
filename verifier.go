package webhook

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringyo-ai/webhook/internal/check"
)

// The defaults of [VerifierConfig]. The tolerance is that of the Standard
// Webhooks libraries; a body has room for the largest payload that an [Engine]
// sends by default.
const (
	defaultTolerance = 5 * time.Minute
	defaultMaxBody   = 2 << 20
)

// Verify checks that a request was signed with one of the secrets, by the
// scheme of [StandardSigner], and that its timestamp is within 5 minutes of
// this machine's clock. body is the request's body as it arrived, byte for
// byte: verify before anything parses it. header has canonical keys, as that of
// an [http.Request] has.
//
// It is a function of its arguments and the clock alone, and allocates nothing.
// The errors are [ErrNoSecret], [ErrMissingHeader], [ErrInvalidHeader],
// [ErrSignature], and, only once a signature matched, [ErrTooOld] and
// [ErrTooNew]. Respond to all of them alike, with 401, and log which one it was.
//
// A request verifies again as long as it is within the tolerance. To act on an
// event once, remember its id, as package receive does.
func Verify(body []byte, header http.Header, secrets ...Secret) error {
	if !usable(secrets) {
		return ErrNoSecret
	}
	ts, err := standard{}.verify(body, header, secrets)
	if err != nil {
		return err
	}
	return checkFresh(ts, time.Now(), defaultTolerance)
}

func usable(secrets []Secret) bool {
	for _, s := range secrets {
		if s.IsZero() {
			return false
		}
	}
	return len(secrets) > 0
}

// checkFresh judges a timestamp in Unix seconds. It comes after the signature,
// so that who cannot sign learns nothing about the clock.
func checkFresh(ts int64, now time.Time, tolerance time.Duration) error {
	age := now.Unix() - ts // rounded down
	if limit := int64(tolerance / time.Second); -limit <= age && age < limit {
		return nil
	}
	switch exact := now.Sub(time.Unix(ts, 0)); {
	case exact > tolerance:
		return ErrTooOld
	case exact < -tolerance:
		return ErrTooNew
	}
	return nil
}

// VerifierConfig is the argument of [NewVerifier]. Secrets is required; the
// zero value of every other field is its default.
type VerifierConfig struct {
	// Secrets are those of the endpoint; a request that is signed with one of them
	// is valid. While a secret is being rotated there are two. See
	// [Verifier.SetSecrets].
	Secrets []Secret
	// Tolerance is how far the signed timestamp may be from the clock, into the
	// past and into the future. Defaults to 5 minutes. -1 accepts any time, and
	// with that the replay of any request ever sent.
	Tolerance time.Duration
	// Clock returns the time. Defaults to time.Now.
	Clock func() time.Time
	// Scheme is how requests are signed. Defaults to that of [StandardSigner];
	// the other one is [TimestampedSigner].
	Scheme Scheme
	// MaxBody is the most bytes that VerifyRequest reads of a body. Defaults to
	// 2 MiB; -1 means any number.
	MaxBody int64
}

// Verifier verifies the requests to one endpoint. It is safe for concurrent use.
type Verifier struct {
	secrets   atomic.Pointer[[]Secret]
	tolerance time.Duration // negative: off
	clock     func() time.Time
	rules     rules
	maxBody   int64
}

// NewVerifier makes a Verifier. It reports all mistakes in cfg in one
// [*ValidationError].
func NewVerifier(cfg VerifierConfig) (*Verifier, error) {
	r := cfg.Scheme.orDefault()
	s := secretProblems(r, cfg.Secrets)
	check.OrOff(&s, "Tolerance", &cfg.Tolerance, defaultTolerance)
	check.OrOff(&s, "MaxBody", &cfg.MaxBody, defaultMaxBody)
	if err := invalidSettings(s); err != nil {
		return nil, err
	}
	if cfg.MaxBody == -1 {
		cfg.MaxBody = math.MaxInt64
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	v := &Verifier{tolerance: cfg.Tolerance, clock: cfg.Clock, rules: r, maxBody: cfg.MaxBody}
	v.storeSecrets(cfg.Secrets)
	return v, nil
}

// SetSecrets replaces the secrets, for a rotation without a restart. It refuses
// what [NewVerifier] refuses, and then changes nothing.
func (v *Verifier) SetSecrets(secrets ...Secret) error {
	if err := invalidSettings(secretProblems(v.rules, secrets)); err != nil {
		return err
	}
	v.storeSecrets(secrets)
	return nil
}

func (v *Verifier) storeSecrets(secrets []Secret) {
	secrets = slices.Clone(secrets)
	v.secrets.Store(&secrets)
}

// secretProblems lists the secrets that r cannot verify with.
func secretProblems(r rules, secrets []Secret) (s check.Settings) {
	if len(secrets) == 0 {
		s.Fail("Secrets", "is required: one secret at least")
	}
	for i, sec := range secrets {
		switch field := fmt.Sprintf("Secrets[%d]", i); {
		case sec.IsZero():
			s.Fail(field, "is the zero Secret")
		case !r.takes(sec.key.load().kind):
			s.Fail(field, notOfScheme)
		}
	}
	return s
}

// Verify checks one request like the function [Verify], with the verifier's
// secrets, scheme, tolerance and clock. It allocates nothing.
func (v *Verifier) Verify(body []byte, header http.Header) error {
	ts, err := v.rules.verify(body, header, *v.secrets.Load())
	if err != nil || v.tolerance < 0 {
		return err
	}
	return checkFresh(ts, v.clock(), v.tolerance)
}

// single returns the value of a header that must be given exactly once: of two,
// another reader might see the other one.
func single(header http.Header, key string) (string, bool) {
	if v := header[key]; len(v) == 1 {
		return v[0], v[0] != ""
	}
	return "", false
}

// VerifyRequest reads the body of r, verifies it and returns the event in it.
// Nothing is parsed before it is verified, and no body is read for a request
// without signature headers. The bytes that it read are left in r.Body, to be
// read again, whether they verify or not. How long the body may take to arrive is
// up to the server: give it a ReadTimeout.
//
// The errors are those of [Verify], to which a handler responds with status 401;
// [ErrBodyTooLarge] for a body beyond MaxBody (413); [ErrBodyConsumed] if something
// had read the body before; [ErrBodyRead] if reading failed; and
// [ErrMalformedEvent] for a body that is properly signed but is not an event. For
// an empty body of unknown length, which may have been sent like that, the error is
// both ErrBodyConsumed and [ErrSignature], and the status 401. After
// ErrBodyTooLarge, ErrBodyConsumed and ErrBodyRead the contents of r.Body are
// undefined. The headers Content-Type and Content-Encoding do not matter: the
// signature covers the bytes on the wire, and those are JSON.
//
// With the scheme of [StandardSigner] the event's id must be the one that was signed
// in the header webhook-id, so that either can be used to recognise duplicates.
// [Event.Test] is set if the body has the field test, which is signed, or if the
// header webhook-test is 1. The header is not signed, but somebody who adds it only
// makes a receiver do less, and somebody who removes it changes nothing.
func (v *Verifier) VerifyRequest(r *http.Request) (Event, error) {
	if err := checkPresent(v.rules, r.Header); err != nil {
		return Event{}, err
	}
	body, err := readBody(r, v.maxBody)
	if err != nil {
		return Event{}, err
	}
	// Closing still closes what the server gave.
	r.Body = struct {
		io.Reader
		io.Closer
	}{bytes.NewReader(body), r.Body}
	if err := v.Verify(body, r.Header); err != nil {
		if err == ErrSignature && len(body) == 0 && r.ContentLength < 0 {
			err = errEmptyOrRead
		}
		return Event{}, err
	}
	return v.parse(body, r.Header)
}

// errEmptyOrRead is the error of a body of unknown length that is empty: a stranger can
// send one, and one that was read before looks like it.
var errEmptyOrRead error = &emptyOrRead{}

type emptyOrRead struct{}

func (*emptyOrRead) Error() string {
	return ErrSignature.Error() + ": the body is empty, or was read before; verify before any middleware parses it"
}

func (*emptyOrRead) Is(target error) bool { return target == ErrSignature || target == ErrBodyConsumed }

// checkPresent refuses a request that lacks a header of r.
func checkPresent(r rules, header http.Header) error {
	for _, name := range r.headers() {
		if _, ok := single(header, name); !ok {
			return ErrMissingHeader
		}
	}
	return nil
}

// parse returns the event in the body of a request that has been verified.
func (v *Verifier) parse(body []byte, header http.Header) (Event, error) {
	e, err := ParseEvent(body)
	if err != nil {
		return Event{}, err
	}
	if id, ok := v.rules.signedID(header); ok && id != e.ID {
		return Event{}, fmt.Errorf("%w: its id is not the one in the header webhook-id", ErrMalformedEvent)
	}
	e.Test = e.Test || header.Get(headerTest) == "1"
	return e, nil
}

// firstRead is the most that is allocated on the word of Content-Length alone,
// which costs a sender nothing to claim.
const firstRead = 64 << 10

// readBody returns the body of r if it has at most limit bytes.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, ErrBodyTooLarge
	}
	if r.Body == nil {
		return nil, consumedUnless(r.ContentLength == 0)
	}
	b := bodyPool.Get().(*bytes.Buffer)
	defer putBody(b)
	b.Grow(int(min(max(r.ContentLength, 0), firstRead)) + bytes.MinRead)
	n, err := b.ReadFrom(http.MaxBytesReader(nil, r.Body, limit))
	if err != nil {
		return nil, bodyError(err)
	}
	return bytes.Clone(b.Bytes()), consumedUnless(n >= r.ContentLength)
}

// bodyPool has the buffers that bodies are read into. A body without an announced
// length can make a buffer grow up to the limit before it is refused; growing it
// anew each time would cost a sender's victim more than reading does.
var bodyPool = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxPooled keeps what a receiver without a limit once read from staying.
const maxPooled = 4 * defaultMaxBody

func putBody(b *bytes.Buffer) {
	if b.Cap() <= maxPooled {
		b.Reset()
		bodyPool.Put(b)
	}
}

func consumedUnless(complete bool) error {
	if complete {
		return nil
	}
	return ErrBodyConsumed
}

// bodyError tells the limit, ours or that of an http.MaxBytesReader around, and
// a body that was closed from what the connection did.
func bodyError(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return ErrBodyTooLarge
	case errors.Is(err, http.ErrBodyReadAfterClose):
		return ErrBodyConsumed
	}
	return fmt.Errorf("%w: %w", ErrBodyRead, err)
}
