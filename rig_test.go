package webhook_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

// fakeTransport answers every request by a function, and keeps what it was sent.
type fakeTransport struct {
	answer func(ctx context.Context, r *webhook.Request) (*webhook.Response, error)

	mu   sync.Mutex
	sent []sentRequest
}

type sentRequest struct {
	*webhook.Request
	at time.Time
}

func (f *fakeTransport) Send(ctx context.Context, r *webhook.Request) (*webhook.Response, error) {
	f.mu.Lock()
	kept := *r
	kept.Body = append([]byte(nil), r.Body...)
	f.sent = append(f.sent, sentRequest{&kept, time.Now()})
	f.mu.Unlock()
	return f.answer(ctx, r)
}

func (f *fakeTransport) requests() []sentRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]sentRequest(nil), f.sent...)
}

// to answers the requests to one URL.
func (f *fakeTransport) to(url string) []sentRequest {
	var some []sentRequest
	for _, r := range f.requests() {
		if r.URL == url {
			some = append(some, r)
		}
	}
	return some
}

func status(code int) func(context.Context, *webhook.Request) (*webhook.Response, error) {
	return func(context.Context, *webhook.Request) (*webhook.Response, error) {
		return &webhook.Response{StatusCode: code}, nil
	}
}

// hangs answers nothing until the attempt is cut off.
func hangs(ctx context.Context, _ *webhook.Request) (*webhook.Response, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// rig is an engine on a memstore with a fake transport.
type rig struct {
	*webhook.Engine
	t         testing.TB
	store     *memstore.Store
	transport *fakeTransport
}

func newRig(t testing.TB, answer func(context.Context, *webhook.Request) (*webhook.Response, error), adjust ...func(*webhook.Config)) *rig {
	t.Helper()
	r := &rig{t: t, store: memstore.New(), transport: &fakeTransport{answer: answer}}
	cfg := webhook.Config{Store: r.store, Transport: r.transport, Jitter: -1, Logger: quiet}
	for _, f := range adjust {
		f(&cfg)
	}
	e, err := webhook.New(cfg)
	require.NoError(t, err)
	r.Engine = e
	return r
}

// start starts the engine; stop must be called before the test ends.
func (r *rig) start() {
	r.t.Helper()
	require.NoError(r.t, r.Start(context.Background()))
}

func (r *rig) stop() {
	r.t.Helper()
	require.NoError(r.t, r.Stop(context.Background()))
}

// endpoint registers a URL of account "acme" for everything.
func (r *rig) endpoint(url string, events ...webhook.EventType) webhook.Endpoint {
	r.t.Helper()
	if len(events) == 0 {
		events = []webhook.EventType{"*"}
	}
	ep, _, err := r.CreateEndpoint(context.Background(), webhook.EndpointParams{AccountID: "acme", URL: url, Events: events})
	require.NoError(r.t, err)
	return ep
}

func (r *rig) get(id string) webhook.Endpoint {
	r.t.Helper()
	ep, err := r.GetEndpoint(context.Background(), "acme", id)
	require.NoError(r.t, err)
	return ep
}

// emit emits n events of account "acme" and answers them.
func (r *rig) emit(n int) []webhook.Event {
	r.t.Helper()
	events := make([]webhook.Event, n)
	for i := range events {
		events[i] = event(r.t)
	}
	require.NoError(r.t, r.Emit(context.Background(), events...))
	return events
}

func event(t testing.TB) webhook.Event {
	t.Helper()
	ev, err := webhook.NewEvent("acme", "test.happened", map[string]int{"n": 1})
	require.NoError(t, err)
	return ev
}

// deliveries answers all deliveries of an endpoint.
func (r *rig) deliveries(endpointID string, st webhook.DeliveryStatus) []webhook.Delivery {
	r.t.Helper()
	var all []webhook.Delivery
	q := webhook.DeliveryQuery{EndpointID: endpointID, Status: st, Limit: 1000}
	for {
		p, err := r.ListDeliveries(context.Background(), "acme", q)
		require.NoError(r.t, err)
		all = append(all, p.Items...)
		if q.Cursor = p.Next; q.Cursor == "" {
			return all
		}
	}
}

// spyStore calls functions before it passes a call on.
type spyStore struct {
	webhook.Store
	enqueue, claim, settle, maintain func()
}

func run(f func()) {
	if f != nil {
		f()
	}
}

func (s *spyStore) Enqueue(ctx context.Context, r webhook.EnqueueRequest) (webhook.Enqueued, error) {
	run(s.enqueue)
	return s.Store.Enqueue(ctx, r)
}

func (s *spyStore) Claim(ctx context.Context, r webhook.ClaimRequest) (webhook.Claimed, error) {
	run(s.claim)
	return s.Store.Claim(ctx, r)
}

func (s *spyStore) Settle(ctx context.Context, r []webhook.Settlement) (webhook.Settled, error) {
	run(s.settle)
	return s.Store.Settle(ctx, r)
}

func (s *spyStore) Maintain(ctx context.Context, r webhook.MaintainRequest) (webhook.Maintained, error) {
	run(s.maintain)
	return s.Store.Maintain(ctx, r)
}

var errDown = errors.New("the database is down at 10.1.2.3:5432")

// faultyStore fails or panics while told to, before or after the call took
// effect.
type faultyStore struct {
	webhook.Store
	down   atomic.Bool // fail before
	lost   atomic.Bool // do it, then fail: a lost reply
	panics atomic.Bool

	downAtSettle atomic.Bool // goes down when a result is to be recorded
}

func fault[T any](s *faultyStore, f func() (T, error)) (T, error) {
	var zero T
	switch {
	case s.panics.Load():
		panic("store")
	case s.down.Load():
		return zero, errDown
	}
	v, err := f()
	if s.lost.Load() {
		return zero, errDown
	}
	return v, err
}

func (s *faultyStore) Enqueue(ctx context.Context, r webhook.EnqueueRequest) (webhook.Enqueued, error) {
	return fault(s, func() (webhook.Enqueued, error) { return s.Store.Enqueue(ctx, r) })
}

func (s *faultyStore) Claim(ctx context.Context, r webhook.ClaimRequest) (webhook.Claimed, error) {
	return fault(s, func() (webhook.Claimed, error) { return s.Store.Claim(ctx, r) })
}

func (s *faultyStore) Settle(ctx context.Context, r []webhook.Settlement) (webhook.Settled, error) {
	if s.downAtSettle.Load() {
		s.down.Store(true)
	}
	return fault(s, func() (webhook.Settled, error) { return s.Store.Settle(ctx, r) })
}

func (s *faultyStore) Maintain(ctx context.Context, r webhook.MaintainRequest) (webhook.Maintained, error) {
	return fault(s, func() (webhook.Maintained, error) { return s.Store.Maintain(ctx, r) })
}

// gateStore lets Enqueue calls through one by one and keeps their sizes.
type gateStore struct {
	webhook.Store
	gate chan struct{}

	mu    sync.Mutex
	sizes []int
}

func (s *gateStore) ConcurrencyHint() int { return 1 }

func (s *gateStore) Enqueue(ctx context.Context, r webhook.EnqueueRequest) (webhook.Enqueued, error) {
	select {
	case <-s.gate:
	case <-ctx.Done():
		return webhook.Enqueued{}, ctx.Err()
	}
	s.mu.Lock()
	s.sizes = append(s.sizes, len(r.Groups))
	s.mu.Unlock()
	return s.Store.Enqueue(ctx, r)
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
