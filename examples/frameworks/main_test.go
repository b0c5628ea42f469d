package frameworks_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
)

var secret = webhook.NewSecret()

// newReceiver is what the examples share: it prints completed calls.
func newReceiver() (*receive.Receiver, error) {
	r, err := receive.New(receive.Config{Secrets: []webhook.Secret{secret}})
	if err != nil {
		return nil, err
	}
	receive.On(r, func(_ context.Context, e webhook.Event, call webhook.CallCompleted) error {
		fmt.Println("call", call.CallID, "completed")
		return nil
	})
	return r, nil
}

const body = `{"id":"evt_1","event":"call.completed","timestamp":"2024-01-15T10:30:00Z","webhook_id":"wh_1","data":{"call_id":"call_1"}}`

// deliver sends one event, twice, and prints the statuses.
func deliver(h http.Handler) {
	for range 2 {
		req := httptest.NewRequest(http.MethodPost, "/webhooks", strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		m := webhook.Message{ID: "evt_1", Timestamp: time.Now(), Body: []byte(body)}
		if err := webhook.StandardSigner().Sign(req.Header, m, secret); err != nil {
			fmt.Println(err)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		fmt.Println(w.Code)
	}
}
