package sqlstore

import (
	"context"
	"database/sql"
	"sync"
	"time"
)

// A call that leases writes the deliveries, which name its token, and one row
// that says when all of that ends and whom it concerns: a lease costs one index
// entry for a batch. Whoever settles a delivery looks at the delivery alone, so
// the row may outlive what it is about; Maintain reads it when it is due and asks
// the deliveries. Removing it before is a matter of tidiness, which leaseBook
// serves, and must not happen while one of its deliveries is still leased: nobody
// would ever find that.
type lease struct{ due, token int64 }

// leaseMargin is how long before its end a lease is left to Maintain, so that
// nobody removes a row that Maintain has locked.
const leaseMargin = time.Second

// leaseBook counts what is still leased of the leases of this process. What it
// forgets, or never knew, Maintain finds.
type leaseBook struct {
	mu      sync.Mutex
	left    map[int64]leaseCount // by token
	ended   []lease              // nothing is leased any more, but the row may be there
	sweepAt int                  // number of leases at which old ones are looked for
}

type leaseCount struct {
	lease
	left int
}

// add takes on a lease of n deliveries, made at now, in microseconds.
func (b *leaseBook) add(now int64, l lease, n int) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left == nil {
		b.left = make(map[int64]leaseCount)
	}
	b.left[l.token] = leaseCount{lease: l, left: n}
	if len(b.left) <= b.sweepAt {
		return
	}
	for token, c := range b.left {
		if c.due < now {
			delete(b.left, token)
		}
	}
	b.sweepAt = 2*len(b.left) + 1000
}

// finishing is a lease, and how many deliveries of it must be settled by one
// call so that nothing of it is left.
type finishing struct {
	lease
	n int
}

// finished returns the leases that end with a call that settles so many
// deliveries of each token, and those that ended before.
func (b *leaseBook) finished(settled map[int64]int) (list []finishing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for token, n := range settled {
		if c, ok := b.left[token]; ok && c.left == n {
			list = append(list, finishing{lease: c.lease, n: n})
		}
	}
	for _, l := range b.ended {
		list = append(list, finishing{lease: l})
	}
	return list
}

// settle takes off what a call has settled, and forgets the leases that it
// removed.
func (b *leaseBook) settle(settled map[int64]int, removed []finishing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	gone := make(map[int64]bool, len(removed))
	for _, f := range removed {
		if f.n == settled[f.token] {
			gone[f.token] = true
		}
	}
	kept := b.ended[:0]
	for _, l := range b.ended {
		if !gone[l.token] {
			kept = append(kept, l)
		}
	}
	b.ended = kept
	for token, n := range settled {
		c, ok := b.left[token]
		switch {
		case !ok:
		case c.left > n:
			c.left -= n
			b.left[token] = c
		default:
			delete(b.left, token)
			if !gone[token] {
				b.ended = append(b.ended, c.lease)
			}
		}
	}
}

// joinKeys writes keys one after the other.
func joinKeys(keys []key) []byte {
	all := make([]byte, 0, len(keys)*len(key{}))
	for _, k := range keys {
		all = append(all, k[:]...)
	}
	return all
}

// splitKeys is the reverse of joinKeys.
func splitKeys(all []byte) (keys []key) {
	for len(all) >= len(key{}) {
		keys = append(keys, key(all))
		all = all[len(key{}):]
	}
	return keys
}

// leasedKey is a delivery under a lease. Several leases can name one delivery,
// in any order of their ends: only one of them has its token.
type leasedKey struct {
	k     key
	token int64
}

// leaseRow is a row of the lease table.
type leaseRow struct {
	lease
	keys []key
}

func readLeases(ctx context.Context, t *txn, text string, args ...any) (list []leaseRow, err error) {
	err = t.query(ctx, text, func(r *sql.Rows) error {
		var l leaseRow
		var all []byte
		err := r.Scan(&l.due, &l.token, &all)
		l.keys = splitKeys(all)
		list = append(list, l)
		return err
	}, args...)
	return list, err
}

// loggedDelivery is the part of a row of the delivery table that Settle writes.
type loggedDelivery struct {
	k                        key
	endpoint                 int64
	status                   int
	token, ends              int64
	attempts, made, releases int
}

// readDeliveries reads deliveries by a statement of LockDeliveries' form.
func readDeliveries(ctx context.Context, t *txn, b *bulk[key], keys []key, take func(loggedDelivery)) error {
	return t.queryAll(ctx, b.of(keys), func(r *sql.Rows) error {
		var d loggedDelivery
		err := r.Scan(&d.k, &d.endpoint, &d.status, &d.token, &d.ends, &d.attempts, &d.made, &d.releases)
		take(d)
		return err
	})
}
