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
	updated := func(change func(*AppointmentUpdated)) Event {
		return changed(EventAppointmentUpdated, NewAppointmentUpdated, change)
	}
	tests := map[string]struct {
		event Event
		want  string // empty: valid
	}{
		"call without id":          {call(func(d *CallCompleted) { d.CallID = "" }), "data.call_id is required"},
		"call id too long":         {call(func(d *CallCompleted) { d.CallID = strings.Repeat("a", 256) }), "data.call_id must be at most 255"},
		"call without agent":       {call(func(d *CallCompleted) { d.AgentID = "" }), "data.agent_id is required"},
		"call without direction":   {call(func(d *CallCompleted) { d.Direction = "" }), "data.direction must be one of inbound, outbound"},
		"unknown direction":        {call(func(d *CallCompleted) { d.Direction = "sideways" }), "data.direction must be one of inbound, outbound"},
		"unknown status":           {call(func(d *CallCompleted) { d.Status = "ended" }), "data.status must be one of initiated, ringing"},
		"negative duration":        {call(func(d *CallCompleted) { d.DurationSeconds = -1 }), "data.duration_seconds must not be negative"},
		"no duration":              {call(func(d *CallCompleted) { d.DurationSeconds = 0 }), ""},
		"withheld number":          {call(func(d *CallCompleted) { d.FromNumber = "" }), ""},
		"no called number":         {call(func(d *CallCompleted) { d.ToNumber = "" }), "data.to_number is required"},
		"number without plus":      {call(func(d *CallCompleted) { d.ToNumber = "14155550123" }), "data.to_number must be an E.164 number"},
		"number with zero first":   {call(func(d *CallCompleted) { d.ToNumber = "+0415555" }), "data.to_number must be an E.164 number"},
		"number with spaces":       {call(func(d *CallCompleted) { d.FromNumber = "+1 415 555" }), "data.from_number must be an E.164 number"},
		"number of 15 digits":      {call(func(d *CallCompleted) { d.FromNumber = "+123456789012345" }), ""},
		"number of 16 digits":      {call(func(d *CallCompleted) { d.FromNumber = "+1234567890123456" }), "data.from_number must be an E.164 number"},
		"number of 2 digits":       {call(func(d *CallCompleted) { d.FromNumber = "+12" }), ""},
		"number of 1 digit":        {call(func(d *CallCompleted) { d.FromNumber = "+1" }), "data.from_number must be an E.164 number"},
		"number with other digits": {call(func(d *CallCompleted) { d.FromNumber = "+１２３４５" }), "data.from_number must be an E.164 number"},
		"no recording":             {call(func(d *CallCompleted) { d.RecordingURL = "" }), ""},
		"recording by path":        {call(func(d *CallCompleted) { d.RecordingURL = "/recordings/1.mp3" }), "data.recording_url must be an absolute"},
		"recording by file":        {call(func(d *CallCompleted) { d.RecordingURL = "file:///etc/passwd" }), "data.recording_url must be an absolute"},
		"recording without host":   {call(func(d *CallCompleted) { d.RecordingURL = "https:///x" }), "data.recording_url must be an absolute"},
		"recording not a URL":      {call(func(d *CallCompleted) { d.RecordingURL = "https://[::1" }), "data.recording_url must be an absolute"},
		"turn without role":        {call(func(d *CallCompleted) { d.Transcript[1].Role = "" }), "data.transcript[1].role is required"},
		"turn before the answer":   {call(func(d *CallCompleted) { d.Transcript[0].Timestamp = -1 }), "data.transcript[0].timestamp must be 0 or more"},
		"NaN in extracted data":    {call(func(d *CallCompleted) { d.ExtractedData["a"] = math.NaN() }), "data cannot be encoded"},

		"outbound call without caller": {changed(EventCallInitiated, NewCallInitiated, func(d *CallInitiated) { d.FromNumber = "" }), "data.from_number is required"},
		"answered without id":          {changed(EventCallAnswered, NewCallAnswered, func(d *CallAnswered) { d.CallID = "" }), "data.call_id is required"},
		"failed without id":            {changed(EventCallFailed, NewCallFailed, func(d *CallFailed) { d.CallID = "" }), "data.call_id is required"},
		"transfer to nobody":           {changed(EventCallTransferred, NewCallTransferred, func(d *CallTransferred) { d.TransferredTo = "" }), "data.transferred_to is required"},
		"transfer to a name":           {changed(EventCallTransferred, NewCallTransferred, func(d *CallTransferred) { d.TransferredTo = "Bob" }), "data.transferred_to must be"},
		"transfer to a SIP URI":        {changed(EventCallTransferred, NewCallTransferred, func(d *CallTransferred) { d.TransferredTo = "sip:desk@example.com" }), ""},

		"appointment without id":    {changed(EventAppointmentCreated, NewAppointmentCreated, func(d *AppointmentCreated) { d.AppointmentID = "" }), "data.appointment_id is required"},
		"appointment without call":  {changed(EventAppointmentCreated, NewAppointmentCreated, func(d *AppointmentCreated) { d.CallID = "" }), ""},
		"appointment at no time":    {changed(EventAppointmentCreated, NewAppointmentCreated, func(d *AppointmentCreated) { d.StartTime = time.Time{} }), "data.start_time is required"},
		"appointment year 10000":    {changed(EventAppointmentCreated, NewAppointmentCreated, func(d *AppointmentCreated) { d.StartTime = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }), "data cannot be encoded"},
		"negative length":           {changed(EventAppointmentCreated, NewAppointmentCreated, func(d *AppointmentCreated) { d.DurationMinutes = -5 }), "data.duration_minutes must not be negative"},
		"bad time zone":             {changed(EventAppointmentCreated, NewAppointmentCreated, func(d *AppointmentCreated) { d.TimeZone = "../../etc/passwd" }), "data.time_zone must be the IANA name"},
		"zone with digits":          {changed(EventAppointmentCreated, NewAppointmentCreated, func(d *AppointmentCreated) { d.TimeZone = "Etc/GMT-14" }), ""},
		"two mail addresses":        {changed(EventAppointmentCreated, NewAppointmentCreated, func(d *AppointmentCreated) { d.CustomerEmail = "a@b.c,d@e.f" }), "data.customer_email must be one mail address"},
		"mail without host":         {changed(EventAppointmentCreated, NewAppointmentCreated, func(d *AppointmentCreated) { d.CustomerEmail = "a@" }), "data.customer_email must be one mail address"},
		"customer's phone":          {changed(EventAppointmentCreated, NewAppointmentCreated, func(d *AppointmentCreated) { d.CustomerPhone = "555-1234" }), "data.customer_phone must be an E.164 number"},
		"unknown state":             {changed(EventAppointmentCreated, NewAppointmentCreated, func(d *AppointmentCreated) { d.Status = "maybe" }), "data.status must be one of scheduled, confirmed"},
		"previous phone":            {updated(func(d *AppointmentUpdated) { d.Previous.CustomerPhone = "1" }), "data.previous.customer_phone must be an E.164 number"},
		"previous length":           {updated(func(d *AppointmentUpdated) { d.Previous.DurationMinutes = -1 }), "data.previous.duration_minutes must not be negative"},
		"previous state":            {updated(func(d *AppointmentUpdated) { d.Previous.Status = "x" }), "data.previous.status must be one of"},
		"previous zone":             {updated(func(d *AppointmentUpdated) { d.Previous.TimeZone = "Nowhere!" }), "data.previous.time_zone must be"},
		"nothing previous":          {updated(func(d *AppointmentUpdated) { d.Previous = AppointmentPrevious{} }), ""},
		"cancelled at no time":      {changed(EventAppointmentCancelled, NewAppointmentCancelled, func(d *AppointmentCancelled) { d.CancelledAt = time.Time{} }), "data.cancelled_at is required"},
		"reminded at no time":       {changed(EventAppointmentReminder, NewAppointmentReminder, func(d *AppointmentReminder) { d.RemindedAt = time.Time{} }), "data.reminded_at is required"},
		"reminded by pigeon":        {changed(EventAppointmentReminder, NewAppointmentReminder, func(d *AppointmentReminder) { d.Channel = "pigeon" }), "data.channel must be one of call, sms, email"},
		"reminded in no way":        {changed(EventAppointmentReminder, NewAppointmentReminder, func(d *AppointmentReminder) { d.Channel = "" }), "data.channel must be one of call, sms, email"},
		"agent without name":        {changed(EventAgentCreated, NewAgentCreated, func(d *AgentCreated) { d.Name = "" }), "data.name is required"},
		"agent without id":          {changed(EventAgentUpdated, NewAgentUpdated, func(d *AgentUpdated) { d.AgentID = "" }), "data.agent_id is required"},
		"update of nothing":         {changed(EventAgentUpdated, NewAgentUpdated, func(d *AgentUpdated) { d.ChangedFields = nil }), "data.changed_fields must name at least one"},
		"number without id":         {changed(EventPhoneNumberAssigned, NewPhoneNumberAssigned, func(d *PhoneNumberAssigned) { d.PhoneNumberID = "" }), "data.phone_number_id is required"},
		"number without number":     {changed(EventPhoneNumberAssigned, NewPhoneNumberAssigned, func(d *PhoneNumberAssigned) { d.PhoneNumber = "" }), "data.phone_number is required"},
		"number in no agent":        {changed(EventPhoneNumberAssigned, NewPhoneNumberAssigned, func(d *PhoneNumberAssigned) { d.AgentID = "" }), ""},
		"country not known":         {changed(EventPhoneNumberReleased, NewPhoneNumberReleased, func(d *PhoneNumberReleased) { d.Country = "" }), ""},
		"country in small letters":  {changed(EventPhoneNumberReleased, NewPhoneNumberReleased, func(d *PhoneNumberReleased) { d.Country = "us" }), "data.country must be an ISO 3166-1 code"},
		"overdrawn":                 {changed(EventCreditsLow, NewCreditsLow, func(d *CreditsLow) { d.Balance = -1 }), ""},
		"negative threshold":        {changed(EventCreditsLow, NewCreditsLow, func(d *CreditsLow) { d.Threshold = -1 }), "data.threshold must not be negative"},
		"rules hold for raw events": {makeEvent("", EventCreditsLow, json.RawMessage(`{"balance":1,"threshold":-1}`)), "data.threshold must not be negative"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := validateOne(tt.event)
			if tt.want == "" {
				assert.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrInvalidArgument)
			assert.ErrorContains(t, err, "events[0]."+tt.want)
		})
	}
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
	for _, file := range []string{"events_call.go", "events_appointment.go", "events_account.go"} {
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
