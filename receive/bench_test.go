package receive_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
)

// BenchmarkReceiver compares what a stranger can make a Receiver do with what a
// valid request costs. Each refusal has to stay under 1 ms.
func BenchmarkReceiver(b *testing.B) {
	forged := callCompleted("evt_1")
	forged.secret = webhook.NewSecret().Reveal()
	header := func(value string) *http.Request {
		r := forged.request()
		r.Header.Set("webhook-signature", value)
		return r
	}
	const signature = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= "
	large := forged.request()
	large.ContentLength = 10 << 30
	unsigned := forged.request()
	unsigned.Header.Del("webhook-signature")
	endlessBody := forged.request()
	endlessBody.ContentLength = -1
	for name, c := range map[string]struct {
		request *http.Request
		body    func() io.Reader
		status  int
	}{
		"valid":             {request: callCompleted("evt_1").request(), status: 200},
		"forged":            {request: forged.request(), status: 401},
		"10000_signatures":  {request: header(strings.Repeat(signature, 10_000)), status: 401},
		"1MiB_separators":   {request: header(strings.Repeat(" ", 1<<20)), status: 401},
		"10GiB_announced":   {request: large, status: 413},
		"10GiB_unannounced": {request: endlessBody, body: func() io.Reader { return io.LimitReader(&endless{}, 10<<30) }, status: 413},
		"slow_body":         {request: endlessBody, body: func() io.Reader { return new(dripping) }, status: 408},
		"unsigned_endless":  {request: unsigned, body: func() io.Reader { return &endless{} }, status: 401},
	} {
		b.Run(name, func(b *testing.B) {
			r := benchReceiver(b)
			text := forged.body
			b.ReportAllocs()
			for b.Loop() {
				body := io.Reader(strings.NewReader(text))
				if c.body != nil {
					body = c.body()
				}
				c.request.Body = io.NopCloser(body)
				w := httptest.NewRecorder()
				r.ServeHTTP(w, c.request)
				if w.Code != c.status {
					b.Fatalf("status %d", w.Code)
				}
			}
		})
	}
}

// dripping is a body of which single bytes arrive, until the read deadline.
type dripping struct{ read int }

func (d *dripping) Read(b []byte) (int, error) {
	if d.read++; d.read > 1<<10 {
		return 0, os.ErrDeadlineExceeded
	}
	b[0] = ' '
	return 1, nil
}

func benchReceiver(b *testing.B) *receive.Receiver {
	b.Helper()
	r, err := receive.New(receive.Config{
		Secrets: []webhook.Secret{receiverSecret}, Deduper: receive.NoDedupe, Tolerance: -1,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	r.OnOther(func(context.Context, webhook.Event) error { return nil })
	return r
}
