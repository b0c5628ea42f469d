package webhook_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// healthyURL keeps the outage detector quiet: something answers.
const healthyURL = "https://healthy.example.com/"

// switchable answers 200 to healthyURL and the status of the day to others.
type switchable struct{ code atomic.Int64 }

func (s *switchable) answer(_ context.Context, r *webhook.Request) (*webhook.Response, error) {
	if r.URL == healthyURL {
		return &webhook.Response{StatusCode: 200}, nil
	}
	return &webhook.Response{StatusCode: int(s.code.Load())}, nil
}

func newSwitch(code int) *switchable {
	s := &switchable{}
	s.code.Store(int64(code))
	return s
}

// exhaust lets n deliveries fail all their attempts.
func (r *rig) exhaust(n int) {
	r.emit(n)
	time.Sleep(time.Hour)
}

func TestNineExhaustedOneSuccessNineStaysEnabled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSwitch(500)
		r := newRig(t, s.answer)
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		r.exhaust(9)
		assert.Equal(t, 9, r.get(ep.ID).ConsecutiveFailures)
		assert.Equal(t, webhook.EndpointFailing, r.get(ep.ID).Status)
		s.code.Store(200)
		r.exhaust(1)
		assert.Equal(t, 0, r.get(ep.ID).ConsecutiveFailures)
		assert.Equal(t, webhook.EndpointActive, r.get(ep.ID).Status)
		s.code.Store(500)
		r.exhaust(9)
		assert.Equal(t, webhook.EndpointFailing, r.get(ep.ID).Status)
		assert.Equal(t, 9, r.get(ep.ID).ConsecutiveFailures)
	})
}

func TestTenExhaustedInARowDisableExactlyOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var disabled, failing []webhook.EndpointFailures
		var at time.Time
		r := newRig(t, newSwitch(500).answer, func(c *webhook.Config) {
			c.Hooks.OnEndpointDisabled = func(_ context.Context, f webhook.EndpointFailures) {
				mu.Lock()
				defer mu.Unlock()
				disabled, at = append(disabled, f), time.Now()
			}
			c.Hooks.OnEndpointFailing = func(_ context.Context, f webhook.EndpointFailures) {
				mu.Lock()
				defer mu.Unlock()
				failing = append(failing, f)
			}
		})
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		begin := time.Now()
		for range 10 {
			r.emit(1)
			time.Sleep(time.Second)
		}
		time.Sleep(2 * time.Hour)

		mu.Lock()
		defer mu.Unlock()
		require.Len(t, disabled, 1)
		assert.Equal(t, ep.ID, disabled[0].EndpointID)
		assert.Equal(t, "acme", disabled[0].AccountID)
		assert.Equal(t, 10, disabled[0].Failures)
		assert.Equal(t, webhook.DisabledFailing, disabled[0].Disabled)
		assert.Equal(t, 756*time.Second+9*time.Second, at.Sub(begin))
		got := r.get(ep.ID)
		assert.Equal(t, webhook.EndpointInactive, got.Status)
		assert.Equal(t, webhook.DisabledFailing, got.DisabledReason)
		require.Len(t, failing, 2, "warnings at half and four fifths")
		assert.Equal(t, 5, failing[0].Failures)
		assert.Equal(t, 8, failing[1].Failures)
	})
}

func TestADeadEndpointIsDisabledAfter12Min36AtTheEarliest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newSwitch(500).answer)
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		r.emit(50)
		time.Sleep(755 * time.Second)
		assert.NotEqual(t, webhook.EndpointInactive, r.get(ep.ID).Status)
		time.Sleep(2 * time.Second)
		assert.Equal(t, webhook.EndpointInactive, r.get(ep.ID).Status)
	})
}

func TestFiftyFirstAttemptsFailingInParallelThenRecoveryDoNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSwitch(500)
		r := newRig(t, s.answer)
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		r.emit(50)
		time.Sleep(500 * time.Millisecond)
		require.Len(t, r.transport.requests(), 50)
		assert.Equal(t, webhook.EndpointFailing, r.get(ep.ID).Status)
		s.code.Store(200)
		time.Sleep(time.Minute)
		assert.Equal(t, webhook.EndpointActive, r.get(ep.ID).Status)
		assert.Equal(t, 0, r.get(ep.ID).ConsecutiveFailures)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 50)
	})
}

func TestCountAttemptsAndMinFailing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newSwitch(500).answer, func(c *webhook.Config) {
			c.Disable = webhook.DisablePolicy{After: 3, CountAttempts: true, MinFailing: 10 * time.Second}
		})
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		r.emit(1)
		time.Sleep(7 * time.Second) // attempts at 0, 1 and 6 s
		assert.Equal(t, 3, r.get(ep.ID).ConsecutiveFailures)
		assert.Equal(t, webhook.EndpointFailing, r.get(ep.ID).Status, "it has not been failing for ten seconds")
		time.Sleep(30 * time.Second) // one more at 36 s
		assert.Equal(t, webhook.EndpointInactive, r.get(ep.ID).Status)
	})
}

func TestADeliveryWhoseLastResponseWas429NeverCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newSwitch(429).answer)
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		r.exhaust(20)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryExhausted), 20)
		assert.Equal(t, 0, r.get(ep.ID).ConsecutiveFailures)
		assert.Equal(t, webhook.EndpointFailing, r.get(ep.ID).Status)
	})
}

func TestGoneEndsTheDeliveryAndDisablesTheEndpointAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var disabled atomic.Int64
		s := newSwitch(410)
		r := newRig(t, s.answer, func(c *webhook.Config) {
			c.Hooks.OnEndpointDisabled = func(_ context.Context, f webhook.EndpointFailures) {
				disabled.Add(1)
				assert.Equal(t, webhook.DisabledGone, f.Disabled)
			}
			c.Hooks.AllowDisable = func(context.Context, string, string) bool { return false }
		})
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		r.emit(1)
		time.Sleep(time.Second)
		assert.Len(t, r.transport.requests(), 1, "B20: no retry")
		assert.Equal(t, webhook.DisabledGone, r.get(ep.ID).DisabledReason)
		assert.EqualValues(t, 1, disabled.Load())
		d := r.deliveries(ep.ID, webhook.DeliveryExhausted)
		require.Len(t, d, 1)
		assert.Equal(t, webhook.ReasonGone, d[0].Reason)

		r.emit(3)
		time.Sleep(time.Minute)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryHeld), 3, "what comes later is held, not lost")
	})
}

func TestIgnoreGoneMakes410APlainFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newSwitch(410).answer, func(c *webhook.Config) { c.Disable.IgnoreGone = true })
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		r.emit(1)
		time.Sleep(time.Hour)
		assert.Len(t, r.transport.requests(), 6)
		assert.Equal(t, webhook.EndpointFailing, r.get(ep.ID).Status)
	})
}

func TestDisablingHoldsAndEnablingReleases(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSwitch(500)
		r := newRig(t, s.answer)
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		r.emit(20)
		time.Sleep(100 * time.Millisecond)
		got, err := r.DisableEndpoint(t.Context(), "acme", ep.ID)
		require.NoError(t, err)
		assert.Equal(t, webhook.EndpointInactive, got.Status)
		r.emit(5)
		time.Sleep(time.Hour)
		sent := len(r.transport.requests())
		assert.Equal(t, 20, sent, "nothing goes to a disabled endpoint")
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryHeld), 25)
		h, err := r.EndpointHealth(t.Context(), "acme", ep.ID)
		require.NoError(t, err)
		assert.Equal(t, 25, h.Held)
		assert.Equal(t, 0, h.Pending)

		s.code.Store(200)
		_, err = r.EnableEndpoint(t.Context(), "acme", ep.ID)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 25, "nothing is lost")
		assert.Equal(t, webhook.EndpointActive, r.get(ep.ID).Status)
	})
}

func TestVetoHoldsBackAndAskingGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var allowed atomic.Bool
		var asked atomic.Int64
		r := newRig(t, newSwitch(500).answer, func(c *webhook.Config) {
			c.Hooks.AllowDisable = func(_ context.Context, accountID, endpointID string) bool {
				asked.Add(1)
				assert.Equal(t, "acme", accountID)
				return allowed.Load()
			}
		})
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		r.exhaust(12)
		assert.Positive(t, asked.Load())
		assert.Equal(t, 12, r.get(ep.ID).ConsecutiveFailures)
		assert.Equal(t, webhook.EndpointFailing, r.get(ep.ID).Status)
		allowed.Store(true)
		r.exhaust(1)
		assert.Equal(t, webhook.EndpointInactive, r.get(ep.ID).Status)
	})
}

func TestAPanickingOrSleepingVetoHoldsBack(t *testing.T) {
	t.Parallel()
	for name, veto := range map[string]func(context.Context, string, string) bool{
		"panic": func(context.Context, string, string) bool { panic("veto") },
		"sleep": func(ctx context.Context, _, _ string) bool { <-ctx.Done(); return true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, newSwitch(500).answer, func(c *webhook.Config) { c.Hooks.AllowDisable = veto })
				ep := r.endpoint(hookURL)
				r.start()
				defer r.stop()
				r.exhaust(11)
				assert.Equal(t, webhook.EndpointFailing, r.get(ep.ID).Status)
				assert.Equal(t, 11, r.get(ep.ID).ConsecutiveFailures)
			})
		})
	}
}

func TestDisablingIsHeldBackWhileNothingResponds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		r := newRig(t, func(_ context.Context, req *webhook.Request) (*webhook.Response, error) {
			time.Sleep(time.Millisecond) // so that endpoints take turns
			if up.Load() && req.URL == healthyURL {
				return &webhook.Response{StatusCode: 200}, nil
			}
			return nil, errors.New("no way out")
		})
		dead := r.endpoint(hookURL, "test.happened")
		r.endpoint("https://b.example.com/", "test.happened")
		r.endpoint("https://c.example.com/", "test.happened")
		r.endpoint(healthyURL, "test.happened")
		r.start()
		defer r.stop()
		r.exhaust(15)
		assert.Equal(t, 15, r.get(dead.ID).ConsecutiveFailures, "failures are remembered")
		assert.Equal(t, webhook.EndpointFailing, r.get(dead.ID).Status, "our own way out seems to be down")

		up.Store(true)
		r.exhaust(1)
		for range 13 { // something answers within the minute of the last attempt
			r.emit(1)
			time.Sleep(time.Minute)
		}
		assert.Equal(t, webhook.EndpointInactive, r.get(dead.ID).Status)
	})
}

func TestFailuresFromBeforeAnEnableDoNotCount(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(r *rig, id string){
		"D6 disable and enable": func(r *rig, id string) {
			_, err := r.DisableEndpoint(context.Background(), "acme", id)
			require.NoError(r.t, err)
			_, err = r.EnableEndpoint(context.Background(), "acme", id)
			require.NoError(r.t, err)
		},
		"URL change": func(r *rig, id string) {
			url := "https://new.example.com/"
			_, err := r.UpdateEndpoint(context.Background(), "acme", id, webhook.EndpointChange{URL: &url})
			require.NoError(r.t, err)
		},
		"secret change": func(r *rig, id string) {
			_, err := r.RotateSecret(context.Background(), "acme", id, webhook.RotateParams{})
			require.NoError(r.t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(context.Context, *webhook.Request) (*webhook.Response, error) {
					time.Sleep(2 * time.Second)
					return &webhook.Response{StatusCode: 500}, nil
				}, func(c *webhook.Config) {
					c.Retry = webhook.Schedule{}
					c.Disable.After = 1
				})
				ep := r.endpoint(hookURL)
				r.start()
				defer r.stop()
				r.emit(1)
				time.Sleep(time.Second) // in flight
				change(r, ep.ID)
				time.Sleep(5 * time.Second)
				got := r.get(ep.ID)
				assert.NotEqual(t, webhook.EndpointInactive, got.Status)
				assert.Equal(t, 0, got.ConsecutiveFailures)
				r.emit(1)
				time.Sleep(5 * time.Second)
				assert.Equal(t, webhook.EndpointInactive, r.get(ep.ID).Status, "a later one counts")
			})
		})
	}
}

func TestLateResultsOfADisabledEndpoint(t *testing.T) { // D5
	t.Parallel()
	for _, code := range []int{200, 500} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(context.Context, *webhook.Request) (*webhook.Response, error) {
				time.Sleep(2 * time.Second)
				return &webhook.Response{StatusCode: code}, nil
			})
			ep := r.endpoint(hookURL)
			r.start()
			defer r.stop()
			r.emit(1)
			time.Sleep(time.Second)
			_, err := r.DisableEndpoint(t.Context(), "acme", ep.ID)
			require.NoError(t, err)
			time.Sleep(time.Hour)
			assert.Equal(t, webhook.EndpointInactive, r.get(ep.ID).Status, "a late answer does not enable")
			d := r.deliveries(ep.ID, "")
			require.Len(t, d, 1)
			want := webhook.DeliveryHeld
			if code == 200 {
				want = webhook.DeliveryDelivered
			}
			assert.Equal(t, want, d[0].Status)
			assert.Equal(t, 1, d[0].Attempts)
		})
	}
}

func TestRedeliverKeepsNoDeadEndpointAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newSwitch(500).answer)
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		r.emit(1)
		begin := time.Now()
		for r.get(ep.ID).Status != webhook.EndpointInactive && time.Since(begin) < 3*time.Hour {
			time.Sleep(5 * time.Minute)
			for _, d := range r.deliveries(ep.ID, "") {
				_, err := r.Redeliver(t.Context(), "acme", d.ID)
				require.NoError(t, err)
			}
		}
		t.Logf("disabled after %v and %d requests", time.Since(begin), len(r.transport.requests()))
		assert.Equal(t, webhook.EndpointInactive, r.get(ep.ID).Status)
	})
}
