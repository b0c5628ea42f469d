package webhook

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/ringyo-ai/webhook/internal/check"
	"github.com/ringyo-ai/webhook/internal/id"
	"github.com/ringyo-ai/webhook/internal/signature"
)

// Signer adds signature headers to a request. It must be safe for concurrent
// use. The ones of this library are [StandardSigner] and [TimestampedSigner].
type Signer interface {
	// Sign adds to h what proves m under each of the secrets, the newest first.
	// It sets its headers: what h held under their names is replaced. It
	// refuses a secret that it cannot sign with, and then leaves h alone.
	Sign(h http.Header, m Message, secrets ...Secret) error
}

// Message is what a signature covers.
type Message struct {
	ID        string    // the event's id, [A-Za-z0-9_-]{1,64}: never a dot, which separates the signed parts
	Timestamp time.Time // of this attempt; whole seconds are signed
	Body      []byte
}

// The headers of Standard Webhooks, and the one that marks a test delivery, in
// the canonical form of [http.Header].
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
	headerTest      = "Webhook-Test"
)

// Scheme is a way to sign requests and to verify them: a [Signer], and what
// [VerifierConfig] takes. The zero Scheme is the one of [StandardSigner].
type Scheme struct {
	rules rules // nil: those of Standard Webhooks
}

// rules are all that differs from scheme to scheme. Nothing else asks which one it is,
// but for [Verifier.Explain], which knows mistakes that only one of them has. They are
// comparable, so that a Scheme is.
type rules interface {
	// headers returns the names of the headers, canonical, that of the signatures last.
	headers() []string
	// takes reports whether secrets of the kind k are of the scheme.
	takes(k secretKind) bool
	// sign sets the headers. The secrets are ones that can sign, and the timestamp is
	// within bounds; the error is about the rest of m, and then h is as it was.
	sign(h http.Header, m Message, secrets []Secret) error
	// verify returns the timestamp of a request that one of the secrets signed. It
	// allocates nothing.
	verify(body []byte, header http.Header, secrets []Secret) (int64, error)
	// signedID returns the event's id as the headers have it. ok is false if the scheme
	// has it in the body alone.
	signedID(header http.Header) (id string, ok bool)
}

// orDefault returns the rules of s, of which the zero Scheme has none.
func (s Scheme) orDefault() rules {
	if s.rules == nil {
		return standard{}
	}
	return s.rules
}

// StandardSigner signs as Standard Webhooks does
// (https://www.standardwebhooks.com): the headers webhook-id,
// webhook-timestamp and webhook-signature, the last with one signature of
// id "." timestamp "." body for each secret. A whsec_ secret signs with v1, the
// base64 of an HMAC-SHA256; a whsk_ one with v1a, the base64 of an ed25519
// signature.
//
// It is the default of [Config].
func StandardSigner() Scheme { return Scheme{} }

// TimestampedSigner signs for receivers that check one header of the form
// t=<unix>,v1=<hex>, as many written for other services do: each v1 is the
// HMAC-SHA256 of timestamp "." body. header is the header's name. The key is
// the secret's text as it was shown to the customer, prefix included, so that
// they need not decode it; the secrets must be whsec_ ones.
//
// The event's id is not in a header, only in the body.
func TimestampedSigner(header string) (Scheme, error) {
	key := http.CanonicalHeaderKey(header)
	switch {
	case !check.HeaderName(header):
		return Scheme{}, invalid("header", "is not a header name")
	case check.ReservedHeader(key):
		return Scheme{}, invalid("header", "is "+key+", which has another use")
	}
	return Scheme{timestamped(key)}, nil
}

// Sign sets the headers of the scheme. It allocates the header strings and
// nothing else: two allocations, beside that of a list of secrets that is written
// in the call. It fails with [ErrNoSecret] without
// secrets or with a zero one, and with an [ErrInvalidArgument] for a public
// key, a malformed id or a timestamp before 1970.
func (s Scheme) Sign(h http.Header, m Message, secrets ...Secret) error {
	if h == nil {
		return invalid("Header", "must not be nil")
	}
	r := s.orDefault()
	if err := checkSigning(r, secrets); err != nil {
		return err
	}
	if sec := m.Timestamp.Unix(); sec < 0 || sec > signature.MaxTimestamp {
		return invalid("Timestamp", fmt.Sprintf("must be from 1970 on and have at most %d digits in Unix seconds", signature.MaxTimestampDigits))
	}
	return r.sign(h, m, secrets)
}

const notOfScheme = `must be a "whsec_" secret for this scheme`

// checkSigning reports the first secret that cannot sign by r.
func checkSigning(r rules, secrets []Secret) error {
	if len(secrets) == 0 {
		return ErrNoSecret
	}
	for _, sec := range secrets {
		switch {
		case sec.IsZero():
			return ErrNoSecret
		case sec.is(kindPublic):
			return badSecret("is a public key, which cannot sign")
		case !r.takes(sec.key.load().kind):
			return badSecret(notOfScheme)
		}
	}
	return nil
}

// standard is the scheme of StandardSigner.
type standard struct{}

var standardNames = []string{headerID, headerTimestamp, headerSignature}

func (standard) headers() []string { return standardNames }

func (standard) takes(secretKind) bool { return true }

func (standard) signedID(header http.Header) (string, bool) { return header.Get(headerID), true }

// sign builds one string for the timestamp and the signatures, and one array for the
// three values, which is what keeps it at two allocations.
func (standard) sign(h http.Header, m Message, secrets []Secret) error {
	if !id.Valid(m.ID) {
		return invalid("ID", "must be 1 to 64 of the characters A-Z a-z 0-9 _ -")
	}
	var buf [256]byte
	text := strconv.AppendInt(buf[:0], m.Timestamp.Unix(), 10)
	n := len(text)
	for i, sec := range secrets {
		if i > 0 {
			text = append(text, ' ')
		}
		text = appendSignature(text, m, sec)
	}
	all := string(text)
	values := [...]string{m.ID, all[:n], all[n:]}
	h[headerID] = values[0:1:1]
	h[headerTimestamp] = values[1:2:2]
	h[headerSignature] = values[2:3:3]
	return nil
}

// appendSignature appends one signature of m, "v1,…" or "v1a,…", to dst. It
// allocates nothing for v1.
func appendSignature(dst []byte, m Message, s Secret) []byte {
	if s.is(kindPrivate) {
		return signature.AppendEd25519(dst, s.key.load().private, appendHead(nil, m.ID, m.Timestamp), m.Body)
	}
	mac := signature.Get()
	defer mac.Put()
	return mac.AppendStandard(dst, &s.key.load().mac, appendHead(mac.Buffer(), m.ID, m.Timestamp), m.Body)
}

// appendHead appends what is signed before the body.
func appendHead(dst []byte, id string, ts time.Time) []byte {
	dst = append(dst, id...)
	dst = append(dst, '.')
	dst = strconv.AppendInt(dst, ts.Unix(), 10)
	return append(dst, '.')
}

func (standard) verify(body []byte, header http.Header, secrets []Secret) (int64, error) {
	id, timestamp, signatures, err := standardHeaders(header)
	if err != nil {
		return 0, err
	}
	ts, ok := signature.ParseTimestamp(timestamp)
	if !ok || !signature.ValidID(id) {
		return 0, ErrInvalidHeader
	}
	list, ok := signature.Standard(signatures)
	if !ok {
		return 0, ErrSignature
	}
	mac := signature.Get()
	head := append(append(mac.Buffer(), id...), '.')
	head = append(append(head, timestamp...), '.')
	matches := matchStandard(mac, secrets, list, head, body)
	mac.Put()
	if !matches {
		return 0, ErrSignature
	}
	return ts, nil
}

// matchStandard reports whether one of the secrets made one of the signatures in l
// over head, then body. It tries every shared secret against every signature,
// whichever matches, so that the time it takes does not show which secret is in use.
func matchStandard(mac *signature.MAC, secrets []Secret, l signature.List, head, body []byte) bool {
	match := 0
	hasMAC := l.HoldsStandard()
	for _, s := range secrets {
		switch key := s.key.load(); {
		case key.public != nil:
			match |= l.MatchEd25519(key.public, head, body)
		case hasMAC:
			match |= mac.MatchStandard(&key.mac, head, body, l)
		}
	}
	return match == 1
}

func standardHeaders(header http.Header) (id, timestamp, signatures string, err error) {
	id, ok1 := single(header, headerID)
	timestamp, ok2 := single(header, headerTimestamp)
	signatures, ok3 := single(header, headerSignature)
	if !ok1 || !ok2 || !ok3 {
		return "", "", "", ErrMissingHeader
	}
	return id, timestamp, signatures, nil
}

// timestamped is the scheme of TimestampedSigner: the name of its header, canonical.
type timestamped string

func (t timestamped) headers() []string { return []string{string(t)} }

func (timestamped) takes(k secretKind) bool { return k == kindShared }

func (timestamped) signedID(http.Header) (string, bool) { return "", false }

func (t timestamped) sign(h http.Header, m Message, secrets []Secret) error {
	var buf [256]byte
	text := append(buf[:0], "t="...)
	text = strconv.AppendInt(text, m.Timestamp.Unix(), 10)
	for _, sec := range secrets {
		text = appendTimestamped(append(text, ','), m, sec)
	}
	h[string(t)] = []string{string(text)}
	return nil
}

// appendTimestamped appends one signature of m, "v1=…", to dst.
func appendTimestamped(dst []byte, m Message, s Secret) []byte {
	mac := signature.Get()
	defer mac.Put()
	head := append(strconv.AppendInt(mac.Buffer(), m.Timestamp.Unix(), 10), '.')
	return mac.AppendTimestamped(dst, s.key.load().byText(), head, m.Body)
}

func (t timestamped) verify(body []byte, header http.Header, secrets []Secret) (int64, error) {
	value, ok := single(header, string(t))
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
