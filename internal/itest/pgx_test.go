package itest

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlinbox"
	"github.com/ringyo-ai/webhook/sqlstore"
	"github.com/ringyo-ai/webhook/storetest"
)

// pgxPool opens a pool of pgx's own.
func pgxPool(t testing.TB, dsn string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(ctx, dsn)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// pooled is the PostgreSQL of a program that has a pgxpool.Pool and nothing else.
func pooled(t testing.TB) (*testStore, *pgxpool.Pool) {
	t.Helper()
	d := databases[1]
	dsn := d.create(t)
	pool := pgxPool(t, dsn)
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { _ = db.Close() })
	s, err := sqlstore.New(db, sqlstore.Postgres, nil)
	require.NoError(t, err)
	require.NoError(t, s.Migrate(ctx))
	return &testStore{Store: s, database: d, db: db, dsn: dsn}, pool
}

// placeOrder writes an order and the event that tells of it in one transaction of pgx.
func placeOrder(ctx context.Context, pool *pgxpool.Pool, store *sqlstore.Store, engine *webhook.Engine, item string) error {
	event, err := webhook.NewEvent("a", "order.placed", map[string]string{"item": item})
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "insert into orders (item) values ($1)", item); err != nil {
			return err
		}
		return engine.EmitTx(ctx, store.Tx(sqlstore.PgxTx(tx)), event)
	})
	engine.Wake() // the event need not wait for the next poll
	return err
}

func TestAnEventJoinsATransactionOfPgx(t *testing.T) {
	t.Parallel()
	s, pool := pooled(t)
	s.exec(t, "create table orders (item text primary key)")
	_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
	require.NoError(t, err)
	engine, err := newEngine(s, nil)
	require.NoError(t, err)
	require.NoError(t, placeOrder(ctx, pool, s.Store, engine, "tea"))
	assert.EqualValues(t, 1, s.number(t, "select count(*) from webhook_delivery"))

	err = placeOrder(ctx, pool, s.Store, engine, "tea")
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	assert.Equal(t, "23505", pg.Code)
	assert.EqualValues(t, 1, s.number(t, "select count(*) from webhook_event"), "rolled back with the order")
	assert.Zero(t, pool.Stat().AcquiredConns())
}

// The database's error is pgx's own, and the transaction is as its owner left it.
func TestAnErrorInATransactionOfPgxIsPgxsOwn(t *testing.T) {
	t.Parallel()
	s, pool := pooled(t)
	emit := func(tx sqlstore.Tx, id string) error {
		_, err := s.Tx(tx).Enqueue(ctx, groups([]webhook.EventRecord{event(id)}))
		return err
	}
	tx, err := pool.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	require.NoError(t, err)
	err = emit(sqlstore.PgxTx(tx), "evt_1")
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	assert.Equal(t, "25006", pg.Code)
	require.NoError(t, tx.Rollback(ctx))
	require.ErrorIs(t, emit(sqlstore.PgxTx(tx), "evt_1"), pgx.ErrTxClosed)

	var none pgx.Tx
	require.ErrorContains(t, emit(sqlstore.PgxTx(none), "evt_1"), "nil")

	ended, cancel := context.WithCancel(ctx)
	tx, err = pool.Begin(ctx)
	require.NoError(t, err)
	cancel()
	_, err = s.Tx(sqlstore.PgxTx(tx)).Enqueue(ended, groups([]webhook.EventRecord{event("evt_1")}))
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, tx.Rollback(ctx))
	assert.Zero(t, s.number(t, "select count(*) from webhook_event"))
}

// Whatever of pgx runs statements joins: a pool's transaction, one within it, and a
// connection.
func TestEveryTransactionOfPgxJoins(t *testing.T) {
	t.Parallel()
	s, pool := pooled(t)
	_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
	require.NoError(t, err)
	conn, err := pool.Acquire(ctx)
	require.NoError(t, err)
	defer conn.Release()
	outer, err := conn.Begin(ctx)
	require.NoError(t, err)
	inner, err := outer.Begin(ctx)
	require.NoError(t, err)
	mustEnqueue(t, s.Tx(sqlstore.PgxTx(inner)), event("evt_undone"))
	require.NoError(t, inner.Rollback(ctx))
	mustEnqueue(t, s.Tx(sqlstore.PgxTx(outer)), event("evt_1"))
	mustEnqueue(t, s.Tx(sqlstore.PgxTx(conn)), event("evt_2"))
	mustEnqueue(t, s.Tx(sqlstore.PgxTx(conn.Conn())), event("evt_3"))
	require.NoError(t, outer.Commit(ctx))
	assert.EqualValues(t, 3, s.number(t, "select count(*) from webhook_delivery"))
}

func TestMigrateTxTakesATransactionOfPgx(t *testing.T) {
	t.Parallel()
	d := databases[1]
	pool := pgxPool(t, d.create(t))
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { _ = db.Close() })
	s, err := sqlstore.New(db, sqlstore.Postgres, nil)
	require.NoError(t, err)
	for _, end := range []error{errors.New("rolled back"), nil, nil} {
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			require.NoError(t, s.MigrateTx(ctx, sqlstore.PgxTx(tx)))
			return end
		})
		require.ErrorIs(t, err, end)
		if err = s.Validate(ctx); end != nil {
			require.ErrorIs(t, err, sqlstore.ErrSchema)
		} else {
			require.NoError(t, err)
		}
	}
}

func TestInboxMarksInATransactionOfPgx(t *testing.T) {
	t.Parallel()
	i := databases[1].inbox(t)
	i.exec(t, "create table effect (num bigint not null)")
	pool := pgxPool(t, i.dsn)
	r := inboxReceiver(t, i)
	end := errors.New("rolled back")
	r.OnOther(func(ctx context.Context, _ webhook.Event) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "insert into effect (num) values (1)")
			require.NoError(t, err)
			require.NoError(t, i.Mark(ctx, sqlinbox.PgxTx(tx)))
			require.ErrorIs(t, i.Mark(ctx, sqlinbox.PgxTx(tx)), sqlinbox.ErrAlreadyMarked)
			return end
		})
	})
	assert.Equal(t, http.StatusInternalServerError, answer(r, inboxRequest(t, "evt_1")))
	end = nil
	assert.Equal(t, http.StatusOK, answer(r, inboxRequest(t, "evt_1")))
	assert.Equal(t, http.StatusOK, answer(r, inboxRequest(t, "evt_1")))
	assert.EqualValues(t, 1, i.number(t, "select count(*) from effect"))
}

func TestEachWayOfPgxToRunStatementsJoins(t *testing.T) {
	t.Parallel()
	s, _ := pooled(t)
	_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
	require.NoError(t, err)
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		u, err := url.Parse(s.dsn)
		require.NoError(t, err)
		q := u.Query()
		q.Set("default_query_exec_mode", mode)
		u.RawQuery = q.Encode()
		conn, err := pgx.Connect(ctx, u.String())
		require.NoError(t, err)
		tx, err := conn.Begin(ctx)
		require.NoError(t, err)
		mustEnqueue(t, s.Tx(sqlstore.PgxTx(tx)), event("evt_"+mode))
		mustEnqueue(t, s.Tx(sqlstore.PgxTx(tx)), event("evt_"+mode)) // compared with what is stored
		require.NoError(t, tx.Commit(ctx))
		require.NoError(t, conn.Close(ctx))
	}
	assert.EqualValues(t, 5, s.number(t, "select count(*) from webhook_delivery"))
}

func TestTransactionsOfPgxKeepTheContract(t *testing.T) {
	if !long() {
		t.Skip("skipped: it takes a minute; WEBHOOK_TEST_LONG=1 and make long run it")
	}
	t.Parallel()
	d := databases[1]
	p, owner := &pool{database: d, free: []string{d.create(t)}}, t
	h := harness(d, func(t testing.TB) webhook.Store { return p.store(t, owner) })
	h.Begin = func(t testing.TB, s webhook.Store) (webhook.Enqueuer, func() error, func() error) {
		conn, err := pgx.Connect(ctx, s.(*testStore).dsn)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		tx, err := conn.Begin(ctx)
		require.NoError(t, err)
		return s.(*testStore).Tx(sqlstore.PgxTx(tx)), func() error { return tx.Commit(ctx) }, func() error { return tx.Rollback(ctx) }
	}
	storetest.Run(t, h)
}
