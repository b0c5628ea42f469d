package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ringyo-ai/webhook/internal/check"
	"github.com/ringyo-ai/webhook/internal/mangle"
	"github.com/ringyo-ai/webhook/internal/signature"
)

// Layouts of the envelope's timestamp: RFC 3339 in UTC, with no fraction or
// exactly three digits.
const (
	layoutSeconds = "2006-01-02T15:04:05Z"
	layoutMillis  = "2006-01-02T15:04:05.000Z"
)

// envelopeOverhead is the length of an envelope without its id, type, endpoint
// id and data.
const envelopeOverhead = len(`{"id":"","event":"","timestamp":"","webhook_id":"","data":}`) + len(layoutMillis)

// appendEnvelope appends the body of a request to dst. It is a fixed rendering,
// so that every attempt sends and signs the same bytes: the order of the fields
// is fixed, and data goes in as it is. The body of a test has the field test, and
// no other has.
func appendEnvelope(dst []byte, id string, t EventType, ts time.Time, endpointID string, test bool, data []byte) []byte {
	dst = appendText(append(dst, `{"id":`...), id)
	dst = appendText(append(dst, `,"event":`...), string(t))
	dst = append(dst, `,"timestamp":"`...)
	dst = appendTimestamp(dst, ts)
	dst = appendText(append(dst, `","webhook_id":`...), endpointID)
	if test {
		dst = append(dst, `,"test":`+mangle.Probe...)
	}
	dst = append(dst, `,"data":`...)
	dst = append(dst, data...)
	return append(dst, '}')
}

func appendTimestamp(dst []byte, ts time.Time) []byte {
	ts = ts.UTC().Truncate(time.Millisecond)
	if ts.Nanosecond() == 0 {
		return ts.AppendFormat(dst, layoutSeconds)
	}
	return ts.AppendFormat(dst, layoutMillis)
}

// appendText appends s as a JSON string. Ids and types need no escapes; what a
// store holds is not trusted to be one.
func appendText(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			b, _ := json.Marshal(s) // a string always encodes
			return append(dst, b...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// envelope is the body of a request as it is received. Fields that it does not
// have are ignored: senders may be newer.
type envelope struct {
	ID         string          `json:"id"`
	Event      EventType       `json:"event"`
	Timestamp  time.Time       `json:"timestamp"`
	EndpointID string          `json:"webhook_id"`
	Test       json.RawMessage `json:"test"` // nil if the field is not there
	Data       json.RawMessage `json:"data"`
}

// ParseEvent reads the body of a request that has been verified: see [Verify]
// and [Verifier.VerifyRequest]. It fails with [ErrMalformedEvent] when the body
// is not an envelope with id, event, timestamp and data.
//
// Data is the payload of the event's type, such as a [CallCompleted]. It is the
// [json.RawMessage] Raw when the type is not in the catalogue, or when the data
// does not decode into the payload of the type: the events of a sender that is
// newer than this library are not refused. Test reports whether the body has a
// field test, whatever its value. VerifyRequest also looks at the header
// webhook-test, since older senders set nothing else. AccountID is not in a body.
//
// Raw is a copy: body may be used again.
func ParseEvent(body []byte) (Event, error) {
	var env envelope
	if err := json.Unmarshal(body, &env); err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrMalformedEvent, err)
	}
	if missing := env.missing(); missing != "" {
		return Event{}, fmt.Errorf("%w: it has no valid %s", ErrMalformedEvent, missing)
	}
	e := Event{
		ID:         env.ID,
		Type:       env.Event,
		EndpointID: env.EndpointID,
		Timestamp:  env.Timestamp.UTC(),
		Data:       env.Data,
		Raw:        env.Data,
		Test:       env.Test != nil,
	}
	if bytes.Equal(env.Data, []byte("null")) {
		return e, nil // it would decode into any payload, and an empty one
	}
	if p, ok := decodePayload(env.Event, env.Data); ok {
		e.Data = p
	}
	return e, nil
}

// missing names the first field that is missing or malformed.
func (env *envelope) missing() string {
	switch {
	case !signature.ValidID(env.ID):
		return "id"
	case !check.EventType(string(env.Event)):
		return "event"
	case env.Timestamp.IsZero():
		return "timestamp"
	case env.Data == nil:
		return "data"
	}
	return ""
}
