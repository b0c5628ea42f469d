package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// TimestampedSigner signs for receivers that check one header of the form
// t=<unix>,v1=<hex>, as many written for other services do: each v1 is the
// HMAC-SHA256 of timestamp "." body. header is the header's name. The key is
// the secret's text as it was shown to the customer, prefix included, so that
// they need not decode it; the secrets must be whsec_ ones.
//
// The event's id is not in a header, but in the body like always.
func TimestampedSigner(header string) (Scheme, error) {
	key := http.CanonicalHeaderKey(header)
	switch {
	case !validHeaderName(header):
		return Scheme{}, invalid("header", "is not a header name")
	case slices.Contains(reservedHeaders, key):
		return Scheme{}, invalid("header", "is "+key+", which has another use")
	}
	return Scheme{header: key}, nil
}

func (s Scheme) signTimestamped(h http.Header, m Message, secrets []Secret) {
	var buf [256]byte
	text := append(buf[:0], "t="...)
	text = strconv.AppendInt(text, m.Timestamp.Unix(), 10)
	for _, sec := range secrets {
		text = append(text, ",v1="...)
		text = appendTimestamped(text, m, sec)
	}
	h[s.header] = []string{string(text)}
}

// appendTimestamped appends the hex of one signature of m to dst.
func appendTimestamped(dst []byte, m Message, s Secret) []byte {
	st := macPool.Get().(*macState)
	head := strconv.AppendInt(st.head[:0], m.Timestamp.Unix(), 10)
	head = append(head, '.')
	st.mac(s.key.byText(), len(head), m.Body)
	dst = hex.AppendEncode(dst, st.sum[:])
	macPool.Put(st)
	return dst
}

// verifyTimestamped answers the timestamp of a request that one of the secrets
// signed.
func (s Scheme) verifyTimestamped(body []byte, header http.Header, secrets []Secret) (int64, error) {
	value, ok := single(header, s.header)
	if !ok {
		return 0, ErrMissingHeader
	}
	if len(value) > maxSignatureHeader {
		return 0, ErrSignature
	}
	st := macPool.Get().(*macState)
	defer macPool.Put(st)
	text, ok := st.parseTimestamped(value)
	ts, valid := parseTimestamp(text)
	if !ok || !valid {
		return 0, ErrInvalidHeader
	}
	n := copy(st.head[:], text)
	st.head[n] = '.'
	match := 0
	for _, sec := range secrets {
		if st.nMACs > 0 {
			match |= st.matchMACs(sec.key.byText(), st.head[:n+1], body)
		}
	}
	if match == 0 {
		return 0, ErrSignature
	}
	return ts, nil
}

// parseTimestamped collects the v1 items of a header and answers its t item. It
// is false unless there is exactly one of those. Items of other names are
// skipped.
func (c *candidates) parseTimestamped(header string) (timestamp string, ok bool) {
	c.reset()
	times := 0
	for header != "" {
		var item string
		item, header, _ = strings.Cut(header, ",")
		name, value, _ := strings.Cut(strings.Trim(item, " \t"), "=")
		switch name {
		case "t":
			timestamp = value
			times++
		case "v1":
			if c.nMACs < maxMACs && decodeHex(&c.macs[c.nMACs], value) {
				c.nMACs++
			}
		}
	}
	return timestamp, times == 1
}

// decodeHex fills dst from 64 lower-case hexadecimal digits.
func decodeHex(dst *[sha256.Size]byte, s string) bool {
	if len(s) != hex.EncodedLen(len(dst)) {
		return false
	}
	var bad byte
	for i := range dst {
		hi, lo := hexValue(s[2*i]), hexValue(s[2*i+1])
		bad |= hi | lo
		dst[i] = hi<<4 | lo
	}
	return bad < 16
}

func hexValue(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}
