package webhook_test

import (
	"encoding/json"
	"fmt"
	"log"

	"github.com/ringyo-ai/webhook"
)

// A secret does not get into logs by accident: only Reveal answers its text.
func ExampleSecret() {
	secret, err := webhook.ParseSecret("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%v %+v %#v %s %x\n", secret, secret, secret, secret, secret)
	b, err := json.Marshal(map[string]any{"secret": secret})
	fmt.Println(string(b), err)
	fmt.Println(secret.Reveal())
	// Output:
	// whsec_[redacted] whsec_[redacted] whsec_[redacted] whsec_[redacted] whsec_[redacted]
	// {"secret":"whsec_[redacted]"} <nil>
	// whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
}
