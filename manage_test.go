package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

func TestNewReportsEveryMistakeAtOnce(t *testing.T) {
	t.Parallel()
	_, err := webhook.New(webhook.Config{
		Jitter: 2, Concurrency: -1, PerEndpoint: -1, Lease: time.Second, Retention: -2, MaxPayload: -5, MaxSecrets: 6,
		Disable: webhook.DisablePolicy{After: -3, MinFailing: -1, RecoverAfter: time.Hour, RecoverMax: time.Minute},
	})
	require.ErrorIs(t, err, webhook.ErrInvalidArgument)
	var v *webhook.ValidationError
	require.ErrorAs(t, err, &v)
	var fields []string
	for _, f := range v.Fields {
		fields = append(fields, f.Field)
	}
	assert.ElementsMatch(t, []string{
		"Store", "Jitter", "Concurrency", "PerEndpoint", "Lease", "Retention", "MaxPayload", "MaxSecrets", "Disable.After", "Disable.MinFailing", "Disable.RecoverMax",
	}, fields)
}

func TestALeaseMustCoverAnAttempt(t *testing.T) { // D13
	t.Parallel()
	r := newRig(t, status(200))
	_, err := webhook.New(webhook.Config{Store: r.store, AttemptTimeout: 20 * time.Second, StoreTimeout: 5 * time.Second, Lease: 44 * time.Second})
	require.ErrorContains(t, err, "Lease")
	_, err = webhook.New(webhook.Config{Store: r.store, AttemptTimeout: 5 * time.Minute})
	require.NoError(t, err, "the default lease grows with the attempt")
}

func TestCreateEndpointReportsEveryMistakeAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, status(200))
	_, _, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{
		ID: "a.b", URL: "http://127.0.0.1/", Events: []webhook.EventType{"a b"}, Headers: map[string]string{"Host": "x"},
		Metadata: map[string]string{"": "x"},
	})
	require.ErrorIs(t, err, webhook.ErrInvalidArgument)
	for _, word := range []string{"ID", "Events[0]", "Metadata", "Host"} {
		assert.ErrorContains(t, err, word)
	}
	var u *webhook.URLError
	require.ErrorAs(t, err, &u)
	assert.Equal(t, "invalid_url", u.Code())
	var v *webhook.ValidationError
	require.ErrorAs(t, err, &v)
	assert.Len(t, v.Fields, 4, "all but the URL in one error")
	p, err := r.ListEndpoints(t.Context(), "", webhook.EndpointQuery{})
	require.NoError(t, err)
	assert.Empty(t, p.Items, "nothing is stored")
}

func TestSubscriptionsAreNormalised(t *testing.T) {
	t.Parallel()
	r := newRig(t, status(200))
	for _, c := range []struct{ given, want []webhook.EventType }{
		{[]webhook.EventType{"call.completed", "*"}, []webhook.EventType{"*"}},
		{[]webhook.EventType{"call.completed", "call.*", "agent.created"}, []webhook.EventType{"call.*", "agent.created"}},
		{[]webhook.EventType{"call.recording.*", "call.*"}, []webhook.EventType{"call.*"}},
		{[]webhook.EventType{"a.b", "a.b"}, []webhook.EventType{"a.b"}},
	} {
		assert.Equal(t, c.want, r.endpoint(hookURL, c.given...).Events)
	}
}

func TestAnotherAccountSeesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, status(200))
	ep := r.endpoint(hookURL)
	ev := r.emit(1)[0]
	d := r.deliveries(ep.ID, "")[0]
	ctx := t.Context()
	for name, err := range map[string]error{
		"GetEndpoint":     second(r.GetEndpoint(ctx, "other", ep.ID)),
		"UpdateEndpoint":  second(r.UpdateEndpoint(ctx, "other", ep.ID, webhook.EndpointChange{})),
		"EnableEndpoint":  second(r.EnableEndpoint(ctx, "other", ep.ID)),
		"DisableEndpoint": second(r.DisableEndpoint(ctx, "other", ep.ID)),
		"DeleteEndpoint":  r.DeleteEndpoint(ctx, "other", ep.ID),
		"RotateSecret":    second(r.RotateSecret(ctx, "other", ep.ID, webhook.RotateParams{})),
		"SendTest":        second(r.SendTest(ctx, "other", ep.ID, webhook.EventCallCompleted)),
		"EndpointHealth":  second(r.EndpointHealth(ctx, "other", ep.ID)),
		"GetEvent":        second(r.GetEvent(ctx, "other", ev.ID)),
		"GetDelivery":     second(r.GetDelivery(ctx, "other", d.ID)),
		"ListAttempts":    second(r.ListAttempts(ctx, "other", d.ID)),
		"Redeliver":       second(r.Redeliver(ctx, "other", d.ID)),
		"Replay":          second(r.Replay(ctx, "other", ep.ID, webhook.ReplayQuery{})),
		"ReplayPart":      second(r.ReplayPart(ctx, "other", ep.ID, webhook.ReplayQuery{}, "")),
	} {
		assert.ErrorIs(t, err, webhook.ErrNotFound, name)
	}
	p, err := r.ListDeliveries(ctx, "other", webhook.DeliveryQuery{EndpointID: ep.ID})
	if err == nil {
		assert.Empty(t, p.Items)
	} else {
		assert.ErrorIs(t, err, webhook.ErrNotFound)
	}
}

func second[T any](_ T, err error) error { return err }

func TestUpdateEndpointChangesWhatIsGiven(t *testing.T) {
	t.Parallel()
	r := newRig(t, status(200))
	ctx := t.Context()
	ep, _, err := r.CreateEndpoint(ctx, webhook.EndpointParams{
		AccountID: "acme", URL: hookURL, Events: []webhook.EventType{"*"}, Description: "first",
		Metadata: map[string]string{"a": "1"}, Headers: map[string]string{"X-Team": "blue"},
	})
	require.NoError(t, err)
	text := "second"
	got, err := r.UpdateEndpoint(ctx, "acme", ep.ID, webhook.EndpointChange{Description: &text, Metadata: webhook.MetadataChanges{"a": nil}})
	require.NoError(t, err)
	assert.Equal(t, "second", got.Description)
	assert.Equal(t, hookURL, got.URL)
	assert.Empty(t, got.Metadata)
	assert.Equal(t, []string{"X-Team"}, got.HeaderNames)
	_, err = r.UpdateEndpoint(ctx, "acme", ep.ID, webhook.EndpointChange{Events: []webhook.EventType{}})
	require.ErrorIs(t, err, webhook.ErrInvalidArgument)
}

func TestConcurrentUpdatesAllTakeEffect(t *testing.T) {
	t.Parallel()
	r := newRig(t, status(200))
	ep := r.endpoint(hookURL)
	var wg sync.WaitGroup
	wg.Go(func() {
		text := "changed"
		_, err := r.UpdateEndpoint(context.Background(), "acme", ep.ID, webhook.EndpointChange{Description: &text})
		assert.NoError(t, err)
	})
	wg.Go(func() {
		_, err := r.DisableEndpoint(context.Background(), "acme", ep.ID)
		assert.NoError(t, err)
	})
	wg.Go(func() {
		value := "v"
		_, err := r.UpdateEndpoint(context.Background(), "acme", ep.ID, webhook.EndpointChange{Metadata: webhook.MetadataChanges{"k": &value}})
		assert.NoError(t, err)
	})
	wg.Wait()
	got := r.get(ep.ID)
	assert.Equal(t, "changed", got.Description)
	assert.Equal(t, "v", got.Metadata["k"])
	assert.Equal(t, webhook.EndpointInactive, got.Status)
}

func TestRotatingKeepsTheKindOfTheSecret(t *testing.T) {
	t.Parallel()
	r := newRig(t, status(200))
	for _, given := range []webhook.Secret{webhook.NewSecret(), webhook.NewSigningKey()} {
		ep, _, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{AccountID: "acme", URL: hookURL, Events: []webhook.EventType{"*"}, Secret: given})
		require.NoError(t, err)
		for range 2 { // the second has one of each age to look at
			fresh, err := r.RotateSecret(t.Context(), "acme", ep.ID, webhook.RotateParams{})
			require.NoError(t, err)
			assert.Equal(t, given.Public().IsZero(), fresh.Secret.Public().IsZero())
			assert.True(t, fresh.Secret.Equal(secretOf(t, r, ep.ID)))
		}
		other := webhook.NewSecret()
		fresh, err := r.RotateSecret(t.Context(), "acme", ep.ID, webhook.RotateParams{Secret: other})
		require.NoError(t, err)
		assert.True(t, fresh.Secret.Equal(other), "a given one may be of the other kind")
	}
}

func TestRotationsAreCappedAndCanEndTheOverlap(t *testing.T) { // D11
	t.Parallel()
	r := newRig(t, status(200))
	ep := r.endpoint(hookURL)
	for range 4 {
		_, err := r.RotateSecret(t.Context(), "acme", ep.ID, webhook.RotateParams{})
		require.NoError(t, err)
	}
	_, err := r.RotateSecret(t.Context(), "acme", ep.ID, webhook.RotateParams{})
	require.ErrorIs(t, err, webhook.ErrSecretLimit)
	_, err = r.RotateSecret(t.Context(), "acme", ep.ID, webhook.RotateParams{Overlap: -1})
	require.NoError(t, err)
	_, err = r.RotateSecret(t.Context(), "acme", ep.ID, webhook.RotateParams{Secret: secretOf(t, r, ep.ID)})
	require.ErrorIs(t, err, webhook.ErrInvalidArgument, "the same secret again")
}

func TestSendTestDeliversAtOnceAndNeverCounts(t *testing.T) {
	t.Parallel()
	s := newSwitch(200)
	r := newRig(t, s.answer, func(c *webhook.Config) { c.Disable.After = 1 })
	ep := r.endpoint(hookURL)
	_, err := r.DisableEndpoint(t.Context(), "acme", ep.ID)
	require.NoError(t, err)
	for _, typ := range append(webhook.EventTypes(), "call.ringing") {
		res, err := r.SendTest(t.Context(), "acme", ep.ID, typ)
		require.NoError(t, err, typ)
		assert.True(t, res.Delivered)
		assert.Equal(t, 200, res.StatusCode)
	}
	sent := r.transport.requests()
	last := sent[len(sent)-1]
	assert.Equal(t, "1", last.Header.Get("Webhook-Test"))
	s.code.Store(500)
	res, err := r.SendTest(t.Context(), "acme", ep.ID, webhook.EventCallCompleted)
	require.NoError(t, err, "that it failed is the result")
	assert.False(t, res.Delivered)
	assert.Equal(t, webhook.FailureHTTPStatus, res.Failure)
	assert.Empty(t, r.deliveries(ep.ID, ""), "nothing is stored")
	assert.Equal(t, 0, r.get(ep.ID).ConsecutiveFailures)

	_, err = r.SendTest(t.Context(), "acme", ep.ID, "a b")
	require.ErrorIs(t, err, webhook.ErrInvalidArgument)
}

func TestDeletingCancelsWhatIsPending(t *testing.T) { // D8
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, status(500))
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		ev := r.emit(1)[0]
		time.Sleep(100 * time.Millisecond)
		require.NoError(t, r.DeleteEndpoint(t.Context(), "acme", ep.ID))
		require.ErrorIs(t, r.DeleteEndpoint(t.Context(), "acme", ep.ID), webhook.ErrNotFound)
		time.Sleep(time.Hour)
		assert.Len(t, r.transport.requests(), 1)
		p, err := r.ListDeliveries(t.Context(), "acme", webhook.DeliveryQuery{EventID: ev.ID})
		require.NoError(t, err)
		require.Len(t, p.Items, 1, "D8: the log stays")
		assert.Equal(t, webhook.DeliveryCancelled, p.Items[0].Status)
		assert.Equal(t, webhook.ReasonEndpointDeleted, p.Items[0].Reason)
	})
}

func TestRedeliverKeepsTheEventID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSwitch(500)
		r := newRig(t, s.answer)
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		r.exhaust(1)
		d := r.deliveries(ep.ID, webhook.DeliveryExhausted)[0]
		s.code.Store(200)
		again, err := r.Redeliver(t.Context(), "acme", d.ID)
		require.NoError(t, err)
		assert.Equal(t, webhook.DeliveryPending, again.Status)
		time.Sleep(time.Second)
		got, err := r.GetDelivery(t.Context(), "acme", d.ID)
		require.NoError(t, err)
		assert.Equal(t, webhook.DeliveryDelivered, got.Status)
		assert.Equal(t, 7, got.Attempts)
		sent := r.transport.requests()
		assert.Equal(t, sent[0].Header.Get("Webhook-Id"), sent[6].Header.Get("Webhook-Id"))
	})
}

func TestReplayDeliversWhatAnEndpointMissed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSwitch(500)
		r := newRig(t, s.answer, func(c *webhook.Config) { c.Retry = webhook.Schedule{} })
		ep := r.endpoint(hookURL)
		r.start()
		defer r.stop()
		r.emit(1)
		time.Sleep(time.Minute)
		since := time.Now()
		r.emit(5) // exhausted
		time.Sleep(time.Minute)
		s.code.Store(200)
		r.emit(5) // delivered
		time.Sleep(time.Minute)
		late := r.endpoint("https://late.example.com/") // knew nothing of them
		n, err := r.Replay(t.Context(), "acme", ep.ID, webhook.ReplayQuery{Since: since})
		require.NoError(t, err)
		assert.Equal(t, 5, n)
		n, err = r.Replay(t.Context(), "acme", late.ID, webhook.ReplayQuery{Since: since})
		require.NoError(t, err)
		assert.Equal(t, 10, n)
		time.Sleep(time.Minute)
		assert.Len(t, r.deliveries(ep.ID, webhook.DeliveryDelivered), 10)
		assert.Len(t, r.deliveries(late.ID, webhook.DeliveryDelivered), 10)
	})
}

func TestListEndpointsPages(t *testing.T) {
	t.Parallel()
	r := newRig(t, status(200))
	want := map[string]bool{}
	for i := range 25 {
		want[r.endpoint(fmt.Sprintf("https://example.com/%d", i)).ID] = true
	}
	_, err := r.DisableEndpoint(t.Context(), "acme", r.endpoint(hookURL).ID)
	require.NoError(t, err)
	q := webhook.EndpointQuery{Status: webhook.EndpointActive, Limit: 10}
	for {
		p, err := r.ListEndpoints(t.Context(), "acme", q)
		require.NoError(t, err)
		for _, ep := range p.Items {
			assert.True(t, want[ep.ID])
			delete(want, ep.ID)
		}
		if q.Cursor = p.Next; q.Cursor == "" {
			break
		}
	}
	assert.Empty(t, want)
	_, err = r.ListEndpoints(t.Context(), "acme", webhook.EndpointQuery{Limit: 1001})
	require.ErrorIs(t, err, webhook.ErrInvalidArgument)
}

// unreachable is a Transport that cannot reach anything.
type unreachable struct{ *fakeTransport }

type codedError struct{}

func (codedError) Error() string { return "unreachable" }
func (codedError) Code() string  { return "url_unreachable" }

func (unreachable) CheckReachable(context.Context, string) error { return codedError{} }

func TestReachabilityIsCheckedOnRequestOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t, status(200), func(c *webhook.Config) { c.Transport = unreachable{c.Transport.(*fakeTransport)} })
	r.endpoint(hookURL)
	_, _, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{AccountID: "acme", URL: hookURL, Events: []webhook.EventType{"*"}, CheckReachable: true})
	var coded codedError
	require.True(t, errors.As(err, &coded))
	p, err := r.ListEndpoints(t.Context(), "acme", webhook.EndpointQuery{})
	require.NoError(t, err)
	assert.Len(t, p.Items, 1, "nothing was stored")
}

func TestStatsCountWhatIsUnfinished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, status(500))
		r.endpoint(hookURL)
		held := r.endpoint("https://held.example.com/")
		_, err := r.DisableEndpoint(t.Context(), "acme", held.ID)
		require.NoError(t, err)
		r.emit(3)
		time.Sleep(2 * time.Second)
		stats, err := r.Stats(t.Context())
		require.NoError(t, err)
		assert.Equal(t, webhook.Stats{Due: 3, OldestDue: 2 * time.Second, Held: 3}, stats)
		r.start()
		time.Sleep(500 * time.Millisecond)
		stats, err = r.Stats(t.Context())
		require.NoError(t, err)
		assert.Equal(t, webhook.Stats{Waiting: 3, Held: 3}, stats)
		r.stop()
	})
}

func TestSendTestIsNotBoundByTheLimitOfPayloads(t *testing.T) {
	t.Parallel()
	r := newRig(t, status(200), func(c *webhook.Config) { c.MaxPayload = 1 })
	res, err := r.SendTest(t.Context(), "acme", r.endpoint(hookURL).ID, webhook.EventCallCompleted)
	require.NoError(t, err)
	assert.True(t, res.Delivered)
}

// What marks a test is signed with the rest of its body, and no other body has it.
func TestOnlyTheBodyOfATestHasTheFieldTest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // at a whole second
		r := newRig(t, status(200))
		ep := r.endpoint(hookURL)
		res, err := r.SendTest(t.Context(), "acme", ep.ID, webhook.EventCreditsLow)
		require.NoError(t, err)
		test := r.transport.requests()[0]
		data, err := json.Marshal(webhook.SampleData(webhook.EventCreditsLow))
		require.NoError(t, err)
		e, err := webhook.ParseEvent(test.Body)
		require.NoError(t, err)
		golden := func(id string, at time.Time, test, data string) string {
			return `{"id":"` + id + `","event":"credits.low","timestamp":"` + at.Format(time.RFC3339) +
				`","webhook_id":"` + ep.ID + `"` + test + `,"data":` + data + `}`
		}
		assert.Equal(t, golden(res.EventID, e.Timestamp, ",\"test\":{\"probe\":[1.0,9007199254740993,\"\u2028\"]}", string(data)), string(test.Body))
		assert.True(t, e.Test)
		require.NoError(t, webhook.Verify(test.Body, test.Header, secretOf(t, r, ep.ID)))

		ev := webhook.Event{
			ID: "evt_1", Type: webhook.EventCreditsLow, AccountID: "acme",
			Timestamp: time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC), Data: webhook.SampleData(webhook.EventCreditsLow),
		}
		require.NoError(t, r.Emit(t.Context(), ev))
		_, err = r.DeliverDue(t.Context())
		require.NoError(t, err)
		genuine := r.transport.requests()[1]
		assert.Equal(t, golden("evt_1", ev.Timestamp, "", string(data)), string(genuine.Body))
		assert.Empty(t, genuine.Header.Get("Webhook-Test"))
		e, err = webhook.ParseEvent(genuine.Body)
		require.NoError(t, err)
		assert.False(t, e.Test)
	})
}

func TestEndpointsShowHintsOfTheirValidSecrets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, status(200))
		ctx := t.Context()
		ep, first, err := r.CreateEndpoint(ctx, webhook.EndpointParams{AccountID: "acme", URL: hookURL, Events: []webhook.EventType{"*"}})
		require.NoError(t, err)
		assert.Equal(t, []webhook.SecretHint{{Hint: first.Hint()}}, ep.SecretHints)
		ends := time.Now().Add(time.Hour).UTC()
		rotated, err := r.RotateSecret(ctx, "acme", ep.ID, webhook.RotateParams{Overlap: time.Hour, IfRevision: ep.Revision})
		require.NoError(t, err)
		both := []webhook.SecretHint{{Hint: rotated.Secret.Hint()}, {Hint: first.Hint(), ExpiresAt: ends}}
		assert.Equal(t, both, rotated.Endpoint.SecretHints)
		for _, wait := range []time.Duration{0, time.Hour - 1, 1} {
			time.Sleep(wait)
			if wait == 1 {
				both = both[:1]
			}
			p, err := r.ListEndpoints(ctx, "acme", webhook.EndpointQuery{})
			require.NoError(t, err)
			assert.Equal(t, both, p.Items[0].SecretHints, wait)
			assert.Equal(t, both, r.get(ep.ID).SecretHints, wait)
		}
		for _, change := range []func(context.Context, string, string) (webhook.Endpoint, error){r.DisableEndpoint, r.EnableEndpoint, r.EnableEndpoint} {
			got, err := change(ctx, "acme", ep.ID)
			require.NoError(t, err)
			assert.Equal(t, both, got.SecretHints)
		}
		record, err := r.store.GetEndpoint(ctx, "acme", ep.ID)
		require.NoError(t, err)
		assert.Empty(t, record.SecretHints, "a store keeps the secrets and no hints")
		text, err := json.Marshal(rotated)
		require.NoError(t, err)
		assert.NotContains(t, string(text), rotated.Secret.Reveal())
	})
}
