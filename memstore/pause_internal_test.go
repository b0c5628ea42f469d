package memstore

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestPausesGrowWithoutOverflow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n                    int
		first, longest, want time.Duration
	}{
		{1, time.Second, 30 * time.Second, time.Second},
		{2, time.Second, 30 * time.Second, 2 * time.Second},
		{5, time.Second, 30 * time.Second, 16 * time.Second},
		{6, time.Second, 30 * time.Second, 30 * time.Second},
		{math.MaxInt, time.Second, 30 * time.Second, 30 * time.Second},
		{1, time.Minute, time.Second, time.Second},
		{math.MaxInt, 1, math.MaxInt64, math.MaxInt64},
		{3, math.MaxInt64/2 - 1, math.MaxInt64, math.MaxInt64},
		{math.MaxInt, 0, time.Minute, 0},
	} {
		assert.Equal(t, c.want, pauseOf(c.n, c.first, c.longest), "pause %d of %v up to %v", c.n, c.first, c.longest)
	}
}
