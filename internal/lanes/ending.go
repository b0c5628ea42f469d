package lanes

import (
	"slices"
	"time"
)

// setAside moves attempts that have been in flight for SlowAfter to the slow pool.
func (s *Scheduler[J]) setAside() {
	limit := time.Now().Add(-SlowAfter)
	for f := s.quick.first; f != nil && !f.began.After(limit); f = s.quick.first {
		s.quick.remove(f)
		l := f.lane
		f.pool = slowPool
		s.occupy(l.account, quickPool, -1)
		s.occupy(l.account, slowPool, 1)
		if l.pace != Quick {
			continue
		}
		s.repace(l, func() { l.pace = Slow })
		if s.waiting[slowPool] > s.cfg.Slow {
			s.takeBack(l)
		}
	}
}

// takeBack gives up what is queued in a lane.
func (s *Scheduler[J]) takeBack(l *lane[J]) {
	if values := s.empty(l); len(values) > 0 {
		l.backlog = true
		s.workers++ // so that closing waits for it
		go func() {
			s.cfg.Overdue(values)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.workers--
			s.ended()
		}()
	}
}

// empty takes out what is queued in a lane.
func (s *Scheduler[J]) empty(l *lane[J]) []J {
	values := make([]J, len(l.queue))
	for i, j := range l.queue {
		values[i] = j.Value
		s.count(l, -1, j.Size)
	}
	l.queue = nil
	return values
}

// watch looks again once the attempt that has been in the quick pool for longest is
// slow.
func (s *Scheduler[J]) watch() {
	if s.tick != nil || s.quick.first == nil {
		return
	}
	s.tick = time.AfterFunc(SlowAfter-time.Since(s.quick.first.began), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tick = nil
		if s.open {
			s.setAside()
			s.watch()
			s.dispatch()
		}
	})
}

// Learn records what an attempt that has ended shows of its endpoint, and returns
// the pace of that, and the pause that begins if it is paused. The attempt keeps its
// place until [Scheduler.Next].
func (s *Scheduler[J]) Learn(f *Flight[J], v Verdict) (p Pace, pause time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := f.lane
	now := time.Now()
	s.repace(l, func() { pause = l.learn(v, f.began, now, s.cfg.PerEndpoint) })
	if l.pace == Paused || v.Kind == Refused && (len(l.queue) > l.slots || !now.Add(pausing).After(l.next)) {
		s.takeBack(l)
	}
	return l.pace, pause
}

// Next ends an attempt and returns what the goroutine that made it is to do next,
// or a nil Flight if that shall end.
func (s *Scheduler[J]) Next(done *Flight[J]) (value J, f *Flight[J]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done(done)
	if f, value = s.begin(); f == nil {
		s.workers--
		s.ended()
		return value, nil
	}
	s.dispatch()
	return value, f
}

// done gives back the place of an attempt.
func (s *Scheduler[J]) done(f *Flight[J]) {
	now := time.Now()
	l := f.lane
	a := l.account
	if f.pool == quickPool {
		s.quick.remove(f)
	}
	s.occupy(a, f.pool, -1)
	s.flying--
	s.bytes -= f.size
	a.bytes -= f.size
	l.inFlight--
	s.measure(now)
	s.enlist(l)
	if s.open {
		s.nudge(l, f.pool)
	}
	s.arm(l)
	s.forget(l, now)
}

// nudge says that there is room again where a store had more than there was room
// for.
func (s *Scheduler[J]) nudge(l *lane[J], p pool) {
	a := l.account
	known := l.backlog && len(l.queue) <= l.slots && !l.waits(time.Now().Add(lookAhead))
	l.backlog = l.backlog && !known
	if p != quickPool {
		for _, slow := range [...]pool{slowPool, badPool, trialPool} {
			known = known || a.refused[slow] || s.refused[slow]
			a.refused[slow], s.refused[slow] = false, false
		}
	}
	if s.crowded && s.bytes <= s.cfg.Bytes/2 {
		known, s.crowded = true, false
	}
	if (a.refused[quickPool] || s.refused[quickPool]) && s.roomy() {
		known = true
		a.refused[quickPool], s.refused[quickPool] = false, false
	}
	if known || s.waiting[quickPool] <= s.cfg.Quick {
		s.cfg.Nudge(known)
	}
}

// measure learns from an attempt that ended how much to hold.
func (s *Scheduler[J]) measure(now time.Time) {
	s.paced++
	took := now.Sub(s.paceFrom)
	if took < ahead {
		return
	}
	enough := int(int64(s.paced) * int64(ahead) / int64(took))
	s.room = min(max(enough, s.cfg.Quick*leastAhead), s.cfg.Quick*mostAhead)
	s.paced, s.paceFrom = 0, now
}

// Recall takes back what has not begun of an endpoint that was changed, so that a
// pause is over.
func (s *Scheduler[J]) Recall(endpoint string) []J {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[endpoint]
	if l == nil {
		return nil
	}
	values := s.empty(l)
	l.until = time.Time{}
	l.unlimit()
	l.sendable()
	s.forget(l, time.Now())
	return values
}

// Withdraw drops what has not begun and which picks. Nothing becomes of it; the rest
// of each lane keeps its order.
func (s *Scheduler[J]) Withdraw(which func(J) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lanes {
		had := len(l.queue)
		l.queue = slices.DeleteFunc(l.queue, func(j Job[J]) bool {
			if !which(j.Value) {
				return false
			}
			s.count(l, -1, j.Size)
			return true
		})
		if had > 0 && len(l.queue) == 0 {
			s.forget(l, time.Now())
		}
	}
}

// Close takes back all that has not begun. From now on nothing is taken on.
func (s *Scheduler[J]) Close() []J {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = false
	var rest []J
	for _, l := range s.lanes {
		rest = append(rest, s.empty(l)...)
		l.unlimit()
	}
	if s.tick != nil {
		s.tick.Stop()
	}
	s.drained = make(chan struct{})
	s.ended()
	return rest
}

// Drained returns a channel that is closed when the last goroutine has ended after
// Close.
func (s *Scheduler[J]) Drained() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drained
}

// ended reports that the last goroutine has ended.
func (s *Scheduler[J]) ended() {
	if s.drained == nil || s.workers > 0 {
		return
	}
	select {
	case <-s.drained:
	default:
		close(s.drained)
	}
}

// InFlight returns the number of attempts in flight.
func (s *Scheduler[J]) InFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flying
}
