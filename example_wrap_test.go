package webhook_test

import (
	"context"
	"fmt"
	"log"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

// tracing adds to an HTTPTransport. Because it embeds the transport, and does not hold
// it in a field, URLs are checked and normalised as before, and CheckReachable works.
type tracing struct {
	*webhook.HTTPTransport
}

func (t tracing) Send(ctx context.Context, r *webhook.Request) (*webhook.Response, error) {
	r.Header.Set("X-Request-Id", r.DeliveryID) // with the headers that are sent
	return t.HTTPTransport.Send(ctx, r)
}

// Embed an HTTPTransport to add to what it does.
func ExampleHTTPTransport() {
	transport, err := webhook.NewHTTPTransport(webhook.HTTPConfig{})
	if err != nil {
		log.Fatal(err)
	}
	engine, err := webhook.New(webhook.Config{Store: memstore.New(), Transport: tracing{transport}})
	if err != nil {
		log.Fatal(err)
	}
	endpoint, _, err := engine.CreateEndpoint(context.Background(), webhook.EndpointParams{
		AccountID: "acme", URL: "HTTPS://Example.com:443", Events: []webhook.EventType{"*"},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(endpoint.URL)
	// Output:
	// https://example.com/
}
