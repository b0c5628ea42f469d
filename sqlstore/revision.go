package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/ringyo-ai/webhook"
)

// The table of revisions holds what endpoints were sent to with, from the change that
// ended it until Maintain purges it. What holds now is in the endpoint's own row, with
// the first number that it has (revised). Nothing is written for a delivery.

// ListRevisions implements [webhook.Log].
func (s *Store) ListRevisions(ctx context.Context, accountID, endpointID string) (webhook.EndpointRevisions, error) {
	var list webhook.EndpointRevisions
	if checkText("", accountID, maxAccount) != nil || checkText("", endpointID, maxID) != nil {
		return nil, webhook.ErrNotFound
	}
	err := s.snapshot(ctx, func(t *txn) error {
		list = nil
		var num int64
		if err := t.row(ctx, s.sql.EndpointOf, accountID, endpointID).Scan(&num); err != nil {
			return err
		}
		now, err := s.storedEndpoint(ctx, t, s.sql.GetEndpoint, accountID, endpointID)
		if err == nil {
			list = append(list, now.revision())
		} else if !errors.Is(err, webhook.ErrNotFound) {
			return err
		}
		return t.query(ctx, s.sql.Revisions, func(r *sql.Rows) error {
			rev, err := s.scanRevision(r, endpointID)
			list = append(list, rev)
			return err
		}, num)
	})
	if errors.Is(err, sql.ErrNoRows) || err == nil && len(list) == 0 {
		err = webhook.ErrNotFound
	}
	return found(s, "list revisions", list, err)
}

// revision returns what the endpoint is sent to with now.
func (e *storedEndpoint) revision() webhook.EndpointRevision {
	return webhook.EndpointRevision{
		Revision: e.revised, URL: e.URL, Secrets: hintsOf(e.Secrets), HeaderNames: e.HeaderNames, Since: fromMicros(e.revisedAt),
	}
}

func hintsOf(secrets []webhook.EndpointSecret) []webhook.SecretHint {
	hints := make([]webhook.SecretHint, len(secrets))
	for i, s := range secrets {
		hints[i] = webhook.SecretHint{Hint: s.Secret.Hint(), ExpiresAt: s.ExpiresAt}
	}
	return hints
}

// scanRevision reads an old revision. A URL that cannot be opened is left out.
func (s *Store) scanRevision(row scanner, endpointID string) (r webhook.EndpointRevision, err error) {
	var begun, ended int64
	var url, secrets, headers string
	if err := row.Scan(&r.Revision, &begun, &ended, &url, &secrets, &headers); err != nil {
		return r, err
	}
	r.Since, r.Until = fromMicros(begun), fromMicros(ended)
	r.URL, _ = s.openURL(endpointID, url)
	return r, errors.Join(fromJSON(secrets, &r.Secrets), fromJSON(headers, &r.HeaderNames))
}

func (s *Store) openURL(endpointID, stored string) (string, error) {
	var url sealed
	if err := json.Unmarshal([]byte(stored), &url); err != nil {
		return "", err
	}
	return s.keys.open(urlOf(endpointID), url)
}

// kept returns the row to be written: what the caller could not read, and so did
// not set, stays as it is stored.
func (e *storedEndpoint) kept(in webhook.EndpointRecord, row endpointRow) endpointRow {
	if len(in.Events) == 0 {
		row.events = e.row.events
	}
	if len(in.Secrets) == 0 {
		row.secrets = e.row.secrets
	}
	if in.Metadata == nil && slices.Contains(e.Unreadable, partMetadata) {
		row.metadata = e.row.metadata
	}
	if in.Headers == nil && slices.Contains(e.Unreadable, partHeaders) {
		row.headers = e.row.headers
	}
	return row
}

// revises reports whether an update, as configure and kept take it over, changes what
// requests are made with.
func (e *storedEndpoint) revises(in webhook.EndpointRecord) bool {
	sameSecret := func(a, b webhook.EndpointSecret) bool {
		return a.Secret.Equal(b.Secret) && a.ExpiresAt.Equal(b.ExpiresAt)
	}
	lost := slices.Contains(e.Unreadable, partHeaders)
	return in.URL != e.URL ||
		len(in.Secrets) > 0 && !slices.EqualFunc(in.Secrets, e.Secrets, sameSecret) ||
		lost && in.Headers != nil ||
		!lost && !maps.Equal(in.Headers, e.Headers)
}

// keepRevision stores what the endpoint was sent to with until now, and forgets what
// there is beyond the most that are kept.
func (s *Store) keepRevision(ctx context.Context, t *txn, e storedEndpoint, now int64) error {
	url := toJSON(s.keys.seal(urlOf(e.ID), e.URL))
	err := t.exec(ctx, s.sql.InsertRevision, e.num, e.revised, e.revisedAt, now, url, toJSON(hintsOf(e.Secrets)), toJSON(e.HeaderNames))
	if err != nil {
		return err
	}
	var beyond int64
	err = t.row(ctx, s.sql.RevisionAt, e.num, webhook.MaxRevisions).Scan(&beyond)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	} else if err != nil {
		return err
	}
	return t.exec(ctx, s.sql.DropRevisionsTo, e.num, beyond)
}

// purgeRevisions forgets those that ended before the given time, and returns how many.
func (m *upkeep) purgeRevisions(ctx context.Context, before int64) (n int, err error) {
	type place struct{ endpoint, revision int64 }
	err = m.s.write(ctx, func(t *txn) error {
		var old []place
		err := t.query(ctx, m.s.sql.OldRevisions, func(r *sql.Rows) error {
			var p place
			err := r.Scan(&p.endpoint, &p.revision)
			old = append(old, p)
			return err
		}, before, m.limit)
		n = len(old)
		for _, p := range old {
			if err == nil {
				err = t.exec(ctx, m.s.sql.DropRevision, p.endpoint, p.revision)
			}
		}
		return err
	})
	return n, err
}

// resealRevisions seals the URLs of old revisions with the first key, those that it
// can open, and returns how many. The others are purged in time.
func (s *Store) resealRevisions(ctx context.Context) (changed int, err error) {
	type old struct {
		endpoint, revision int64
		id, url            string
	}
	for after := (old{}); ; {
		var list []old
		err := s.read(ctx, func(t *txn) error {
			list = list[:0]
			return t.query(ctx, s.sql.RevisionsAfter, func(r *sql.Rows) error {
				var o old
				err := r.Scan(&o.endpoint, &o.revision, &o.id, &o.url)
				list = append(list, o)
				return err
			}, after.endpoint, after.endpoint, after.revision, endpointsRead)
		})
		if err != nil {
			return changed, err
		}
		for _, o := range list {
			after = o
			var was sealed
			url, err := s.openURL(o.id, o.url)
			if err != nil || json.Unmarshal([]byte(o.url), &was) != nil || was.Key == s.keys.first {
				continue
			}
			err = s.write(ctx, func(t *txn) error {
				return t.exec(ctx, s.sql.SetRevision, toJSON(s.keys.seal(urlOf(o.id), url)), o.endpoint, o.revision)
			})
			if err != nil {
				return changed, err
			}
			changed++
		}
		if len(list) < endpointsRead {
			return changed, nil
		}
	}
}

// toJSON renders lists and maps of strings, which cannot fail.
func toJSON(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

// fromJSON reads what toJSON rendered, all of it or nothing.
func fromJSON[T any](text string, v *T) error {
	var read T
	err := json.Unmarshal([]byte(text), &read)
	if err == nil {
		*v = read
	}
	return err
}
