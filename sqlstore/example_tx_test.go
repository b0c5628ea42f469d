package sqlstore_test

import (
	"context"
	"database/sql"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// An order and the event that tells of it are committed together, or neither is.
func ExampleStore_InTx() {
	placeOrder := func(ctx context.Context, store *sqlstore.Store, engine *webhook.Engine, item string) error {
		event, err := webhook.NewEvent("acme", "order.placed", map[string]string{"item": item})
		if err != nil {
			return err
		}
		return store.InTx(ctx, engine, func(ctx context.Context, tx *sql.Tx, emit func(...webhook.Event) error) error {
			if _, err := tx.ExecContext(ctx, "insert into orders (item) values ($1)", item); err != nil {
				return err
			}
			return emit(event)
		})
	}
	_ = placeOrder
}

// The same in a transaction that the program begins, commits and rolls back itself.
func ExampleStore_Tx() {
	placeOrder := func(ctx context.Context, db *sql.DB, store *sqlstore.Store, engine *webhook.Engine, item string) error {
		event, err := webhook.NewEvent("acme", "order.placed", map[string]string{"item": item})
		if err != nil {
			return err
		}
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // does nothing after the commit
		if _, err := tx.ExecContext(ctx, "insert into orders (item) values ($1)", item); err != nil {
			return err
		}
		if err := engine.EmitTx(ctx, store.Tx(tx), event); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		engine.Wake() // the event need not wait for the next poll
		return nil
	}
	_ = placeOrder
}
