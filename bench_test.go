//go:build !race

package webhook_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

var benchSizes = []struct {
	name string
	n    int
}{{"256B", 256}, {"1KiB", 1 << 10}, {"4KiB", 4 << 10}, {"64KiB", 64 << 10}, {"1MiB", 1 << 20}}

var sumSink [sha256.Size]byte

// benchRaw is the limit that signing and verifying are measured against: the
// bare hash of the same bytes.
func benchRaw(b *testing.B, body []byte) {
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		sumSink = sha256.Sum256(body)
	}
}

func benchBody(n int) []byte { return bytes.Repeat([]byte("x"), n) }

func BenchmarkSign(b *testing.B) {
	s := mustSecret(b, exampleSecret)
	signer := webhook.StandardSigner()
	for _, size := range benchSizes {
		body := benchBody(size.n)
		m := webhook.Message{ID: "evt_0190a5f2c7d47c0e8f6b1c2d3e4f5a6b", Timestamp: time.Now(), Body: body}
		b.Run(size.name+"/sha256", func(b *testing.B) { benchRaw(b, body) })
		b.Run(size.name+"/Sign", func(b *testing.B) {
			h := http.Header{}
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if err := signer.Sign(h, m, s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	s := mustSecret(b, exampleSecret)
	v, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{s}, Tolerance: 24 * time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	for _, size := range benchSizes {
		r := benchRequest(b, size.n, s)
		b.Run(size.name+"/sha256", func(b *testing.B) { benchRaw(b, r.body) })
		b.Run(size.name+"/Verify", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(r.body)))
			for b.Loop() {
				if err := webhook.Verify(r.body, r.header, s); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(size.name+"/Verifier", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(r.body)))
			for b.Loop() {
				if err := v.Verify(r.body, r.header); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchRequest(b *testing.B, n int, secrets ...webhook.Secret) request {
	r := request{http.Header{}, benchBody(n)}
	m := webhook.Message{ID: "evt_0190a5f2c7d47c0e8f6b1c2d3e4f5a6b", Timestamp: time.Now(), Body: r.body}
	if err := webhook.StandardSigner().Sign(r.header, m, secrets...); err != nil {
		b.Fatal(err)
	}
	return r
}

// BenchmarkRefuse measures what a stranger can make a receiver do, beside one
// valid request.
func BenchmarkRefuse(b *testing.B) {
	s, key := mustSecret(b, exampleSecret), webhook.NewSigningKey()
	bad := "v1," + base64.StdEncoding.EncodeToString(make([]byte, 32)) + " "
	badPublic := "v1a," + base64.StdEncoding.EncodeToString(make([]byte, 64)) + " "
	valid := benchRequest(b, 1<<10, s)
	benchVerify(b, "valid 1KiB", valid, s, nil)
	benchVerify(b, "valid 1KiB v1a", benchRequest(b, 1<<10, key), key.Public(), nil)
	for _, tc := range []struct {
		name   string
		header string
	}{
		{"10000 signatures", strings.Repeat(bad, 10_000)},
		{"1MB of spaces", strings.Repeat(" ", 1_000_000)},
		{"1MB of commas", strings.Repeat(",", 1_000_000)},
		{"4KiB of signatures", strings.Repeat(bad, 4096/len(bad))},
		{"4KiB of spaces", strings.Repeat(" ", 4096)},
		{"4KiB of v1a", strings.Repeat(badPublic, 4096/len(badPublic))},
	} {
		r := request{valid.header.Clone(), valid.body}
		r.header.Set("Webhook-Signature", tc.header)
		benchVerify(b, tc.name, r, s, webhook.ErrSignature)
	}
	r := request{valid.header.Clone(), valid.body}
	r.header.Set("Webhook-Signature", strings.Repeat(badPublic, 4096/len(badPublic)))
	benchVerify(b, "4KiB of v1a with a public key", r, key.Public(), webhook.ErrSignature)
}

func benchVerify(b *testing.B, name string, r request, s webhook.Secret, want error) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := webhook.Verify(r.body, r.header, s); err != want {
				b.Fatal(fmt.Errorf("got %v", err))
			}
		}
	})
}

// BenchmarkAppendSignature measures what an attempt pays for the signature
// itself, without the header around it, beside the bare hash of the same bytes.
func BenchmarkAppendSignature(b *testing.B) {
	s := webhook.NewSecret()
	for _, n := range []int{256, 1 << 10, 4 << 10, 64 << 10, 1 << 20} {
		body := bytes.Repeat([]byte("x"), n)
		b.Run(fmt.Sprint(n, "B/sha256"), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				sha256.Sum256(body)
			}
		})
		b.Run(fmt.Sprint(n, "B/append"), func(b *testing.B) {
			m := webhook.Message{ID: "evt_0190a5f2c7d47c0e8f6b1c2d3e4f5a6b", Timestamp: time.Now(), Body: body}
			buf := make([]byte, 0, 128)
			b.ReportAllocs()
			b.SetBytes(int64(n))
			for b.Loop() {
				buf = webhook.AppendSignature(buf[:0], m, s)
			}
		})
	}
}

// BenchmarkEnvelope measures the rendering of one request body.
func BenchmarkEnvelope(b *testing.B) {
	at := time.Date(2024, 1, 15, 10, 30, 0, 123e6, time.UTC)
	for _, size := range []int{256, 1 << 10, 64 << 10} {
		data := bytes.Repeat([]byte("1"), size)
		dst := make([]byte, 0, size+512)
		b.Run(fmt.Sprint(size, "B"), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				webhook.AppendEnvelope(dst, "evt_0190a5f2c7d47c0e8f6b1c2d3e4f5a6b", webhook.EventCallCompleted, at, "wh_0190a5f2c7d47c0e8f6b1c2d3e4f5a6b", false, data)
			}
		})
	}
}

// BenchmarkValidateEvents measures what Emit does before the store: checking
// and encoding one call.completed of about 700 bytes.
func BenchmarkValidateEvents(b *testing.B) {
	e, err := webhook.NewEvent("acc_1", webhook.EventCallCompleted, webhook.SampleData(webhook.EventCallCompleted))
	if err != nil {
		b.Fatal(err)
	}
	events := []webhook.Event{e}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := webhook.ValidateEvents(events, 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEmit measures Emit of 1 KiB events on a memstore, one by one and in
// batches, where nothing is delivered. The figures are per event.
func BenchmarkEmit(b *testing.B) {
	data := json.RawMessage(`{"pad":"` + strings.Repeat("x", 1014) + `"}`)
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprint("batch", batch), func(b *testing.B) {
			e, err := webhook.New(webhook.Config{Store: memstore.New()})
			require.NoError(b, err)
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			events := make([]webhook.Event, 0, batch)
			for b.Loop() {
				ev, err := webhook.NewEvent("acc", "bench.event", data)
				require.NoError(b, err)
				if events = append(events, ev); len(events) == batch {
					require.NoError(b, e.Emit(context.Background(), events...))
					events = events[:0]
				}
			}
		})
	}
}

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

// Not under the race detector, which makes sync.Pool forget, and not parallel,
// since allocations are counted for the whole process.

func TestVerifyAllocatesNothing(t *testing.T) {
	shared, key := mustSecret(t, exampleSecret), webhook.NewSigningKey()
	for name, tc := range map[string]struct {
		scheme          webhook.Scheme
		signs, verifies webhook.Secret
	}{
		"v1":          {webhook.StandardSigner(), shared, shared},
		"v1a":         {webhook.StandardSigner(), key, key.Public()},
		"timestamped": {timestamped(t, "X-Signature"), shared, shared},
	} {
		v := newVerifier(t, webhook.VerifierConfig{Secrets: list(tc.verifies), Scheme: tc.scheme})
		r := signedWith(t, tc.scheme, time.Now(), exampleBody, tc.signs)
		other := webhook.NewSecret()
		refused := newVerifier(t, webhook.VerifierConfig{Secrets: list(other), Scheme: tc.scheme})
		assert.Zero(t, testing.AllocsPerRun(100, func() { _ = v.Verify(r.body, r.header) }), name)
		assert.Zero(t, testing.AllocsPerRun(100, func() { _ = refused.Verify(r.body, r.header) }), name+", refused")
		if name != "timestamped" {
			assert.Zero(t, testing.AllocsPerRun(100, func() { _ = webhook.Verify(r.body, r.header, tc.verifies) }), name+", one shot")
		}
	}
}

func TestSignAllocatesTheHeaderStringsOnly(t *testing.T) {
	shared := mustSecret(t, exampleSecret)
	m := webhook.Message{ID: "evt_1", Timestamp: time.Now(), Body: []byte(exampleBody)}
	h := http.Header{}
	for _, scheme := range []webhook.Scheme{webhook.StandardSigner(), timestamped(t, "X-Signature")} {
		for _, secrets := range [][]webhook.Secret{{shared}, {shared, shared}} {
			assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = scheme.Sign(h, m, secrets...) }), 2.0)
		}
	}
}

func TestAppendingASignatureAllocatesNothing(t *testing.T) {
	s := webhook.NewSecret()
	m := webhook.Message{ID: "evt_1", Timestamp: time.Now(), Body: make([]byte, 1<<10)}
	buf := make([]byte, 0, 128)
	assert.Zero(t, testing.AllocsPerRun(100, func() { buf = webhook.AppendSignature(buf[:0], m, s) }))
	assert.Zero(t, testing.AllocsPerRun(100, func() { buf = webhook.AppendTimestamped(buf[:0], m, s) }))
}

func TestEnvelopeAllocatesNothingIntoABufferOfItsSize(t *testing.T) {
	data, ts := make([]byte, 1<<10), time.Now()
	buf := make([]byte, 0, webhook.EnvelopeOverhead+len("evt_1call.completedwh_1")+len(data))
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		buf = webhook.AppendEnvelope(buf[:0], "evt_1", webhook.EventCallCompleted, ts, "wh_1", false, data)
	}))
}
