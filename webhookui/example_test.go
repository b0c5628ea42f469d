package webhookui_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
	"github.com/ringyo-ai/webhook/webhookapi"
	"github.com/ringyo-ai/webhook/webhookui"
)

// The portal in the platform's own colours and language, within a frame of its app.
func ExampleNew() {
	engine, err := webhook.New(webhook.Config{Store: memstore.New(), Tallies: true})
	if err != nil {
		log.Fatal(err)
	}
	session := func(r *http.Request) (webhookapi.Access, error) {
		c, err := r.Cookie("session")
		if err != nil {
			return webhookapi.Access{}, webhookapi.ErrUnauthenticated
		}
		return webhookapi.Access{AccountID: c.Value}, nil // look it up
	}

	portal, err := webhookui.New(engine, webhookui.Options{
		Authorize:      session,
		Unauthorized:   http.RedirectHandler("/login", http.StatusSeeOther),
		Brand:          webhookui.Brand{Name: "Acme", Accent: "#6b2fd6"},
		Texts:          map[string]string{"lang": "de", "endpoints.title": "Endpunkte", "endpoints.none": "Noch keine Endpunkte"},
		FrameAncestors: []string{"https://app.example.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/webhooks/", http.StripPrefix("/webhooks", portal))

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/webhooks/", nil))
	fmt.Println(w.Code, w.Header().Get("Location"))
	// Output: 303 /login
}
