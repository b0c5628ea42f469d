package webhook

import (
	"net/http"
	"strings"
	"time"
)

// maxRetryAfter is the longest pause that a receiver can ask for. Beyond it a
// receiver could keep its deliveries pending for ever.
const maxRetryAfter = 15 * time.Minute

// retryAfter answers the pause that a response asks for with Retry-After, at
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
