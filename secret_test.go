package webhook_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

const (
	exampleSecret  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	exampleSecret2 = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
)

func mustSecret(t testing.TB, text string) webhook.Secret {
	t.Helper()
	s, err := webhook.ParseSecret(text)
	require.NoError(t, err)
	return s
}

func b64(n int) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, n)) }

func TestParseSecretTakesEveryKindAndRevealsItAsGiven(t *testing.T) {
	t.Parallel()
	key := webhook.NewSigningKey()
	for _, text := range []string{
		exampleSecret,
		exampleSecret2,
		"whsec_" + b64(24),
		"whsec_" + b64(64),
		webhook.NewSecret().Reveal(),
		key.Reveal(),
		key.Public().Reveal(),
		"whsk_" + base64.StdEncoding.EncodeToString(wholeKey(t, key)),
	} {
		s, err := webhook.ParseSecret(text)
		require.NoError(t, err)
		assert.Equal(t, text, s.Reveal())
		assert.False(t, s.IsZero())
		assert.True(t, s.Equal(mustSecret(t, text)))
		assert.False(t, s.Equal(webhook.NewSecret()))
		assert.False(t, s.Equal(webhook.Secret{}))
	}
}

// wholeKey is the 64-byte form that other implementations keep: the seed and
// the public key.
func wholeKey(t *testing.T, key webhook.Secret) []byte {
	t.Helper()
	seed, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(key.Reveal(), "whsk_"))
	require.NoError(t, err)
	public, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(key.Public().Reveal(), "whpk_"))
	require.NoError(t, err)
	return append(seed, public...)
}

func TestParseSecretRefuses(t *testing.T) { // H14
	t.Parallel()
	key := webhook.NewSigningKey()
	mixed := wholeKey(t, key)
	mixed[63] ^= 1
	for name, text := range map[string]string{
		"empty":                     "",
		"prefix alone":              "whsec_",
		"not base64":                "whsec_!!",
		"raw text":                  "correct horse battery staple",
		"no prefix":                 b64(32),
		"1 byte":                    "whsec_" + b64(1),
		"23 bytes":                  "whsec_" + b64(23),
		"65 bytes":                  "whsec_" + b64(65),
		"10 KiB":                    "whsec_" + b64(10<<10),
		"newline at the end":        exampleSecret + "\n",
		"newline within":            exampleSecret[:20] + "\n" + exampleSecret[20:],
		"carriage return within":    exampleSecret[:20] + "\r" + exampleSecret[20:],
		"space before":              " " + exampleSecret,
		"space within":              exampleSecret[:20] + " " + exampleSecret[20:],
		"tab at the end":            exampleSecret + "\t",
		"base64url":                 "whsec_" + base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{0xfb, 0xff}, 16)),
		"no padding":                strings.TrimRight("whsec_"+b64(32), "="),
		"too much padding":          "whsec_" + b64(32) + "=",
		"bits after the end":        strings.TrimSuffix("whsec_"+b64(32), "c=") + "d=",
		"prefix in capitals":        strings.Replace(exampleSecret, "whsec_", "WHSEC_", 1),
		"unknown prefix":            strings.Replace(exampleSecret, "whsec_", "whsx_", 1),
		"prefix twice":              "whsec_" + exampleSecret,
		"redacted":                  webhook.NewSecret().String(),
		"private key, 31 bytes":     "whsk_" + b64(31),
		"private key, prefix alone": "whsk_",
		"private key, halves of two keys": "whsk_" +
			base64.StdEncoding.EncodeToString(mixed),
		"public key, 33 bytes":     "whpk_" + b64(33),
		"public key, prefix alone": "whpk_",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := webhook.ParseSecret(text)
			require.ErrorIs(t, err, webhook.ErrInvalidArgument)
			var v *webhook.ValidationError
			require.ErrorAs(t, err, &v)
			assert.Equal(t, "Secret", v.Fields[0].Field)
			assert.True(t, s.IsZero())
			if enc := strings.TrimSpace(strings.TrimLeft(text, "whseckp_")); len(enc) > 6 {
				assert.NotContains(t, err.Error(), enc[:len(enc)/2], "the error quotes the secret")
			}
		})
	}
}

func TestRawSecretTakesSixteenBytesAndMore(t *testing.T) { // H14
	t.Parallel()
	for _, n := range []int{0, 1, 15} {
		_, err := webhook.RawSecret(make([]byte, n))
		require.ErrorIs(t, err, webhook.ErrInvalidArgument, "%d bytes", n)
	}
	for _, n := range []int{16, 23, 24, 32, 64, 65, 200} {
		raw := bytes.Repeat([]byte{9}, n)
		s, err := webhook.RawSecret(raw)
		require.NoError(t, err, "%d bytes", n)
		want := "whsec_" + base64.StdEncoding.EncodeToString(raw)
		raw[0] = 0
		assert.Equal(t, want, s.Reveal(), "the bytes are copied")

		restored, err := webhook.RestoreSecret(s.Reveal())
		require.NoError(t, err, "%d bytes", n)
		assert.True(t, restored.Equal(s))
		m := webhook.Message{ID: "evt_1", Timestamp: time.Now(), Body: []byte("{}")}
		h := http.Header{}
		require.NoError(t, webhook.StandardSigner().Sign(h, m, s))
		assert.NoError(t, webhook.Verify(m.Body, h, restored))
	}
	_, err := webhook.RestoreSecret("whsec_" + b64(15))
	assert.Error(t, err)
	_, err = webhook.RestoreSecret("plain text that is long enough")
	assert.Error(t, err)
}

func TestNewSecretsDiffer(t *testing.T) {
	t.Parallel()
	a, b := webhook.NewSecret(), webhook.NewSecret()
	assert.False(t, a.Equal(b))
	assert.Len(t, a.Reveal(), len("whsec_")+44)
	assert.True(t, strings.HasPrefix(a.Reveal(), "whsec_"))
	k := webhook.NewSigningKey()
	assert.False(t, k.Equal(webhook.NewSigningKey()))
	assert.Len(t, k.Reveal(), len("whsk_")+44)
}

func TestPublicIsTheHalfThatVerifies(t *testing.T) {
	t.Parallel()
	key := webhook.NewSigningKey()
	public := key.Public()
	assert.True(t, strings.HasPrefix(public.Reveal(), "whpk_"))
	assert.True(t, public.Public().Equal(public), "a public key is its own public half")
	assert.True(t, webhook.NewSecret().Public().IsZero(), "a shared secret has none")
	assert.True(t, webhook.Secret{}.Public().IsZero())
	assert.Empty(t, webhook.Secret{}.Reveal())
}

// A secret must not come out of any formatter or encoder, alone or inside
// something else.
func TestSecretIsRedactedEverywhere(t *testing.T) {
	t.Parallel()
	key := webhook.NewSigningKey()
	for _, s := range []webhook.Secret{mustSecret(t, exampleSecret), key, key.Public()} {
		enc := s.Reveal()[strings.Index(s.Reveal(), "_")+1:]
		raw, err := base64.StdEncoding.DecodeString(enc)
		require.NoError(t, err)
		for how, out := range renderings(t, s) {
			for _, leak := range []string{enc, enc[:10], string(raw), fmt.Sprintf("%x", raw[:6]), fmt.Sprint(raw[:6]), strings.Trim(fmt.Sprint(raw[:6]), "[]")} {
				assert.NotContains(t, out, leak, how)
			}
		}
		prefix := s.Reveal()[:strings.Index(s.Reveal(), "_")+1]
		assert.Equal(t, prefix+"[redacted]", fmt.Sprint(s))
	}
	assert.Equal(t, "[no secret]", webhook.Secret{}.String())
}

// said is a test that keeps what it is told.
type said []string

func (s *said) Errorf(format string, args ...any) { *s = append(*s, fmt.Sprintf(format, args...)) }

func renderings(t *testing.T, s webhook.Secret) map[string]string {
	t.Helper()
	type holder struct {
		S webhook.Secret
		P *webhook.Secret
		s webhook.Secret
	}
	h := holder{s, &s, s}
	out := map[string]string{"String": s.String(), "GoString": s.GoString()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "% x", "%q", "%d", "%08b", "%U", "%p", "%t", "%c", "%e", "%w", "%z"} {
		for name, v := range map[string]any{
			"value": s, "pointer": &s, "struct": h, "pointer to struct": &h, "slice": []webhook.Secret{s},
			"map": map[string]webhook.Secret{"k": s}, "key": map[webhook.Secret]int{s: 1}, "any": []any{s},
			"stored": webhook.EndpointSecret{Secret: s}, "target": webhook.Target{Secrets: []webhook.EndpointSecret{{Secret: s}}},
		} {
			out[verb+" "+name] = fmt.Sprintf(verb, v)
		}
	}
	var diff said
	assert.Equal(&diff, h, holder{P: new(webhook.Secret)}) // its printer goes by reflection alone
	require.NotEmpty(t, diff)
	out["testify"] = strings.Join(diff, "\n")
	out["Errorf"] = fmt.Errorf("x: %w %v", errors.New("y"), s).Error()
	b, err := json.Marshal(map[string]any{"v": h, "m": map[webhook.Secret]int{s: 1}})
	require.NoError(t, err)
	out["JSON"] = string(b)
	b, err = xml.Marshal(h.P)
	require.NoError(t, err)
	out["XML"] = string(b)
	b, err = s.MarshalText()
	require.NoError(t, err)
	out["text"] = string(b)
	var buf bytes.Buffer
	_ = gob.NewEncoder(&buf).Encode(struct{ S webhook.Secret }{s}) // refuses
	out["gob"] = buf.String()
	buf.Reset()
	for _, l := range []slog.Handler{slog.NewTextHandler(&buf, nil), slog.NewJSONHandler(&buf, nil)} {
		slog.New(l).Info("x", "s", s, "p", &s, "h", h, "many", []webhook.Secret{s})
	}
	out["slog"] = buf.String()
	return out
}

// What an endpoint's own headers hold goes to the endpoint and nowhere else.
func TestHeaderValuesComeOutNowhere(t *testing.T) {
	t.Parallel()
	const value = "Bearer 5f4dcc3b"
	given := value
	headers := webhook.Headers{"Authorization": value}
	params := webhook.EndpointParams{AccountID: "acme", URL: hookURL, Events: []webhook.EventType{"*"}, Headers: headers}
	change := webhook.EndpointChange{Headers: webhook.HeaderChanges{"authorization": &given}}
	rec := webhook.EndpointRecord{Endpoint: webhook.Endpoint{HeaderNames: headers.Names()}, Headers: headers}
	target := &webhook.Target{Headers: headers}
	out := map[string]string{}
	for what, v := range map[string]any{
		"headers": headers, "changes": change.Headers, "params": params, "pointer": &params, "change": change,
		"record": rec, "page": webhook.Page[webhook.EndpointRecord]{Items: []webhook.EndpointRecord{rec}},
		"target": *target, "update": webhook.EndpointUpdate{Record: rec}, "create": webhook.EndpointCreate{Record: rec},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
			out[verb+" "+what] = fmt.Sprintf(verb, v)
		}
		b, err := json.Marshal(v)
		require.NoError(t, err, what)
		out["JSON "+what] = string(b)
		var buf bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&buf, nil), slog.NewJSONHandler(&buf, nil)} {
			slog.New(h).Info("x", "v", v)
		}
		out["slog "+what] = buf.String()
	}
	for how, text := range out {
		for _, leak := range []string{value, "5f4dcc3b", fmt.Sprintf("%x", value)} {
			assert.NotContains(t, text, leak, how)
		}
		if !strings.HasPrefix(how, "%x") {
			assert.Contains(t, strings.ToLower(text), "authorization", how)
		}
	}

	r := newRig(t, status(500), func(c *webhook.Config) {
		c.Hooks.OnAttempt = func(_ context.Context, a webhook.AttemptInfo) {
			assert.NotContains(t, fmt.Sprintf("%+v", a), "5f4dcc3b")
		}
	})
	ep, _, err := r.CreateEndpoint(t.Context(), params)
	require.NoError(t, err)
	b, err := json.Marshal(ep)
	require.NoError(t, err)
	assert.NotContains(t, string(b), "5f4dcc3b")
	assert.Contains(t, string(b), `"header_names":["Authorization"]`)
	_, err = r.SendTest(t.Context(), "acme", ep.ID, webhook.EventCallCompleted)
	require.NoError(t, err)
	assert.Equal(t, value, r.transport.requests()[0].Header.Get("Authorization"), "it is sent all the same")
	bad := value + "\n"
	_, err = r.UpdateEndpoint(t.Context(), "acme", ep.ID, webhook.EndpointChange{Headers: webhook.HeaderChanges{"Authorization": &bad}})
	require.ErrorIs(t, err, webhook.ErrInvalidArgument)
	assert.NotContains(t, err.Error(), "5f4dcc3b")
}

// Each attempt in the log says where it went, and which secrets signed it.
func TestAnAttemptSaysWhereItWent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, status(200))
		first := webhook.NewSigningKey()
		ep, _, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{AccountID: "acme", URL: hookURL, Events: []webhook.EventType{"*"}, Secret: first})
		require.NoError(t, err)
		send := func() webhook.Attempt {
			ev := r.emit(1)[0]
			_, err := r.DeliverDue(t.Context())
			require.NoError(t, err)
			page, err := r.ListDeliveries(t.Context(), "acme", webhook.DeliveryQuery{EventID: ev.ID})
			require.NoError(t, err)
			require.Len(t, page.Items, 1)
			log, err := r.ListAttempts(t.Context(), "acme", page.Items[0].ID)
			require.NoError(t, err)
			require.Len(t, log, 1)
			return log[0]
		}
		before := send()
		second, err := r.RotateSecret(t.Context(), "acme", ep.ID, webhook.RotateParams{Overlap: time.Hour})
		require.NoError(t, err)
		both := send()
		time.Sleep(2 * time.Hour)
		one := send()
		moved, text := "https://example.com/moved", "changed"
		_, err = r.UpdateEndpoint(t.Context(), "acme", ep.ID, webhook.EndpointChange{URL: &moved})
		require.NoError(t, err)
		_, err = r.UpdateEndpoint(t.Context(), "acme", ep.ID, webhook.EndpointChange{Description: &text})
		require.NoError(t, err)
		last := send()

		all, err := r.EndpointRevisions(t.Context(), "acme", ep.ID)
		require.NoError(t, err)
		require.Len(t, all, 3)
		for name, c := range map[string]struct {
			attempt webhook.Attempt
			url     string
			secrets []webhook.Secret
		}{
			"before all changes":   {before, hookURL, []webhook.Secret{first.Public()}},
			"within the overlap":   {both, hookURL, []webhook.Secret{second.Secret, first}},
			"after the overlap":    {one, hookURL, []webhook.Secret{second.Secret}},
			"after another change": {last, moved, []webhook.Secret{second.Secret}},
		} {
			rev, known := all.Of(c.attempt)
			require.True(t, known, name)
			assert.Equal(t, c.url, rev.URL, name)
			require.Len(t, rev.Secrets, len(c.secrets), name)
			for i, s := range c.secrets {
				assert.Equal(t, s.Hint(), rev.Secrets[i].Hint, name)
			}
		}
		assert.NotContains(t, fmt.Sprintf("%v %+v %#v", all, all, all), "moved", "of a URL the host is printed alone")
		_, known := all.Of(webhook.Attempt{At: time.Now()})
		assert.False(t, known, "an attempt that does not know its revision")
		assert.Equal(t, first.Public().Reveal()[len("whpk_")+40:], first.Hint(), "of what the customer has")
		assert.Empty(t, webhook.Secret{}.Hint())
		_, err = r.EndpointRevisions(t.Context(), "other", ep.ID)
		require.ErrorIs(t, err, webhook.ErrNotFound)
	})
}

func TestHeadersAreMergedByName(t *testing.T) {
	t.Parallel()
	one, two := "1", "2"
	for _, c := range []struct {
		name   string
		change webhook.HeaderChanges
		want   map[string]string // nil: refused
	}{
		{"nothing is given", nil, map[string]string{"Authorization": "a", "X-Team": "blue"}},
		{"nothing is named", webhook.HeaderChanges{}, map[string]string{"Authorization": "a", "X-Team": "blue"}},
		{"another one", webhook.HeaderChanges{"x-new": &one}, map[string]string{"Authorization": "a", "X-New": "1", "X-Team": "blue"}},
		{"a new value", webhook.HeaderChanges{"AUTHORIZATION": &two}, map[string]string{"Authorization": "2", "X-Team": "blue"}},
		{"one is removed", webhook.HeaderChanges{"x-team": nil}, map[string]string{"Authorization": "a"}},
		{"one that is not there is removed", webhook.HeaderChanges{"X-None": nil}, map[string]string{"Authorization": "a", "X-Team": "blue"}},
		{"all are removed", webhook.HeaderChanges{"X-Team": nil, "Authorization": nil}, map[string]string{}},
		{"one name in two cases", webhook.HeaderChanges{"X-New": &one, "x-new": nil}, nil},
		{"a reserved one", webhook.HeaderChanges{"Host": &one}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, status(200))
			ep, _, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{
				AccountID: "acme", URL: hookURL, Events: []webhook.EventType{"*"},
				Headers: map[string]string{"x-team": "blue", "authorization": "a"},
			})
			require.NoError(t, err)
			assert.Equal(t, []string{"Authorization", "X-Team"}, ep.HeaderNames)
			got, err := r.UpdateEndpoint(t.Context(), "acme", ep.ID, webhook.EndpointChange{Headers: c.change})
			if c.want == nil {
				require.ErrorIs(t, err, webhook.ErrInvalidArgument)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, webhook.Headers(c.want).Names(), got.HeaderNames)
			_, err = r.SendTest(t.Context(), "acme", ep.ID, webhook.EventCallCompleted)
			require.NoError(t, err)
			sent := r.transport.requests()[0].Header
			for _, name := range []string{"Authorization", "X-New", "X-Team", "X-None"} {
				assert.Equal(t, c.want[name], sent.Get(name), name)
			}
		})
	}
}

func TestZeroSecretFailsEverywhere(t *testing.T) {
	t.Parallel()
	var zero webhook.Secret
	good := mustSecret(t, exampleSecret)
	m := webhook.Message{ID: "evt_1", Timestamp: time.Now(), Body: []byte("{}")}
	h := http.Header{}
	require.ErrorIs(t, webhook.StandardSigner().Sign(h, m, zero), webhook.ErrNoSecret)
	require.ErrorIs(t, webhook.StandardSigner().Sign(h, m, good, zero), webhook.ErrNoSecret)
	require.ErrorIs(t, webhook.StandardSigner().Sign(h, m), webhook.ErrNoSecret)
	assert.Empty(t, h, "a refused call leaves the header alone")

	require.NoError(t, webhook.StandardSigner().Sign(h, m, good))
	require.ErrorIs(t, webhook.Verify(m.Body, h, zero), webhook.ErrNoSecret)
	require.ErrorIs(t, webhook.Verify(m.Body, h, good, zero), webhook.ErrNoSecret)
	require.ErrorIs(t, webhook.Verify(m.Body, h), webhook.ErrNoSecret)
	for _, secrets := range [][]webhook.Secret{nil, {zero}, {good, zero}} {
		_, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: secrets})
		assert.ErrorIs(t, err, webhook.ErrInvalidArgument)
	}
}
