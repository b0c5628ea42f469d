package webhook_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

func envelopeOf(event, data string) []byte {
	return []byte(`{"id":"evt_1","event":"` + event + `","timestamp":"2024-01-15T10:30:00Z","webhook_id":"wh_1","data":` + data + `}`)
}

func TestParseEventKeepsWhatItHasNoTypeFor(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ event, data string }{
		"unknown type":                    {"call.recording.ready", `{"recording_url":"https://example.com/1"}`},
		"unknown type, a string":          {"agent.deleted", `"x"`},
		"unknown type, null":              {"agent.deleted", `null`},
		"known type, another shape":       {"call.completed", `{"duration_seconds":"a minute"}`},
		"known type, a list":              {"credits.low", `[1,2]`},
		"known type, null":                {"call.completed", `null`},
		"white space stays":               {"call.ringing", "{ \"a\" :\n1 }"},
		"H21 numbers stay":                {"call.ringing", `{"n":123456789012345678901234567890.0e10,"z":-0.0}`},
		"H21 duplicates and __proto__":    {"call.ringing", `{"a":1,"a":2,"__proto__":{"x":1}}`},
		"H21 escapes stay":                {"call.ringing", `"\u003c\/<\ud83d\ude00"`},
		"H21 nested, but not too deeply":  {"call.ringing", strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000)},
		"C1 bytes that are not UTF-8 too": {"call.ringing", "\"\xff\""},
	} {
		e, err := webhook.ParseEvent(envelopeOf(tc.event, tc.data))
		require.NoError(t, err, name)
		assert.Equal(t, json.RawMessage(tc.data), e.Data, name)
		assert.Equal(t, json.RawMessage(tc.data), e.Raw, name)
		assert.Equal(t, webhook.EventType(tc.event), e.Type, name)
		assert.Equal(t, "wh_1", e.EndpointID, name)
	}
}

func TestParseEventIgnoresUnknownFields(t *testing.T) {
	t.Parallel()
	body := strings.Replace(callBody, `{"id"`, `{"version":2,"trace":{"id":"evt_2"},"id"`, 1)
	body = strings.Replace(body, `"call_id"`, `"newer":[1],"call_id"`, 1)
	e, err := webhook.ParseEvent([]byte(body))
	require.NoError(t, err)
	assert.Equal(t, "evt_1", e.ID)
	assert.Equal(t, "call_1", e.Data.(webhook.CallCompleted).CallID)
}

func TestParseEventCopiesTheBody(t *testing.T) {
	t.Parallel()
	body := envelopeOf("call.ringing", `{"a":1}`)
	e, err := webhook.ParseEvent(body)
	require.NoError(t, err)
	for i := range body {
		body[i] = 'x'
	}
	assert.JSONEq(t, `{"a":1}`, string(e.Raw))
}

func TestParseEventRefusesWhatIsNoEnvelope(t *testing.T) {
	t.Parallel()
	good := string(envelopeOf("call.completed", `{}`))
	for name, body := range map[string]string{
		"empty":                   "",
		"not JSON":                "id=evt_1",
		"null":                    "null",
		"a list":                  "[" + good + "]",
		"a string":                `"x"`,
		"cut off":                 good[:len(good)-1],
		"two values":              good + good,
		"no id":                   strings.Replace(good, `"id":"evt_1",`, "", 1),
		"empty id":                strings.Replace(good, "evt_1", "", 1),
		"H20 id with a dot":       strings.Replace(good, "evt_1", "evt.1", 1),
		"H20 id with a line end":  strings.Replace(good, "evt_1", `evt\r\nX: y`, 1),
		"H20 id of 1 KiB":         strings.Replace(good, "evt_1", strings.Repeat("a", 1<<10), 1),
		"id is a number":          strings.Replace(good, `"evt_1"`, "1", 1),
		"no event":                strings.Replace(good, `"event":"call.completed",`, "", 1),
		"event with a space":      strings.Replace(good, "call.completed", "call completed", 1),
		"no timestamp":            strings.Replace(good, `"timestamp":"2024-01-15T10:30:00Z",`, "", 1),
		"timestamp is a number":   strings.Replace(good, `"2024-01-15T10:30:00Z"`, "1705314600", 1),
		"no data":                 strings.Replace(good, `,"data":{}`, "", 1),
		"H21 nested too deeply":   string(envelopeOf("call.ringing", strings.Repeat("[", 1_000_000)+strings.Repeat("]", 1_000_000))),
		"an envelope of others":   `{"type":"call.completed","timestamp":"2024-01-15T10:30:00Z","data":{}}`,
		"bytes before the object": "\ufeff" + good,
	} {
		e, err := webhook.ParseEvent([]byte(body))
		require.ErrorIs(t, err, webhook.ErrMalformedEvent, name)
		assert.Zero(t, e, name)
	}
}

func TestParseEventReadsAnyZone(t *testing.T) {
	t.Parallel()
	body := strings.Replace(string(envelopeOf("call.ringing", "1")), "10:30:00Z", "12:30:00.25+02:00", 1)
	e, err := webhook.ParseEvent([]byte(body))
	require.NoError(t, err)
	assert.Equal(t, time.Date(2024, 1, 15, 10, 30, 0, 25e7, time.UTC), e.Timestamp)
}
