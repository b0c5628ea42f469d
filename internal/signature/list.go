package signature

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
	// MaxHeader is how long a header may be, in bytes.
	MaxHeader = 4 << 10
	maxMACs   = 32
	// MaxEd25519 is how many ed25519 signatures of one header are looked at.
	MaxEd25519 = 5
)

// The lengths of the items of a signature header.
const (
	macSize     = len("v1,") + 44  // base64 of 32 bytes
	hexSize     = len("v1=") + 64  // hexadecimal of 32 bytes
	ed25519Size = len("v1a,") + 88 // base64 of 64 bytes
)

// List is a header that holds signatures, each an item between separators. What is
// malformed, or of a version that is not known here, matches nothing and does not
// spoil the others.
type List struct {
	text string
	sep  byte // the only separator; several are like one
}

// Standard returns the list in the header webhook-signature. ok is false if that is
// longer than 4 KiB, in which nothing is looked for. Spaces alone separate its items, as
// the specification of Standard Webhooks says: between tabs or commas nothing is found.
func Standard(header string) (l List, ok bool) { return newList(header, ' ') }

// Timestamped returns the list in a header of the form t=…,v1=…, which has commas and
// no white space. ok is false if that is longer than 4 KiB.
func Timestamped(header string) (l List, ok bool) { return newList(header, ',') }

func newList(text string, sep byte) (l List, ok bool) {
	if len(text) > MaxHeader {
		return List{}, false
	}
	return List{text, sep}, true
}

// HoldsStandard reports whether there is an item of the form of MAC.AppendStandard, so
// that there is anything to compute for.
func (l List) HoldsStandard() bool { return l.holds("v1,", macSize) }

// HoldsTimestamped is HoldsStandard for the form of MAC.AppendTimestamped.
func (l List) HoldsTimestamped() bool { return l.holds("v1=", hexSize) }

// cutItem takes the first item off a list. size is the length that an item is
// expected to have, which spares looking for its end: a separator inside does no
// harm, since what is as long and holds one is no signature, and overlaps none.
func cutItem(list string, sep byte, size int) (item, rest string) {
	for list != "" && list[0] == sep {
		list = list[1:]
	}
	switch {
	case len(list) == size:
		return list, ""
	case len(list) > size && list[size] == sep:
		return list[:size], list[size+1:]
	}
	if i := strings.IndexByte(list, sep); i >= 0 {
		return list[:i], list[i+1:]
	}
	return list, ""
}

// holds reports whether an item has this prefix and this length.
func (l List) holds(prefix string, size int) bool {
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
func (l List) match(want []byte) int {
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

// Timestamp returns the value of the item t. ok is false unless there is exactly one,
// and no white space in the list: another reader might strip it and find a second one.
func (l List) Timestamp() (value string, ok bool) {
	if strings.ContainsAny(l.text, " \t") {
		return "", false
	}
	found := 0
	for rest := l.text; rest != ""; {
		var item string
		item, rest = cutItem(rest, l.sep, MaxHeader+1) // of any length: no list is as long
		if v, ok := strings.CutPrefix(item, "t="); ok {
			value = v
			found++
		}
	}
	return value, found == 1
}

// AppendEd25519 appends "v1a," and the base64 of the ed25519 signature of head and
// body.
func AppendEd25519(dst []byte, key ed25519.PrivateKey, head, body []byte) []byte {
	message := append(head[:len(head):len(head)], body...)
	return base64.StdEncoding.AppendEncode(append(dst, "v1a,"...), ed25519.Sign(key, message))
}

// messages are buffers for MatchEd25519. Large ones do not go back.
var messages = sync.Pool{New: func() any { return new([]byte) }}

const maxKeptMessage = 64 << 10

// MatchEd25519 is 1 if an item is a signature of head and body by the other half of
// key, and 0 otherwise. It stops at the first: nothing in it is secret. The message has
// to be in one piece, since ed25519 hashes it twice.
func (l List) MatchEd25519(key ed25519.PublicKey, head, body []byte) int {
	if !l.holds("v1a,", ed25519Size) {
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
	for rest := l.text; rest != "" && compared < MaxEd25519; {
		var item string
		item, rest = cutItem(rest, l.sep, ed25519Size)
		if sig, ok := decodeEd25519(item); ok {
			compared++
			if ed25519.Verify(key, *message, sig[:]) {
				return 1
			}
		}
	}
	return 0
}

// decodeEd25519 reads an item "v1a,…".
func decodeEd25519(item string) (sig [ed25519.SignatureSize]byte, ok bool) {
	if len(item) != ed25519Size || !strings.HasPrefix(item, "v1a,") {
		return sig, false
	}
	var buf [ed25519Size]byte // base64 skips line ends, and may write more than it returns
	n, err := base64.StdEncoding.Strict().Decode(buf[:], []byte(item[len("v1a,"):]))
	copy(sig[:], buf[:n])
	return sig, err == nil && n == len(sig)
}
