package webhook_test

import (
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/ringyo-ai/webhook"
)

// With a signing key the customer holds a public key alone: a copy of it that
// leaks cannot be used to forge a request.
func ExampleNewSigningKey() {
	key := webhook.NewSigningKey() // stays with the sender
	public := key.Public()         // goes to the customer

	body, header := []byte(`{}`), http.Header{}
	message := webhook.Message{ID: "evt_1", Timestamp: time.Now(), Body: body}
	if err := webhook.StandardSigner().Sign(header, message, key); err != nil {
		log.Fatal(err)
	}
	fmt.Println("signature:", header.Get("webhook-signature")[:4])
	fmt.Println("verified:", webhook.Verify(body, header, public) == nil)
	fmt.Println(webhook.StandardSigner().Sign(header, message, public))
	// Output:
	// signature: v1a,
	// verified: true
	// webhook: Secret is a public key, which cannot sign
}
