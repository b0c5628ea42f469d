package webhook_test

import (
	"encoding/json"
	"fmt"

	"github.com/ringyo-ai/webhook"
)

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
