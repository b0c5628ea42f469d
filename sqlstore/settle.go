package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"

	"github.com/ringyo-ai/webhook"
)

// Settle implements [webhook.Queue].
func (s *Store) Settle(ctx context.Context, batch []webhook.Settlement) (webhook.Settled, error) {
	out := webhook.Settled{Results: make([]webhook.SettleResult, len(batch))}
	items := make([]item, 0, len(batch))
	for i := range batch {
		k, ok := parseKey(batch[i].DeliveryID)
		if !ok {
			out.Results[i].Status = webhook.SettleStale // this store never gave such an id
			continue
		}
		items = append(items, item{Settlement: &batch[i], k: k, at: i})
	}
	err := s.meet(ctx, s.db)
	if err == nil {
		err = s.settleAll(ctx, items, &out)
	}
	if err == nil && out.Now.IsZero() {
		out.Now, err = s.Now(ctx)
	}
	if err != nil {
		return webhook.Settled{}, s.failed("settle", err)
	}
	return out, nil
}

// settleAll records what the dialect can in one step, and the rest in a
// transaction. Once the first has succeeded, an error concerns the rest alone.
func (s *Store) settleAll(ctx context.Context, items []item, out *webhook.Settled) (err error) {
	rest := items
	if s.dialect.settle != nil {
		if rest, err = s.dialect.settle(ctx, s, items, out); err != nil {
			return err
		}
	}
	err = s.settle(ctx, rest, out)
	if err == nil || len(rest) == len(items) {
		return err
	}
	for _, it := range rest {
		if r := &out.Results[it.at]; r.Status == 0 {
			*r = webhook.SettleResult{Status: webhook.SettleFailed, Err: s.failed("settle", err)}
		}
	}
	return nil
}

// item is a settlement with its place in the result.
type item struct {
	*webhook.Settlement
	k  key
	at int
}

// errDamaged means that a row which Settle needs cannot be read.
var errDamaged = errors.New("a damaged row")

// settle records the items in one transaction. When the database refuses a row,
// or has a damaged one, it halves the batch until that row is alone, so that the
// others are recorded.
func (s *Store) settle(ctx context.Context, items []item, out *webhook.Settled) error {
	if len(items) == 0 {
		return nil
	}
	b, err := s.settleOnce(ctx, items, s.dialect.recordsAtOnce)
	if errors.Is(err, errNotLeased) {
		b, err = s.settleOnce(ctx, items, false)
	}
	switch {
	case err == nil:
		b.report(out)
		return nil
	case kindOf(err) != kindData && !errors.Is(err, errDamaged):
		return err
	case len(items) == 1:
		out.Results[items[0].at] = webhook.SettleResult{Status: webhook.SettleFailed, Err: s.failed("settle", err)}
		return nil
	}
	half := len(items) / 2
	if err := s.settle(ctx, items[:half], out); err != nil {
		return err
	}
	return s.settle(ctx, items[half:], out)
}

// settleOnce makes one transaction; atOnce tries recordAtOnce first.
func (s *Store) settleOnce(ctx context.Context, items []item, atOnce bool) (b *settling, err error) {
	err = s.write(ctx, func(t *txn) (err error) {
		b = &settling{s: s, items: items}
		if b.micros, err = t.clock(ctx); err != nil {
			return err
		}
		if atOnce {
			if err := b.recordAtOnce(ctx, t); err != nil {
				return err
			}
		}
		return b.run(ctx, t)
	})
	return b, err
}

// applied is the result of a delivery that a dialect recorded at once.
var applied = webhook.SettleResult{Status: webhook.SettleApplied, Delivery: webhook.DeliveryDelivered}

// settling is one transaction of a Settle call.
type settling struct {
	s        *Store
	micros   int64
	atOnce   []item  // recorded by recordAtOnce
	atOnceAt []int64 // their endpoints
	items    []item
	results  []webhook.SettleResult // of items

	loaded map[key]delivery // as read
	now    map[key]*delivery
	log    []loggedAttempt   // attempts that did not deliver
	counts []byte            // of what is tallied, see appendCount
	ended  map[int64]int     // leased deliveries that were settled, by token
	ends   map[int64]int64   // when the leases would end, by token
	over   []finishing       // leases that are over with them
	health map[int64]*health // by endpoint number
	failed []*health         // whose failures were counted, or which were disabled
}

// delivery is what Settle knows of a delivery.
type delivery struct {
	loggedDelivery
	state, due int64 // in the queue, if it goes there
	reason     webhook.DeliveryReason
	sent       *webhook.Attempt // that delivered it
	changed    bool
	late       bool // a success whose lease was over
}

func (b *settling) run(ctx context.Context, t *txn) error {
	b.results = make([]webhook.SettleResult, len(b.items))
	if err := b.load(ctx, t); err != nil {
		return err
	}
	if err := b.readHealth(ctx, t, &b.s.sql.Health, nil); err != nil {
		return err
	}
	b.apply()
	// Endpoints are locked only when they change, so that batches do not wait
	// for each other; what they are then is read again.
	touched := make(map[string]bool)
	if err := b.touchAccounts(ctx, t, touched); err != nil {
		return err
	}
	if dirty := b.dirty(); len(dirty) > 0 && !b.s.dialect.oneWriter {
		if err := b.readHealth(ctx, t, &b.s.sql.LockHealth, dirty); err != nil {
			return err
		}
		b.apply()
		if err := b.touchAccounts(ctx, t, touched); err != nil {
			return err
		}
	}
	return b.store(ctx, t)
}

// load locks and reads the deliveries. What can be in the queue, since it is a
// success whose lease is over, is locked there before: that is the order of Claim.
func (b *settling) load(ctx context.Context, t *txn) error {
	b.loaded = make(map[key]delivery, len(b.items))
	keys, delivered := make([]key, 0, len(b.items)), []key(nil)
	for _, it := range b.items {
		if _, asked := b.loaded[it.k]; !asked {
			b.loaded[it.k] = delivery{}
			keys = append(keys, it.k)
			if it.Outcome == webhook.OutcomeDelivered {
				delivered = append(delivered, it.k)
			}
		}
	}
	clear(b.loaded)
	if !b.s.dialect.oneWriter {
		if err := t.queryAll(ctx, b.s.sql.LockQueue.of(delivered), ignoreRow); err != nil {
			return err
		}
	}
	return readDeliveries(ctx, t, &b.s.sql.LockDeliveries, keys, func(d loggedDelivery) {
		b.loaded[d.k] = delivery{loggedDelivery: d}
	})
}

func ignoreRow(*sql.Rows) error { return nil }

// apply works through the items in memory, from what was read.
func (b *settling) apply() {
	b.now = make(map[key]*delivery, len(b.loaded))
	for k, d := range b.loaded {
		b.now[k] = &d
	}
	b.log, b.counts, b.failed, b.ended, b.ends = nil, nil, nil, make(map[int64]int), make(map[int64]int64)
	for _, h := range b.health {
		h.reset()
	}
	for i, it := range b.atOnce {
		b.ended[int64(it.Token)]++
		b.tally(b.atOnceAt[i], it)
	}
	for i, it := range b.items {
		b.results[i] = b.one(it)
	}
	b.setPaces()
}

func (b *settling) one(it item) webhook.SettleResult {
	d := b.now[it.k]
	if d == nil {
		return webhook.SettleResult{Status: webhook.SettleStale}
	}
	owned := d.status == statusLeased && d.token == int64(it.Token)
	if !owned && (it.Outcome != webhook.OutcomeDelivered || d.status == statusDelivered) {
		return webhook.SettleResult{Status: webhook.SettleStale}
	}
	d.late = !owned
	if owned {
		b.ended[d.token]++
		b.ends[d.token] = d.ends
	}
	h := b.health[d.endpoint]
	b.record(d, it)
	b.tally(d.endpoint, it)
	b.outcome(d, it, h)
	if h != nil && h.status != endpointDeleted && h.generation == it.Generation {
		b.count(h, d, it)
		b.told(h, it)
	}
	if h != nil {
		b.probeNext(h, it)
		b.tryNext(h, it)
	}
	return webhook.SettleResult{Status: webhook.SettleApplied, Delivery: d.word()}
}

// record counts the attempt and logs it: what delivered in the delivery's own
// row.
func (b *settling) record(d *delivery, it item) {
	d.changed = true
	if it.Outcome == webhook.OutcomeReleased {
		if it.Delay > 0 {
			d.releases++
		}
	} else {
		d.releases = 0
		d.attempts++
	}
	a := it.Attempt
	if a == nil {
		return
	}
	d.made++
	if it.delivers() {
		d.sent = a
		return
	}
	b.log = append(b.log, loggedAttempt{d.k, d.made, a})
}

// delivers reports whether the attempt is logged in the delivery's row.
func (it *item) delivers() bool {
	a := it.Attempt
	return it.Outcome == webhook.OutcomeDelivered && a != nil && a.Failure == "" && a.Detail == "" && a.Location == ""
}

// outcome sets the delivery's next state. What would have to wait or go on is
// held when its endpoint is inactive, and cancelled when that was deleted.
func (b *settling) outcome(d *delivery, it item, h *health) {
	switch {
	case it.Outcome == webhook.OutcomeDelivered:
		d.end(statusDelivered, "")
	case it.Outcome == webhook.OutcomeExhausted:
		d.end(statusExhausted, it.Reason)
	case it.Outcome == webhook.OutcomeGone:
		d.end(statusExhausted, webhook.ReasonGone)
	case h == nil || h.status == endpointDeleted:
		d.end(statusCancelled, webhook.ReasonEndpointDeleted)
	default:
		d.due, d.status = later(b.micros, it.Delay), statusQueued
		d.state = stateAt(h.status, d.due, b.micros, d.attempts)
	}
}

// stateAt returns the state of an unfinished delivery that nobody has leased.
func stateAt(endpoint int, due, now int64, attempts int) int64 {
	switch {
	case endpoint == endpointInactive:
		return stateHeld
	case due > now:
		return stateWaiting
	case isPaused(endpoint) && attempts > 0:
		return stateBegun
	case isPaused(endpoint):
		return stateParked
	}
	return stateReady
}

func (d *delivery) end(status int, reason webhook.DeliveryReason) {
	d.status, d.reason = status, reason
}

// word returns the delivery's public status.
func (d *delivery) word() webhook.DeliveryStatus { return statusWordOf(d.status, d.state) }

// statusWordOf returns the public status of a row of the log, with its state in
// the queue.
func statusWordOf(status int, state int64) webhook.DeliveryStatus {
	switch {
	case status == statusDelivered:
		return webhook.DeliveryDelivered
	case status == statusExhausted:
		return webhook.DeliveryExhausted
	case status == statusCancelled:
		return webhook.DeliveryCancelled
	case state == stateHeld:
		return webhook.DeliveryHeld
	}
	return webhook.DeliveryPending
}

// store writes what apply found.
func (b *settling) store(ctx context.Context, t *txn) error {
	var unqueue, late []key
	var finished []finish
	var requeued []requeue
	var queue []queuePlace
	var over []lease
	for _, k := range b.keys() {
		d := b.now[k]
		switch {
		case !d.changed:
		case d.status == statusQueued:
			requeued = append(requeued, requeue{d})
			queue = append(queue, queuePlace{k, d.endpoint, d.state, d.due})
		default:
			if b.loaded[k].status == statusQueued {
				unqueue = append(unqueue, k)
			}
			finished = append(finished, finish{d, b.micros})
			if d.late { // its event may have been redacted since, and the body repeats that
				late = append(late, k)
			}
		}
	}
	b.over = nil
	for _, f := range b.s.leases.finished(b.ended) {
		if ends, ok := b.ends[f.token]; ok {
			f.due = ends
		}
		if f.due > b.micros+leaseMargin.Microseconds() {
			over = append(over, f.lease)
		}
		b.over = append(b.over, f)
	}
	sq := b.s.sql
	err := t.execAll(ctx, sq.DeleteQueue.of(unqueue), sq.Finish.of(finished), sq.Requeue.of(requeued),
		sq.InsertQueue.of(queue), sq.InsertAttempts.of(b.log), sq.EndLeases.of(over),
		sq.BlankAttempts.of(late), sq.BlankDeliveries.of(late))
	if err != nil {
		return err
	}
	if err := b.findProbes(ctx, t); err != nil {
		return err
	}
	if err := t.count(ctx, b.micros, b.counts); err != nil {
		return err
	}
	return t.execAll(ctx, sq.SetHealth.of(b.healthChanges()))
}

// keys returns the deliveries in the order in which every batch locks them.
func (b *settling) keys() []key {
	return slices.SortedFunc(maps.Keys(b.now), compareKeys)
}

// report adds what was committed to the result.
func (b *settling) report(out *webhook.Settled) {
	b.s.leases.settle(b.ended, b.over)
	out.Now = fromMicros(b.micros)
	for _, it := range b.atOnce {
		out.Results[it.at] = applied
	}
	for i, it := range b.items {
		out.Results[it.at] = b.results[i]
	}
	for num, h := range b.health {
		if h.pace != h.read.pace {
			b.s.heardPace(num, h.pace)
		}
	}
	for _, h := range b.health {
		if h.enabledNow != nil {
			out.Enabled = append(out.Enabled, *h.enabledNow)
		}
	}
	for _, h := range b.failed {
		out.Failing = append(out.Failing, webhook.EndpointFailures{
			EndpointID: h.id, AccountID: h.account, Failures: h.failures, Added: h.added, Disabled: h.disabledNow,
			LastFailure: h.last.attempt(),
		})
	}
}
