package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/ringyo-ai/webhook"
)

// Redeliver implements [webhook.Log].
func (s *Store) Redeliver(ctx context.Context, accountID, deliveryID string) (webhook.Delivery, error) {
	var out webhook.Delivery
	err := s.write(ctx, func(t *txn) error {
		k, ok := parseKey(deliveryID)
		if !ok {
			return webhook.ErrNotFound
		}
		// Locked before it is read, in the order of Settle.
		num, err := s.lock(ctx, t, k)
		if err != nil {
			return err
		}
		row, endpoint, size, err := s.deliveryAndEndpoint(ctx, t, accountID, deliveryID)
		if err == nil && (endpoint == endpointDeleted || size == 0) { // without data: redacted
			err = webhook.ErrNotFound
		}
		if err != nil {
			return err
		}
		if row.status != statusLeased {
			now, err := t.clock(ctx)
			if err != nil {
				return err
			}
			begun := row.status == statusQueued && row.Attempts > 0 && (row.state == stateWaiting || row.state == stateBegun)
			if err := s.restart(ctx, t, []restarted{{k: k, endpoint: num, status: endpoint, begun: begun}}, now); err != nil {
				return err
			}
			row, err = s.delivery(ctx, t, accountID, deliveryID)
			if err != nil {
				return err
			}
		}
		out = row.Delivery
		return nil
	})
	return found(s, "redeliver", out, err)
}

// lock locks the rows of a delivery and returns its endpoint.
func (s *Store) lock(ctx context.Context, t *txn, k key) (endpoint int64, err error) {
	if !s.dialect.oneWriter {
		if err := t.queryAll(ctx, s.sql.LockQueue.of([]key{k}), ignoreRow); err != nil {
			return 0, err
		}
	}
	err = readDeliveries(ctx, t, &s.sql.LockDeliveries, []key{k}, func(d loggedDelivery) { endpoint = d.endpoint })
	return endpoint, err
}

// restarted is a delivery that is made due, its endpoint, and the status of that. One
// that had ended gets a full schedule again.
type restarted struct {
	k        key
	endpoint int64
	status   int
	begun    bool // it was attempted on its schedule, which goes on
}

// restart makes deliveries, which are locked and not leased, pending.
func (s *Store) restart(ctx context.Context, t *txn, list []restarted, now int64) error {
	slices.SortFunc(list, func(a, b restarted) int { return compareKeys(a.k, b.k) })
	states, err := s.newStates(ctx, t, list, now)
	if err != nil {
		return err
	}
	keys, queue := make([]key, len(list)), make([]queuePlace, len(list))
	for i, d := range list {
		state := states[d.endpoint]
		if d.begun && isPaused(d.status) {
			state = stateBegun
		}
		keys[i], queue[i] = d.k, queuePlace{d.k, d.endpoint, state, now}
	}
	sq := s.sql
	return t.execAll(ctx, sq.DeleteQueue.of(keys), sq.KeepSent.of(keys), sq.Restart.of(keys), sq.InsertQueue.of(queue))
}

// newStates returns the states of deliveries that nobody attempted, by endpoint.
func (s *Store) newStates(ctx context.Context, t *txn, list []restarted, now int64) (map[int64]int64, error) {
	states := make(map[int64]int64)
	var paused []number
	for _, d := range list {
		if _, known := states[d.endpoint]; !known {
			states[d.endpoint] = stateAt(d.status, now, now, 0)
			if isPaused(d.status) {
				paused = append(paused, number(d.endpoint))
			}
		}
	}
	parked, err := s.parkedAt(ctx, t, paused)
	maps.Copy(states, parked)
	return states, err
}

// Replay implements [webhook.Log]. An event is found by its deliveries, or among
// those that have none: no index of all events by account has to be kept up for
// it. It looks at the endpoint's own deliveries first, then at those of the
// account's other endpoints, deleted ones included, then at the events without
// any. The cursor says which of these it is at, and where.
func (s *Store) Replay(ctx context.Context, r webhook.ReplayRequest) (webhook.Replayed, error) {
	p := &replay{s: s, limit: max(1, r.Limit), since: toMicros(r.Since), until: math.MaxInt64, r: r}
	if !r.Since.IsZero() {
		p.since = boundMicros(r.Since)
	}
	if !r.Until.IsZero() {
		p.until = boundMicros(r.Until)
	}
	if err := errors.Join(p.parse(r.Cursor), p.wanted()); err != nil {
		return webhook.Replayed{}, err
	}
	var out webhook.Replayed
	from := p.at
	run, in := p.run, s.write
	if r.DryRun && len(r.Statuses) > 0 {
		run, in = p.count, s.view
	}
	err := in(ctx, func(t *txn) (err error) {
		p.at = from
		ep, err := s.storedEndpoint(ctx, t, s.sql.GetEndpoint, r.AccountID, r.EndpointID)
		if err == nil {
			err = p.locate(ctx, t)
		}
		if err != nil {
			return err
		}
		p.rec, p.num = &ep.EndpointRecord, ep.num
		out, err = run(ctx, t)
		return err
	})
	if err != nil {
		return webhook.Replayed{}, s.failed("replay", err)
	}
	return out, nil
}

// replay is one Replay call at work.
type replay struct {
	s     *Store
	rec   *webhook.EndpointRecord
	num   int64
	since int64
	until int64
	limit int
	r     webhook.ReplayRequest

	restarts map[int]bool  // statuses of deliveries that are redelivered
	sources  map[key]int64 // at which the events of this call were found first
	at       replayPlace
}

// wanted reads the statuses of the request.
func (p *replay) wanted() error {
	p.restarts = map[int]bool{statusExhausted: true, statusCancelled: true}
	if len(p.r.Statuses) == 0 {
		return nil
	}
	clear(p.restarts)
	for _, word := range p.r.Statuses {
		i := slices.Index(endedStatuses, word)
		if i < 0 {
			return invalid("Statuses", "must be delivered, exhausted or cancelled")
		}
		p.restarts[statusDelivered+i] = true
	}
	return nil
}

// endedStatuses are the words for statusDelivered and those that follow it.
var endedStatuses = []webhook.DeliveryStatus{webhook.DeliveryDelivered, webhook.DeliveryExhausted, webhook.DeliveryCancelled}

func (p *replay) run(ctx context.Context, t *txn) (out webhook.Replayed, err error) {
	p.sources = make(map[key]int64)
	now, err := t.clock(ctx)
	if err != nil {
		return out, err
	}
	events, more, err := p.events(ctx, t)
	if err != nil {
		return out, err
	}
	if more {
		out.Next = p.at.cursor()
	}
	// Locked against the purge, which asks for deliveries once it has the lock.
	found := make(map[key]bool)
	var pairs []eventOf
	err = t.queryAll(ctx, p.s.sql.LockEvents.of(events), func(r *sql.Rows) error {
		var k key
		var size int
		err := r.Scan(&k, &size)
		if size > 0 { // otherwise it was redacted
			found[k] = true
			pairs = append(pairs, eventOf{k, p.num})
		}
		return err
	})
	if err != nil {
		return out, err
	}
	again, err := p.existing(ctx, t, pairs, found)
	if err != nil {
		return out, err
	}
	if len(p.r.Statuses) > 0 {
		clear(found) // what is missing
	}
	if p.r.DryRun {
		missing, err := p.missing(ctx, t, found)
		out.Count = len(again) + missing
		return out, err
	}
	if err := p.s.restart(ctx, t, again, now); err != nil {
		return out, err
	}
	created, err := p.create(ctx, t, events, found, now)
	out.Count = len(again) + created
	return out, err
}

// events returns the next events that match the subscription, each once, and
// whether there may be more.
func (p *replay) events(ctx context.Context, t *txn) (events []key, more bool, err error) {
	seen := make(map[key]bool)
	left := p.limit
	for range sourcesAtOnce {
		left, err = p.source(ctx, t, left, func(c replayCandidate) {
			if !seen[c.event] && p.wants(c) {
				seen[c.event] = true
				p.sources[c.event] = p.at.source
				events = append(events, c.event)
			}
		})
		if err != nil || left == 0 {
			return events, true, err
		}
		if p.at.source == unmatchedEvents || len(p.r.Statuses) > 0 { // with statuses it is about its own deliveries
			return events, false, nil
		}
		if err := p.advance(ctx, t); err != nil {
			return nil, false, err
		}
	}
	return events, true, nil
}

// replayCandidate is an event that a replay looks at, with its delivery at the source.
type replayCandidate struct {
	event   key
	typ     webhook.EventType
	created int64
	status  int // of the delivery
	size    int // of the data; 0: redacted
}

// wants reports whether the request and the subscription take the event.
func (p *replay) wants(c replayCandidate) bool {
	return c.created >= p.since && c.created < p.until && matchesAny(c.typ, p.r.Types) &&
		len(p.rec.Events) > 0 && matchesAny(c.typ, p.rec.Events)
}

// count is run for a dry run about the endpoint's own deliveries, which changes nothing
// and has to lock nothing.
func (p *replay) count(ctx context.Context, t *txn) (out webhook.Replayed, err error) {
	left, err := p.source(ctx, t, p.limit, func(c replayCandidate) {
		if p.restarts[c.status] && c.size > 0 && p.wants(c) {
			out.Count++
		}
	})
	if left == 0 {
		out.Next = p.at.cursor()
	}
	return out, err
}

// keyLag is how much the time in a delivery's key, which is that of the process
// that made it, may be behind the store's.
const keyLag = 24 * time.Hour

// source looks at most left rows further and returns how many it could have
// looked at besides: 0 when there may be more.
func (p *replay) source(ctx context.Context, t *txn, left int, take func(replayCandidate)) (int, error) {
	text, args := p.s.sql.EventsOf, []any{p.at.source}
	switch p.at.source {
	case unmatchedEvents:
		text, args = p.s.sql.UnmatchedOf, []any{p.rec.AccountID, max(p.since, p.at.created), p.at.created}
	case ownDeliveries:
		args = []any{p.num}
		if len(p.r.Statuses) > 0 && !p.restarts[statusDelivered] {
			text = p.s.sql.FailedOf
		}
	}
	if p.at.after == (key{}) && p.at.source != unmatchedEvents {
		p.at.after = firstKeyAt(p.since - keyLag.Microseconds())
	}
	args = append(args, p.s.dialect.keyArg(p.at.after), left)
	err := t.query(ctx, text, func(r *sql.Rows) error {
		var c replayCandidate
		err := r.Scan(&p.at.after, &c.event, &c.typ, &c.created, &c.status, &c.size)
		p.at.created = c.created
		left--
		take(c)
		return err
	}, args...)
	return left, err
}

// existing returns the deliveries that ended as they are to be replayed, and takes
// every event that has a delivery out of found.
func (p *replay) existing(ctx context.Context, t *txn, pairs []eventOf, found map[key]bool) (again []restarted, err error) {
	status := p.status()
	err = t.queryAll(ctx, p.s.sql.DeliveriesOf.of(pairs), func(r *sql.Rows) error {
		d := restarted{status: status}
		var event key
		var was int
		err := r.Scan(&d.k, &event, &d.endpoint, &was)
		delete(found, event)
		if p.restarts[was] && (!p.r.DryRun || p.sources[event] == ownDeliveries) { // elsewhere it comes once more
			again = append(again, d)
		}
		return err
	})
	return again, err
}

// missing counts the events of which a dry run is to tell that they have no delivery to
// the endpoint. Since none is created, an event comes once for each endpoint that has
// it: the first of these counts.
func (p *replay) missing(ctx context.Context, t *txn, found map[key]bool) (n int, err error) {
	first := make(map[key]int64)
	err = t.queryAll(ctx, p.s.sql.FirstOf.of(slices.Collect(maps.Keys(found))), func(r *sql.Rows) error {
		var k key
		var endpoint int64
		err := r.Scan(&k, &endpoint)
		first[k] = endpoint
		return err
	})
	for k := range found {
		at, has := first[k]
		if has && at == p.sources[k] || !has && p.sources[k] == unmatchedEvents {
			n++
		}
	}
	return n, err
}

// status returns that of the endpoint's row.
func (p *replay) status() int {
	status := statusNumber[p.rec.Status]
	if p.rec.Pace == webhook.PacePaused {
		status += pausedBy
	}
	return status
}

// create makes the deliveries that are missing.
func (p *replay) create(ctx context.Context, t *txn, events []key, found map[key]bool, now int64) (n int, err error) {
	states, err := p.s.newStates(ctx, t, []restarted{{endpoint: p.num, status: p.status()}}, now)
	if err != nil {
		return 0, err
	}
	var deliveries []createdDelivery
	var queue []queuePlace
	for _, event := range events {
		if found[event] {
			k := newKey()
			deliveries = append(deliveries, createdDelivery{k: k, event: event, endpoint: p.num, status: statusQueued, created: now})
			queue = append(queue, queuePlace{k, p.num, states[p.num], now})
		}
	}
	if err := p.s.insertDeliveries(ctx, t, deliveries); err != nil {
		return 0, err
	}
	return len(deliveries), t.execAll(ctx, p.s.sql.InsertQueue.of(queue))
}
