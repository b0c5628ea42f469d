package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// told keeps what the hooks were told.
type told struct {
	mu                   sync.Mutex
	attempts             []webhook.AttemptInfo
	delivered, exhausted []webhook.DeliveryInfo
}

func (h *told) hooks() webhook.Hooks {
	locked := func(f func()) { h.mu.Lock(); defer h.mu.Unlock(); f() }
	return webhook.Hooks{
		OnAttempt: func(_ context.Context, a webhook.AttemptInfo) { locked(func() { h.attempts = append(h.attempts, a) }) },
		OnDelivered: func(_ context.Context, d webhook.DeliveryInfo) {
			locked(func() { h.delivered = append(h.delivered, d) })
		},
		OnExhausted: func(_ context.Context, d webhook.DeliveryInfo) {
			locked(func() { h.exhausted = append(h.exhausted, d) })
		},
	}
}

func TestHooksReportWhatBecameOfAnAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var h told
		answer := newSwitch(500)
		r := newRig(t, func(ctx context.Context, req *webhook.Request) (*webhook.Response, error) {
			time.Sleep(20 * time.Millisecond)
			return answer.answer(ctx, req)
		}, func(c *webhook.Config) { c.Hooks, c.Retry = h.hooks(), webhook.Schedule{time.Second, time.Minute} })
		ep := r.endpoint(hookURL)
		r.start()
		ev := r.emit(1)[0]
		time.Sleep(10 * time.Minute)
		answer.code.Store(200)
		r.emit(1)
		time.Sleep(time.Minute)
		r.stop()

		require.Len(t, h.attempts, 4)
		for i, want := range []struct {
			status  webhook.DeliveryStatus
			reason  webhook.DeliveryReason
			next    time.Duration
			made    int
			code    int
			failure webhook.FailureKind
		}{
			{webhook.DeliveryPending, "", time.Second, 1, 500, webhook.FailureHTTPStatus},
			{webhook.DeliveryPending, "", time.Minute, 2, 500, webhook.FailureHTTPStatus},
			{webhook.DeliveryExhausted, webhook.ReasonAttempts, 0, 3, 500, webhook.FailureHTTPStatus},
			{webhook.DeliveryDelivered, "", 0, 1, 200, ""},
		} {
			a := h.attempts[i]
			assert.Equal(t, want.status, a.Status, i)
			assert.Equal(t, want.reason, a.Reason, i)
			assert.Equal(t, want.next, a.NextIn, i)
			assert.Equal(t, want.made, a.Attempts, i)
			assert.Equal(t, want.code, a.StatusCode, i)
			assert.Equal(t, want.failure, a.Failure, i)
			assert.Equal(t, 20*time.Millisecond, a.Duration, i)
		}
		assert.Equal(t, []webhook.DeliveryInfo{h.attempts[2].DeliveryInfo}, h.exhausted)
		assert.Equal(t, []webhook.DeliveryInfo{h.attempts[3].DeliveryInfo}, h.delivered)
		first := h.attempts[0].DeliveryInfo
		assert.Equal(t, []any{"acme", ep.ID, ev.ID, ev.Type}, []any{first.AccountID, first.EndpointID, first.EventID, first.EventType})
	})
}

func TestWhatIsGivenBackUnsentIsClaimedWithoutWaitingForThePoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(context.Context, *webhook.Request) (*webhook.Response, error) {
			time.Sleep(2 * time.Second)
			return &webhook.Response{StatusCode: 200}, nil
		}, func(c *webhook.Config) { c.PollInterval = time.Hour })
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		r.emit(4) // one at first, since nothing is known of the endpoint
		time.Sleep(time.Second)
		url := "https://new.example.com/"
		_, err := r.UpdateEndpoint(t.Context(), "acme", ep.ID, webhook.EndpointChange{URL: &url})
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		assert.Len(t, r.transport.to(url), 3)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 4)
	})
}

// never asks for pauses beyond all reason.
type never struct{ pause time.Duration }

func (n never) Next(int, webhook.Result) (time.Duration, bool) { return n.pause, true }

func TestPausesOfAPolicyAreBounded(t *testing.T) {
	t.Parallel()
	for asked, want := range map[time.Duration]time.Duration{
		math.MaxInt64:              365 * 24 * time.Hour,
		365*24*time.Hour - 1:       365*24*time.Hour - 1,
		math.MinInt64:              0,
		-time.Second:               0,
		1500 * time.Millisecond:    1500 * time.Millisecond,
		10 * 365 * 24 * time.Hour:  365 * 24 * time.Hour,
		365*24*time.Hour + 1000000: 365 * 24 * time.Hour,
	} {
		synctest.Test(t, func(t *testing.T) {
			var h told
			r := newRig(t, status(500), func(c *webhook.Config) { c.Hooks, c.Retry = h.hooks(), never{asked} })
			r.endpoint(hookURL)
			r.emit(1)
			_, err := r.DeliverDue(t.Context())
			require.NoError(t, err)
			require.Len(t, h.attempts, 1)
			assert.Equal(t, want, h.attempts[0].NextIn)
		})
	}
}

// cutStore records the first results that it gets, and their answer is lost.
type cutStore struct {
	webhook.Store
	settled atomic.Int64
}

func (s *cutStore) Settle(ctx context.Context, batch []webhook.Settlement) (webhook.Settled, error) {
	out, err := s.Store.Settle(ctx, batch)
	if s.settled.Add(1) == 1 {
		return webhook.Settled{}, errors.New("the connection was reset after the commit")
	}
	return out, err
}

// lostStore loses the first results, and their deliveries are given back.
type lostStore struct {
	webhook.Store
	meanwhile func()
	settled   atomic.Int64
}

func (s *lostStore) Settle(ctx context.Context, batch []webhook.Settlement) (webhook.Settled, error) {
	if s.settled.Add(1) == 1 {
		for _, x := range batch {
			x.Outcome, x.Attempt = webhook.OutcomeReleased, nil
			if _, err := s.Store.Settle(ctx, []webhook.Settlement{x}); err != nil {
				return webhook.Settled{}, err
			}
		}
		s.meanwhile()
		return webhook.Settled{}, errors.New("the connection was reset before the commit")
	}
	return s.Store.Settle(ctx, batch)
}

func TestHooksDoNotTellOfWhatWasCancelledMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told atomic.Int64
		lost := &lostStore{}
		r := newRig(t, status(500), func(cfg *webhook.Config) {
			lost.Store, cfg.Store = cfg.Store, lost
			cfg.Retry = webhook.Schedule{}
			cfg.Hooks.OnExhausted = func(context.Context, webhook.DeliveryInfo) { told.Add(1) }
		})
		ep := r.endpoint(hookURL)
		lost.meanwhile = func() {
			assert.NoError(t, r.store.DeleteEndpoint(context.Background(), webhook.EndpointDelete{AccountID: "acme", ID: ep.ID}))
			m, err := r.store.Maintain(context.Background(), webhook.MaintainRequest{Limit: 10})
			assert.NoError(t, err)
			assert.Equal(t, 1, m.Cancelled)
		}
		r.emit(1)
		_, _ = r.DeliverDue(t.Context())
		assert.EqualValues(t, 2, lost.settled.Load(), "it was told again")
		assert.Zero(t, told.Load())
	})
}

// slowToList answers lists only when the context of the call ends.
type slowToList struct{ webhook.Store }

func (s slowToList) ListDeliveries(ctx context.Context, _ webhook.DeliveryFilter) (webhook.Page[webhook.Delivery], error) {
	<-ctx.Done()
	return webhook.Page[webhook.Delivery]{}, ctx.Err()
}

func TestAskingWhatWasRecordedTakesASecondInAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, status(500), func(cfg *webhook.Config) {
			cfg.Store = &cutStore{Store: slowToList{cfg.Store}}
			cfg.Retry = webhook.Schedule{}
		})
		r.endpoint(hookURL)
		r.emit(20)
		for begin := time.Now(); ; {
			n, err := r.DeliverDue(t.Context())
			require.NoError(t, err)
			if n == 0 {
				assert.Less(t, time.Since(begin), 3*time.Second)
				break
			}
		}
	})
}

func TestHooksReportACommitWhoseResultIsLost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status                         int
		delivered, exhausted, disabled int64
	}{
		"delivered": {status: 200, delivered: 1},
		"exhausted": {status: 500, exhausted: 1, disabled: 1},
		"gone":      {status: 410, exhausted: 1, disabled: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var attempts, delivered, exhausted, disabled atomic.Int64
				r := newRig(t, status(c.status), func(cfg *webhook.Config) {
					cfg.Store = &cutStore{Store: cfg.Store}
					cfg.Retry = webhook.Schedule{}
					cfg.Disable.After = 1
					cfg.Hooks = webhook.Hooks{
						OnAttempt:   func(context.Context, webhook.AttemptInfo) { attempts.Add(1) },
						OnDelivered: func(context.Context, webhook.DeliveryInfo) { delivered.Add(1) },
						OnExhausted: func(context.Context, webhook.DeliveryInfo) { exhausted.Add(1) },
						OnEndpointDisabled: func(_ context.Context, f webhook.EndpointFailures) {
							assert.NotEmpty(t, f.Disabled)
							assert.Equal(t, hookURL, f.URL)
							assert.NotEmpty(t, f.LastFailure.DeliveryID)
							disabled.Add(1)
						},
					}
				})
				ep := r.endpoint(hookURL)
				r.emit(1)
				n, err := r.DeliverDue(t.Context())
				require.NoError(t, err)
				assert.Equal(t, 1, n)
				assert.EqualValues(t, 1, attempts.Load(), "attempts")
				assert.Equal(t, c.delivered, delivered.Load(), "delivered")
				assert.Equal(t, c.exhausted, exhausted.Load(), "exhausted")
				assert.Equal(t, c.disabled, disabled.Load(), "disabled")
				assert.Equal(t, c.disabled == 1, r.get(ep.ID).Status == webhook.EndpointInactive)
			})
		})
	}
}

// signalling is a store with the ability to signal, over a channel.
type signalling struct {
	webhook.Store
	signals chan struct{}
	err     error
	calls   *atomic.Int64
}

func (s signalling) Signal(context.Context) error {
	s.calls.Add(1)
	if s.err == nil {
		s.signals <- struct{}{}
	}
	return s.err
}

// One engine emits and another one delivers, as in two processes.
func TestASignalSavesOtherProcessesTheWaitForThePoll(t *testing.T) {
	t.Parallel()
	for name, emit := range map[string]func(t *testing.T, emits, delivers *rig){
		"Emit": func(_ *testing.T, emits, _ *rig) { emits.emit(1) },
		"Wake after EmitTx": func(t *testing.T, emits, delivers *rig) {
			tx := delivers.store.Begin()
			require.NoError(t, emits.EmitTx(t.Context(), tx, event(t)))
			require.NoError(t, tx.Commit())
			emits.Wake()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				signals := make(chan struct{}, 10)
				cuts := make(chan error, 1)
				delivers := newRig(t, status(200), func(c *webhook.Config) {
					c.PollInterval = time.Hour
					c.Listen = func(ctx context.Context, wake func()) error {
						for {
							select {
							case <-signals:
								wake()
							case err := <-cuts:
								if err == nil {
									panic("out of order")
								}
								return err
							case <-ctx.Done():
								return ctx.Err()
							}
						}
					}
				})
				ep := delivers.endpoint(hookURL)
				calls := new(atomic.Int64)
				emits := newRig(t, status(200), func(c *webhook.Config) {
					c.Store = signalling{Store: delivers.store, signals: signals, calls: calls}
				})
				delivers.start()
				defer delivers.stop()
				delivered := func(n int) {
					t.Helper()
					require.NoError(t, emits.Stop(t.Context()), "waits for the signal")
					time.Sleep(10 * time.Millisecond)
					assert.Len(t, delivers.deliveries(ep.ID, webhook.DeliveryDelivered), n)
					assert.EqualValues(t, n, calls.Load(), "one signal each")
				}
				time.Sleep(time.Second)
				emit(t, emits, delivers)
				delivered(1)
				for i, cut := range []error{errors.New("cut off"), nil} {
					cuts <- cut
					time.Sleep(10 * time.Second)
					emit(t, emits, delivers)
					delivered(i + 2)
				}
			})
		})
	}
}

func TestASignalThatFailsOrIsSwitchedOffHarmsNobody(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err    error
		calls  int64
		logged int
	}{
		"fails":        {errors.New("no connection"), 3, 1},
		"switched off": {errors.ErrUnsupported, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				calls := new(atomic.Int64)
				var log bytes.Buffer
				r := newRig(t, status(200), func(c *webhook.Config) {
					c.Store = signalling{Store: c.Store, err: tc.err, calls: calls}
					c.Logger = slog.New(slog.NewTextHandler(&log, nil))
				})
				r.endpoint(hookURL)
				for range 3 {
					r.emit(1)
					time.Sleep(10 * time.Second)
				}
				r.stop()
				assert.Equal(t, tc.calls, calls.Load())
				assert.Equal(t, tc.logged, strings.Count(log.String(), "cannot be signalled"), log.String())
			})
		})
	}
}

func TestTheLetterAboutADisabledEndpointNeedsNoQuery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const secretURL = "https://hooks.example.com/services/T0/XYZZY?key=XYZZY"
		var letter webhook.EndpointFailures
		var log bytes.Buffer
		r := newRig(t, newSwitch(500).answer, func(c *webhook.Config) {
			c.Disable.After = 2
			c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			c.Hooks.OnEndpointDisabled = func(_ context.Context, f webhook.EndpointFailures) { letter = f }
		})
		ep := r.endpoint(secretURL)
		r.start()
		r.emit(1)
		time.Sleep(time.Second / 2)
		h, err := r.EndpointHealth(t.Context(), "acme", ep.ID)
		require.NoError(t, err)
		assert.Equal(t, webhook.EndpointFailing, h.Status)
		assert.Zero(t, h.ConsecutiveFailures, "the delivery has attempts left")
		assert.Equal(t, 1, h.LastFailure.Number)
		text := fmt.Sprint(h)
		assert.Contains(t, text, ": failing, last failure http_status 500 of delivery "+h.LastFailure.DeliveryID)
		assert.Contains(t, text, ", 0 failures counted towards disabling it, 1 deliveries pending")

		time.Sleep(time.Minute)
		r.emit(1)
		time.Sleep(time.Hour)
		r.stop()
		assert.Equal(t, secretURL, letter.URL)
		assert.Equal(t, webhook.DisabledFailing, letter.Disabled)
		attempts, err := r.ListAttempts(t.Context(), "acme", letter.LastFailure.DeliveryID)
		require.NoError(t, err)
		require.Len(t, attempts, 6)
		want := attempts[5]
		want.ResponseBody = nil
		assert.Equal(t, want, letter.LastFailure)
		assert.Equal(t, 500, want.StatusCode)
		assert.Equal(t, webhook.FailureHTTPStatus, want.Failure)
		assert.NotEmpty(t, want.Detail)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryExhausted), 2)

		h, err = r.EndpointHealth(t.Context(), "acme", ep.ID)
		require.NoError(t, err)
		assert.Equal(t, secretURL, h.URL)
		assert.Equal(t, letter.LastFailure, h.LastFailure)
		assert.Contains(t, log.String(), "host=https://hooks.example.com")

		slog.New(slog.NewJSONHandler(&log, nil)).Info("", "letter", letter, "health", h, "pointers", &letter)
		slog.New(slog.NewTextHandler(&log, nil)).Info("", "letter", letter, "health", &h)
		for _, v := range []any{letter, &letter, h, &h, []any{letter, h}, struct{ F webhook.EndpointFailures }{letter}} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
				_, _ = fmt.Fprintf(&log, verb, v)
			}
		}
		assert.NotContains(t, log.String(), "XYZZY")
		for _, v := range []any{letter, h} {
			whole, err := json.Marshal(v)
			require.NoError(t, err)
			assert.Contains(t, string(whole), secretURL, "what is encoded goes to the owner")
		}
	})
}
