package webhook_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
	"github.com/ringyo-ai/webhook/webhooktest"
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

func TestEventTypesReturnsACopy(t *testing.T) {
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

func TestEnvelopeIsAFixedRendering(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
	for _, tc := range []struct {
		name string
		ts   time.Time
		data string
		want string
	}{
		{
			"whole second", at, `{"call_id":"call_1"}`,
			`{"id":"evt_1","event":"call.completed","timestamp":"2024-01-15T10:30:00Z","webhook_id":"wh_1","data":{"call_id":"call_1"}}`,
		},
		{
			"milliseconds have three digits", at.Add(40 * time.Millisecond), `null`,
			`{"id":"evt_1","event":"call.completed","timestamp":"2024-01-15T10:30:00.040Z","webhook_id":"wh_1","data":null}`,
		},
		{
			"what is finer is cut off", at.Add(999_999), `1`,
			`{"id":"evt_1","event":"call.completed","timestamp":"2024-01-15T10:30:00Z","webhook_id":"wh_1","data":1}`,
		},
		{
			"another zone becomes UTC", at.In(time.FixedZone("", 3600)), `""`,
			`{"id":"evt_1","event":"call.completed","timestamp":"2024-01-15T10:30:00Z","webhook_id":"wh_1","data":""}`,
		},
		{
			"C8: data goes in as it is", at, "{ \"b\":1, \"a\":9223372036854775809,\"a\":-0.0,\"h\":\"<&>\u2028\\u003c\" }",
			`{"id":"evt_1","event":"call.completed","timestamp":"2024-01-15T10:30:00Z","webhook_id":"wh_1","data":` +
				"{ \"b\":1, \"a\":9223372036854775809,\"a\":-0.0,\"h\":\"<&>\u2028\\u003c\" }}",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := webhook.AppendEnvelope([]byte("x"), "evt_1", webhook.EventCallCompleted, tc.ts, "wh_1", []byte(tc.data))
			assert.Equal(t, "x"+tc.want, string(got))
		})
	}
}

func TestEnvelopeEscapesWhatAStoreMadeUp(t *testing.T) {
	t.Parallel()
	got := webhook.AppendEnvelope(nil, "e\"vt\n", "a\\b", time.Unix(0, 0), `","data":"é`, []byte("1"))
	assert.JSONEq(t, `{"id":"e\"vt\n","event":"a\\b","timestamp":"1970-01-01T00:00:00Z","webhook_id":"\",\"data\":\"é","data":1}`, string(got))
}

func TestEnvelopeFitsItsOverhead(t *testing.T) {
	t.Parallel()
	ts := time.Date(2024, 1, 15, 10, 30, 0, 1e6, time.UTC)
	assert.Len(t, webhook.AppendEnvelope(nil, "id", "t", ts, "wh", []byte("d")), webhook.EnvelopeOverhead+len("id"+"t"+"wh"+"d"))
}

// enqueueCounter counts the calls of Enqueue.
type enqueueCounter struct {
	*memstore.Store
	calls atomic.Int64
}

func (s *enqueueCounter) Enqueue(ctx context.Context, r webhook.EnqueueRequest) (webhook.Enqueued, error) {
	s.calls.Add(1)
	return s.Store.Enqueue(ctx, r)
}

func TestWhatEmitRefusesNeverReachesTheStore(t *testing.T) {
	t.Parallel()
	store := &enqueueCounter{Store: memstore.New()}
	engine, err := webhook.New(webhook.Config{Store: store, MaxPayload: 1000})
	require.NoError(t, err)
	fine := webhook.NewCreditsLow("acc_1", webhook.CreditsLow{Balance: 1, Threshold: 2})
	for name, tt := range map[string]struct {
		data any
		typ  webhook.EventType
		want error
	}{
		"nested too deep":          {json.RawMessage(strings.Repeat("[", 64) + strings.Repeat("]", 64)), "x.y", webhook.ErrInvalidArgument},
		"C1 half a surrogate pair": {json.RawMessage(`"\ud83d"`), "x.y", webhook.ErrInvalidArgument},
		"C2 nothing":               {json.RawMessage{}, "x.y", webhook.ErrInvalidArgument},
		"C3 another payload":       {webhook.CreditsLow{}, webhook.EventCallFailed, webhook.ErrInvalidArgument},
		"C4 too large":             {json.RawMessage(`"` + string(make([]byte, 1000)) + `"`), "x.y", webhook.ErrPayloadTooLarge},
		"C5 channel":               {make(chan int), "x.y", webhook.ErrInvalidArgument},
		"C6 NaN":                   {webhook.CallCompleted{Transcript: []webhook.TranscriptTurn{{Timestamp: nan()}}}, webhook.EventCallCompleted, webhook.ErrInvalidArgument},
		"C9 type":                  {1, "a b", webhook.ErrInvalidArgument},
	} {
		bad := fine
		bad.ID, bad.Type, bad.Data = "evt_bad", tt.typ, tt.data
		require.ErrorIs(t, engine.Emit(t.Context(), fine, bad), tt.want, name)
		require.ErrorIs(t, engine.EmitTx(t.Context(), store, fine, bad), tt.want, name)
	}
	assert.Zero(t, store.calls.Load())
	require.NoError(t, engine.Emit(t.Context(), fine))
	assert.Equal(t, int64(1), store.calls.Load())
}

// With the envelope around it receivers in every language read it.
func TestEmitTakesDataThatIsNested63Deep(t *testing.T) {
	t.Parallel()
	engine, err := webhook.New(webhook.Config{Store: memstore.New()})
	require.NoError(t, err)
	deep := func(n int) (v any) {
		for range n {
			v = []any{v}
		}
		return v
	}
	brackets := `{"[\\\"[":"{[\\"}` // those in strings do not count
	for data, ok := range map[any]bool{
		strings.Repeat("[", 62) + brackets + strings.Repeat("]", 62): true,
		strings.Repeat("[", 63) + brackets + strings.Repeat("]", 63): false,
	} {
		raw, err := webhook.NewEvent("acc_1", "x.y", json.RawMessage(data.(string)))
		require.NoError(t, err)
		assert.Equal(t, ok, engine.Emit(t.Context(), raw) == nil, data)
	}
	for n, ok := range map[int]bool{63: true, 64: false} {
		encoded, err := webhook.NewEvent("acc_1", "x.y", deep(n))
		require.NoError(t, err)
		assert.Equal(t, ok, engine.Emit(t.Context(), encoded) == nil, n)
	}
}

func nan() float64 { zero := 0.0; return zero / zero }

// What a Verifier hands out can be emitted, as a gateway does.
func TestAVerifiedEventCanBePassedOn(t *testing.T) {
	t.Parallel()
	secret := webhook.NewSecret()
	v, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{secret}})
	require.NoError(t, err)
	rec := webhooktest.NewRecorder(t)
	for _, typ := range append(webhook.EventTypes(), "call.recording.ready") {
		sent := webhooktest.Sample(t, "acc_1", typ)
		e, err := v.VerifyRequest(webhooktest.NewRequest(t, secret, sent))
		require.NoError(t, err)
		e.AccountID = "acc_2"
		require.NoError(t, rec.Emit(t.Context(), e))

		got := rec.Events()[len(rec.Events())-1]
		assert.Equal(t, sent.ID, got.ID)
		assert.Equal(t, sent.Timestamp, got.Timestamp)
		assert.Equal(t, string(e.Raw), string(got.Raw), typ)
	}
}

// nginx lets 1 MiB through unless its owner says otherwise, so that the largest event
// that is emitted by default fits into that, whatever its ids and type.
func TestTheLargestBodyFitsIntoAMebibyte(t *testing.T) {
	t.Parallel()
	r := newRig(t, status(200))
	_, _, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{
		ID: strings.Repeat("w", 64), AccountID: "acme", URL: hookURL, Events: []webhook.EventType{"*"},
	})
	require.NoError(t, err)
	event := func(size int) webhook.Event {
		e, err := webhook.NewEvent("acme", webhook.EventType(strings.Repeat("t", 128)), json.RawMessage(`"`+strings.Repeat("x", size-2)+`"`))
		require.NoError(t, err)
		e.ID, e.Timestamp = strings.Repeat("e", 64), time.Date(2024, 1, 15, 10, 30, 0, 1e6, time.UTC)
		return e
	}
	const most = 1<<20 - 4<<10
	require.ErrorIs(t, r.Emit(t.Context(), event(most+1)), webhook.ErrPayloadTooLarge)
	require.NoError(t, r.Emit(t.Context(), event(most)))
	_, err = r.DeliverDue(t.Context())
	require.NoError(t, err)
	require.Len(t, r.transport.requests(), 1)
	body := r.transport.requests()[0].Body
	assert.LessOrEqual(t, len(body), 1<<20)
	assert.GreaterOrEqual(t, len(body), most+64+128+64, "with the longest ids and type")
}
