package webhook_test

import (
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/ringyo-ai/webhook"
)

// Receivers that check one header t=…,v1=… are served by another scheme, which
// signs on one side and verifies on the other.
func ExampleTimestampedSigner() {
	scheme, err := webhook.TimestampedSigner("X-Ringyo-Signature")
	if err != nil {
		log.Fatal(err)
	}
	secret, err := webhook.ParseSecret("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		log.Fatal(err)
	}

	at := time.Unix(1705314600, 0)
	body, header := []byte(`{}`), http.Header{}
	if err := scheme.Sign(header, webhook.Message{Timestamp: at, Body: body}, secret); err != nil { // webhook.Config{Signer: scheme}
		log.Fatal(err)
	}
	fmt.Println(header.Get("X-Ringyo-Signature"))

	verifier, err := webhook.NewVerifier(webhook.VerifierConfig{
		Secrets: []webhook.Secret{secret},
		Scheme:  scheme,
		Clock:   func() time.Time { return at.Add(time.Second) },
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(verifier.Verify(body, header))
	// Output:
	// t=1705314600,v1=0aac97b0fe2a3bbd892eb6e73a1fb1564bc3a0486a9795a049ea5a85502ad68b
	// <nil>
}
