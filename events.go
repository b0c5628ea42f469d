package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ringyo-ai/webhook/internal/check"
	"github.com/ringyo-ai/webhook/internal/id"
)

// EventType names a kind of event, such as "call.completed". The types below
// are the catalogue; any other of the form [A-Za-z0-9_.-]{1,128} can be emitted
// with [NewEvent] and received.
type EventType string

// The catalogue of events, in the order of the public documentation.
const (
	EventCallInitiated        EventType = "call.initiated"        // outbound call started dialing
	EventCallAnswered         EventType = "call.answered"         // call was answered
	EventCallCompleted        EventType = "call.completed"        // call ended successfully
	EventCallFailed           EventType = "call.failed"           // call failed: error, busy, no answer
	EventCallTransferred      EventType = "call.transferred"      // call transferred to a human
	EventAppointmentCreated   EventType = "appointment.created"   // new appointment booked
	EventAppointmentUpdated   EventType = "appointment.updated"   // appointment modified
	EventAppointmentCancelled EventType = "appointment.cancelled" // appointment cancelled
	EventAppointmentReminder  EventType = "appointment.reminder"  // reminder was sent
	EventAgentCreated         EventType = "agent.created"         // new agent created
	EventAgentUpdated         EventType = "agent.updated"         // agent configuration changed
	EventPhoneNumberAssigned  EventType = "phone_number.assigned" // new number provisioned
	EventPhoneNumberReleased  EventType = "phone_number.released" // number released
	EventCreditsLow           EventType = "credits.low"           // credit balance below threshold
)

// Patterns returns the subscriptions that match t, most specific first:
// "call.recording.ready" is matched by itself, "call.recording.*", "call.*" and
// "*".
func (t EventType) Patterns() []EventType {
	p := make([]EventType, 0, 4)
	p = append(p, t)
	for s := string(t); ; {
		i := strings.LastIndexByte(s, '.')
		if i < 0 {
			break
		}
		s = s[:i]
		p = append(p, EventType(s+".*"))
	}
	return append(p, "*")
}

// Event is one thing that happened, at either end of the wire.
//
// Emit checks events before it stores anything. It refuses malformed ids and types, a
// missing time, data of another Go type than that of the event's type, and JSON that
// parsers disagree about. In payloads of the catalogue it refuses an empty field that
// is required, and text with control characters or beyond 1 KiB (ids 255 bytes, URLs 8
// KiB). It does not judge what comes from a network, a person or another system: a
// number can be "anonymous", "911" or "sip:alice@example.com", a duration negative, a
// status new. All problems are returned in one [*ValidationError], each with the name
// of its field, such as "events[2].data.call_id". [Validate] checks without storing. A
// received event can be emitted again as it is, once AccountID is set.
type Event struct {
	// ID is set by the constructor, so that repeating a failed Emit is safe. A
	// caller may set an id of its own, [A-Za-z0-9_-]{1,64} and unique within the
	// account.
	ID   string
	Type EventType
	// AccountID is the customer that the event belongs to. The empty account is
	// valid. It is not sent, and empty on receive.
	AccountID string
	// EndpointID is the endpoint that received the event, on receive.
	EndpointID string
	// Timestamp is when it happened, in UTC and whole milliseconds; set to now
	// by the constructor.
	Timestamp time.Time
	// Data is the payload as a value, such as CallCompleted{…}, never a pointer.
	// For types that the library does not know it is, on receive, a
	// json.RawMessage.
	//
	// Emit encodes it once, as encoding/json does, except that <, > and & stay
	// as they are; bytes of a string that are not UTF-8 become U+FFFD. A
	// json.RawMessage is stored and sent byte for byte, so it must be one valid
	// JSON value in UTF-8 without halves of surrogate pairs, which receivers
	// would each read in their own way. It may be nested 63 deep, which with the
	// envelope is what the strictest common parser reads.
	Data any
	// Raw is the data as received, byte for byte. Emit does not read it: to forward
	// received data byte for byte, set Data to Raw.
	Raw json.RawMessage
	// Test marks a test event: the receiver of one acknowledges it and does
	// nothing else. On the wire it is the field test, and the header webhook-test.
	// Emit refuses it, since what SendTest sends is not stored.
	Test bool
}

// Payload is the constraint of the catalogue's payloads, as values: a pointer
// fails to compile.
type Payload interface {
	CallInitiated | CallAnswered | CallCompleted | CallFailed | CallTransferred |
		AppointmentCreated | AppointmentUpdated | AppointmentCancelled | AppointmentReminder |
		AgentCreated | AgentUpdated |
		PhoneNumberAssigned | PhoneNumberReleased |
		CreditsLow

	EventType() EventType
}

// EventTypes returns the catalogue, in the order of the public documentation.
func EventTypes() []EventType {
	types := make([]EventType, len(catalogue))
	for i, k := range catalogue {
		types[i] = k.eventType()
	}
	return types
}

// NewEvent makes an event of any type, with a new id and the current time. It is
// for types that are not in the catalogue, such as "call.recording.ready".
//
// data is a value that encoding/json can encode, or a [json.RawMessage], which is
// sent byte for byte. A type of the catalogue takes its own payload, or a
// json.RawMessage that decodes into it. NewEvent returns a [*ValidationError] for a
// malformed type, a type that does not match its data, a pointer, and []byte, which
// would be sent as base64. What the data holds is checked by Emit.
func NewEvent(accountID string, t EventType, data any) (Event, error) {
	c := newChecker(0, "")
	c.eventType(t)
	c.dataKind(t, data)
	if err := c.err(); err != nil {
		return Event{}, err
	}
	return makeEvent(accountID, t, data), nil
}

func newEvent[P Payload](accountID string, data P) Event {
	return makeEvent(accountID, data.EventType(), data)
}

func makeEvent(accountID string, t EventType, data any) Event {
	return Event{
		ID:        id.New("evt_"),
		Type:      t,
		AccountID: accountID,
		Timestamp: wholeMillis(time.Now()),
		Data:      data,
	}
}

// wholeMillis cuts what the envelope does not carry.
func wholeMillis(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// subscription normalises what an endpoint listens to: "*" stands alone, and
// what a prefix covers is left out. If there are known types, it refuses others, and
// prefixes that cover none of them.
func subscription(v *ValidationError, events, known []EventType) []EventType {
	if len(events) == 0 || len(events) > 100 {
		v.add("Events", "must hold 1 to 100 types")
		return nil
	}
	for i, t := range events {
		if problem := subscriptionProblem(t, known); problem != "" {
			v.add(fmt.Sprintf("Events[%d]", i), problem)
		}
	}
	var kept []EventType
	for _, t := range events {
		covered := slices.Contains(kept, t)
		for _, p := range EventType(strings.TrimSuffix(string(t), ".*")).Patterns()[1:] {
			covered = covered || p != t && slices.Contains(events, p)
		}
		if !covered {
			kept = append(kept, t)
		}
	}
	return kept
}

// subscriptionProblem returns what is wrong with an entry of a subscription, or "". Without
// known types it is its form alone.
func subscriptionProblem(t EventType, known []EventType) string {
	prefix, isPrefix := strings.CutSuffix(string(t), ".*")
	covers := func(k EventType) bool { return slices.Contains(k.Patterns(), t) }
	switch {
	case t == "*":
		return ""
	case !check.EventType(prefix):
		return `must be a type such as "call.completed", a prefix such as "call.*", or "*"`
	case len(known) == 0 || slices.ContainsFunc(known, covers):
		return ""
	case isPrefix:
		return "is a prefix of no event type that there is"
	}
	return "is not an event type that there is"
}

// EventInfo is a stored event without its data.
type EventInfo struct {
	ID        string    `json:"id"`
	Type      EventType `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	CreatedAt time.Time `json:"created_at"` // when the Store accepted it
	Size      int       `json:"size"`       // of the data, in bytes; 0: it was redacted
}

// EventQuery selects a page of an account's events. What is empty selects all.
type EventQuery struct {
	Types  []EventType // each a type, a prefix such as "call.*", or "*"
	From   time.Time   // by CreatedAt, inclusive
	Until  time.Time   // by CreatedAt, exclusive
	Cursor string      // Next of the page before
	Limit  int         // 1 to 1,000; defaults to 100
}

// ListEvents returns a page of the account's stored events, newest first by CreatedAt,
// those without any delivery too. A page may hold fewer than Limit and still have a
// Next: a query that matches little ends its page once more than 100,000 events were
// looked at. It fails with [ErrInvalidArgument] for malformed Types. [Engine.GetEvent]
// returns one with its data.
func (e *Engine) ListEvents(ctx context.Context, accountID string, q EventQuery) (Page[EventInfo], error) {
	limit, err := pageLimit(q.Limit)
	if err = errors.Join(err, checkPatterns(q.Types)); err != nil {
		return Page[EventInfo]{}, err
	}
	f := EventFilter{AccountID: accountID, Types: q.Types, From: q.From, Until: q.Until, Cursor: q.Cursor, Limit: limit}
	return call(ctx, e.store, func(ctx context.Context) (Page[EventInfo], error) { return e.store.ListEvents(ctx, f) })
}

var errNoObject = errors.New("not a JSON object")

// catalogue holds the types that have a payload of their own, in the order of
// the public documentation.
var catalogue = [...]payloadKind{
	kindOf[CallInitiated]{},
	kindOf[CallAnswered]{},
	kindOf[CallCompleted]{},
	kindOf[CallFailed]{},
	kindOf[CallTransferred]{},
	kindOf[AppointmentCreated]{},
	kindOf[AppointmentUpdated]{},
	kindOf[AppointmentCancelled]{},
	kindOf[AppointmentReminder]{},
	kindOf[AgentCreated]{},
	kindOf[AgentUpdated]{},
	kindOf[PhoneNumberAssigned]{},
	kindOf[PhoneNumberReleased]{},
	kindOf[CreditsLow]{},
}

// payloadKind is what the library knows of one payload type.
type payloadKind interface {
	eventType() EventType
	// holds reports whether data is a value of the payload.
	holds(data any) bool
	// decode returns the payload as a value.
	decode(raw json.RawMessage) (any, error)
	// zero returns the zero payload.
	zero() any
}

// completer is the part of a payloadKind that only emitting needs. Every kind in the
// catalogue has it; in an interface of its own it is not linked into receivers.
type completer interface {
	// complete returns data, a value of the payload, with defaults filled in,
	// and reports to c what is wrong with it.
	complete(data any, c *checker) any
}

// kindOf implements payloadKind and completer for the payload P.
type kindOf[P Payload] struct{}

func (kindOf[P]) eventType() EventType { var p P; return p.EventType() }

func (kindOf[P]) holds(data any) bool { _, ok := data.(P); return ok }

func (kindOf[P]) zero() any { var p P; return p }

func (kindOf[P]) complete(data any, c *checker) any {
	p := data.(P)                                           // the caller asked holds
	any(&p).(interface{ complete(c *checker) }).complete(c) // every payload has it
	return p
}

func (kindOf[P]) decode(raw json.RawMessage) (any, error) {
	var p P
	if !bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) {
		return nil, errNoObject // null would decode into an empty payload
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, err
	}
	return p, nil
}

// kindFor returns the kind of t, or nil when the catalogue does not hold it.
func kindFor(t EventType) payloadKind {
	for _, k := range catalogue {
		if k.eventType() == t {
			return k
		}
	}
	return nil
}

// decodePayload returns the payload of t as a value. It is false when the
// catalogue does not hold t or raw does not decode; fields that the payload
// does not have are ignored, since senders may be newer.
func decodePayload(t EventType, raw json.RawMessage) (any, bool) {
	k := kindFor(t)
	if k == nil {
		return nil, false
	}
	p, err := k.decode(raw)
	return p, err == nil
}

// SampleData returns a realistic payload of t, the same at each call: what
// SendTest sends, and what tests and documentation can use. For a type of the
// catalogue it is the payload as a value, such as [CallCompleted]; for any
// other a [json.RawMessage] of a small object. [NewEvent] makes an event of it.
func SampleData(t EventType) any {
	switch t {
	case EventCallInitiated, EventCallAnswered, EventCallCompleted, EventCallFailed, EventCallTransferred:
		return sampleCall(t)
	case EventAppointmentCreated, EventAppointmentUpdated, EventAppointmentCancelled, EventAppointmentReminder:
		return sampleAppointment(t)
	case EventAgentCreated:
		return AgentCreated{AgentID: "agent_abc123", Name: "Front desk", Metadata: map[string]string{"team": "reception"}}
	case EventAgentUpdated:
		return AgentUpdated{AgentID: "agent_abc123", Name: "Front desk", ChangedFields: []string{"voice", "greeting"}}
	case EventPhoneNumberAssigned:
		return PhoneNumberAssigned{PhoneNumberID: "pn_5d2c81", PhoneNumber: "+18005550100", AgentID: "agent_abc123", Country: "US"}
	case EventPhoneNumberReleased:
		return PhoneNumberReleased{PhoneNumberID: "pn_5d2c81", PhoneNumber: "+18005550100", AgentID: "agent_abc123", Country: "US"}
	case EventCreditsLow:
		return CreditsLow{Balance: 180, Threshold: 200}
	}
	return json.RawMessage(`{"message":"This is a sample."}`)
}

// The numbers below are of the ranges that are reserved for fiction.
const (
	sampleAgentNumber   = "+18005550100"
	sampleContactNumber = "+14155550123"
)

func sampleCall(t EventType) any {
	metadata := map[string]string{"campaign": "follow_up", "customer_id": "cust_456"}
	switch t {
	case EventCallInitiated:
		return CallInitiated{
			CallID: "call_xyz789", AgentID: "agent_abc123",
			Direction: CallDirectionOutbound, FromNumber: sampleAgentNumber, ToNumber: sampleContactNumber,
			Status: CallStatusInitiated, Metadata: metadata,
		}
	case EventCallAnswered:
		return CallAnswered{
			CallID: "call_xyz789", AgentID: "agent_abc123",
			Direction: CallDirectionOutbound, FromNumber: sampleAgentNumber, ToNumber: sampleContactNumber,
			Status: CallStatusAnswered, Metadata: metadata,
		}
	case EventCallFailed:
		return CallFailed{
			CallID: "call_xyz790", AgentID: "agent_abc123",
			Direction: CallDirectionOutbound, FromNumber: sampleAgentNumber, ToNumber: sampleContactNumber,
			Status: CallStatusNoAnswer, FailureReason: "rang for 30 seconds without an answer", Metadata: metadata,
		}
	case EventCallTransferred:
		return CallTransferred{
			CallID: "call_xyz791", AgentID: "agent_abc123",
			Direction: CallDirectionInbound, FromNumber: sampleContactNumber, ToNumber: sampleAgentNumber,
			Status: CallStatusTransferred, TransferredTo: "+14155550188",
			TransferReason: "caller asked for a person", DurationSeconds: 62,
		}
	}
	return CallCompleted{
		CallID: "call_xyz789", AgentID: "agent_abc123",
		Direction: CallDirectionOutbound, FromNumber: sampleAgentNumber, ToNumber: sampleContactNumber,
		Status: CallStatusCompleted, DurationSeconds: 245, Outcome: "appointment_booked",
		Transcript: []TranscriptTurn{
			{Role: "agent", Content: "Hello, this is Sarah from Bright Dental. Would you like to book your check-up?", Timestamp: 0},
			{Role: "user", Content: "Yes, next Saturday at two would be fine.", Timestamp: 6.4},
		},
		RecordingURL:  "https://storage.ringyo.ai/recordings/call_xyz789.mp3",
		ExtractedData: map[string]any{"appointment_requested": true, "preferred_day": "Saturday"},
		Metadata:      metadata,
	}
}

func sampleAppointment(t EventType) any {
	newYork := time.FixedZone("", -5*60*60)
	start := time.Date(2024, time.January, 20, 14, 0, 0, 0, newYork)
	created := AppointmentCreated{
		AppointmentID: "apt_4f1e77", CallID: "call_xyz789", AgentID: "agent_abc123",
		CustomerName: "Jordan Miles", CustomerPhone: sampleContactNumber, CustomerEmail: "jordan@example.com",
		Service: "Dental cleaning", StartTime: start, TimeZone: "America/New_York", DurationMinutes: 45,
		Status: AppointmentStatusScheduled,
	}
	c := created
	switch t {
	case EventAppointmentUpdated:
		return AppointmentUpdated{
			AppointmentID: c.AppointmentID, CallID: "call_xyz802", AgentID: c.AgentID,
			CustomerName: c.CustomerName, CustomerPhone: c.CustomerPhone, CustomerEmail: c.CustomerEmail,
			Service: c.Service, StartTime: start.Add(90 * time.Minute), TimeZone: c.TimeZone, DurationMinutes: 45,
			Status:   AppointmentStatusConfirmed,
			Previous: AppointmentPrevious{StartTime: start, Status: AppointmentStatusScheduled},
		}
	case EventAppointmentCancelled:
		return AppointmentCancelled{
			AppointmentID: c.AppointmentID, CallID: "call_xyz815", AgentID: c.AgentID,
			CustomerName: c.CustomerName, CustomerPhone: c.CustomerPhone, CustomerEmail: c.CustomerEmail,
			Service: c.Service, StartTime: start, TimeZone: c.TimeZone, DurationMinutes: 45,
			Status: AppointmentStatusCancelled, CancellationReason: "customer is travelling",
			CancelledAt: time.Date(2024, time.January, 18, 9, 12, 0, 0, newYork),
		}
	case EventAppointmentReminder:
		return AppointmentReminder{
			AppointmentID: c.AppointmentID, AgentID: c.AgentID,
			CustomerName: c.CustomerName, CustomerPhone: c.CustomerPhone, CustomerEmail: c.CustomerEmail,
			Service: c.Service, StartTime: start, TimeZone: c.TimeZone, DurationMinutes: 45,
			Status: AppointmentStatusConfirmed, Channel: ReminderChannelSMS,
			RemindedAt: time.Date(2024, time.January, 19, 14, 0, 0, 0, newYork),
		}
	}
	return created
}
