package webhook

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

// BenchmarkEnvelope measures the rendering of one request body.
func BenchmarkEnvelope(b *testing.B) {
	at := time.Date(2024, 1, 15, 10, 30, 0, 123e6, time.UTC)
	for _, size := range []int{256, 1 << 10, 64 << 10} {
		data := bytes.Repeat([]byte("1"), size)
		dst := make([]byte, 0, size+512)
		b.Run(fmt.Sprint(size, "B"), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				appendEnvelope(dst, "evt_0190a5f2c7d47c0e8f6b1c2d3e4f5a6b", EventCallCompleted, at, "wh_0190a5f2c7d47c0e8f6b1c2d3e4f5a6b", data)
			}
		})
	}
}
