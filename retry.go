package webhook

import (
	"net/http"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/ringyo-ai/webhook/internal/check"
)

// RetryPolicy decides when a failed delivery is attempted again. It must be
// stateless and safe for concurrent use.
type RetryPolicy interface {
	// Next returns the pause before the next attempt, or again = false when there
	// is to be none. attempt is the number of attempts made, 1 after the first;
	// last is the result of the latest. Jitter and Retry-After are applied to what
	// it returns afterwards.
	Next(attempt int, last Result) (delay time.Duration, again bool)
}

// Result is the result of one attempt, as a [RetryPolicy] sees it.
type Result struct {
	StatusCode int           // 0: no response
	Failure    FailureKind   // empty after a success
	RetryAfter time.Duration // asked for by a 429 or 503; 0: none
	Duration   time.Duration // of the attempt
}

// Schedule is a [RetryPolicy] of fixed pauses: Schedule[0] after the first
// failed attempt, and so on; none is left after the last.
type Schedule []time.Duration

// Next implements [RetryPolicy].
func (s Schedule) Next(attempt int, _ Result) (time.Duration, bool) {
	if attempt < 1 || attempt > len(s) {
		return 0, false
	}
	return s[attempt-1], true
}

// DefaultRetry returns the documented schedule: five retries, after 1 s, 5 s,
// 30 s, 2 min and 10 min.
func DefaultRetry() RetryPolicy {
	return Schedule{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}
}

// FromBackOff makes a [RetryPolicy] of a backoff. fresh must return a new value at
// each call: a backoff has state and is not safe for concurrent use. At most
// maxAttempts attempts are made. For each pause a new backoff is stepped through
// from its first one, so the elapsed time that a backoff measures is always about
// zero: a backoff.ExponentialBackOff stops only where a single pause would exceed
// its MaxElapsedTime, 15 minutes by default.
func FromBackOff(fresh func() backoff.BackOff, maxAttempts int) RetryPolicy {
	return backOffPolicy{fresh, maxAttempts}
}

type backOffPolicy struct {
	fresh       func() backoff.BackOff
	maxAttempts int
}

func (p backOffPolicy) Next(attempt int, _ Result) (time.Duration, bool) {
	if attempt < 1 || attempt >= p.maxAttempts {
		return 0, false
	}
	b := p.fresh()
	var d time.Duration
	for range attempt {
		if d = b.NextBackOff(); d == backoff.Stop {
			return 0, false
		}
	}
	return d, true
}

// DisablePolicy says when an endpoint that keeps failing is disabled. Faults of
// the sending side never count, nor does a delivery whose last response was 429.
type DisablePolicy struct {
	// After is the number of failures after which an endpoint is disabled, if it
	// had no success in between. A failure is a delivery all of whose attempts
	// failed. Defaults to 10; -1 never disables.
	After int

	// CountAttempts makes every failed attempt a failure, instead of every
	// exhausted delivery.
	CountAttempts bool

	// MinFailing is how long the endpoint must also have been failing, counted from
	// the first of these failures. Defaults to 0.
	MinFailing time.Duration

	// IgnoreGone treats 410 Gone like any other failed attempt. By default it
	// ends the delivery and disables the endpoint at once.
	IgnoreGone bool

	// RecoverAfter lets an endpoint that its failures disabled come back by itself:
	// after this time the oldest delivery held for it is attempted once. If that
	// succeeds the endpoint is enabled and what is held for it released gradually;
	// otherwise the next such trial follows after twice the pause, up to RecoverMax. A
	// trial uses up one of its delivery's attempts. An endpoint that was disabled by
	// hand, or by 410 Gone, stays disabled, and so does one that was disabled while this
	// was 0. Defaults to 0: none comes back; at least 1 s, better 5 min.
	RecoverAfter time.Duration

	// RecoverMax is the longest pause between two trials. Defaults to 24 h, or to
	// RecoverAfter if that is longer.
	RecoverMax time.Duration
}

func (p *DisablePolicy) complete(s *check.Settings) {
	check.OrOff(s, "Disable.After", &p.After, 10)
	check.Positive(s, "Disable.MinFailing", &p.MinFailing, 0)
	check.Positive(s, "Disable.RecoverAfter", &p.RecoverAfter, 0)
	if p.RecoverAfter > 0 && p.RecoverAfter < time.Second {
		s.Fail("Disable.RecoverAfter", "must be 0 or at least 1s")
	}
	check.Positive(s, "Disable.RecoverMax", &p.RecoverMax, max(24*time.Hour, p.RecoverAfter))
	if p.RecoverMax > 0 && p.RecoverMax < p.RecoverAfter {
		s.Fail("Disable.RecoverMax", "must be at least Disable.RecoverAfter")
	}
}

// storeBackOff is the pause after errors of the store: 100 ms, growing to 5 s,
// with jitter, without end.
func storeBackOff() backoff.BackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMaxInterval(5*time.Second),
		backoff.WithMaxElapsedTime(0),
	)
}

// releasePause is the pause before a delivery that our own side kept from being
// attempted is tried again: 1 s, doubling up to 5 min.
func releasePause(releases int) time.Duration {
	return min(time.Second<<min(releases, 9), 5*time.Minute)
}

// releaseLimit is the number of such pauses that add up to 24 hours (511 s in
// the first nine, then 5 min each), after which the delivery ends.
const releaseLimit = 296

// maxRetryAfter is the longest pause that a receiver can ask for. Beyond it a
// receiver could keep its deliveries pending for ever.
const maxRetryAfter = 15 * time.Minute

// retryAfter returns the pause that a response asks for with Retry-After, at
// most maxRetryAfter; ok is false when it asks for none. Only 429 and 503 are
// heard. The header is a number of seconds or an HTTP date (RFC 9110, 10.2.3);
// what is neither, and a date in the past, is as good as absent.
func retryAfter(h http.Header, status int, now time.Time) (d time.Duration, ok bool) {
	if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		return 0, false
	}
	v := h["Retry-After"]
	if len(v) != 1 {
		return 0, false
	}
	s := strings.Trim(v[0], " \t")
	if d, ok = parseSeconds(s); !ok {
		at, err := http.ParseTime(s)
		if err != nil {
			return 0, false
		}
		d = at.Sub(now)
	}
	if d <= 0 {
		return 0, false
	}
	return min(d, maxRetryAfter), true
}

// parseSeconds reads digits only, and any number of them: what is too large for
// a pause is as large as the cap.
func parseSeconds(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	var n time.Duration
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+time.Duration(c-'0'), maxRetryAfter/time.Second)
	}
	return n * time.Second, true
}
