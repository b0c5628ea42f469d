package webhook_test

import (
	"context"
	"fmt"
	"log"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

// Events go with the transaction that they tell of: after its commit they are
// delivered, after its rollback they never happened. Here the transaction is
// memstore's; with sqlstore it is store.Tx(tx) of your own *sql.Tx.
func ExampleEngine_EmitTx() {
	ctx := context.Background()
	store := memstore.New()
	engine, err := webhook.New(webhook.Config{Store: store, Transport: printer{}})
	if err != nil {
		log.Fatal(err)
	}
	_, _, err = engine.CreateEndpoint(ctx, webhook.EndpointParams{
		AccountID: "acme", URL: "https://example.com/webhooks", Events: []webhook.EventType{"*"},
	})
	if err != nil {
		log.Fatal(err)
	}

	tx := store.Begin()
	err = engine.EmitTx(ctx, tx, webhook.NewCreditsLow("acme", webhook.CreditsLow{Balance: 40, Threshold: 100}))
	if err != nil {
		log.Fatal(err)
	}
	n, err := engine.DeliverDue(ctx)
	fmt.Println("before the commit:", n, err)

	if err := tx.Commit(); err != nil {
		log.Fatal(err)
	}
	engine.Wake() // a started engine need not wait for its next poll
	n, err = engine.DeliverDue(ctx)
	fmt.Println("after the commit:", n, err)
	// Output:
	// before the commit: 0 <nil>
	// POST https://example.com/webhooks credits.low
	// after the commit: 1 <nil>
}
