package redact_test

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook/internal/redact"
)

const secret = "https://hooks.example.com:8443/services/T0/S3%43RET?token=S3CRET"

func TestHost(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		secret:                    "https://hooks.example.com:8443",
		"http://u:p@[::1]:80/x#y": "http://[::1]:80",
		"/services/T0":            "",
		":S3CRET":                 "",
		"":                        "",
	} {
		assert.Equal(t, want, redact.Host(raw), raw)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                     "",
		"no URL at a":                          "no URL at a",
		`Post "` + secret + `": EOF`:           `Post "https://hooks.example.com:8443": EOF`,
		"to " + secret + ".":                   "to https://hooks.example.com:8443.",
		"two: " + secret + ", http://b/c":      "two: https://hooks.example.com:8443, http://b",
		"HTTPS://B.example/S3CRET":             "HTTPS://B.example",
		"proxy http://me:S3CRET@proxy:3128":    "proxy http://proxy:3128",
		"https://b?S3CRET and https://c#S3":    "https://b and https://c",
		"postgres://host/db is of another":     "postgres://host/db is of another",
		"POST /services/T0/S3%43RET HTTP/1.1":  "POST /… HTTP/1.1",
		"no route for /services/T0/S3CRET":     "no route for /…",
		"the query token=S3CRET":               "the query /…",
		"dial tcp 192.0.2.1:443: i/o timeout":  "dial tcp 192.0.2.1:443: i/o timeout",
		"https:// and then https://x.example/": "https:// and then https://x.example",
	} {
		assert.Equal(t, want, redact.Text(text, "", secret), text)
	}
	odd := `https://h.example/a?b="S3CRET`
	assert.Equal(t, `Post "https://h.example": EOF`, redact.Text(fmt.Sprintf("Post %q: EOF", odd), odd))
	assert.Equal(t, "/hook is no secret", redact.Text("/hook is no secret", "https://h.example/hook"))
}

type private struct{ text string }

func (p private) Error() string { return p.text }

func TestErrorHasTheHostAlone(t *testing.T) {
	t.Parallel()
	failed := &url.Error{Op: "Post", URL: secret, Err: io.ErrUnexpectedEOF}
	elsewhere := &url.Error{Op: "Post", URL: ":S3CRET", Err: io.ErrUnexpectedEOF}
	for name, err := range map[string]error{
		"of net/http":             failed,
		"wrapped":                 fmt.Errorf("mine: %w", failed),
		"twice":                   fmt.Errorf("mine: %w", fmt.Errorf("inner: %w", failed)),
		"joined":                  errors.Join(io.ErrClosedPipe, failed),
		"wrapped by a silent one": silent{failed},
		"what is no URL":          fmt.Errorf("mine: %w", elsewhere),
		"in words":                fmt.Errorf("cannot reach %s: %w", secret, io.ErrUnexpectedEOF),
		"the path in words":       fmt.Errorf("no route for /services/T0/S3CRET: %w", io.ErrUnexpectedEOF),
		"of a type":               errors.Join(private{secret}, io.ErrUnexpectedEOF),
	} {
		got := redact.Error(err, secret)
		require.ErrorIs(t, got, io.ErrUnexpectedEOF, name)
		assert.NotErrorIs(t, got, io.EOF, name)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			assert.NotContains(t, fmt.Sprintf(verb, got), "RET", name+" "+verb)
		}
		assert.NoError(t, errors.Unwrap(got), name)
		if found := new(url.Error); errors.As(got, &found) {
			assert.NotContains(t, found.Error(), "S3CRET", name)
		}
	}
	var kept private
	assert.ErrorAs(t, redact.Error(private{secret}), &kept)
	assert.EqualError(t, redact.Error(failed), `Post "https://hooks.example.com:8443": unexpected EOF`)
}

// silent does not say what it wraps.
type silent struct{ error }

func (silent) Error() string   { return "failed" }
func (s silent) Unwrap() error { return s.error }

func TestErrorsWithoutAURLAreLeftAlone(t *testing.T) {
	t.Parallel()
	assert.NoError(t, redact.Error(nil))
	for _, err := range []error{io.EOF, fmt.Errorf("mine: %w", io.EOF), errors.Join(io.EOF, private{"x"})} {
		assert.Same(t, err, redact.Error(err, secret, ""))
	}
}
