package httpsend_test

import (
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook/internal/httpsend"
)

// Whatever a receiver answers: no panic, nothing of it in the error, no more of
// its body than asked for, and never our own fault.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nabc",
		"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 500 x\r\n\r\n",
		"SSH-2.0-OpenSSH\r\n", "", "HTTP/1.1 2", "\x15\x03\x01\x00\x02\x02\x0a",
	} {
		f.Add([]byte(s))
	}
	known := map[string]bool{}
	for _, d := range details() {
		known[d] = true
	}
	cfg := overHTTP()
	cfg.Excerpt = 10
	f.Fuzz(func(t *testing.T, answer []byte) {
		tr := newSender(t, cfg)
		inMemory(t, tr, func(c net.Conn) {
			readRequest(c)
			_, _ = c.Write(answer)
		})
		res, err := tr.Send(t.Context(), httpsend.Request{URL: "http://a.example/", Header: http.Header{}, Body: []byte("{}")})
		if err != nil {
			e := failure(t, err)
			require.True(t, known[e.Detail], e.Detail)
			require.Contains(t, []httpsend.Kind{httpsend.Protocol, httpsend.Connection}, e.Kind)
			return
		}
		require.LessOrEqual(t, len(res.Body), 10)
	})
}
