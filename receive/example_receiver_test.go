package receive_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
)

// A server that handles two kinds of events, and logs the others. In a program
// the Receiver goes to http.Handle; here the requests come from the example.
func ExampleNew() {
	receiver, err := receive.New(receive.Config{
		Secrets: []webhook.Secret{receiverSecret},
	})
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

	serve(receiver, callCompleted("evt_1").request())
	serve(receiver, callCompleted("evt_1").request()) // a duplicate
	serve(receiver, signedEvent("evt_2", "call.recording.ready", `{"url":"https://storage.ringyo.ai/r/1.mp3"}`).request())
	serve(receiver, signedEvent("evt_3", "agent.deleted", `{}`).request())
	// Output:
	// completed: call_1 245
	// recording: {"url":"https://storage.ringyo.ai/r/1.mp3"}
	// other: agent.deleted
}
