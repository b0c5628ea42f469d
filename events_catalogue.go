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
