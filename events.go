package webhook

import (
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
