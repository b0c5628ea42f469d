package receive_test

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
)

// A Receiver in front of code that handles the request itself.
func ExampleReceiver_Middleware() {
	secret := webhook.NewSecret() // webhook.ParseSecret(os.Getenv("WEBHOOK_SECRET"))

	receiver, err := receive.New(receive.Config{Secrets: []webhook.Secret{secret}})
	if err != nil {
		log.Fatal(err)
	}
	own := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		event, _ := receive.EventFromContext(r.Context())
		raw, err := io.ReadAll(r.Body) // the bytes that were signed
		if err != nil {
			http.Error(w, "cannot read", http.StatusBadRequest)
			return
		}
		fmt.Println(event.Type, len(raw) > len(event.Raw))
	})
	mux := http.NewServeMux()
	mux.Handle("/hook", receiver.Middleware(own))

	// What the sender does:
	body := []byte(`{"id":"evt_1","event":"call.completed","timestamp":"2026-01-15T10:30:00Z","webhook_id":"wh_1",` +
		`"data":{"call_id":"call_1","duration_seconds":245}}`)
	request := httptest.NewRequest(http.MethodPost, "/hook", bytes.NewReader(body))
	message := webhook.Message{ID: "evt_1", Timestamp: time.Now(), Body: body}
	if err := webhook.StandardSigner().Sign(request.Header, message, secret); err != nil {
		log.Fatal(err)
	}
	mux.ServeHTTP(httptest.NewRecorder(), request)
	// Output:
	// call.completed true
}
