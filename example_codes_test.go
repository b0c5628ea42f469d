package webhook_test

import (
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

// How a management API responds to errors: with the word of an error that has one,
// and with nothing of an error that is not the customer's business.
func Example_codes() {
	engine, err := webhook.New(webhook.Config{Store: memstore.New()})
	if err != nil {
		log.Fatal(err)
	}
	create := func(w http.ResponseWriter, r *http.Request) {
		_, _, err := engine.CreateEndpoint(r.Context(), webhook.EndpointParams{
			AccountID: "acme", // of whoever is logged in, never of the request
			URL:       r.FormValue("url"),
			Events:    []webhook.EventType{webhook.EventType(r.FormValue("events"))},
		})
		var coded interface{ Code() string }
		switch {
		case err == nil:
			w.WriteHeader(http.StatusCreated)
		case errors.As(err, &coded) && coded.Code() != "":
			http.Error(w, coded.Code(), http.StatusUnprocessableEntity)
		case errors.Is(err, webhook.ErrInvalidArgument): // such as custom headers
			http.Error(w, "invalid_request", http.StatusUnprocessableEntity)
		default: // the store: for the log alone
			http.Error(w, "internal_error", http.StatusInternalServerError)
		}
	}
	for _, form := range []string{
		"url=https://example.com/webhooks&events=call.*",
		"url=https://10.0.0.1/&events=call.*",
		"url=https://example.com/webhooks&events=call+*",
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/endpoints", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		create(w, r)
		fmt.Println(strings.TrimSpace(fmt.Sprint(w.Code, " ", w.Body)))
	}
	// Output:
	// 201
	// 422 invalid_url
	// 422 invalid_events
}
