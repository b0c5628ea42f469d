package webhook

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// maxSettle bounds one Settle call.
	maxSettle = 256
	// maxUnsettled is how many results may wait to be recorded before workers
	// wait too: what cannot be recorded should not be sent either.
	maxUnsettled = 1024
)

// Nobody waits for a success to be recorded, and each call costs the store a
// commit: one goroutine records what comes, with settlePause between two calls.
// When manyUnsettled wait, or something that failed, whose schedule begins when it
// is recorded, it goes on at once and gets help.
const (
	settlePause   = 2 * time.Millisecond
	manyUnsettled = 64
)

// manyRefused is how many results of one endpoint may wait after the store refused
// them before nothing is sent to it for refusedPause: they must not use up
// maxUnsettled, on which everybody waits.
const (
	manyRefused  = 64
	refusedPause = 10 * time.Second
)

// settler records results in batches: the first goes at once, and those that
// come while it is being recorded, or shortly after, share the next call. Its
// goroutines exist only while there is something to record.
type settler struct {
	e      *Engine
	places int

	mu        sync.Mutex
	room      *sync.Cond
	waiting   []result
	refused   []result       // the store answered that it could not record these
	apart     int            // refused ones, those that are just being repeated included
	apartOf   map[string]int // of them, by endpoint
	busy      int            // goroutines that hold a place
	repeating bool           // one more repeats what was refused
	idle      chan struct{}  // closed when the last of them ends
	hurry     chan struct{}  // capacity 1: ends a pause
	last      chan struct{}  // closed when no pause is to be made any more
	ctx       context.Context
	cancel    context.CancelFunc
}

func (s *settler) init(e *Engine, places int) {
	s.e, s.places = e, places
	s.room, s.hurry = sync.NewCond(&s.mu), make(chan struct{}, 1)
	s.last = make(chan struct{})
	s.apartOf = make(map[string]int)
	s.ctx, s.cancel = context.WithCancel(context.Background())
}

// add takes on one result; it waits while too many are waiting already.
func (s *settler) add(r result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.waiting)+s.apart >= maxUnsettled {
		s.room.Wait()
	}
	s.waiting = append(s.waiting, r)
	urgent := len(s.waiting) >= manyUnsettled || r.settlement.Outcome != OutcomeDelivered
	if s.busy == 0 || urgent && s.busy < s.places {
		s.begin()
		s.busy++
		go s.run()
	}
	if urgent {
		select {
		case s.hurry <- struct{}{}:
		default:
		}
	}
}

// pause lets successes come together.
func (s *settler) pause() {
	t := time.NewTimer(settlePause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.hurry:
	case <-s.last:
	}
}

// begin and end tell wait of goroutines; the caller holds the lock.
func (s *settler) begin() {
	if s.busy == 0 && !s.repeating {
		s.idle = make(chan struct{})
	}
}

func (s *settler) end() {
	if s.busy == 0 && !s.repeating {
		close(s.idle)
	}
}

func (s *settler) run() {
	for {
		s.mu.Lock()
		n := min(len(s.waiting), maxSettle)
		batch := append([]result(nil), s.waiting[:n]...)
		s.waiting = append(s.waiting[:0:0], s.waiting[n:]...)
		if n == 0 {
			s.busy--
			s.end()
			s.mu.Unlock()
			return
		}
		s.room.Broadcast()
		s.mu.Unlock()
		_ = s.e.settle(s.ctx, batch, s.refuse) // logged
		s.pause()
	}
}

// refuse takes on results that the store answered it could not record. They are
// repeated apart from the places: the other results need not wait for them.
func (s *settler) refuse(rest []result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = append(s.refused, rest...)
	s.apart += len(rest)
	for i := range rest {
		id := rest[i].settlement.EndpointID
		if s.apartOf[id]++; s.apartOf[id] >= manyRefused {
			s.e.sched.Hold(id, refusedPause)
		}
	}
	if !s.repeating {
		s.begin()
		s.repeating = true
		go s.repeat()
	}
}

func (s *settler) repeat() {
	for pause := storeBackOff(); s.unrepeated(); {
		sleep(s.ctx, pause.NextBackOff())
		s.mu.Lock()
		batch := s.refused
		s.refused = nil
		s.mu.Unlock()
		for part := range slices.Chunk(batch, maxSettle) {
			n, of := len(part), make(map[string]int)
			for i := range part {
				of[part[i].settlement.EndpointID]++
			}
			_ = s.e.settle(s.ctx, part, s.refuse) // logged
			s.mu.Lock()
			s.apart -= n
			for id, n := range of {
				if s.apartOf[id] -= n; s.apartOf[id] <= 0 {
					delete(s.apartOf, id)
				}
			}
			s.room.Broadcast()
			s.mu.Unlock()
		}
	}
}

// unrepeated reports whether there is something to repeat, and otherwise ends
// repeating.
func (s *settler) unrepeated() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.refused) > 0 {
		return true
	}
	s.repeating = false
	s.end()
	return false
}

// wait returns true once everything is recorded or given up, and false when ctx
// ends before.
func (s *settler) wait(ctx context.Context) bool {
	for {
		s.mu.Lock()
		working, idle := s.busy > 0 || s.repeating, s.idle
		s.mu.Unlock()
		if !working {
			return true
		}
		if !ended(ctx, idle) {
			return false
		}
	}
}

// settle records a batch, repeating what fails while its lease lasts: after
// that another process attempts it anyway. What the store refuses, though it
// answers, goes to refused instead, unless that is nil. The error tells of the
// results that were given up.
func (e *Engine) settle(ctx context.Context, batch []result, refused func([]result)) error {
	pause := storeBackOff()
	lost := 0
	var cause error
	for {
		e.allow(batch)
		failed, answered, err := e.settleOnce(ctx, batch)
		batch = stillLeased(failed)
		lost += len(failed) - len(batch)
		if len(failed) > 0 {
			cause = err
			e.log.Error("webhook: results could not be recorded", "error", err, "lost", len(failed)-len(batch), "repeating", len(batch))
		}
		if len(batch) > 0 && ctx.Err() == nil {
			if !answered || refused == nil {
				sleep(ctx, pause.NextBackOff())
				continue
			}
			refused(batch)
		} else {
			lost += len(batch)
		}
		if lost == 0 {
			return nil
		}
		return fmt.Errorf("%w: %d results could not be recorded, their deliveries are sent again: %w", ErrStore, lost, cause)
	}
}

func stillLeased(batch []result) []result {
	now := time.Now()
	kept := batch[:0]
	for _, r := range batch {
		if now.Before(r.leaseEnd) {
			kept = append(kept, r)
		}
	}
	return kept
}

// allow decides for each failure that counts whether it may disable.
func (e *Engine) allow(batch []result) {
	var answers map[string]int
	ctx, cancel := e.hooks.vetoTime()
	defer cancel()
	for i := range batch {
		s := &batch[i].settlement
		if !s.Counts || e.cfg.Disable.After < 1 {
			continue
		}
		after, asked := answers[s.EndpointID]
		if !asked {
			if answers == nil {
				answers = map[string]int{}
			}
			if !e.guard.cutOff() && e.hooks.allowDisable(ctx, batch[i].Target.AccountID, s.EndpointID) {
				after = e.cfg.Disable.After
			}
			answers[s.EndpointID] = after
		}
		s.DisableAfter, s.MinFailing = after, e.cfg.Disable.MinFailing
	}
}

// settleOnce makes one call and answers what must be repeated, and whether the
// store answered at all.
func (e *Engine) settleOnce(ctx context.Context, batch []result) (failed []result, answered bool, err error) {
	settlements := make([]Settlement, len(batch))
	for i := range batch {
		settlements[i] = batch[i].settlement
	}
	begin := time.Now()
	// Recording goes on when its caller's context ends: the attempts were made.
	answer, err := call(context.WithoutCancel(ctx), e.store, func(ctx context.Context) (Settled, error) {
		return e.store.Settle(ctx, settlements)
	})
	if err == nil && len(answer.Results) != len(batch) {
		err = storeError(errResultCount)
	}
	if err != nil {
		for i := range batch {
			batch[i].unanswered = true
		}
		return batch, false, err
	}
	e.clock.observe(begin, answer.Now)
	var unseen []*result
	for i, res := range answer.Results {
		switch res.Status {
		case SettleApplied:
			e.applied(&batch[i], res)
		case SettleStale:
			if batch[i].unanswered {
				unseen = append(unseen, &batch[i])
			}
		default:
			batch[i].unanswered = true // the store may have lost the answer to a part of the call
			failed, err = append(failed, batch[i]), cmp.Or(res.Err, errRefused)
		}
	}
	e.endpointsFailing(answer.Failing)
	e.unseen(ctx, unseen)
	return failed, true, err
}

// applied follows up one recorded result.
func (e *Engine) applied(r *result, res SettleResult) {
	s := &r.settlement
	if res.Delivery == DeliveryPending && s.Outcome == OutcomeReleased && s.Delay == 0 {
		e.feed.wake()
	} else if res.Delivery == DeliveryPending {
		e.feed.maintainIn(s.Delay)
	}
	h := &e.cfg.Hooks
	d := DeliveryInfo{
		DeliveryID: r.DeliveryID,
		AccountID:  r.Target.AccountID,
		EndpointID: r.Target.EndpointID,
		EventID:    r.Event.ID,
		EventType:  r.Event.Type,
		Attempts:   r.Attempts,
		Status:     res.Delivery,
	}
	if s.Attempt != nil {
		d.Attempts++
	}
	if res.Delivery == DeliveryExhausted {
		d.Reason = s.Reason
	}
	if h.OnAttempt != nil && r.sent {
		a := AttemptInfo{DeliveryInfo: d, StatusCode: r.last.StatusCode, Failure: r.last.Failure, Detail: r.detail, Err: r.err, Duration: r.duration}
		if res.Delivery == DeliveryPending {
			a.NextIn = s.Delay
		}
		e.hooks.enqueue(func(ctx context.Context) { h.OnAttempt(ctx, a) })
	}
	if h.OnDelivered != nil && res.Delivery == DeliveryDelivered && s.Outcome == OutcomeDelivered {
		e.hooks.enqueue(func(ctx context.Context) { h.OnDelivered(ctx, d) })
	}
	if h.OnExhausted != nil && res.Delivery == DeliveryExhausted {
		e.hooks.enqueue(func(ctx context.Context) { h.OnExhausted(ctx, d) })
	}
}

// endpointsFailing warns at half and four fifths of the threshold, and tells of
// endpoints that were disabled.
func (e *Engine) endpointsFailing(all []EndpointFailures) {
	h := &e.cfg.Hooks
	after := e.cfg.Disable.After
	for _, f := range all {
		if f.Disabled != "" {
			e.log.Warn("webhook: an endpoint was disabled", "endpoint", f.EndpointID, "account", f.AccountID, "reason", string(f.Disabled), "failures", f.Failures)
			if h.OnEndpointDisabled != nil {
				e.hooks.enqueue(func(ctx context.Context) { h.OnEndpointDisabled(ctx, f) })
			}
			continue
		}
		before := f.Failures - f.Added
		for _, mark := range [...]int{(after + 1) / 2, (4*after + 4) / 5} {
			if h.OnEndpointFailing != nil && after > 0 && before < mark && mark <= f.Failures {
				e.hooks.enqueue(func(ctx context.Context) { h.OnEndpointFailing(ctx, f) })
				break
			}
		}
	}
}
