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
	engine, err := webhook.New(webhook.Config{Store: store})
	if err != nil {
		log.Fatal(err)
	}
	endpoint, _, err := engine.CreateEndpoint(ctx, webhook.EndpointParams{
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
	health, err := engine.EndpointHealth(ctx, "acme", endpoint.ID)
	fmt.Println("pending before the commit:", health.Pending, err)

	if err := tx.Commit(); err != nil {
		log.Fatal(err)
	}
	engine.Wake() // a started engine need not wait for its next poll
	health, err = engine.EndpointHealth(ctx, "acme", endpoint.ID)
	fmt.Println("pending after the commit:", health.Pending, err)
	// Output:
	// pending before the commit: 0 <nil>
	// pending after the commit: 1 <nil>
}
