package webhook

import (
	"encoding/json"
	"time"
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
// is fixed, and data goes in as it is.
func appendEnvelope(dst []byte, id string, t EventType, ts time.Time, endpointID string, data []byte) []byte {
	dst = appendText(append(dst, `{"id":`...), id)
	dst = appendText(append(dst, `,"event":`...), string(t))
	dst = append(dst, `,"timestamp":"`...)
	dst = appendTimestamp(dst, ts)
	dst = appendText(append(dst, `","webhook_id":`...), endpointID)
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
