package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"time"
	"unicode/utf8"
)

// maxAccountID is what a store must be able to index, in bytes.
const maxAccountID = 255

// validateEvents turns events into what a Store takes: data encoded once,
// timestamps in whole milliseconds. maxPayload is the limit of the encoded data
// in bytes; 0 or less means none. Everything that is wrong comes back in one
// [*ValidationError], except that data beyond the limit ends the work with
// [ErrPayloadTooLarge].
func validateEvents(events []Event, maxPayload int) ([]EventRecord, error) {
	records := make([]EventRecord, len(events))
	c := checker{max: maxPayload}
	for i := range events {
		c.event = i
		r, err := c.record(&events[i])
		if err != nil {
			return nil, err
		}
		records[i] = r
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	return records, nil
}

// record checks one event. An error is [ErrPayloadTooLarge]; the rest is
// collected.
func (c *checker) record(e *Event) (EventRecord, error) {
	if e.ID == "" {
		c.fail("id", "is required: a constructor such as NewEvent sets it, so that repeating a failed Emit is safe")
	} else if !validID(e.ID) {
		c.fail("id", "must be 1 to 64 of the characters A-Z a-z 0-9 _ -")
	}
	if e.Test {
		c.fail("test", "must be false: SendTest sends test events")
	}
	c.accountID(e.AccountID)
	c.eventType(e.Type)
	c.timestamp(e.Timestamp)
	data, err := c.data(e)
	return EventRecord{
		ID:        e.ID,
		AccountID: e.AccountID,
		Type:      e.Type,
		Timestamp: wholeMillis(e.Timestamp),
		Data:      data,
	}, err
}

func (c *checker) accountID(id string) {
	if len(id) > maxAccountID || !utf8.ValidString(id) || hasControl(id) {
		c.fail("account_id", fmt.Sprintf("must be at most %d bytes of UTF-8 without control characters", maxAccountID))
	}
}

func (c *checker) eventType(t EventType) {
	if !validType(t) {
		c.fail("type", "must be 1 to 128 of the characters A-Z a-z 0-9 _ . -")
	}
}

// timestamp checks that t can be written in the envelope.
func (c *checker) timestamp(t time.Time) {
	switch y := t.UTC().Year(); {
	case t.IsZero():
		c.fail("timestamp", "is required: a constructor such as NewEvent sets it")
	case y < 1 || y > 9999:
		c.fail("timestamp", "must be in the years 1 to 9999")
	}
}

// data returns the encoded data of e. It is a copy: the caller may change its
// own bytes afterwards.
func (c *checker) data(e *Event) ([]byte, error) {
	if !c.dataKind(e.Type, e.Data) {
		return nil, nil
	}
	if raw, ok := e.Data.(json.RawMessage); ok {
		return c.rawData(e, raw)
	}
	return c.encodedData(e)
}

// dataKind checks that data is of a Go type that an event of type t can carry.
func (c *checker) dataKind(t EventType, data any) bool {
	problem := ""
	if _, ok := data.(json.RawMessage); !ok {
		problem = kindProblem(t, data)
	}
	if problem != "" {
		c.fail("data", problem)
	}
	return problem == ""
}

func kindProblem(t EventType, data any) string {
	if data == nil {
		return `is required; a payload of null is json.RawMessage("null")`
	}
	typ := reflect.TypeOf(data)
	if typ.Kind() == reflect.Pointer {
		return fmt.Sprintf("must be a value, not the pointer %s", typ)
	}
	if isBytes(typ) {
		return fmt.Sprintf("is %s, which would be sent as base64; use json.RawMessage for encoded JSON", typ)
	}
	if k := kindFor(t); k != nil && !k.holds(data) {
		return fmt.Sprintf("of %s must be %T or json.RawMessage, not %s", t, k.zero(), typ)
	}
	if p, ok := data.(interface{ EventType() EventType }); ok && kindFor(t) == nil {
		return payloadProblem(t, p)
	}
	return ""
}

// payloadProblem refuses a payload that belongs to another type.
func payloadProblem(t EventType, p interface{ EventType() EventType }) string {
	for _, k := range catalogue {
		if k.holds(p) {
			return fmt.Sprintf("is %T, the payload of %s, not of %s", p, k.eventType(), t)
		}
	}
	return ""
}

// isBytes reports whether encoding/json would write typ as base64.
func isBytes(typ reflect.Type) bool {
	return typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Uint8 &&
		!typ.Implements(reflect.TypeFor[json.Marshaler]())
}

// rawData checks JSON text that is sent as it is.
func (c *checker) rawData(e *Event, raw json.RawMessage) ([]byte, error) {
	if c.max > 0 && len(raw) > c.max {
		return nil, c.tooLarge(e)
	}
	if !json.Valid(raw) {
		c.fail("data", "must be one valid JSON value")
		return nil, nil
	}
	if !c.jsonText(raw) {
		return nil, nil
	}
	if k := kindFor(e.Type); k != nil {
		p, err := k.decode(raw)
		if err != nil {
			c.fail("data", fmt.Sprintf("does not decode into %T: %v", k.zero(), err))
			return nil, nil
		}
		k.(completer).complete(p, c)
	}
	return bytes.Clone(raw), nil
}

// encodedData encodes a Go value.
func (c *checker) encodedData(e *Event) ([]byte, error) {
	if c.max > 0 && exceeds(e.Data, c.max) {
		return nil, c.tooLarge(e)
	}
	data := e.Data
	if k := kindFor(e.Type); k != nil {
		data = k.(completer).complete(data, c)
	}
	b, err := encode(data)
	if err != nil {
		c.fail("data", err.Error())
		return nil, nil
	}
	if c.max > 0 && len(b) > c.max {
		return nil, c.tooLarge(e)
	}
	c.jsonText(b)
	return b, nil
}

func (c *checker) tooLarge(e *Event) error {
	return fmt.Errorf("%w: the data of events[%d] (%s, %s) has more than %d bytes", ErrPayloadTooLarge, c.event, e.Type, e.ID, c.max)
}

// maxDepth is how deep arrays and objects may be nested in an event's data. With
// the envelope that is 64, the fewest that a common parser reads by default, which
// is System.Text.Json; encoding/json reads 10,000.
const maxDepth = 63

// jsonText refuses JSON that receivers would read differently from one another:
// bytes that are not UTF-8 (RFC 8259, section 8.1), escapes of half a surrogate
// pair (section 8.2), and what is nested deeper than some of them read.
func (c *checker) jsonText(b []byte) bool {
	switch {
	case bytes.Count(b, []byte{'['})+bytes.Count(b, []byte{'{'}) > maxDepth && depth(b) > maxDepth: // few brackets are counted fast
		c.fail("data", fmt.Sprintf("must not be nested more than %d deep", maxDepth))
	case !utf8.Valid(b):
		c.fail("data", "must be UTF-8")
	case hasLoneSurrogate(b):
		c.fail("data", `must not hold half a surrogate pair, such as \ud83d without \ude00`)
	default:
		return true
	}
	return false
}

// encode encodes data as encoding/json does, but leaves <, > and & alone: the
// text is for a machine, not for a page. A panic in a MarshalJSON of data comes
// back as an error.
func encode(data any) (b []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			b, err = nil, fmt.Errorf("cannot be encoded: panic: %v", p)
		}
	}()
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(data); err != nil {
		return nil, fmt.Errorf("cannot be encoded: %w", err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// depth returns how deep the arrays and objects of the valid JSON b are nested.
func depth(b []byte) (most int) {
	open, text := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			open++
			most = max(most, open)
		case c == '}' || c == ']':
			open--
		}
	}
	return most
}

// hasLoneSurrogate reports whether the valid JSON b escapes half a surrogate
// pair.
func hasLoneSurrogate(b []byte) bool {
	for {
		i := bytes.IndexByte(b, '\\')
		if i < 0 {
			return false
		}
		b = b[i:]
		switch r := surrogate(b); {
		case r == 0:
			b = b[2:]
		case r < 0xDC00 && surrogate(b[6:]) >= 0xDC00:
			b = b[12:]
		default:
			return true
		}
	}
}

// surrogate returns the surrogate that b begins with as an escape, 0 for
// anything else.
func surrogate(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0
	}
	var r rune
	for _, c := range b[2:6] {
		r = r<<4 | hexDigit(c)
	}
	if r < 0xD800 || r > 0xDFFF {
		return 0
	}
	return r
}

func hexDigit(c byte) rune {
	switch {
	case c <= '9':
		return rune(c - '0')
	case c <= 'F':
		return rune(c - 'A' + 10)
	}
	return rune(c - 'a' + 10)
}
