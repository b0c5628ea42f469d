package webhookui_test

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// strange are strings that break out of badly made pages. internal/itest/browser shows
// them to a browser.
//
//go:embed testdata/hostile.txt
var strange []byte

func corpus(t *testing.T) (list []string) {
	t.Helper()
	for lines := bufio.NewScanner(bytes.NewReader(strange)); lines.Scan(); {
		if line := lines.Text(); strings.HasPrefix(line, `"`) {
			s, err := strconv.Unquote(line)
			require.NoError(t, err, line)
			list = append(list, s)
		}
	}
	require.GreaterOrEqual(t, len(list), 40)
	return list
}

func TestHostileTextIsText(t *testing.T) {
	t.Parallel()
	s := newSite(t, "/", nil)
	ctx := context.Background()
	for i, text := range corpus(t) {
		ep, _, err := s.engine.CreateEndpoint(ctx, webhook.EndpointParams{
			AccountID: "acme", URL: fmt.Sprintf("https://example.com/%d?x=%s", i, url.QueryEscape(text)), Events: []webhook.EventType{"*"},
			Description: text, Metadata: map[string]string{"k": "v"},
		})
		require.NoError(t, err, text)
		for _, path := range []string{
			"", "endpoints/" + ep.ID, "endpoints/" + ep.ID + "/edit", "endpoints/" + url.PathEscape(text),
			"endpoints/" + ep.ID + "/deliveries?event=" + url.QueryEscape(text) + "&from=" + url.QueryEscape(text),
		} {
			p := s.get(path)
			for _, raw := range []string{"<script>alert", "<img src=x", "<svg/onload", "onmouseover=alert(1) x=\"", "<style>*", "<base ", "<iframe", "<meta http-equiv", "<form action=//", "<plaintext"} {
				assert.NotContains(t, p.body, raw, path)
			}
		}
		require.NoError(t, s.engine.DeleteEndpoint(ctx, "acme", ep.ID))
	}
}

// A page finds its stylesheet and the way back, though a name in its address has a slash.
func TestASlashInANameIsPartOfIt(t *testing.T) {
	t.Parallel()
	s := newSite(t, "/a/", nil)
	p := s.get("endpoints/" + url.PathEscape("</b>"))
	assert.Equal(t, 404, p.status)
	assert.Contains(t, p.body, `href="../assets/style.css"`)
}

// What a form holds may be long, and is kept when something in it is wrong.
func TestALongFormIsTaken(t *testing.T) {
	t.Parallel()
	s := newSite(t, "/", nil)
	long := strings.Repeat("long ", 200)
	p := s.create(func(f url.Values) { f.Set("description", long); f.Set("url", "http://example.com/") })
	assert.Equal(t, 422, p.status)
	assert.Contains(t, p.body, `value="`+long+`"`)
	p = s.create(func(f url.Values) { f.Set("description", long) })
	assert.Equal(t, 200, p.status)
	assert.NotEmpty(t, p.secret(), p.body)
}
