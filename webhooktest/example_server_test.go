package webhooktest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
	"github.com/ringyo-ai/webhook/webhooktest"
)

// A test of the whole way: a customer's server that is down at first, and
// retries without any waiting. Errors are left out here for brevity.
func Example_server() {
	t, ctx := new(testing.T), context.Background() // the test's own
	clock := webhooktest.NewClock()
	srv := webhooktest.NewServer(t, webhooktest.ServerConfig{Clock: clock.Now})
	defer srv.Close()
	store := memstore.NewWith(memstore.Options{Clock: clock.Now})
	engine, _ := webhook.New(webhook.Config{Store: store, Transport: srv.Transport()})
	_, secret, _ := engine.CreateEndpoint(ctx, webhook.EndpointParams{
		AccountID: "acc_1", URL: srv.URL, Events: []webhook.EventType{"call.*"},
	})
	srv.AddSecret(secret)
	srv.Reply(webhooktest.Reply{Status: 503})

	_ = engine.Emit(ctx, webhooktest.Sample(t, "acc_1", webhook.EventCallFailed))
	for range 2 {
		n, _ := engine.DeliverDue(ctx)
		fmt.Println("attempted:", n)
		clock.Advance(2 * time.Second)
	}
	for _, got := range srv.Received() {
		fmt.Println(got.Event.Type, got.Err)
	}
	// Output:
	// attempted: 1
	// attempted: 1
	// call.failed <nil>
	// call.failed <nil>
}
