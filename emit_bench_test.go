package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

// BenchmarkEmit measures Emit of 1 KiB events on a memstore, one by one and in
// batches, where nothing is delivered. The figures are per event.
func BenchmarkEmit(b *testing.B) {
	data := json.RawMessage(`{"pad":"` + strings.Repeat("x", 1014) + `"}`)
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprint("batch", batch), func(b *testing.B) {
			e, err := webhook.New(webhook.Config{Store: memstore.New()})
			require.NoError(b, err)
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			events := make([]webhook.Event, 0, batch)
			for b.Loop() {
				ev, err := webhook.NewEvent("acc", "bench.event", data)
				require.NoError(b, err)
				if events = append(events, ev); len(events) == batch {
					require.NoError(b, e.Emit(context.Background(), events...))
					events = events[:0]
				}
			}
		})
	}
}
