package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"
)

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
