package webhook_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// A platform asks for pages of events, deliveries and health, and its operator across
// accounts.
func TestQuestionsOfAPlatform(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, status(500))
		first := r.endpoint("https://example.com/1")
		second := r.endpoint("https://example.com/2", "credits.*")
		start := time.Now()
		events := r.emit(3)
		time.Sleep(time.Minute)
		require.NoError(t, r.Emit(t.Context(), webhook.NewCreditsLow("acme", webhook.CreditsLow{Balance: 1, Threshold: 2})))

		due, err := r.OldestDue(t.Context(), 10)
		require.NoError(t, err)
		assert.Equal(t, []webhook.EndpointBacklog{
			{EndpointID: first.ID, AccountID: "acme", URL: first.URL, Due: 4, OldestDue: time.Minute},
			{EndpointID: second.ID, AccountID: "acme", URL: second.URL, Due: 1},
		}, due)
		assert.NotContains(t, fmt.Sprint(due[0]), "/1", "only the host of a URL is shown")

		n, err := r.DeliverDue(t.Context())
		require.NoError(t, err)
		assert.Positive(t, n)
		health, err := r.EndpointsHealth(t.Context(), "acme", []string{second.ID, "wh_none", first.ID})
		require.NoError(t, err)
		require.Len(t, health, 2)
		for i, ep := range []webhook.Endpoint{second, first} {
			one, err := r.EndpointHealth(t.Context(), "acme", ep.ID)
			require.NoError(t, err)
			assert.Equal(t, one, health[i])
			assert.Equal(t, webhook.EndpointFailing, health[i].Status)
		}

		page, err := r.ListEvents(t.Context(), "acme", webhook.EventQuery{Until: start.Add(time.Second), Limit: 2})
		require.NoError(t, err)
		require.Len(t, page.Items, 2)
		assert.Equal(t, events[2].ID, page.Items[0].ID)
		page, err = r.ListEvents(t.Context(), "acme", webhook.EventQuery{Until: start.Add(time.Second), Cursor: page.Next})
		require.NoError(t, err)
		assert.Len(t, page.Items, 1)

		list, err := r.ListDeliveries(t.Context(), "acme", webhook.DeliveryQuery{Types: []webhook.EventType{"credits.*"}})
		require.NoError(t, err)
		assert.Len(t, list.Items, 2)
		last, err := r.LastAttempts(t.Context(), "acme", first.ID, 2)
		require.NoError(t, err)
		assert.Len(t, last, 2)
		count, err := r.CountEndpoints(t.Context(), "acme", webhook.EndpointFailing)
		require.NoError(t, err)
		assert.Equal(t, 2, count)
		failing, err := r.FailingEndpoints(t.Context(), webhook.FailingQuery{Limit: 1})
		require.NoError(t, err)
		require.Len(t, failing.Items, 1)
		assert.Equal(t, second.ID, failing.Items[0].ID)
		assert.NotEmpty(t, failing.Next)
	})
}

// Parts of a replay, one after the other, are one replay, and who stops has replayed what
// was counted.
func TestAReplayInParts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, status(200))
		first := r.endpoint(hookURL)
		r.emit(450)
		late := r.endpoint("https://example.com/late")
		ctx := t.Context()
		counted, err := r.ReplayPart(ctx, "acme", first.ID, webhook.ReplayQuery{DryRun: true}, "")
		require.NoError(t, err)
		assert.Zero(t, counted.Count, "it has them all")
		_, err = r.ReplayPart(ctx, "other", late.ID, webhook.ReplayQuery{}, "")
		require.ErrorIs(t, err, webhook.ErrNotFound)
		sum, parts := 0, 0
		for cursor := ""; parts == 0 || cursor != ""; parts++ {
			part, err := r.ReplayPart(ctx, "acme", late.ID, webhook.ReplayQuery{}, cursor)
			require.NoError(t, err)
			assert.LessOrEqual(t, part.Count, 200)
			sum += part.Count
			h, err := r.EndpointHealth(ctx, "acme", late.ID)
			require.NoError(t, err)
			assert.Equal(t, sum, h.Pending)
			cursor = part.Next
		}
		assert.Equal(t, 450, sum)
		assert.GreaterOrEqual(t, parts, 3)
		n, err := r.Replay(ctx, "acme", late.ID, webhook.ReplayQuery{})
		require.NoError(t, err)
		assert.Zero(t, n, "nothing is left")
	})
}

func TestBadQuestionsAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, status(200))
	ep := r.endpoint(hookURL)
	bad := []webhook.EventType{"call.completed", "call.*.x"}
	ctx := t.Context()
	errs := map[string]error{
		"ListEvents, type":         second(r.ListEvents(ctx, "acme", webhook.EventQuery{Types: bad})),
		"ListEvents, limit":        second(r.ListEvents(ctx, "acme", webhook.EventQuery{Limit: 1001})),
		"ListEvents, cursor":       second(r.ListEvents(ctx, "acme", webhook.EventQuery{Cursor: "x"})),
		"ListDeliveries, type":     second(r.ListDeliveries(ctx, "acme", webhook.DeliveryQuery{Types: bad})),
		"ListDeliveries, types":    second(r.ListDeliveries(ctx, "acme", webhook.DeliveryQuery{Types: make([]webhook.EventType, 101)})),
		"ListDeliveries, scan":     second(r.ListDeliveries(ctx, "acme", webhook.DeliveryQuery{MaxScan: -1})),
		"Replay, type":             second(r.Replay(ctx, "acme", ep.ID, webhook.ReplayQuery{Types: bad})),
		"Replay, status":           second(r.Replay(ctx, "acme", ep.ID, webhook.ReplayQuery{Statuses: []webhook.DeliveryStatus{webhook.DeliveryHeld}})),
		"ReplayPart, cursor":       second(r.ReplayPart(ctx, "acme", ep.ID, webhook.ReplayQuery{}, "x")),
		"EndpointsHealth, ids":     second(r.EndpointsHealth(ctx, "acme", make([]string, 1001))),
		"CountEndpoints, status":   second(r.CountEndpoints(ctx, "acme", "deleted")),
		"LastAttempts, none":       second(r.LastAttempts(ctx, "acme", ep.ID, 0)),
		"LastAttempts, too many":   second(r.LastAttempts(ctx, "acme", ep.ID, 101)),
		"FailingEndpoints, status": second(r.FailingEndpoints(ctx, webhook.FailingQuery{Status: webhook.EndpointActive})),
		"OldestDue, none":          second(r.OldestDue(ctx, 0)),
	}
	for what, err := range errs {
		assert.ErrorIs(t, err, webhook.ErrInvalidArgument, what)
	}
}
