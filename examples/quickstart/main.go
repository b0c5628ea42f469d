// Quickstart shows the whole life of webhooks in one process, over real HTTP on
// the loopback interface: a platform that emits events, and its customers'
// servers that verify them.
//
// It tells what happens, and exits with status 1 if anything did not happen as
// promised. Retries come after fractions of a second here; the documented
// schedule is 1 s, 5 s, 30 s, 2 min and 10 min.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Println("\nFAILED:", err)
		os.Exit(1)
	}
	fmt.Println("\nEverything happened as promised.")
}

func run(ctx context.Context) error {
	server, err := startCustomer()
	if err != nil {
		return err
	}
	defer server.close()

	engine, err := newEngine()
	if err != nil {
		return err
	}
	if err := engine.Start(ctx); err != nil {
		return err
	}
	defer func() { _ = engine.Stop(ctx) }()

	for _, step := range []func(context.Context, *webhook.Engine, *customer) error{
		register, emitAll, recoverAfterTwoFailures, disableAndEnable, refuseForgery,
	} {
		if err := step(ctx, engine, server); err != nil {
			return err
		}
	}
	return engine.Stop(ctx)
}

// newEngine is the platform's side: everything that it needs to emit.
func newEngine() (*webhook.Engine, error) {
	// A customer's endpoint must be https and public. This one is on loopback.
	transport, err := webhook.NewHTTPTransport(webhook.HTTPConfig{
		AllowHTTP:     true,
		AllowPrefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	if err != nil {
		return nil, err
	}
	return webhook.New(webhook.Config{
		Store:     memstore.New(),
		Transport: transport,
		Retry: webhook.Schedule{
			50 * time.Millisecond, 100 * time.Millisecond, 150 * time.Millisecond, 200 * time.Millisecond, 250 * time.Millisecond,
		},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Hooks: webhook.Hooks{
			OnEndpointDisabled: func(_ context.Context, f webhook.EndpointFailures) {
				fmt.Printf("  the engine disabled %s after %d exhausted deliveries in a row, the last with status %d\n",
					f.EndpointID, f.Failures, f.LastFailure.StatusCode)
			},
		},
	})
}

// register gives two accounts their endpoints.
func register(ctx context.Context, e *webhook.Engine, c *customer) error {
	fmt.Println("1. Two customers register endpoints and save their secrets")
	for _, p := range []struct {
		account, path string
		events        []webhook.EventType
	}{
		{"acme", "/all", []webhook.EventType{"*"}},
		{"acme", "/flaky", []webhook.EventType{webhook.EventCallCompleted}},
		{"acme", "/dead", []webhook.EventType{"*"}},
		{"globex", "/calls", []webhook.EventType{"call.*"}},
	} {
		ep, secret, err := e.CreateEndpoint(ctx, webhook.EndpointParams{AccountID: p.account, URL: c.url + p.path, Events: p.events})
		if err != nil {
			return err
		}
		if err := c.register(p.path, ep.ID, secret); err != nil {
			return err
		}
		fmt.Printf("  %-7s %-7s %v\n", p.account, p.path, p.events)
	}
	return nil
}

// emitAll emits every type of the catalogue for one account.
func emitAll(ctx context.Context, e *webhook.Engine, c *customer) error {
	fmt.Println("2. The platform emits one event of each of the 14 types for acme")
	for _, t := range webhook.EventTypes() {
		ev, err := webhook.NewEvent("acme", t, webhook.SampleData(t))
		if err != nil {
			return err
		}
		if err := e.Emit(ctx, ev); err != nil { // nil: it is stored and will be delivered
			return err
		}
	}
	if err := c.wait(ctx, "/all", 14); err != nil {
		return err
	}
	for _, line := range c.received("/all") {
		fmt.Println("  /all got", line)
	}
	if n := len(c.received("/calls")); n != 0 {
		return fmt.Errorf("globex got %d events of acme", n)
	}
	fmt.Println("  globex got none of them: they are another account's")
	return nil
}

// recoverAfterTwoFailures follows the delivery to an endpoint that fails twice.
func recoverAfterTwoFailures(ctx context.Context, e *webhook.Engine, c *customer) error {
	fmt.Println("3. The endpoint /flaky responds with 503 twice, then 200")
	if err := c.wait(ctx, "/flaky", 1); err != nil {
		return err
	}
	d, err := delivered(ctx, e, c.id("/flaky"), 1)
	if err != nil {
		return err
	}
	attempts, err := e.ListAttempts(ctx, "acme", d[0].ID)
	if err != nil {
		return err
	}
	var codes []int
	for _, a := range attempts {
		codes = append(codes, a.StatusCode)
	}
	fmt.Printf("  attempts: %v, then it was %s\n", codes, d[0].Status)
	if fmt.Sprint(codes) != "[503 503 200]" {
		return fmt.Errorf("attempts of /flaky were %v", codes)
	}
	return nil
}

// disableAndEnable shows that a dead endpoint is disabled, and loses nothing.
func disableAndEnable(ctx context.Context, e *webhook.Engine, c *customer) error {
	fmt.Println("4. The endpoint /dead responds with 500 to everything")
	id := c.id("/dead")
	h, err := until(ctx, func() (webhook.EndpointHealth, bool, error) {
		h, err := e.EndpointHealth(ctx, "acme", id)
		return h, h.Status == webhook.EndpointInactive && h.Pending == 0, err
	})
	if err != nil {
		return fmt.Errorf("/dead was not disabled: %w", err)
	}
	fmt.Printf("  it is %s (%s), %d deliveries are held\n", h.Status, h.DisabledReason, h.Held)
	ev := webhook.NewCreditsLow("acme", webhook.CreditsLow{Balance: 40, Threshold: 100})
	if err := e.Emit(ctx, ev); err != nil {
		return err
	}

	c.repair("/dead")
	test, err := e.SendTest(ctx, "acme", id, webhook.EventCallCompleted)
	if err != nil || !test.Delivered {
		return fmt.Errorf("the test event failed: %v %v", test.Failure, err)
	}
	fmt.Println("  its owner repairs it, sends a test event, and enables it again")
	if _, err := e.EnableEndpoint(ctx, "acme", id); err != nil {
		return err
	}
	exhausted, err := e.ListDeliveries(ctx, "acme", webhook.DeliveryQuery{EndpointID: id, Status: webhook.DeliveryExhausted})
	if err != nil {
		return err
	}
	if err := c.wait(ctx, "/dead", h.Held+1); err != nil {
		return err
	}
	fmt.Printf("  what was held arrived: %d events\n", h.Held+1)
	n, err := e.Replay(ctx, "acme", id, webhook.ReplayQuery{Since: time.Now().Add(-time.Hour)})
	if err != nil || n != len(exhausted.Items) {
		return fmt.Errorf("replayed %d of %d: %w", n, len(exhausted.Items), err)
	}
	if err := c.wait(ctx, "/dead", 15); err != nil {
		return err
	}
	fmt.Printf("  what had failed for good was replayed: %d events\n", n)
	return nil
}

// refuseForgery posts an event that nobody signed.
func refuseForgery(ctx context.Context, _ *webhook.Engine, c *customer) error {
	fmt.Println("5. A stranger posts a forged event to /all")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/all", strings.NewReader(`{"event":"credits.low"}`))
	if err != nil {
		return err
	}
	req.Header.Set("webhook-id", "evt_forged")
	req.Header.Set("webhook-timestamp", fmt.Sprint(time.Now().Unix()))
	req.Header.Set("webhook-signature", "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	fmt.Println("  the customer's server responded with", resp.Status)
	if resp.StatusCode != http.StatusUnauthorized || len(c.received("/all")) != 15 {
		return fmt.Errorf("the forged event was not refused")
	}
	return nil
}

// delivered waits until n deliveries of an endpoint are recorded as delivered.
func delivered(ctx context.Context, e *webhook.Engine, endpointID string, n int) ([]webhook.Delivery, error) {
	return until(ctx, func() ([]webhook.Delivery, bool, error) {
		p, err := e.ListDeliveries(ctx, "acme", webhook.DeliveryQuery{EndpointID: endpointID, Status: webhook.DeliveryDelivered})
		return p.Items, len(p.Items) >= n, err
	})
}

// until asks f every 10 ms.
func until[T any](ctx context.Context, f func() (T, bool, error)) (T, error) {
	for {
		v, ok, err := f()
		if ok || err != nil {
			return v, err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return v, ctx.Err()
		}
	}
}
