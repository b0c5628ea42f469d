package sqlstore

import (
	"bytes"
	"context"
)

// historyLag is how many deliveries this process inserts before it adds them to
// SQLite's history table: whoever lists an endpoint's deliveries reads all that
// are not in it yet.
const historyLag = 2048

// insertDeliveries inserts rows of InsertDeliveries, which begin with key, event
// and endpoint.
func (s *Store) insertDeliveries(ctx context.Context, t *txn, rows [][]any) error {
	// What runs a statement may write its own form of the keys.
	keys := make([]key, len(rows))
	for i, row := range rows {
		keys[i] = row[0].(key)
	}
	if err := t.bulk(ctx, &s.sql.InsertDeliveries, rows, nil); err != nil {
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
	var late [][]any
	for i, k := range keys {
		if bytes.Compare(k[:], end) <= 0 {
			late = append(late, []any{rows[i][2], k})
		}
	}
	if err := t.bulk(ctx, &s.sql.InsertHistory, late, nil); err != nil {
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
