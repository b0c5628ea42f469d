package receive_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/dedupetest"
	"github.com/ringyo-ai/webhook/receive"
)

// fakeClock is a clock that moves when it is told to.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func newFakeClock() *fakeClock { return &fakeClock{now: time.Unix(1705314600, 0)} }

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestMemoryDeduperKeepsTheContract(t *testing.T) {
	t.Parallel()
	dedupetest.Run(t, dedupetest.Harness{New: func(t *testing.T) (receive.Deduper, func(time.Duration)) {
		clock := newFakeClock()
		d, err := receive.NewMemoryDeduper(receive.MemoryDeduperConfig{Clock: clock.Now})
		require.NoError(t, err)
		return d, clock.Advance
	}})
}

func TestMemoryDeduperForgetsTheOldestWhenFullAndSaysSo(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	d, err := receive.NewMemoryDeduper(receive.MemoryDeduperConfig{
		MaxEvents: 3, Clock: newFakeClock().Now, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	require.NoError(t, err)
	key := func(i int) receive.DedupeKey { return receive.DedupeKey{EventID: fmt.Sprint("evt_", i)} }
	for i := range 10 {
		m, err := d.Begin(t.Context(), key(i), time.Minute)
		require.NoError(t, err)
		require.NoError(t, d.Commit(t.Context(), m))
		assert.LessOrEqual(t, d.Len(), 3)
	}
	_, err = d.Begin(t.Context(), key(9), time.Minute)
	assert.ErrorIs(t, err, receive.ErrDuplicate)
	_, err = d.Begin(t.Context(), key(0), time.Minute)
	assert.NoError(t, err, "the oldest was forgotten")
	assert.Equal(t, 1, bytes.Count(log.Bytes(), []byte("forgotten before the end")), "said, and not at every event")
}

func TestMemoryDeduperNeverForgetsWhatIsInProgress(t *testing.T) {
	t.Parallel()
	clock := newFakeClock()
	d, err := receive.NewMemoryDeduper(receive.MemoryDeduperConfig{MaxEvents: 2, Clock: clock.Now})
	require.NoError(t, err)
	for _, id := range []string{"evt_1", "evt_2"} {
		_, err := d.Begin(t.Context(), receive.DedupeKey{EventID: id}, time.Minute)
		require.NoError(t, err)
	}
	_, err = d.Begin(t.Context(), receive.DedupeKey{EventID: "evt_3"}, time.Minute)
	require.ErrorIs(t, err, receive.ErrDeduperFull)
	_, err = d.Begin(t.Context(), receive.DedupeKey{EventID: "evt_1"}, time.Minute)
	require.ErrorIs(t, err, receive.ErrInProgress)

	clock.Advance(2 * time.Minute)
	_, err = d.Begin(t.Context(), receive.DedupeKey{EventID: "evt_3"}, time.Minute)
	assert.NoError(t, err, "marks whose holder died make room when their lease is over")
}

func TestMemoryDeduperEndsWithItsWindow(t *testing.T) {
	t.Parallel()
	clock := newFakeClock()
	d, err := receive.NewMemoryDeduper(receive.MemoryDeduperConfig{Window: time.Hour, Clock: clock.Now})
	require.NoError(t, err)
	for i := range 100 {
		m, err := d.Begin(t.Context(), receive.DedupeKey{EventID: fmt.Sprint("evt_", i)}, time.Minute)
		require.NoError(t, err)
		require.NoError(t, d.Commit(t.Context(), m))
	}
	assert.Equal(t, 100, d.Len())
	clock.Advance(time.Hour)
	assert.Zero(t, d.Len())
}

func TestMemoryDeduperConfigIsChecked(t *testing.T) {
	t.Parallel()
	_, err := receive.NewMemoryDeduper(receive.MemoryDeduperConfig{Window: -1, MaxEvents: -1})
	var v *webhook.ValidationError
	require.ErrorAs(t, err, &v)
	assert.Len(t, v.Fields, 2)
}
