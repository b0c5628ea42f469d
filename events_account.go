package webhook

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
