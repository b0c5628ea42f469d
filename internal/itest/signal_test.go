package itest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// listen is a Config.Listen for the channel webhook_ready, on a connection of its own.
func listen(dsn string) func(ctx context.Context, wake func()) error {
	return func(ctx context.Context, wake func()) error {
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
		_, err = conn.Exec(ctx, "listen webhook_ready")
		for err == nil {
			wake()
			_, err = conn.WaitForNotification(ctx)
		}
		return err
	}
}

// signalled is the option that switches signals on.
var signalled = sqlstore.Options{NotifyChannel: "webhook_ready"}

// One pool and engine emits, another one delivers and polls once an hour.
func TestAnotherProcessDeliversWithoutPollingWhenItIsSignalled(t *testing.T) {
	t.Parallel()
	got := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get("webhook-id") }))
	defer server.Close()
	d := databases[1]
	dsn := d.create(t)
	emits, delivers := d.storeOn(t, dsn, &signalled), d.storeOn(t, dsn, nil)
	emitter, err := newEngine(emits, nil)
	require.NoError(t, err)
	deliverer, err := newEngine(delivers, func(c *webhook.Config) { c.PollInterval, c.Listen = time.Hour, listen(dsn) })
	require.NoError(t, err)
	_, _, err = emitter.CreateEndpoint(ctx, webhook.EndpointParams{AccountID: "a", URL: server.URL, Events: []webhook.EventType{"*"}})
	require.NoError(t, err)
	require.NoError(t, deliverer.Start(ctx))
	defer func() { require.NoError(t, deliverer.Stop(ctx)) }()
	listeners := func() bool {
		return emits.number(t, "select count(*) from pg_stat_activity where datname = current_database() and query = 'listen webhook_ready'") == 1
	}
	arrives := func(id string) {
		t.Helper()
		select {
		case is := <-got:
			assert.Equal(t, id, is)
		case <-time.After(20 * time.Second):
			t.Fatal(id + " did not arrive")
		}
	}

	require.Eventually(t, listeners, 20*time.Second, 10*time.Millisecond)
	require.NoError(t, emitter.Emit(ctx, placed(t, "evt_1")))
	arrives("evt_1")

	tx, q := emits.begin(t)
	require.NoError(t, emitter.EmitTx(ctx, q, placed(t, "evt_2")))
	require.NoError(t, tx.Commit())
	emitter.Wake()
	arrives("evt_2")

	emits.exec(t, "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query = 'listen webhook_ready'")
	require.NoError(t, emitter.Emit(ctx, placed(t, "evt_3")))
	arrives("evt_3") // the engine listens again, and looks for what it missed
	require.NoError(t, emitter.Stop(ctx))
}

func TestNotifyChannelIsChecked(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		for channel, ok := range map[string]bool{
			"": true, "webhook_ready": d.dialect == sqlstore.Postgres, "Webhook": false, "a-b": false, "1a": false, "_a": false, "a'": false,
			"a123456789012345678901234567890123456789012345678901234567890123": false,
		} {
			_, err := sqlstore.New(s.db, d.dialect, &sqlstore.Options{NotifyChannel: channel})
			if ok {
				assert.NoError(t, err, channel)
				continue
			}
			require.ErrorIs(t, err, webhook.ErrInvalidArgument, channel)
			assert.ErrorContains(t, err, "NotifyChannel", channel)
		}
	})
}
