package webhook

import "testing"

// BenchmarkValidateEvents measures what Emit does before the store: checking
// and encoding one call.completed of about 700 bytes.
func BenchmarkValidateEvents(b *testing.B) {
	e, err := NewEvent("acc_1", EventCallCompleted, SampleData(EventCallCompleted))
	if err != nil {
		b.Fatal(err)
	}
	events := []Event{e}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := validateEvents(events, 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}
