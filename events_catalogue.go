package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
)

var errNoObject = errors.New("not a JSON object")

// catalogue holds the types that have a payload of their own, in the order of
// the public documentation.
var catalogue = [...]payloadKind{
	kindOf[CallInitiated, *CallInitiated]{},
	kindOf[CallAnswered, *CallAnswered]{},
	kindOf[CallCompleted, *CallCompleted]{},
	kindOf[CallFailed, *CallFailed]{},
	kindOf[CallTransferred, *CallTransferred]{},
	kindOf[AppointmentCreated, *AppointmentCreated]{},
	kindOf[AppointmentUpdated, *AppointmentUpdated]{},
	kindOf[AppointmentCancelled, *AppointmentCancelled]{},
	kindOf[AppointmentReminder, *AppointmentReminder]{},
	kindOf[AgentCreated, *AgentCreated]{},
	kindOf[AgentUpdated, *AgentUpdated]{},
	kindOf[PhoneNumberAssigned, *PhoneNumberAssigned]{},
	kindOf[PhoneNumberReleased, *PhoneNumberReleased]{},
	kindOf[CreditsLow, *CreditsLow]{},
}

// payloadKind is what the library knows of one payload type.
type payloadKind interface {
	eventType() EventType
	// holds reports whether data is a value of the payload.
	holds(data any) bool
	// complete answers data, a value of the payload, with defaults filled in,
	// and reports to c what is wrong with it.
	complete(data any, c *checker) any
	// decode answers the payload as a value.
	decode(raw json.RawMessage) (any, error)
	// zero answers the zero payload.
	zero() any
}

// kindOf implements payloadKind for the payload P.
type kindOf[P Payload, PP interface {
	*P
	complete(c *checker)
}] struct{}

func (kindOf[P, PP]) eventType() EventType { var p P; return p.EventType() }

func (kindOf[P, PP]) holds(data any) bool { _, ok := data.(P); return ok }

func (kindOf[P, PP]) zero() any { var p P; return p }

func (kindOf[P, PP]) complete(data any, c *checker) any {
	p := data.(P) // the caller asked holds
	PP(&p).complete(c)
	return p
}

func (kindOf[P, PP]) decode(raw json.RawMessage) (any, error) {
	var p P
	if !bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) {
		return nil, errNoObject // null would decode into an empty payload
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, err
	}
	return p, nil
}

// kindFor answers the kind of t, or nil when the catalogue does not hold it.
func kindFor(t EventType) payloadKind {
	for _, k := range catalogue {
		if k.eventType() == t {
			return k
		}
	}
	return nil
}

// decodePayload answers the payload of t as a value. It is false when the
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
