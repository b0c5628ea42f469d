package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ringyo-ai/webhook"
)

// What a transaction of Settle counts is one row, of 16 bytes for a result: to add to a
// row for each endpoint would write about as many rows as there are deliveries, and let
// transactions wait for each other. Maintain adds the rows of some seconds to the tallies
// at once, and who reads these adds what is left. So nothing of Settle locks a tally, and
// those who do lock them in the order of endpoints.

const (
	// foldEvery is how often a process that settles adds what was counted to the
	// tallies, and foldRarely how often another one looks whether there is something.
	foldEvery  = int64(10 * time.Second / time.Microsecond)
	foldRarely = int64(time.Minute / time.Microsecond)
	// foldAtOnce is how many rows one transaction takes: 2 MiB of full ones.
	foldAtOnce = 512
)

// hourMicros is an hour in the unit of the tables.
const hourMicros = int64(time.Hour / time.Microsecond)

// A counted result is two numbers: the endpoint, and how long the attempt took in
// nanoseconds times 16, and these.
const (
	countDelivered = 1
	countFailed    = 2
	countExhausted = 4
	countTimed     = 8
	countShift     = 4
	countSize      = 16
)

// appendCount adds a result to those of one transaction.
func appendCount(b []byte, endpoint int64, it item) []byte {
	t := it.Tallied()
	n := int64(countDelivered*t.Delivered + countFailed*t.FailedAttempts + countExhausted*t.Exhausted)
	if a := it.Attempt; a != nil && n&(countDelivered|countFailed) != 0 {
		n |= countTimed | int64(min(max(a.Duration, 0), math.MaxInt64>>countShift))<<countShift
	}
	if n == 0 {
		return b
	}
	b = binary.BigEndian.AppendUint64(b, uint64(endpoint)) // #nosec G115 -- read back as it was
	return binary.BigEndian.AppendUint64(b, uint64(n))     // #nosec G115 -- likewise
}

// timeFor reports whether it is time for what a process does now and then, and when not to do
// it again. A clock that was set back puts nothing off for longer.
func timeFor(next *atomic.Int64, now, every int64) bool {
	if at := next.Load(); now < at && at <= now+every {
		return false
	}
	next.Store(now + every)
	return true
}

// tallyKey is the place of a tally.
type tallyKey struct{ endpoint, hour int64 }

// tallies adds up what was counted.
type tallies map[tallyKey]*webhook.Tally

// add adds the results of one transaction, of the endpoints that are wanted or with nil
// of all.
func (ts tallies) add(at int64, results []byte, wanted func(endpoint int64) bool) {
	for ; len(results) >= countSize; results = results[countSize:] {
		k := tallyKey{int64(binary.BigEndian.Uint64(results)), at - at%hourMicros} // #nosec G115 -- written as an int64
		if wanted != nil && !wanted(k.endpoint) {
			continue
		}
		t := ts.at(k)
		n := int64(binary.BigEndian.Uint64(results[8:])) // #nosec G115 -- likewise
		t.Delivered += int(n & countDelivered)
		t.FailedAttempts += int(n & countFailed / countFailed)
		t.Exhausted += int(n & countExhausted / countExhausted)
		if n&countTimed != 0 {
			t.Latency[webhook.LatencyBucket(time.Duration(n>>countShift))]++
		}
	}
}

func (ts tallies) at(k tallyKey) *webhook.Tally {
	t := ts[k]
	if t == nil {
		t = &webhook.Tally{Hour: fromMicros(k.hour)}
		ts[k] = t
	}
	return t
}

// tallyRow is a row of AddTallies.
type tallyRow struct {
	tallyKey
	*webhook.Tally
}

func (r tallyRow) encode(to encoder) {
	to.num(r.endpoint)
	to.num(r.hour)
	to.num(int64(r.Delivered))
	to.num(int64(r.FailedAttempts))
	to.num(int64(r.Exhausted))
	for _, n := range r.Latency {
		to.num(int64(n))
	}
}

// rows returns them in the order in which tallies are locked.
func (ts tallies) rows() []tallyRow {
	var rows []tallyRow
	for _, k := range slices.SortedFunc(maps.Keys(ts), func(a, b tallyKey) int {
		return cmp.Or(cmp.Compare(a.endpoint, b.endpoint), cmp.Compare(a.hour, b.hour))
	}) {
		rows = append(rows, tallyRow{k, ts[k]})
	}
	return rows
}

// tallyCounts are the columns of a tally that are added to.
var tallyCounts = [...]string{
	"delivered", "failed", "exhausted", "l0", "l1", "l2", "l3", "l4", "l5", "l6", "l7", "l8", "l9", "l10", "l11",
}

// forCounts writes a text for each of the columns, with % in the place of its name.
func forCounts(text, sep string) string {
	var parts []string
	for _, c := range tallyCounts {
		parts = append(parts, strings.ReplaceAll(text, "%", c))
	}
	return strings.Join(parts, sep)
}

// intArrays returns so many parameters that are arrays of numbers, from the given one on.
func intArrays(from, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(", $" + strconv.Itoa(from+i) + "::int[]")
	}
	return b.String()
}

// toTally returns how many of the items are to be counted.
func (s *Store) toTally(items []item) (n int) {
	for _, it := range items {
		if it.Tally {
			n++
		}
	}
	if n > 0 && !s.tallying.Load() {
		s.tallying.Store(true)
	}
	return n
}

// tally counts a result that is recorded.
func (b *settling) tally(endpoint int64, it item) {
	if it.Tally {
		b.counts = appendCount(b.counts, endpoint, it)
	}
}

// count stores what a transaction of Settle has counted.
func (t *txn) count(ctx context.Context, at int64, results []byte) error {
	if len(results) == 0 {
		return nil
	}
	return t.exec(ctx, t.s.sql.InsertCounts, at, results)
}

// fold adds what was counted to the tallies, every so often and while there is more than
// one call takes.
func (m *upkeep) fold(ctx context.Context) error {
	every := foldRarely
	if m.s.tallying.Load() {
		every = foldEvery
	}
	if !timeFor(&m.s.foldAt, m.micros, every) {
		return nil
	}
	n := 0
	err := m.s.write(ctx, func(t *txn) (err error) {
		n, err = m.s.foldCounts(ctx, t, m.s.sql.LockCounts, min(m.limit, foldAtOnce))
		return err
	})
	if err != nil {
		return err
	}
	if n == min(m.limit, foldAtOnce) {
		m.s.foldAt.Store(0)
		m.out.More = true
	}
	return nil
}

// foldCounts adds at most limit rows to the tallies, and returns how many.
func (s *Store) foldCounts(ctx context.Context, t *txn, text string, limit int) (int, error) {
	sums := make(tallies)
	var done []number
	err := t.query(ctx, text, func(r *sql.Rows) error {
		var num, at int64
		var results sql.RawBytes
		if err := r.Scan(&num, &at, &results); err != nil {
			return err
		}
		done = append(done, number(num))
		sums.add(at, results, nil)
		return nil
	}, limit)
	if err != nil {
		return 0, err
	}
	return len(done), t.execAll(ctx, s.sql.AddTallies.of(sums.rows()), s.sql.DropCounts.of(done))
}

// Tallies implements [webhook.Tallier]. One statement reads what was added up and what
// is still to be, so that nothing is in both or in neither.
func (s *Store) Tallies(ctx context.Context, accountID string, q webhook.TallyQuery) (map[string][]webhook.Tally, error) {
	marks, ids := some(q.EndpointIDs)
	if len(ids) == 0 || checkText("", accountID, maxAccount) != nil {
		return map[string][]webhook.Tally{}, nil
	}
	begin, end := toMicros(q.From), int64(math.MaxInt64)
	if !q.Until.IsZero() {
		end = q.Until.UnixMicro()
	}
	var a askedTallies
	err := s.read(ctx, func(t *txn) error {
		a = askedTallies{ids: make(map[int64]string), sums: make(tallies)}
		return t.queryOnce(ctx, `
			select 0 as num, '' as id, at, `+forCounts("0 as %", ", ")+`, results from {p}count
			union all
			select p.num, p.id, coalesce(t.hour, -1), `+forCounts("coalesce(t.%, 0)", ", ")+`, null
			from {p}endpoint p left join {p}tally t on t.endpoint = p.num and t.hour >= ? and t.hour < ?
			where p.id in (`+marks+`) and p.account = ?`,
			a.scan, slices.Concat([]any{begin, end}, ids, []any{accountID})...)
	})
	return found(s, "tallies", a.within(begin, end), err)
}

// askedTallies are those of some endpoints, and what was counted of all and is not yet
// added to them.
type askedTallies struct {
	ids    map[int64]string
	sums   tallies
	counts []counted
}

// counted are the results of one transaction.
type counted struct {
	at      int64
	results []byte
}

// scan reads a tally, or that an endpoint has none, or the results of one transaction,
// which are of no endpoint.
func (a *askedTallies) scan(r *sql.Rows) error {
	var num, at int64
	var id string
	var one webhook.Tally
	var results []byte
	dst := []any{&num, &id, &at, &one.Delivered, &one.FailedAttempts, &one.Exhausted}
	for i := range one.Latency {
		dst = append(dst, &one.Latency[i])
	}
	err := r.Scan(append(dst, &results)...)
	switch {
	case err != nil:
		return err
	case num == 0:
		a.counts = append(a.counts, counted{at, results})
		return nil
	case at >= 0:
		a.sums.at(tallyKey{num, at}).Add(one)
	}
	a.ids[num] = id
	return nil
}

// within returns the tallies of the hours from begin to end, by the ids of endpoints.
func (a *askedTallies) within(begin, end int64) map[string][]webhook.Tally {
	for _, c := range a.counts {
		if hour := c.at - c.at%hourMicros; hour >= begin && hour < end {
			a.sums.add(c.at, c.results, func(endpoint int64) bool { return a.ids[endpoint] != "" })
		}
	}
	all := make(map[string][]webhook.Tally, len(a.ids))
	for _, id := range a.ids {
		all[id] = nil
	}
	for _, r := range a.sums.rows() {
		id := a.ids[r.endpoint]
		all[id] = append(all[id], *r.Tally)
	}
	return all
}

// purgeTallies forgets those of hours that ended before the given time, about limit of
// them, and reports whether there may be more.
func (m *upkeep) purgeTallies(ctx context.Context, before int64) (more bool, err error) {
	err = m.s.write(ctx, func(t *txn) (err error) {
		more, err = t.dropUpTo(ctx, m.s.sql.TallyAt, m.s.sql.ExpireTallies, before-hourMicros, m.limit)
		return err
	})
	return more, err
}

// dropUpTo deletes about limit rows, those with the lowest times up to at, and reports
// whether there may be more. The first statement returns a time that so many rows have
// or are before; the second one deletes up to a time.
func (t *txn) dropUpTo(ctx context.Context, find, drop string, at int64, limit int) (more bool, err error) {
	last := at
	switch err := t.row(ctx, find, at, limit-1).Scan(&last); {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return false, err
	default:
		more = true
	}
	return more, t.exec(ctx, drop, last)
}

// dropTallies removes those of one endpoint, of which no result can be recorded any more.
func (s *Store) dropTallies(ctx context.Context, t *txn, num int64) error {
	for {
		n, err := s.foldCounts(ctx, t, s.sql.LockAllCounts, foldAtOnce)
		if err != nil {
			return err
		}
		if n < foldAtOnce {
			return t.exec(ctx, s.sql.DropTallies, num)
		}
	}
}

// tally does, in a trial, what counting needs; the results were counted before.
func (l *life) tally(ctx context.Context) error {
	err := l.s.write(ctx, func(t *txn) error {
		if _, err := l.s.foldCounts(ctx, t, l.s.sql.LockCounts, 0); err != nil {
			return err
		}
		rows := []tallyRow{{tallyKey{l.num, 0}, &webhook.Tally{Delivered: 1}}}
		for range 2 { // the first one inserts, the second one adds
			if err := t.execAll(ctx, l.s.sql.AddTallies.of(rows)); err != nil {
				return err
			}
		}
		return t.execAll(ctx, l.s.sql.DropCounts.of([]number{-1}))
	})
	if err != nil {
		return err
	}
	all, err := l.s.Tallies(ctx, l.account, webhook.TallyQuery{EndpointIDs: []string{l.endpoint}})
	if err != nil {
		return err
	}
	list := all[l.endpoint]
	return l.s.write(ctx, func(t *txn) error {
		if _, err := t.dropUpTo(ctx, l.s.sql.TallyAt, l.s.sql.ExpireTallies, -1, 1); err != nil {
			return err
		}
		err := t.exec(ctx, l.s.sql.DropTallies, l.num)
		return cmp.Or(err, expect(len(list) == 2 && list[0].Delivered == 2 && list[1].FailedAttempts == 1))
	})
}
