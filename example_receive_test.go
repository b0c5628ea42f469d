package webhook_test

import (
	"bytes"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
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
