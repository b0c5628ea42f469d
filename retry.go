package webhook

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// RetryPolicy decides when a failed delivery is attempted again. It must be
// stateless and safe for concurrent use.
type RetryPolicy interface {
	// Next answers the pause before the next attempt, or again = false when
	// there shall be none. attempt is the number of attempts made, 1 after the
	// first; last is the result of the latest. Jitter and Retry-After are
	// applied to the answer afterwards.
	Next(attempt int, last Result) (delay time.Duration, again bool)
}

// Result is the result of one attempt, as a [RetryPolicy] sees it.
type Result struct {
	StatusCode int           // 0: no answer
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

// DefaultRetry answers the documented schedule: five retries, after 1 s, 5 s,
// 30 s, 2 min and 10 min.
func DefaultRetry() RetryPolicy {
	return Schedule{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}
}

// FromBackOff makes a [RetryPolicy] of a backoff. fresh must answer a new value
// at each call: a backoff has state and is not safe for concurrent use. At most
// maxAttempts attempts are made. Note that the pauses of a backoff count on
// from zero at each calculation, and that backoff.ExponentialBackOff stops by
// itself once MaxElapsedTime, 15 minutes by default, would have passed.
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
