package sqlstore

import (
	"bytes"
	"context"
)

// historyLag is how many deliveries this process inserts before it adds them to
// SQLite's history table: whoever lists an endpoint's deliveries reads all that
// are not in it yet.
const historyLag = 2048

// timelineLag is the same for events and SQLite's timeline table, which has larger
// entries.
const timelineLag = 8 * historyLag

// insertDeliveries inserts new deliveries.
func (s *Store) insertDeliveries(ctx context.Context, t *txn, rows []createdDelivery) error {
	if err := t.execAll(ctx, s.sql.InsertDeliveries.of(rows)); err != nil {
		return err
	}
	if len(rows) == 0 || !s.dialect.history {
		return nil
	}
	var end []byte
	if err := t.row(ctx, s.sql.HistoryEnd).Scan(&end); err != nil {
		return err
	}
	// The clock of another process, whose deliveries were added, may be ahead.
	var late []listed
	for _, d := range rows {
		if bytes.Compare(d.k[:], end) <= 0 {
			late = append(late, listed{d.endpoint, d.k})
		}
	}
	if err := t.execAll(ctx, s.sql.InsertHistory.of(late)); err != nil {
		return err
	}
	if s.unlisted.Add(int64(len(rows)-len(late))) < historyLag {
		return nil
	}
	if err := t.exec(ctx, s.sql.AddHistory); err != nil {
		return err
	}
	if err := t.exec(ctx, s.sql.SetHistoryEnd); err != nil {
		return err
	}
	s.unlisted.Store(0)
	return nil
}

// listEvents adds the events to SQLite's timeline table, once this process has inserted
// so many of them.
func (s *Store) listEvents(ctx context.Context, t *txn, inserted int) error {
	if s.untimed.Add(int64(inserted)) < timelineLag {
		return nil
	}
	if err := t.exec(ctx, s.sql.AddTimeline); err != nil {
		return err
	}
	if err := t.exec(ctx, s.sql.SetTimelineEnd); err != nil {
		return err
	}
	s.untimed.Store(0)
	return nil
}

// dropEvents deletes events. On SQLite the next one can get the number of one that was
// the last.
func (s *Store) dropEvents(ctx context.Context, t *txn, keys []key) error {
	if len(keys) == 0 || !s.dialect.history {
		return t.execAll(ctx, s.sql.DropEvents.of(keys))
	}
	if err := t.execAll(ctx, s.sql.DropTimeline.of(keys), s.sql.DropEvents.of(keys)); err != nil {
		return err
	}
	return t.exec(ctx, s.sql.LowerTimelineEnd)
}
