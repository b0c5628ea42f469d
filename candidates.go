package webhook

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"strings"
)

// Limits of a signature header, so that a stranger cannot make one request cost
// as much as many: one with more bytes matches nothing, and further signatures
// are not looked at. An ed25519 signature costs some forty times an HMAC of a
// small body to verify, so there may be fewer of them; a sender has one for
// each secret that is valid at a time.
const (
	maxSignatureHeader = 4 << 10
	maxMACs            = 32
	maxPublicSigs      = 8
)

const (
	macChars       = 44 // base64 of 32 bytes
	publicSigChars = 88 // base64 of 64 bytes
)

// candidates are the well-formed signatures of one header.
type candidates struct {
	macs       [maxMACs][sha256.Size]byte
	publicSigs [maxPublicSigs][ed25519.SignatureSize]byte
	nMACs      int
	nPublic    int
}

func (c *candidates) reset() { c.nMACs, c.nPublic = 0, 0 }

// parseStandard collects the signatures of a webhook-signature header: items
// between spaces, each a version, a comma and base64. What is malformed, or of
// a version that is not known here, matches nothing and does not spoil the
// others.
func (c *candidates) parseStandard(header string) {
	c.reset()
	if len(header) > maxSignatureHeader {
		return
	}
	for header != "" {
		var item string
		item, header = cutSpace(header)
		c.addStandard(item)
	}
}

// cutSpace splits s at its first space or tab.
func cutSpace(s string) (item, rest string) {
	for i := range len(s) {
		if s[i] == ' ' || s[i] == '\t' {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

func (c *candidates) addStandard(item string) {
	switch {
	case len(item) == len("v1,")+macChars && strings.HasPrefix(item, "v1,") && c.nMACs < maxMACs:
		if decodeBase64(c.macs[c.nMACs][:], item[len("v1,"):]) {
			c.nMACs++
		}
	case len(item) == len("v1a,")+publicSigChars && strings.HasPrefix(item, "v1a,") && c.nPublic < maxPublicSigs:
		if decodeBase64(c.publicSigs[c.nPublic][:], item[len("v1a,"):]) {
			c.nPublic++
		}
	}
}

// matchAny reports whether one of the secrets made one of the signatures over
// head and body. head lies in m.head. It tries every shared secret against
// every signature and compares in constant time, so that how long it takes
// tells nothing about how nearly one fits, nor which secret did.
func (m *macState) matchAny(secrets []Secret, head, body []byte) bool {
	match := 0
	for _, s := range secrets {
		switch {
		case s.key.public != nil:
			match |= m.matchPublic(s.key.public, head, body)
		case m.nMACs > 0:
			match |= m.matchMACs(&s.key.mac, head, body)
		}
	}
	m.dropMessage()
	return match == 1
}

func (m *macState) matchMACs(k *hmacKey, head, body []byte) int {
	m.mac(k, len(head), body)
	match := 0
	for i := range m.nMACs {
		match |= subtle.ConstantTimeCompare(m.macs[i][:], m.sum[:])
	}
	return match
}

// maxKeptMessage bounds the buffer that goes back to the pool.
const maxKeptMessage = 64 << 10

// matchPublic stops at the first match: it computes with nothing secret. The
// message has to be in one piece, since ed25519 hashes it twice.
func (m *macState) matchPublic(key ed25519.PublicKey, head, body []byte) int {
	if m.nPublic == 0 {
		return 0
	}
	if len(m.signed) == 0 {
		m.signed = append(append(m.signed, head...), body...)
	}
	for i := range m.nPublic {
		if ed25519.Verify(key, m.signed, m.publicSigs[i][:]) {
			return 1
		}
	}
	return 0
}

// dropMessage empties the buffer, so that the next message is not taken for
// this one. A large one does not go back to the pool.
func (m *macState) dropMessage() {
	if cap(m.signed) > maxKeptMessage {
		m.signed = nil
	}
	m.signed = m.signed[:0]
}

// decodeBase64 fills dst from exactly as much standard, padded base64. It takes
// one text for each value only: no line ends and no bits beyond the last byte,
// which encoding/base64 lets pass. It looks at all of s whatever is in it.
func decodeBase64(dst []byte, s string) bool {
	full := len(dst) / 3
	var bad byte
	for i := range full {
		a, b, c, d := base64Values[s[4*i]], base64Values[s[4*i+1]], base64Values[s[4*i+2]], base64Values[s[4*i+3]]
		bad |= a | b | c | d
		dst[3*i], dst[3*i+1], dst[3*i+2] = a<<2|b>>4, b<<4|c>>2, c<<6|d
	}
	dst, s = dst[3*full:], s[4*full:]
	a, b := base64Values[s[0]], base64Values[s[1]]
	bad |= a | b
	dst[0] = a<<2 | b>>4
	if len(dst) == 1 {
		return bad < 64 && b&15 == 0 && s[2:] == "=="
	}
	c := base64Values[s[2]]
	bad |= c
	dst[1] = b<<4 | c>>2
	return bad < 64 && c&3 == 0 && s[3] == '='
}

// base64Values are the values of the characters of standard base64; 255 is none
// of them.
var base64Values = func() (t [256]byte) {
	for i := range t {
		t[i] = 255
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = byte(i)
	}
	return t
}()
