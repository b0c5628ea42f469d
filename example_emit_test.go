package webhook_test

import (
	"context"
	"fmt"
	"log"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

// printer is a Transport that prints instead of sending. A Transport is one method:
// another one could hand requests to an egress proxy or a queue.
type printer struct{}

func (printer) Send(_ context.Context, r *webhook.Request) (*webhook.Response, error) {
	event, err := webhook.ParseEvent(r.Body)
	if err != nil {
		return nil, err
	}
	fmt.Println("POST", r.URL, event.Type)
	return &webhook.Response{StatusCode: 200}, nil
}

// A backend registers its customer's endpoint and emits an event.
func Example_emit() {
	ctx := context.Background()
	// In production the store is one of sqlstore, and Transport is left out.
	engine, err := webhook.New(webhook.Config{Store: memstore.New(), Transport: printer{}})
	if err != nil {
		log.Fatal(err)
	}

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
