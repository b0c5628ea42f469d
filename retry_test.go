package webhook_test

import (
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"

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
