package httpsend_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook/internal/httpsend"
)

// certificate makes a self-signed certificate for 127.0.0.1.
func certificate(t testing.TB, change func(*x509.Certificate)) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: secretBanner},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func TestTLS(t *testing.T) {
	t.Parallel()
	asIs := func(*x509.Certificate) {}
	for _, c := range []struct {
		name   string
		cert   func(*x509.Certificate)
		server *tls.Config
		client *tls.Config // nil: trusts the server's certificate
		detail string      // empty: works
	}{
		{"works", asIs, &tls.Config{}, nil, ""},
		{"B35 h2 is not spoken", asIs, &tls.Config{NextProtos: []string{"h2", "http/1.1"}}, nil, ""},
		{"B28 TLS 1.0 only", asIs, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, nil, "the TLS handshake failed"},
		{"B28 no common cipher", asIs, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}}, nil, "the TLS handshake failed"},
		{"B28 client certificate wanted, TLS 1.2", asIs, &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}, nil, "the TLS handshake failed"},
		{"B28 client certificate wanted, TLS 1.3", asIs, &tls.Config{ClientAuth: tls.RequireAnyClientCert}, nil, "the TLS connection failed"},
		{"unknown authority", asIs, &tls.Config{}, &tls.Config{RootCAs: x509.NewCertPool()}, "the certificate is signed by an unknown authority"},
		{"expired", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, &tls.Config{}, nil, "the certificate has expired or is not valid yet"},
		{"another host", func(c *x509.Certificate) { c.IPAddresses = nil; c.DNSNames = []string{secretBanner} }, &tls.Config{}, nil, "the certificate is for another host"},
		{"for another use", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection} }, &tls.Config{}, nil, "the certificate is not valid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cert, roots := certificate(t, c.cert)
			server := c.server.Clone()
			server.Certificates = []tls.Certificate{cert}
			url := rawServer(t, func(conn net.Conn) {
				answerWith("HTTP/1.1 200 OK\r\n\r\n")(tls.Server(conn, server))
			})
			cfg := loopback()
			if cfg.TLS = c.client; cfg.TLS == nil {
				cfg.TLS = &tls.Config{RootCAs: roots}
			}
			_, err := postTo(t, newSender(t, cfg), strings.Replace(url, "http", "https", 1))
			if c.detail == "" {
				require.NoError(t, err)
				return
			}
			e := failure(t, err)
			assert.Equal(t, httpsend.TLS, e.Kind, e.Err)
			assert.Equal(t, c.detail, e.Detail, e.Err)
			assertFixedWords(t, e)
		})
	}
}

func TestTLSAndPlainMixedUp(t *testing.T) { // B29
	t.Parallel()
	send := func(url string) (httpsend.Response, error) {
		return postTo(t, newSender(t, loopback()), url)
	}
	plain := rawServer(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 400 "+secretBanner+"\r\nConnection: close\r\n\r\n")
		hang(c)
	})
	_, err := send(strings.Replace(plain, "http", "https", 1))
	e := failure(t, err)
	assert.Equal(t, httpsend.TLS, e.Kind)
	assert.Equal(t, "the server does not speak TLS", e.Detail)

	closing := rawServer(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) })
	_, err = send(strings.Replace(closing, "http", "https", 1))
	e = failure(t, err)
	assert.Equal(t, httpsend.Connection, e.Kind)
	assertFixedWords(t, e)

	overTLS := httptest.NewUnstartedServer(nil)
	overTLS.Config.ErrorLog = log.New(io.Discard, "", 0)
	overTLS.StartTLS()
	t.Cleanup(overTLS.Close)
	res, err := send(strings.Replace(overTLS.URL, "https", "http", 1))
	require.NoError(t, err)
	assert.Equal(t, http.StatusBadRequest, res.StatusCode)
}

// The caller's TLS settings are copied, and kept apart from the library's own.
func TestTLSConfigIsCloned(t *testing.T) {
	t.Parallel()
	cert, roots := certificate(t, func(*x509.Certificate) {})
	url := rawServer(t, func(c net.Conn) {
		answerWith("HTTP/1.1 200 OK\r\n\r\n")(tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}}))
	})
	cfg := loopback()
	cfg.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}}
	tr := newSender(t, cfg)
	cfg.TLS.RootCAs = nil
	_, err := postTo(t, tr, strings.Replace(url, "http", "https", 1))
	assert.NoError(t, err)
	assert.Equal(t, []string{"h2"}, cfg.TLS.NextProtos)
}

// Sessions are resumed, but one that a server has made large is not remembered.
func TestTLSSessions(t *testing.T) { // B43
	t.Parallel()
	for _, c := range []struct {
		name    string
		padding int // bytes of a further certificate
		resumed bool
	}{{"usual", 8 << 10, true}, {"large", 60 << 10, false}} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				cert, roots := certificate(t, func(*x509.Certificate) {})
				further, _ := certificate(t, func(x *x509.Certificate) {
					x.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: make([]byte, c.padding)}}
				})
				cert.Certificate = append(cert.Certificate, further.Certificate...)
				server := &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: version}
				resumed := make(chan bool, 2)
				url := rawServer(t, func(conn net.Conn) {
					s := tls.Server(conn, server)
					answerWith("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")(s)
					resumed <- s.ConnectionState().DidResume
				})
				cfg := loopback()
				cfg.TLS = &tls.Config{RootCAs: roots}
				tr := newSender(t, cfg)
				for i := range 2 {
					_, err := postTo(t, tr, strings.Replace(url, "http", "https", 1))
					require.NoError(t, err)
					assert.Equal(t, c.resumed && i == 1, <-resumed)
				}
			})
		}
	}
}
