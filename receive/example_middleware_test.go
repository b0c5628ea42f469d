package receive_test

import (
	"fmt"
	"io"
	"log"
	"net/http"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
)

// A Receiver in front of code that handles the request itself.
func ExampleReceiver_Middleware() {
	secret := receiverSecret // webhook.ParseSecret(os.Getenv("WEBHOOK_SECRET"))

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

	serve(mux, callCompleted("evt_1").request())
	// Output:
	// call.completed true
}
