package check_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ringyo-ai/webhook/internal/check"
)

func TestPathIsTheFieldInTermsOfJSON(t *testing.T) {
	t.Parallel()
	for field, want := range map[string]string{
		"":                            "",
		"URL":                         "url",
		"ID":                          "id",
		"AccountID":                   "account_id",
		"MaxInMemory":                 "max_in_memory",
		"HTTPConfig":                  "http_config",
		"Disable.MinFailing":          "disable.min_failing",
		"Events":                      "events",
		"Events[12]":                  "events[12]",
		"events[2].data.call_id":      "events[2].data.call_id",
		`Headers["Content-Type"]`:     "headers.content-type",
		`Metadata["Order \"7\" [x]"]`: `metadata.Order "7" [x]`,
		`Metadata[""]`:                "metadata.",
		`Metadata["broken]`:           `metadata["broken]`,
	} {
		assert.Equal(t, want, check.Path(field), field)
	}
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"Events[0]", `Headers["A"]`, "[", `["`, `["]`, "]"} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, field string) { check.Path(field) })
}
