package webhooktest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/webhooktest"
)

// Hook is the code under test: a customer's handler.
type Hook struct {
	verifier *webhook.Verifier
	seconds  int // talked in all
}

// ServeHTTP adds up the length of the calls.
func (h *Hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e, err := h.verifier.VerifyRequest(r)
	if err != nil {
		http.Error(w, "not a webhook of ours", http.StatusUnauthorized)
		return
	}
	if call, ok := e.Data.(webhook.CallCompleted); ok {
		h.seconds += call.DurationSeconds
	}
}

// A test of code that receives: the requests are the ones that an Engine sends.
func Example_handler() {
	t := new(testing.T) // the test's own
	secret := webhook.NewSecret()
	verifier, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{secret}})
	hook := &Hook{verifier: verifier}

	for _, s := range []webhook.Secret{secret, webhook.NewSecret()} {
		req := webhooktest.NewRequest(t, s, webhooktest.Sample(t, "acc_1", webhook.EventCallCompleted))
		res := httptest.NewRecorder()
		hook.ServeHTTP(res, req)
		fmt.Println(res.Code, hook.seconds, err)
	}
	// Output:
	// 200 245 <nil>
	// 401 245 <nil>
}
