package webhooktest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/webhooktest"
)

// Clinic is the code under test. In production its events are an Engine.
type Clinic struct{ events webhook.Dispatcher }

// Book books an appointment and tells the account's endpoints.
func (c Clinic) Book(ctx context.Context, accountID, customer string, start time.Time) error {
	return c.events.Emit(ctx, webhook.NewAppointmentCreated(accountID, webhook.AppointmentCreated{
		AppointmentID: "apt_1",
		CustomerName:  customer,
		StartTime:     start,
	}))
}

// A test of code that emits: the Recorder takes the Engine's place.
func Example_emitter() {
	t := new(testing.T) // the test's own
	rec := webhooktest.NewRecorder(t)
	clinic := Clinic{events: rec}

	err := clinic.Book(context.Background(), "acc_1", "Jordan Miles", time.Now())

	rec.AssertEmitted("acc_1", webhook.EventAppointmentCreated)
	booked := webhooktest.One[webhook.AppointmentCreated](rec, "acc_1")
	fmt.Println(booked.CustomerName, booked.Status, err)
	// Output: Jordan Miles scheduled <nil>
}
