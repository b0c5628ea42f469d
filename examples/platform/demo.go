package main

import (
	"context"
	"errors"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/ringyo-ai/webhook"
)

// customers are the endpoints of the demonstration, by the path of their server: one
// that is well, and others as they are in real life.
var customers = []struct {
	path, description string
	events            []webhook.EventType
	respond           func(http.ResponseWriter)
}{
	{"/crm", "CRM", []webhook.EventType{"*"}, func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) }},
	{"/calendar", "Calendar sync, slow at times", []webhook.EventType{"appointment.*"}, func(w http.ResponseWriter) {
		time.Sleep(rand.N(900 * time.Millisecond)) // #nosec G404 -- a demonstration
		_, _ = w.Write([]byte(`{"ok":true}`))
	}},
	{"/analytics", "Analytics, fails now and then", []webhook.EventType{"call.*"}, func(w http.ResponseWriter) {
		if rand.N(10) < 3 { // #nosec G404 -- a demonstration
			http.Error(w, "upstream unavailable", http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusOK)
	}},
	{"/old-crm", "The CRM before the last one", []webhook.EventType{"call.completed", "credits.low"}, func(w http.ResponseWriter) {
		http.Error(w, "<h1>404 Not Found</h1>", http.StatusNotFound)
	}},
}

// demonstrate registers the customers' endpoints and emits an event every two seconds,
// until ctx ends.
func demonstrate(ctx context.Context, engine *webhook.Engine) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	for _, c := range customers {
		mux.HandleFunc("POST "+c.path, func(w http.ResponseWriter, _ *http.Request) { c.respond(w) })
		_, _, err := engine.CreateEndpoint(ctx, webhook.EndpointParams{
			AccountID: "acme", URL: "http://" + l.Addr().String() + c.path, Events: c.events, Description: c.description,
		})
		if err != nil {
			return errors.Join(err, l.Close())
		}
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(l) }() // until Close
	go func() {
		defer func() { _ = server.Close() }()
		tick := time.NewTicker(2 * time.Second)
		defer tick.Stop()
		for {
			if err := engine.Emit(ctx, someEvent()); err != nil && ctx.Err() == nil {
				log.Print(err)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return nil
}

// someEvent is a sample of a type at random.
func someEvent() webhook.Event {
	types := webhook.EventTypes()
	t := types[rand.N(len(types))] // #nosec G404 -- a demonstration
	if strings.HasPrefix(string(t), "agent.") {
		t = webhook.EventCallCompleted // agents change less often than people call
	}
	event, err := webhook.NewEvent("acme", t, webhook.SampleData(t))
	if err != nil {
		panic(err) // a sample is an event
	}
	return event
}
