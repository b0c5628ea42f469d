package id_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ringyo-ai/webhook/internal/id"
)

func TestNewIsOrderedByTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ids := make([]string, 100)
		for i := range ids {
			ids[i] = id.New("evt_")
			time.Sleep(time.Millisecond)
		}
		assert.True(t, slices.IsSorted(ids))
		assert.Len(t, slices.Compact(ids), 100)
	})
}

func TestNewIsValid(t *testing.T) {
	t.Parallel()
	s := id.New("dlv_")
	assert.Regexp(t, `^dlv_[0-9a-f]{12}7[0-9a-f]{19}$`, s)
	assert.True(t, id.Valid(s), s)
}

func TestValid(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"":                                     false,
		"a":                                    true,
		"AZaz09_-":                             true,
		strings.Repeat("a", 64):                true,
		strings.Repeat("a", 65):                false,
		"a.1":                                  false,
		"a b":                                  false,
		"a\n":                                  false,
		"é":                                    false,
		"a/b":                                  false,
		"a\x00":                                false,
		"550e8400-e29b-41d4-a716-446655440000": true,
	} {
		assert.Equal(t, want, id.Valid(s), "%q", s)
	}
}
