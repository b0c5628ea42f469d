// A customer's server that receives with the library.
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
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", r))
}
