package webhook_test

import (
	"fmt"

	"github.com/ringyo-ai/webhook"
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
