package webhook_test

import (
	"fmt"

	"github.com/ringyo-ai/webhook"
)

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
