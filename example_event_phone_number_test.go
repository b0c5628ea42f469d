package webhook_test

import (
	"fmt"

	"github.com/ringyo-ai/webhook"
)

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
