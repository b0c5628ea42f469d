package webhooktest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ringyo-ai/webhook/webhooktest"
)

func TestClockStandsStillUntilItIsAdvanced(t *testing.T) {
	t.Parallel()
	c := webhooktest.NewClock()
	start := c.Now()
	assert.Equal(t, start, c.Now())
	assert.Equal(t, time.UTC, start.Location())
	c.Advance(90 * time.Second)
	assert.Equal(t, start.Add(90*time.Second), c.Now())
	c.Advance(-time.Minute)
	assert.Equal(t, start.Add(30*time.Second), c.Now())
}
