package webhook_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/ringyo-ai/webhook"
)

// The one-shot function is enough where a framework hands over the raw body and
// the headers. Every failure is a 401; which one it was belongs in the log.
func ExampleVerify() {
	handler := func(w http.ResponseWriter, r *http.Request) {
		secret, err := webhook.ParseSecret(os.Getenv("WEBHOOK_SECRET"))
		if err != nil {
			http.Error(w, "not configured", http.StatusInternalServerError)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2<<20))
		if err != nil {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		if err := webhook.Verify(body, r.Header, secret); err != nil {
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		if r.Header.Get("webhook-test") == "1" {
			return // the data is made up
		}
		event, err := webhook.ParseEvent(body)
		if err != nil {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		fmt.Println(event.Type, event.ID)
	}
	_ = handler

	err := webhook.Verify([]byte("{}"), http.Header{}, webhook.NewSecret())
	fmt.Println(errors.Is(err, webhook.ErrMissingHeader), err)
	// Output: true webhook: a signature header is missing or given twice
}
