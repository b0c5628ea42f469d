package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The golden files hold the data of each sample as it is sent. Set
// UPDATE_GOLDEN=1 to write them anew, and read the difference.
func TestSamplesMatchTheirGoldenFiles(t *testing.T) {
	t.Parallel()
	for _, typ := range EventTypes() {
		t.Run(string(typ), func(t *testing.T) {
			t.Parallel()
			file := filepath.Join("testdata", "events", string(typ)+".json")
			e, err := NewEvent("acc_1", typ, SampleData(typ))
			require.NoError(t, err)
			r, err := validateOne(e)
			require.NoError(t, err)
			if os.Getenv("UPDATE_GOLDEN") != "" {
				require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
				require.NoError(t, os.WriteFile(file, append(r.Data, '\n'), 0o600))
			}
			golden, err := os.ReadFile(file)
			require.NoError(t, err)
			golden = bytes.TrimSuffix(golden, []byte("\n"))
			assert.Equal(t, string(golden), string(r.Data))

			received, ok := decodePayload(typ, golden)
			require.True(t, ok)
			assert.IsType(t, SampleData(typ), received, "a value, not a pointer")
			e.Data = received
			again, err := validateOne(e)
			require.NoError(t, err)
			assert.Equal(t, string(golden), string(again.Data), "byte for byte, there and back")
		})
	}
}

func TestSamplesFillEveryField(t *testing.T) {
	t.Parallel()
	// Not every field can be in one realistic event.
	mayBeEmpty := map[string]bool{
		"CallTransferred.Metadata":      true,
		"AppointmentCreated.Metadata":   true,
		"AppointmentUpdated.Metadata":   true,
		"AppointmentCancelled.Metadata": true,
		"AppointmentReminder.Metadata":  true,
		"AppointmentReminder.CallID":    true,
		"AgentUpdated.Metadata":         true,
	}
	for _, typ := range EventTypes() {
		v := reflect.ValueOf(SampleData(typ))
		for i := range v.NumField() {
			name := v.Type().Name() + "." + v.Type().Field(i).Name
			assert.Equal(t, mayBeEmpty[name], v.Field(i).IsZero(), name)
		}
	}
}

func TestUnknownFieldsAreIgnoredOnReceive(t *testing.T) {
	t.Parallel()
	p, ok := decodePayload(EventCreditsLow, json.RawMessage(`{"balance":1,"threshold":2,"currency":"new"}`))
	require.True(t, ok)
	assert.Equal(t, CreditsLow{Balance: 1, Threshold: 2}, p)
}

func TestWhatDoesNotDecodeIsReportedAndNothingElse(t *testing.T) {
	t.Parallel()
	for typ, raw := range map[EventType]string{
		"call.recording.ready":   `{}`,
		EventCallCompleted:       `{"duration_seconds":"long"}`,
		EventCallFailed:          `null`,
		EventCreditsLow:          `[]`,
		EventAgentCreated:        ``,
		EventAppointmentReminder: `{"start_time":"tomorrow"}`,
	} {
		_, ok := decodePayload(typ, json.RawMessage(raw))
		assert.False(t, ok, "%s %s", typ, raw)
	}
}

func TestPayloadFieldRules(t *testing.T) {
	t.Parallel()
	call := func(change func(*CallCompleted)) Event { return changed(EventCallCompleted, NewCallCompleted, change) }
	booked := func(change func(*AppointmentCreated)) Event {
		return changed(EventAppointmentCreated, NewAppointmentCreated, change)
	}
	tests := map[string]struct {
		event Event
		want  string
	}{
		"call without id":              {call(func(d *CallCompleted) { d.CallID = "" }), "data.call_id is required"},
		"call id too long":             {call(func(d *CallCompleted) { d.CallID = strings.Repeat("a", 256) }), "data.call_id must be at most 255"},
		"call id not UTF-8":            {call(func(d *CallCompleted) { d.CallID = "a\xff" }), "data.call_id must be"},
		"call without agent":           {call(func(d *CallCompleted) { d.AgentID = "" }), "data.agent_id is required"},
		"call without direction":       {call(func(d *CallCompleted) { d.Direction = "" }), "data.direction is required"},
		"status of two lines":          {call(func(d *CallCompleted) { d.Status = "a\nb" }), "data.status must be"},
		"recording URL of two lines":   {call(func(d *CallCompleted) { d.RecordingURL = "https://h/\r\n" }), "data.recording_url must be"},
		"recording URL too long":       {call(func(d *CallCompleted) { d.RecordingURL = strings.Repeat("a", 8193) }), "data.recording_url must be at most 8192"},
		"NaN in extracted data":        {call(func(d *CallCompleted) { d.ExtractedData["a"] = math.NaN() }), "data cannot be encoded"},
		"turn at NaN":                  {call(func(d *CallCompleted) { d.Transcript[0].Timestamp = math.NaN() }), "data cannot be encoded"},
		"answered without id":          {changed(EventCallAnswered, NewCallAnswered, func(d *CallAnswered) { d.CallID = "" }), "data.call_id is required"},
		"failed without id":            {changed(EventCallFailed, NewCallFailed, func(d *CallFailed) { d.CallID = "" }), "data.call_id is required"},
		"agent of a failed call":       {changed(EventCallFailed, NewCallFailed, func(d *CallFailed) { d.AgentID = "\x00" }), "data.agent_id must be"},
		"transfer to nobody":           {changed(EventCallTransferred, NewCallTransferred, func(d *CallTransferred) { d.TransferredTo = "" }), "data.transferred_to is required"},
		"appointment without id":       {booked(func(d *AppointmentCreated) { d.AppointmentID = "" }), "data.appointment_id is required"},
		"appointment at no time":       {booked(func(d *AppointmentCreated) { d.StartTime = time.Time{} }), "data.start_time is required"},
		"appointment year 10000":       {booked(func(d *AppointmentCreated) { d.StartTime = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }), "data cannot be encoded"},
		"zone of two lines":            {booked(func(d *AppointmentCreated) { d.TimeZone = "UTC\n" }), "data.time_zone must be"},
		"previous state of two lines":  {changed(EventAppointmentUpdated, NewAppointmentUpdated, func(d *AppointmentUpdated) { d.Previous.Status = "\n" }), "data.previous.status must be"},
		"previous zone of two lines":   {changed(EventAppointmentUpdated, NewAppointmentUpdated, func(d *AppointmentUpdated) { d.Previous.TimeZone = "\n" }), "data.previous.time_zone must be"},
		"cancelled at no time":         {changed(EventAppointmentCancelled, NewAppointmentCancelled, func(d *AppointmentCancelled) { d.CancelledAt = time.Time{} }), "data.cancelled_at is required"},
		"reminded at no time":          {changed(EventAppointmentReminder, NewAppointmentReminder, func(d *AppointmentReminder) { d.RemindedAt = time.Time{} }), "data.reminded_at is required"},
		"reminded in no way":           {changed(EventAppointmentReminder, NewAppointmentReminder, func(d *AppointmentReminder) { d.Channel = "" }), "data.channel is required"},
		"agent without id":             {changed(EventAgentUpdated, NewAgentUpdated, func(d *AgentUpdated) { d.AgentID = "" }), "data.agent_id is required"},
		"number without id":            {changed(EventPhoneNumberAssigned, NewPhoneNumberAssigned, func(d *PhoneNumberAssigned) { d.PhoneNumberID = "" }), "data.phone_number_id is required"},
		"number without number":        {changed(EventPhoneNumberAssigned, NewPhoneNumberAssigned, func(d *PhoneNumberAssigned) { d.PhoneNumber = "" }), "data.phone_number is required"},
		"country of two lines":         {changed(EventPhoneNumberReleased, NewPhoneNumberReleased, func(d *PhoneNumberReleased) { d.Country = "US\n" }), "data.country must be"},
		"rules hold for raw events":    {makeEvent("", EventPhoneNumberReleased, json.RawMessage(`{"phone_number_id":"p","phone_number":"\u0000"}`)), "data.phone_number must be"},
		"a raw duration that is none":  {makeEvent("", EventCallCompleted, json.RawMessage(`{"duration_seconds":1.5}`)), "data does not decode into webhook.CallCompleted"},
		"half of a pair in raw events": {makeEvent("", EventCreditsLow, json.RawMessage(`{"balance":1,"note":"\ud83d"}`)), "data must not hold half a surrogate pair"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := Validate(tt.event)
			require.ErrorIs(t, err, ErrInvalidArgument)
			assert.ErrorContains(t, err, "events[0]."+tt.want)
		})
	}
}

// A number is what the network gave for it, wherever a payload has one.
func TestWhatATelephoneNetworkGivesForANumberIsAccepted(t *testing.T) {
	t.Parallel()
	for _, number := range []string{
		"", "anonymous", "Anonymous", "restricted", "unavailable", "unknown", "private", "withheld", "Blocked",
		"+266696687", "+7378742833", "+86282452253", "+8656696", // anonymous, restricted, unavailable and unknown on a keypad
		"911", "112", "0", "100", "32665", "14155550123", "+1", "+0415555", "+1234567890123456", "0800 123 456", "(415) 555-0123", "+1 415.555.0123",
		"*67", "*31#4155550123", "#31#0301234567", "**21*0301234567#", "1001", "+14155550123,,7#", "+14155550123;ext=7", "+14155550123x7",
		"sip:alice@example.com", "sips:alice@example.com:5061;transport=tls", "SIP:+14155550123@10.0.0.1;user=phone", "sip:anonymous@anonymous.invalid",
		`"Alice" <sip:alice@example.com>;tag=1`, "sip:alice@" + strings.Repeat("a.", 300) + "com",
		"tel:+14155550123", "tel:911;phone-context=+1", "client:web-1", "whatsapp:+14155550123", "messenger:1234", "rcs:brand", "agent_1",
		"+\uff11\uff12\uff13", "\u202a+14155550123\u202c", "Straße",
	} {
		t.Run(number, func(t *testing.T) {
			t.Parallel()
			events := []Event{
				changed(EventCallInitiated, NewCallInitiated, func(d *CallInitiated) { d.FromNumber, d.ToNumber = number, number }),
				changed(EventCallAnswered, NewCallAnswered, func(d *CallAnswered) { d.FromNumber, d.ToNumber = number, number }),
				changed(EventCallCompleted, NewCallCompleted, func(d *CallCompleted) { d.FromNumber, d.ToNumber = number, number }),
				changed(EventCallFailed, NewCallFailed, func(d *CallFailed) { d.FromNumber, d.ToNumber = number, number }),
				changed(EventCallTransferred, NewCallTransferred, func(d *CallTransferred) { d.FromNumber, d.ToNumber = number, number }),
				changed(EventAppointmentCreated, NewAppointmentCreated, func(d *AppointmentCreated) { d.CustomerPhone = number }),
				changed(EventAppointmentUpdated, NewAppointmentUpdated, func(d *AppointmentUpdated) { d.CustomerPhone, d.Previous.CustomerPhone = number, number }),
				changed(EventAppointmentCancelled, NewAppointmentCancelled, func(d *AppointmentCancelled) { d.CustomerPhone = number }),
				changed(EventAppointmentReminder, NewAppointmentReminder, func(d *AppointmentReminder) { d.CustomerPhone = number }),
			}
			if number != "" {
				events = append(events,
					changed(EventCallTransferred, NewCallTransferred, func(d *CallTransferred) { d.TransferredTo = number }),
					changed(EventPhoneNumberAssigned, NewPhoneNumberAssigned, func(d *PhoneNumberAssigned) { d.PhoneNumber = number }),
					changed(EventPhoneNumberReleased, NewPhoneNumberReleased, func(d *PhoneNumberReleased) { d.PhoneNumber = number }))
			}
			assert.NoError(t, Validate(events...))
		})
	}
}

// What no network gives is a fault of the program, and would break lines of logs and
// columns of tables at the receiver.
func TestWhatNoTelephoneNetworkGivesForANumberIsRefused(t *testing.T) {
	t.Parallel()
	for name, number := range map[string]string{
		"two lines": "+14155550123\r\nVia: x", "NUL": "911\x00", "escape": "\x1b[31m", "DEL": "9\x7f", "not UTF-8": "\xff911", "1,025 bytes": strings.Repeat("1", 1025),
	} {
		for field, e := range map[string]Event{
			"from_number":    changed(EventCallCompleted, NewCallCompleted, func(d *CallCompleted) { d.FromNumber = number }),
			"to_number":      changed(EventCallInitiated, NewCallInitiated, func(d *CallInitiated) { d.ToNumber = number }),
			"transferred_to": changed(EventCallTransferred, NewCallTransferred, func(d *CallTransferred) { d.TransferredTo = number }),
			"phone_number":   changed(EventPhoneNumberAssigned, NewPhoneNumberAssigned, func(d *PhoneNumberAssigned) { d.PhoneNumber = number }),
		} {
			assert.ErrorContains(t, Validate(e), "events[0].data."+field+" must be at most 1024 bytes of UTF-8 without control characters", name)
		}
	}
}

// What a person says, another system calls something, or a clock gets wrong is passed on.
func TestWhatARealPlatformProducesIsAccepted(t *testing.T) {
	t.Parallel()
	call := func(change func(*CallCompleted)) Event { return changed(EventCallCompleted, NewCallCompleted, change) }
	booked := func(change func(*AppointmentCreated)) Event {
		return changed(EventAppointmentCreated, NewAppointmentCreated, change)
	}
	for name, e := range map[string]Event{
		"a duration below zero":         call(func(d *CallCompleted) { d.DurationSeconds = -1 }),
		"a transfer before the answer":  changed(EventCallTransferred, NewCallTransferred, func(d *CallTransferred) { d.DurationSeconds = -3 }),
		"speech before the answer":      call(func(d *CallCompleted) { d.Transcript[0].Timestamp = -0.2 }),
		"a speaker that is not known":   call(func(d *CallCompleted) { d.Transcript[1].Role = "" }),
		"a new direction":               call(func(d *CallCompleted) { d.Direction = "internal" }),
		"a new status":                  call(func(d *CallCompleted) { d.Status = "voicemail" }),
		"a recording in a bucket":       call(func(d *CallCompleted) { d.RecordingURL = "s3://recordings/100%.mp3" }),
		"a recording by its path":       call(func(d *CallCompleted) { d.RecordingURL = "/recordings/1.mp3" }),
		"a recording with a long token": call(func(d *CallCompleted) { d.RecordingURL = "https://h/?token=" + strings.Repeat("a", 4000) }),
		"a transcript that was cut":     call(func(d *CallCompleted) { d.Transcript[0].Content = "caf\xc3" }),
		"a failed call without agent":   changed(EventCallFailed, NewCallFailed, func(d *CallFailed) { d.AgentID = "" }),
		"a mail address as heard":       booked(func(d *AppointmentCreated) { d.CustomerEmail = "jordan at example dot com\n" }),
		"two mail addresses":            booked(func(d *AppointmentCreated) { d.CustomerEmail = "a@b.c, d@e.f" }),
		"a phone number as heard":       booked(func(d *AppointmentCreated) { d.CustomerPhone = "five five five\n" }),
		"nothing known of who comes":    booked(func(d *AppointmentCreated) { d.CustomerName, d.CustomerPhone, d.CustomerEmail = "", "", "" }),
		"a zone by another name":        booked(func(d *AppointmentCreated) { d.TimeZone = "(GMT-05:00) Eastern Time" }),
		"a length below zero":           booked(func(d *AppointmentCreated) { d.DurationMinutes = -5 }),
		"a new state":                   booked(func(d *AppointmentCreated) { d.Status = "waitlisted" }),
		"an appointment long ago":       booked(func(d *AppointmentCreated) { d.StartTime = time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC) }),
		"an appointment far away":       booked(func(d *AppointmentCreated) { d.StartTime = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC) }),
		"nothing previous":              changed(EventAppointmentUpdated, NewAppointmentUpdated, func(d *AppointmentUpdated) { d.Previous = AppointmentPrevious{} }),
		"a new channel":                 changed(EventAppointmentReminder, NewAppointmentReminder, func(d *AppointmentReminder) { d.Channel = "whatsapp" }),
		"an agent without a name":       changed(EventAgentCreated, NewAgentCreated, func(d *AgentCreated) { d.Name = "" }),
		"a country in small letters":    changed(EventPhoneNumberReleased, NewPhoneNumberReleased, func(d *PhoneNumberReleased) { d.Country = "usa" }),
		"an overdrawn account":          changed(EventCreditsLow, NewCreditsLow, func(d *CreditsLow) { d.Balance, d.Threshold = -900, -500 }),
		"a long account":                NewCreditsLow(strings.Repeat("\u00e9", 127), CreditsLow{}),
	} {
		assert.NoError(t, Validate(e), name)
	}
	r, err := validateOne(changed(EventAgentUpdated, NewAgentUpdated, func(d *AgentUpdated) { d.Name, d.ChangedFields = "", nil }))
	require.NoError(t, err, "an update that changed nothing")
	assert.Contains(t, string(r.Data), `"name":"","changed_fields":[]`, "a list all the same")
}

// changed makes the sample event of t with one change.
func changed[P Payload](t EventType, construct func(string, P) Event, change func(*P)) Event {
	data := SampleData(t).(P)
	change(&data)
	return construct("acc_1", data)
}

func TestAnEmptyStatusBecomesTheOneOfTheType(t *testing.T) {
	t.Parallel()
	for status, e := range map[string]Event{
		"initiated":   changed(EventCallInitiated, NewCallInitiated, func(d *CallInitiated) { d.Status = "" }),
		"answered":    changed(EventCallAnswered, NewCallAnswered, func(d *CallAnswered) { d.Status = "" }),
		"completed":   changed(EventCallCompleted, NewCallCompleted, func(d *CallCompleted) { d.Status = "" }),
		"failed":      changed(EventCallFailed, NewCallFailed, func(d *CallFailed) { d.Status = "" }),
		"transferred": changed(EventCallTransferred, NewCallTransferred, func(d *CallTransferred) { d.Status = "" }),
		"scheduled":   changed(EventAppointmentCreated, NewAppointmentCreated, func(d *AppointmentCreated) { d.Status = "" }),
		"cancelled":   changed(EventAppointmentCancelled, NewAppointmentCancelled, func(d *AppointmentCancelled) { d.Status = "" }),
	} {
		r, err := validateOne(e)
		require.NoError(t, err, status)
		assert.Contains(t, string(r.Data), `"status":"`+status+`"`)
	}
}

func TestStartTimeKeepsItsOffset(t *testing.T) {
	t.Parallel()
	r, err := validateOne(changed(EventAppointmentCreated, NewAppointmentCreated, func(*AppointmentCreated) {}))
	require.NoError(t, err)
	assert.Contains(t, string(r.Data), `"start_time":"2024-01-20T14:00:00-05:00","time_zone":"America/New_York"`)
}

// Each field of a payload has a comment, and a number says its unit.
func TestEveryPayloadFieldIsDocumented(t *testing.T) {
	t.Parallel()
	structs := payloadStructs(t)
	assert.Len(t, structs, len(catalogue)+2, "the structs were found")
	for name, s := range structs {
		assert.NotEmpty(t, s.doc, name)
		for _, field := range s.fields {
			assertDocumented(t, name, field)
		}
	}
}

func assertDocumented(t *testing.T, typ string, field *ast.Field) {
	t.Helper()
	name := typ + "." + field.Names[0].Name
	text := field.Doc.Text() + field.Comment.Text()
	assert.NotEmpty(t, text, name)
	if id, ok := field.Type.(*ast.Ident); ok && (id.Name == "int" || id.Name == "int64" || id.Name == "float64") {
		assert.Regexp(t, `seconds|minutes|credits`, text, name+" names its unit")
	}
	assert.Regexp(t, "^`json:\"[a-z_]+(,omitempty|,omitzero)?\"`$", field.Tag.Value, name)
}

// A pointer to a payload must not compile where a payload is wanted: a handler
// for pointers would never be called, since Event.Data is a value.
func TestPayloadTakesValuesOnly(t *testing.T) {
	t.Parallel()
	assert.Empty(t, typeErrors(t, `var _ = payload[CallCompleted]`))
	for _, arg := range []string{"*CallCompleted", "any", "string", "struct{}"} {
		assert.Contains(t, typeErrors(t, `var _ = payload[`+arg+`]`), arg+" does not satisfy Payload")
	}
}

// typeErrors type-checks code beside the declarations of the events, and answers
// the last error in it. Errors elsewhere are of imports, which it leaves out.
func typeErrors(t *testing.T, code string) (text string) {
	t.Helper()
	fset := token.NewFileSet()
	paths, err := filepath.Glob("events*.go")
	require.NoError(t, err)
	var files []*ast.File
	for _, path := range paths {
		if ok, _ := filepath.Match("*_test.go", path); !ok {
			f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			files = append(files, f)
		}
	}
	f, err := parser.ParseFile(fset, "snippet.go", "package webhook\nfunc payload[P Payload]() {}\n"+code, 0)
	require.NoError(t, err)
	cfg := types.Config{Error: func(err error) {
		if e := err.(types.Error); fset.Position(e.Pos).Filename == "snippet.go" {
			text = e.Msg
		}
	}}
	_, _ = cfg.Check("webhook", fset, append(files, f), nil)
	return text
}

// docs/events.md is written from the payloads' own comments and from the golden
// samples, so that readers in other languages see what the code says. Set
// UPDATE_GOLDEN=1 to write its second part anew.
func TestTheEventsPageSaysWhatTheCodeSays(t *testing.T) {
	t.Parallel()
	const begin = "<!-- from here on written by UPDATE_GOLDEN=1 go test -run EventsPage . -->\n"
	file := filepath.Join("docs", "events.md")
	page, err := os.ReadFile(file)
	require.NoError(t, err)
	head, reference, found := strings.Cut(string(page), begin)
	require.True(t, found, "the page lacks its mark")
	want := eventsReference(t)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(file, []byte(head+begin+want), 0o600))
		return
	}
	assert.Equal(t, want, reference)
	for _, typ := range EventTypes() {
		assert.Contains(t, head, "`"+string(typ)+"`", "the page's list of types")
	}
}

func eventsReference(t *testing.T) string {
	t.Helper()
	structs := payloadStructs(t)
	var b strings.Builder
	for _, k := range catalogue {
		name := reflect.TypeOf(k.zero()).Name()
		fmt.Fprintf(&b, "\n## %s\n\n", k.eventType())
		writeStruct(&b, structs[name], func(doc string) string {
			_, meaning, _ := strings.Cut(doc, ": ")
			return strings.ToUpper(meaning[:1]) + meaning[1:]
		})
		golden, err := os.ReadFile(filepath.Join("testdata", "events", string(k.eventType())+".json"))
		require.NoError(t, err)
		b.WriteString("\n```json\n")
		b.Write(indented(t, golden))
		b.WriteString("\n```\n")
	}
	for _, name := range []string{"TranscriptTurn", "AppointmentPrevious"} {
		fmt.Fprintf(&b, "\n## %s\n\n", name)
		writeStruct(&b, structs[name], func(doc string) string { return doc })
	}
	return b.String()
}

// payloadStruct is a struct as its source has it.
type payloadStruct struct {
	doc    string
	fields []*ast.Field
}

func payloadStructs(t *testing.T) map[string]payloadStruct {
	t.Helper()
	structs := map[string]payloadStruct{}
	for _, file := range []string{"events_call.go", "events_payloads.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		require.NoError(t, err)
		for _, d := range f.Decls {
			decl, ok := d.(*ast.GenDecl)
			if !ok || decl.Tok != token.TYPE {
				continue
			}
			spec := decl.Specs[0].(*ast.TypeSpec)
			if s, ok := spec.Type.(*ast.StructType); ok {
				structs[spec.Name.Name] = payloadStruct{decl.Doc.Text(), s.Fields.List}
			}
		}
	}
	return structs
}

func writeStruct(b *strings.Builder, s payloadStruct, meaning func(doc string) string) {
	paragraphs := strings.Split(strings.TrimSpace(meaning(s.doc)), "\n\n")
	for i, p := range paragraphs {
		paragraphs[i] = strings.ReplaceAll(p, "\n", " ")
	}
	fmt.Fprintf(b, "%s\n\n| field | JSON | meaning |\n|---|---|---|\n", strings.Join(paragraphs, "\n\n"))
	for _, field := range s.fields {
		tag := reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("json")
		name, _, _ := strings.Cut(tag, ",")
		text := strings.TrimSpace(field.Doc.Text() + field.Comment.Text())
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, jsonKind(field.Type), text)
	}
}

// jsonKind names the JSON type of a field.
func jsonKind(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.ArrayType:
		return "array of " + jsonKind(e.Elt)
	case *ast.MapType:
		return "object"
	case *ast.SelectorExpr: // time.Time
		return "string"
	case *ast.Ident:
		switch e.Name {
		case "int", "int64":
			return "integer"
		case "float64":
			return "number"
		case "TranscriptTurn", "AppointmentPrevious":
			return fmt.Sprintf("[%s](#%s)", e.Name, strings.ToLower(e.Name))
		}
	}
	return "string"
}

func indented(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, json.Indent(&b, bytes.TrimSpace(data), "", "  "))
	return b.Bytes()
}
