package itest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
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

// BenchmarkBetweenProcesses measures the time from the emit of one pool and engine to the
// arrival from another, of events that come 0.2 s to 0.8 s apart. Its time per operation
// is mostly that gap.
func BenchmarkBetweenProcesses(b *testing.B) {
	for _, d := range databases {
		b.Run(d.name+"/polling", func(b *testing.B) { betweenProcesses(b, d, false) })
		if d.dialect == sqlstore.Postgres {
			b.Run(d.name+"/signals", func(b *testing.B) { betweenProcesses(b, d, true) })
		}
	}
}

func betweenProcesses(b *testing.B, d database, signals bool) {
	got := make(chan time.Time, 1)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got <- time.Now() }))
	defer server.Close()
	dsn := d.create(b)
	var options *sqlstore.Options
	listens := func(*webhook.Config) {}
	if signals {
		options, listens = &signalled, func(c *webhook.Config) { c.Listen = listen(dsn) }
	}
	emitter, err := newEngine(d.storeOn(b, dsn, options), nil)
	require.NoError(b, err)
	deliverer, err := newEngine(d.storeOn(b, dsn, nil), listens)
	require.NoError(b, err)
	_, _, err = emitter.CreateEndpoint(ctx, webhook.EndpointParams{AccountID: "a", URL: server.URL, Events: []webhook.EventType{"*"}})
	require.NoError(b, err)
	require.NoError(b, deliverer.Start(ctx))
	var took []time.Duration
	for b.Loop() {
		time.Sleep(200*time.Millisecond + rand.N(600*time.Millisecond)) // as events come, not to be right
		begin := time.Now()
		require.NoError(b, emitter.Emit(ctx, placed(b, fmt.Sprint("evt_", len(took)))))
		took = append(took, (<-got).Sub(begin))
	}
	require.NoError(b, errors.Join(deliverer.Stop(ctx), emitter.Stop(ctx)))
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-median")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "ms-longest")
}
