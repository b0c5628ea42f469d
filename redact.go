package webhook

import (
	"fmt"
	"log/slog"
)

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

// String answers a redacted text. See [Secret.Reveal].
func (s Secret) String() string { return s.redacted() }

// GoString answers a redacted text.
func (s Secret) GoString() string { return s.redacted() }

// LogValue answers a redacted text.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.redacted()) }

// MarshalText answers a redacted text, for JSON, XML and other encoders. What
// it answers cannot be read back.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.redacted()), nil }
