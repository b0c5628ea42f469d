package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

// What a management API does with an endpoint. Every call takes the account:
// with another one the endpoint does not exist.
func Example_manage() {
	ctx := context.Background()
	customer := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) // accepts everything
	defer customer.Close()
	transport, err := webhook.NewHTTPTransport(webhook.HTTPConfig{
		AllowHTTP: true, AllowPrefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, // for this example alone
	})
	if err != nil {
		log.Fatal(err)
	}
	engine, err := webhook.New(webhook.Config{Store: memstore.New(), Transport: transport})
	if err != nil {
		log.Fatal(err)
	}
	endpoint, _, err := engine.CreateEndpoint(ctx, webhook.EndpointParams{
		AccountID: "acme", URL: customer.URL, Events: []webhook.EventType{"*"},
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

	// Of two changes of the same revision the second one is refused.
	off := false
	change := webhook.EndpointChange{IfRevision: endpoint.Revision, Enabled: &off}
	_, first := engine.UpdateEndpoint(ctx, "acme", endpoint.ID, change)
	_, second := engine.UpdateEndpoint(ctx, "acme", endpoint.ID, change)
	fmt.Println("changed:", first == nil, "and then:", errors.Is(second, webhook.ErrRevisionMismatch))

	health, err := engine.EndpointHealth(ctx, "acme", endpoint.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("it is", health.Status, "with", health.Pending, "pending")
	// Output:
	// another account: true
	// a private address: invalid_url
	// a test event was delivered: true
	// changed: true and then: true
	// it is inactive with 0 pending
}

// How a management API responds to errors: with the code and the message of an error
// that has them, and with nothing of an error that is not the customer's business.
func Example_codes() {
	engine, err := webhook.New(webhook.Config{Store: memstore.New(), EventTypes: webhook.EventTypes()})
	if err != nil {
		log.Fatal(err)
	}
	create := func(w http.ResponseWriter, r *http.Request) {
		_, _, err := engine.CreateEndpoint(r.Context(), webhook.EndpointParams{
			AccountID: "acme", // of whoever is logged in, never of the request
			URL:       r.FormValue("url"),
			Events:    []webhook.EventType{webhook.EventType(r.FormValue("events"))},
		})
		var shown interface {
			Code() string
			Message() string
		}
		switch {
		case err == nil:
			w.WriteHeader(http.StatusCreated)
		case errors.As(err, &shown):
			http.Error(w, shown.Code()+": "+shown.Message(), http.StatusUnprocessableEntity)
		default: // the store: for the log alone
			http.Error(w, "internal", http.StatusInternalServerError)
		}
	}
	for _, form := range []string{
		"url=https://example.com/webhooks&events=call.*",
		"url=https://10.0.0.1/&events=call.*",
		"url=https://example.com/webhooks&events=call.complete",
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/endpoints", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		create(w, r)
		fmt.Println(strings.TrimSpace(fmt.Sprint(w.Code, " ", w.Body)))
	}
	// Output:
	// 201
	// 422 invalid_url: the URL's host is not a public address
	// 422 invalid_events: events[0] is not an event type that there is
}
