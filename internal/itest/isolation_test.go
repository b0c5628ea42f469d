package itest

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// street answers for many endpoints, some of which never do, and takes the times from
// emitting to sending of those that do.
type street struct {
	mu      sync.Mutex
	emitted map[string]time.Time // for those that answer
	waits   []time.Duration
}

func (c *street) Send(ctx context.Context, r *webhook.Request) (*webhook.Response, error) {
	if r.AccountID == "bad" {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, ok := c.emitted[r.Header.Get("Webhook-Id")]; ok {
		c.waits = append(c.waits, time.Since(at))
		delete(c.emitted, r.Header.Get("Webhook-Id"))
	}
	return &webhook.Response{StatusCode: 200}, nil
}

// p99 forgets what it returns.
func (c *street) p99() (n int, p99 time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.waits
	c.waits = nil
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	return len(all), all[len(all)*99/100]
}

// Endpoints that hang delay no other on a real database: all that is emitted for the
// others is sent at once. How long they wait is for the benchmark to show, since it
// depends on the machine.
func TestEndpointsThatHangDelayNoOther(t *testing.T) {
	const good = 20
	hanging, length := 200, 4*time.Second
	if long() {
		hanging, length = 1000, time.Minute
	}
	onEach(t, func(t *testing.T, d database) {
		store := d.store(t)
		c := &street{emitted: map[string]time.Time{}}
		e, err := webhook.New(webhook.Config{Store: store, Transport: c, Logger: slog.New(slog.DiscardHandler), MaxEndpoints: -1})
		require.NoError(t, err)
		register := func(account string, n int) {
			for i := range n {
				_, _, err := e.CreateEndpoint(t.Context(), webhook.EndpointParams{
					AccountID: account, URL: fmt.Sprintf("https://example.com/%s/%d", account, i),
					Events: []webhook.EventType{webhook.EventType(fmt.Sprint("number.", i))},
				})
				require.NoError(t, err)
			}
		}
		register("good", good)
		register("bad", hanging)
		require.NoError(t, e.Start(t.Context()))
		defer func() {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = e.Stop(ctx)
		}()
		var wg sync.WaitGroup
		emit := func(account string, n int, length time.Duration) {
			for i := range n {
				wg.Go(func() {
					time.Sleep(time.Second * time.Duration(i) / time.Duration(n))
					for end := time.Now().Add(length); time.Now().Before(end); time.Sleep(time.Second) {
						ev, err := webhook.NewEvent(account, webhook.EventType(fmt.Sprint("number.", i)), i)
						if !assert.NoError(t, err) {
							return
						}
						if account == "good" {
							c.mu.Lock()
							c.emitted[ev.ID] = time.Now()
							c.mu.Unlock()
						}
						if !assert.NoError(t, e.Emit(context.Background(), ev)) {
							return
						}
					}
				})
			}
		}
		emit("good", good, length/4)
		wg.Wait()
		time.Sleep(2 * time.Second)
		_, alone := c.p99()
		emit("bad", hanging, length)
		emit("good", good, length)
		wg.Wait()
		assert.Eventually(t, func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return len(c.emitted) == 0
		}, time.Minute, 10*time.Millisecond, "all that was emitted for the good ones is sent")
		n, p99 := c.p99()
		t.Logf("%d sent, p99 %v, alone %v", n, p99, alone)
	})
}
