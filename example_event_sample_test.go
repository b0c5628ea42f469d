package webhook_test

import (
	"encoding/json"
	"fmt"

	"github.com/ringyo-ai/webhook"
)

// A realistic payload of each type, for tests and for the documentation.
func ExampleSampleData() {
	data, err := json.Marshal(webhook.SampleData(webhook.EventCallAnswered))
	fmt.Println(string(data), err)
	// Output: {"call_id":"call_xyz789","agent_id":"agent_abc123","direction":"outbound","from_number":"+18005550100","to_number":"+14155550123","status":"answered","metadata":{"campaign":"follow_up","customer_id":"cust_456"}} <nil>
}
