// Package signature computes the signatures of requests and finds them in headers.
// It decides neither which keys are good nor which time is.
package signature

import (
	"crypto/sha256"
	"encoding"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"sync"
)

// Key is an HMAC-SHA256 key with its work done: the states of the inner and
// the outer hash after the padded key (RFC 2104, section 4), marshalled. An
// HMAC then costs one block more than the hash of the same bytes, and crypto/hmac
// is not used because every hmac.New allocates and hashes the key again.
type Key struct{ inner, outer []byte }

// NewKey makes the Key of some bytes. They are not kept.
func NewKey(key []byte) Key {
	var block [sha256.BlockSize]byte
	if len(key) > len(block) {
		sum := sha256.Sum256(key)
		key = sum[:]
	}
	copy(block[:], key)
	return Key{inner: paddedState(block, 0x36), outer: paddedState(block, 0x5c)}
}

func paddedState(block [sha256.BlockSize]byte, pad byte) []byte {
	for i := range block {
		block[i] ^= pad
	}
	h := sha256.New()
	h.Write(block[:])
	state, _ := h.(encoding.BinaryMarshaler).MarshalBinary() // cannot fail: see crypto/sha256
	return state
}

// MAC is a digest to restore a Key into, with the small buffers that go through its
// interfaces and would otherwise be allocated for each message. It comes from [Get]
// and goes back with Put. It serves one goroutine at a time.
type MAC struct {
	hash  hash.Hash
	state encoding.BinaryUnmarshaler // the same as hash
	head  [maxHead]byte              // for what is signed before the body
	sum   [sha256.Size]byte
	text  []byte // sum as a signature
}

// maxHead holds the longest id, a dot, the longest timestamp and a dot.
const maxHead = MaxID + 1 + MaxTimestampDigits + 1

var macPool = sync.Pool{New: func() any {
	h := sha256.New()
	return &MAC{
		hash:  h,
		state: h.(encoding.BinaryUnmarshaler), // as package crypto/sha256 promises
		text:  make([]byte, 0, hexSize),
	}
}}

// Get returns a MAC that nobody else uses.
func Get() *MAC { return macPool.Get().(*MAC) }

// Put gives m back. Neither it nor its Buffer may be used afterwards.
func (m *MAC) Put() { macPool.Put(m) }

// Buffer returns an empty slice with room for the longest head, which is what is
// signed before the body: an id of [MaxID], a timestamp of [MaxTimestampDigits] and
// a dot after each.
func (m *MAC) Buffer() []byte { return m.head[:0] }

// AppendStandard appends "v1," and the base64 of the HMAC of head and body, the form
// of Standard Webhooks. It allocates nothing if dst has room.
func (m *MAC) AppendStandard(dst []byte, k *Key, head, body []byte) []byte {
	m.compute(k, head, body)
	return m.appendStandard(dst)
}

// appendStandard is small enough to be inlined: a program that only verifies links no
// more than it needs.
func (m *MAC) appendStandard(dst []byte) []byte {
	return base64.StdEncoding.AppendEncode(append(dst, "v1,"...), m.sum[:])
}

// AppendTimestamped appends "v1=" and the hexadecimal digits of the HMAC of head and
// body. It allocates nothing if dst has room.
func (m *MAC) AppendTimestamped(dst []byte, k *Key, head, body []byte) []byte {
	m.compute(k, head, body)
	return hex.AppendEncode(append(dst, "v1="...), m.sum[:])
}

// MatchStandard is 1 if l holds what AppendStandard appends, and 0 otherwise. How long
// it takes does not depend on the signature that is right.
func (m *MAC) MatchStandard(k *Key, head, body []byte, l List) int {
	m.compute(k, head, body)
	m.text = m.appendStandard(m.text[:0])
	return l.match(m.text)
}

// MatchTimestamped is MatchStandard for the form of AppendTimestamped.
func (m *MAC) MatchTimestamped(k *Key, head, body []byte, l List) int {
	m.text = m.AppendTimestamped(m.text[:0], k, head, body)
	return l.match(m.text)
}

// compute puts the HMAC under k of head, then body, into m.sum.
func (m *MAC) compute(k *Key, head, body []byte) {
	_ = m.state.UnmarshalBinary(k.inner) // made by the same hash
	m.hash.Write(head)
	m.hash.Write(body)
	m.hash.Sum(m.sum[:0])
	_ = m.state.UnmarshalBinary(k.outer)
	m.hash.Write(m.sum[:])
	m.hash.Sum(m.sum[:0])
}
