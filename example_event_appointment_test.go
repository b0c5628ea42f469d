package webhook_test

import (
	"fmt"
	"time"

	"github.com/ringyo-ai/webhook"
)

// An appointment was booked. Its start has the offset of the place, and the
// time zone says what an offset cannot: which rules hold there.
func ExampleNewAppointmentCreated() {
	newYork := time.FixedZone("EST", -5*60*60) // or time.LoadLocation("America/New_York")
	e := webhook.NewAppointmentCreated("acc_42", webhook.AppointmentCreated{
		AppointmentID:   "apt_4f1e77",
		CallID:          "call_xyz789",
		CustomerName:    "Jordan Miles",
		CustomerPhone:   "+14155550123",
		Service:         "Dental cleaning",
		StartTime:       time.Date(2024, time.January, 20, 14, 0, 0, 0, newYork),
		TimeZone:        "America/New_York",
		DurationMinutes: 45,
	})
	data := e.Data.(webhook.AppointmentCreated)
	fmt.Println(e.Type, data.StartTime.Format(time.RFC3339), data.TimeZone)
	// Output: appointment.created 2024-01-20T14:00:00-05:00 America/New_York
}
