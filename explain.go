package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Explain says what most likely made a request fail with err, as answered for
// the same body and header by one of v's methods: for the log of whoever sets up
// a receiver, never for the answer to the sender. It names headers and ids of
// the request and no key or signature. It tries a handful of ways in which
// bodies and secrets get mangled, so it costs several verifications and parses
// content that is not verified, up to 64 KiB of it.
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

// explainable bounds the bodies that Explain parses and alters.
const explainable = 64 << 10

type explainer struct {
	v      *Verifier
	body   []byte
	header http.Header
}

// needed are the headers of the scheme.
func (x *explainer) needed() []string {
	if h := x.v.scheme.header; h != "" {
		return []string{h}
	}
	return []string{headerID, headerTimestamp, headerSignature}
}

func (x *explainer) missing() string {
	var absent, present []string
	for _, name := range x.needed() {
		switch values := x.header[name]; {
		case len(values) > 1:
			return fmt.Sprintf("the header %s came %d times: a proxy or a client library adds it again", name, len(values))
		case len(values) == 0 || values[0] == "":
			absent = append(absent, name)
		default:
			present = append(present, name)
		}
	}
	if len(present) > 0 {
		return fmt.Sprintf("%s came but %s did not: something on the way, a proxy or a gateway, strips headers that it does not know",
			strings.Join(present, ", "), strings.Join(absent, ", "))
	}
	if other := x.otherScheme(); other != "" {
		return other
	}
	return "it has no signature header at all: it does not come from the sender of webhooks (a browser, a health check, a test tool), " +
		"or a proxy strips headers that it does not know"
}

// otherScheme recognises the signature headers of other services and schemes.
func (x *explainer) otherScheme() string {
	if x.v.scheme.header != "" && x.header.Get(headerSignature) != "" {
		return "it has the headers of Standard Webhooks, and this receiver expects " + x.v.scheme.header + ": leave Scheme at its default"
	}
	if x.header.Get("Svix-Signature") != "" {
		return "it has Svix's headers (svix-id, svix-timestamp, svix-signature) instead of webhook-id, webhook-timestamp and webhook-signature: " +
			"it comes from a service that sends through Svix, or from its test tool"
	}
	for name, values := range x.header {
		if len(values) == 1 && strings.HasPrefix(values[0], "t=") && strings.Contains(values[0], ",v1=") {
			return fmt.Sprintf("the header %s has the form t=…,v1=…, as Stripe's does: if it is your sender's, set Scheme to that of TimestampedSigner(%q)",
				name, name)
		}
	}
	if x.header.Get("X-Hub-Signature-256") != "" {
		return "it has GitHub's header X-Hub-Signature-256: it comes from another service"
	}
	return ""
}

func (x *explainer) invalid() string {
	if why := x.form(); why != "" {
		return why
	}
	return "a signature header is not of the form that the scheme has: something on the way changed it, or a test request was built by hand"
}

// form recognises header values of other schemes under the names of ours.
func (x *explainer) form() string {
	ts := x.header.Get(headerTimestamp)
	sig := x.header.Get(x.needed()[len(x.needed())-1])
	switch {
	case x.v.scheme.header != "":
		return ""
	case len(ts) == 13:
		return "webhook-timestamp has 13 digits, so it is probably in milliseconds: Unix seconds are wanted"
	case strings.HasPrefix(sig, "t="):
		return "webhook-signature has the form t=…,v1=…: if it is your sender's, set Scheme to that of TimestampedSigner(\"webhook-signature\")"
	case !strings.Contains(sig, ","):
		return "webhook-signature is a bare digest: Standard Webhooks has v1,<base64>"
	}
	return ""
}

func (x *explainer) clock() string {
	ts, ok := x.timestamp()
	if !ok {
		return "the timestamp is outside the tolerance"
	}
	off := x.v.clock().Sub(ts).Round(time.Second)
	if off < 0 {
		return fmt.Sprintf("the signature is right but its timestamp is %s ahead of this machine's clock: that is slow, check its time synchronisation", -off)
	}
	return fmt.Sprintf("the signature is right but its timestamp is %s behind this machine's clock: the request was recorded and sent again, "+
		"or waited in a proxy, or that clock is fast", off)
}

func (x *explainer) timestamp() (time.Time, bool) {
	text := x.header.Get(headerTimestamp)
	if h := x.v.scheme.header; h != "" {
		for part := range strings.SplitSeq(x.header.Get(h), ",") {
			if t, ok := strings.CutPrefix(strings.TrimSpace(part), "t="); ok {
				text = t
			}
		}
	}
	sec, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(sec, 0), err == nil
}

func (x *explainer) signature() string {
	if why := x.form(); why != "" {
		return why
	}
	if why := x.kinds(); why != "" {
		return why
	}
	var e Event
	if len(x.body) <= explainable {
		for _, m := range mangled {
			if original := m.undo(x.body); original != nil && x.fits(original) {
				return "the body " + m.how + ": verify the bytes that came on the wire, before anything parses or rewrites them"
			}
		}
		if why := x.textAsKey(); why != "" {
			return why
		}
		e, _ = ParseEvent(x.body)
	}
	if id := x.header.Get(headerID); x.v.scheme.header == "" && e.ID != "" && e.ID != id {
		return fmt.Sprintf("webhook-id is %.64q but the body has the id %.64q: headers and body are of different requests", id, e.ID)
	}
	endpoint := ""
	if e.EndpointID != "" {
		endpoint = fmt.Sprintf(" (it claims to be %.64q)", e.EndpointID)
	}
	return "most likely the secret is of another endpoint than the one that sent this" + endpoint +
		", or was rotated since; if it is the right one, something on the way changed the body or the headers"
}

// kinds recognises secrets of another kind than the signatures.
func (x *explainer) kinds() string {
	if x.v.scheme.header != "" {
		return ""
	}
	var v1, v1a bool
	for part := range strings.FieldsSeq(x.header.Get(headerSignature)) {
		v1 = v1 || strings.HasPrefix(part, "v1,")
		v1a = v1a || strings.HasPrefix(part, "v1a,")
	}
	isShared := func(s Secret) bool { return s.is(kindShared) }
	switch shared := slices.ContainsFunc(*x.v.secrets.Load(), isShared); {
	case v1a && !v1 && shared:
		return "it is signed with a private key (v1a): configure its public key, whpk_…, instead of a whsec_ secret"
	case v1 && !v1a && !shared:
		return "it is signed with a shared secret (v1): configure that secret, whsec_…, instead of a public key"
	}
	return ""
}

// fits reports whether body is what was signed.
func (x *explainer) fits(body []byte) bool {
	err := x.v.Verify(body, x.header)
	return err == nil || errors.Is(err, ErrTooOld) || errors.Is(err, ErrTooNew)
}

// textAsKey recognises senders that take the text of a secret for the key.
func (x *explainer) textAsKey() string {
	if x.v.scheme.header != "" {
		return ""
	}
	for _, s := range *x.v.secrets.Load() {
		for _, key := range []string{s.Reveal(), strings.TrimPrefix(s.Reveal(), string(kindShared))} {
			mac := hmac.New(sha256.New, []byte(key))
			fmt.Fprintf(mac, "%s.%s.%s", x.header.Get(headerID), x.header.Get(headerTimestamp), x.body)
			if strings.Contains(x.header.Get(headerSignature), "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))) {
				return "it is signed with the text of the secret as the key: the key is the bytes that the base64 after whsec_ stands for"
			}
		}
	}
	return ""
}

// mangled are the ways in which bodies get changed between the sender and the
// verification. undo answers the body as it may have been, or nil.
var mangled = []struct {
	how  string
	undo func(body []byte) []byte
}{
	{"has white space or a byte order mark around it that was not sent", func(b []byte) []byte {
		return bytes.TrimSpace(bytes.TrimPrefix(b, []byte("\ufeff")))
	}},
	{"was re-indented", compacted},
	{"was parsed and encoded again, in another form", func(b []byte) []byte { return rendered(b, compacted) }},
	{"was parsed and encoded again, without Go's escapes", func(b []byte) []byte { return rendered(b, escaped) }},
	{"was parsed and encoded again, with escapes", func(b []byte) []byte { return rendered(b, unescaped) }},
	{"was parsed and encoded again, with its fields in another order", reordered},
}

func compacted(b []byte) []byte {
	var out bytes.Buffer
	if json.Compact(&out, b) != nil {
		return nil
	}
	return out.Bytes()
}

// escaped has <, > and & as encoding/json writes them.
func escaped(b []byte) []byte {
	var out bytes.Buffer
	json.HTMLEscape(&out, compacted(b))
	return out.Bytes()
}

// unescaped has <, > and & as most other encoders write them.
func unescaped(b []byte) []byte {
	return []byte(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&", `\/`, "/").Replace(string(compacted(b))))
}

// rendered puts the data, changed by f, into the envelope as it is sent.
func rendered(b []byte, f func([]byte) []byte) []byte {
	e, err := ParseEvent(b)
	if err != nil {
		return nil
	}
	return appendEnvelope(nil, e.ID, e.Type, e.Timestamp, e.EndpointID, f(e.Raw))
}

// reordered renders the payload anew, in the order of its type.
func reordered(b []byte) []byte {
	e, err := ParseEvent(b)
	if err != nil {
		return nil
	}
	data, err := json.Marshal(e.Data)
	if err != nil {
		return nil
	}
	return appendEnvelope(nil, e.ID, e.Type, e.Timestamp, e.EndpointID, data)
}
