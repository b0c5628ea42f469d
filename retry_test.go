package webhook_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

func pauses(p webhook.RetryPolicy) []time.Duration {
	var all []time.Duration
	for attempt := 1; ; attempt++ {
		d, again := p.Next(attempt, webhook.Result{})
		if !again {
			return all
		}
		all = append(all, d)
	}
}

func TestDefaultRetryIsTheDocumentedSchedule(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}, pauses(webhook.DefaultRetry()))
}

func TestScheduleRefusesAttemptsOutsideIt(t *testing.T) {
	t.Parallel()
	for _, attempt := range []int{-1, 0, 2} {
		_, again := webhook.Schedule{time.Second}.Next(attempt, webhook.Result{})
		assert.False(t, again, "attempt %d", attempt)
	}
}

func TestFromBackOffTakesAFreshValueForEachCalculation(t *testing.T) {
	t.Parallel()
	p := webhook.FromBackOff(func() backoff.BackOff {
		return backoff.NewExponentialBackOff(backoff.WithInitialInterval(time.Second), backoff.WithMultiplier(2), backoff.WithRandomizationFactor(0))
	}, 4)
	want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}
	assert.Equal(t, want, pauses(p))
	assert.Equal(t, want, pauses(p), "the first walk must not have used anything up")
}

func TestFromBackOffStopsWhereTheBackOffStops(t *testing.T) {
	t.Parallel()
	p := webhook.FromBackOff(func() backoff.BackOff { return &backoff.StopBackOff{} }, 10)
	assert.Empty(t, pauses(p))
}

const hookURL = "https://example.com/hook"

func TestRetryTimesAre0And1And6And36And156And756Seconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, status(500))
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		begin := time.Now()
		r.emit(1)
		time.Sleep(time.Hour)

		var at []time.Duration
		for _, s := range r.transport.requests() {
			at = append(at, s.at.Sub(begin))
		}
		want := []time.Duration{0, time.Second, 6 * time.Second, 36 * time.Second, 156 * time.Second, 756 * time.Second}
		assert.Equal(t, want, at)

		d := r.deliveries(ep.ID, "")
		require.Len(t, d, 1)
		assert.Equal(t, webhook.DeliveryExhausted, d[0].Status)
		assert.Equal(t, webhook.ReasonAttempts, d[0].Reason)
		assert.Equal(t, 6, d[0].Attempts)
		attempts, err := r.ListAttempts(t.Context(), "acme", d[0].ID)
		require.NoError(t, err)
		require.Len(t, attempts, 6)
		for i, a := range attempts {
			assert.Equal(t, i+1, a.Number)
			assert.Equal(t, 500, a.StatusCode)
			assert.Equal(t, webhook.FailureHTTPStatus, a.Failure)
		}
	})
}

func TestJitterAddsUpToTenPercent(t *testing.T) { // G4
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, status(500), func(c *webhook.Config) {
			c.Jitter = 0
			c.Retry = webhook.Schedule{100 * time.Second}
			c.Disable.After = -1
		})
		r.endpoint(hookURL)
		r.start()
		defer r.stop()
		begin := time.Now()
		r.emit(200)
		time.Sleep(time.Hour)

		seen := map[time.Duration]bool{}
		for _, s := range r.transport.requests()[200:] {
			at := s.at.Sub(begin)
			assert.GreaterOrEqual(t, at, 100*time.Second)
			assert.LessOrEqual(t, at, 110*time.Second+50*time.Millisecond)
			seen[at.Truncate(time.Second)] = true
		}
		assert.Greater(t, len(seen), 5, "retries must be spread")
	})
}

func TestRetryAfterIsTheLaterOfScheduleAndWishAndIsClamped(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code int
		wish string
		want time.Duration
	}{
		"B22 429 later than the schedule": {429, "120", 120 * time.Second},
		"earlier than the schedule":       {503, "0", time.Second},
		"B23 clamped to 15 minutes":       {503, "3600", 15 * time.Minute},
		"B24 nonsense":                    {503, "soon", time.Second},
		"B25 on another status":           {500, "120", time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(context.Context, *webhook.Request) (*webhook.Response, error) {
					return &webhook.Response{StatusCode: c.code, Header: http.Header{"Retry-After": {c.wish}}}, nil
				})
				r.endpoint(hookURL)
				r.start()
				defer r.stop()
				begin := time.Now()
				r.emit(1)
				time.Sleep(c.want + time.Millisecond)
				sent := r.transport.requests()
				require.Len(t, sent, 2)
				assert.Equal(t, c.want, sent[1].at.Sub(begin))
			})
		})
	}
}

func TestBodyAndIDAreTheSameOnEveryAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, status(500))
		r.endpoint(hookURL)
		r.start()
		defer r.stop()
		events := r.emit(1)
		time.Sleep(time.Hour)
		sent := r.transport.requests()
		require.Len(t, sent, 6)
		stamps := map[string]bool{}
		for _, s := range sent {
			assert.Equal(t, string(sent[0].Body), string(s.Body))
			assert.Equal(t, events[0].ID, s.Header.Get("Webhook-Id"))
			stamps[s.Header.Get("Webhook-Timestamp")] = true
		}
		assert.Len(t, stamps, 6, "each attempt has its own timestamp")
	})
}

func TestOtherStatusesAreRetried(t *testing.T) {
	t.Parallel()
	for _, code := range []int{0, 101, 199, 300, 302, 400, 401, 403, 404, 405, 413, 422, 500, 504, 521, 999} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, status(code))
			r.endpoint(hookURL)
			r.start()
			defer r.stop()
			r.emit(1)
			time.Sleep(1500 * time.Millisecond)
			assert.Len(t, r.transport.requests(), 2, "status %d", code)
		})
	}
}

func TestEvery2xxIsSuccess(t *testing.T) {
	t.Parallel()
	for _, code := range []int{200, 201, 202, 204, 206, 299} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, status(code))
			ep := r.endpoint(hookURL)
			r.start()
			defer r.stop()
			r.emit(1)
			time.Sleep(time.Hour)
			assert.Len(t, r.transport.requests(), 1, "status %d", code)
			assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 1)
		})
	}
}

func TestCustomPolicySeesAttemptAndResult(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &recordingPolicy{}
		r := newRig(t, status(418), func(c *webhook.Config) { c.Retry = p })
		r.endpoint(hookURL)
		r.start()
		defer r.stop()
		r.emit(1)
		time.Sleep(time.Minute)
		p.mu.Lock()
		defer p.mu.Unlock()
		assert.Equal(t, []int{1, 2, 3}, p.attempts)
		assert.Equal(t, 418, p.last.StatusCode)
		assert.Equal(t, webhook.FailureHTTPStatus, p.last.Failure)
	})
}

type recordingPolicy struct {
	mu       sync.Mutex
	attempts []int
	last     webhook.Result
}

func (p *recordingPolicy) Next(attempt int, last webhook.Result) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attempts, p.last = append(p.attempts, attempt), last
	return time.Second, attempt < 3
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
	const longest = 15 * time.Minute
	for _, c := range []struct {
		number string
		status int
		value  string
		want   time.Duration // 0: asks for nothing
	}{
		{"B22", 429, "120", 2 * time.Minute},
		{"B22", 429, " 120\t", 2 * time.Minute},
		{"B22", 503, "1", time.Second},
		{"B22", 503, "Mon, 15 Jan 2024 10:32:00 GMT", 2 * time.Minute},
		{"B22", 503, "Monday, 15-Jan-24 10:32:00 GMT", 2 * time.Minute},
		{"B22", 503, "Mon Jan 15 10:32:00 2024", 2 * time.Minute},
		{"B23", 503, "900", longest},
		{"B23", 503, "901", longest},
		{"B23", 503, "3600", longest},
		{"B23", 503, "Mon, 15 Jan 2024 11:30:00 GMT", longest},
		{"B24", 503, "Fri, 31 Dec 9999 23:59:59 GMT", longest},
		{"B24", 503, "Fri, 31 Dec 1999 23:59:59 GMT", 0},
		{"B24", 503, "Mon, 15 Jan 2024 10:30:00 GMT", 0},
		{"B24", 503, "Fri, 31 Dec 0000 23:59:59 GMT", 0},
		{"B24", 503, "0", 0},
		{"B24", 503, "-5", 0},
		{"B24", 503, "+5", 0},
		{"B24", 503, "", 0},
		{"B24", 503, "soon", 0},
		{"B24", 503, "1e9", 0},
		{"B24", 503, "1.5", 0},
		{"B24", 503, "NaN", 0},
		{"B24", 503, "٣", 0},
		{"B24", 503, "120, 60", 0},
		{"B24", 503, "9223372036854775808", longest},
		{"B24", 503, "1" + strings.Repeat("0", 30), longest},
		{"B24", 503, strings.Repeat("0", 60000), 0},
		{"B25", 200, "120", 0},
		{"B25", 301, "120", 0},
		{"B25", 500, "120", 0},
	} {
		got, ok := webhook.RetryAfter(http.Header{"Retry-After": {c.value}}, c.status, now)
		assert.Equal(t, c.want, got, "%s %d %.40q", c.number, c.status, c.value)
		assert.Equal(t, c.want > 0, ok, "%s %d %.40q", c.number, c.status, c.value)
	}
	for _, values := range [][]string{nil, {}, {"120", "60"}} {
		_, ok := webhook.RetryAfter(http.Header{"Retry-After": values}, 429, now)
		assert.False(t, ok, "B24 %q", values)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"120", "-5", "1e9", "Fri, 31 Dec 1999 23:59:59 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "99999999999999999999"} {
		f.Add(s, int64(1705314600))
	}
	f.Fuzz(func(t *testing.T, value string, unix int64) {
		d, ok := webhook.RetryAfter(http.Header{"Retry-After": {value}}, 503, time.Unix(unix, 0))
		require.Equal(t, ok, d > 0)
		require.GreaterOrEqual(t, d, time.Duration(0))
		require.LessOrEqual(t, d, webhook.MaxRetryAfter)
	})
}

func TestAnEndpointThatLimitsItsRateGetsEverythingInTime(t *testing.T) {
	t.Parallel()
	const quickly = 20 * time.Millisecond
	five := func(burst float64) func() limiter {
		return func() limiter { return &bucket{rate: 5, burst: burst} }
	}
	for _, tt := range []struct {
		name   string
		of     func() limiter
		status int
		asks   func(time.Time) string
		took   time.Duration
		within time.Duration // 600 at 5/s take 120 s
	}{
		{"503", five(1), 503, nil, quickly, 180 * time.Second},
		{"503, emitted in a transaction", five(1), 503, nil, quickly, 180 * time.Second},
		{"429", five(1), 429, nil, quickly, 180 * time.Second},
		{"429, Retry-After: 1", five(1), 429, asks("1"), quickly, 180 * time.Second},
		{"503, Retry-After: 1", five(1), 503, asks("1"), quickly, 180 * time.Second},
		{"429, Retry-After: 0", five(1), 429, asks("0"), quickly, 180 * time.Second},
		{"429, Retry-After: garbage", five(1), 429, asks("soon"), quickly, 180 * time.Second},
		{"429, Retry-After as a date", five(1), 429, func(now time.Time) string {
			return now.Add(time.Second).UTC().Format(http.TimeFormat)
		}, quickly, 180 * time.Second},
		{"a burst of 20", five(20), 503, nil, quickly, 180 * time.Second},
		{"a burst of 100, Retry-After: 1", five(100), 429, asks("1"), quickly, 180 * time.Second},
		{"at once", five(1), 503, nil, 0, 180 * time.Second},
		{"slow answers", five(1), 503, nil, 500 * time.Millisecond, 180 * time.Second},
		{"100 in 20 s", func() limiter { return &window{most: 100, period: 20 * time.Second} }, 429, nil, quickly, 6 * time.Minute},
		{"300 in a minute", func() limiter { return &window{most: 300, period: time.Minute} }, 429, nil, quickly, 6 * time.Minute},
		{"300 in a minute, Retry-After", func() limiter { return &window{most: 300, period: time.Minute} }, 429, func(now time.Time) string {
			return fmt.Sprint(60 - now.Second())
		}, quickly, 180 * time.Second},
		{"5 in any second", func() limiter { return &sliding{most: 5, period: time.Second} }, 429, asks("1"), quickly, 180 * time.Second},
		{"50 in any 10 s", func() limiter { return &sliding{most: 50, period: 10 * time.Second} }, 429, nil, quickly, 6 * time.Minute},
		{"503, 100 in 20 s", func() limiter { return &window{most: 100, period: 20 * time.Second} }, 503, nil, quickly, 6 * time.Minute},
		{"503, 50 in any 10 s", func() limiter { return &sliding{most: 50, period: 10 * time.Second} }, 503, nil, quickly, 6 * time.Minute},
		{"503, one in 2 s", func() limiter { return &bucket{rate: 0.5, burst: 1} }, 503, nil, quickly, 30 * time.Minute},
		{"one at a time", func() limiter { return together(1) }, 503, nil, 200 * time.Millisecond, 180 * time.Second},
		{"two at a time", func() limiter { return together(2) }, 429, nil, 400 * time.Millisecond, 180 * time.Second},
		{"429, Retry-After: huge", five(1), 429, asks("31536000"), quickly, 24 * time.Hour},
		{"503, Retry-After: beyond all numbers", five(1), 503, asks("99999999999999999999999"), quickly, 24 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := &limited{limiter: tt.of(), status: tt.status, retryAfter: tt.asks, took: tt.took, taken: map[string]int{}, refused: map[string]int{}}
				r := newRig(t, l.answer, func(c *webhook.Config) { c.Jitter = 0 })
				ep := r.endpoint("https://example.com/limited")
				r.start()
				begin := time.Now()
				if strings.HasSuffix(tt.name, "transaction") {
					sometx := r.store.Begin()
					for range 600 {
						require.NoError(t, r.EmitTx(context.Background(), sometx, event(t)))
					}
					require.NoError(t, sometx.Commit())
					r.Wake()
				} else {
					r.emit(600)
				}
				for len(r.deliveries(ep.ID, webhook.DeliveryPending)) > 0 && time.Since(begin) < tt.within {
					time.Sleep(time.Second)
				}
				all, most := l.refusals()
				t.Logf("%s: %d arrived, the last after %v; %d refused, one %d times", tt.name, len(l.taken), l.last.Sub(begin), all, most)
				assert.Equal(t, 600, len(r.deliveries(ep.ID, webhook.DeliveryDelivered)))
				assert.Zero(t, len(r.deliveries(ep.ID, webhook.DeliveryExhausted)))
				assert.NotEqual(t, webhook.EndpointInactive, r.get(ep.ID).Status)
				r.stop()
			})
		})
	}
}

// recovers lets an endpoint be disabled by its first exhausted delivery and come back.
func recovers(c *webhook.Config) {
	c.Retry = webhook.Schedule{}
	c.Disable = webhook.DisablePolicy{After: 1, RecoverAfter: 5 * time.Minute, RecoverMax: 15 * time.Minute}
}

func TestAnEndpointThatItsFailuresDisabledComesBackByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSwitch(500)
		var mu sync.Mutex
		var enabled []webhook.EndpointEnabled
		told := func(c *webhook.Config) {
			c.Hooks.OnEndpointEnabled = func(_ context.Context, e webhook.EndpointEnabled) {
				mu.Lock()
				defer mu.Unlock()
				enabled = append(enabled, e)
			}
		}
		r := newRig(t, s.answer, recovers, told)
		other := newRig(t, s.answer, recovers, told, func(c *webhook.Config) { c.Store, c.Transport = r.store, r.transport })
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		other.start()
		defer other.stop()
		begin := time.Now()
		r.emit(1)
		time.Sleep(time.Second)
		require.Equal(t, webhook.EndpointInactive, r.get(ep.ID).Status)
		disabledAt := r.get(ep.ID).DisabledAt
		r.emit(100)
		time.Sleep(40 * time.Minute)
		s.code.Store(200)
		time.Sleep(6 * time.Minute)

		sent := r.transport.requests()
		require.Len(t, sent, 101, "of both processes")
		for i, want := range []time.Duration{0, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, 45 * time.Minute} {
			assert.InDelta(t, want.Seconds(), sent[i].at.Sub(begin).Seconds(), 10, "request %d", i)
		}
		assert.Equal(t, webhook.EndpointActive, r.get(ep.ID).Status)
		assert.Equal(t, 0, r.get(ep.ID).ConsecutiveFailures)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryExhausted), 4, "each trial used up an attempt, and there is but one")
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 97)
		mu.Lock()
		defer mu.Unlock()
		assert.Equal(t, []webhook.EndpointEnabled{{EndpointID: ep.ID, AccountID: "acme", DisabledAt: disabledAt, Trials: 4}},
			enabled, "of whichever process made the trial")
	})
}
