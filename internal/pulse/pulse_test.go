package pulse_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook/internal/pulse"
)

const gap = 5 * time.Millisecond

// log notes what happens when, after the beginning.
type log struct {
	begin time.Time
	mu    sync.Mutex
	lines []string
}

func newLog() *log { return &log{begin: time.Now()} }

func (l *log) add(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprint(time.Since(l.begin), " ", what))
}

func TestASignalIsSentAtOnceAndThenOncePerGap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLog()
		s := pulse.NewSender(gap, func() error { l.add("sent"); return nil }, func(err error) { t.Error(err) })
		require.NoError(t, s.Wait(t.Context()), "nothing was asked for")
		for range 100 { // 10 ms
			s.Ask()
			s.Ask()
			time.Sleep(100 * time.Microsecond)
		}
		require.NoError(t, s.Wait(t.Context()))
		time.Sleep(time.Minute)
		s.Ask()
		require.NoError(t, s.Wait(t.Context()))
		assert.Equal(t, []string{"0s sent", "5ms sent", "10ms sent", "1m0.01s sent"}, l.lines)
	})
}

// What is asked for while a signal is on its way may have come too late for it.
func TestWhatIsAskedForDuringASignalGetsItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLog()
		s := pulse.NewSender(gap, func() error { time.Sleep(20 * time.Millisecond); l.add("sent"); return nil }, nil)
		s.Ask()
		time.Sleep(time.Millisecond)
		s.Ask()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, s.Wait(ctx), context.DeadlineExceeded)
		require.NoError(t, s.Wait(t.Context()))
		assert.Equal(t, []string{"20ms sent", "40ms sent"}, l.lines)
	})
}

func TestAFailedSignalIsReportedOnceAndMakesAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLog()
		calls := 0
		s := pulse.NewSender(gap, func() error {
			l.add("sent")
			if calls++; calls <= 2 {
				return errors.New("down")
			}
			return nil
		}, func(err error) { l.add(fmt.Sprint("told ", err)) })
		s.Ask()
		for range 3 {
			synctest.Wait()
			s.Ask()
			time.Sleep(time.Second)
		}
		require.NoError(t, s.Wait(t.Context()))
		assert.Equal(t, []string{"0s sent", "0s told down", "1s sent", "2s sent", "2s told <nil>", "2.005s sent"}, l.lines)
	})
}

func TestSignalsThatAreSwitchedOffAreAskedForOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		s := pulse.NewSender(gap, func() error { calls++; return fmt.Errorf("store: %w", errors.ErrUnsupported) }, func(error) { t.Error("told") })
		for range 3 {
			s.Ask()
			time.Sleep(time.Second)
		}
		require.NoError(t, s.Wait(t.Context()))
		assert.Equal(t, 1, calls)
	})
}

func TestListeningGoesOnUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLog()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		calls := 0
		pulse.Listen(ctx, func(ctx context.Context) error {
			l.add("listens")
			if calls++; calls > 2 {
				<-ctx.Done()
				return ctx.Err()
			}
			return errors.New("cut off")
		}, func() time.Duration { return time.Duration(calls) * time.Second }, func() { l.add("wakes") }, func(err error) { l.add(err.Error()) })
		l.add("ends")
		assert.Equal(t, []string{
			"0s listens", "0s cut off", "0s wakes", "1s listens", "1s cut off", "1s wakes", "3s listens", "10s ends",
		}, l.lines)
	})
}
