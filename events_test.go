package webhook_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

func TestEventTypesIsTheCatalogueInItsPublishedOrder(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []webhook.EventType{
		"call.initiated", "call.answered", "call.completed", "call.failed", "call.transferred",
		"appointment.created", "appointment.updated", "appointment.cancelled", "appointment.reminder",
		"agent.created", "agent.updated",
		"phone_number.assigned", "phone_number.released",
		"credits.low",
	}, webhook.EventTypes())
}

func TestEventTypesAnswersACopy(t *testing.T) {
	t.Parallel()
	webhook.EventTypes()[0] = "changed"
	assert.Equal(t, webhook.EventCallInitiated, webhook.EventTypes()[0])
}

// constructors lists New<Type> by type.
var constructors = map[webhook.EventType]func(account string, data any) webhook.Event{
	webhook.EventCallInitiated:        constructor(webhook.NewCallInitiated),
	webhook.EventCallAnswered:         constructor(webhook.NewCallAnswered),
	webhook.EventCallCompleted:        constructor(webhook.NewCallCompleted),
	webhook.EventCallFailed:           constructor(webhook.NewCallFailed),
	webhook.EventCallTransferred:      constructor(webhook.NewCallTransferred),
	webhook.EventAppointmentCreated:   constructor(webhook.NewAppointmentCreated),
	webhook.EventAppointmentUpdated:   constructor(webhook.NewAppointmentUpdated),
	webhook.EventAppointmentCancelled: constructor(webhook.NewAppointmentCancelled),
	webhook.EventAppointmentReminder:  constructor(webhook.NewAppointmentReminder),
	webhook.EventAgentCreated:         constructor(webhook.NewAgentCreated),
	webhook.EventAgentUpdated:         constructor(webhook.NewAgentUpdated),
	webhook.EventPhoneNumberAssigned:  constructor(webhook.NewPhoneNumberAssigned),
	webhook.EventPhoneNumberReleased:  constructor(webhook.NewPhoneNumberReleased),
	webhook.EventCreditsLow:           constructor(webhook.NewCreditsLow),
}

func constructor[P webhook.Payload](f func(string, P) webhook.Event) func(string, any) webhook.Event {
	return func(account string, data any) webhook.Event { return f(account, data.(P)) }
}

func TestEachConstructorMakesItsOwnType(t *testing.T) {
	t.Parallel()
	for _, typ := range webhook.EventTypes() {
		t.Run(string(typ), func(t *testing.T) {
			t.Parallel()
			data := webhook.SampleData(typ)
			before := time.Now()
			e := constructors[typ]("acc_1", data)

			assert.Regexp(t, `^evt_[0-9a-f]{32}$`, e.ID)
			assert.Equal(t, typ, e.Type)
			assert.Equal(t, typ, data.(interface{ EventType() webhook.EventType }).EventType())
			assert.Equal(t, "acc_1", e.AccountID)
			assert.Equal(t, data, e.Data)
			assert.Equal(t, time.UTC, e.Timestamp.Location())
			assert.Zero(t, e.Timestamp.Nanosecond()%int(time.Millisecond), "whole milliseconds")
			assert.WithinRange(t, e.Timestamp, before.Add(-time.Millisecond), time.Now())

			same, err := webhook.NewEvent("acc_1", typ, data)
			require.NoError(t, err)
			assert.Equal(t, e.Data, same.Data)
			assert.NotEqual(t, e.ID, same.ID)
		})
	}
}

func TestNewEventRefusesWhatCannotBeSent(t *testing.T) {
	t.Parallel()
	completed := webhook.SampleData(webhook.EventCallCompleted).(webhook.CallCompleted)
	raw := json.RawMessage(`{}`)
	type bytesOfOwn []byte
	tests := map[string]struct {
		typ   webhook.EventType
		data  any
		field string
		text  string
	}{
		"type and data differ":        {webhook.EventCallFailed, completed, "data", "webhook.CallFailed"},
		"payload under another type":  {"call.recording.ready", completed, "data", "call.completed"},
		"map for a payload":           {webhook.EventCreditsLow, map[string]any{"balance": 1}, "data", "webhook.CreditsLow"},
		"pointer to a payload":        {webhook.EventCallCompleted, &completed, "data", "pointer"},
		"pointer to something else":   {"x.y", &struct{}{}, "data", "pointer"},
		"pointer to json.RawMessage":  {"x.y", &raw, "data", "pointer"},
		"nil pointer":                 {"x.y", (*webhook.CallCompleted)(nil), "data", "pointer"},
		"bytes":                       {"x.y", []byte(`{}`), "data", "base64"},
		"bytes of a type of its own":  {"x.y", bytesOfOwn(`{}`), "data", "base64"},
		"bytes under a known type":    {webhook.EventCallCompleted, []byte(`{}`), "data", "base64"},
		"nothing":                     {"x.y", nil, "data", "required"},
		"malformed type":              {"x y", raw, "type", "128"},
		"malformed type and bad data": {"", []byte(`{}`), "type", "128"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := webhook.NewEvent("acc_1", tt.typ, tt.data)
			var invalid *webhook.ValidationError
			require.ErrorAs(t, err, &invalid)
			require.ErrorIs(t, err, webhook.ErrInvalidArgument)
			assert.Equal(t, tt.field, invalid.Fields[0].Field)
			assert.Contains(t, invalid.Fields[0].Problem, tt.text)
			assert.Zero(t, e)
		})
	}
}

func TestNewEventTakesAnyOtherValue(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]any{
		"raw":    json.RawMessage(`{"url":"https://example.com"}`),
		"map":    map[string]any{"a": 1},
		"struct": struct{ A int }{1},
		"number": 7,
		"text":   "hello",
		"list":   []int{1, 2},
		"typed":  ownPayload{A: 1},
	} {
		e, err := webhook.NewEvent("", "call.recording.ready", data)
		require.NoError(t, err, name)
		assert.Equal(t, data, e.Data, name)
	}
}

// ownPayload is a payload type of the caller's own, which may well name its type
// in the way that the library's do.
type ownPayload struct{ A int }

func (ownPayload) EventType() webhook.EventType { return "call.recording.ready" }

func TestNewEventTakesTheEncodedPayloadOfAKnownType(t *testing.T) {
	t.Parallel()
	_, err := webhook.NewEvent("", webhook.EventCreditsLow, json.RawMessage(`{"balance":1,"threshold":2}`))
	require.NoError(t, err)
}

func TestSampleDataOfAnUnknownTypeIsAnObject(t *testing.T) {
	t.Parallel()
	raw, ok := webhook.SampleData("call.recording.ready").(json.RawMessage)
	require.True(t, ok)
	var m map[string]any
	require.NoError(t, json.Unmarshal(raw, &m))
	assert.NotEmpty(t, m)
}
