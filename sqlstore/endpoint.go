package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/ringyo-ai/webhook"
)

// CreateEndpoint implements [webhook.EndpointStore].
func (s *Store) CreateEndpoint(ctx context.Context, c webhook.EndpointCreate) (webhook.EndpointRecord, error) {
	row, err := s.endpointRow(c.Record)
	if err != nil {
		return webhook.EndpointRecord{}, err
	}
	var rec webhook.EndpointRecord
	err = s.write(ctx, func(t *txn) error {
		if err := s.touch(ctx, t, c.Record.AccountID); err != nil {
			return err
		}
		if err := s.room(ctx, t, c.Record.AccountID, c.Max); err != nil {
			return err
		}
		err := s.insertEndpoint(ctx, t, c.Record, row)
		if err != nil {
			return err
		}
		rec, err = s.endpoint(ctx, t, s.sql.GetEndpoint, c.Record.AccountID, c.Record.ID)
		if err != nil {
			return err
		}
		return s.finish(ctx, t, c.Idempotency, rec)
	})
	if kindOf(err) == kindData && s.taken(ctx, c.Record.ID) { // somebody else was faster
		err = errors.Join(webhook.ErrIDConflict, err)
	}
	if err != nil {
		return webhook.EndpointRecord{}, s.failed("create endpoint", err)
	}
	return rec, nil
}

// taken reports whether there is, or was, an endpoint of that id. Codes of errors do
// not say which constraint a row violates.
func (s *Store) taken(ctx context.Context, id string) bool {
	err := s.read(ctx, func(t *txn) error {
		_, err := t.endpointNum(ctx, id)
		return err
	})
	return err == nil
}

// touch locks the account and gives it a new version. Whoever changes an
// endpoint's subscription, status or version does it before, and before the
// endpoint is locked: see matches.
func (s *Store) touch(ctx context.Context, t *txn, account string) error {
	if checkText("", account, maxAccount) != nil {
		return webhook.ErrNotFound // nothing has such an account
	}
	return t.exec(ctx, s.sql.TouchAccount, account, 1+rand.Int64N(math.MaxInt64)) // #nosec G404 -- no secret
}

// nextVersion returns a version that is higher and that nobody has seen: the next
// number could be given out twice, after a rollback that somebody read ahead of,
// or by a database that lost the last commits. What processes remember of
// accounts and endpoints is good for one version. An account's need not be higher.
func nextVersion(v int64) int64 {
	if v > math.MaxInt64-2*versionStep {
		v = 0
	}
	return v + 1 + rand.Int64N(versionStep) // #nosec G404 -- no secret
}

// versionStep leaves room for two billion versions, each of which meets another
// one by chance once in four billion times.
const versionStep = 1 << 32

// room checks the limit of an account that is locked.
func (s *Store) room(ctx context.Context, t *txn, account string, limit int) error {
	if limit <= 0 {
		return nil
	}
	var n int
	if err := t.row(ctx, s.sql.CountEndpoints, account).Scan(&n); err != nil {
		return err
	}
	if n >= limit {
		return webhook.ErrEndpointLimit
	}
	return nil
}

func (s *Store) insertEndpoint(ctx context.Context, t *txn, r webhook.EndpointRecord, row endpointRow) error {
	now, err := t.clock(ctx)
	if err != nil {
		return err
	}
	if _, err = t.endpointNum(ctx, r.ID); err == nil {
		return webhook.ErrIDConflict
	} else if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	status, reason, at := endpointActive, "", int64(0)
	if r.Status == webhook.EndpointInactive {
		status, reason, at = endpointInactive, disabledReason(r.DisabledReason), now
	}
	first := nextVersion(0)
	err = t.exec(ctx, s.sql.InsertEndpoint, r.ID, r.AccountID, r.URL, row.events, r.Description,
		row.metadata, row.headers, row.secrets, status, first, reason, at, first, now, now, now)
	if err != nil {
		return err
	}
	num, err := t.endpointNum(ctx, r.ID)
	if err != nil {
		return err
	}
	return s.subscribe(ctx, t, num, r)
}

func (t *txn) endpointNum(ctx context.Context, id string) (num int64, err error) {
	err = t.row(ctx, t.s.sql.EndpointID, id).Scan(&num)
	return num, err
}

func disabledReason(r webhook.DisabledReason) string {
	if r == "" {
		return string(webhook.DisabledManually)
	}
	return string(r)
}

// subscribe writes the endpoint's subscriptions, each once.
func (s *Store) subscribe(ctx context.Context, t *txn, num int64, r webhook.EndpointRecord) error {
	types := slices.Clone(r.Events)
	slices.Sort(types)
	var rows []subscription
	for _, typ := range slices.Compact(types) {
		rows = append(rows, subscription{topic{r.AccountID, typ}, num})
	}
	return t.execAll(ctx, s.sql.InsertSubscriptions.of(rows))
}

// GetEndpoint implements [webhook.EndpointStore].
func (s *Store) GetEndpoint(ctx context.Context, accountID, id string) (webhook.EndpointRecord, error) {
	var rec webhook.EndpointRecord
	err := s.read(ctx, func(t *txn) (err error) {
		rec, err = s.endpoint(ctx, t, s.sql.GetEndpoint, accountID, id)
		return err
	})
	return found(s, "get endpoint", rec, err)
}

func (s *Store) endpoint(ctx context.Context, t *txn, text, accountID, id string) (webhook.EndpointRecord, error) {
	ep, err := s.storedEndpoint(ctx, t, text, accountID, id)
	return ep.EndpointRecord, err
}

func (s *Store) storedEndpoint(ctx context.Context, t *txn, text, accountID, id string) (storedEndpoint, error) {
	if checkText("", accountID, maxAccount) != nil || checkText("", id, maxID) != nil {
		return storedEndpoint{}, webhook.ErrNotFound // nothing has such an id
	}
	ep, err := s.scanEndpoint(t.row(ctx, text, id, accountID))
	if errors.Is(err, sql.ErrNoRows) {
		err = webhook.ErrNotFound
	}
	return ep, err
}

// UpdateEndpoint implements [webhook.EndpointStore].
func (s *Store) UpdateEndpoint(ctx context.Context, u webhook.EndpointUpdate) (webhook.EndpointRecord, error) {
	in := u.Record
	row, err := s.endpointRow(in)
	if err != nil {
		return webhook.EndpointRecord{}, err
	}
	var rec webhook.EndpointRecord
	err = s.write(ctx, func(t *txn) error {
		if err := s.touch(ctx, t, in.AccountID); err != nil {
			return err
		}
		old, err := s.storedEndpoint(ctx, t, s.sql.LockEndpoint, in.AccountID, in.ID)
		if err != nil {
			return err
		}
		if old.Revision != in.Revision {
			return webhook.ErrVersionConflict
		}
		now, err := t.clock(ctx)
		if err != nil {
			return err
		}
		rec = configure(old.EndpointRecord, u, now)
		next := storedEndpoint{EndpointRecord: rec, num: old.num, row: old.kept(in, row), revised: old.revised, revisedAt: old.revisedAt}
		if old.revises(in) {
			if err := s.keepRevision(ctx, t, old, now); err != nil {
				return err
			}
			next.revised, next.revisedAt = rec.Revision, now
		}
		if err := s.replace(ctx, t, next, boolNumber(rec.Pace == old.Pace && rec.DisabledReason == old.DisabledReason)); err != nil {
			return err
		}
		rec, err = s.endpoint(ctx, t, s.sql.GetEndpoint, in.AccountID, in.ID)
		if err != nil {
			return err
		}
		return s.finish(ctx, t, u.Idempotency, rec)
	})
	if err != nil {
		return webhook.EndpointRecord{}, s.failed("update endpoint", err)
	}
	return rec, nil
}

// configure returns the record with what a caller may set taken over from u.
func configure(r webhook.EndpointRecord, u webhook.EndpointUpdate, now int64) webhook.EndpointRecord {
	in := u.Record
	r.URL, r.Events, r.Description = in.URL, in.Events, in.Description
	r.UpdatedAt = fromMicros(now)
	r.Revision = nextVersion(r.Revision)
	on, want := r.Status != webhook.EndpointInactive, in.Status != webhook.EndpointInactive
	switch {
	case on && !want:
		r.Status, r.DisabledAt = webhook.EndpointInactive, fromMicros(now)
		r.DisabledReason = webhook.DisabledReason(disabledReason(in.DisabledReason))
	case !on && want:
		r.Status, r.DisabledReason, r.DisabledAt = webhook.EndpointActive, "", fromMicros(0)
	case !on && in.DisabledReason == webhook.DisabledManually && r.DisabledReason == webhook.DisabledFailing:
		r.DisabledReason = webhook.DisabledManually
	}
	if u.Reset || on && !want {
		r.Generation++
	}
	if u.Reset || on != want {
		r.Pace = webhook.PaceUnknown
	}
	if u.Reset {
		r.ConsecutiveFailures, r.FailingSince = 0, fromMicros(0)
		if r.Status == webhook.EndpointFailing {
			r.Status = webhook.EndpointActive
		}
	}
	return r
}

// replace writes the configuration; pace says whether what is known of the pace and of
// trials stays: 1 or 0. moving is set each time: Maintain looks once whether something is to be
// moved, and that costs it little.
func (s *Store) replace(ctx context.Context, t *txn, e storedEndpoint, pace int) error {
	num, r, row := e.num, e.EndpointRecord, e.row
	status := statusNumber[r.Status]
	if r.Pace == webhook.PacePaused {
		status += pausedBy
	}
	err := t.exec(ctx, s.sql.UpdateEndpoint, r.URL, row.events, r.Description, row.metadata, row.headers, row.secrets,
		status, 1, r.Revision, r.Generation, string(r.DisabledReason), toMicros(r.DisabledAt),
		r.ConsecutiveFailures, toMicros(r.FailingSince), e.revised, e.revisedAt, toMicros(r.UpdatedAt), pace, pace, pace, pace, pace, num)
	if err != nil {
		return err
	}
	if len(r.Events) == 0 { // they stay, see kept
		return nil
	}
	if err := t.exec(ctx, s.sql.DeleteSubscriptions, num); err != nil {
		return err
	}
	return s.subscribe(ctx, t, num, r)
}

// DeleteEndpoint implements [webhook.EndpointStore]. A row without configuration
// stays as long as the log of its deliveries, and for [webhook.MaintainRequest].Retention
// at the least, so that the id is not used twice and old deliveries can name it.
func (s *Store) DeleteEndpoint(ctx context.Context, d webhook.EndpointDelete) error {
	return s.failed("delete endpoint", s.write(ctx, func(t *txn) error {
		if err := s.touch(ctx, t, d.AccountID); err != nil {
			return err
		}
		ep, err := s.storedEndpoint(ctx, t, s.sql.LockEndpoint, d.AccountID, d.ID)
		if err != nil {
			return err
		}
		if d.IfRevision != 0 && d.IfRevision != ep.Revision {
			return webhook.ErrVersionConflict
		}
		now, err := t.clock(ctx)
		if err != nil {
			return err
		}
		if err := s.keepRevision(ctx, t, ep, now); err != nil {
			return err
		}
		if err := t.exec(ctx, s.sql.DeleteSubscriptions, ep.num); err != nil {
			return err
		}
		return t.exec(ctx, s.sql.DeleteEndpoint, now, ep.num)
	}))
}

var statusNumber = map[webhook.EndpointStatus]int{
	webhook.EndpointActive:   endpointActive,
	webhook.EndpointFailing:  endpointFailing,
	webhook.EndpointInactive: endpointInactive,
}

var statusWord = map[int]webhook.EndpointStatus{
	endpointActive:   webhook.EndpointActive,
	endpointFailing:  webhook.EndpointFailing,
	endpointInactive: webhook.EndpointInactive,
}

// endpointRow is what an endpoint's row holds in another form than the record.
type endpointRow struct{ events, metadata, headers, secrets string }

func (s *Store) endpointRow(r webhook.EndpointRecord) (row endpointRow, err error) {
	for _, c := range []struct {
		field, text string
		limit       int
	}{{"ID", r.ID, maxID}, {"AccountID", r.AccountID, maxAccount}, {"URL", r.URL, maxText}, {"Description", r.Description, maxText}} {
		if err := checkText(c.field, c.text, c.limit); err != nil {
			return row, err
		}
	}
	for _, typ := range r.Events {
		if err := checkText("Events", string(typ), maxType); err != nil {
			return row, err
		}
	}
	for field, m := range map[string]map[string]string{"Metadata": r.Metadata, "Headers": r.Headers} {
		for k, v := range m {
			if err := errors.Join(checkText(field, k, maxText), checkText(field, v, maxText)); err != nil {
				return row, err
			}
		}
	}
	row.secrets, row.headers = s.keys.sealSecrets(r.ID, r.Secrets), s.keys.sealHeaders(r.ID, r.Headers)
	row.events, row.metadata = toJSON(r.Events), toJSON(r.Metadata)
	return row, nil
}

type scanner interface{ Scan(...any) error }

// storedEndpoint is an endpoint as read.
type storedEndpoint struct {
	webhook.EndpointRecord
	num int64
	row endpointRow // as it is stored
	bad error       // why some of it cannot be read

	revised, revisedAt int64 // see ListRevisions
}

// Parts of an endpoint that can be unreadable although their column was read.
const (
	partEvents   = "events"
	partMetadata = "metadata"
	partHeaders  = "headers"
	partSecrets  = "secrets"
	partFailure  = "last_failure"
)

// scanEndpoint reads endpointColumns. What cannot be read is named in Unreadable.
func (s *Store) scanEndpoint(row scanner) (e storedEndpoint, err error) {
	var reason, failed string
	var status int
	var pace int
	var disabled, since, triggered, success, failure, paused, created, updated int64
	var bad unread
	r := &e.EndpointRecord
	names := endpointColumns[strings.IndexByte(endpointColumns, ',')+1:]
	dst := columnsOf(&bad, names, &r.ID, &r.AccountID, &r.URL, &e.row.events, &r.Description, &e.row.metadata, &e.row.headers, &e.row.secrets,
		&status, &r.Revision, &r.Generation, &reason, &disabled, &r.ConsecutiveFailures, &since,
		&triggered, &success, &failure, &failed, &pace, &paused, &e.revised, &e.revisedAt, &created, &updated)
	if err := row.Scan(append([]any{&e.num}, dst...)...); err != nil {
		return e, err
	}
	r.Status, r.DisabledReason = statusWord[unpaused(status)], webhook.DisabledReason(reason)
	if r.Pace = paceOf(status, webhook.Pace(pace)); r.Pace == webhook.PacePaused {
		r.PausedTill = fromMicros(paused)
	} else if status == endpointInactive {
		r.TrialAt = fromMicros(paused)
	}
	r.DisabledAt, r.FailingSince = fromMicros(disabled), fromMicros(since)
	r.LastTriggeredAt, r.LastSuccessAt, r.LastFailureAt = fromMicros(triggered), fromMicros(success), fromMicros(failure)
	r.CreatedAt, r.UpdatedAt = fromMicros(created), fromMicros(updated)
	r.Secrets, err = s.keys.openSecrets(r.ID, e.row.secrets)
	bad.add(partSecrets, err)
	r.Headers, r.HeaderNames, err = s.keys.openHeaders(r.ID, e.row.headers)
	bad.add(partHeaders, err)
	bad.add(partEvents, fromJSON(e.row.events, &r.Events))
	bad.add(partMetadata, fromJSON(e.row.metadata, &r.Metadata))
	e.bad = bad.err(r.ID)
	r.LastFailure, err = readLastFailure(failed)
	bad.add(partFailure, err) // no request needs it
	r.Unreadable = bad.parts
	return e, nil
}
