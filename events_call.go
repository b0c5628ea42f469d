package webhook

import "cmp"

// CallDirection says who called whom.
type CallDirection string

// The directions of a call.
const (
	CallDirectionInbound  CallDirection = "inbound"  // the customer's contact called the agent
	CallDirectionOutbound CallDirection = "outbound" // the agent called the contact
)

// CallStatus is the state of a call.
type CallStatus string

// The states of a call, in the order in which a call goes through them.
const (
	CallStatusInitiated   CallStatus = "initiated"   // dialing was started
	CallStatusRinging     CallStatus = "ringing"     // the other side rings
	CallStatusAnswered    CallStatus = "answered"    // the other side picked up
	CallStatusInProgress  CallStatus = "in_progress" // the agent talks with the contact
	CallStatusCompleted   CallStatus = "completed"   // ended after a conversation
	CallStatusTransferred CallStatus = "transferred" // handed over to a human
	CallStatusNoAnswer    CallStatus = "no_answer"   // rang until it was given up
	CallStatusBusy        CallStatus = "busy"        // the line was engaged
	CallStatusFailed      CallStatus = "failed"      // could not be connected, or broke off by an error
)

// CallInitiated is the payload of call.initiated: an outbound call started
// dialing.
type CallInitiated struct {
	CallID     string            `json:"call_id"`            // the call; required
	AgentID    string            `json:"agent_id"`           // the agent that calls; required
	Direction  CallDirection     `json:"direction"`          // who called whom; required
	FromNumber string            `json:"from_number"`        // the caller's number; empty when withheld
	ToNumber   string            `json:"to_number"`          // the number that is dialed
	Status     CallStatus        `json:"status"`             // where the call stands; initiated if left empty
	Metadata   map[string]string `json:"metadata,omitempty"` // the key-value pairs that the caller attached to the call
}

// CallAnswered is the payload of call.answered: the other side picked up.
type CallAnswered struct {
	CallID     string            `json:"call_id"`               // the call; required
	AgentID    string            `json:"agent_id"`              // the agent that talks; required
	Direction  CallDirection     `json:"direction"`             // who called whom; required
	FromNumber string            `json:"from_number,omitempty"` // the caller's number; empty when withheld
	ToNumber   string            `json:"to_number"`             // the called number; empty when the call has none, such as one from a browser
	Status     CallStatus        `json:"status"`                // where the call stands; answered if left empty
	Metadata   map[string]string `json:"metadata,omitempty"`    // the key-value pairs attached to the call
}

// CallCompleted is the payload of call.completed: a call ended after a
// conversation.
//
// Numbers in ExtractedData are float64 when received in Go; Event.Raw has their
// exact text.
type CallCompleted struct {
	CallID          string           `json:"call_id"`                  // the call; required
	AgentID         string           `json:"agent_id"`                 // the agent that talked; required
	Direction       CallDirection    `json:"direction"`                // who called whom; required
	FromNumber      string           `json:"from_number,omitempty"`    // the caller's number; empty when withheld
	ToNumber        string           `json:"to_number"`                // the called number; empty when the call has none, such as one from a browser
	Status          CallStatus       `json:"status"`                   // where the call stands; completed if left empty
	DurationSeconds int              `json:"duration_seconds"`         // from answer to hang-up, in whole seconds
	Outcome         string           `json:"outcome,omitempty"`        // the agent's own word for the result, such as "appointment_booked"
	Transcript      []TranscriptTurn `json:"transcript,omitempty"`     // what was said, in order
	RecordingURL    string           `json:"recording_url,omitempty"`  // where the recording can be fetched
	ExtractedData   map[string]any   `json:"extracted_data,omitempty"` // what the agent was told to find out

	Metadata map[string]string `json:"metadata,omitempty"` // the key-value pairs attached to the call
}

// TranscriptTurn is one turn of a conversation.
type TranscriptTurn struct {
	Role      string  `json:"role"`      // who spoke: "agent" or "user"; empty when that is not known
	Content   string  `json:"content"`   // what was said
	Timestamp float64 `json:"timestamp"` // when the turn began, in seconds since the call was answered; negative before that
}

// CallFailed is the payload of call.failed: a call did not lead to a conversation,
// because of an error, a busy line or no answer.
type CallFailed struct {
	CallID        string            `json:"call_id"`                  // the call; required
	AgentID       string            `json:"agent_id"`                 // the agent of the call; empty when the call did not get to one
	Direction     CallDirection     `json:"direction"`                // who called whom; required
	FromNumber    string            `json:"from_number,omitempty"`    // the caller's number; empty when withheld
	ToNumber      string            `json:"to_number"`                // the called number; empty when the call has none, such as one from a browser
	Status        CallStatus        `json:"status"`                   // failed, busy or no_answer; failed if left empty
	FailureReason string            `json:"failure_reason,omitempty"` // why, for people and logs, such as "carrier rejected the number"
	Metadata      map[string]string `json:"metadata,omitempty"`       // the key-value pairs attached to the call
}

// CallTransferred is the payload of call.transferred: the agent handed the call
// over to a human.
type CallTransferred struct {
	CallID          string            `json:"call_id"`                   // the call; required
	AgentID         string            `json:"agent_id"`                  // the agent that handed over; required
	Direction       CallDirection     `json:"direction"`                 // who called whom; required
	FromNumber      string            `json:"from_number,omitempty"`     // the caller's number; empty when withheld
	ToNumber        string            `json:"to_number"`                 // the called number; empty when the call has none, such as one from a browser
	Status          CallStatus        `json:"status"`                    // where the call stands; transferred if left empty
	TransferredTo   string            `json:"transferred_to"`            // where the call went: a number, a SIP URI or a name such as that of a queue; required
	TransferReason  string            `json:"transfer_reason,omitempty"` // why, such as "caller asked for a person"
	DurationSeconds int               `json:"duration_seconds"`          // from answer to transfer, in whole seconds
	Metadata        map[string]string `json:"metadata,omitempty"`        // the key-value pairs attached to the call
}

// NewCallInitiated makes the event call.initiated, with a new id and the time
// of now.
func NewCallInitiated(accountID string, data CallInitiated) Event { return newEvent(accountID, data) }

// NewCallAnswered makes the event call.answered, with a new id and the time of
// now.
func NewCallAnswered(accountID string, data CallAnswered) Event { return newEvent(accountID, data) }

// NewCallCompleted makes the event call.completed, with a new id and the time
// of now.
func NewCallCompleted(accountID string, data CallCompleted) Event { return newEvent(accountID, data) }

// NewCallFailed makes the event call.failed, with a new id and the current time.
func NewCallFailed(accountID string, data CallFailed) Event { return newEvent(accountID, data) }

// NewCallTransferred makes the event call.transferred, with a new id and the
// time of now.
func NewCallTransferred(accountID string, data CallTransferred) Event {
	return newEvent(accountID, data)
}

// EventType returns call.initiated.
func (CallInitiated) EventType() EventType { return EventCallInitiated }

// EventType returns call.answered.
func (CallAnswered) EventType() EventType { return EventCallAnswered }

// EventType returns call.completed.
func (CallCompleted) EventType() EventType { return EventCallCompleted }

// EventType returns call.failed.
func (CallFailed) EventType() EventType { return EventCallFailed }

// EventType returns call.transferred.
func (CallTransferred) EventType() EventType { return EventCallTransferred }

func (d *CallInitiated) complete(c *checker) {
	c.ID("agent_id", d.AgentID)
	c.call(d.CallID, d.Direction, d.FromNumber, d.ToNumber, &d.Status, CallStatusInitiated)
}

func (d *CallAnswered) complete(c *checker) {
	c.ID("agent_id", d.AgentID)
	c.call(d.CallID, d.Direction, d.FromNumber, d.ToNumber, &d.Status, CallStatusAnswered)
}

func (d *CallCompleted) complete(c *checker) {
	c.ID("agent_id", d.AgentID)
	c.call(d.CallID, d.Direction, d.FromNumber, d.ToNumber, &d.Status, CallStatusCompleted)
	c.URL("recording_url", d.RecordingURL)
}

func (d *CallFailed) complete(c *checker) {
	c.OptionalID("agent_id", d.AgentID)
	c.call(d.CallID, d.Direction, d.FromNumber, d.ToNumber, &d.Status, CallStatusFailed)
}

func (d *CallTransferred) complete(c *checker) {
	c.ID("agent_id", d.AgentID)
	c.call(d.CallID, d.Direction, d.FromNumber, d.ToNumber, &d.Status, CallStatusTransferred)
	c.Required("transferred_to", d.TransferredTo)
	c.Line("transferred_to", d.TransferredTo)
}

// call checks what every call has, and fills in its status.
func (c *checker) call(id string, direction CallDirection, from, to string, status *CallStatus, byDefault CallStatus) {
	c.ID("call_id", id)
	c.Required("direction", string(direction))
	c.Line("direction", string(direction))
	c.Line("from_number", from)
	c.Line("to_number", to)
	*status = cmp.Or(*status, byDefault)
	c.Line("status", string(*status))
}
