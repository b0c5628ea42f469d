package outage_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ringyo-ai/webhook/internal/outage"
)

func TestDetectorsMinute(t *testing.T) {
	t.Parallel()
	type step struct {
		after    time.Duration
		endpoint string
		answered bool
	}
	for name, c := range map[string]struct {
		steps []step
		after time.Duration
		want  bool
	}{
		"nothing was tried":                   {nil, 0, false},
		"three endpoints, none answers":       {[]step{{0, "a", false}, {0, "b", false}, {0, "c", false}}, 0, true},
		"two endpoints":                       {[]step{{0, "a", false}, {0, "b", false}, {0, "a", false}}, 0, false},
		"the first of three is a minute old":  {[]step{{0, "a", false}, {0, "b", false}, {0, "c", false}}, time.Minute, false},
		"it is nearly a minute old":           {[]step{{0, "a", false}, {0, "b", false}, {0, "c", false}}, time.Minute - 1, true},
		"it is tried again":                   {[]step{{0, "a", false}, {0, "b", false}, {0, "c", false}, {time.Second, "b", false}, {0, "c", false}, {0, "a", false}}, time.Minute - 1, true},
		"something answered":                  {[]step{{0, "a", false}, {0, "b", false}, {0, "c", false}, {0, "d", true}}, time.Second, false},
		"something answered a minute ago":     {[]step{{0, "d", true}, {time.Second, "a", false}, {0, "b", false}, {0, "c", false}}, time.Minute - time.Second, true},
		"it answered less than a minute ago":  {[]step{{0, "d", true}, {time.Second, "a", false}, {0, "b", false}, {0, "c", false}}, time.Minute - time.Second - 1, false},
		"the oldest of four makes room first": {[]step{{0, "a", false}, {time.Second, "b", false}, {time.Second, "c", false}, {time.Second, "d", false}}, time.Minute - 2*time.Second - 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var d outage.Detector
				for _, s := range c.steps {
					time.Sleep(s.after)
					d.Record(s.endpoint, s.answered)
				}
				time.Sleep(c.after)
				assert.Equal(t, c.want, d.CutOff())
			})
		})
	}
}
