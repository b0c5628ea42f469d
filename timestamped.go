package webhook

import (
	"net/http"
	"strconv"

	"github.com/ringyo-ai/webhook/internal/check"
	"github.com/ringyo-ai/webhook/internal/signature"
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
	case !check.HeaderName(header):
		return Scheme{}, invalid("header", "is not a header name")
	case check.ReservedHeader(key):
		return Scheme{}, invalid("header", "is "+key+", which has another use")
	}
	return Scheme{header: key}, nil
}

func (s Scheme) signTimestamped(h http.Header, m Message, secrets []Secret) {
	var buf [256]byte
	text := append(buf[:0], "t="...)
	text = strconv.AppendInt(text, m.Timestamp.Unix(), 10)
	for _, sec := range secrets {
		text = appendTimestamped(append(text, ','), m, sec)
	}
	h[s.header] = []string{string(text)}
}

// appendTimestamped appends one signature of m, "v1=…", to dst.
func appendTimestamped(dst []byte, m Message, s Secret) []byte {
	mac := signature.Get()
	defer mac.Put()
	head := append(strconv.AppendInt(mac.Buffer(), m.Timestamp.Unix(), 10), '.')
	return mac.AppendTimestamped(dst, s.key.load().byText(), head, m.Body)
}

// verifyTimestamped returns the timestamp of a request that one of the secrets
// signed.
func (s Scheme) verifyTimestamped(body []byte, header http.Header, secrets []Secret) (int64, error) {
	value, ok := single(header, s.header)
	if !ok {
		return 0, ErrMissingHeader
	}
	l, ok := signature.Timestamped(value)
	if !ok {
		return 0, ErrSignature
	}
	text, ok := l.Timestamp()
	ts, valid := signature.ParseTimestamp(text)
	if !ok || !valid {
		return 0, ErrInvalidHeader
	}
	if !l.HoldsTimestamped() {
		return 0, ErrSignature
	}
	mac := signature.Get()
	defer mac.Put()
	head := append(append(mac.Buffer(), text...), '.')
	match := 0
	for _, sec := range secrets {
		match |= mac.MatchTimestamped(sec.key.load().byText(), head, body, l)
	}
	if match == 0 {
		return 0, ErrSignature
	}
	return ts, nil
}

// validHeaderName is check.HeaderName for the transport.
func validHeaderName(s string) bool { return check.HeaderName(s) }
