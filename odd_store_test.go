package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

// oddStore is wrong about what it hands out to one endpoint.
type oddStore struct {
	webhook.Store
	change func([]webhook.Leased) []webhook.Leased
	cursor string // that it answers, and refuses

	mu      sync.Mutex
	leased  int // times that something was handed out
	refused int
	claims  int
}

func (s *oddStore) Enqueue(ctx context.Context, r webhook.EnqueueRequest) (webhook.Enqueued, error) {
	out, err := s.Store.Enqueue(ctx, r)
	out.Leased = s.changed(out.Leased)
	return out, err
}

func (s *oddStore) Claim(ctx context.Context, r webhook.ClaimRequest) (webhook.Claimed, error) {
	if s.cursor != "" && r.Cursor == s.cursor {
		s.mu.Lock()
		s.refused++
		s.mu.Unlock()
		return webhook.Claimed{}, fmt.Errorf("%w: Cursor", webhook.ErrInvalidArgument)
	}
	out, err := s.Store.Claim(ctx, r)
	out.Deliveries = s.changed(out.Deliveries)
	if s.cursor != "" {
		out.Cursor = s.cursor
	}
	s.mu.Lock()
	s.claims++
	s.mu.Unlock()
	return out, err
}

func (s *oddStore) changed(all []webhook.Leased) []webhook.Leased {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leased += len(all)
	if s.change == nil || len(all) == 0 {
		return all
	}
	return s.change(append([]webhook.Leased(nil), all...))
}

// of applies f to what goes to the endpoint that the store is wrong about.
func of(bad *string, f func(*webhook.Leased)) func([]webhook.Leased) []webhook.Leased {
	return func(all []webhook.Leased) []webhook.Leased {
		for i := range all {
			if all[i].Target.EndpointID == *bad {
				f(&all[i])
			}
		}
		return all
	}
}

// A store that is wrong about one delivery ends neither the process nor what goes
// to others.
func TestAStoreThatHandsOutNonsense(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func([]webhook.Leased) []webhook.Leased
		says   string
	}{
		{"a nil Target", of(&badID, func(l *webhook.Leased) { l.Target = nil }), "without its target"},
		{"a Target of no endpoint", of(&badID, func(l *webhook.Leased) { l.Target = &webhook.Target{} }), "without its target"},
		{"a nil Event", of(&badID, func(l *webhook.Leased) { l.Event = nil }), "without its event"},
		{"an empty DeliveryID", of(&badID, func(l *webhook.Leased) { l.DeliveryID = "" }), "without an id"},
		{"everything twice", func(all []webhook.Leased) []webhook.Leased { return append(all, all...) }, "a delivery twice"},
		{"nothing but zeros", func(all []webhook.Leased) []webhook.Leased { return append([]webhook.Leased{{}}, all...) }, "without an id"},
	} {
		for _, way := range []string{"handed off", "claimed", "DeliverDue"} {
			t.Run(c.name+" "+way, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := &oddStore{change: c.change}
					logged := &lockedLog{}
					r := newRig(t, status(200), func(cfg *webhook.Config) {
						s.Store, cfg.Store, cfg.Logger = cfg.Store, s, logged.logger()
					})
					ep := r.endpoint(hookURL)
					_, _, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{ID: badID, AccountID: "acme", URL: healthyURL, Events: []webhook.EventType{"*"}})
					require.NoError(t, err)
					if way == "handed off" {
						r.start()
					}
					r.emit(2)
					if way == "claimed" {
						r.start()
					}
					if way == "DeliverDue" {
						for range 3 {
							_, err := r.DeliverDue(t.Context())
							require.NoError(t, err)
						}
					} else {
						time.Sleep(time.Minute)
						r.stop()
					}
					assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 2)
					assert.Len(t, r.transport.to(hookURL), 2, "each once")
					assert.Equal(t, 1, logged.count(c.says), "%s", logged.text())
				})
			})
		}
	}
}

func TestAStoreThatHandsOutMoreThanItWasAskedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &oddStore{}
		logged := &lockedLog{}
		r := newRig(t, status(200), func(cfg *webhook.Config) {
			s.Store, cfg.Store, cfg.Logger, cfg.Concurrency = &greedy{cfg.Store}, s, logged.logger(), 2
		})
		ep := r.endpoint(hookURL)
		r.emit(20)
		n, err := r.DeliverDue(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 2, n)
		assert.Len(t, r.transport.requests(), 2)
		assert.Equal(t, 1, logged.count("more deliveries than"), "%s", logged.text())
		for range 9 {
			_, err := r.DeliverDue(t.Context())
			require.NoError(t, err)
		}
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 20, "what was too much was given back")
	})
}

// greedy hands out more than it was asked for.
type greedy struct{ webhook.Store }

func (g *greedy) Claim(ctx context.Context, r webhook.ClaimRequest) (webhook.Claimed, error) {
	r.Max, r.Room = r.Max+10, anyRoom{r.Room}
	return g.Store.Claim(ctx, r)
}

// anyRoom has room for whatever is offered.
type anyRoom struct{ webhook.Room }

func (anyRoom) Take(_ webhook.Candidate, n int) int { return n }

func TestAStoreThatRefusesItsOwnCursor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &oddStore{cursor: "nonsense"}
		r := newRig(t, status(200), func(cfg *webhook.Config) { s.Store, cfg.Store = cfg.Store, s })
		ep := r.endpoint(hookURL)
		r.start()
		time.Sleep(time.Second)
		s.mu.Lock()
		s.claims = 0
		s.mu.Unlock()
		time.Sleep(time.Minute)
		r.stop()
		assert.GreaterOrEqual(t, s.claims, 25, "every second claim works")
		require.NoError(t, r.Emit(t.Context(), event(t)))
		_, err := r.DeliverDue(t.Context())
		if err != nil {
			_, err = r.DeliverDue(t.Context())
		}
		require.NoError(t, err)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 1)
	})
}

var badID = "wh_bad"

var errSealed = errors.New("sealed with a key that is not here")

// What the store cannot read of one endpoint makes that endpoint wait: for as
// long as it takes, at no cost to it, to others or to the store.
func TestAnEndpointThatCannotBeReadWaitsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := true
		s := &oddStore{}
		s.change = of(&badID, func(l *webhook.Leased) {
			if broken {
				l.Target = &webhook.Target{EndpointID: "wh_bad", AccountID: "acme", Err: errSealed}
			}
		})
		logged := &lockedLog{}
		r := newRig(t, status(200), func(cfg *webhook.Config) {
			s.Store, cfg.Store, cfg.Logger, cfg.PollInterval = cfg.Store, s, logged.logger(), time.Minute
		})
		_, _, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{ID: "wh_bad", AccountID: "acme", URL: healthyURL, Events: []webhook.EventType{"*"}})
		require.NoError(t, err)
		ep := r.endpoint(hookURL)
		r.emit(500) // a backlog, which has to be claimed
		r.start()
		time.Sleep(10 * time.Second)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 500)
		r.emit(3) // handed off
		time.Sleep(time.Minute)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 503)
		assert.Empty(t, r.transport.to(healthyURL))

		time.Sleep(time.Hour)
		s.mu.Lock()
		before := s.leased
		s.mu.Unlock()
		time.Sleep(time.Hour)
		s.mu.Lock()
		assert.LessOrEqual(t, s.leased-before, 500, "it is not leased and given back all the time")
		s.mu.Unlock()

		time.Sleep(26 * time.Hour)
		pending := r.deliveries("wh_bad", webhook.DeliveryPending)
		require.Len(t, pending, 503)
		assert.Zero(t, pending[0].Attempts)
		assert.Zero(t, r.get("wh_bad").ConsecutiveFailures)
		assert.Equal(t, webhook.EndpointActive, r.get("wh_bad").Status)
		says := logged.count("an endpoint cannot be read")
		assert.Positive(t, says)
		assert.LessOrEqual(t, says, 6*29, "at most every ten minutes")
		assert.Contains(t, logged.text(), "wh_bad")
		assert.Contains(t, logged.text(), errSealed.Error())

		s.mu.Lock()
		broken = false
		s.mu.Unlock()
		time.Sleep(20 * time.Minute)
		r.stop()
		assert.Len(t, r.deliveries("wh_bad", webhook.DeliveryDelivered), 503)
		assert.Equal(t, 1, logged.count("can be read again"))
	})
}

func TestADeliveryThatCannotBeReadEndsAfterADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &oddStore{}
		s.change = of(&badID, func(l *webhook.Leased) {
			l.Event, l.Err = &webhook.EventRecord{AccountID: "acme"}, errors.New("the event is gone")
		})
		logged := &lockedLog{}
		r := newRig(t, status(200), func(cfg *webhook.Config) {
			s.Store, cfg.Store, cfg.Logger, cfg.PollInterval = cfg.Store, s, logged.logger(), time.Minute
		})
		_, _, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{ID: "wh_bad", AccountID: "acme", URL: healthyURL, Events: []webhook.EventType{"*"}})
		require.NoError(t, err)
		r.start()
		r.emit(1)
		time.Sleep(26 * time.Hour)
		r.stop()
		assert.Empty(t, r.transport.requests())
		d := r.deliveries("wh_bad", webhook.DeliveryExhausted)
		require.Len(t, d, 1)
		assert.Equal(t, webhook.ReasonSenderFault, d[0].Reason)
		assert.Zero(t, d[0].Attempts)
		assert.Zero(t, r.get("wh_bad").ConsecutiveFailures)
		assert.Contains(t, logged.text(), d[0].ID)
	})
}

// unreadable answers endpoints without their secrets.
type unreadable struct {
	webhook.Store
	parts []string
}

func (u *unreadable) GetEndpoint(ctx context.Context, account, id string) (webhook.EndpointRecord, error) {
	r, err := u.Store.GetEndpoint(ctx, account, id)
	r.Unreadable = u.parts
	if len(u.parts) > 0 {
		r.Secrets = nil
	}
	return r, err
}

func TestManagingAnEndpointWhoseSecretsCannotBeRead(t *testing.T) {
	t.Parallel()
	u := &unreadable{}
	r := newRig(t, status(200), func(cfg *webhook.Config) { u.Store, cfg.Store = cfg.Store, u })
	ep := r.endpoint(hookURL)
	before, err := r.store.GetEndpoint(t.Context(), "acme", ep.ID)
	require.NoError(t, err)
	u.parts = []string{"secrets"}

	assert.Equal(t, []string{"secrets"}, r.get(ep.ID).Unreadable)
	h, err := r.EndpointHealth(t.Context(), "acme", ep.ID)
	require.NoError(t, err)
	assert.Equal(t, []string{"secrets"}, h.Unreadable)
	_, err = r.SendTest(t.Context(), "acme", ep.ID, "test.happened")
	require.ErrorIs(t, err, webhook.ErrUnreadable)
	_, err = r.RotateSecret(t.Context(), "acme", ep.ID, webhook.RotateParams{})
	require.ErrorIs(t, err, webhook.ErrUnreadable, "the present secret could not remain valid")
	_, err = r.DisableEndpoint(t.Context(), "acme", ep.ID)
	require.NoError(t, err)
	_, err = r.EnableEndpoint(t.Context(), "acme", ep.ID)
	require.NoError(t, err)
	description := "new"
	_, err = r.UpdateEndpoint(t.Context(), "acme", ep.ID, webhook.EndpointChange{Description: &description})
	require.NoError(t, err)
	kept, err := r.store.GetEndpoint(t.Context(), "acme", ep.ID)
	require.NoError(t, err)
	assert.Equal(t, before.Secrets, kept.Secrets, "nothing of that lost the secrets")

	fresh, err := r.RotateSecret(t.Context(), "acme", ep.ID, webhook.RotateParams{Overlap: -1})
	require.NoError(t, err)
	kept, err = r.store.GetEndpoint(t.Context(), "acme", ep.ID)
	require.NoError(t, err)
	require.Len(t, kept.Secrets, 1)
	assert.Equal(t, fresh.Secret.Reveal(), kept.Secrets[0].Secret.Reveal())
	require.NoError(t, r.DeleteEndpoint(t.Context(), "acme", ep.ID))
}

// lockedLog keeps what is logged.
type lockedLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lockedLog) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *lockedLog) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *lockedLog) count(part string) int { return strings.Count(l.text(), part) }

// What was recorded is counted by endpoint and hour, if Config.Tallies says so and the
// store is able to.
func TestTalliesCountWhatWasSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		answer := func(ctx context.Context, r *webhook.Request) (*webhook.Response, error) {
			time.Sleep(200 * time.Millisecond)
			return status(map[bool]int{true: 200, false: 500}[strings.HasSuffix(r.URL, "good")])(ctx, r)
		}
		r := newRig(t, answer, func(c *webhook.Config) { c.Tallies, c.Retry = true, webhook.Schedule{time.Minute} })
		good, bad := r.endpoint("https://example.com/good"), r.endpoint("https://example.com/bad")
		r.start()
		begin := time.Now().Truncate(time.Hour)
		r.emit(3)
		time.Sleep(59 * time.Minute)
		r.emit(1)
		time.Sleep(time.Hour)
		r.stop()
		tallies := func(account, id string, from, until time.Time) []webhook.Tally {
			all, err := r.Tallies(ctx, account, webhook.TallyQuery{EndpointIDs: []string{id}, From: from, Until: until})
			require.NoError(t, err)
			_, known := all[id]
			require.Equal(t, account == "acme", known)
			return all[id]
		}
		list := tallies("acme", good.ID, time.Time{}, time.Time{})
		sum := webhook.Tally{}
		for _, tally := range list {
			sum.Add(tally)
		}
		want := webhook.Tally{Delivered: 4}
		want.Latency[webhook.LatencyBucket(200*time.Millisecond)] = 4
		assert.Equal(t, want, sum)
		list = tallies("acme", bad.ID, begin.Add(59*time.Minute), begin.Add(time.Hour))
		require.Len(t, list, 1, "the hour in which from lies")
		assert.Equal(t, begin.UTC(), list[0].Hour)
		assert.Equal(t, []int{7, 3}, []int{list[0].FailedAttempts, list[0].Exhausted}, "the last retry was in the next hour")
		assert.Empty(t, tallies("other", bad.ID, time.Time{}, time.Time{}))
		all, err := r.Tallies(ctx, "acme", webhook.TallyQuery{EndpointIDs: []string{bad.ID, "wh_none", good.ID, bad.ID}})
		require.NoError(t, err)
		assert.ElementsMatch(t, []string{good.ID, bad.ID}, slices.Collect(maps.Keys(all)))
		_, err = r.Tallies(ctx, "acme", webhook.TallyQuery{EndpointIDs: make([]string, 1001)})
		require.ErrorIs(t, err, webhook.ErrInvalidArgument)
	})

	r := newRig(t, status(200))
	_, err := r.Tallies(t.Context(), "acme", webhook.TallyQuery{EndpointIDs: []string{r.endpoint(hookURL).ID}})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	_, err = webhook.New(webhook.Config{Store: struct{ webhook.Store }{memstore.New()}, Tallies: true})
	require.ErrorContains(t, err, "Tallies needs a Store that is a Tallier")
}

func TestPercentilesAreReadFromBuckets(t *testing.T) {
	t.Parallel()
	bounds := webhook.LatencyBuckets()
	clear(bounds)
	bounds = webhook.LatencyBuckets()
	require.Len(t, webhook.Tally{}.Latency, len(bounds)+1)
	for i, b := range bounds {
		assert.Equal(t, i, webhook.LatencyBucket(b))
		assert.Equal(t, i+1, webhook.LatencyBucket(b+1))
	}
	var tally webhook.Tally
	_, ok := tally.Percentile(0.5)
	assert.False(t, ok, "nothing was measured")
	tally.Latency[1], tally.Latency[4], tally.Latency[len(bounds)] = 50, 40, 10 // up to 25 ms, up to 250 ms, above 30 s
	for p, want := range map[float64]time.Duration{
		0: 10300 * time.Microsecond, 0.5: 25 * time.Millisecond, 0.7: 175 * time.Millisecond, 0.9: 250 * time.Millisecond, 0.91: 30 * time.Second, 1: 30 * time.Second,
	} {
		got, ok := tally.Percentile(p)
		assert.True(t, ok)
		assert.Equal(t, want, got, p)
	}
	for _, p := range []float64{-0.1, 1.1, math.NaN()} {
		_, ok := tally.Percentile(p)
		assert.False(t, ok, p)
	}
}
