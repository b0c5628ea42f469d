package receive_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
)

// fair is an asynchronous Receiver and a count of what became of its events.
type fair struct {
	*receive.Receiver
	t *testing.T

	mu            sync.Mutex
	handled       map[webhook.EventType][]time.Duration // from the start, at the end of the handler
	running, most int
	begun         time.Time
	n             int
}

func newFair(t *testing.T, a receive.AsyncConfig) *fair {
	t.Helper()
	return &fair{Receiver: asyncReceiver(t, a), t: t, handled: map[webhook.EventType][]time.Duration{}, begun: time.Now()}
}

// on registers work for the events of a type.
func (f *fair) on(typ webhook.EventType, work func(ctx context.Context) error) {
	f.OnType(typ, func(ctx context.Context, e webhook.Event) error { return f.handle(ctx, e, work) })
}

func (f *fair) handle(ctx context.Context, e webhook.Event, work func(ctx context.Context) error) error {
	f.mu.Lock()
	f.running++
	f.most = max(f.most, f.running)
	f.mu.Unlock()
	err := work(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running--
	if err == nil {
		f.handled[e.Type] = append(f.handled[e.Type], time.Since(f.begun))
	}
	return err
}

// send serves n events of an endpoint and returns how many were acknowledged.
func (f *fair) send(endpoint string, typ webhook.EventType, n int) (acknowledged int) {
	f.t.Helper()
	for range n {
		f.n++
		s := signedEvent(fmt.Sprint("evt_", f.n), typ, `{}`)
		s.body = strings.Replace(s.body, "wh_1", endpoint, 1)
		switch code := serve(f, s.request()).Code; code {
		case http.StatusOK:
			acknowledged++
		default:
			assert.Equal(f.t, http.StatusServiceUnavailable, code)
		}
	}
	synctest.Wait()
	return acknowledged
}

func (f *fair) done(typ webhook.EventType) []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.handled[typ]
}

// end shuts the Receiver down and lets go of what is stuck.
func (f *fair) end(stuck chan struct{}) {
	f.t.Helper()
	if stuck != nil {
		close(stuck)
	}
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Second)
	defer cancel()
	if err := f.Shutdown(ctx); err != nil {
		require.NoError(f.t, f.Shutdown(f.t.Context()))
	}
}

func quick(context.Context) error  { return nil }
func broken(context.Context) error { return errors.New("broken") }
func slow(ctx context.Context) error {
	select {
	case <-time.After(time.Minute):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A type that does badly, in whatever way, costs its own events alone.
func TestATypeThatDoesBadlyLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bad   []webhook.EventType
		work  func(context.Context) error // nil: it never returns
		async receive.AsyncConfig
	}{
		"one fails and is tried again":             {[]webhook.EventType{"a"}, broken, receive.AsyncConfig{}},
		"one fails, in a queue of a chosen length": {[]webhook.EventType{"a"}, broken, receive.AsyncConfig{Queue: 256, Workers: 4}},
		"three fail":                           {[]webhook.EventType{"a", "b", "c"}, broken, receive.AsyncConfig{Queue: 64}},
		"one is slow":                          {[]webhook.EventType{"a"}, slow, receive.AsyncConfig{Queue: 64}},
		"one hangs, whatever its context says": {[]webhook.EventType{"a"}, nil, receive.AsyncConfig{Queue: 64}},
		"two hang":                             {[]webhook.EventType{"a", "b"}, nil, receive.AsyncConfig{Queue: 64}},
		"three hang, one endpoint":             {[]webhook.EventType{"a", "b", "c"}, nil, receive.AsyncConfig{Queue: 64}},
		"four hang, one endpoint, twice":       {[]webhook.EventType{"a", "b", "c", "d"}, nil, receive.AsyncConfig{Queue: 64, Workers: 16}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, endpoint := range []string{"wh_1", "wh_2"} { // the second one makes it several
				if endpoint == "wh_2" && strings.Contains(name, "one endpoint") {
					continue
				}
				synctest.Test(t, func(t *testing.T) {
					stuck := make(chan struct{})
					work := c.work
					if work == nil {
						work = func(context.Context) error { <-stuck; return nil }
					}
					f := newFair(t, c.async)
					f.on("good", quick)
					f.send(endpoint, "good", 1)
					for _, typ := range c.bad {
						f.on(typ, work)
					}
					// 15 minutes, longer than the tries of one event take.
					for minute := 0; minute < 15; minute += 5 {
						for _, typ := range c.bad {
							f.send("wh_1", typ, cmp.Or(c.async.Queue, 512)/2)
						}
						if endpoint != "wh_1" {
							f.send(endpoint, c.bad[0], cmp.Or(c.async.Queue, 512)/2)
						}
						before := len(f.done("good"))
						for range 5 { // one by one, since a newcomer is promised a place, not any number
							assert.Equal(t, 1, f.send("wh_1", "good", 1), "acknowledged in minute %d", minute)
						}
						assert.Len(t, f.done("good"), before+5, "handled at once, in minute %d", minute)
						time.Sleep(5 * time.Minute)
					}
					f.end(stuck)
				})
			}
		})
	}
}

// An endpoint that floods costs its own events alone, even if it thinks up types.
func TestAnEndpointThatFloodsLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	for name, typeOf := range map[string]func(i int) webhook.EventType{
		"one type":         func(int) webhook.EventType { return "good" },
		"a few types":      func(i int) webhook.EventType { return webhook.EventType(fmt.Sprint("type.", i%5)) },
		"ever other types": func(i int) webhook.EventType { return webhook.EventType(fmt.Sprint("type.", i)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFair(t, receive.AsyncConfig{Queue: 128})
				f.OnOther(func(ctx context.Context, e webhook.Event) error { return f.handle(ctx, e, slow) })
				f.on("good", slow)
				f.on("quiet", quick)
				f.send("wh_quiet", "quiet", 1)
				for range 2 {
					for i := range 150 {
						f.send("wh_flood", typeOf(i), 1)
					}
					before := len(f.done("quiet"))
					for range 5 {
						assert.Equal(t, 1, f.send("wh_quiet", "quiet", 1))
					}
					assert.Len(t, f.done("quiet"), before+5, "handled at once")
					assert.Equal(t, 1, f.send("wh_quiet", "good", 1), "a type that the other one floods with")
					time.Sleep(time.Minute)
				}
				f.end(nil)
			})
		})
	}
}

func TestTypesThatHaveWorkAreServedInTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFair(t, receive.AsyncConfig{Queue: 300, Workers: 4})
		second := func(context.Context) error { time.Sleep(time.Second); return nil }
		for _, typ := range []webhook.EventType{"a", "b", "c"} {
			f.on(typ, second)
		}
		require.Equal(t, 100, f.send("wh_1", "a", 100))
		require.Equal(t, 20, f.send("wh_1", "b", 20))
		require.Equal(t, 20, f.send("wh_1", "c", 20))
		time.Sleep(20*time.Second + time.Millisecond)
		assert.InDelta(t, 20, len(f.done("a")), 3)
		assert.InDelta(t, 20, len(f.done("b")), 3, "though it came last")
		assert.InDelta(t, 20, len(f.done("c")), 3)
		require.NoError(t, f.Shutdown(t.Context()))
		assert.Equal(t, 140, len(f.done("a"))+len(f.done("b"))+len(f.done("c")), "drained")
	})
}

func TestQueueAndWorkersStayBounds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		queue, workers, types int
		queued, ran           int
	}{
		"one type has half":          {100, 8, 1, 50, 4},
		"two have a third each":      {90, 9, 2, 60, 6},
		"many fill it, never beyond": {20, 4, 50, 20, 4},
		"a queue of one, one worker": {1, 1, 1, 1, 1},
		"an odd number":              {3, 3, 1, 2, 2},
		"the default":                {0, 0, 1, 256, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFair(t, receive.AsyncConfig{Queue: c.queue, Workers: c.workers})
				stuck := make(chan struct{})
				f.OnOther(func(ctx context.Context, e webhook.Event) error {
					return f.handle(ctx, e, func(context.Context) error { <-stuck; return nil })
				})
				queued := 0
				for range 260 / c.types { // all types grow side by side
					for i := range c.types {
						queued += f.send("wh_1", webhook.EventType(fmt.Sprint("type.", i)), 1)
					}
				}
				assert.Equal(t, c.queued, queued)
				assert.Equal(t, c.ran, f.most)
				f.end(stuck)
			})
		})
	}
}
