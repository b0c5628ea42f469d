package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/ringyo-ai/webhook/internal/jsontext"
	"github.com/ringyo-ai/webhook/internal/mangle"
	"github.com/ringyo-ai/webhook/internal/signature"
)

// Explain returns a sentence about what most likely made a request fail with err,
// the error that one of v's methods returned for the same body and header. It is
// for the log while a receiver is being set up, never for the response to the
// sender. It names headers and ids of the request, but no key or signature. It
// tries the ways in which languages, frameworks and gateways mangle bodies, headers
// and secrets, and parses up to 64 KiB of content that is not verified. That takes
// up to half a second.
func (v *Verifier) Explain(body []byte, header http.Header, err error) string {
	x := explainer{v: v, body: body, header: header}
	switch {
	case err == nil:
		return "nothing is wrong with it"
	case errors.Is(err, ErrMissingHeader):
		return x.missing()
	case errors.Is(err, ErrBodyTooLarge):
		return fmt.Sprintf("MaxBody is %d bytes", x.v.maxBody)
	case errors.Is(err, ErrBodyRead):
		return "the connection is slow or was closed by the sender or a proxy"
	case errors.Is(err, ErrBodyConsumed), len(body) == 0:
		return "the body is empty or was read before: verify ahead of every middleware that parses it, and pass on the bytes that came"
	case errors.Is(err, ErrInvalidHeader):
		return x.invalid()
	case errors.Is(err, ErrTooOld), errors.Is(err, ErrTooNew):
		return x.clock()
	case errors.Is(err, ErrSignature):
		return x.signature()
	case errors.Is(err, ErrMalformedEvent):
		return "the signature is right but the body is not an event of this service: another service signs with the same secret, or a test request was built by hand"
	}
	return "no further explanation"
}

type explainer struct {
	v      *Verifier
	body   []byte
	header http.Header
	event  *Event // in body, if it is one and small
}

func (x *explainer) signature() string {
	small := len(x.body) <= mangle.MaxBody
	if small {
		if e, err := ParseEvent(x.body); err == nil {
			x.event = &e
		}
	}
	for _, why := range []func() string{x.form, x.kinds, x.changedHeaders} {
		if says := why(); says != "" {
			return says
		}
	}
	if !small {
		return fmt.Sprintf("the body has %d bytes, and only up to %d are searched for changes: send a test event, which is smaller; "+
			"most likely the secret is of another endpoint or was rotated since, or something on the way changed the body", len(x.body), mangle.MaxBody)
	}
	found := x.search().Find(x.body)
	if found.Signed {
		return "the body " + found.Says
	}
	if says := x.otherSigner(); says != "" {
		return says
	}
	if id, ok := x.v.rules.signedID(x.header); ok && x.event != nil && x.event.ID != id {
		return fmt.Sprintf("webhook-id is %.64q but the body has the id %.64q: headers and body are of different requests", id, x.event.ID)
	}
	switch {
	case found.Says != "":
		return "the body " + found.Says + "; if that is not it" + x.otherSecret()
	case x.event == nil && json.Valid(x.body):
		return "the body is not a whole event, with id, event, timestamp and data: if it is the data alone or another part, verify the whole body as it came; " +
			"if it comes from a service whose events look like this" + x.otherSecret()
	}
	if !json.Valid(x.body) {
		return "the body is not JSON, as events are: something on the way printed, converted or replaced it: verify the bytes that came on the wire; " +
			"if it comes from a service whose events look like this" + x.otherSecret()
	}
	return "most likely the secret is of another endpoint than the one that sent this" + x.claims() +
		", or was rotated since; if it is the right one, " + x.doubts()
}

func (x *explainer) otherSecret() string {
	return ", the secret is of another endpoint" + x.claims() + " or was rotated since"
}

func (x *explainer) claims() string {
	if x.event == nil || x.event.EndpointID == "" {
		return ""
	}
	return fmt.Sprintf(" (it claims to be %.64q)", x.event.EndpointID)
}

func (x *explainer) doubts() string {
	if doubts := mangle.Doubts(x.body); doubts != "" {
		return "the body was parsed and encoded again: it " + doubts
	}
	return "something on the way changed the body or the headers, which a test event shows best"
}

// search tries what may have been done to the body.
func (x *explainer) search() mangle.Search {
	return mangle.Search{Fits: x.fits, Cost: x.cost, Event: x.apart}
}

// apart takes an event apart for a search. A test may have lost the field that says so.
func (x *explainer) apart(body []byte) (mangle.Event, bool) {
	e, err := ParseEvent(body)
	if err != nil {
		return mangle.Event{}, false
	}
	test := e.Test || x.header.Get(headerTest) == "1"
	found := mangle.Event{Raw: e.Raw, AsSent: asSent(body), Render: func(data []byte) []byte {
		return appendEnvelope(nil, e.ID, e.Type, e.Timestamp, e.EndpointID, test, data)
	}}
	if kindFor(e.Type) != nil {
		found.Typed, _ = jsontext.Encode(e.Data)
	}
	return found, true
}

// envelopeFields are in the order in which they are sent. More may come.
var envelopeFields = []string{"id", "event", "timestamp", "webhook_id", "test", "data"}

// asSent reports whether the fields of an event are in order, without white space
// around them, and the field test has its value.
func asSent(body []byte) bool {
	d := json.NewDecoder(bytes.NewReader(body))
	if _, err := d.Token(); err != nil {
		return false
	}
	compact, last := []byte("{"), -1
	for d.More() {
		name, _ := d.Token()
		key, _ := name.(string)
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return false
		}
		at := slices.Index(envelopeFields, key)
		if at >= 0 && at < last || key == "test" && string(value) != mangle.Probe {
			return false
		}
		last = max(at, last)
		if len(compact) > 1 {
			compact = append(compact, ',')
		}
		compact = append(append(appendText(compact, key), ':'), value...)
	}
	return bytes.Equal(append(compact, '}'), body)
}

// fits reports whether body is what was signed.
func (x *explainer) fits(body []byte) bool { return x.verifies(body, x.header) }

func (x *explainer) verifies(body []byte, header http.Header) bool {
	err := x.v.Verify(body, header)
	return err == nil || errors.Is(err, ErrTooOld) || errors.Is(err, ErrTooNew)
}

// publicCost is what an ed25519 signature costs, in bytes hashed.
const publicCost = 64 << 10

// cost bounds what fits costs, in bytes hashed.
func (x *explainer) cost(size int) int {
	total := 0
	for _, s := range *x.v.secrets.Load() {
		if s.is(kindShared) {
			total += size + 256
		} else {
			total += signature.MaxEd25519 * (publicCost + size)
		}
	}
	return total
}

// Limits of otherSigner, for a hostile body and for a receiver of many endpoints.
const (
	maxExplainedSecrets = 4
	maxMillisecondBody  = 4 << 10
)

// signing is how senders and test scripts sign by mistake. The first key and the
// first text are right.
type signing struct {
	keys  []wrongKey
	texts []wrongText
}

type wrongKey struct {
	says string
	of   func(text string) string
}

// wrongText has a format for id, timestamp and body.
type wrongText struct{ says, format string }

const decodeIt = ": the key is the bytes that the base64 after whsec_ stands for"

var standardSigning = signing{
	keys: []wrongKey{
		{"", decodedKey},
		{" with the text of the secret as the key" + decodeIt, wholeText},
		{" with the text of the secret after whsec_ as the key" + decodeIt, withoutPrefix},
		{" with the secret in quotes as the key, as some readers of env files leave it" + decodeIt, inQuotes},
		{" with the secret and a line end as the key, as a file ends with one" + decodeIt, withLineEnd},
		{" with a key for which the prefix whsec_ was decoded too" + decodeIt, prefixDecoded},
		{" with the empty key: its sender has no secret", func(string) string { return "" }},
	},
	texts: []wrongText{
		{"", "%[1]s.%[2]s.%[3]s"},
		{": timestamp and body alone were signed, and webhook-id belongs before them", "%[2]s.%[3]s"},
		{": the body alone was signed, and webhook-id and webhook-timestamp belong before it", "%[3]s"},
		{": id and body alone were signed, and webhook-timestamp belongs between them", "%[1]s.%[3]s"},
		{": timestamp and id were signed in the other order", "%[2]s.%[1]s.%[3]s"},
		{": id, timestamp and body were signed without the dots between them", "%[1]s%[2]s%[3]s"},
	},
}

var timestampedSigning = signing{
	keys: []wrongKey{
		{"", wholeText},
		{" with the bytes that the base64 after whsec_ stands for: the key of this scheme is the text of the secret", decodedKey},
		{" with the text of the secret after whsec_ as the key: the key of this scheme is the whole text", withoutPrefix},
		{" with the secret in quotes as the key: the key of this scheme is the text without them", inQuotes},
		{" with the secret and a line end as the key: the key of this scheme is the text without it", withLineEnd},
		{" with the empty key: its sender has no secret", func(string) string { return "" }},
	},
	texts: []wrongText{
		{"", "%[2]s.%[3]s"},
		{": the body alone was signed, and the timestamp belongs before it", "%[3]s"},
	},
}

func wholeText(text string) string     { return text }
func withoutPrefix(text string) string { return strings.TrimPrefix(text, string(kindShared)) }
func inQuotes(text string) string      { return `"` + text + `"` }
func withLineEnd(text string) string   { return text + "\n" }

func decodedKey(text string) string {
	b, _ := base64.StdEncoding.DecodeString(withoutPrefix(text))
	return string(b)
}

// prefixDecoded is what decoders make of the whole text that take both alphabets, as
// Node's do.
func prefixDecoded(text string) string {
	text = strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(text), "=")
	b, _ := base64.RawURLEncoding.DecodeString(text[:len(text)-len(text)%4])
	return string(b)
}

// otherSigner recognises senders that sign with another key, or another text.
func (x *explainer) otherSigner() string {
	wrong := standardSigning
	if !x.isStandard() {
		wrong = timestampedSigning
	}
	secrets := *x.v.secrets.Load()
	for _, s := range secrets[:min(len(secrets), maxExplainedSecrets)] {
		if !s.is(kindShared) {
			continue
		}
		for _, key := range wrong.keys {
			for _, text := range wrong.texts {
				if !x.signed(key.of(s.Reveal()), text.format, x.timestampText()) {
					continue
				}
				if says := key.says + text.says; says != "" {
					return "it is signed" + says
				}
				return "it is signed properly, but the signature is written in another form: wanted is v1,<base64> with its padding, or v1=<hex> in the scheme with one header"
			}
		}
		if x.signedMilliseconds(decodedKey(s.Reveal())) {
			return "it is signed over a timestamp in milliseconds, and webhook-timestamp has seconds: sign what the header says"
		}
	}
	return ""
}

// signed reports whether one of the signatures is the HMAC of such a text.
func (x *explainer) signed(key, format, timestamp string) bool {
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, format, x.header.Get(headerID), timestamp, x.body)
	sum := mac.Sum(nil)
	want := base64.StdEncoding.EncodeToString(sum)
	wantHex := hex.EncodeToString(sum)
	match := false
	for item := range strings.FieldsFuncSeq(x.list(), func(r rune) bool { return strings.ContainsRune(" ,=\"", r) }) {
		match = match || hmac.Equal([]byte(item), []byte(strings.TrimRight(want, "="))) || hmac.Equal([]byte(item), []byte(wantHex))
	}
	return match
}

func (x *explainer) signedMilliseconds(key string) bool {
	sec, err := strconv.ParseInt(x.timestampText(), 10, 64)
	if err != nil || len(x.body) > maxMillisecondBody || !x.isStandard() {
		return false
	}
	for ms := range int64(1000) {
		if x.signed(key, standardSigning.texts[0].format, strconv.FormatInt(sec*1000+ms, 10)) {
			return true
		}
	}
	return false
}
