package webhook_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

// printer is a Transport that prints instead of sending.
type printer struct{}

func (printer) Send(_ context.Context, r *webhook.Request) (*webhook.Response, error) {
	event, err := webhook.ParseEvent(r.Body)
	if err != nil {
		return nil, err
	}
	fmt.Println("POST", r.URL, event.Type)
	return &webhook.Response{StatusCode: 200}, nil
}

// A Transport is one method. This one prints; another could hand requests to an
// egress proxy or a queue.
func Example_transport() {
	ctx := context.Background()
	engine, err := webhook.New(webhook.Config{Store: memstore.New(), Transport: printer{}})
	if err != nil {
		log.Fatal(err)
	}
	_, _, err = engine.CreateEndpoint(ctx, webhook.EndpointParams{
		AccountID: "acme", URL: "https://example.com/webhooks", Events: []webhook.EventType{"*"},
	})
	if err != nil {
		log.Fatal(err)
	}
	event, err := webhook.NewEvent("acme", "call.ringing", map[string]string{"call_id": "call_1"})
	if err != nil {
		log.Fatal(err)
	}
	event.Timestamp = time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)
	if err := engine.Emit(ctx, event); err != nil {
		log.Fatal(err)
	}
	if _, err := engine.DeliverDue(ctx); err != nil { // one pass, without Start
		log.Fatal(err)
	}
	// Output:
	// POST https://example.com/webhooks call.ringing
}
