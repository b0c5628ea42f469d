package receive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
)

func TestReceiverLetsTheRetryInAfterAFailure(t *testing.T) { // H22
	t.Parallel()
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("database is down") },
		"panic": func() error { panic("index out of range") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			r := newReceiver(t, func(c *receive.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
			calls := 0
			receive.On(r, func(context.Context, webhook.Event, webhook.CallCompleted) error {
				if calls++; calls == 1 {
					return fail()
				}
				return nil
			})
			w := serve(r, callCompleted("evt_1").request())
			assert.Equal(t, http.StatusInternalServerError, w.Code)
			assert.NotContains(t, w.Body.String(), "database")
			assert.Contains(t, log.String(), "event.id=evt_1")
			for range 3 {
				assert.Equal(t, http.StatusOK, serve(r, callCompleted("evt_1").request()).Code)
			}
			assert.Equal(t, 2, calls)
		})
	}
}

func TestReceiverHandlesFiftyConcurrentDuplicatesOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(t, nil)
		var calls atomic.Int32
		receive.On(r, func(context.Context, webhook.Event, webhook.CallCompleted) error {
			calls.Add(1)
			time.Sleep(time.Second) // virtual: all the others arrive meanwhile
			return nil
		})
		var statuses sync.Map
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				code := serve(r, callCompleted("evt_1").request()).Code
				n, _ := statuses.LoadOrStore(code, new(atomic.Int32))
				n.(*atomic.Int32).Add(1)
			})
		}
		wg.Wait()
		assert.EqualValues(t, 1, calls.Load())
		count := func(code int) int32 {
			n, _ := statuses.LoadOrStore(code, new(atomic.Int32))
			return n.(*atomic.Int32).Load()
		}
		assert.EqualValues(t, 1, count(http.StatusOK))
		assert.EqualValues(t, 49, count(http.StatusConflict), "told to come back, since it may yet fail")
		assert.Equal(t, http.StatusOK, serve(r, callCompleted("evt_1").request()).Code)
		assert.EqualValues(t, 1, calls.Load())
	})
}

func TestReceiverKeepsEndpointsApart(t *testing.T) { // H27
	t.Parallel()
	other := webhook.NewSecret()
	r := newReceiver(t, func(c *receive.Config) { c.Secrets = append(c.Secrets, other) })
	calls := 0
	r.OnOther(func(context.Context, webhook.Event) error { calls++; return nil })
	serve(r, callCompleted("evt_1").request())
	second := callCompleted("evt_1")
	second.body = strings.Replace(second.body, "wh_1", "wh_2", 1)
	second.secret = other.Reveal()
	assert.Equal(t, http.StatusOK, serve(r, second.request()).Code)
	assert.Equal(t, 2, calls)
}

func TestReceiverFinishesWorkAfterTheSenderHungUp(t *testing.T) { // H25
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(t, nil)
		calls := 0
		r.OnOther(func(ctx context.Context, _ webhook.Event) error {
			calls++
			select {
			case <-time.After(8 * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		impatient, hangUp := context.WithTimeout(t.Context(), 5*time.Second)
		defer hangUp()
		done := make(chan struct{})
		go func() {
			serve(r, callCompleted("evt_1").request().WithContext(impatient))
			close(done)
		}()
		time.Sleep(6 * time.Second)
		assert.Equal(t, http.StatusConflict, serve(r, callCompleted("evt_1").request()).Code, "first retry")
		<-done
		assert.Equal(t, http.StatusOK, serve(r, callCompleted("evt_1").request()).Code, "second retry")
		assert.Equal(t, 1, calls)
	})
}

func TestReceiverEndsAHandlerWithItsLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(t, func(c *receive.Config) { c.Lease = 10 * time.Second })
		r.OnOther(func(ctx context.Context, _ webhook.Event) error { <-ctx.Done(); return ctx.Err() })
		begin := time.Now()
		assert.Equal(t, http.StatusInternalServerError, serve(r, callCompleted("evt_1").request()).Code)
		assert.Equal(t, 10*time.Second, time.Since(begin))
	})
}

// brokenDeduper fails where it is told to.
type brokenDeduper struct {
	receive.Deduper
	begin, commit func() error
}

func (d brokenDeduper) Begin(ctx context.Context, k receive.DedupeKey, lease time.Duration) (receive.Mark, error) {
	if d.begin != nil {
		return receive.Mark{}, d.begin()
	}
	return d.Deduper.Begin(ctx, k, lease)
}

func (d brokenDeduper) Commit(ctx context.Context, m receive.Mark) error {
	if d.commit != nil {
		return d.commit()
	}
	return d.Deduper.Commit(ctx, m)
}

func TestReceiverNeverAcknowledgesWithoutItsDeduper(t *testing.T) { // H24
	t.Parallel()
	for name, begin := range map[string]func() error{
		"error":           func() error { return errors.New("connection refused") },
		"panic":           func() error { panic("nil map") },
		"misleading text": func() error { return fmt.Errorf("store: %w", webhook.ErrSignature) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, func(c *receive.Config) { c.Deduper = brokenDeduper{begin: begin} })
			r.OnOther(func(context.Context, webhook.Event) error { t.Error("handler called"); return nil })
			w := serve(r, callCompleted("evt_1").request())
			assert.Equal(t, http.StatusServiceUnavailable, w.Code)
			assert.NotEmpty(t, w.Header().Get("Retry-After"))
		})
	}
}

func TestReceiverAcknowledgesWorkWhoseMarkFailed(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(c *receive.Config) {
		c.Deduper = brokenDeduper{receive.NoDedupe, nil, func() error { return errors.New("connection reset") }}
	})
	r.OnOther(func(context.Context, webhook.Event) error { return nil })
	assert.Equal(t, http.StatusOK, serve(r, callCompleted("evt_1").request()).Code, "a retry would surely run it twice")
}

func TestReceiverWithoutDedupeHandlesEveryRequest(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(c *receive.Config) { c.Deduper = receive.NoDedupe })
	calls := 0
	r.OnOther(func(context.Context, webhook.Event) error { calls++; return nil })
	serve(r, callCompleted("evt_1").request())
	serve(r, callCompleted("evt_1").request())
	assert.Equal(t, 2, calls)
}
