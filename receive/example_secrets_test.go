package receive_test

import (
	"bytes"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
)

// A rotation without a restart: the new secret is added first, and the old one
// dropped when the sender's overlap is over.
func ExampleReceiver_SetSecrets() {
	oldSecret, newSecret := webhook.NewSecret(), webhook.NewSecret()
	receiver, err := receive.New(receive.Config{Secrets: []webhook.Secret{oldSecret}})
	if err != nil {
		log.Fatal(err)
	}

	// What a sender does that signs with the new secret alone:
	body := []byte(`{"id":"evt_1","event":"agent.deleted","timestamp":"2026-01-15T10:30:00Z","webhook_id":"wh_1","data":{}}`)
	send := func() {
		request := httptest.NewRequest(http.MethodPost, "/webhooks", bytes.NewReader(body))
		message := webhook.Message{ID: "evt_1", Timestamp: time.Now(), Body: body}
		if err := webhook.StandardSigner().Sign(request.Header, message, newSecret); err != nil {
			log.Fatal(err)
		}
		response := httptest.NewRecorder()
		receiver.ServeHTTP(response, request)
		fmt.Println(response.Code)
	}
	send()
	if err := receiver.SetSecrets(newSecret, oldSecret); err != nil {
		log.Fatal(err)
	}
	send()
	// Output:
	// 401
	// 200
}
