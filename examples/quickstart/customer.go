package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/ringyo-ai/webhook"
)

// customer is a server of the platform's customers: what they write.
type customer struct {
	url    string
	server *http.Server

	mu        sync.Mutex
	endpoints map[string]*endpoint // by path
}

// endpoint is one URL of it.
type endpoint struct {
	id       string
	verifier *webhook.Verifier
	failures int // requests still to get an error; -1: all
	status   int // of these responses
	events   []string
}

func startCustomer() (*customer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &customer{url: "http://" + listener.Addr().String(), endpoints: map[string]*endpoint{}}
	c.server = &http.Server{Handler: c, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = c.server.Serve(listener) }()
	return c, nil
}

func (c *customer) close() { _ = c.server.Close() }

// register saves what the platform showed when the endpoint was created.
func (c *customer) register(path, id string, secret webhook.Secret) error {
	v, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{secret}})
	if err != nil {
		return err
	}
	ep := &endpoint{id: id, verifier: v}
	switch path {
	case "/flaky":
		ep.failures, ep.status = 2, http.StatusServiceUnavailable
	case "/dead":
		ep.failures, ep.status = -1, http.StatusInternalServerError
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endpoints[path] = ep
	return nil
}

// ServeHTTP verifies a request and takes note of its event.
func (c *customer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ep := c.endpoints[r.URL.Path]
	if ep == nil {
		http.NotFound(w, r)
		return
	}
	event, err := ep.verifier.VerifyRequest(r)
	if err != nil {
		http.Error(w, "unauthorized", http.StatusUnauthorized)
		return
	}
	if ep.failures != 0 {
		ep.failures--
		w.WriteHeader(ep.status)
		return
	}
	if !event.Test {
		ep.events = append(ep.events, describe(event))
	}
	w.WriteHeader(http.StatusOK)
}

// describe shows that events arrive typed.
func describe(event webhook.Event) string {
	switch data := event.Data.(type) {
	case webhook.CallCompleted:
		return fmt.Sprintf("%s: call %s took %d s", event.Type, data.CallID, data.DurationSeconds)
	case webhook.AppointmentCreated:
		return fmt.Sprintf("%s: %s for %s", event.Type, data.Service, data.CustomerName)
	case webhook.CreditsLow:
		return fmt.Sprintf("%s: %d credits left", event.Type, data.Balance)
	default:
		return string(event.Type)
	}
}

func (c *customer) id(path string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.endpoints[path].id
}

func (c *customer) repair(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endpoints[path].failures = 0
}

func (c *customer) received(path string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.endpoints[path].events...)
}

// wait returns once a path has got n events.
func (c *customer) wait(ctx context.Context, path string, n int) error {
	_, err := until(ctx, func() (struct{}, bool, error) { return struct{}{}, len(c.received(path)) >= n, nil })
	if err != nil {
		return fmt.Errorf("%s got %d events of %d: %w", path, len(c.received(path)), n, err)
	}
	return nil
}
