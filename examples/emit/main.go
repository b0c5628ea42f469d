// Command emit is the smallest program that sends a webhook: the first of the
// README.
package main

import (
	"context"
	"errors"
	"log"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

func main() {
	ctx, event := context.Background(), webhook.NewCreditsLow("acme", webhook.CreditsLow{Balance: 40, Threshold: 100})
	engine, err := webhook.New(webhook.Config{Store: memstore.New()}) // in production: sqlstore
	if err != nil {
		log.Fatal(err)
	}
	params := webhook.EndpointParams{AccountID: "acme", URL: "https://example.com/webhooks", Events: []webhook.EventType{"*"}}
	_, secret, err := engine.CreateEndpoint(ctx, params)
	if err := errors.Join(err, engine.Start(ctx), engine.Emit(ctx, event)); err != nil {
		log.Fatal(err)
	}
	log.Println("sending; the customer's secret, shown once:", secret.Reveal())
	select {} // serve, and end with engine.Stop(ctx)
}
