package webhook_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

func TestCheckURLNamesTheKind(t *testing.T) {
	t.Parallel()
	tr := newTestTransport(t, webhook.HTTPConfig{})
	for raw, kind := range map[string]string{
		"https://" + strings.Repeat("a", 3000): "too_long",
		"example.com":                          "parse",
		"http://example.com/":                  "scheme",
		"https://user:hunter2@example.com/":    "userinfo",
		"https://localhost/":                   "host",
		"https://bücher.example/":              "host_not_ascii",
		"https://2130706433/":                  "host_numeric",
		"https://10.0.0.1/":                    "address",
		"https://example.com:0/":               "port",
		"https://example.com/#a":               "fragment",
	} {
		err := tr.CheckURL(raw)
		var e *webhook.URLError
		require.ErrorAs(t, err, &e, raw)
		assert.Equal(t, kind, e.Kind)
		assert.Equal(t, "invalid_url", e.Code())
		assert.True(t, errors.Is(err, webhook.ErrInvalidArgument))
		assert.NotContains(t, err.Error(), "hunter2")
		assert.NotEqual(t, "webhook: invalid url: "+kind, err.Error(), "the text says more than the kind")
	}
	assert.NoError(t, tr.CheckURL("https://example.com/"))
	assert.Equal(t, "webhook: invalid url: own_rule", (&webhook.URLError{Kind: "own_rule"}).Error())
}

type plainTransport struct{}

func (plainTransport) Send(context.Context, *webhook.Request) (*webhook.Response, error) {
	return nil, errors.ErrUnsupported
}

type choosyTransport struct{ plainTransport }

func (choosyTransport) CheckURL(raw string) error {
	if strings.HasPrefix(raw, "queue:") {
		return nil
	}
	return &webhook.URLError{Kind: "scheme"}
}

func TestTheTransportDecidesWhichURLsAreRegistered(t *testing.T) {
	t.Parallel()
	private := newTestTransport(t, loopbackConfig())
	for _, c := range []struct {
		transport   webhook.Transport
		raw, normal string // an empty normal form means refused
	}{
		{private, "HTTP://127.0.0.1:80", "http://127.0.0.1/"},
		{private, "http://10.0.0.1/", ""},
		{choosyTransport{}, "queue:A", "queue:A"},
		{choosyTransport{}, "https://example.com/", ""},
		{plainTransport{}, "HTTPS://Example.com", "https://example.com/"},
		{plainTransport{}, "http://example.com/", ""},
		{plainTransport{}, "https://10.0.0.1/", ""},
	} {
		got, err := webhook.NormalizeURL(c.transport, c.raw)
		if c.normal == "" {
			assert.ErrorIs(t, err, webhook.ErrInvalidArgument, c.raw)
			continue
		}
		assert.NoError(t, err, c.raw)
		assert.Equal(t, c.normal, got)
	}
	assert.NoError(t, webhook.CheckReachable(t.Context(), plainTransport{}, "https://example.com/"), "nobody to ask")
}
