package webhook

import (
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
	st.mac(s.key.load().byText(), len(head), m.Body)
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
	l := signatureList{text: value, sep: ','}
	text, ok := l.timestamp()
	ts, valid := parseTimestamp(text)
	if !ok || !valid {
		return 0, ErrInvalidHeader
	}
	if !l.holds("v1=", hexItemSize) {
		return 0, ErrSignature
	}
	st := macPool.Get().(*macState)
	defer macPool.Put(st)
	n := copy(st.head[:], text)
	st.head[n] = '.'
	match := 0
	for _, sec := range secrets {
		st.mac(sec.key.load().byText(), n+1, body)
		st.text = hex.AppendEncode(append(st.text[:0], "v1="...), st.sum[:])
		match |= l.match(st.text)
	}
	if match == 0 {
		return 0, ErrSignature
	}
	return ts, nil
}

// timestamp answers the value of the item t. It is false unless there is
// exactly one.
func (l signatureList) timestamp() (value string, ok bool) {
	found := 0
	for rest := l.text; rest != ""; {
		var item string
		item, rest = cutItem(rest, l.sep, maxSignatureHeader+1) // of any length: no list is as long
		if v, ok := strings.CutPrefix(item, "t="); ok {
			value = v
			found++
		}
	}
	return value, found == 1
}
