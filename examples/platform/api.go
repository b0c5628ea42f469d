package main

import (
	"net/http"
	"strings"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/webhookapi"
)

// tokens are the platform's API keys. A real one stores their hashes, and looks at the
// key's scope too: webhooks:manage.
var tokens = map[string]webhookapi.Access{
	"demo":        {AccountID: "acme", Actor: "demo key"},
	"demo-viewer": {AccountID: "acme", Actor: "demo viewer", ReadOnly: true},
}

// access says who sends a request, by its bearer token.
func access(r *http.Request) (webhookapi.Access, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	a, known := tokens[token]
	if !ok || !known {
		return webhookapi.Access{}, webhookapi.ErrUnauthenticated
	}
	return a, nil
}

// mountAPI lets customers manage their webhooks.
func mountAPI(mux *http.ServeMux, engine *webhook.Engine) error {
	api, err := webhookapi.New(engine, webhookapi.Options{Authorize: access})
	if err != nil {
		return err
	}
	for _, pattern := range api.Patterns() {
		mux.Handle(pattern, api)
	}
	return nil
}
