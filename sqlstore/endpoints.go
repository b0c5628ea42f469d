package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ringyo-ai/webhook"
)

// ListEndpoints implements [webhook.EndpointStore].
func (s *Store) ListEndpoints(ctx context.Context, f webhook.EndpointFilter) (webhook.Page[webhook.EndpointRecord], error) {
	statuses, err := statusesOf(f.Status)
	if err != nil || f.Limit < 1 || checkText("", f.AccountID, maxAccount) != nil {
		return webhook.Page[webhook.EndpointRecord]{}, errors.Join(err, checkLimit(f.Limit))
	}
	var page webhook.Page[webhook.EndpointRecord]
	err = s.read(ctx, func(t *txn) error {
		before, err := endpointBefore(f.Cursor, func() *sql.Row { return t.row(ctx, s.sql.EndpointOf, f.AccountID, f.Cursor) })
		if err != nil {
			return err
		}
		args := append(append([]any{f.AccountID, before}, statuses...), f.Limit+1)
		page, err = s.endpointPage(ctx, t, s.sql.ListEndpoints, f.Limit, args)
		return err
	})
	return found(s, "list endpoints", page, err)
}

// statusesOf returns the statuses of the rows of endpoints that have a status, always as
// many.
func statusesOf(status webhook.EndpointStatus) ([]any, error) {
	if status == "" {
		return []any{endpointActive, endpointFailing, endpointInactive, endpointActive + pausedBy, endpointFailing + pausedBy}, nil
	}
	one, known := statusNumber[status]
	if !known {
		return nil, invalid("Status", "must be active, failing or inactive")
	}
	if status == webhook.EndpointInactive {
		return []any{one, one, one, one, one}, nil
	}
	return []any{one, one + pausedBy, one, one, one}, nil
}

func checkLimit(limit int) error {
	if limit < 1 {
		return invalid("Limit", "must be at least 1")
	}
	return nil
}

// endpointBefore returns the number of the endpoint that a cursor names: the last one of
// the page before. The number itself would tell how many endpoints there are.
func endpointBefore(cursor string, row func() *sql.Row) (num int64, err error) {
	if cursor == "" {
		return math.MaxInt64, nil
	}
	if checkText("", cursor, maxID) == nil {
		err = row().Scan(&num)
	}
	if num == 0 && (err == nil || errors.Is(err, sql.ErrNoRows)) {
		return 0, invalid("Cursor", "is not one that the store returned")
	}
	return num, err
}

// endpointPage reads a page, with a statement that finds one more than that.
func (s *Store) endpointPage(ctx context.Context, t *txn, text string, limit int, args []any) (page webhook.Page[webhook.EndpointRecord], err error) {
	err = t.query(ctx, text, func(rows *sql.Rows) error {
		if len(page.Items) == limit {
			page.Next = page.Items[limit-1].ID
			return nil
		}
		ep, err := s.scanEndpoint(rows)
		page.Items = append(page.Items, ep.EndpointRecord)
		return err
	}, args...)
	return page, err
}

// FailingEndpoints implements [webhook.EndpointStore].
func (s *Store) FailingEndpoints(ctx context.Context, q webhook.FailingQuery) (webhook.Page[webhook.EndpointRecord], error) {
	statuses := []any{endpointFailing, endpointFailing + pausedBy, endpointInactive}
	switch q.Status {
	case "":
	case webhook.EndpointFailing:
		statuses[2] = endpointFailing
	case webhook.EndpointInactive:
		statuses = []any{endpointInactive, endpointInactive, endpointInactive}
	default:
		return webhook.Page[webhook.EndpointRecord]{}, invalid("Status", "must be failing or inactive")
	}
	if err := checkLimit(q.Limit); err != nil {
		return webhook.Page[webhook.EndpointRecord]{}, err
	}
	var page webhook.Page[webhook.EndpointRecord]
	err := s.read(ctx, func(t *txn) error {
		before, err := endpointBefore(q.Cursor, func() *sql.Row { return t.row(ctx, s.sql.EndpointID, q.Cursor) })
		if err != nil {
			return err
		}
		page, err = s.endpointPage(ctx, t, s.sql.Failing, q.Limit, append(append([]any{before}, statuses...), q.Limit+1))
		return err
	})
	return found(s, "list failing endpoints", page, err)
}

// some returns the ids that can exist as parameters, each once, and as many placeholders.
func some(ids []string) (marks string, args []any) {
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		if !seen[id] && checkText("", id, maxID) == nil {
			seen[id] = true
			args = append(args, id)
		}
	}
	return strings.TrimPrefix(strings.Repeat(", ?", len(args)), ", "), args
}

// GetEndpoints implements [webhook.EndpointStore].
func (s *Store) GetEndpoints(ctx context.Context, accountID string, ids []string) ([]webhook.EndpointRecord, error) {
	marks, args := some(ids)
	if len(args) == 0 || checkText("", accountID, maxAccount) != nil {
		return nil, nil
	}
	var list []webhook.EndpointRecord
	err := s.read(ctx, func(t *txn) error {
		list = nil
		return t.queryOnce(ctx, `select `+endpointColumns+` from {p}endpoint where id in (`+marks+`) and account = ? and status <> 0`,
			func(r *sql.Rows) error {
				ep, err := s.scanEndpoint(r)
				list = append(list, ep.EndpointRecord)
				return err
			}, append(args, accountID)...)
	})
	return found(s, "get endpoints", list, err)
}

// CountEndpoints implements [webhook.EndpointStore].
func (s *Store) CountEndpoints(ctx context.Context, accountID string, status webhook.EndpointStatus) (n int, err error) {
	statuses, err := statusesOf(status)
	if err != nil || checkText("", accountID, maxAccount) != nil {
		return 0, err
	}
	err = s.read(ctx, func(t *txn) error {
		return t.row(ctx, s.sql.CountStatus, append([]any{accountID}, statuses...)...).Scan(&n)
	})
	return found(s, "count endpoints", n, err)
}

// OldestDue implements [webhook.Log].
func (s *Store) OldestDue(ctx context.Context, limit int) ([]webhook.EndpointBacklog, error) {
	if limit < 1 {
		return nil, invalid("limit", "must be at least 1")
	}
	var list []webhook.EndpointBacklog
	err := s.read(ctx, func(t *txn) error {
		list = nil
		now, err := t.clock(ctx)
		if err != nil {
			return err
		}
		return t.query(ctx, s.sql.OldestDue, func(r *sql.Rows) error {
			var b webhook.EndpointBacklog
			var due int64
			err := r.Scan(&b.EndpointID, &b.AccountID, &b.URL, &b.Due, &due)
			b.OldestDue = max(0, time.Duration(now-due)*time.Microsecond)
			list = append(list, b)
			return err
		}, limit)
	})
	return found(s, "oldest due", list, err)
}

// attemptsLook is how many of its latest deliveries the latest attempts of an endpoint
// are looked for in.
const attemptsLook = 500

// LastAttempts implements [webhook.Log].
func (s *Store) LastAttempts(ctx context.Context, accountID, endpointID string, limit int) ([]webhook.Attempt, error) {
	if limit < 1 {
		return nil, invalid("limit", "must be at least 1")
	}
	var list []webhook.Attempt
	err := s.read(ctx, func(t *txn) error {
		list = nil
		num, err := s.endpointOf(ctx, t, accountID, endpointID)
		if err != nil {
			return err
		}
		return t.query(ctx, s.sql.LastAttempts, func(r *sql.Rows) error {
			var k key
			a, err := scanAttempt(r, &k)
			a.DeliveryID = k.id()
			list = append(list, a)
			return err
		}, num, attemptsLook, limit)
	})
	return slices.Clip(list), s.failed("last attempts", err)
}
