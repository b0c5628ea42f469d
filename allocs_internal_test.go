//go:build !race

package webhook

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestAppendingASignatureAllocatesNothing(t *testing.T) {
	s := NewSecret()
	m := Message{ID: "evt_1", Timestamp: time.Now(), Body: make([]byte, 1<<10)}
	buf := make([]byte, 0, 128)
	assert.Zero(t, testing.AllocsPerRun(100, func() { buf = appendSignature(buf[:0], m, s) }))
	assert.Zero(t, testing.AllocsPerRun(100, func() { buf = appendTimestamped(buf[:0], m, s) }))
}

func TestEnvelopeAllocatesNothingIntoABufferOfItsSize(t *testing.T) {
	data, ts := make([]byte, 1<<10), time.Now()
	buf := make([]byte, 0, envelopeOverhead+len("evt_1call.completedwh_1")+len(data))
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		buf = appendEnvelope(buf[:0], "evt_1", EventCallCompleted, ts, "wh_1", data)
	}))
}
