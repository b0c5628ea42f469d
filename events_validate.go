package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/ringyo-ai/webhook/internal/check"
	"github.com/ringyo-ai/webhook/internal/id"
	"github.com/ringyo-ai/webhook/internal/jsontext"
)

// maxAccountID is what a store must be able to index, in bytes.
const maxAccountID = 255

// checker collects what is wrong with events.
type checker struct {
	check.Checker
	max int // bytes of data; 0: no limit
}

// newChecker makes a checker of one event, or of those in a list of that name.
func newChecker(maxData int, list string) *checker {
	return &checker{Checker: check.Checker{List: list, Under: "data."}, max: maxData}
}

func (c *checker) err() error {
	problems := c.Problems()
	if len(problems) == 0 {
		return nil
	}
	var v ValidationError
	v.addAll(problems)
	return &v
}

// Validate returns the error with which Emit and EmitTx would refuse events, nil if
// they would not: a [*ValidationError], or [ErrPayloadTooLarge] for data beyond the
// default of Config.MaxPayload. It does not call the Store. Call it before a
// transaction begins whose work must not fail because of an event.
func Validate(events ...Event) error {
	_, err := validateEvents(events, defaultMaxPayload)
	return err
}

// Validate is the function [Validate] with Config.MaxPayload as its limit.
func (e *Engine) Validate(events ...Event) error {
	_, err := validateEvents(events, e.cfg.MaxPayload)
	return err
}

// validateEvents turns events into what a Store takes: data encoded once,
// timestamps in whole milliseconds. maxPayload is the limit of the encoded data
// in bytes; 0 or less means none. Everything that is wrong comes back in one
// [*ValidationError], except that data beyond the limit ends the work with
// [ErrPayloadTooLarge].
func validateEvents(events []Event, maxPayload int) ([]EventRecord, error) {
	records := make([]EventRecord, len(events))
	c := newChecker(maxPayload, "events")
	for i := range events {
		c.Item = i
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
		c.Fail("id", "is required: a constructor such as NewEvent sets it, so that repeating a failed Emit is safe")
	} else if !id.Valid(e.ID) {
		c.Fail("id", "must be 1 to 64 of the characters A-Z a-z 0-9 _ -")
	}
	if e.Test {
		c.Fail("test", "must be false: SendTest sends test events")
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
	if len(id) > maxAccountID || !utf8.ValidString(id) || check.HasControl(id) {
		c.Fail("account_id", fmt.Sprintf("must be at most %d bytes of UTF-8 without control characters", maxAccountID))
	}
}

func (c *checker) eventType(t EventType) {
	if !check.EventType(string(t)) {
		c.Fail("type", "must be 1 to 128 of the characters A-Z a-z 0-9 _ . -")
	}
}

// timestamp checks that t can be written in the envelope.
func (c *checker) timestamp(t time.Time) {
	switch y := t.UTC().Year(); {
	case t.IsZero():
		c.Fail("timestamp", "is required: a constructor such as NewEvent sets it")
	case y < 1 || y > 9999:
		c.Fail("timestamp", "must be in the years 1 to 9999")
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
		c.Fail("data", problem)
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
		c.Fail("data", "must be one valid JSON value")
		return nil, nil
	}
	if !c.jsonText(raw) {
		return nil, nil
	}
	if k := kindFor(e.Type); k != nil {
		p, err := k.decode(raw)
		if err != nil {
			c.Fail("data", fmt.Sprintf("does not decode into %T: %v", k.zero(), err))
			return nil, nil
		}
		k.(completer).complete(p, c)
	}
	return bytes.Clone(raw), nil
}

// encodedData encodes a Go value.
func (c *checker) encodedData(e *Event) ([]byte, error) {
	if c.max > 0 && jsontext.Exceeds(e.Data, c.max) {
		return nil, c.tooLarge(e)
	}
	data := e.Data
	if k := kindFor(e.Type); k != nil {
		data = k.(completer).complete(data, c)
	}
	b, err := jsontext.Encode(data)
	if err != nil {
		c.Fail("data", err.Error())
		return nil, nil
	}
	if c.max > 0 && len(b) > c.max {
		return nil, c.tooLarge(e)
	}
	c.jsonText(b)
	return b, nil
}

func (c *checker) tooLarge(e *Event) error {
	return fmt.Errorf("%w: the data of events[%d] (%s, %s) has more than %d bytes", ErrPayloadTooLarge, c.Item, e.Type, e.ID, c.max)
}

// jsonText refuses JSON that receivers would read differently from one another.
func (c *checker) jsonText(b []byte) bool {
	problem := jsontext.Problem(b)
	if problem != "" {
		c.Fail("data", problem)
	}
	return problem == ""
}
