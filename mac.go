package webhook

import (
	"crypto/sha256"
	"encoding"
	"hash"
	"sync"
)

// hmacKey is an HMAC-SHA256 key with its work done: the states of the inner and
// the outer hash after the padded key (RFC 2104, section 4), marshalled. An
// HMAC then costs one block more than the hash of the same bytes, and crypto/hmac
// is not used because every hmac.New allocates and hashes the key again.
type hmacKey struct{ inner, outer []byte }

func newHMACKey(key []byte) hmacKey {
	var block [sha256.BlockSize]byte
	if len(key) > len(block) {
		sum := sha256.Sum256(key)
		key = sum[:]
	}
	copy(block[:], key)
	return hmacKey{inner: paddedState(block, 0x36), outer: paddedState(block, 0x5c)}
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

// macState is a digest to restore an hmacKey into, with the small buffers that
// go through its interfaces and would otherwise be allocated for each message.
type macState struct {
	hash  hash.Hash
	state encoding.BinaryUnmarshaler // the same as hash
	head  [maxHead]byte              // what is signed before the body
	sum   [sha256.Size]byte
	text  []byte // sum as a signature
}

// maxHead holds the longest id, a dot, the longest timestamp and a dot.
const maxHead = maxReceivedID + 1 + maxTimestampDigits + 1

var macPool = sync.Pool{New: func() any {
	h := sha256.New()
	return &macState{
		hash:  h,
		state: h.(encoding.BinaryUnmarshaler), // as package crypto/sha256 promises
		text:  make([]byte, 0, hexItemSize),
	}
}}

// mac computes the HMAC under k of the first n bytes of m.head, then body, into
// m.sum.
func (m *macState) mac(k *hmacKey, n int, body []byte) {
	_ = m.state.UnmarshalBinary(k.inner) // made by the same hash
	m.hash.Write(m.head[:n])
	m.hash.Write(body)
	m.hash.Sum(m.sum[:0])
	_ = m.state.UnmarshalBinary(k.outer)
	m.hash.Write(m.sum[:])
	m.hash.Sum(m.sum[:0])
}
