package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

// A call ended. The constructor gives the event its id and its time, so that
// the same event can be emitted again after an error.
func ExampleNewCallCompleted() {
	e := webhook.NewCallCompleted("acc_42", webhook.CallCompleted{
		CallID:          "call_xyz789",
		AgentID:         "agent_abc123",
		Direction:       webhook.CallDirectionOutbound,
		FromNumber:      "+18005550100",
		ToNumber:        "+14155550123",
		DurationSeconds: 245,
		Outcome:         "appointment_booked",
	})
	fmt.Println(e.Type, "of", e.AccountID)
	// Output: call.completed of acc_42
}

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

// The configuration of an agent changed.
func ExampleNewAgentUpdated() {
	e := webhook.NewAgentUpdated("acc_42", webhook.AgentUpdated{
		AgentID:       "agent_abc123",
		Name:          "Front desk",
		ChangedFields: []string{"voice", "greeting"},
	})
	fmt.Println(e.Type, e.Data.(webhook.AgentUpdated).ChangedFields)
	// Output: agent.updated [voice greeting]
}

// The balance fell below the threshold. Credits are whole units.
func ExampleNewCreditsLow() {
	e := webhook.NewCreditsLow("acc_42", webhook.CreditsLow{Balance: 180, Threshold: 200})
	fmt.Printf("%s %+v\n", e.Type, e.Data)
	// Output: credits.low {Balance:180 Threshold:200}
}

// A number was provisioned.
func ExampleNewPhoneNumberAssigned() {
	e := webhook.NewPhoneNumberAssigned("acc_42", webhook.PhoneNumberAssigned{
		PhoneNumberID: "pn_5d2c81",
		PhoneNumber:   "+18005550100",
		AgentID:       "agent_abc123",
		Country:       "US",
	})
	fmt.Println(e.Type, e.Data.(webhook.PhoneNumberAssigned).PhoneNumber)
	// Output: phone_number.assigned +18005550100
}

// Types that the catalogue does not hold are emitted like the others. Data
// given as json.RawMessage is sent byte for byte.
func ExampleNewEvent() {
	e, err := webhook.NewEvent("acc_42", "call.recording.ready",
		json.RawMessage(`{"call_id":"call_xyz789","recording_url":"https://storage.ringyo.ai/recordings/call_xyz789.mp3"}`))
	fmt.Println(e.Type, err)

	// A type and a payload that do not belong together are refused.
	_, err = webhook.NewEvent("acc_42", webhook.EventCallFailed, webhook.CreditsLow{})
	fmt.Println(err)
	// Output:
	// call.recording.ready <nil>
	// webhook: data of call.failed must be webhook.CallFailed or json.RawMessage, not webhook.CreditsLow
}

// A realistic payload of each type, for tests and for the documentation.
func ExampleSampleData() {
	data, err := json.Marshal(webhook.SampleData(webhook.EventCallAnswered))
	fmt.Println(string(data), err)
	// Output: {"call_id":"call_xyz789","agent_id":"agent_abc123","direction":"outbound","from_number":"+18005550100","to_number":"+14155550123","status":"answered","metadata":{"campaign":"follow_up","customer_id":"cust_456"}} <nil>
}

// Events go with the transaction that they tell of: after its commit they are
// delivered, after its rollback they never happened. Here the transaction is
// memstore's; with sqlstore it is store.Tx(tx) of your own *sql.Tx.
func ExampleEngine_EmitTx() {
	ctx := context.Background()
	store := memstore.New()
	engine, err := webhook.New(webhook.Config{Store: store})
	if err != nil {
		log.Fatal(err)
	}
	endpoint, _, err := engine.CreateEndpoint(ctx, webhook.EndpointParams{
		AccountID: "acme", URL: "https://example.com/webhooks", Events: []webhook.EventType{"*"},
	})
	if err != nil {
		log.Fatal(err)
	}

	tx := store.Begin()
	err = engine.EmitTx(ctx, tx, webhook.NewCreditsLow("acme", webhook.CreditsLow{Balance: 40, Threshold: 100}))
	if err != nil {
		log.Fatal(err)
	}
	health, err := engine.EndpointHealth(ctx, "acme", endpoint.ID)
	fmt.Println("pending before the commit:", health.Pending, err)

	if err := tx.Commit(); err != nil {
		log.Fatal(err)
	}
	engine.Wake() // a started engine need not wait for its next poll
	health, err = engine.EndpointHealth(ctx, "acme", endpoint.ID)
	fmt.Println("pending after the commit:", health.Pending, err)
	// Output:
	// pending before the commit: 0 <nil>
	// pending after the commit: 1 <nil>
}
