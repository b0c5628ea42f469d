package webhook_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// BenchmarkHTTPTransport sends 1 KiB over a kept-alive loopback connection,
// beside what net/http costs alone: through http.Client, as most people write
// it, and through the bare RoundTripper.
func BenchmarkHTTPTransport(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer srv.Close()
	body := bytes.Repeat([]byte("x"), 1024)
	header := http.Header{"Content-Type": {"application/json"}, "User-Agent": {"bench"}}
	tr := newTestTransport(b, loopbackConfig())
	bare := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100}
	defer bare.CloseIdleConnections()
	client := &http.Client{Transport: bare}
	through := func(do func(*http.Request) (*http.Response, error)) func() error {
		return func() error {
			req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, srv.URL+"/hooks/ringyo?a=b", bytes.NewReader(body))
			if err != nil {
				return err
			}
			req.Header = header
			res, err := do(req)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			return err
		}
	}
	for _, c := range []struct {
		name string
		send func() error
	}{
		{"transport", func() error {
			_, err := tr.Send(b.Context(), &webhook.Request{URL: srv.URL + "/hooks/ringyo?a=b", Header: header, Body: body})
			return err
		}},
		{"http.Client", through(client.Do)},
		{"RoundTrip", through(bare.RoundTrip)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.send(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.name+"/parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := c.send(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkCheckURL is what checking a URL anew at each attempt costs.
func BenchmarkCheckURL(b *testing.B) {
	tr := newTestTransport(b, webhook.HTTPConfig{})
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, tr.CheckURL("https://hooks.example.com/ringyo/events?tenant=42"))
	}
}
