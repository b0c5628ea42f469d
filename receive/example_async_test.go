package receive_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
)

// Acknowledging first and working later, for handlers that take longer than the
// sender waits.
func ExampleAsyncConfig() {
	secret := receiverSecret // webhook.ParseSecret(os.Getenv("WEBHOOK_SECRET"))

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
	fmt.Println(serve(receiver, callCompleted("evt_1").request()).Code)
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
