package webhook_test

import (
	"context"
	"fmt"
	"log"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

// newEngine is an engine in memory whose requests are printed: in production
// there is a store of sqlstore here, and the default Transport.
func newEngine() *webhook.Engine {
	engine, err := webhook.New(webhook.Config{Store: memstore.New(), Transport: printer{}})
	if err != nil {
		log.Fatal(err)
	}
	return engine
}

// A backend registers its customer's endpoint and emits an event.
func Example_emit() {
	ctx := context.Background()
	engine := newEngine()

	endpoint, secret, err := engine.CreateEndpoint(ctx, webhook.EndpointParams{
		AccountID: "acme",
		URL:       "https://example.com/webhooks",
		Events:    []webhook.EventType{"call.*", webhook.EventCreditsLow},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(endpoint.Status, secret) // the customer is shown secret.Reveal(), once

	event := webhook.NewCreditsLow("acme", webhook.CreditsLow{Balance: 40, Threshold: 100})
	if err := engine.Emit(ctx, event); err != nil {
		log.Fatal(err) // or repeat with this same event: its id makes that safe
	}

	// A server calls engine.Start when it begins and engine.Stop when it ends.
	// Here one pass is enough.
	if _, err := engine.DeliverDue(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// active whsec_[redacted]
	// POST https://example.com/webhooks credits.low
}
