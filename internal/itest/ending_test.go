package itest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// endingVariable holds the orders of a process that ends by itself, without any
// clean-up.
const endingVariable = "WEBHOOK_TEST_ENDING"

const endingEvents = 20

func TestAHookThatEndsTheProcessIsLikeACrash(t *testing.T) { // D19
	endsByItself(t, 7, func(c *webhook.Config, _ func() bool) (stop <-chan struct{}) {
		told := 0
		c.Hooks.OnDelivered = func(context.Context, webhook.DeliveryInfo) {
			if told++; told == 3 {
				os.Exit(7)
			}
		}
		return nil
	})
}

func TestKilledWhileStopWaitsForRequests(t *testing.T) { // F7
	endsByItself(t, -1, func(c *webhook.Config, stopping func() bool) <-chan struct{} {
		d := &dyingTransport{Transport: c.Transport, sending: make(chan struct{}), stopping: stopping}
		c.Transport = d
		return d.sending
	})
}

func TestKilledWhileStopWaitsForResults(t *testing.T) { // F7
	endsByItself(t, -1, func(c *webhook.Config, stopping func() bool) <-chan struct{} {
		d := &dyingTransport{Transport: c.Transport, sending: make(chan struct{}), stopping: stopping, answered: true}
		c.Transport = d
		return d.sending
	})
}

// dyingTransport ends its process in its first request once Stop has begun,
// before it sends the request, or after it was answered.
type dyingTransport struct {
	webhook.Transport
	sending  chan struct{}
	once     sync.Once
	stopping func() bool
	answered bool
}

func (d *dyingTransport) Send(ctx context.Context, r *webhook.Request) (res *webhook.Response, err error) {
	d.once.Do(func() {
		if d.answered {
			res, err = d.Transport.Send(ctx, r)
		}
		close(d.sending)
		for !d.stopping() {
			runtime.Gosched()
		}
		die()
	})
	return d.Transport.Send(ctx, r)
}

// endsByItself runs its test again in a process that emits, delivers, and ends as
// set up by change, which may answer when to call Stop. Afterwards another process
// delivers what is left.
func endsByItself(t *testing.T, code int, change func(c *webhook.Config, stopping func() bool) (stop <-chan struct{})) {
	if text := os.Getenv(endingVariable); text != "" {
		var o orders
		require.NoError(t, json.Unmarshal([]byte(text), &o))
		o.emitAndEnd(t, change)
		return
	}
	test := t.Name()
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		r := newReceiver(t)
		c := endpoint("wh_ok")
		c.Record.URL = r.URL + "/wh_ok"
		_, err := s.CreateEndpoint(ctx, c)
		require.NoError(t, err)
		text, err := json.Marshal(orders{Driver: d.driver, DSN: s.dsn, Dialect: d.dialect})
		require.NoError(t, err)
		cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$")
		cmd.Env = append(os.Environ(), endingVariable+"="+string(text))
		out, _ := cmd.CombinedOutput()
		require.Equal(t, code, cmd.ProcessState.ExitCode(), "%s", out)
		s.deliverTheRest(t, r)
	})
}

func (s *testStore) deliverTheRest(t *testing.T, r *receiver) {
	e, err := newEngine(s, nil)
	require.NoError(t, err)
	// The server may still be at something that the process had asked it for.
	for deadline := time.Now().Add(time.Minute); s.unfinished(t) > 0 && time.Now().Before(deadline); {
		s.endLeases(t)
		_, err = e.DeliverDue(ctx)
		require.NoError(t, err)
	}
	require.NoError(t, e.Stop(ctx))
	assert.Zero(t, s.unfinished(t))
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range endingEvents {
		name := fmt.Sprintf("wh_ok evt_%d", i)
		assert.True(t, r.accepted[name], name)
		assert.LessOrEqual(t, r.sends[name], 2, name)
	}
}

func (o orders) emitAndEnd(t *testing.T, change func(*webhook.Config, func() bool) <-chan struct{}) {
	db := database{driver: o.Driver, dialect: o.Dialect}.open(t, o.DSN)
	s, err := sqlstore.New(db, o.Dialect, nil)
	require.NoError(t, err)
	var e *webhook.Engine
	var stop <-chan struct{}
	e, err = newEngine(s, func(c *webhook.Config) {
		stop = change(c, func() bool { return errors.Is(e.Start(ctx), webhook.ErrStopped) })
	})
	require.NoError(t, err)
	for i := range endingEvents {
		ev := webhook.Event{
			ID: fmt.Sprintf("evt_%d", i), Type: "custom.thing", AccountID: "a",
			Timestamp: time.Now(), Data: json.RawMessage(`{}`),
		}
		require.NoError(t, e.Emit(ctx, ev))
	}
	require.NoError(t, e.Start(ctx))
	<-stop // nil: the hook ends it
	_ = e.Stop(ctx)
	t.Fatal("still alive")
}
