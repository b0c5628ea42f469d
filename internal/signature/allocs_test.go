//go:build !race

package signature_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ringyo-ai/webhook/internal/signature"
)

// Not under the race detector, which makes sync.Pool forget, and not parallel, since
// allocations are counted for the whole process.
func TestMACAllocatesNothing(t *testing.T) {
	k, body := signature.NewKey([]byte("key")), make([]byte, 1<<10)
	dst := make([]byte, 0, 128)
	l := list(t, "v1,"+string(make([]byte, 44)))
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		m := signature.Get()
		head := append(m.Buffer(), "evt_1.1705314600."...)
		dst = m.AppendStandard(dst[:0], &k, head, body)
		dst = m.AppendTimestamped(dst[:0], &k, head, body)
		_ = m.MatchStandard(&k, head, body, l) + m.MatchTimestamped(&k, head, body, l)
		m.Put()
	}))
}
