package main

import (
	"crypto/subtle"
	"net/http"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/webhookapi"
	"github.com/ringyo-ai/webhook/webhookui"
)

// session says who looks at the dashboard. A real platform looks at its own session
// cookie; here everybody is the account acme, since it listens on this machine alone.
func session(*http.Request) (webhookapi.Access, error) {
	return webhookapi.Access{AccountID: "acme", Actor: "somebody at the dashboard"}, nil
}

// operator lets those in who know the password, by basic authentication.
func operator(r *http.Request) error {
	_, password, _ := r.BasicAuth()
	if subtle.ConstantTimeCompare([]byte(password), []byte("demo")) != 1 {
		return webhookapi.ErrUnauthenticated
	}
	return nil
}

// mountDashboard serves the customers' portal under /dashboard/, and the operator's view
// under /operator/.
func mountDashboard(mux *http.ServeMux, engine *webhook.Engine) error {
	portal, err := webhookui.New(engine, webhookui.Options{Authorize: session})
	if err != nil {
		return err
	}
	view, err := webhookui.NewOperator(engine, webhookui.OperatorOptions{Authorize: operator})
	if err != nil {
		return err
	}
	mux.Handle("/dashboard/", http.StripPrefix("/dashboard", portal))
	mux.Handle("/operator/", http.StripPrefix("/operator", challenge(view)))
	return nil
}

// challenge asks browsers for a name and a password.
func challenge(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if operator(r) != nil {
			w.Header().Set("WWW-Authenticate", `Basic realm="operator", charset="UTF-8"`)
		}
		next.ServeHTTP(w, r)
	})
}
