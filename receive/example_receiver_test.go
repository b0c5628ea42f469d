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

// A server that handles two kinds of events, and logs the others. In a program
// the Receiver goes to http.Handle; here the requests come from the example.
func ExampleNew() {
	secret := webhook.NewSecret() // webhook.ParseSecret(os.Getenv("WEBHOOK_SECRET"))

	receiver, err := receive.New(receive.Config{Secrets: []webhook.Secret{secret}})
	if err != nil {
		log.Fatal(err)
	}
	receive.On(receiver, func(_ context.Context, e webhook.Event, call webhook.CallCompleted) error {
		fmt.Println("completed:", call.CallID, call.DurationSeconds)
		return nil
	})
	receiver.OnType("call.recording.ready", func(_ context.Context, e webhook.Event) error {
		fmt.Println("recording:", string(e.Raw))
		return nil
	})
	receiver.OnOther(func(_ context.Context, e webhook.Event) error {
		fmt.Println("other:", e.Type)
		return nil
	})
	mux := http.NewServeMux()
	mux.Handle("/webhooks", receiver)

	// What the sender does:
	send := func(id, eventType, data string) {
		body := fmt.Appendf(nil, `{"id":%q,"event":%q,"timestamp":"2026-01-15T10:30:00Z","webhook_id":"wh_1","data":%s}`, id, eventType, data)
		request := httptest.NewRequest(http.MethodPost, "/webhooks", bytes.NewReader(body))
		message := webhook.Message{ID: id, Timestamp: time.Now(), Body: body}
		if err := webhook.StandardSigner().Sign(request.Header, message, secret); err != nil {
			log.Fatal(err)
		}
		mux.ServeHTTP(httptest.NewRecorder(), request)
	}
	send("evt_1", "call.completed", `{"call_id":"call_1","duration_seconds":245}`)
	send("evt_1", "call.completed", `{"call_id":"call_1","duration_seconds":245}`) // a duplicate
	send("evt_2", "call.recording.ready", `{"url":"https://storage.ringyo.ai/r/1.mp3"}`)
	send("evt_3", "agent.deleted", `{}`)
	// Output:
	// completed: call_1 245
	// recording: {"url":"https://storage.ringyo.ai/r/1.mp3"}
	// other: agent.deleted
}
