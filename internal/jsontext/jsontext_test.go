package jsontext_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ringyo-ai/webhook/internal/jsontext"
)

func TestProblem(t *testing.T) {
	t.Parallel()
	const depth, text, surrogate = "must not be nested more than 63 deep", "must be UTF-8", "surrogate"
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for name, tc := range map[string]struct{ data, want string }{
		"a number":                      {"1", ""},
		"an escaped pair":               {`"\ud83d\ude00"`, ""},
		"an escaped backslash before u": {`"\\ud83d"`, ""},
		"another escape":                {`"\u00e9\n"`, ""},
		"half a pair":                   {`"\ud83d"`, surrogate},
		"the other half":                {`"\uDE00"`, surrogate},
		"the halves the other way":      {`"\ude00\ud83d"`, surrogate},
		"half a pair in a key":          {`{"\uD83D":1}`, surrogate},
		"half a pair, then text":        {`"\ud83d\\ude00"`, surrogate},
		"not UTF-8":                     {"\"\xff\"", text},
		"63 deep":                       {nested(63), ""},
		"64 deep":                       {nested(64), depth},
		"objects and arrays":            {strings.Repeat(`{"a":[`, 32) + strings.Repeat("]}", 32), depth},
		"many side by side":             {"[" + strings.Repeat("[],", 100) + "[]]", ""},
		"brackets in text":              {`"` + strings.Repeat(`[\"{`, 100) + `"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := jsontext.Problem([]byte(tc.data)); tc.want == "" {
				assert.Empty(t, got)
			} else {
				assert.Contains(t, got, tc.want)
			}
		})
	}
}

type panics struct{}

func (panics) MarshalJSON() ([]byte, error) { panic("oh") }

func TestEncode(t *testing.T) {
	t.Parallel()
	b, err := jsontext.Encode(map[string]string{"a": "<&>\u2028"})
	assert.NoError(t, err)
	assert.Equal(t, `{"a":"<&>\u2028"}`, string(b))
	for _, data := range []any{panics{}, make(chan int), json.RawMessage("{")} {
		_, err = jsontext.Encode(data)
		assert.ErrorContains(t, err, "cannot be encoded: ")
	}
}

// What exceeds a limit for certain is never longer than the encoder makes it.
func TestExceedsIsALowerBound(t *testing.T) {
	t.Parallel()
	type inner struct {
		A string `json:"a"`
		B []byte `json:"b,omitempty"`
		C string `json:"-"`
	}
	long := strings.Repeat("x", 1000)
	type loop struct{ Next *loop }
	itself := &loop{}
	itself.Next = itself
	assert.False(t, jsontext.Exceeds(itself, 1<<20), "the encoder reports it")
	for _, data := range []any{
		1, "", long,
		[]string{long, long},
		map[string]any{"a": long},
		inner{A: long},
		inner{B: []byte(long)},
		inner{C: long},
		&inner{A: long},
		[]inner{{}, {}},
		json.RawMessage("1"),
		[3]bool{},
		nil,
		struct{ inner }{inner{A: long}},
	} {
		b, err := jsontext.Encode(data)
		assert.NoError(t, err)
		assert.False(t, jsontext.Exceeds(data, len(b)), "%T", data)
	}
	for _, data := range []any{long, []string{long}, map[string]any{"a": long}, inner{A: long}, inner{B: []byte(long)}, &inner{A: long}} {
		assert.True(t, jsontext.Exceeds(data, 999), "%T", data)
	}
}

// FuzzProblem compares the search for half surrogates with what the decoder
// of encoding/json does: it puts U+FFFD in their place.
func FuzzProblem(f *testing.F) {
	for _, s := range []string{`"\ud83d"`, `"\ud83d\ude00"`, `"\\ud83d"`, `"\udc00\ud800"`, `"a\n\u00e9"`, `"\uD800\uDBFF\uDFFF"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var text string
		if strings.ContainsRune(s, '\ufffd') || strings.Contains(strings.ToLower(s), `\ufffd`) || json.Unmarshal([]byte(s), &text) != nil {
			return
		}
		assert.Equal(t, !strings.ContainsRune(text, '\ufffd'), jsontext.Problem([]byte(s)) == "", s)
	})
}
