package webhook

import (
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"strings"
)

// Secret is the key that signs the requests to one endpoint. It prints, logs
// and marshals redacted; [Secret.Reveal] answers the text. The zero Secret is
// refused everywhere. A Secret is immutable and safe for concurrent use.
type Secret struct {
	text string // as shown to the customer
	key  []byte
}

const secretPrefix = "whsec_"

// NewSecret makes a random secret of 32 bytes.
func NewSecret() Secret {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails since Go 1.24
	return Secret{text: secretPrefix + base64.StdEncoding.EncodeToString(key), key: key}
}

// ParseSecret reads the text of a secret, "whsec_" and the base64 of 24 to 64
// bytes.
func ParseSecret(s string) (Secret, error) {
	enc, ok := strings.CutPrefix(s, secretPrefix)
	key, err := base64.StdEncoding.Strict().DecodeString(enc)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return Secret{}, invalid("Secret", `must be "whsec_" and the base64 of 24 to 64 bytes`)
	}
	return Secret{text: s, key: key}, nil
}

// Reveal answers the text of the secret, to be shown once or stored.
func (s Secret) Reveal() string { return s.text }

// IsZero reports whether s is the zero Secret.
func (s Secret) IsZero() bool { return s.text == "" }

const redacted = "whsec_[redacted]"

// String answers a redacted text.
func (s Secret) String() string { return redacted }

// GoString answers a redacted text.
func (s Secret) GoString() string { return redacted }

// LogValue answers a redacted text.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText answers a redacted text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
