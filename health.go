package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/ringyo-ai/webhook/internal/redact"
)

// EndpointHealth reports how an endpoint is doing and how much waits for it, or
// returns [ErrNotFound].
func (e *Engine) EndpointHealth(ctx context.Context, accountID, id string) (EndpointHealth, error) {
	r, err := e.endpoint(ctx, accountID, id)
	if err != nil {
		return EndpointHealth{}, err
	}
	q, err := call(ctx, e.store, func(ctx context.Context) (QueueStats, error) {
		return e.store.QueueStats(ctx, accountID, id)
	})
	if err != nil {
		return EndpointHealth{}, orNotFound(err, errNoEndpoint)
	}
	return healthOf(&r, q), nil
}

// EndpointsHealth is EndpointHealth for up to 1,000 endpoints of an account at once, in
// the order of ids. Those that do not exist are left out.
func (e *Engine) EndpointsHealth(ctx context.Context, accountID string, ids []string) ([]EndpointHealth, error) {
	if len(ids) > 1000 {
		return nil, invalid("ids", "must hold at most 1,000 ids")
	}
	if len(ids) == 0 {
		return nil, nil
	}
	records, err := call(ctx, e.store, func(ctx context.Context) ([]EndpointRecord, error) {
		return e.store.GetEndpoints(ctx, accountID, ids)
	})
	if err != nil {
		return nil, err
	}
	stats, err := call(ctx, e.store, func(ctx context.Context) (map[string]QueueStats, error) {
		return e.store.QueueStatsOf(ctx, accountID, ids)
	})
	if err != nil {
		return nil, err
	}
	byID := make(map[string]*EndpointRecord, len(records))
	for i := range records {
		byID[records[i].ID] = &records[i]
	}
	var list []EndpointHealth
	for _, id := range ids {
		if r := byID[id]; r != nil {
			list = append(list, healthOf(r, stats[id]))
		}
	}
	return list, nil
}

func healthOf(r *EndpointRecord, q QueueStats) EndpointHealth {
	return EndpointHealth{
		EndpointID:          r.ID,
		URL:                 r.URL,
		Status:              r.Status,
		DisabledReason:      r.DisabledReason,
		ConsecutiveFailures: r.ConsecutiveFailures,
		FailingSince:        r.FailingSince,
		LastTriggeredAt:     r.LastTriggeredAt,
		LastSuccessAt:       r.LastSuccessAt,
		LastFailureAt:       r.LastFailureAt,
		Pending:             q.Ready + q.Waiting + q.Leased,
		Held:                q.Held,
		Unreadable:          r.Unreadable,
		LastFailure:         r.LastFailure,
	}
}

// CountEndpoints returns how many endpoints an account has, of one status or, if that is
// empty, of all. It fails with [ErrInvalidArgument] for a status that is none of the
// constants.
func (e *Engine) CountEndpoints(ctx context.Context, accountID string, status EndpointStatus) (int, error) {
	return call(ctx, e.store, func(ctx context.Context) (int, error) {
		return e.store.CountEndpoints(ctx, accountID, status)
	})
}

// LastAttempts returns the latest attempts of an endpoint, newest first: limit of them,
// 1 to 100. It looks at the endpoint's latest 1,000 deliveries, so that an attempt of an
// older one can be missing. An unknown endpoint is [ErrNotFound].
func (e *Engine) LastAttempts(ctx context.Context, accountID, endpointID string, limit int) ([]Attempt, error) {
	if limit < 1 || limit > 100 {
		return nil, invalid("limit", "must lie between 1 and 100")
	}
	list, err := call(ctx, e.store, func(ctx context.Context) ([]Attempt, error) {
		return e.store.LastAttempts(ctx, accountID, endpointID, limit)
	})
	return list, orNotFound(err, errNoEndpoint)
}

// FailingQuery selects endpoints for the operator.
type FailingQuery struct {
	Status EndpointStatus // EndpointFailing or EndpointInactive; empty: both
	Cursor string         // Next of the page before
	Limit  int            // 1 to 1,000; defaults to 100
}

// FailingEndpoints returns a page of the endpoints that fail or are inactive, of all
// accounts, newest first: for the operator, and not for a tenant. It fails with
// [ErrInvalidArgument] for another Status.
func (e *Engine) FailingEndpoints(ctx context.Context, q FailingQuery) (Page[Endpoint], error) {
	var err error
	if q.Limit, err = pageLimit(q.Limit); err != nil {
		return Page[Endpoint]{}, err
	}
	p, err := call(ctx, e.store, func(ctx context.Context) (Page[EndpointRecord], error) { return e.store.FailingEndpoints(ctx, q) })
	page := Page[Endpoint]{Items: make([]Endpoint, len(p.Items)), Next: p.Next}
	for i := range p.Items {
		page.Items[i] = e.public(ctx, p.Items[i])
	}
	return page, err
}

// EndpointBacklog is what is due at one endpoint. It prints and logs with the host alone
// of its URL.
type EndpointBacklog struct {
	EndpointID string
	AccountID  string
	URL        string
	Due        int           // deliveries that could be sent now
	OldestDue  time.Duration // how long the oldest of them has been due
}

// Format prints b with the host alone of its URL.
func (b EndpointBacklog) Format(f fmt.State, verb rune) { format(f, verb, b.shown()) }

// LogValue returns what Format prints.
func (b EndpointBacklog) LogValue() slog.Value { return slog.AnyValue(b.shown()) }

func (b EndpointBacklog) shown() any {
	type shown EndpointBacklog // without the methods
	b.URL = redact.Host(b.URL)
	return shown(b)
}

// OldestDue returns the endpoints of all accounts at which something has been due for
// longest, that one first: limit of them, 1 to 1,000. It is for the operator, and not
// for a tenant. It takes time in proportion to what is due: ask once a minute, not once
// a request.
func (e *Engine) OldestDue(ctx context.Context, limit int) ([]EndpointBacklog, error) {
	if limit < 1 || limit > 1000 {
		return nil, invalid("limit", "must lie between 1 and 1,000")
	}
	return call(ctx, e.store, func(ctx context.Context) ([]EndpointBacklog, error) { return e.store.OldestDue(ctx, limit) })
}
