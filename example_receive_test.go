package webhook_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/ringyo-ai/webhook"
)

// A customer's handler verifies a request and gets a typed event.
func Example_receive() {
	secret := webhook.NewSecret() // ParseSecret(os.Getenv("WEBHOOK_SECRET"))

	verifier, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{secret}})
	if err != nil {
		log.Fatal(err)
	}
	handle := func(w http.ResponseWriter, r *http.Request) {
		event, err := verifier.VerifyRequest(r)
		if err != nil {
			http.Error(w, "unauthorized", http.StatusUnauthorized) // log err, do not send it
			return
		}
		if event.Test {
			return // made up, by a button or SendTest: 200 and nothing else
		}
		if call, ok := event.Data.(webhook.CallCompleted); ok {
			fmt.Println("call", call.CallID, "took", call.DurationSeconds, "s")
		}
	}

	// What the platform sends:
	body := []byte(`{"id":"evt_1","event":"call.completed","timestamp":"2026-01-15T10:30:00Z","webhook_id":"wh_1",` +
		`"data":{"call_id":"call_1","agent_id":"agent_1","direction":"outbound","to_number":"+14155550123","duration_seconds":245}}`)
	request := httptest.NewRequest(http.MethodPost, "/webhooks", bytes.NewReader(body))
	err = webhook.StandardSigner().Sign(request.Header, webhook.Message{ID: "evt_1", Timestamp: time.Now(), Body: body}, secret)
	if err != nil {
		log.Fatal(err)
	}
	handle(httptest.NewRecorder(), request)
	// Output:
	// call call_1 took 245 s
}

// The one-shot function is enough where a framework hands over the raw body and
// the headers. Every failure is a 401; which one it was belongs in the log.
func ExampleVerify() {
	handler := func(w http.ResponseWriter, r *http.Request) {
		secret, err := webhook.ParseSecret(os.Getenv("WEBHOOK_SECRET"))
		if err != nil {
			http.Error(w, "not configured", http.StatusInternalServerError)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2<<20))
		if err != nil {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		if err := webhook.Verify(body, r.Header, secret); err != nil {
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		if r.Header.Get("webhook-test") == "1" {
			return // the data is made up
		}
		event, err := webhook.ParseEvent(body)
		if err != nil {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		fmt.Println(event.Type, event.ID)
	}
	_ = handler

	err := webhook.Verify([]byte("{}"), http.Header{}, webhook.NewSecret())
	fmt.Println(errors.Is(err, webhook.ErrMissingHeader), err)
	// Output: true webhook: a signature header is missing or given twice
}

// Why does the signature not match? A receiver that is told to explain logs the
// same text.
func ExampleVerifier_Explain() {
	secret := webhook.NewSecret()
	verifier, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{secret}})
	if err != nil {
		log.Fatal(err)
	}
	header := http.Header{}
	body := []byte(`{"id":"evt_1","event":"agent.deleted","timestamp":"2026-01-15T10:30:00Z","webhook_id":"wh_1","data":{}}`)
	err = webhook.StandardSigner().Sign(header, webhook.Message{ID: "evt_1", Timestamp: time.Now(), Body: body}, secret)
	if err != nil {
		log.Fatal(err)
	}
	body = append(body, '\n') // a gateway added a line end

	if err := verifier.Verify(body, header); err != nil {
		fmt.Println(err)
		fmt.Println(verifier.Explain(body, header, err))
	}
	// Output:
	// webhook: signature does not match
	// the body has white space or a byte order mark around it that was not sent: verify the bytes that came on the wire, before anything parses or rewrites them
}
