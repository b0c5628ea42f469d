// Command receiveall is the shortest customer's server: it receives all events,
// verified, de-duplicated and typed.
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
)

func main() {
	secret, err := webhook.ParseSecret(os.Getenv("WEBHOOK_SECRET"))
	r, err2 := receive.NewReceiver(receive.ReceiverConfig{Secrets: []webhook.Secret{secret}})
	if err := errors.Join(err, err2); err != nil {
		log.Fatal(err)
	}
	receive.On(r, func(_ context.Context, e webhook.Event, call webhook.CallCompleted) error {
		log.Printf("call %s took %d seconds", call.CallID, call.DurationSeconds)
		return nil
	})
	r.OnOther(func(_ context.Context, e webhook.Event) error { log.Printf("%s: %+v", e.Type, e.Data); return nil })
	log.Fatal(http.ListenAndServe("localhost:8080", r))
}
