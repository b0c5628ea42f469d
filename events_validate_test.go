package webhook

import (
	"encoding/json"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook/internal/check"
	"github.com/ringyo-ai/webhook/internal/jsontext"
)

const testMaxPayload = 64 << 10

// eventOf makes an event of a type that the catalogue does not hold, as a
// caller who skips NewEvent could.
func eventOf(data any) Event { return makeEvent("acc_1", "x.y", data) }

func validateOne(e Event) (EventRecord, error) {
	records, err := validateEvents([]Event{e}, testMaxPayload)
	if err != nil {
		return EventRecord{}, err
	}
	return records[0], nil
}

func TestRawDataIsKeptByteForByte(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"C3 null":           `null`,
		"C3 empty string":   `""`,
		"C3 empty list":     `[]`,
		"C3 string":         `"text"`,
		"C8 markup":         `{"a":"<b>&amp;</b>"}`,
		"C8 U+2028":         "{\"a\":\"x\u2028y\"}",
		"C8 emoji":          `{"a":"😀 \ud83d\ude00"}`,
		"C8 big integer":    `{"a":9223372036854775809}`,
		"C8 negative zero":  `{"a":-0.0,"b":1e400}`,
		"C8 duplicate keys": `{"a":1,"a":2}`,
		"C8 key order":      `{"z":1,"a":2}`,
		"white space":       " {\n\t\"a\" : 1\r\n} ",
		"escaped NUL":       `{"a":"\u0000"}`,
		"escaped backslash": `{"a":"\\ud83d"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := validateOne(eventOf(json.RawMessage(raw)))
			require.NoError(t, err)
			assert.Equal(t, raw, string(r.Data))
		})
	}
}

func TestDataThatReceiversCouldNotReadIsRefused(t *testing.T) {
	t.Parallel()
	type cyclic struct{ Self *cyclic }
	loop := cyclic{}
	loop.Self = &loop
	for name, tt := range map[string]struct {
		data any
		text string
	}{
		"C1 invalid UTF-8":             {json.RawMessage("{\"a\":\"\xff\"}"), "UTF-8"},
		"C1 invalid UTF-8 inside":      {map[string]any{"a": json.RawMessage("\"\xff\"")}, "UTF-8"},
		"C1 lone high surrogate":       {json.RawMessage(`{"a":"\ud83d"}`), "surrogate"},
		"C1 lone low surrogate":        {json.RawMessage(`{"a":"\uDE00x"}`), "surrogate"},
		"C1 two high surrogates":       {json.RawMessage(`{"a":"\uD83D\uD83D\uDE00"}`), "surrogate"},
		"C1 high surrogate, then text": {json.RawMessage(`{"a":"\ud83d\\ude00"}`), "surrogate"},
		"C1 surrogate in a key":        {json.RawMessage(`{"\ud83d":1}`), "surrogate"},
		"C1 surrogate inside":          {map[string]any{"a": json.RawMessage(`"\ud83d"`)}, "surrogate"},
		"C2 empty":                     {json.RawMessage{}, "one valid JSON value"},
		"C2 nil":                       {json.RawMessage(nil), "one valid JSON value"},
		"C2 nothing":                   {nil, "required"},
		"C2 white space":               {json.RawMessage("  "), "one valid JSON value"},
		"two values":                   {json.RawMessage(`{} {}`), "one valid JSON value"},
		"cut off":                      {json.RawMessage(`{"a":`), "one valid JSON value"},
		"byte order mark":              {json.RawMessage("\ufeff{}"), "one valid JSON value"},
		"too deep":                     {json.RawMessage(strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)), "one valid JSON value"},
		"C5 channel":                   {map[string]any{"a": make(chan int)}, "unsupported type"},
		"C5 function":                  {func() {}, "unsupported type"},
		"C5 cycle":                     {loop, "cycle"},
		"C5 map keyed by bool":         {map[bool]int{true: 1}, "unsupported type"},
		"C6 NaN":                       {math.NaN(), "NaN"},
		"C6 infinity":                  {map[string]any{"a": math.Inf(1)}, "Inf"},
		"MarshalJSON that panics":      {panics{}, "panic: out of order"},
		"MarshalJSON that fails":       {fails{}, "no luck"},
		"pointer":                      {&panics{}, "pointer"},
		"bytes":                        {[]byte(`{}`), "base64"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := validateOne(eventOf(tt.data))
			var invalid *ValidationError
			require.ErrorAs(t, err, &invalid)
			require.Len(t, invalid.Fields, 1)
			assert.Equal(t, "events[0].data", invalid.Fields[0].Field)
			assert.Contains(t, invalid.Fields[0].Problem, tt.text)
		})
	}
}

type panics struct{}

func (panics) MarshalJSON() ([]byte, error) { panic("out of order") }

type fails struct{}

func (fails) MarshalJSON() ([]byte, error) { return nil, errors.New("no luck") }

func TestAKnownTypeRefusesWhatIsNotItsPayload(t *testing.T) { // C3
	t.Parallel()
	for _, raw := range []string{`null`, `""`, `[]`, `"text"`, `7`, `{"duration_seconds":"long"}`} {
		_, err := validateOne(makeEvent("", EventCallCompleted, json.RawMessage(raw)))
		require.ErrorIs(t, err, ErrInvalidArgument, raw)
		assert.ErrorContains(t, err, "events[0].data does not decode into webhook.CallCompleted", raw)
	}
	_, err := validateOne(makeEvent("", EventCallCompleted, json.RawMessage(`{}`)))
	assert.ErrorContains(t, err, "events[0].data.call_id is required")
}

func TestPayloadBeyondTheLimitIsRefused(t *testing.T) { // C4
	t.Parallel()
	exact := json.RawMessage(`"` + strings.Repeat("x", testMaxPayload-2) + `"`)
	_, err := validateOne(eventOf(exact))
	require.NoError(t, err, "the limit itself is allowed")
	text := string(exact[1 : len(exact)-1])
	_, err = validateOne(eventOf(text))
	require.NoError(t, err, "of an encoded value too")

	for name, data := range map[string]any{
		"raw":        append(exact, ' '),
		"text":       text + "x",
		"struct":     struct{ A string }{text},
		"nested":     map[string]any{"a": []any{text, "y"}},
		"escaped":    strings.Repeat("\n", testMaxPayload/2),
		"many bytes": struct{ A []byte }{make([]byte, testMaxPayload)},
		"long list":  make([]int, testMaxPayload),
		"turns":      []TranscriptTurn{{Content: text}},
	} {
		fine := eventOf(1)
		big := eventOf(data)
		_, err = validateEvents([]Event{fine, big}, testMaxPayload)
		require.ErrorIs(t, err, ErrPayloadTooLarge, name)
		assert.ErrorContains(t, err, "events[1]", name)
		assert.ErrorContains(t, err, big.ID, name)

		_, err = validateEvents([]Event{big}, 0)
		assert.NoError(t, err, name+": 0 means no limit")
	}
}

// It reads the allocation counter of the whole process, so it must not run
// beside other tests.
func TestPayloadFarBeyondTheLimitIsNotEncoded(t *testing.T) { // C4
	huge := strings.Repeat("x", 100<<20)
	turns := []TranscriptTurn{{Role: "user", Content: huge}}
	events := map[string]Event{
		"raw":     eventOf(json.RawMessage(huge)),
		"map":     eventOf(map[string]any{"a": map[string]string{"b": huge}}),
		"payload": NewCallCompleted("", CallCompleted{Transcript: turns}),
	}
	for name, e := range events {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := validateOne(e)
		runtime.ReadMemStats(&after)
		require.ErrorIs(t, err, ErrPayloadTooLarge, name)
		assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), name)
	}
}

// What a value leaves out of its JSON does not count against the limit.
func TestSizeCountsOnlyWhatIsSent(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", testMaxPayload)
	type hidden struct{ A string }
	for name, data := range map[string]any{
		"left out by tag": struct {
			A string `json:"-"`
		}{big},
		"not exported":             struct{ a string }{big},
		"marshals itself":          shortened(big),
		"field marshals itself":    struct{ A shortened }{shortened(big)},
		"embedded and not visible": struct{ hidden }{hidden{"x"}},
		"empty":                    struct{ A, B []string }{},
	} {
		_, err := validateOne(eventOf(data))
		assert.NoError(t, err, name)
	}
}

type shortened string

func (shortened) MarshalText() ([]byte, error) { return []byte("…"), nil }

func TestTheStoredDataIsACopy(t *testing.T) { // C7
	t.Parallel()
	raw := json.RawMessage(`{"a":1}`)
	r, err := validateOne(eventOf(raw))
	require.NoError(t, err)
	raw[5] = '2'
	assert.JSONEq(t, `{"a":1}`, string(r.Data))
}

func TestEncodedDataKeepsMarkup(t *testing.T) { // C8
	t.Parallel()
	r, err := validateOne(eventOf(map[string]string{"a": "<b> & </b>"}))
	require.NoError(t, err)
	assert.Equal(t, `{"a":"<b> & </b>"}`, string(r.Data))
}

func TestTypeForm(t *testing.T) { // C9
	t.Parallel()
	for typ, ok := range map[EventType]bool{
		"call.recording.ready":              true,
		"A-Z_0.9":                           true,
		EventType(strings.Repeat("a", 128)): true,
		EventType(strings.Repeat("a", 129)): false,
		EventType(strings.Repeat("a", 300)): false,
		"":                                  false,
		"a b":                               false,
		"a\r\nX: y":                         false,
		"*":                                 false,
		"call.*":                            false,
		"café":                              false,
		"a\x00":                             false,
	} {
		e := eventOf(1)
		e.Type = typ
		_, err := validateOne(e)
		_, errNew := NewEvent("", typ, 1)
		if ok {
			assert.NoError(t, err, "%q", typ)
			assert.NoError(t, errNew, "%q", typ)
			continue
		}
		assert.ErrorContains(t, err, "events[0].type must be 1 to 128", "%q", typ)
		assert.ErrorContains(t, errNew, "webhook: type must be 1 to 128", "%q", typ)
	}
}

func TestEnvelopeFieldsAreChecked(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*Event)
		want   string
	}{
		"no id":                {func(e *Event) { e.ID = "" }, "events[0].id is required"},
		"id with a dot":        {func(e *Event) { e.ID = "evt.1" }, "events[0].id must be 1 to 64"},
		"id too long":          {func(e *Event) { e.ID = strings.Repeat("a", 65) }, "events[0].id must be 1 to 64"},
		"no timestamp":         {func(e *Event) { e.Timestamp = time.Time{} }, "events[0].timestamp is required"},
		"year 10000":           {func(e *Event) { e.Timestamp = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "events[0].timestamp must be"},
		"year 0":               {func(e *Event) { e.Timestamp = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC) }, "events[0].timestamp must be"},
		"test event":           {func(e *Event) { e.Test = true }, "events[0].test must be false"},
		"account not UTF-8":    {func(e *Event) { e.AccountID = "\xff" }, "events[0].account_id must be"},
		"account with control": {func(e *Event) { e.AccountID = "a\x00" }, "events[0].account_id must be"},
		"account too long":     {func(e *Event) { e.AccountID = strings.Repeat("a", 256) }, "events[0].account_id must be"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := eventOf(1)
			tt.change(&e)
			_, err := validateOne(e)
			require.ErrorIs(t, err, ErrInvalidArgument)
			assert.ErrorContains(t, err, tt.want)
		})
	}
}

func TestTheEmptyAccountIsValid(t *testing.T) {
	t.Parallel()
	_, err := validateOne(NewCreditsLow("", CreditsLow{}))
	assert.NoError(t, err)
}

func TestTimestampIsCutToMillisecondsUTC(t *testing.T) {
	t.Parallel()
	e := eventOf(1)
	e.Timestamp = time.Date(2024, 1, 15, 12, 30, 0, 123_999_999, time.FixedZone("", 2*3600))
	r, err := validateOne(e)
	require.NoError(t, err)
	assert.Equal(t, time.Date(2024, 1, 15, 10, 30, 0, 123_000_000, time.UTC), r.Timestamp)
}

func TestAReceivedEventCanBeEmittedAgain(t *testing.T) {
	t.Parallel()
	known := NewCreditsLow("acc_1", CreditsLow{Balance: 1, Threshold: 2})
	known.EndpointID, known.Raw = "wh_1", json.RawMessage(`{"balance":9,"threshold":9}`)
	r, err := validateOne(known)
	require.NoError(t, err)
	assert.JSONEq(t, `{"balance":1,"threshold":2}`, string(r.Data), "Data is what counts")
	assert.Equal(t, known.ID, r.ID)

	unknown := eventOf(json.RawMessage(`{"a": 1}`))
	unknown.Raw = json.RawMessage(`{"a": 1}`)
	r, err = validateOne(unknown)
	require.NoError(t, err)
	assert.Equal(t, `{"a": 1}`, string(r.Data))
}

func TestEverythingWrongComesBackInOneError(t *testing.T) {
	t.Parallel()
	bad := NewCallCompleted("", CallCompleted{ToNumber: "\n"})
	bad.ID = ""
	_, err := validateEvents([]Event{NewCreditsLow("", CreditsLow{}), bad, eventOf(nil)}, testMaxPayload)
	var invalid *ValidationError
	require.ErrorAs(t, err, &invalid)
	var fields []string
	for _, f := range invalid.Fields {
		fields = append(fields, f.Field)
	}
	assert.Equal(t, []string{
		"events[1].id",
		"events[1].data.agent_id", "events[1].data.call_id", "events[1].data.direction",
		"events[1].data.to_number",
		"events[2].data",
	}, fields)
}

func TestValidateAsksForWhatEmitWouldRefuse(t *testing.T) {
	t.Parallel()
	assert.NoError(t, Validate())
	large := eventOf(strings.Repeat("x", defaultMaxPayload))
	require.ErrorIs(t, Validate(large), ErrPayloadTooLarge)
	require.NoError(t, Validate(eventOf(strings.Repeat("x", defaultMaxPayload-2))))
	bad := eventOf(1)
	bad.Test = true
	require.ErrorIs(t, Validate(eventOf(1), bad), ErrInvalidArgument)
	require.ErrorContains(t, Validate(eventOf(1), bad), "events[1].test")

	e := Engine{cfg: Config{MaxPayload: -1}}
	require.NoError(t, e.Validate(large), "the limit is that of the engine")
	require.ErrorIs(t, e.Validate(bad), ErrInvalidArgument)
	e.cfg.MaxPayload = 10
	require.ErrorIs(t, e.Validate(eventOf("0123456789")), ErrPayloadTooLarge)
}

func TestTheListOfProblemsIsBounded(t *testing.T) {
	t.Parallel()
	_, err := validateEvents(make([]Event, 5000), testMaxPayload)
	var invalid *ValidationError
	require.ErrorAs(t, err, &invalid)
	assert.Len(t, invalid.Fields, check.MaxProblems+1)
	assert.Contains(t, err.Error(), "more problems")
}

func TestNoEventsAreValid(t *testing.T) {
	t.Parallel()
	records, err := validateEvents(nil, testMaxPayload)
	require.NoError(t, err)
	assert.Empty(t, records)
}

// FuzzRawData holds that raw data of any type is refused or kept byte for byte,
// and that a receiver can read what was kept.
func FuzzRawData(f *testing.F) {
	for i, k := range catalogue {
		b, err := jsontext.Encode(SampleData(k.eventType()))
		require.NoError(f, err)
		f.Add(i, b)
	}
	f.Add(len(catalogue), []byte(`null`))
	f.Fuzz(func(t *testing.T, i int, data []byte) {
		typ := EventType("x.y")
		if i >= 0 && i < len(catalogue) {
			typ = catalogue[i].eventType()
		}
		r, err := validateOne(makeEvent("", typ, json.RawMessage(data)))
		if err != nil {
			require.True(t, errors.Is(err, ErrInvalidArgument) || errors.Is(err, ErrPayloadTooLarge), err)
			return
		}
		assert.Equal(t, data, r.Data)
		_, known := decodePayload(typ, r.Data)
		assert.Equal(t, kindFor(typ) != nil, known)
	})
}
