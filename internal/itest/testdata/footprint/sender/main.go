// A server that sends: what it links must not be in the others.
package main

import (
	"context"
	"log"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

func main() {
	engine, err := webhook.New(webhook.Config{Store: memstore.New()})
	if err != nil {
		log.Fatal(err)
	}
	if err := engine.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	event := webhook.NewCreditsLow("acme", webhook.CreditsLow{Balance: 40, Threshold: 100})
	if err := engine.Emit(context.Background(), event); err != nil {
		log.Fatal(err)
	}
	if err := engine.Stop(context.Background()); err != nil {
		log.Fatal(err)
	}
}
