package webhook_test

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/ringyo-ai/webhook"
)

// A secret does not get into logs by accident: only Reveal returns its text.
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
