package main

import (
	"context"
	"net/http"
	"strings"

	"github.com/ringyo-ai/webhook"
)

// failPath is the path of endpoints whose deliveries fail without being sent.
const failPath = "fail"

// stubTransport responds instead of endpoints that fail, and with all, of
// every endpoint.
type stubTransport struct {
	*webhook.HTTPTransport
	all bool
}

func (t stubTransport) Send(ctx context.Context, req *webhook.Request) (*webhook.Response, error) {
	switch {
	case strings.Contains(req.URL, "/"+failPath+"/"):
		return &webhook.Response{StatusCode: http.StatusInternalServerError}, nil
	case t.all:
		return &webhook.Response{StatusCode: http.StatusNoContent}, nil
	}
	return t.HTTPTransport.Send(ctx, req)
}

// stubbed returns l with a stubTransport and no retry within a day.
func stubbed(l library, all bool) library {
	l.shape = func(cfg *webhook.Config) {
		cfg.Transport = stubTransport{cfg.Transport.(*webhook.HTTPTransport), all}
		cfg.Retry = dayLater{}
	}
	return l
}
