package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ringyo-ai/webhook"
)

// library is this project on one store.
type library struct {
	label string
	store func(ctx context.Context) (*openStore, error)
	shape func(*webhook.Config) // changes the defaults; may be nil
}

// openStore is an empty store with what the measurement needs around it.
type openStore struct {
	webhook.Store
	cpu    func() time.Duration // of the store's own processes
	close  func(ctx context.Context) error
	schema string // on PostgreSQL
}

// Tallies implements [webhook.Tallier], as all stores here do.
func (s *openStore) Tallies(ctx context.Context, accountID string, q webhook.TallyQuery) (map[string][]webhook.Tally, error) {
	return s.Store.(webhook.Tallier).Tallies(ctx, accountID, q)
}

func (l library) name() string { return l.label }

func (l library) open(ctx context.Context, endpoints []string) (system, error) {
	store, err := l.store(ctx)
	if err != nil {
		return nil, err
	}
	e, err := newEngine(store, l.shape)
	if err == nil {
		err = createEndpoints(ctx, e, endpoints)
	}
	if err != nil {
		return nil, errors.Join(err, store.close(ctx))
	}
	return &librarySystem{Engine: e, store: store, urls: endpoints}, nil
}

// newEngine makes an engine as a user would: everything at its default, but for
// plain HTTP to this machine.
func newEngine(store webhook.Store, shape func(*webhook.Config)) (*webhook.Engine, error) {
	transport, err := webhook.NewHTTPTransport(webhook.HTTPConfig{
		AllowHTTP:     true,
		AllowPrefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	if err != nil {
		return nil, err
	}
	cfg := webhook.Config{Store: store, Transport: transport, MaxPayload: 2 << 20}
	if shape != nil {
		shape(&cfg)
	}
	return webhook.New(cfg)
}

// createEndpoints registers each endpoint in an account of its own, so that an
// event goes to that one alone, and all the noisy ones in one account.
func createEndpoints(ctx context.Context, e *webhook.Engine, urls []string) error {
	var next atomic.Int64
	return parallel(8, func() error {
		for i := next.Add(1) - 1; i < int64(len(urls)); i = next.Add(1) - 1 {
			_, _, err := e.CreateEndpoint(ctx, webhook.EndpointParams{
				AccountID: accountOf(int(i), urls[i]), URL: urls[i], Events: []webhook.EventType{"*"},
			})
			if err != nil {
				return fmt.Errorf("endpoint %d: %w", i, err)
			}
		}
		return nil
	})
}

func accountOf(endpoint int, url string) string {
	if strings.Contains(url, "/"+noisyPath+"/") {
		return "noisy"
	}
	return "acc_" + strconv.Itoa(endpoint)
}

type librarySystem struct {
	*webhook.Engine
	store *openStore
	urls  []string
}

func (s *librarySystem) emit(ctx context.Context, jobs []job) error {
	events := make([]webhook.Event, len(jobs))
	for i, j := range jobs {
		ev, err := webhook.NewEvent(accountOf(j.endpoint, s.urls[j.endpoint]), eventType, json.RawMessage(j.data))
		if err != nil {
			return err
		}
		events[i] = ev
	}
	return s.Emit(ctx, events...)
}

func (s *librarySystem) start(ctx context.Context) error { return s.Start(ctx) }

func (s *librarySystem) storeCPU() time.Duration { return s.store.cpu() }

func (s *librarySystem) close(ctx context.Context) error {
	return errors.Join(s.Stop(ctx), s.store.close(ctx))
}
