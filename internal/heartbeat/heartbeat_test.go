package heartbeat_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook/internal/heartbeat"
)

const alive = 18 * time.Second

// fake is a store with one other process, which sends no heartbeat: its time is
// over at until.
type fake struct {
	mu    sync.Mutex
	id    int64
	takes time.Duration
	err   error
	until time.Time
	dead  []time.Time // when the other one was said to be dead
	last  int
}

func (f *fake) beat(ctx context.Context, _ int64, dead []heartbeat.Quiet, last bool) (heartbeat.Beaten, error) {
	takes := time.Duration(0)
	f.set(func() { takes = f.takes })
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return heartbeat.Beaten{}, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if last {
		f.last++
	}
	if f.err != nil {
		return heartbeat.Beaten{}, f.err
	}
	if len(dead) > 0 {
		f.dead = append(f.dead, time.Now())
	}
	b := heartbeat.Beaten{ID: f.id}
	if left := time.Until(f.until); !f.until.IsZero() && left < alive/2 && len(f.dead) == 0 {
		b.Quiet = []heartbeat.Quiet{{ID: 7, Until: f.until, Left: left}}
	}
	return b, nil
}

// set changes the store while it is at work.
func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func start(f *fake) *heartbeat.Pulse {
	p := heartbeat.New(heartbeat.Config{Beat: f.beat, For: alive, Ended: func() {}, Log: slog.New(slog.DiscardHandler)})
	p.Start()
	return p
}

func TestAProcessLivesForSoLongFromBeforeItsHeartbeatWasSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{id: 1, takes: 3 * time.Second}
		begin := time.Now()
		p := start(f)
		assert.Zero(t, p.Process(0), "nothing is known before the first heartbeat")
		p.First(t.Context())
		assert.Equal(t, 3*time.Second, time.Since(begin))
		assert.Equal(t, int64(1), p.Process(alive-3*time.Second))
		assert.Zero(t, p.Process(alive-3*time.Second+1))
		f.set(func() { f.err = errors.New("down") })
		time.Sleep(alive - 3*time.Second)
		assert.True(t, p.Lives(1, time.Now(), 0))
		assert.False(t, p.Lives(1, time.Now(), 1))
		f.set(func() { f.err, f.takes = nil, 0 })
		time.Sleep(10 * time.Second)
		assert.True(t, p.Lives(1, time.Now(), alive-heartbeat.Every), "it lives on")
		f.set(func() { f.id = 2 })
		time.Sleep(2 * heartbeat.Every)
		assert.False(t, p.Lives(1, time.Now(), 0), "it was ended")
		assert.True(t, p.Lives(2, time.Now(), 0))
		p.Stop(t.Context(), true)
		assert.Equal(t, 1, f.last)
		assert.False(t, p.Lives(2, time.Now(), 0))
	})
}

func TestAHeartbeatThatHangsIsCutOffInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{id: 1}
		p := start(f)
		synctest.Wait()
		f.set(func() { f.takes = time.Hour })
		time.Sleep(2 * heartbeat.Every)
		f.set(func() { f.takes = 0 })
		time.Sleep(2 * heartbeat.Every)
		assert.True(t, p.Lives(1, time.Now(), alive-heartbeat.Every))
		p.Stop(t.Context(), false)
		assert.Zero(t, f.last, "what is under way may need it")
	})
}

func TestAQuietProcessIsDeadWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		left  time.Duration // of the quiet process when this one begins
		outOf time.Duration // for so long this one's heartbeats fail, from 10 s on
		dead  time.Duration
	}{
		"quiet from then on":        {alive, 0, alive},
		"for long":                  {-time.Hour, 0, heartbeat.Grace},
		"over a moment ago":         {time.Second, 0, heartbeat.Grace},
		"nobody looked meanwhile":   {alive, 20 * time.Second, 30*time.Second + heartbeat.Grace},
		"one heartbeat is not much": {alive, time.Second, alive},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				f := &fake{id: 1, until: begin.Add(c.left)}
				p := start(f)
				time.Sleep(10 * time.Second)
				if c.outOf > 0 {
					f.set(func() { f.err = errors.New("down") })
					time.Sleep(c.outOf)
					f.set(func() { f.err = nil })
				}
				time.Sleep(time.Minute)
				p.Stop(t.Context(), true)
				require.Len(t, f.dead, 1)
				took := f.dead[0].Sub(begin)
				assert.GreaterOrEqual(t, took, c.dead)
				assert.LessOrEqual(t, took, c.dead+heartbeat.Every+200*time.Millisecond)
				if c.outOf == 0 {
					assert.LessOrEqual(t, took, c.dead+200*time.Millisecond)
				}
			})
		})
	}
}

func TestWithoutHeartbeatsEverythingLives(t *testing.T) {
	t.Parallel()
	var p *heartbeat.Pulse
	p.Start()
	p.First(t.Context())
	assert.Zero(t, p.Process(time.Hour))
	assert.True(t, p.Lives(0, time.Now(), time.Hour))
	p.Stop(t.Context(), true)
}
