package webhook_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ringyo-ai/webhook"
)

// verifyErrors are all that Verify may answer.
var verifyErrors = []error{
	webhook.ErrMissingHeader, webhook.ErrInvalidHeader, webhook.ErrSignature, webhook.ErrTooOld, webhook.ErrTooNew,
}

// FuzzVerifyHeader feeds both schemes headers that nobody signed, unless they
// are the ones of the seed. What is accepted must be what a second
// implementation, written here for clarity alone, makes of it.
func FuzzVerifyHeader(f *testing.F) {
	shared, key := mustSecret(f, exampleSecret), mustSecret(f, "whsk_BwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSY=")
	good := signedWith(f, webhook.StandardSigner(), noon, exampleBody, shared, key)
	single := signedWith(f, timestamped(f, "X-Signature"), noon, exampleBody, shared).header.Get("X-Signature")
	id, ts, sig := good.header.Get("Webhook-Id"), good.header.Get("Webhook-Timestamp"), good.header.Get("Webhook-Signature")
	f.Add(id, ts, sig, single, []byte(exampleBody))
	f.Add("a.1", "2", sig+" ", "t=1,t=2", []byte("body"))
	f.Add(id, "0"+ts, "v1,"+strings.Repeat("A", 43)+"=", "v1="+strings.Repeat("a", 64), []byte{})
	f.Add(id, ts, " \tv2,x  "+sig[:47]+"\t", "t="+ts+", "+single, []byte(exampleBody))
	f.Add(id, ts, strings.Repeat("v1,", 2000), strings.Repeat(",t=", 100), []byte(nil))
	f.Add(id, ts, "v1a,"+strings.Repeat("A", 86)+"==", single+",", []byte("\xff"))
	for _, vec := range readVectors(f) {
		h := vec.header()
		f.Add(h.Get("webhook-id"), h.Get("webhook-timestamp"), h.Get("webhook-signature"), h.Get("x-signature"), vec.body())
	}
	standard := noonVerifier(f, shared, key.Public())
	timestamp := newVerifier(f, webhook.VerifierConfig{Secrets: list(shared), Scheme: timestamped(f, "X-Signature"), Tolerance: -1})
	f.Fuzz(func(t *testing.T, id, ts, sig, single string, body []byte) {
		h := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {ts}, "Webhook-Signature": {sig}, "X-Signature": {single}}
		if err := standard.Verify(body, h); err != nil {
			mustBeOneOf(t, err, verifyErrors)
		} else if !signedLike(t, h, body, shared, key) {
			t.Fatalf("accepted %q", h)
		}
		if err := timestamp.Verify(body, h); err != nil {
			mustBeOneOf(t, err, verifyErrors)
		} else if !strings.Contains(single, strings.Split(handMade(exampleSecret, timestampOf(single), string(body)), ",")[1]) {
			t.Fatalf("accepted %q", single)
		}
	})
}

// signedLike signs id, time and body of h again and looks for one of the
// signatures among the items of h.
func signedLike(t *testing.T, h http.Header, body []byte, secrets ...webhook.Secret) bool {
	var unix int64
	if _, err := fmt.Sscanf(h.Get("Webhook-Timestamp"), "%d", &unix); err != nil {
		return false
	}
	for _, s := range secrets {
		again := http.Header{}
		m := webhook.Message{ID: h.Get("Webhook-Id"), Timestamp: time.Unix(unix, 0), Body: body}
		if err := webhook.StandardSigner().Sign(again, m, s); err != nil {
			t.Skip("an id that is verified and never made")
		}
		if again.Get("Webhook-Timestamp") != h.Get("Webhook-Timestamp") {
			return false
		}
		for _, item := range strings.Split(h.Get("Webhook-Signature"), " ") {
			if item == again.Get("Webhook-Signature") {
				return true
			}
		}
	}
	return false
}

func timestampOf(header string) string {
	for _, item := range strings.FieldsFunc(header, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
		if ts, ok := strings.CutPrefix(item, "t="); ok {
			return ts
		}
	}
	return ""
}

func mustBeOneOf(t *testing.T, err error, allowed []error) {
	for _, a := range allowed {
		if errors.Is(err, a) {
			return
		}
	}
	t.Fatalf("unexpected error %v", err)
}

// FuzzParseSecret checks that a text is refused without being quoted, or comes
// back as it is, signs or verifies, and does not print.
func FuzzParseSecret(f *testing.F) {
	for _, text := range []string{
		"", "whsec_", "whsec_!!", exampleSecret, exampleSecret2, exampleSecret + "\n", " " + exampleSecret, "whsec_" + b64(64), "whsec_" + b64(23),
		webhook.NewSigningKey().Reveal(), webhook.NewSigningKey().Public().Reveal(), "whsk_" + b64(64), "whpk_" + b64(31), "whsec_[redacted]", "WHSEC_" + b64(32),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := webhook.ParseSecret(text)
		if err != nil {
			if !s.IsZero() || len(text) > 30 && strings.Contains(err.Error(), text[6:]) {
				t.Fatalf("%v, %v", s.IsZero(), err)
			}
			return
		}
		again, err := webhook.RestoreSecret(s.Reveal())
		if s.Reveal() != text || err != nil || !again.Equal(s) || strings.Contains(fmt.Sprintf("%v %+v %#v %x", s, s, s, s), text[6:]) {
			t.Fatalf("%q does not come back, or prints", text)
		}
		h := http.Header{}
		m := webhook.Message{ID: "evt_1", Timestamp: time.Now(), Body: []byte("{}")}
		switch err := webhook.StandardSigner().Sign(h, m, s); {
		case strings.HasPrefix(text, "whpk_"):
			mustBeOneOf(t, err, []error{webhook.ErrInvalidArgument})
		case err != nil:
			t.Fatal(err)
		default:
			if err := webhook.Verify(m.Body, h, s); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzParseEvent checks that a body is refused in one way, or gives an event
// whose data is that of the body, byte for byte.
func FuzzParseEvent(f *testing.F) {
	for _, body := range []string{
		"", "null", "{}", "[]", exampleBody, callBody, string(envelopeOf("call.completed", "null")), string(envelopeOf("call.completed", `{"duration_seconds":"x"}`)),
		string(envelopeOf("call.ringing", `{"__proto__":{},"a":1,"a":1e999,"s":"\u2028\ud800"}`)), string(envelopeOf("x", strings.Repeat("[", 200))),
		`{"ID":"a","Event":"b","id":"c","data":1,"DATA":2,"timestamp":"2024-01-15T10:30:00Z"}`,
		strings.Replace(callBody, `"data":`, `"test":null,"data":`, 1), strings.Replace(callBody, `"data":`, "\"teSt\":{\"probe\":[1.0,\"\u2028\"]},\"data\":", 1),
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := webhook.ParseEvent(body)
		if err != nil {
			mustBeOneOf(t, err, []error{webhook.ErrMalformedEvent})
			return
		}
		if e.ID == "" || strings.ContainsAny(e.ID, ".\r\n ") || e.Type == "" || e.Timestamp.IsZero() || e.Test != hasField(body, "test") || e.AccountID != "" {
			t.Fatalf("%+v", e)
		}
		if !json.Valid(e.Raw) || !strings.Contains(string(body), string(e.Raw)) || e.Data == nil {
			t.Fatalf("data %q of %q", e.Raw, body)
		}
	})
}

// hasField reports whether the object in body has a field of that name, in whatever
// case, as encoding/json matches them.
func hasField(body []byte, name string) bool {
	var all map[string]json.RawMessage
	_ = json.Unmarshal(body, &all)
	for key := range all {
		if strings.EqualFold(key, name) {
			return true
		}
	}
	return false
}
