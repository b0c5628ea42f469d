package sqlstore

import (
	"context"
	"database/sql"

	"github.com/ringyo-ai/webhook"
)

// Heartbeat implements [webhook.Heartbeater]. A process is its row, which is locked
// by its own heartbeat and by whoever ends it. A process that finds it locked by
// another one leaves it to that one, so that processes that take each other for
// dead do not wait for each other.
func (s *Store) Heartbeat(ctx context.Context, h webhook.Heartbeat) (webhook.Heartbeaten, error) {
	var out webhook.Heartbeaten
	err := s.write(ctx, func(t *txn) error {
		out = webhook.Heartbeaten{}
		now, err := t.clock(ctx)
		if err != nil {
			return err
		}
		out.Now = fromMicros(now)
		if out.Process, err = s.beat(ctx, t, h, &out); err != nil {
			return err
		}
		for _, d := range h.Dead {
			dead, err := t.found(ctx, s.sql.LockDead, int64(d.Process), toMicros(d.Until), now)
			if err == nil && dead {
				err = s.endProcess(ctx, t, d.Process, &out)
			}
			if err != nil {
				return err
			}
		}
		return t.query(ctx, s.sql.Quiet, func(r *sql.Rows) error {
			var id, until int64
			err := r.Scan(&id, &until)
			out.Quiet = append(out.Quiet, webhook.QuietProcess{Process: webhook.ProcessID(id), Until: fromMicros(until)})
			return err
		}, later(now, h.For/2), int64(out.Process))
	})
	if err != nil {
		return webhook.Heartbeaten{}, s.failed("heartbeat", err)
	}
	return out, nil
}

// beat sets how long the caller counts as alive, and returns which process it is.
func (s *Store) beat(ctx context.Context, t *txn, h webhook.Heartbeat, out *webhook.Heartbeaten) (webhook.ProcessID, error) {
	there := false
	if h.Process != 0 {
		var err error
		if there, err = t.found(ctx, s.sql.LockProcess, int64(h.Process)); err != nil {
			return 0, err
		}
	}
	until := later(t.micros, h.For)
	switch {
	case h.For <= 0 && there:
		return 0, s.endProcess(ctx, t, h.Process, out)
	case h.For <= 0:
		return 0, nil
	case there:
		return h.Process, t.exec(ctx, s.sql.SetProcess, until, int64(h.Process))
	}
	id := newToken()
	return webhook.ProcessID(id), t.exec(ctx, s.sql.InsertProcess, id, until)
}

// endProcess removes a process, whose row is locked, and ends its leases. They are
// read through all that is leased, which is little: no index is kept for something
// that happens after a crash.
func (s *Store) endProcess(ctx context.Context, t *txn, id webhook.ProcessID, out *webhook.Heartbeaten) error {
	var leases []closing
	err := t.query(ctx, s.sql.LeasesOf, func(r *sql.Rows) error {
		var l lease
		err := r.Scan(&l.due, &l.token)
		leases = append(leases, closing{t.micros, l})
		return err
	}, int64(id), t.micros)
	if err != nil {
		return err
	}
	if err := t.execAll(ctx, s.sql.CloseLeases.of(leases)); err != nil {
		return err
	}
	out.Ended++
	return t.exec(ctx, s.sql.DeleteProcess, int64(id))
}

// found reports whether a statement returns a row.
func (t *txn) found(ctx context.Context, text string, args ...any) (found bool, err error) {
	err = t.query(ctx, text, func(*sql.Rows) error {
		found = true
		return nil
	}, args...)
	return found, err
}
