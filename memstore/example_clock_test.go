package memstore_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

// alwaysDown is a receiver that answers 503.
type alwaysDown struct{}

func (alwaysDown) Send(context.Context, *webhook.Request) (*webhook.Response, error) {
	return &webhook.Response{StatusCode: 503}, nil
}

// A clock of one's own and DeliverDue go through the whole retry schedule
// without waiting for it.
func ExampleOptions_clock() {
	ctx := context.Background()
	begin := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	now := begin
	store := memstore.NewWith(memstore.Options{Clock: func() time.Time { return now }})
	engine, err := webhook.New(webhook.Config{
		Store:     store,
		Transport: alwaysDown{},
		Logger:    slog.New(slog.DiscardHandler), // the clock is off, on purpose
		Jitter:    -1,
	})
	if err != nil {
		log.Fatal(err)
	}
	endpoint, _, err := engine.CreateEndpoint(ctx, webhook.EndpointParams{
		AccountID: "acme", URL: "https://example.com/hooks", Events: []webhook.EventType{"call.*"},
	})
	if err != nil {
		log.Fatal(err)
	}
	event, err := webhook.NewEvent("acme", "call.ringing", map[string]string{"call_id": "call_1"})
	if err != nil {
		log.Fatal(err)
	}
	if err := engine.Emit(ctx, event); err != nil {
		log.Fatal(err)
	}
	for range 6 {
		made, err := engine.DeliverDue(ctx)
		if err != nil {
			log.Fatal(err)
		}
		page, err := engine.ListDeliveries(ctx, "acme", webhook.DeliveryQuery{EndpointID: endpoint.ID})
		if err != nil {
			log.Fatal(err)
		}
		d := page.Items[0]
		fmt.Printf("after %v: %d attempt, then %s\n", now.Sub(begin), made, d.Status)
		now = d.NextAttemptAt
	}
	// Output:
	// after 0s: 1 attempt, then pending
	// after 1s: 1 attempt, then pending
	// after 6s: 1 attempt, then pending
	// after 36s: 1 attempt, then pending
	// after 2m36s: 1 attempt, then pending
	// after 12m36s: 1 attempt, then exhausted
}
