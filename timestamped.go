package webhook

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
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
