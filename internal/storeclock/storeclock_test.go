package storeclock_test

import (
	"bytes"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ringyo-ai/webhook/internal/storeclock"
)

func TestClockBeforeItKnowsTheStores(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := storeclock.New(slog.New(slog.DiscardHandler))
		c.Observe(time.Now(), time.Time{})
		now, known := c.Now()
		assert.False(t, known)
		assert.True(t, now.Equal(time.Now()))
		assert.Equal(t, time.UTC, now.Location())
		assert.True(t, c.Time().Equal(time.Now()))
	})
}

func TestClockGoesOnFromTheMiddleOfTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := storeclock.New(slog.New(slog.DiscardHandler))
		store := time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
		begin := time.Now()
		time.Sleep(2 * time.Second)
		c.Observe(begin, store)
		now, known := c.Now()
		assert.True(t, known)
		assert.Equal(t, store.Add(time.Second), now)
		time.Sleep(time.Hour)
		assert.Equal(t, store.Add(time.Hour+time.Second), c.Time())
	})
}

func TestClockLogsOnceThatTheClocksDiffer(t *testing.T) {
	t.Parallel()
	const differ, agree = "differ", "agree again"
	for _, tc := range []struct {
		name string
		skew []time.Duration
		want []string
	}{
		{"as far as it may be", []time.Duration{30 * time.Second, -30 * time.Second}, nil},
		{"ahead", []time.Duration{30*time.Second + 1}, []string{differ}},
		{"behind", []time.Duration{-30*time.Second - 1}, []string{differ}},
		{"twice", []time.Duration{time.Minute, time.Hour}, []string{differ}},
		{"and back", []time.Duration{time.Minute, 0, 0}, []string{differ, agree}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				c := storeclock.New(slog.New(slog.NewTextHandler(&out, nil)))
				for _, d := range tc.skew {
					c.Observe(time.Now(), time.Now().Round(0).Add(d))
				}
				lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
				if tc.want == nil {
					assert.Empty(t, out.String())
					return
				}
				assert.Len(t, lines, len(tc.want))
				for i, want := range tc.want {
					assert.Contains(t, string(lines[i]), want)
				}
			})
		})
	}
}
