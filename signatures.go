package webhook

import (
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/base64"
	"strings"
	"sync"
)

// Limits of a signature header, so that a stranger cannot make one request cost
// as much as many: a longer header matches nothing, and further signatures are
// not looked at. A sender has one signature for each secret that is valid at a
// time. To verify an ed25519 signature costs some fifty times an HMAC of a small
// body, so there may be fewer of them.
const (
	maxSignatureHeader = 4 << 10
	maxMACs            = 32
	maxPublicSigs      = 5
)

// The lengths of the items of a signature header.
const (
	macItemSize    = len("v1,") + 44  // base64 of 32 bytes
	hexItemSize    = len("v1=") + 64  // hexadecimal of 32 bytes
	publicItemSize = len("v1a,") + 88 // base64 of 64 bytes
)

// signatureList is a header that holds signatures, each an item between
// separators. What is malformed, or of a version that is not known here, matches
// nothing and does not spoil the others.
type signatureList struct {
	text string
	sep  byte // besides spaces and tabs
}

// cutItem takes the first item off a list. size is the length that an item is
// expected to have, which spares looking for its end: a separator inside does no
// harm, since what is as long and holds one is no signature, and overlaps none.
func cutItem(list string, sep byte, size int) (item, rest string) {
	for list != "" && separates(list[0], sep) {
		list = list[1:]
	}
	switch {
	case len(list) == size:
		return list, ""
	case len(list) > size && separates(list[size], sep):
		return list[:size], list[size+1:]
	}
	for i := range len(list) {
		if separates(list[i], sep) {
			return list[:i], list[i+1:]
		}
	}
	return list, ""
}

func separates(c, sep byte) bool { return c == ' ' || c == '\t' || c == sep }

// holds reports whether an item has this prefix and this length, so that there
// is anything to compute for.
func (l signatureList) holds(prefix string, size int) bool {
	if len(l.text) == size { // the usual list, of one item
		return strings.HasPrefix(l.text, prefix)
	}
	for rest := l.text; rest != ""; {
		var item string
		item, rest = cutItem(rest, l.sep, size)
		if len(item) == size && strings.HasPrefix(item, prefix) {
			return true
		}
	}
	return false
}

// match is 1 if an item is want, and 0 otherwise. It compares texts, so that of
// the several that decode to one signature only the canonical one is good. How
// long it takes does not depend on what is in want.
func (l signatureList) match(want []byte) int {
	match, compared := 0, 0
	for rest := l.text; rest != "" && compared < maxMACs; {
		var item string
		item, rest = cutItem(rest, l.sep, len(want))
		if len(item) == len(want) {
			match |= subtle.ConstantTimeCompare([]byte(item), want)
			compared++
		}
	}
	return match
}

// matchStandard reports whether one of the secrets made one of the signatures
// in l over the first n bytes of m.head, then body. It tries every shared
// secret against every signature, whichever matches, so that how long it takes
// does not tell which secret is in use.
func (m *macState) matchStandard(secrets []Secret, l signatureList, n int, body []byte) bool {
	match := 0
	hasMAC := l.holds("v1,", macItemSize)
	for _, s := range secrets {
		switch {
		case s.key.load().public != nil:
			match |= l.matchPublic(s.key.load().public, m.head[:n], body)
		case hasMAC:
			m.mac(&s.key.load().mac, n, body)
			m.text = base64.StdEncoding.AppendEncode(append(m.text[:0], "v1,"...), m.sum[:])
			match |= l.match(m.text)
		}
	}
	return match == 1
}

// messages are buffers for matchPublic. Large ones do not go back.
var messages = sync.Pool{New: func() any { return new([]byte) }}

const maxKeptMessage = 64 << 10

// matchPublic is 1 if an item is a signature by the other half of key. It stops
// at the first: nothing in it is secret. The message has to be in one piece,
// since ed25519 hashes it twice.
func (l signatureList) matchPublic(key ed25519.PublicKey, head, body []byte) int {
	if !l.holds("v1a,", publicItemSize) {
		return 0
	}
	message := messages.Get().(*[]byte)
	*message = append(append((*message)[:0], head...), body...)
	defer func() {
		if cap(*message) <= maxKeptMessage {
			messages.Put(message)
		}
	}()
	compared := 0
	for rest := l.text; rest != "" && compared < maxPublicSigs; {
		var item string
		item, rest = cutItem(rest, l.sep, publicItemSize)
		if sig, ok := decodePublicSig(item); ok {
			compared++
			if ed25519.Verify(key, *message, sig[:]) {
				return 1
			}
		}
	}
	return 0
}

// decodePublicSig reads an item "v1a,…".
func decodePublicSig(item string) (sig [ed25519.SignatureSize]byte, ok bool) {
	if len(item) != publicItemSize || !strings.HasPrefix(item, "v1a,") {
		return sig, false
	}
	var buf [publicItemSize]byte // base64 skips line ends, and may write more than it answers
	n, err := base64.StdEncoding.Strict().Decode(buf[:], []byte(item[len("v1a,"):]))
	copy(sig[:], buf[:n])
	return sig, err == nil && n == len(sig)
}
