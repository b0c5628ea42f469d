package receive

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

func TestShareHoldsItsBoundAndForgetsWhoLeft(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for places := range 20 {
		s := newShare(places)
		var held []flow
		for range 2000 {
			f := flow{fmt.Sprint("wh_", r.IntN(3)), webhook.EventType(fmt.Sprint(r.IntN(5)))}
			switch {
			case r.IntN(2) == 0 && s.take(f):
				held = append(held, f)
			case len(held) > 0 && r.IntN(2) == 0:
				s.put(held[0])
				held = held[1:]
			}
			require.Equal(t, places, s.free+len(held))
			require.GreaterOrEqual(t, s.free, 0)
		}
		for _, f := range held {
			s.put(f)
		}
		assert.Empty(t, s.types)
		assert.Empty(t, s.endpoints)
		assert.Empty(t, s.flows)
		assert.Equal(t, places > 0, s.take(flow{"wh_9", "new"}), "nothing is held: everybody gets one")
	}
}
