package sqlstore

import (
	"context"
	"database/sql"
	"errors"
)

// errNotLeased breaks off recordAtOnce when a delivery is not leased to the
// caller any more.
var errNotLeased = errors.New("a delivery is not leased to the caller")

// recordAtOnce records the successes that leave their endpoints as they are,
// which nearly all results are, without reading the deliveries before. The other
// items stay.
func (b *settling) recordAtOnce(ctx context.Context, t *txn) error {
	plain, rest := splitDelivered(b.items)
	others, err := b.changing(ctx, t, plain)
	if err != nil {
		return err
	}
	b.atOnce = make([]item, 0, len(plain))
	rows := make([][]any, 0, len(plain))
	for _, it := range plain {
		if others[it.EndpointID] {
			rest = append(rest, it)
			continue
		}
		a := it.Attempt
		b.atOnce = append(b.atOnce, it)
		rows = append(rows, []any{it.k, int64(it.Token), b.micros, a.ID, toMicros(a.At), int64(a.Duration), a.StatusCode, bodyOf(a)})
	}
	b.items = rest
	recorded := int64(0)
	err = inChunks(rows, func(part [][]any) error {
		res, err := t.execResult(ctx, t.s.chunkText(&t.s.sql.Record, len(part)), flat(&t.s.sql.Record, part)...)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		recorded += n
		return err
	})
	if err == nil && recorded != int64(len(rows)) {
		return errNotLeased
	}
	return err
}

// changing returns the endpoints of items that a success would change, and those
// whose number is not known.
func (b *settling) changing(ctx context.Context, t *txn, items []item) (map[string]bool, error) {
	others := make(map[string]bool)
	ids := make(map[int64]string)
	var rows [][]any
	for _, it := range items {
		num, known := b.s.nums.get(it.EndpointID)
		if !known {
			others[it.EndpointID] = true
		} else if _, asked := ids[num]; !asked {
			ids[num] = it.EndpointID
			rows = append(rows, []any{num, b.micros - timesLag.Microseconds(), int(it.Pace)})
		}
	}
	err := t.bulk(ctx, &b.s.sql.Changing, rows, func(r *sql.Rows) error {
		var num int64
		err := r.Scan(&num)
		others[ids[num]] = true
		return err
	})
	return others, err
}
