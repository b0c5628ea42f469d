package itest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

var errOutOfStock = errors.New("out of stock")

// emitter is what InTx gives a function to emit with.
type emitter = func(...webhook.Event) error

// shop is a store with a table of its user's own, and an engine on it.
func shop(t *testing.T, d database) (*testStore, *webhook.Engine) {
	t.Helper()
	s := d.store(t)
	s.exec(t, "create table orders (item varchar(64) not null)")
	e, err := newEngine(s, func(c *webhook.Config) { c.PollInterval = time.Hour })
	require.NoError(t, err)
	_, err = s.CreateEndpoint(ctx, endpoint("wh_1"))
	require.NoError(t, err)
	return s, e
}

func (s *testStore) assertHas(t testing.TB, orders, events int64) {
	t.Helper()
	assert.Equal(t, orders, s.number(t, "select count(*) from orders"), "orders")
	assert.Equal(t, events, s.number(t, "select count(*) from webhook_event"), "events")
	assert.Equal(t, events, s.number(t, "select count(*) from webhook_delivery"), "deliveries")
	assert.Zero(t, s.db.Stats().InUse, "connections")
}

func addOrder(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "insert into orders (item) values ('tea')")
	return err
}

func placed(t testing.TB, id string) webhook.Event {
	t.Helper()
	e, err := webhook.NewEvent("a", "order.placed", map[string]string{"item": "tea"})
	require.NoError(t, err)
	e.ID = id
	return e
}

func TestInTxCommitsTheWorkAndItsEventsOrNothing(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s, engine := shop(t, d)
		other, err := sqlstore.New(s.db, d.dialect, &sqlstore.Options{TablePrefix: "missing_"})
		require.NoError(t, err)
		large := placed(t, "evt_large")
		large.Data = strings.Repeat("x", 1<<20)
		orders, events := int64(0), int64(0)
		for _, tc := range []struct {
			name   string
			f      func(ctx context.Context, tx *sql.Tx, emit emitter) error
			orders int64
			events int64
			err    error
		}{
			{"work and an event", func(ctx context.Context, tx *sql.Tx, emit emitter) error {
				return errors.Join(addOrder(ctx, tx), emit(placed(t, "evt_1"), placed(t, "evt_2")), emit(), emit(placed(t, "evt_3")))
			}, 1, 3, nil},
			{"nothing", func(context.Context, *sql.Tx, emitter) error { return nil }, 0, 0, nil},
			{"an error of the function", func(ctx context.Context, tx *sql.Tx, emit emitter) error {
				require.NoError(t, errors.Join(addOrder(ctx, tx), emit(placed(t, "evt_4"))))
				return errOutOfStock
			}, 0, 0, errOutOfStock},
			{"an invalid event that is passed over", func(ctx context.Context, tx *sql.Tx, emit emitter) error {
				require.ErrorIs(t, emit(placed(t, "evt_5"), webhook.Event{}), webhook.ErrInvalidArgument)
				return addOrder(ctx, tx)
			}, 1, 0, nil},
			{"a large event that is passed over", func(ctx context.Context, tx *sql.Tx, emit emitter) error {
				require.ErrorIs(t, emit(large), webhook.ErrPayloadTooLarge)
				return errors.Join(addOrder(ctx, tx), emit(placed(t, "evt_6")))
			}, 1, 1, nil},
			{"an id in use that is passed over", func(ctx context.Context, tx *sql.Tx, emit emitter) error {
				used := placed(t, "evt_1")
				used.Data = 7
				require.ErrorIs(t, emit(placed(t, "evt_7"), used), webhook.ErrIDConflict)
				return errors.Join(addOrder(ctx, tx), emit(placed(t, "evt_8")))
			}, 1, 1, nil},
			{"the end of the transaction", func(ctx context.Context, tx *sql.Tx, _ emitter) error {
				require.NoError(t, addOrder(ctx, tx))
				return tx.Rollback()
			}, 0, 0, webhook.ErrStore},
			{"a panic", func(ctx context.Context, tx *sql.Tx, emit emitter) error {
				require.NoError(t, errors.Join(addOrder(ctx, tx), emit(placed(t, "evt_10"))))
				panic(errOutOfStock)
			}, 0, 0, nil},
		} {
			t.Run(tc.name, func(t *testing.T) {
				call := func() error { return s.InTx(ctx, engine, tc.f) }
				switch {
				case tc.name == "a panic":
					assert.PanicsWithValue(t, errOutOfStock, func() { _ = call() })
				case tc.err == webhook.ErrStore:
					assert.ErrorContains(t, call(), "ended the transaction itself")
				default:
					assert.Equal(t, tc.err, call(), "as it is")
				}
				orders, events = orders+tc.orders, events+tc.events
				s.assertHas(t, orders, events)
			})
		}
		for name, tc := range map[string]struct {
			store *sqlstore.Store
			with  webhook.Dispatcher
			text  string
		}{
			"a failed statement that is passed over": {other, engine, "missing_"}, // on SQLite it is that which takes the lock
			"another error that is passed over":      {s.Store, unsure{engine}, "half of it"},
		} {
			t.Run(name, func(t *testing.T) {
				err := tc.store.InTx(ctx, tc.with, func(ctx context.Context, tx *sql.Tx, emit emitter) error {
					if err := addOrder(ctx, tx); err != nil {
						return err
					}
					require.ErrorIs(t, emit(placed(t, "evt_11")), webhook.ErrStore)
					return nil
				})
				require.ErrorIs(t, err, webhook.ErrStore)
				assert.ErrorContains(t, err, tc.text)
				s.assertHas(t, orders, events)
			})
		}
	})
}

// unsure is a Dispatcher that leaves half of what it is to emit in the transaction.
type unsure struct{ *webhook.Engine }

func (u unsure) EmitTx(ctx context.Context, tx webhook.Enqueuer, events ...webhook.Event) error {
	return errors.Join(u.Engine.EmitTx(ctx, tx, events...), fmt.Errorf("%w: half of it", webhook.ErrStore))
}

func TestInTxWakesTheEngineAfterTheCommit(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		got := make(chan string, 1)
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get("webhook-id") }))
		defer server.Close()
		s, engine := shop(t, d)
		_, _, err := engine.CreateEndpoint(ctx, webhook.EndpointParams{AccountID: "woken", URL: server.URL, Events: []webhook.EventType{"*"}})
		require.NoError(t, err)
		require.NoError(t, engine.Start(ctx))
		defer func() { require.NoError(t, engine.Stop(ctx)) }()
		require.Eventually(t, func() bool { return s.db.Stats().InUse == 0 }, 10*time.Second, time.Millisecond)
		e := placed(t, "evt_1")
		e.AccountID = "woken"
		require.NoError(t, s.InTx(ctx, engine, func(_ context.Context, _ *sql.Tx, emit emitter) error { return emit(e) }))
		select {
		case id := <-got:
			assert.Equal(t, "evt_1", id)
		case <-time.After(20 * time.Second):
			t.Fatal("not delivered: the engine polls once an hour")
		}
	})
}

func TestInTxCallsTheFunctionOnceAndAlone(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s, engine := shop(t, d)
		calls := 0
		failure := &pgconn.PgError{Code: "40001"}
		err := s.InTx(ctx, engine, func(context.Context, *sql.Tx, emitter) error { calls++; return failure })
		assert.Same(t, failure, err)
		assert.Equal(t, 1, calls, "what it did besides cannot be undone")

		var late emitter
		err = s.InTx(ctx, engine, func(ctx context.Context, tx *sql.Tx, emit emitter) error {
			late = emit
			err := s.InTx(ctx, engine, func(context.Context, *sql.Tx, emitter) error { calls++; return nil })
			require.ErrorIs(t, err, webhook.ErrInvalidArgument)
			require.ErrorContains(t, err, "pass emit on")
			return addOrder(ctx, tx)
		})
		require.NoError(t, err, "the one around goes on")
		assert.Equal(t, 1, calls)
		require.ErrorContains(t, late(placed(t, "evt_1")), "had returned")
		s.assertHas(t, 1, 0)

		ended, cancel := context.WithCancel(ctx)
		err = s.InTx(ended, engine, func(ctx context.Context, tx *sql.Tx, emit emitter) error {
			require.NoError(t, errors.Join(addOrder(ctx, tx), emit(placed(t, "evt_2"))))
			cancel()
			return emit(placed(t, "evt_3"))
		})
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, s.InTx(ended, engine, func(context.Context, *sql.Tx, emitter) error { calls++; return nil }), context.Canceled)
		assert.Equal(t, 1, calls)
		require.Eventually(t, func() bool { return s.db.Stats().InUse == 0 }, 10*time.Second, time.Millisecond)
		s.assertHas(t, 1, 0)

		require.ErrorIs(t, s.InTx(ctx, nil, func(context.Context, *sql.Tx, emitter) error { return nil }), webhook.ErrInvalidArgument)
		require.ErrorIs(t, s.InTx(ctx, engine, nil), webhook.ErrInvalidArgument)
	})
}

// What docs/operating.md says of a transaction after an error of EmitTx.
func TestWhatAnErrorOfEmitTxLeavesOfTheTransaction(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s, engine := shop(t, d)
		missing, err := sqlstore.New(s.db, d.dialect, &sqlstore.Options{TablePrefix: "missing_"})
		require.NoError(t, err)
		require.NoError(t, engine.Emit(ctx, placed(t, "evt_used")))
		used, large := placed(t, "evt_used"), placed(t, "evt_large")
		used.Data, large.Data = 7, strings.Repeat("x", 1<<20)
		ended, cancel := context.WithCancel(ctx)
		cancel()
		orders := int64(0)
		for _, tc := range []struct {
			name   string
			ctx    context.Context
			store  *sqlstore.Store
			events []webhook.Event
			err    error
		}{
			{"invalid", ctx, s.Store, []webhook.Event{placed(t, "evt_1"), {}}, webhook.ErrInvalidArgument},
			{"too large", ctx, s.Store, []webhook.Event{placed(t, "evt_1"), large}, webhook.ErrPayloadTooLarge},
			{"id in use", ctx, s.Store, []webhook.Event{placed(t, "evt_1"), used}, webhook.ErrIDConflict},
			{"context ended before", ended, s.Store, []webhook.Event{placed(t, "evt_1")}, context.Canceled},
			{"failed statement", ctx, missing, []webhook.Event{placed(t, "evt_1")}, webhook.ErrStore},
		} {
			t.Run(tc.name, func(t *testing.T) {
				tx, _ := s.begin(t)
				require.NoError(t, addOrder(ctx, tx))
				require.ErrorIs(t, engine.EmitTx(tc.ctx, tc.store.Tx(tx), tc.events...), tc.err)
				err := addOrder(ctx, tx)
				var pg *pgconn.PgError
				if tc.err == webhook.ErrStore && d.dialect == sqlstore.Postgres {
					require.ErrorAs(t, err, &pg)
					assert.Equal(t, "25P02", pg.Code, "aborted")
					require.Error(t, tx.Commit())
				} else {
					require.NoError(t, errors.Join(err, tx.Commit()))
					orders += 2
				}
				s.assertHas(t, orders, 1)
			})
		}
	})
}
