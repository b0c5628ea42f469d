package webhook_test

import (
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/ringyo-ai/webhook"
)

// While a secret is being rotated the sender signs with both, so a receiver can
// change over at any moment of that time, without a restart.
func ExampleVerifier_SetSecrets() {
	older, newer := webhook.NewSecret(), webhook.NewSecret()
	verifier, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{older}})
	if err != nil {
		log.Fatal(err)
	}

	body, header := []byte(`{}`), http.Header{}
	message := webhook.Message{ID: "evt_1", Timestamp: time.Now(), Body: body}
	if err := webhook.StandardSigner().Sign(header, message, newer, older); err != nil {
		log.Fatal(err)
	}
	fmt.Println("with the older secret:", verifier.Verify(body, header))
	if err := verifier.SetSecrets(newer); err != nil {
		log.Fatal(err)
	}
	fmt.Println("with the newer secret:", verifier.Verify(body, header))
	// Output:
	// with the older secret: <nil>
	// with the newer secret: <nil>
}
