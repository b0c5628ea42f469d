package webhook

import (
	"cmp"
	"time"
)

// AppointmentStatus is the state of an appointment.
type AppointmentStatus string

// The states of an appointment.
const (
	AppointmentStatusScheduled AppointmentStatus = "scheduled" // booked, not yet confirmed
	AppointmentStatusConfirmed AppointmentStatus = "confirmed" // confirmed by the customer
	AppointmentStatusCancelled AppointmentStatus = "cancelled" // will not take place
	AppointmentStatusCompleted AppointmentStatus = "completed" // took place
	AppointmentStatusNoShow    AppointmentStatus = "no_show"   // the customer did not come
)

// ReminderChannel is the way in which a reminder went out.
type ReminderChannel string

// The channels of a reminder.
const (
	ReminderChannelCall  ReminderChannel = "call"  // an agent called
	ReminderChannelSMS   ReminderChannel = "sms"   // a text message
	ReminderChannelEmail ReminderChannel = "email" // a mail
)

// AppointmentCreated is the payload of appointment.created: a new appointment
// was booked.
type AppointmentCreated struct {
	AppointmentID   string            `json:"appointment_id"`           // the appointment; required
	CallID          string            `json:"call_id,omitempty"`        // the call in which it was booked, if any
	AgentID         string            `json:"agent_id,omitempty"`       // the agent that booked it, if any
	CustomerName    string            `json:"customer_name"`            // the name of the person who comes, as the agent understood it
	CustomerPhone   string            `json:"customer_phone,omitempty"` // the phone number of the person who comes, or as much of it as is known
	CustomerEmail   string            `json:"customer_email,omitempty"` // the mail address, as the agent understood it
	Service         string            `json:"service,omitempty"`        // what was booked, such as "Dental cleaning"
	StartTime       time.Time         `json:"start_time"`               // when it begins, RFC 3339 with the local offset; required
	TimeZone        string            `json:"time_zone,omitempty"`      // IANA name of the place's zone, such as "America/New_York", which an offset does not show
	DurationMinutes int               `json:"duration_minutes"`         // planned length, in minutes
	Status          AppointmentStatus `json:"status"`                   // where the appointment stands; scheduled if left empty
	Metadata        map[string]string `json:"metadata,omitempty"`       // key-value pairs attached to the appointment
}

// AppointmentUpdated is the payload of appointment.updated: an appointment was
// modified. The fields hold the new values.
type AppointmentUpdated struct {
	AppointmentID   string              `json:"appointment_id"`           // the appointment; required
	CallID          string              `json:"call_id,omitempty"`        // the call in which it was modified, if any
	AgentID         string              `json:"agent_id,omitempty"`       // the agent that modified it, if any
	CustomerName    string              `json:"customer_name"`            // the name of the person who comes
	CustomerPhone   string              `json:"customer_phone,omitempty"` // the phone number of the person who comes, or as much of it as is known
	CustomerEmail   string              `json:"customer_email,omitempty"` // the mail address, as the agent understood it
	Service         string              `json:"service,omitempty"`        // what is booked
	StartTime       time.Time           `json:"start_time"`               // when it begins, RFC 3339 with the local offset; required
	TimeZone        string              `json:"time_zone,omitempty"`      // IANA name of the place's zone
	DurationMinutes int                 `json:"duration_minutes"`         // planned length, in minutes
	Status          AppointmentStatus   `json:"status"`                   // where the appointment stands; scheduled if left empty
	Previous        AppointmentPrevious `json:"previous"`                 // what the changed fields held before
	Metadata        map[string]string   `json:"metadata,omitempty"`       // key-value pairs attached to the appointment
}

// AppointmentPrevious holds what the changed fields of an appointment held
// before. Fields that did not change are left out.
type AppointmentPrevious struct {
	CustomerName    string            `json:"customer_name,omitempty"`    // the name of the person who would have come
	CustomerPhone   string            `json:"customer_phone,omitempty"`   // the phone number of the person who comes, or as much of it as is known
	CustomerEmail   string            `json:"customer_email,omitempty"`   // the mail address, as the agent understood it
	Service         string            `json:"service,omitempty"`          // what was booked
	StartTime       time.Time         `json:"start_time,omitzero"`        // when it would have begun, RFC 3339 with the local offset
	TimeZone        string            `json:"time_zone,omitempty"`        // IANA name of the place's zone
	DurationMinutes int               `json:"duration_minutes,omitempty"` // in minutes
	Status          AppointmentStatus `json:"status,omitempty"`           // the state before
}

// AppointmentCancelled is the payload of appointment.cancelled: an appointment
// will not take place.
type AppointmentCancelled struct {
	AppointmentID      string            `json:"appointment_id"`                // the appointment; required
	CallID             string            `json:"call_id,omitempty"`             // the call in which it was cancelled, if any
	AgentID            string            `json:"agent_id,omitempty"`            // the agent that cancelled it, if any
	CustomerName       string            `json:"customer_name"`                 // the name of the person who would have come
	CustomerPhone      string            `json:"customer_phone,omitempty"`      // the phone number of the person who comes, or as much of it as is known
	CustomerEmail      string            `json:"customer_email,omitempty"`      // the mail address, as the agent understood it
	Service            string            `json:"service,omitempty"`             // what was booked
	StartTime          time.Time         `json:"start_time"`                    // when it would have begun, RFC 3339 with the local offset; required
	TimeZone           string            `json:"time_zone,omitempty"`           // IANA name of the place's zone
	DurationMinutes    int               `json:"duration_minutes"`              // planned length, in minutes
	Status             AppointmentStatus `json:"status"`                        // where the appointment stands; cancelled if left empty
	CancellationReason string            `json:"cancellation_reason,omitempty"` // why, for people
	CancelledAt        time.Time         `json:"cancelled_at"`                  // when it was cancelled, RFC 3339; required
	Metadata           map[string]string `json:"metadata,omitempty"`            // key-value pairs attached to the appointment
}

// AppointmentReminder is the payload of appointment.reminder: a reminder of an
// appointment was sent.
type AppointmentReminder struct {
	AppointmentID   string            `json:"appointment_id"`           // the appointment; required
	CallID          string            `json:"call_id,omitempty"`        // the call that was the reminder, with the channel call
	AgentID         string            `json:"agent_id,omitempty"`       // the agent that reminded, if any
	CustomerName    string            `json:"customer_name"`            // the name of the person who was reminded
	CustomerPhone   string            `json:"customer_phone,omitempty"` // the phone number of the person who comes, or as much of it as is known
	CustomerEmail   string            `json:"customer_email,omitempty"` // the mail address, as the agent understood it
	Service         string            `json:"service,omitempty"`        // what is booked
	StartTime       time.Time         `json:"start_time"`               // when the appointment begins, RFC 3339 with the local offset; required
	TimeZone        string            `json:"time_zone,omitempty"`      // IANA name of the place's zone
	DurationMinutes int               `json:"duration_minutes"`         // planned length, in minutes
	Status          AppointmentStatus `json:"status"`                   // where the appointment stands; scheduled if left empty
	Channel         ReminderChannel   `json:"channel"`                  // how the reminder went out; required
	RemindedAt      time.Time         `json:"reminded_at"`              // when it went out, RFC 3339; required
	Metadata        map[string]string `json:"metadata,omitempty"`       // key-value pairs attached to the appointment
}

// NewAppointmentCreated makes the event appointment.created, with a new id and
// the time of now.
func NewAppointmentCreated(accountID string, data AppointmentCreated) Event {
	return newEvent(accountID, data)
}

// NewAppointmentUpdated makes the event appointment.updated, with a new id and
// the time of now.
func NewAppointmentUpdated(accountID string, data AppointmentUpdated) Event {
	return newEvent(accountID, data)
}

// NewAppointmentCancelled makes the event appointment.cancelled, with a new id
// and the time of now.
func NewAppointmentCancelled(accountID string, data AppointmentCancelled) Event {
	return newEvent(accountID, data)
}

// NewAppointmentReminder makes the event appointment.reminder, with a new id
// and the time of now.
func NewAppointmentReminder(accountID string, data AppointmentReminder) Event {
	return newEvent(accountID, data)
}

// EventType returns appointment.created.
func (AppointmentCreated) EventType() EventType { return EventAppointmentCreated }

// EventType returns appointment.updated.
func (AppointmentUpdated) EventType() EventType { return EventAppointmentUpdated }

// EventType returns appointment.cancelled.
func (AppointmentCancelled) EventType() EventType { return EventAppointmentCancelled }

// EventType returns appointment.reminder.
func (AppointmentReminder) EventType() EventType { return EventAppointmentReminder }

func (d *AppointmentCreated) complete(c *checker) {
	c.ID("appointment_id", d.AppointmentID)
	c.slot(d.StartTime, d.TimeZone)
	c.appointmentStatus(&d.Status, AppointmentStatusScheduled)
}

func (d *AppointmentUpdated) complete(c *checker) {
	c.ID("appointment_id", d.AppointmentID)
	c.slot(d.StartTime, d.TimeZone)
	c.appointmentStatus(&d.Status, AppointmentStatusScheduled)
	c.Line("previous.time_zone", d.Previous.TimeZone)
	c.Line("previous.status", string(d.Previous.Status))
}

func (d *AppointmentCancelled) complete(c *checker) {
	c.ID("appointment_id", d.AppointmentID)
	c.slot(d.StartTime, d.TimeZone)
	c.appointmentStatus(&d.Status, AppointmentStatusCancelled)
	c.Time("cancelled_at", d.CancelledAt)
}

func (d *AppointmentReminder) complete(c *checker) {
	c.ID("appointment_id", d.AppointmentID)
	c.slot(d.StartTime, d.TimeZone)
	c.appointmentStatus(&d.Status, AppointmentStatusScheduled)
	c.Required("channel", string(d.Channel))
	c.Line("channel", string(d.Channel))
	c.Time("reminded_at", d.RemindedAt)
}

func (c *checker) appointmentStatus(s *AppointmentStatus, byDefault AppointmentStatus) {
	*s = cmp.Or(*s, byDefault)
	c.Line("status", string(*s))
}

// slot checks when an appointment is.
func (c *checker) slot(start time.Time, zone string) {
	c.Time("start_time", start)
	c.Line("time_zone", zone)
}

// AgentCreated is the payload of agent.created: a new agent exists.
type AgentCreated struct {
	AgentID  string            `json:"agent_id"`           // the agent; required
	Name     string            `json:"name"`               // its display name
	Metadata map[string]string `json:"metadata,omitempty"` // key-value pairs attached to the agent
}

// AgentUpdated is the payload of agent.updated: the configuration of an agent
// changed.
type AgentUpdated struct {
	AgentID       string            `json:"agent_id"`           // the agent; required
	Name          string            `json:"name"`               // its display name, the new one if it changed
	ChangedFields []string          `json:"changed_fields"`     // names of the settings that changed, such as "voice"
	Metadata      map[string]string `json:"metadata,omitempty"` // key-value pairs attached to the agent
}

// PhoneNumberAssigned is the payload of phone_number.assigned: a new number was
// provisioned.
type PhoneNumberAssigned struct {
	PhoneNumberID string `json:"phone_number_id"`    // the number's id; required
	PhoneNumber   string `json:"phone_number"`       // the number, E.164 if it has such a form; required
	AgentID       string `json:"agent_id,omitempty"` // the agent that answers it, if any yet
	Country       string `json:"country,omitempty"`  // ISO 3166-1 alpha-2, such as "US"
}

// PhoneNumberReleased is the payload of phone_number.released: the account gave
// a number up.
type PhoneNumberReleased struct {
	PhoneNumberID string `json:"phone_number_id"`    // the number's id; required
	PhoneNumber   string `json:"phone_number"`       // the number, E.164 if it has such a form; required
	AgentID       string `json:"agent_id,omitempty"` // the agent that answered it last, if any
	Country       string `json:"country,omitempty"`  // ISO 3166-1 alpha-2, such as "US"
}

// CreditsLow is the payload of credits.low: the balance fell below the
// threshold.
//
// Credits are counted in whole units, as integers: they are exact in every
// language up to 2^53, can be compared without parsing, and need none of the
// rounding rules that decimal text would.
type CreditsLow struct {
	Balance   int64 `json:"balance"`   // credits left, in whole credits; negative when overdrawn
	Threshold int64 `json:"threshold"` // the account's own limit for this warning, in whole credits; negative where the account may be overdrawn
}

// NewAgentCreated makes the event agent.created, with a new id and the time of
// now.
func NewAgentCreated(accountID string, data AgentCreated) Event { return newEvent(accountID, data) }

// NewAgentUpdated makes the event agent.updated, with a new id and the time of
// now.
func NewAgentUpdated(accountID string, data AgentUpdated) Event { return newEvent(accountID, data) }

// NewPhoneNumberAssigned makes the event phone_number.assigned, with a new id
// and the time of now.
func NewPhoneNumberAssigned(accountID string, data PhoneNumberAssigned) Event {
	return newEvent(accountID, data)
}

// NewPhoneNumberReleased makes the event phone_number.released, with a new id
// and the time of now.
func NewPhoneNumberReleased(accountID string, data PhoneNumberReleased) Event {
	return newEvent(accountID, data)
}

// NewCreditsLow makes the event credits.low, with a new id and the current time.
func NewCreditsLow(accountID string, data CreditsLow) Event { return newEvent(accountID, data) }

// EventType returns agent.created.
func (AgentCreated) EventType() EventType { return EventAgentCreated }

// EventType returns agent.updated.
func (AgentUpdated) EventType() EventType { return EventAgentUpdated }

// EventType returns phone_number.assigned.
func (PhoneNumberAssigned) EventType() EventType { return EventPhoneNumberAssigned }

// EventType returns phone_number.released.
func (PhoneNumberReleased) EventType() EventType { return EventPhoneNumberReleased }

// EventType returns credits.low.
func (CreditsLow) EventType() EventType { return EventCreditsLow }

func (d *AgentCreated) complete(c *checker) {
	c.ID("agent_id", d.AgentID)
}

func (d *AgentUpdated) complete(c *checker) {
	c.ID("agent_id", d.AgentID)
	if d.ChangedFields == nil {
		d.ChangedFields = []string{} // sent as [], which receivers can range over
	}
}

func (d *PhoneNumberAssigned) complete(c *checker) {
	c.number(d.PhoneNumberID, d.PhoneNumber, d.Country)
}

func (d *PhoneNumberReleased) complete(c *checker) {
	c.number(d.PhoneNumberID, d.PhoneNumber, d.Country)
}

// complete has nothing to check: an account may be overdrawn, or be warned only then.
func (*CreditsLow) complete(*checker) {}

// number checks what both phone number events have.
func (c *checker) number(id, phone, country string) {
	c.ID("phone_number_id", id)
	c.Required("phone_number", phone)
	c.Line("phone_number", phone)
	c.Line("country", country)
}
