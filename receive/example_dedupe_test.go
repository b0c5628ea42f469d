package receive_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
)

// A failed handler lets the sender's retry in; a handled event is acknowledged
// and not handled again.
func ExampleMemoryDeduper() {
	deduper, err := receive.NewMemoryDeduper(receive.MemoryDeduperConfig{Window: 48 * time.Hour, MaxEvents: 1_000_000})
	if err != nil {
		log.Fatal(err)
	}
	receiver, err := receive.New(receive.Config{
		Secrets: []webhook.Secret{receiverSecret},
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
	for range 4 { // the sender's attempts
		fmt.Println(serve(receiver, callCompleted("evt_1").request()).Code)
	}
	// Output:
	// 500
	// handled at try 2
	// 200
	// 200
	// 200
}
