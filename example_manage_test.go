package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

// accepter is a customer's server that accepts everything.
type accepter struct{}

func (accepter) Send(context.Context, *webhook.Request) (*webhook.Response, error) {
	return &webhook.Response{StatusCode: 200}, nil
}

// What a management API does with an endpoint. Every call takes the account:
// with another one the endpoint does not exist.
func Example_manage() {
	ctx := context.Background()
	engine, err := webhook.New(webhook.Config{Store: memstore.New(), Transport: accepter{}})
	if err != nil {
		log.Fatal(err)
	}
	endpoint, _, err := engine.CreateEndpoint(ctx, webhook.EndpointParams{
		AccountID: "acme", URL: "https://example.com/webhooks", Events: []webhook.EventType{"*"},
	})
	if err != nil {
		log.Fatal(err)
	}

	_, err = engine.GetEndpoint(ctx, "somebody else", endpoint.ID)
	fmt.Println("another account:", errors.Is(err, webhook.ErrNotFound))

	_, _, err = engine.CreateEndpoint(ctx, webhook.EndpointParams{
		AccountID: "acme", URL: "https://10.0.0.1/", Events: []webhook.EventType{"*"},
	})
	var coded interface{ Code() string }
	if errors.As(err, &coded) {
		fmt.Println("a private address:", coded.Code())
	}

	test, err := engine.SendTest(ctx, "acme", endpoint.ID, webhook.EventCallCompleted)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("a test event was delivered:", test.Delivered)

	health, err := engine.EndpointHealth(ctx, "acme", endpoint.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("it is", health.Status, "with", health.Pending, "pending")
	// Output:
	// another account: true
	// a private address: invalid_url
	// a test event was delivered: true
	// it is active with 0 pending
}
