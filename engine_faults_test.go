package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// sickStore fails or delays single methods.
type sickStore struct {
	webhook.Store
	enqueue  func()
	claim    func()
	claimed  func()
	maintain func(webhook.MaintainRequest) error
	expired  map[string]int // leases of an event's deliveries that ended in a row
}

func (s *sickStore) ConcurrencyHint() int { return 4 }

func (s *sickStore) Enqueue(ctx context.Context, r webhook.EnqueueRequest) (webhook.Enqueued, error) {
	run(s.enqueue)
	return s.Store.Enqueue(ctx, r)
}

func (s *sickStore) Claim(ctx context.Context, r webhook.ClaimRequest) (webhook.Claimed, error) {
	run(s.claim)
	c, err := s.Store.Claim(ctx, r)
	run(s.claimed)
	for i := range c.Deliveries {
		c.Deliveries[i].Expired = s.expired[c.Deliveries[i].Event.ID]
	}
	return c, err
}

func (s *sickStore) Maintain(ctx context.Context, r webhook.MaintainRequest) (webhook.Maintained, error) {
	if s.maintain != nil {
		if err := s.maintain(r); err != nil {
			return webhook.Maintained{}, err
		}
	}
	return s.Store.Maintain(ctx, r)
}

func newSick(t testing.TB, s *sickStore, answer func(context.Context, *webhook.Request) (*webhook.Response, error), adjust ...func(*webhook.Config)) *rig {
	return newRig(t, answer, append(adjust, func(c *webhook.Config) {
		s.Store, c.Store = c.Store, s
	})...)
}

func TestPurgingGoesOnWhileHousekeepingIsBusy(t *testing.T) { // G7
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var purges atomic.Int64
		s := &sickStore{maintain: func(r webhook.MaintainRequest) error {
			if r.Retention > 0 {
				purges.Add(1)
			}
			return nil
		}}
		r := newSick(t, s, status(500))
		r.endpoint(hookURL)
		r.start()
		defer r.stop()
		for range 55 { // retries are due all the time
			r.emit(1)
			time.Sleep(6 * time.Minute)
		}
		assert.EqualValues(t, 6, purges.Load(), "at the start and once an hour")
	})
}

// purgedInPages has so many pages of history that hold nothing to purge.
type purgedInPages struct {
	webhook.Store
	left atomic.Int64
}

func (p *purgedInPages) Maintain(ctx context.Context, r webhook.MaintainRequest) (webhook.Maintained, error) {
	m, err := p.Store.Maintain(ctx, r)
	if r.Retention > 0 && p.left.Add(-1) >= 0 {
		m.More, m.PurgeMore = true, true
	}
	return m, err
}

func TestPurgingGoesPastWhatIsHeld(t *testing.T) { // G7
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &purgedInPages{}
		p.left.Store(50)
		r := newRig(t, status(200), func(c *webhook.Config) { p.Store, c.Store = c.Store, p })
		r.start()
		defer r.stop()
		time.Sleep(time.Minute)
		assert.EqualValues(t, -1, p.left.Load(), "all pages and once more, and not again within the hour")
	})
}

func TestAPurgeThatFailsEndsNoDelivering(t *testing.T) {
	t.Parallel()
	for name, always := range map[string]bool{"purging fails": false, "all housekeeping fails": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &sickStore{maintain: func(r webhook.MaintainRequest) error {
					if always || r.Retention > 0 {
						return errors.New("canceling statement due to statement timeout")
					}
					return nil
				}}
				r := newSick(t, s, newSwitch(200).answer)
				ep := r.endpoint(hookURL)
				r.emit(10) // before Start, so it has to be claimed
				r.start()
				defer r.stop()
				time.Sleep(time.Minute)
				assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 10)
			})
		})
	}
}

func TestEmitsThatHandNothingOffDoNotKeepClaimsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sickStore{enqueue: func() { time.Sleep(time.Second) }}
		r := newSick(t, s, status(200))
		ep := r.endpoint(hookURL)
		r.start()
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 8 { // the store is never without several of them
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
				for ctx.Err() == nil {
					ev, err := webhook.NewEvent("somebody without endpoints", "test.happened", 1)
					assert.NoError(t, err)
					_ = r.Emit(ctx, ev)
				}
			})
		}
		time.Sleep(5 * time.Second)
		tx := r.store.Begin()
		require.NoError(t, r.EmitTx(t.Context(), tx, event(t)))
		require.NoError(t, tx.Commit())
		r.Wake()
		time.Sleep(3 * time.Second)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 1)
		cancel()
		wg.Wait()
		r.stop()
	})
}

func TestWhatIsNotSentYetFollowsAChangeOfItsEndpoint(t *testing.T) {
	t.Parallel()
	const newURL = "https://new.example.com/"
	for name, change := range map[string]func(r *rig, id string) error{
		"another URL": func(r *rig, id string) error {
			url := newURL
			_, err := r.UpdateEndpoint(context.Background(), "acme", id, webhook.EndpointChange{URL: &url})
			return err
		},
		"D5 disabled": func(r *rig, id string) error {
			_, err := r.DisableEndpoint(context.Background(), "acme", id)
			return err
		},
		"D8 deleted": func(r *rig, id string) error { return r.DeleteEndpoint(context.Background(), "acme", id) },
		"D10 secret without overlap": func(r *rig, id string) error {
			_, err := r.RotateSecret(context.Background(), "acme", id, webhook.RotateParams{Overlap: -1})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(context.Context, *webhook.Request) (*webhook.Response, error) {
					time.Sleep(2 * time.Second)
					return &webhook.Response{StatusCode: 200}, nil
				})
				ep := r.endpoint(hookURL)
				old := secretOf(t, r, ep.ID)
				r.start()
				defer r.stop()
				r.emit(4)
				time.Sleep(time.Second)
				require.NoError(t, change(r, ep.ID))
				time.Sleep(time.Minute)
				unchanged := 0
				for _, sent := range r.transport.to(hookURL) {
					v, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{old}, Clock: func() time.Time { return sent.at }})
					require.NoError(t, err)
					if v.Verify(sent.Body, sent.Header) == nil {
						unchanged++
					}
				}
				assert.Equal(t, 1, unchanged, "the attempt in flight alone")
			})
		})
	}
}

func TestALeaseThatIsNearlyOverIsNotSentUnder(t *testing.T) { // D15
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		paused := false
		s := &sickStore{}
		r := newSick(t, s, status(200), func(c *webhook.Config) {
			c.StoreTimeout, c.Lease = time.Minute, 80*time.Second
			c.PollInterval = time.Hour
		})
		s.claimed = func() { // the process stands still between claim and send
			if !paused {
				paused = true
				time.Sleep(75 * time.Second)
			}
		}
		ep := r.endpoint(hookURL)
		r.emit(1)
		begin := time.Now()
		r.start()
		defer r.stop()
		time.Sleep(10 * time.Minute)
		require.Len(t, r.transport.requests(), 1)
		assert.GreaterOrEqual(t, r.transport.requests()[0].at.Sub(begin), 75*time.Second)
		d := r.deliveries(ep.ID, webhook.DeliveryDelivered)
		require.Len(t, d, 1)
		assert.Equal(t, 1, d[0].Attempts)
	})
}

func TestStopReturnsThoughTheStoreIgnoresItsContext(t *testing.T) { // E25
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var stuck atomic.Bool
		r := newSick(t, &sickStore{claim: func() {
			if stuck.Load() {
				<-release
			}
		}}, status(200))
		r.start()
		time.Sleep(time.Second)
		stuck.Store(true)
		ep := r.endpoint(hookURL)
		time.Sleep(10 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		err := r.Stop(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "store does not respond")
		assert.LessOrEqual(t, time.Since(begin), 13*time.Second)
		r.emit(1)
		time.Sleep(time.Second)
		assert.Empty(t, r.transport.requests(), "a stopped engine sends nothing")
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryPending), 1)
		close(release)
	})
}

func TestSlowVetosHoldNoLeases(t *testing.T) { // D17
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newSwitch(500).answer, func(c *webhook.Config) {
			c.Retry = webhook.Schedule{}
			c.Hooks.AllowDisable = func(ctx context.Context, _, _ string) bool { <-ctx.Done(); return true }
		})
		for i := range 100 {
			r.endpoint(fmt.Sprintf("https://example.com/%d", i))
		}
		ev := event(t)
		require.NoError(t, r.Emit(t.Context(), ev))
		begin := time.Now()
		for range 2 { // 64 attempts each
			_, err := r.DeliverDue(t.Context())
			require.NoError(t, err)
		}
		assert.LessOrEqual(t, time.Since(begin), 3*time.Second)
		p, err := r.ListDeliveries(t.Context(), "acme", webhook.DeliveryQuery{EventID: ev.ID, Status: webhook.DeliveryExhausted})
		require.NoError(t, err)
		assert.Len(t, p.Items, 100)
	})
}

// panickingLog is a log handler that fails its caller.
type panickingLog struct{}

func (panickingLog) Enabled(context.Context, slog.Level) bool  { return true }
func (panickingLog) Handle(context.Context, slog.Record) error { panic("log") }
func (l panickingLog) WithAttrs([]slog.Attr) slog.Handler      { return l }
func (l panickingLog) WithGroup(string) slog.Handler           { return l }

func TestAPanickingLoggerCostsNothing(t *testing.T) { // D17
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, f := newFaulty(t, status(200), func(c *webhook.Config) {
			c.Logger = slog.New(panickingLog{})
			c.Hooks.OnAttempt = func(context.Context, webhook.AttemptInfo) { panic("hook") }
		})
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		f.down.Store(true)
		time.Sleep(10 * time.Second)
		f.down.Store(false)
		r.emit(3)
		time.Sleep(time.Minute)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 3)
	})
}

func TestALateCommitWithoutAWakeIsFoundByThePoll(t *testing.T) { // D23, D24
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, status(200))
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		tx := r.store.Begin()
		require.NoError(t, r.EmitTx(t.Context(), tx, event(t)))
		for range 10 {
			r.emit(1)
			time.Sleep(time.Minute)
		}
		require.NoError(t, tx.Commit())
		time.Sleep(time.Second + time.Millisecond)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 11)
	})
}

// More is emitted than can be sent, for as long as it takes: what waits in the
// store, such as a retry or the event of a process that only emits, is older than
// what is handed off, and has its turn.
func TestWhatWaitsInTheStoreIsSentThoughMoreIsEmitted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(context.Context, *webhook.Request) (*webhook.Response, error) {
			time.Sleep(50 * time.Millisecond)
			return &webhook.Response{StatusCode: 200}, nil
		}, func(c *webhook.Config) { c.Concurrency = 4 }) // 80 a second
		const waiting = "https://example.com/waiting"
		_, _, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{AccountID: "waits", URL: waiting, Events: []webhook.EventType{"*"}})
		require.NoError(t, err)
		const accounts = 50
		for i := range accounts {
			_, _, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{
				AccountID: fmt.Sprint("acc_", i), URL: fmt.Sprint(hookURL, i), Events: []webhook.EventType{"*"},
			})
			require.NoError(t, err)
		}
		r.start()
		defer r.stop()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		for w := range 4 {
			wg.Go(func() {
				for i := w; ctx.Err() == nil; i += 4 {
					ev, err := webhook.NewEvent(fmt.Sprint("acc_", i%accounts), "order.placed", i)
					if err == nil {
						err = r.Emit(ctx, ev)
					}
					if ctx.Err() == nil && !assert.NoError(t, err) {
						return
					}
					time.Sleep(30 * time.Millisecond) // 130 a second in all
				}
			})
		}
		time.Sleep(3 * time.Second)
		other, err := webhook.New(webhook.Config{Store: r.store, Transport: r.transport, Logger: quiet})
		require.NoError(t, err)
		ev, err := webhook.NewEvent("waits", "order.placed", 1)
		require.NoError(t, err)
		require.NoError(t, other.Emit(t.Context(), ev))
		time.Sleep(20 * time.Second)
		assert.Len(t, r.transport.to(waiting), 1)
	})
}

// A delivery that ends the process ends the leases of its company too, perhaps one or
// two apart from its own.
func TestASuspectGoesWithoutWhatWasInFlightWithIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sickStore{expired: map[string]int{"evt_once": 1, "evt_suspect": 2, "evt_other": 2, "evt_poison": 3}}
		r := newSick(t, s, status(200), func(c *webhook.Config) { c.PerEndpoint = 10 })
		r.endpoint(hookURL)
		var events []webhook.Event
		for _, id := range []string{"evt_once", "evt_suspect", "evt_new", "evt_other", "evt_poison"} {
			ev := event(t)
			ev.ID = id
			events = append(events, ev)
		}
		require.NoError(t, r.Emit(t.Context(), events...))
		sent := func() (ids []string) {
			for _, req := range r.transport.requests() {
				ids = append(ids, req.Header.Get("Webhook-Id"))
			}
			return ids
		}
		_, err := r.DeliverDue(t.Context())
		require.NoError(t, err)
		assert.ElementsMatch(t, []string{"evt_suspect", "evt_new"}, sent())
		s.expired = nil // what came back has nothing against it
		time.Sleep(2 * time.Second)
		_, err = r.DeliverDue(t.Context())
		require.NoError(t, err)
		assert.Subset(t, sent(), []string{"evt_once", "evt_other"})
		assert.Len(t, r.deliveries("", webhook.DeliveryDelivered), 5)
		require.NoError(t, r.Stop(t.Context()))
	})
}
