package webhook

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ringyo-ai/webhook/internal/check"
	"github.com/ringyo-ai/webhook/internal/redact"
	"github.com/ringyo-ai/webhook/internal/signature"
)

// Secret is the key that signs the requests to one endpoint, or that verifies
// them. There are three kinds, told apart by the prefix of their text:
//
//   - "whsec_", the usual one: sender and receiver share it ([NewSecret]);
//   - "whsk_", an ed25519 private key, which stays with the sender
//     ([NewSigningKey]);
//   - "whpk_", the public half of that, which verifies and cannot sign
//     ([Secret.Public]).
//
// A Secret prints, logs and marshals redacted, whatever the verb or the
// encoder; [Secret.Reveal] returns the text. The zero Secret is refused
// everywhere. A Secret is immutable, cheap to copy and safe for concurrent use.
// Compare two with [Secret.Equal]: the operator == compares identity.
type Secret struct{ key *keyBox }

// keyBox is behind a pointer so that a copy of a Secret is one word. The second
// pointer is one that reflection does not follow: fmt cannot call the methods of
// a Secret in an unexported field, and the printers of test libraries do not want
// to, so they print what they reach.
type keyBox struct{ key atomic.Pointer[secretKey] }

func (b *keyBox) load() *secretKey { return b.key.Load() }

type secretKey struct {
	text string // as shown to the customer
	kind secretKind

	mac     signature.Key                 // whsec_: keyed with the decoded bytes
	textMAC atomic.Pointer[signature.Key] // whsec_: keyed with text, made on first use

	private ed25519.PrivateKey // whsk_
	public  ed25519.PublicKey  // whsk_ and whpk_
}

type secretKind string // the prefix of the text

const (
	kindShared  secretKind = "whsec_"
	kindPrivate secretKind = "whsk_"
	kindPublic  secretKind = "whpk_"
)

// The sizes of a shared secret in bytes. 24 to 64 is the range of Standard
// Webhooks; 128 bits is the least that is not guessed.
const (
	newSecretSize = 32
	minSecretSize = 24
	maxSecretSize = 64
	minRawSize    = 16
)

// NewSecret makes a random secret of 32 bytes.
func NewSecret() Secret {
	raw := make([]byte, newSecretSize)
	_, _ = rand.Read(raw) // never fails since Go 1.24
	return sharedSecret(raw)
}

// NewSigningKey makes a random ed25519 private key, "whsk_" and the base64 of
// its 32-byte seed. It signs with scheme v1a; the customer gets its
// [Secret.Public] and can verify but not sign with it.
func NewSigningKey() Secret {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // never fails since Go 1.24
	text := string(kindPrivate) + base64.StdEncoding.EncodeToString(seed)
	return privateSecret(text, ed25519.NewKeyFromSeed(seed))
}

// RawSecret makes a secret of bytes that two sides already share. It takes 16
// bytes and more; a new secret is better made by [NewSecret]. The bytes are
// copied.
//
// [ParseSecret] takes the text of such a secret only when it has 24 to 64
// bytes: a [Store] reads it back with [RestoreSecret].
func RawSecret(key []byte) (Secret, error) {
	if len(key) < minRawSize {
		return Secret{}, badSecret(fmt.Sprintf("has %d bytes, the least is %d", len(key), minRawSize))
	}
	return sharedSecret(key), nil
}

// ParseSecret reads the text of a secret: "whsec_" and the base64 of 24 to 64
// bytes; "whsk_" and the base64 of an ed25519 seed (32 bytes) or private key
// (64 bytes); "whpk_" and the base64 of an ed25519 public key. The base64 is
// the standard one, padded. Nothing around it is trimmed. The error does not
// hold the text.
func ParseSecret(s string) (Secret, error) {
	return parseSecret(s, minSecretSize, maxSecretSize)
}

// RestoreSecret reads what [Secret.Reveal] returned, for a [Store] that keeps
// secrets as text. Unlike [ParseSecret] it takes those of [RawSecret] too,
// whatever their size.
func RestoreSecret(s string) (Secret, error) {
	return parseSecret(s, minRawSize, len(s))
}

func parseSecret(s string, least, most int) (Secret, error) {
	kind, key, problem := decodeSecret(s)
	if problem != "" {
		return Secret{}, badSecret(problem)
	}
	switch {
	case kind == kindShared && len(key) >= least && len(key) <= most:
		return sharedSecret(key), nil
	case kind == kindShared:
		problem = fmt.Sprintf("has %d bytes after decoding, must have %d to %d", len(key), minSecretSize, maxSecretSize)
	case kind == kindPublic && len(key) == ed25519.PublicKeySize:
		return publicSecret(s, key), nil
	case kind == kindPublic:
		problem = fmt.Sprintf("has %d bytes after decoding, an ed25519 public key has 32", len(key))
	case len(key) == ed25519.SeedSize:
		return privateSecret(s, ed25519.NewKeyFromSeed(key)), nil
	case len(key) == ed25519.PrivateKeySize && bytes.Equal(ed25519.NewKeyFromSeed(key[:ed25519.SeedSize]), key):
		return privateSecret(s, key), nil
	default:
		problem = "must be the seed (32 bytes) or the whole (64 bytes) of an ed25519 private key"
	}
	return Secret{}, badSecret(problem)
}

// decodeSecret takes the text apart. problem never quotes it.
func decodeSecret(s string) (kind secretKind, key []byte, problem string) {
	if s == "" {
		return "", nil, "is empty"
	}
	if strings.TrimSpace(s) != s || strings.ContainsAny(s, "\r\n") { // base64 would skip line ends
		return "", nil, "has white space in or around it"
	}
	for _, kind = range []secretKind{kindShared, kindPrivate, kindPublic} {
		enc, ok := strings.CutPrefix(s, string(kind))
		if !ok {
			continue
		}
		key, err := base64.StdEncoding.Strict().DecodeString(enc)
		if err != nil {
			return kind, nil, fmt.Sprintf("is not standard, padded base64 after %q", kind)
		}
		return kind, key, ""
	}
	return "", nil, `must begin with "whsec_", "whsk_" or "whpk_"`
}

func boxed(k *secretKey) Secret {
	b := new(keyBox)
	b.key.Store(k)
	return Secret{b}
}

func sharedSecret(raw []byte) Secret {
	text := string(kindShared) + base64.StdEncoding.EncodeToString(raw)
	return boxed(&secretKey{text: text, kind: kindShared, mac: signature.NewKey(raw)})
}

func privateSecret(text string, key ed25519.PrivateKey) Secret {
	public := ed25519.PublicKey(key[ed25519.SeedSize:])
	return boxed(&secretKey{text: text, kind: kindPrivate, private: key, public: public})
}

func publicSecret(text string, key ed25519.PublicKey) Secret {
	return boxed(&secretKey{text: text, kind: kindPublic, public: key})
}

// Public returns the public half of a signing key, "whpk_" and base64, to be
// handed to the customer. It is the zero Secret for a shared secret, which has
// no public half.
func (s Secret) Public() Secret {
	if s.IsZero() || s.key.load().public == nil {
		return Secret{}
	}
	return publicSecret(string(kindPublic)+base64.StdEncoding.EncodeToString(s.key.load().public), s.key.load().public)
}

// Reveal returns the text of the secret, to be shown once or stored. It is
// empty for the zero Secret.
func (s Secret) Reveal() string {
	if s.IsZero() {
		return ""
	}
	return s.key.load().text
}

// Hint returns the last four characters of the text that its customer has, which of a
// signing key is that of its public half: enough to tell two secrets apart, and not to
// guess one. It is empty for the zero Secret.
func (s Secret) Hint() string {
	if p := s.Public(); !p.IsZero() {
		s = p
	}
	text := s.Reveal()
	return text[max(0, len(text)-4):]
}

// IsZero reports whether s is the zero Secret.
func (s Secret) IsZero() bool { return s.key == nil }

// Equal reports whether s and o have the same text. It takes the same time
// wherever they differ.
func (s Secret) Equal(o Secret) bool {
	return s.IsZero() == o.IsZero() &&
		subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(o.Reveal())) == 1
}

// is reports whether s is of the kind k. The zero Secret is of none.
func (s Secret) is(k secretKind) bool { return !s.IsZero() && s.key.load().kind == k }

// byText returns the HMAC key that is the text itself.
func (k *secretKey) byText() *signature.Key {
	if m := k.textMAC.Load(); m != nil {
		return m
	}
	m := signature.NewKey([]byte(k.text)) // two at once make the same
	k.textMAC.Store(&m)
	return &m
}

// redacted names the kind, which tells a wrong secret from a missing one, and
// nothing else: not even a few first characters, which would be the same in
// every log line and so identify the secret.
func (s Secret) redacted() string {
	if s.IsZero() {
		return "[no secret]"
	}
	return string(s.key.load().kind) + "[redacted]"
}

// Format prints s redacted under every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.redacted())) }

// String returns a redacted text. See [Secret.Reveal].
func (s Secret) String() string { return s.redacted() }

// GoString returns a redacted text.
func (s Secret) GoString() string { return s.redacted() }

// LogValue returns a redacted text.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.redacted()) }

// MarshalText returns a redacted text, for JSON, XML and other encoders. What
// it returns cannot be read back.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.redacted()), nil }

// RotateParams say how [Engine.RotateSecret] replaces a secret.
type RotateParams struct {
	// Secret is the new one. The zero Secret means a new random one of the kind
	// of the present one: [NewSecret] or [NewSigningKey].
	Secret Secret
	// Overlap is how long the present secrets remain valid. Defaults to
	// Config.SecretOverlap; -1 ends them at once.
	Overlap time.Duration
	// IfRevision is the [Endpoint.Revision] that the endpoint must have, as in
	// [EndpointChange]. 0 is any.
	IfRevision int64

	// Idempotency, if it is set, stores the response of the request together with the
	// new secret.
	Idempotency *Idempotency
}

// Rotated is the result of [Engine.RotateSecret].
type Rotated struct {
	Secret   Secret   // the new one, shown here only
	Endpoint Endpoint // as it is now
}

// Format prints r with the host alone of the endpoint's URL.
func (r Rotated) Format(f fmt.State, verb rune) { format(f, verb, r.shown()) }

// LogValue returns what Format prints.
func (r Rotated) LogValue() slog.Value { return slog.AnyValue(r.shown()) }

func (r Rotated) shown() any {
	type shown Rotated // without the methods
	r.Endpoint.URL = redact.Host(r.Endpoint.URL)
	return shown(r)
}

// RotateSecret gives an endpoint a new secret and returns it, shown here only, as
// by [Engine.CreateEndpoint]. The present ones remain valid for the overlap: until
// it ends, requests carry a signature for each secret, so that the receiver may
// switch at any moment. It fails with [ErrSecretLimit] when too many are valid,
// with a [*ValidationError] when the new one cannot sign or is in use already, with
// [ErrRevisionMismatch], and with [ErrNotFound]. If the present secrets cannot be read
// it fails with [ErrUnreadable], unless Overlap is -1, which replaces them; the default
// for the new secret is then one made by [NewSecret].
func (e *Engine) RotateSecret(ctx context.Context, accountID, id string, p RotateParams) (Rotated, error) {
	var s check.Settings
	check.OrOff(&s, "Overlap", &p.Overlap, e.cfg.SecretOverlap)
	fresh := p.Secret.IsZero()
	var v ValidationError
	if !fresh {
		if err := e.checkSecret(&v, p.Secret); err != nil {
			return Rotated{}, err
		}
	}
	v.addAll(s)
	if err := v.orNil(); err != nil {
		return Rotated{}, err
	}
	now, err := e.askTime(ctx)
	if err != nil {
		return Rotated{}, err
	}
	ep, err := e.change(ctx, changing{accountID, id, p.IfRevision, p.Idempotency, &p.Secret}, func(r *EndpointRecord) (bool, error) {
		if p.Overlap != -1 && slices.Contains(r.Unreadable, partSecrets) {
			return false, fmt.Errorf("%w: its secrets; give this process the key that sealed them, or replace them with Overlap: -1", ErrUnreadable)
		}
		if fresh {
			s, err := e.freshSecret(r.Secrets)
			if err != nil {
				return false, err
			}
			p.Secret = s
		}
		return true, e.rotate(r, p, now)
	})
	if err != nil {
		return Rotated{}, err
	}
	return Rotated{Secret: p.Secret, Endpoint: ep}, nil
}

// freshSecret makes one of the kind of the present one: a customer who verifies
// with a public key must get a new public key.
func (e *Engine) freshSecret(present []EndpointSecret) (Secret, error) {
	s := NewSecret()
	if len(present) > 0 && present[0].Secret.is(kindPrivate) {
		s = NewSigningKey()
	}
	var v ValidationError
	if err := e.checkSecret(&v, s); err != nil {
		return Secret{}, err
	}
	return s, v.orNil()
}

// rotate puts the new secret first and lets the valid ones expire.
func (e *Engine) rotate(r *EndpointRecord, p RotateParams, now time.Time) error {
	secrets := []EndpointSecret{{Secret: p.Secret}}
	expires := now.Add(p.Overlap)
	for _, s := range r.Secrets {
		if s.Secret.Reveal() == p.Secret.Reveal() {
			return invalid("Secret", "is in use already")
		}
		if p.Overlap == -1 || !s.ExpiresAt.IsZero() && !now.Before(s.ExpiresAt) {
			continue
		}
		if s.ExpiresAt.IsZero() || s.ExpiresAt.After(expires) {
			s.ExpiresAt = expires
		}
		secrets = append(secrets, s)
	}
	if len(secrets) > e.cfg.MaxSecrets {
		return ErrSecretLimit
	}
	r.Secrets = secrets
	return nil
}

// checkSecret lets the Signer itself decide what it can sign with. What a Signer of
// somebody else says is for the log alone, since a tenant reads the error.
func (e *Engine) checkSecret(v *ValidationError, s Secret) error {
	return e.guarded("Signer", func() error {
		err := e.cfg.Signer.Sign(http.Header{}, Message{ID: "evt_0", Timestamp: time.Unix(1, 0)}, s)
		var own *ValidationError
		switch {
		case err == nil:
		case errors.As(err, &own) && len(own.Fields) > 0:
			v.add("Secret", own.Fields[0].Problem)
		default:
			v.add("Secret", "is not one that can sign")
			e.log.Warn("webhook: the Signer refused the secret of a request", "error", err)
		}
		return nil
	})
}

// hints returns the hints of the secrets that are valid, newest first.
func hints(secrets []EndpointSecret, now time.Time) []SecretHint {
	var live []SecretHint
	for _, s := range secrets {
		if s.ExpiresAt.IsZero() || now.Before(s.ExpiresAt) {
			live = append(live, SecretHint{Hint: s.Secret.Hint(), ExpiresAt: s.ExpiresAt})
		}
	}
	return live
}
