package webhooktest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
	"github.com/ringyo-ai/webhook/webhooktest"
)

// NewTalkTime is the code under test: a customer's handler that adds up how long
// the calls were.
func NewTalkTime(seconds *int, secret webhook.Secret) (http.Handler, error) {
	r, err := receive.New(receive.Config{Secrets: []webhook.Secret{secret}})
	if err != nil {
		return nil, err
	}
	receive.On(r, func(_ context.Context, _ webhook.Event, call webhook.CallCompleted) error {
		*seconds += call.DurationSeconds
		return nil
	})
	return r, nil
}

// A test of code that receives: the requests are the ones that an Engine sends.
// Here a second delivery of the same event has no effect.
func Example_handler() {
	t := new(testing.T) // the test's own
	seconds, secret := 0, webhook.NewSecret()
	handler, err := NewTalkTime(&seconds, secret)

	event := webhooktest.Sample(t, "acc_1", webhook.EventCallCompleted)
	for range 2 {
		res := httptest.NewRecorder()
		handler.ServeHTTP(res, webhooktest.NewRequest(t, secret, event))
		fmt.Println(res.Code, seconds, err)
	}
	// Output:
	// 200 245 <nil>
	// 200 245 <nil>
}
