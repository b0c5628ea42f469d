package webhook_test

import (
	"fmt"
	"log"

	"github.com/ringyo-ai/webhook"
)

// Why does the signature not match? A receiver that is told to explain logs the
// same text.
func ExampleVerifier_Explain() {
	verifier, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{receiverSecret}})
	if err != nil {
		log.Fatal(err)
	}
	event := callCompleted("evt_1")
	request := event.request()
	body := []byte(event.body + "\n") // a gateway added a line end

	if err := verifier.Verify(body, request.Header); err != nil {
		fmt.Println(err)
		fmt.Println(verifier.Explain(body, request.Header, err))
	}
	// Output:
	// webhook: signature does not match
	// the body has white space or a byte order mark around it that was not sent: verify the bytes that came on the wire, before anything parses or rewrites them
}
