package webhook_test

import (
	"context"
	"fmt"
	"log"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

// refuser is an endpoint that is gone.
type refuser struct{}

func (refuser) Send(context.Context, *webhook.Request) (*webhook.Response, error) {
	return &webhook.Response{StatusCode: 410}, nil
}

// Hooks tell what happened, after it was recorded: count it, or write to the
// endpoint's owner.
func ExampleHooks() {
	ctx := context.Background()
	engine, err := webhook.New(webhook.Config{
		Store:     memstore.New(),
		Transport: refuser{},
		Hooks: webhook.Hooks{
			OnAttempt: func(_ context.Context, a webhook.AttemptInfo) {
				fmt.Println("attempt:", a.StatusCode, a.Failure)
			},
			OnEndpointDisabled: func(_ context.Context, f webhook.EndpointFailures) {
				fmt.Println("tell", f.AccountID, "that", f.URL, "was disabled:", f.Disabled)
				fmt.Println("last failure:", f.LastFailure.StatusCode, f.LastFailure.Failure)
			},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	_, _, err = engine.CreateEndpoint(ctx, webhook.EndpointParams{
		AccountID: "acme", URL: "https://example.com/webhooks", Events: []webhook.EventType{"*"},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := engine.Emit(ctx, webhook.NewCreditsLow("acme", webhook.CreditsLow{Threshold: 100})); err != nil {
		log.Fatal(err)
	}
	if _, err := engine.DeliverDue(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// attempt: 410 http_status
	// tell acme that https://example.com/webhooks was disabled: gone
	// last failure: 410 http_status
}
