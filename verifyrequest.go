package webhook

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// VerifyRequest reads the body of r, verifies it and returns the event in it.
// Nothing is parsed before it is verified, and no body is read for a request
// without signature headers. The bytes that it read are left in r.Body, to be
// read again, whether they verify or not. How long the body may take to arrive is
// up to the server: give it a ReadTimeout.
//
// The errors are those of [Verify], for which the status is 401; [ErrBodyTooLarge]
// beyond MaxBody, for which it is 413; [ErrBodyConsumed] if something read the
// body before; [ErrBodyRead] if reading failed; and [ErrMalformedEvent] for a body
// that is properly signed and no event. After the three about the body, what is
// left in r.Body is undefined. What the body announces itself to be, in
// Content-Type and Content-Encoding, does not matter: the signature covers the
// bytes on the wire, and those are JSON.
//
// With the scheme of [StandardSigner] the event's id must be the one that was
// signed in the header webhook-id, so that both can be used to tell duplicates.
// [Event.Test] is set from the header webhook-test, which is not signed: it may
// make a receiver do less, never more.
func (v *Verifier) VerifyRequest(r *http.Request) (Event, error) {
	if err := v.scheme.checkPresent(r.Header); err != nil {
		return Event{}, err
	}
	body, err := readBody(r, v.maxBody)
	if err != nil {
		return Event{}, err
	}
	// Closing still closes what the server gave.
	r.Body = struct {
		io.Reader
		io.Closer
	}{bytes.NewReader(body), r.Body}
	if err := v.Verify(body, r.Header); err != nil {
		return Event{}, err
	}
	return v.parse(body, r.Header)
}

// checkPresent refuses a request that lacks a header of s.
func (s Scheme) checkPresent(header http.Header) error {
	if s.header == "" {
		_, _, _, err := standardHeaders(header)
		return err
	}
	if _, ok := single(header, s.header); !ok {
		return ErrMissingHeader
	}
	return nil
}

// parse returns the event in the body of a request that has been verified.
func (v *Verifier) parse(body []byte, header http.Header) (Event, error) {
	e, err := ParseEvent(body)
	if err != nil {
		return Event{}, err
	}
	if v.scheme.header == "" && header.Get(headerID) != e.ID {
		return Event{}, fmt.Errorf("%w: its id is not the one in the header webhook-id", ErrMalformedEvent)
	}
	e.Test = header.Get(headerTest) == "1"
	return e, nil
}

// firstRead is the most that is allocated on the word of Content-Length alone,
// which costs a sender nothing to claim.
const firstRead = 64 << 10

// readBody returns the body of r if it has at most limit bytes.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, ErrBodyTooLarge
	}
	if r.Body == nil {
		return nil, consumedUnless(r.ContentLength == 0)
	}
	b := bodyPool.Get().(*bytes.Buffer)
	defer putBody(b)
	b.Grow(int(min(max(r.ContentLength, 0), firstRead)) + bytes.MinRead)
	n, err := b.ReadFrom(http.MaxBytesReader(nil, r.Body, limit))
	if err != nil {
		return nil, bodyError(err)
	}
	// A body of unknown length is never empty here: a webhook has one.
	return bytes.Clone(b.Bytes()), consumedUnless(n >= r.ContentLength && (n > 0 || r.ContentLength == 0))
}

// bodyPool has the buffers that bodies are read into. A body without an announced
// length can make a buffer grow up to the limit before it is refused; growing it
// anew each time would cost a sender's victim more than reading does.
var bodyPool = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxPooled keeps what a receiver without a limit once read from staying.
const maxPooled = 4 * defaultMaxBody

func putBody(b *bytes.Buffer) {
	if b.Cap() <= maxPooled {
		b.Reset()
		bodyPool.Put(b)
	}
}

func consumedUnless(complete bool) error {
	if complete {
		return nil
	}
	return ErrBodyConsumed
}

// bodyError tells the limit, ours or that of an http.MaxBytesReader around, and
// a body that was closed from what the connection did.
func bodyError(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return ErrBodyTooLarge
	case errors.Is(err, http.ErrBodyReadAfterClose):
		return ErrBodyConsumed
	}
	return fmt.Errorf("%w: %w", ErrBodyRead, err)
}
