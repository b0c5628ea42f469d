// Command receiveall is the shortest customer's server: it receives all events,
// verified, de-duplicated and typed.
package main

import (
	"context"
	"log"
	"net/http"
	"os"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
)

func main() {
	secret, malformed := webhook.ParseSecret(os.Getenv("WEBHOOK_SECRET"))
	r, err := receive.New(receive.Config{Secrets: []webhook.Secret{secret}})
	if malformed != nil || err != nil {
		log.Fatal(malformed, err)
	}
	receive.On(r, func(_ context.Context, e webhook.Event, call webhook.CallCompleted) error {
		log.Printf("%s: call %s took %d seconds", e.ID, call.CallID, call.DurationSeconds)
		return nil
	})
	r.OnOther(func(_ context.Context, e webhook.Event) error { log.Printf("%s: %+v", e.Type, e.Data); return nil })
	log.Fatal(http.ListenAndServe("localhost:8080", r))
}
