package main

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/ringyo-ai/webhook"
)

// customer counts what its endpoints accept.
type customer struct {
	url    string
	server *http.Server

	mu        sync.Mutex
	verifiers map[string]*webhook.Verifier // by path
	arrived   map[delivery]int
}

// delivery is one event at one endpoint.
type delivery struct{ path, eventID string }

func startCustomer() (*customer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &customer{
		url:       "http://" + listener.Addr().String(),
		verifiers: map[string]*webhook.Verifier{},
		arrived:   map[delivery]int{},
	}
	c.server = &http.Server{Handler: c, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = c.server.Serve(listener) }()
	return c, nil
}

func (c *customer) close() { _ = c.server.Close() }

func (c *customer) register(path string, secret webhook.Secret) error {
	v, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{secret}})
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.verifiers[path] = v
	return nil
}

func (c *customer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	verifier := c.verifiers[r.URL.Path]
	c.mu.Unlock()
	if verifier == nil {
		http.NotFound(w, r)
		return
	}
	event, err := verifier.VerifyRequest(r)
	switch {
	case err != nil:
		http.Error(w, "unauthorized", http.StatusUnauthorized)
		return
	case r.URL.Path == "/slow":
		time.Sleep(30 * time.Millisecond)
	case r.URL.Path == "/flaky" && rand.IntN(3) == 0:
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	c.mu.Lock()
	c.arrived[delivery{r.URL.Path, event.ID}]++
	c.mu.Unlock()
	w.WriteHeader(http.StatusOK)
}

// unique is the number of deliveries that arrived, each counted once.
func (c *customer) unique() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.arrived)
}

func (c *customer) wait(ctx context.Context, n int) error {
	return until(ctx, func() (bool, error) { return c.unique() >= n, nil })
}

// compare holds what arrived against the ids that were accepted.
func (c *customer) compare(accepted []string) (missing, duplicates, strangers int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	strangers = len(c.arrived)
	for _, id := range accepted {
		for _, path := range paths {
			switch n := c.arrived[delivery{path, id}]; n {
			case 0:
				missing++
			default:
				duplicates += n - 1
				strangers--
			}
		}
	}
	return missing, duplicates, strangers
}
