package webhook

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringyo-ai/webhook/internal/signature"
)

// isStandard reports whether the receiver expects Standard Webhooks. Most of the mistakes
// that are looked for can be made with that scheme alone.
func (x *explainer) isStandard() bool {
	_, ok := x.v.rules.(standard)
	return ok
}

// signatureHeader is the name of the header that has the signatures.
func (x *explainer) signatureHeader() string {
	names := x.v.rules.headers()
	return names[len(names)-1]
}

func (x *explainer) missing() string {
	var absent, present []string
	for _, name := range x.v.rules.headers() {
		switch values := x.header[name]; {
		case len(values) > 1:
			return fmt.Sprintf("the header %s came %d times: a proxy or a client library adds it again", name, len(values))
		case len(values) == 0 || values[0] == "":
			absent = append(absent, name)
		default:
			present = append(present, name)
		}
	}
	if key := x.uncanonical(); key != "" {
		return fmt.Sprintf("its header map has the key %.64q: use canonical keys, Webhook-Id and so on, as Header.Set and Header.Add make them", key)
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

// uncanonical returns a key of the header map that stands for a header of the scheme
// and is not found: maps that do not come from net/http have lower-case ones, or
// those of CGI.
func (x *explainer) uncanonical() string {
	for key := range x.header {
		name := strings.ReplaceAll(strings.TrimPrefix(strings.ToUpper(key), "HTTP_"), "_", "-")
		name = textproto.CanonicalMIMEHeaderKey(name)
		if name != key && slices.Contains(x.v.rules.headers(), name) {
			return key
		}
	}
	return ""
}

// otherScheme recognises the signature headers of other services and schemes.
func (x *explainer) otherScheme() string {
	if !x.isStandard() && x.header.Get(headerSignature) != "" {
		return "it has the headers of Standard Webhooks, and this receiver expects " + x.signatureHeader() + ": leave Scheme at its default"
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

// form recognises header values of other schemes under the names of ours, and
// those that were written in another way.
func (x *explainer) form() string {
	if !x.isStandard() {
		if strings.ContainsAny(x.list(), " \t") {
			return x.signatureHeader() + " has white space, and the form t=…,v1=… has none: pass it on as it came"
		}
		return ""
	}
	id, ts, sig := x.header.Get(headerID), x.header.Get(headerTimestamp), x.header.Get(headerSignature)
	switch {
	case isDoubled(id):
		return "webhook-id came twice" + joinedWithComma
	case isDoubled(ts):
		return "webhook-timestamp came twice" + joinedWithComma
	case len(ts) == 13 && isDigits(ts):
		return "webhook-timestamp has 13 digits, so it is probably in milliseconds: Unix seconds are wanted"
	case len(ts) > 13 && isDigits(ts):
		return fmt.Sprintf("webhook-timestamp has %d digits, so it is probably in micro- or nanoseconds: Unix seconds are wanted", len(ts))
	case isDate(ts):
		return "webhook-timestamp is a date: Unix seconds are wanted, in digits"
	case !isDigits(ts):
		return "webhook-timestamp is not made of digits alone: Unix seconds are wanted, without a fraction, a sign or quotes"
	case !signature.ValidID(id):
		return "webhook-id has a dot, a space, a line end or other characters than visible ASCII, or more than 256 of them: it was changed on the way, or a test request was built by hand"
	case strings.HasPrefix(sig, "t="):
		return "webhook-signature has the form t=…,v1=…: if it is your sender's, set Scheme to that of TimestampedSigner(\"webhook-signature\")"
	case !strings.Contains(strings.ToLower(sig), "v1"), isDigest(sig):
		return "webhook-signature is a bare digest: Standard Webhooks has v1,<base64>"
	}
	return ""
}

const joinedWithComma = " and was joined with a comma: a proxy or a client library adds it again"

func isDoubled(value string) bool {
	first, rest, found := strings.Cut(value, ",")
	return found && strings.TrimSpace(rest) == strings.TrimSpace(first)
}

func isDigits(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}

func isDate(s string) bool {
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, http.TimeFormat, time.RFC1123Z} {
		if _, err := time.Parse(layout, s); err == nil {
			return true
		}
	}
	return false
}

// headerHypotheses are what is done to the headers of Standard Webhooks. Each makes
// the headers that may have been sent, of a copy of those that came.
var headerHypotheses = []struct {
	name string
	undo func(x *explainer, h http.Header)
	says string
}{
	{
		"list joined", func(_ *explainer, h http.Header) { setList(h, signatureItems(h.Get(headerSignature))) },
		"webhook-signature was taken apart and joined again in another form: it is a list of v1,<base64> with a space between two of them and none after the comma; pass it on as it came",
	},
	{"percent", func(_ *explainer, h http.Header) {
		if s, err := url.PathUnescape(h.Get(headerSignature)); err == nil {
			h.Set(headerSignature, s)
		}
	}, "webhook-signature is percent-encoded: pass it on as it came"},
	{"plus", func(_ *explainer, h http.Header) {
		s := strings.ReplaceAll(h.Get(headerSignature), " ", "+")
		h.Set(headerSignature, strings.NewReplacer("+v1,", " v1,", "+v1a,", " v1a,").Replace(s))
	}, "webhook-signature was decoded as a form, which makes spaces of its plus signs: pass it on as it came"},
	{
		"base64url", func(_ *explainer, h http.Header) { mapItems(h, standardBase64) },
		"webhook-signature is base64 for URLs or has lost its padding: standard, padded base64 is wanted",
	},
	{
		"hexadecimal", func(_ *explainer, h http.Header) { mapItems(h, base64OfHex) },
		"webhook-signature is written in hexadecimal: base64 is wanted",
	},
	{"version", func(_ *explainer, h http.Header) {
		h.Set(headerSignature, strings.NewReplacer("v1=", "v1,", "v1:", "v1,", "V1,", "v1,").Replace(h.Get(headerSignature)))
	}, "webhook-signature has another form than v1,<base64>: pass it on as it came"},
	{"id of the body", func(x *explainer, h http.Header) {
		if x.event != nil {
			h.Set(headerID, x.event.ID)
		}
	}, "webhook-id is another one than was signed, which is the id in the body: something on the way sets that header, such as a queue or a proxy with ids of its own"},
	{"timestamp of the event", func(x *explainer, h http.Header) {
		if x.event != nil {
			h.Set(headerTimestamp, strconv.FormatInt(x.event.Timestamp.Unix(), 10))
		}
	}, "webhook-timestamp is another one than was signed, which is the timestamp in the body: sign the time of the attempt"},
	{
		"Svix's id", func(_ *explainer, h http.Header) { copyHeaders(h, "Svix-") },
		"the webhook- headers are not those that were signed; the svix- headers beside them are",
	},
}

// maxHeaderCost bounds what the hypotheses cost together, in bytes hashed: a body of
// 2 MiB with one secret.
const maxHeaderCost = 32 << 20

// signatureItems returns the items of a list however it was joined: a version, a
// comma, and base64 of a signature's length. It is written out since package regexp
// would make every program that verifies larger.
func signatureItems(list string) (items []string) {
	for {
		_, rest, found := strings.Cut(list, "v1")
		if !found {
			return items
		}
		list = rest
		version := "v1"
		if after, public := strings.CutPrefix(rest, "a"); public {
			version, rest = "v1a", after
		}
		after, ok := strings.CutPrefix(strings.TrimLeft(rest, " \t\r\n"), ",")
		if !ok {
			continue
		}
		text := strings.TrimLeft(after, " \t\r\n")
		n := len(text) - len(strings.TrimLeft(text, base64Letters))
		if n < 40 || n > 90 {
			continue
		}
		end := n
		for end < len(text) && end < n+2 && text[end] == '=' {
			end++
		}
		items = append(items, version+","+text[:end])
		list = text[end:]
	}
}

// base64Letters are those of both alphabets.
const base64Letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"

func setList(h http.Header, items []string) {
	for i, item := range items {
		items[i] = strings.Trim(strings.Join(strings.Fields(item), ""), "\"',")
	}
	h.Set(headerSignature, strings.Join(items, " "))
}

// mapItems changes what follows the version of each signature.
func mapItems(h http.Header, change func(string) string) {
	items := strings.Fields(h.Get(headerSignature))
	for i, item := range items {
		version, value, _ := strings.Cut(item, ",")
		items[i] = version + "," + change(value)
	}
	h.Set(headerSignature, strings.Join(items, " "))
}

func standardBase64(s string) string {
	s = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	return s + strings.Repeat("=", -len(s)&3)
}

func base64OfHex(s string) string {
	b, _ := hex.DecodeString(s)
	return base64.StdEncoding.EncodeToString(b)
}

func copyHeaders(h http.Header, prefix string) {
	for _, name := range []string{headerID, headerTimestamp, headerSignature} {
		if v := h.Get(prefix + strings.TrimPrefix(name, "Webhook-")); v != "" {
			h.Set(name, v)
		}
	}
}

// changedHeaders tries what may have been done to the headers.
func (x *explainer) changedHeaders() string {
	if !x.isStandard() || len(x.header.Get(headerSignature)) > signature.MaxHeader ||
		x.cost(len(x.body))*len(headerHypotheses) > maxHeaderCost {
		return ""
	}
	for _, hyp := range headerHypotheses {
		changed := http.Header{}
		for _, name := range []string{headerID, headerTimestamp, headerSignature, "Svix-Id", "Svix-Timestamp", "Svix-Signature"} {
			changed[name] = slices.Clone(x.header[name])
		}
		hyp.undo(x, changed)
		if x.verifies(x.body, changed) {
			return hyp.says
		}
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
	sec, err := strconv.ParseInt(x.timestampText(), 10, 64)
	return time.Unix(sec, 0), err == nil
}

// list is the header that has the signatures.
func (x *explainer) list() string { return x.header.Get(x.signatureHeader()) }

func (x *explainer) timestampText() string {
	text := x.header.Get(headerTimestamp)
	if !x.isStandard() {
		for part := range strings.SplitSeq(x.list(), ",") {
			if t, ok := strings.CutPrefix(strings.TrimSpace(part), "t="); ok {
				text = t
			}
		}
	}
	return text
}

// kinds recognises secrets of another kind than the signatures.
func (x *explainer) kinds() string {
	if !x.isStandard() {
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

// isDigest reports whether text is the base64 of an HMAC, in which there may be a v1.
func isDigest(text string) bool {
	b, err := base64.StdEncoding.DecodeString(text)
	return err == nil && len(b) == sha256.Size
}
