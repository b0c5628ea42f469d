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
	others, nums, err := b.changing(ctx, t, plain)
	if err != nil {
		return err
	}
	b.atOnce, b.atOnceAt = make([]item, 0, len(plain)), make([]int64, 0, len(plain))
	rows := make([]success, 0, len(plain))
	for _, it := range plain {
		if others[it.EndpointID] {
			rest = append(rest, it)
			continue
		}
		b.atOnce, b.atOnceAt = append(b.atOnce, it), append(b.atOnceAt, nums[it.EndpointID])
		rows = append(rows, success{it, b.micros})
	}
	b.items = rest
	recorded := int64(0)
	err = t.inChunks(t.s.sql.Record.of(rows), func(text string, args []any) error {
		res, err := t.execResult(ctx, text, args...)
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
// whose number is not known, and the numbers of the others.
func (b *settling) changing(ctx context.Context, t *txn, items []item) (others map[string]bool, nums map[string]int64, err error) {
	others, nums = make(map[string]bool), make(map[string]int64)
	ids := make(map[int64]string)
	var rows []successOf
	for _, it := range items {
		num, known := b.s.nums.get(it.EndpointID)
		if !known {
			others[it.EndpointID] = true
		} else if _, asked := ids[num]; !asked {
			ids[num], nums[it.EndpointID] = it.EndpointID, num
			rows = append(rows, successOf{num, b.micros - timesLag.Microseconds(), it.Pace})
		}
	}
	err = t.queryAll(ctx, b.s.sql.Changing.of(rows), func(r *sql.Rows) error {
		var num int64
		err := r.Scan(&num)
		others[ids[num]] = true
		return err
	})
	return others, nums, err
}
