package receive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
)

// A failed handler lets the sender's retry in; a handled event is acknowledged
// and not handled again.
func ExampleMemoryDeduper() {
	secret := webhook.NewSecret() // webhook.ParseSecret(os.Getenv("WEBHOOK_SECRET"))

	deduper, err := receive.NewMemoryDeduper(receive.MemoryDeduperConfig{Window: 48 * time.Hour, MaxEvents: 1_000_000})
	if err != nil {
		log.Fatal(err)
	}
	receiver, err := receive.New(receive.Config{
		Secrets: []webhook.Secret{secret},
		Deduper: deduper,
		Logger:  slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	tries := 0
	receive.On(receiver, func(context.Context, webhook.Event, webhook.CallCompleted) error {
		if tries++; tries == 1 {
			return errors.New("the database is restarting")
		}
		fmt.Println("handled at try", tries)
		return nil
	})

	// What the sender does, four times:
	body := []byte(`{"id":"evt_1","event":"call.completed","timestamp":"2026-01-15T10:30:00Z","webhook_id":"wh_1",` +
		`"data":{"call_id":"call_1","duration_seconds":245}}`)
	for range 4 {
		request := httptest.NewRequest(http.MethodPost, "/webhooks", bytes.NewReader(body))
		message := webhook.Message{ID: "evt_1", Timestamp: time.Now(), Body: body}
		if err := webhook.StandardSigner().Sign(request.Header, message, secret); err != nil {
			log.Fatal(err)
		}
		response := httptest.NewRecorder()
		receiver.ServeHTTP(response, request)
		fmt.Println(response.Code)
	}
	// Output:
	// 500
	// handled at try 2
	// 200
	// 200
	// 200
}
