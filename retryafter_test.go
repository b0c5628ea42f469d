package webhook_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
	const longest = 15 * time.Minute
	for _, c := range []struct {
		number string
		status int
		value  string
		want   time.Duration // 0: asks for nothing
	}{
		{"B22", 429, "120", 2 * time.Minute},
		{"B22", 429, " 120\t", 2 * time.Minute},
		{"B22", 503, "1", time.Second},
		{"B22", 503, "Mon, 15 Jan 2024 10:32:00 GMT", 2 * time.Minute},
		{"B22", 503, "Monday, 15-Jan-24 10:32:00 GMT", 2 * time.Minute},
		{"B22", 503, "Mon Jan 15 10:32:00 2024", 2 * time.Minute},
		{"B23", 503, "900", longest},
		{"B23", 503, "901", longest},
		{"B23", 503, "3600", longest},
		{"B23", 503, "Mon, 15 Jan 2024 11:30:00 GMT", longest},
		{"B24", 503, "Fri, 31 Dec 9999 23:59:59 GMT", longest},
		{"B24", 503, "Fri, 31 Dec 1999 23:59:59 GMT", 0},
		{"B24", 503, "Mon, 15 Jan 2024 10:30:00 GMT", 0},
		{"B24", 503, "Fri, 31 Dec 0000 23:59:59 GMT", 0},
		{"B24", 503, "0", 0},
		{"B24", 503, "-5", 0},
		{"B24", 503, "+5", 0},
		{"B24", 503, "", 0},
		{"B24", 503, "soon", 0},
		{"B24", 503, "1e9", 0},
		{"B24", 503, "1.5", 0},
		{"B24", 503, "NaN", 0},
		{"B24", 503, "٣", 0},
		{"B24", 503, "120, 60", 0},
		{"B24", 503, "9223372036854775808", longest},
		{"B24", 503, "1" + strings.Repeat("0", 30), longest},
		{"B24", 503, strings.Repeat("0", 60000), 0},
		{"B25", 200, "120", 0},
		{"B25", 301, "120", 0},
		{"B25", 500, "120", 0},
	} {
		got, ok := webhook.RetryAfter(http.Header{"Retry-After": {c.value}}, c.status, now)
		assert.Equal(t, c.want, got, "%s %d %.40q", c.number, c.status, c.value)
		assert.Equal(t, c.want > 0, ok, "%s %d %.40q", c.number, c.status, c.value)
	}
	for _, values := range [][]string{nil, {}, {"120", "60"}} {
		_, ok := webhook.RetryAfter(http.Header{"Retry-After": values}, 429, now)
		assert.False(t, ok, "B24 %q", values)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"120", "-5", "1e9", "Fri, 31 Dec 1999 23:59:59 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "99999999999999999999"} {
		f.Add(s, int64(1705314600))
	}
	f.Fuzz(func(t *testing.T, value string, unix int64) {
		d, ok := webhook.RetryAfter(http.Header{"Retry-After": {value}}, 503, time.Unix(unix, 0))
		require.Equal(t, ok, d > 0)
		require.GreaterOrEqual(t, d, time.Duration(0))
		require.LessOrEqual(t, d, webhook.MaxRetryAfter)
	})
}
