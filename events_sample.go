package webhook

import (
	"encoding/json"
	"time"
)

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
