package receive_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
)

// Acknowledging first and working later, for handlers that take longer than the
// sender waits.
func ExampleAsyncConfig() {
	secret := webhook.NewSecret() // webhook.ParseSecret(os.Getenv("WEBHOOK_SECRET"))

	receiver, err := receive.New(receive.Config{
		Secrets: []webhook.Secret{secret},
		Async: &receive.AsyncConfig{
			Queue:   1000,
			Workers: 16,
			OnLost:  func(e webhook.Event, err error) { log.Printf("lost %s %s: %v", e.ID, e.Raw, err) },
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	acknowledged := make(chan struct{})
	receive.On(receiver, func(_ context.Context, e webhook.Event, call webhook.CallCompleted) error {
		<-acknowledged // much work
		fmt.Println("summarised", call.CallID)
		return nil
	})
	// What the sender does:
	body := []byte(`{"id":"evt_1","event":"call.completed","timestamp":"2026-01-15T10:30:00Z","webhook_id":"wh_1",` +
		`"data":{"call_id":"call_1","duration_seconds":245}}`)
	request := httptest.NewRequest(http.MethodPost, "/webhooks", bytes.NewReader(body))
	message := webhook.Message{ID: "evt_1", Timestamp: time.Now(), Body: body}
	if err := webhook.StandardSigner().Sign(request.Header, message, secret); err != nil {
		log.Fatal(err)
	}
	response := httptest.NewRecorder()
	receiver.ServeHTTP(response, request)
	fmt.Println(response.Code)
	close(acknowledged)

	// At the end of the program, after http.Server.Shutdown:
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := receiver.Shutdown(ctx); err != nil {
		log.Print(err)
	}
	// Output:
	// 200
	// summarised call_1
}
