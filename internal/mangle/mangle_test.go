package mangle

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// search looks for sent, and counts what that costs.
func search(sent string, spent *int) Search {
	return Search{
		Fits: func(body []byte) bool { *spent += len(body); return string(body) == sent },
		Cost: func(size int) int { return size },
		Event: func(body []byte) (Event, bool) {
			var e struct {
				ID   string
				Data json.RawMessage
			}
			if json.Unmarshal(body, &e) != nil || e.ID == "" || e.Data == nil {
				return Event{}, false
			}
			return Event{Raw: e.Data, Render: func(data []byte) []byte {
				return append(append([]byte(`{"id":"`+e.ID+`","data":`), data...), '}')
			}}, true
		},
	}
}

// Every hypothesis has a pair of a body that was sent and what came of it.
func TestEveryHypothesisIsFound(t *testing.T) {
	t.Parallel()
	const event = `{"id":"1","data":{"b":"ë","a":[]}}`
	pairs := map[string]struct{ sent, arrived string }{
		"space around":       {event, " " + event + "\n"},
		"space lost":         {event + "\n", event},
		"line ends":          {"{\n}", "{\r\n}"},
		"indented":           {`{"a":"\/"}`, `{ "a": "\/" }`},
		"form":               {`{"id":"1","data":{ "a":"\u0062" }}`, `{"data":{ "a":"\u0062" },"id":"1"}`},
		"escapes":            {event, `{"id":"1","data":{"b":"\u00eb","a":[]}}`},
		"order":              {`{"id":"1","data":{"a":[],"b":"ë"}}`, event},
		"numbers":            {`{"id":"1","data":{"b":"ë","a":{}}}`, event},
		"base64":             {event, base64.StdEncoding.EncodeToString([]byte(event))},
		"hexadecimal":        {"{}", "7b7d"},
		"string":             {event, `"{\"id\":\"1\",\"data\":{\"b\":\"ë\",\"a\":[]}}"`},
		"bytes":              {"{}", "[123 125]"},
		"fields":             {event, `{"headers":{},"body":` + event + `}`},
		"form fields":        {event, "payload=%7B%22id%22:%221%22,%22data%22:%7B%22b%22:%22%C3%AB%22,%22a%22:%5B%5D%7D%7D"},
		"entities":           {event, strings.ReplaceAll(event, `"`, "&quot;")},
		"compressed":         {event, gzipped(event)},
		"chunks":             {"{}", "2\r\n{}\r\n0\r\n\r\n"},
		"UTF-16":             {"{}", "{\x00}\x00"},
		"decoded as Latin-1": {event, strings.ReplaceAll(event, "ë", "Ã«")},
		"encoded as Latin-1": {event, strings.ReplaceAll(event, "ë", "\xeb")},
	}
	require.Len(t, pairs, len(hypotheses))
	for _, h := range hypotheses {
		p, ok := pairs[h.name]
		require.True(t, ok, "no pair for %s", h.name)
		spent := 0
		found := search(p.sent, &spent).Find([]byte(p.arrived))
		assert.Equal(t, Found{h.says, true}, found, h.name)
	}
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

// Whatever a stranger sends, no more is hashed than the budget, and no more is
// allocated than some times as much.
func TestASearchIsBounded(t *testing.T) {
	repeat := func(s string) string { return strings.Repeat(s, MaxBody/len(s)) }
	nested := base64.StdEncoding.EncodeToString
	for name, body := range map[string]string{
		"brackets":         repeat("["),
		"nested":           strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"objects":          strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9000),
		"numbers":          "[" + strings.TrimSuffix(repeat("1000,"), ",") + "]",
		"large exponents":  "[" + strings.TrimSuffix(repeat("1e300,"), ",") + "]",
		"a long number":    repeat("1"),
		"keys":             `{"id":"1","data":{` + strings.TrimSuffix(repeat(`"z":1,`)[:MaxBody-100], ",") + "1}}",
		"escapes":          `"` + repeat(`\u0001`)[:MaxBody-8] + `"`,
		"quotes":           repeat(`\"`),
		"base64 of base64": nested([]byte(nested([]byte(nested([]byte(nested([]byte(repeat("YWJj")[:20000])))))))),
		"percent signs":    repeat("%25"),
		"form fields":      repeat("a=1&"),
		"entities":         repeat("&amp;"),
		"Latin-1":          repeat("Ã«"),
		"bytes":            repeat("\xeb"),
		"NULs":             repeat("\x00"),
		"chunks":           repeat("1\r\na\r\n"),
		"a bomb":           gzipped(strings.Repeat("x", 10<<20)),
		"lists of one":     strings.Repeat("[", 5000) + "{}" + strings.Repeat("]", 5000),
		"an event":         `{"id":"1","data":"` + repeat("ë<&>/ ")[:MaxBody-100] + `"}`,
		"too large":        strings.Repeat("[", 2<<20),
	} {
		t.Run(name, func(t *testing.T) {
			spent := 0
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			search("no such body", &spent).Find([]byte(body))
			runtime.ReadMemStats(&after)
			assert.LessOrEqual(t, spent, budget)
			assert.LessOrEqual(t, after.TotalAlloc-before.TotalAlloc, uint64(16*budget))
		})
	}
}
