// Package mangle knows what languages, frameworks and gateways do to the body of a
// request before it is verified, and undoes it: it makes the bodies that may have
// been sent, for a caller that can check which one was signed.
package mangle

import (
	"hash/maphash"
	"iter"
	"strings"
)

// Limits of a search. A body of MaxBody costs a quarter of a second at the
// most, whatever is in it.
const (
	MaxBody  = 64 << 10 // larger bodies are not looked at
	budget   = 8 << 20  // bytes that are written and hashed in all
	maxDepth = 3        // wrappings around each other
)

// Search is what a search for the body that was signed needs to know.
type Search struct {
	// Fits reports whether body is what was signed.
	Fits func(body []byte) bool
	// Cost is what Fits costs for so many bytes, in bytes hashed.
	Cost func(size int) int
	// Event takes an event apart. It is false for what is not one.
	Event func(body []byte) (Event, bool)

	left  int
	seed  maphash.Seed
	tried map[uint64]struct{}
}

// Event is an event as it arrived.
type Event struct {
	Raw    []byte                   // its data
	Typed  []byte                   // its data as the type of it is encoded, or nil
	Render func(data []byte) []byte // the whole, as it is sent
	AsSent bool                     // around the data it has the form in which events are sent
}

// Found is what was done to a body.
type Found struct {
	Says   string // completes the sentence "the body …"
	Signed bool   // it was undone and the signature fits; otherwise it is what it looks like
}

// hypothesis is one thing that is done to bodies.
type hypothesis struct {
	name string
	undo func(s subject) iter.Seq[[]byte] // the bodies as they may have been
	says string                           // completes the sentence "the body …"
	wrap bool                             // what is inside may have been changed too
}

// subject is the body that is looked at.
type subject struct {
	body  []byte
	event *Event // nil if it is not one
}

// hypotheses are tried in this order: what is cheap and frequent first. The last one
// has more combinations than there is time for.
var hypotheses = []hypothesis{
	{name: "space around", undo: trimmed, says: "has white space or a byte order mark around it that was not sent: " + onTheWire},
	{name: "space lost", undo: untrimmed, says: "has lost the line end that it was sent with, it was trimmed: " + onTheWire},
	{name: "line ends", undo: lineEnds, says: "has other line ends than were sent, a text mode translated them: " + onTheWire},
	{name: "indented", undo: compacted, says: "was re-indented: it was parsed and encoded again, with white space: " + onTheWire},
	{name: "form", undo: rendered, says: "was parsed and encoded again, in another form: " + onTheWire},
	{name: "escapes", undo: escaped, says: "was parsed and encoded again, with escapes for other characters: " + onTheWire},
	{name: "order", undo: ordered, says: "was parsed and encoded again, with its fields in another order: " + onTheWire},
	{name: "base64", undo: fromBase64, wrap: true, says: "is base64, as AWS Lambda, API Gateway (isBase64Encoded) and Vercel hand bodies over: decode it, and verify the result"},
	{name: "hexadecimal", undo: fromHex, wrap: true, says: "is written in hexadecimal: decode it, and verify the result"},
	{name: "string", undo: fromString, wrap: true, says: "was encoded as a JSON string, with quotes or backslashes: verify the text that the string stands for, or better the bytes that came"},
	{name: "bytes", undo: fromBytes, wrap: true, says: "is a printed list of bytes (JSON.stringify of a Buffer, fmt.Sprint of a []byte, Arrays.toString, str of Python's bytes): verify the bytes themselves"},
	{name: "fields", undo: fromFields, wrap: true, says: "is a JSON value with the body in one of its fields, such as the event of a Lambda function or the item of a workflow: verify that field, as text and not parsed"},
	{name: "form fields", undo: fromForm, wrap: true, says: "was read as a form or percent-encoded: " + onTheWire},
	{name: "entities", undo: fromEntities, wrap: true, says: "has HTML entities such as &quot; in it, a filter against injections rewrote it: " + onTheWire},
	{name: "compressed", undo: decompressed, wrap: true, says: "is compressed: decompress it, then verify"},
	{name: "chunks", undo: fromChunks, wrap: true, says: "still has the lengths of its chunks in it (Transfer-Encoding: chunked): read it through an HTTP server"},
	{name: "UTF-16", undo: fromUTF16, wrap: true, says: "was encoded as UTF-16: verify the bytes that came, which are UTF-8"},
	{name: "decoded as Latin-1", undo: fromLatin1Text, wrap: true, says: "was decoded as Latin-1 or Windows-1252 and encoded as UTF-8 (ë became Ã«): verify the bytes that came"},
	{name: "encoded as Latin-1", undo: fromLatin1Bytes, wrap: true, says: "was encoded as Latin-1 or Windows-1252: verify the bytes that came, which are UTF-8"},
	{name: "numbers", undo: renumbered, says: "was parsed and encoded again, with its numbers or empty values in another form: " + onTheWire},
}

const onTheWire = "verify the bytes that came on the wire, before anything parses or rewrites them"

// Find returns what was done to body, or the zero Found.
func (s Search) Find(body []byte) Found {
	s.left, s.seed, s.tried = budget, maphash.MakeSeed(), map[uint64]struct{}{}
	if len(body) > MaxBody {
		return Found{}
	}
	if f := s.find(body, 0); f.Says != "" {
		return f
	}
	return Found{Says: s.looks(body)}
}

func (s *Search) find(body []byte, depth int) (looks Found) {
	sub := subject{body: body}
	if e, ok := s.Event(body); ok {
		sub.event = &e
	}
	for i := range hypotheses {
		h, reserve := &hypotheses[i], s.left/2 // for those that follow
		for original := range h.undo(sub) {
			if !s.spend(len(original)) || s.left < reserve {
				break
			}
			if !s.isNew(original) {
				continue
			}
			if s.fits(original) {
				return Found{h.says, true}
			}
			if !h.wrap || depth >= maxDepth {
				continue
			}
			inner := s.find(original, depth+1)
			if inner.Signed {
				return Found{joined(h.says, inner.Says), true}
			}
			_, isEvent := s.Event(original)
			if looks.Says == "" && sub.event == nil && (isEvent || inner.Says != "") {
				looks.Says = h.says + "; what is in it does not verify either"
			}
		}
		if !s.spend(len(body)) {
			return looks
		}
	}
	return looks
}

func joined(outer, inner string) string {
	if strings.HasPrefix(inner, outer) { // done twice
		return inner
	}
	return outer + "; what is in it " + inner
}

func (s *Search) fits(body []byte) bool {
	return len(body) > 0 && s.spend(s.Cost(len(body))) && s.Fits(body)
}

// spend reports whether there is anything left to spend.
func (s *Search) spend(n int) bool {
	s.left -= n + 256 // what a call costs at the least
	return s.left >= 0
}

// isNew reports whether body was not tried before: most bodies have nothing in them
// that two ways of encoding would write differently.
func (s *Search) isNew(body []byte) bool {
	sum := maphash.Bytes(s.seed, body)
	_, known := s.tried[sum]
	s.tried[sum] = struct{}{}
	return !known
}

// one is the sequence of b, or of nothing if b is nil.
func one(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if b != nil {
			yield(b)
		}
	}
}

// each is the sequence of those that are not nil.
func each(all ...[]byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, b := range all {
			if b != nil && !yield(b) {
				return
			}
		}
	}
}
