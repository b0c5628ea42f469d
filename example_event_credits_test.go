package webhook_test

import (
	"fmt"

	"github.com/ringyo-ai/webhook"
)

// The balance fell below the threshold. Credits are whole units.
func ExampleNewCreditsLow() {
	e := webhook.NewCreditsLow("acc_42", webhook.CreditsLow{Balance: 180, Threshold: 200})
	fmt.Printf("%s %+v\n", e.Type, e.Data)
	// Output: credits.low {Balance:180 Threshold:200}
}
