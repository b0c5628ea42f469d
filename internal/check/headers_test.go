package check_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook/internal/check"
)

func TestCustomHeadersThatAreRefused(t *testing.T) {
	t.Parallel()
	many := map[string]string{}
	for i := range 200 {
		many[fmt.Sprintf("X-%d", i)] = "v"
	}
	for _, c := range []struct {
		number, problem string
		headers         map[string]string
	}{
		{"A54", "is reserved", map[string]string{"Host": "169.254.169.254"}},
		{"A54", "is reserved", map[string]string{"hOST": "169.254.169.254"}},
		{"A54", "is reserved", map[string]string{"content-length": "0"}},
		{"A54", "is reserved", map[string]string{"Transfer-Encoding": "chunked"}},
		{"A54", "is reserved", map[string]string{"Connection": "Webhook-Signature"}},
		{"A54", "is reserved", map[string]string{"Proxy-Authorization": "x"}},
		{"A54", "is reserved", map[string]string{"webhook-id": "x"}},
		{"A54", "is reserved", map[string]string{"WEBHOOK-anything": "x"}},
		{"A54", "is reserved", map[string]string{"TE": "trailers"}},
		{"A54", "is reserved", map[string]string{"HTTP2-Settings": "x"}},
		{"B9", "is reserved", map[string]string{"accept-encoding": "gzip"}},
		{"B34", "is reserved", map[string]string{"Idempotency-Key": "x"}},
		{"B34", "is reserved", map[string]string{"x-idempotency-key": "x"}},
		{"A55", "printable ASCII", map[string]string{"A": "a\r\nX: b"}},
		{"A55", "printable ASCII", map[string]string{"A": "a\x00"}},
		{"A55", "printable ASCII", map[string]string{"A": "ü"}},
		{"A55", "printable ASCII", map[string]string{"A": " a"}},
		{"A55", "not a header name", map[string]string{"a b": "c"}},
		{"A55", "not a header name", map[string]string{"": "c"}},
		{"A55", "not a header name", map[string]string{"a:": "c"}},
		{"A55", "not a header name", map[string]string{"ü": "c"}},
		{"A55", "not a header name", map[string]string{"a\r\nb": "c"}},
		{"A55", "given twice", map[string]string{"X-A": "c", "x-a": "d"}},
		{"A55", "8192 bytes", map[string]string{"X": strings.Repeat("a", 64<<10)}},
		{"A55", "50 entries", many},
	} {
		text := fmt.Sprint(check.Headers(c.headers))
		assert.Contains(t, text, c.problem, "%s %.60q", c.number, fmt.Sprint(c.headers))
		assert.Less(t, len(text), 4096)
		assert.NotContains(t, text, "\r")
	}
}

func TestCustomHeadersThatAreAccepted(t *testing.T) {
	t.Parallel()
	fifty := map[string]string{}
	for i := range 50 {
		fifty[fmt.Sprintf("X-%d", i)] = ""
	}
	for _, h := range []map[string]string{
		nil,
		{},
		fifty,
		{"Authorization": "Bearer a~b", "x-tenant": "a \t b", "X_Y": "1", "Cookie": "a=b"},
		{"X": strings.Repeat("a", 8<<10-1)},
	} {
		assert.Empty(t, check.Headers(h))
	}
}

// Whatever passes can be sent: net/http takes it as it is.
func FuzzHeaders(f *testing.F) {
	f.Add("X-A", "b")
	f.Add("Host", "a\r\nX: b")
	f.Fuzz(func(t *testing.T, name, value string) {
		if check.Headers(map[string]string{name: value}) != nil {
			return
		}
		var wire strings.Builder
		h := http.Header{}
		h.Set(name, value)
		require.NoError(t, h.Write(&wire))
		require.Equal(t, http.CanonicalHeaderKey(name)+": "+value+"\r\n", wire.String())
	})
}
