package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/ringyo-ai/webhook"
)

// poster is what anybody would write first: render, sign, POST with net/http.
// The bare loop and River's workers share it. Its connections are kept like
// those of the library's HTTPTransport.
type poster struct {
	client *http.Client
	signer webhook.Signer
	secret webhook.Secret
}

func newPoster() *poster {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 1000, 1000
	t.DisableCompression = true
	return &poster{
		client: &http.Client{Transport: t, Timeout: 10 * time.Second},
		signer: webhook.StandardSigner(),
		secret: webhook.NewSecret(),
	}
}

func (p *poster) post(ctx context.Context, url, id string, data []byte) error {
	now := time.Now()
	body := make([]byte, 0, len(data)+160)
	body = fmt.Appendf(body, `{"id":"%s","event":"%s","timestamp":"%s","webhook_id":"wh_bench","data":`, id, eventType, now.UTC().Format(time.RFC3339))
	body = append(append(body, data...), '}')
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if err := p.signer.Sign(req.Header, webhook.Message{ID: id, Timestamp: now, Body: body}, p.secret); err != nil {
		return err
	}
	res, err := p.client.Do(req)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 4096))
	_ = res.Body.Close()
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("responded with %d", res.StatusCode)
	}
	return nil
}

func (p *poster) close() { p.client.CloseIdleConnections() }
