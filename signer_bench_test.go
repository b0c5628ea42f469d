package webhook

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"
)

// BenchmarkAppendSignature measures what an attempt pays for the signature
// itself, without the header around it, beside the bare hash of the same bytes.
func BenchmarkAppendSignature(b *testing.B) {
	s := NewSecret()
	for _, n := range []int{256, 1 << 10, 4 << 10, 64 << 10, 1 << 20} {
		body := bytes.Repeat([]byte("x"), n)
		b.Run(fmt.Sprint(n, "B/sha256"), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				sha256.Sum256(body)
			}
		})
		b.Run(fmt.Sprint(n, "B/append"), func(b *testing.B) {
			m := Message{ID: "evt_0190a5f2c7d47c0e8f6b1c2d3e4f5a6b", Timestamp: time.Now(), Body: body}
			buf := make([]byte, 0, 128)
			b.ReportAllocs()
			b.SetBytes(int64(n))
			for b.Loop() {
				buf = appendSignature(buf[:0], m, s)
			}
		})
	}
}
