package check_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ringyo-ai/webhook/internal/check"
)

func TestSettingsGetTheirDefaults(t *testing.T) {
	t.Parallel()
	negative := []check.Problem{{Field: "Wait", Problem: "must not be negative"}}
	below := []check.Problem{{Field: "Wait", Problem: "must not be negative, except -1 for none"}}
	for name, tc := range map[string]struct {
		fill  func(s *check.Settings, name string, field *time.Duration, value time.Duration)
		given time.Duration
		want  time.Duration
		wrong []check.Problem
	}{
		"positive, 0":      {check.Positive[time.Duration], 0, time.Minute, nil},
		"positive, given":  {check.Positive[time.Duration], 1, 1, nil},
		"positive, -1":     {check.Positive[time.Duration], -1, -1, negative},
		"or off, 0":        {check.OrOff[time.Duration], 0, time.Minute, nil},
		"or off, given":    {check.OrOff[time.Duration], 1, 1, nil},
		"or off, -1":       {check.OrOff[time.Duration], -1, -1, nil},
		"or off, below -1": {check.OrOff[time.Duration], -2, -2, below},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s check.Settings
			field := tc.given
			tc.fill(&s, "Wait", &field, time.Minute)
			assert.Equal(t, tc.want, field)
			assert.Equal(t, tc.wrong, []check.Problem(s))
		})
	}
}

func TestSettingsKeepTheOrderOfTheirFields(t *testing.T) {
	t.Parallel()
	var s check.Settings
	a, b := -1, int64(-2)
	check.Positive(&s, "A", &a, 1)
	s.Fail("Between", "is required")
	check.OrOff(&s, "B", &b, 1)
	var fields []string
	for _, p := range s {
		fields = append(fields, p.Field)
	}
	assert.Equal(t, []string{"A", "Between", "B"}, fields)
}
