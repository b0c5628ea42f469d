package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/ringyo-ai/webhook"
)

// GetEvent implements [webhook.Log].
func (s *Store) GetEvent(ctx context.Context, accountID, id string) (webhook.EventRecord, error) {
	var rec webhook.EventRecord
	if checkText("", accountID, maxAccount) != nil || checkText("", id, maxID) != nil {
		return rec, webhook.ErrNotFound
	}
	err := s.read(ctx, func(t *txn) (err error) {
		rec, err = scanEvent(t.row(ctx, s.sql.GetEvent, s.dialect.keyArg(eventKey(accountID, id)), accountID, id), new(key))
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = webhook.ErrNotFound
	}
	return found(s, "get event", rec, err)
}

// endpointOf returns the number of an endpoint, which may be deleted.
func (s *Store) endpointOf(ctx context.Context, t *txn, account, id string) (num int64, err error) {
	if checkText("", account, maxAccount) != nil || checkText("", id, maxID) != nil {
		return 0, webhook.ErrNotFound // nothing has such an id
	}
	err = t.row(ctx, s.sql.EndpointOf, account, id).Scan(&num)
	if errors.Is(err, sql.ErrNoRows) {
		err = webhook.ErrNotFound
	}
	return num, err
}

// deliveryRow is a delivery with its status in the log.
type deliveryRow struct {
	webhook.Delivery
	status int
	state  int64 // in the queue, while it is there
}

// scanDelivery reads deliveryColumns, before some others.
func scanDelivery(row scanner, others ...any) (d deliveryRow, err error) {
	var k key
	var due, ends, created int64
	var deleted int64 // when its endpoint was; -1: it is not
	dest := []any{
		&k, &d.AccountID, &d.EndpointID, &d.EventID, &d.EventType, &d.status, &d.Reason, &d.Attempts,
		&d.state, &due, &ends, &created, &deleted,
	}
	if err := row.Scan(append(dest, others...)...); err != nil {
		return d, err
	}
	d.ID, d.Status = k.id(), statusWordOf(d.status, d.state)
	d.CreatedAt = fromMicros(created)
	unfinished := d.status == statusQueued || d.status == statusLeased
	switch {
	case deleted >= 0 && (unfinished || d.Reason == webhook.ReasonEndpointDeleted):
		// It ended with its endpoint, whenever Maintain gets to recording that.
		d.Status, d.Reason, d.CompletedAt = webhook.DeliveryCancelled, webhook.ReasonEndpointDeleted, fromMicros(deleted)
	case d.status == statusLeased:
		d.NextAttemptAt = fromMicros(ends)
	case d.Status == webhook.DeliveryPending:
		d.NextAttemptAt = fromMicros(due)
	case d.status != statusQueued:
		d.CompletedAt = fromMicros(ends)
	}
	return d, nil
}

// delivery reads one delivery of the account.
func (s *Store) delivery(ctx context.Context, t *txn, accountID, id string) (deliveryRow, error) {
	row, _, _, err := s.deliveryAndEndpoint(ctx, t, accountID, id)
	return row, err
}

// deliveryAndEndpoint reads a delivery with the status of its endpoint and the size of
// its event's data.
func (s *Store) deliveryAndEndpoint(ctx context.Context, t *txn, accountID, id string) (row deliveryRow, endpoint, size int, err error) {
	k, ok := parseKey(id)
	if !ok {
		return row, 0, 0, webhook.ErrNotFound
	}
	row, err = scanDelivery(t.row(ctx, s.sql.Delivery, s.dialect.keyArg(k)), &endpoint, &size)
	if errors.Is(err, sql.ErrNoRows) || err == nil && row.AccountID != accountID {
		return deliveryRow{}, 0, 0, webhook.ErrNotFound
	}
	return row, endpoint, size, err
}

// ListAttempts implements [webhook.Log].
func (s *Store) ListAttempts(ctx context.Context, accountID, deliveryID string) ([]webhook.Attempt, error) {
	var list []webhook.Attempt
	err := s.read(ctx, func(t *txn) error {
		list = nil
		row, err := s.delivery(ctx, t, accountID, deliveryID)
		if err != nil {
			return err
		}
		k, _ := parseKey(row.ID)
		return t.query(ctx, s.sql.Attempts, func(r *sql.Rows) error {
			a, err := scanAttempt(r)
			a.DeliveryID = deliveryID
			list = append(list, a)
			return err
		}, s.dialect.keyArg(k), s.dialect.keyArg(k))
	})
	return found(s, "list attempts", list, err)
}

// scanAttempt reads an attempt, after some others.
func scanAttempt(r *sql.Rows, others ...any) (a webhook.Attempt, err error) {
	var at, duration int64
	err = r.Scan(append(others, &a.Number, &a.ID, &at, &duration, &a.StatusCode, &a.Failure, &a.Detail, &a.Revision, &a.Location, &a.ResponseBody)...)
	a.At, a.Duration = fromMicros(at), time.Duration(duration)
	if len(a.ResponseBody) == 0 {
		a.ResponseBody = nil
	}
	return a, err
}
