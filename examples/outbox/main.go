// Outbox shows the transactional outbox: an order and the event that tells of it
// are written in one transaction. After the commit the event is delivered; after
// a rollback neither the order nor the event ever existed.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Println("FAILED:", err)
		os.Exit(1)
	}
}

// printer stands for the customer's server.
type printer struct{ got chan string }

func (p printer) Send(_ context.Context, r *webhook.Request) (*webhook.Response, error) {
	event, err := webhook.ParseEvent(r.Body)
	if err != nil {
		return nil, err
	}
	p.got <- string(event.Raw)
	return &webhook.Response{StatusCode: 200}, nil
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "webhook-outbox-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	settings := "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)"
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "shop.db")+settings)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	store, err := sqlstore.New(db, sqlstore.SQLite, nil)
	if err != nil {
		return err
	}
	if err := store.Migrate(ctx); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, "create table orders (id integer primary key, item text not null)"); err != nil {
		return err
	}

	customer := printer{make(chan string, 10)}
	engine, err := webhook.New(webhook.Config{Store: store, Transport: customer, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	_, _, err = engine.CreateEndpoint(ctx, webhook.EndpointParams{
		AccountID: "acme", URL: "https://example.com/webhooks", Events: []webhook.EventType{"order.*"},
	})
	if err != nil {
		return err
	}
	if err := engine.Start(ctx); err != nil {
		return err
	}
	defer func() { _ = engine.Stop(ctx) }()

	if err := placeOrder(ctx, store, engine, "tea", true); err != nil {
		return err
	}
	if err := placeOrder(ctx, store, engine, "coffee", false); !errors.Is(err, errOutOfStock) {
		return fmt.Errorf("the second order should fail: %w", err)
	}
	return check(ctx, db, customer)
}

var errOutOfStock = errors.New("out of stock")

// placeOrder writes the order and its event, in one transaction.
func placeOrder(ctx context.Context, store *sqlstore.Store, engine *webhook.Engine, item string, inStock bool) error {
	event, err := webhook.NewEvent("acme", "order.placed", map[string]string{"item": item})
	if err != nil {
		return err
	}
	return store.InTx(ctx, engine, func(ctx context.Context, tx *sql.Tx, emit func(...webhook.Event) error) error {
		if _, err := tx.ExecContext(ctx, "insert into orders (item) values (?)", item); err != nil {
			return err
		}
		if err := emit(event); err != nil {
			return err
		}
		if !inStock {
			return errOutOfStock // rolled back: no order, no event
		}
		return nil // committed, and the engine is woken
	})
}

// check holds what arrived against what was committed.
func check(ctx context.Context, db *sql.DB, customer printer) error {
	select {
	case data := <-customer.got:
		fmt.Println("arrived:", data)
	case <-time.After(10 * time.Second):
		return errors.New("the committed event did not arrive")
	}
	var orders, events int
	row := db.QueryRowContext(ctx, "select (select count(*) from orders), (select count(*) from webhook_event)")
	if err := row.Scan(&orders, &events); err != nil {
		return err
	}
	fmt.Printf("orders: %d, events: %d; what was rolled back left no trace\n", orders, events)
	if orders != 1 || events != 1 {
		return errors.New("the rollback left something behind")
	}
	return nil
}
