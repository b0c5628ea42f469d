package webhook_test

import (
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/ringyo-ai/webhook"
)

// A schedule is a list of pauses; a backoff becomes a policy by FromBackOff.
func ExampleSchedule() {
	patient := webhook.Schedule{time.Minute, time.Hour, 24 * time.Hour}
	pause, again := patient.Next(1, webhook.Result{StatusCode: 503})
	fmt.Println("after the first attempt:", pause, again)
	_, again = patient.Next(4, webhook.Result{StatusCode: 503})
	fmt.Println("after the fourth:", again)

	doubling := webhook.FromBackOff(func() backoff.BackOff {
		return backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(time.Second),
			backoff.WithMultiplier(2),
			backoff.WithRandomizationFactor(0), // the engine adds jitter by itself
		)
	}, 8)
	pause, again = doubling.Next(4, webhook.Result{StatusCode: 503})
	fmt.Println("doubling, after the fourth:", pause, again)
	// Output:
	// after the first attempt: 1m0s true
	// after the fourth: false
	// doubling, after the fourth: 8s true
}
