package itest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// hookVariable holds the orders of a process whose hook ends it.
const hookVariable = "WEBHOOK_TEST_EXIT_IN_HOOK"

const (
	exitInHook = 7
	hookEvents = 20
)

func TestD19AHookThatEndsTheProcessIsLikeACrash(t *testing.T) {
	if text := os.Getenv(hookVariable); text != "" {
		var o orders
		require.NoError(t, json.Unmarshal([]byte(text), &o))
		o.endInHook(t)
		return
	}
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		r := newReceiver(t)
		c := endpoint("wh_ok")
		c.Record.URL = r.URL + "/wh_ok"
		_, err := s.CreateEndpoint(ctx, c)
		require.NoError(t, err)
		text, err := json.Marshal(orders{Driver: d.driver, DSN: s.dsn, Dialect: d.dialect})
		require.NoError(t, err)
		cmd := exec.Command(os.Args[0], "-test.run=^TestD19AHookThatEndsTheProcessIsLikeACrash$")
		cmd.Env = append(os.Environ(), hookVariable+"="+string(text))
		out, _ := cmd.CombinedOutput()
		require.Equal(t, exitInHook, cmd.ProcessState.ExitCode(), "%s", out)

		s.endLeases(t)
		e, err := newEngine(s, nil)
		require.NoError(t, err)
		for n := 1; n > 0; {
			n, err = e.DeliverDue(ctx)
			require.NoError(t, err)
		}
		require.NoError(t, e.Stop(ctx))
		assert.Zero(t, s.unfinished(t))
		r.mu.Lock()
		defer r.mu.Unlock()
		for i := range hookEvents {
			name := fmt.Sprintf("wh_ok evt_%d", i)
			assert.True(t, r.accepted[name], name)
			assert.LessOrEqual(t, r.sends[name], 2, name)
		}
	})
}

// endInHook emits, and ends the process when the hook is told of the third
// delivery, without any clean-up.
func (o orders) endInHook(t *testing.T) {
	db := database{driver: o.Driver, dialect: o.Dialect}.open(t, o.DSN)
	s, err := sqlstore.New(db, o.Dialect, nil)
	require.NoError(t, err)
	told := 0
	e, err := newEngine(s, func(c *webhook.Config) {
		c.Hooks.OnDelivered = func(context.Context, webhook.DeliveryInfo) {
			if told++; told == 3 {
				os.Exit(exitInHook)
			}
		}
	})
	require.NoError(t, err)
	for i := range hookEvents {
		ev := webhook.Event{
			ID: fmt.Sprintf("evt_%d", i), Type: "custom.thing", AccountID: "a",
			Timestamp: time.Now(), Data: json.RawMessage(`{}`),
		}
		require.NoError(t, e.Emit(ctx, ev))
	}
	require.NoError(t, e.Start(ctx))
	select {} // the hook ends it
}
