package lanes

import "time"

// How the rate of an endpoint that limits it is found. It is the additive increase
// and multiplicative decrease of TCP, with CUBIC's memory (RFC 9438): quickly back to
// just below the rate that was too high, slowly past it, and faster the longer
// nothing is refused.
const (
	// leastGap is the shortest gap that a limit begins with.
	leastGap = time.Millisecond
	// pausing is the gap from which the endpoint is not sent to but probed.
	pausing = time.Second
	// longestGap is the longest gap between two probes.
	longestGap = 30 * time.Second
	// AskedAtFirst is the longest pause that an endpoint gets by its first refusal: a
	// single response must not stop for long everything that waits.
	AskedAtFirst = time.Minute
	// parkFrom is the pause from which the store is to know of it. For a shorter one,
	// moving all that waits there costs more than passing over it.
	parkFrom = 5 * time.Second
	// lookAhead is for how long before its time work is taken on, so that its claim
	// takes nothing from the rate.
	lookAhead = 200 * time.Millisecond
	// enough responses in a row mean that the rate was about right.
	enough = 4
	// slotAfter is the number of responses in a row after which there is one slot more.
	slotAfter = 10
)

// limit is what is known of an endpoint that refuses what comes too fast.
type limit struct {
	gap   time.Duration // between the beginnings of two attempts; 0: there is no limit
	known time.Duration // the gap of a rate just below the one refused last
	next  time.Time     // no attempt begins before
	cut   time.Time     // when the gap became longer: what began before says nothing of it
	good  int           // responses since then
	past  *past         // nil: there is no limit
	vague bool          // the latest refusal was
	timer *time.Timer   // looks at the lane again
	wake  time.Time     // when it does
}

// refuse takes in a refusal of an attempt, and returns for how long nothing is sent.
func (m *limit) refuse(v Verdict, began, now time.Time, slots int) time.Duration {
	if m.past == nil {
		m.past = &past{last: began}
	}
	m.past.note(began, true)
	m.vague = v.Vague
	if m.gap == 0 || !began.Before(m.cut) {
		switch {
		case m.gap == 0:
			m.gap = max(leastGap, 2*now.Sub(began)/time.Duration(slots))
			m.known = m.gap
		case m.good >= enough:
			m.known = m.gap + m.gap/20
			m.gap += m.gap / 3
		case m.good > 0:
			if v.Vague && m.gap > doubtful { // perhaps by chance
				m.gap += m.gap / 3
			} else {
				m.gap *= 2
			}
			m.known = m.gap
		default:
			m.gap *= 2
		}
		m.gap = min(m.gap, longestGap)
		if v.Vague && m.gap > doubtful && m.past.byChance() {
			m.gap, m.known = doubtful, min(m.known, doubtful)
		}
		m.cut, m.good = now, 0
	}
	pause := max(m.gap, min(v.Pause, AskedAtFirst))
	if until := now.Add(pause); until.After(m.next) {
		m.next = until
	}
	return m.next.Sub(now)
}

// accept takes in a response that is no refusal. least is the shortest gap that makes a
// difference. It reports whether one slot more is worth a try.
func (m *limit) accept(began, now time.Time, least time.Duration) bool {
	m.past.note(began, false)
	m.good++
	before := m.gap
	switch {
	case m.gap >= pausing && m.known < pausing: // a probe: go on at half of what went well
		m.gap = 2 * m.known
	case m.gap > m.known && m.vague && m.gap >= parkFrom: // perhaps by chance: find out soon
		m.gap = max(m.known, m.gap/2)
	case m.gap > m.known:
		m.gap = max(m.known, m.gap-m.gap/20)
	default:
		m.gap -= time.Duration(float64(m.gap) * min(0.03, 0.0002*float64(m.good)))
	}
	m.gap = max(m.gap, min(least, before))
	if soon := now.Add(m.gap); m.next.After(soon) {
		m.next = soon
	}
	return m.good%slotAfter == 0
}

// over reports whether the gap holds nothing back any more from an endpoint that took
// so long and has so many slots.
func (m *limit) over(took time.Duration, slots int) bool {
	return m.gap*time.Duration(4*slots) <= max(took, 4*time.Millisecond)
}

// waits reports whether an attempt would begin too early.
func (l *lane[J]) waits(now time.Time) bool {
	return l.gap > 0 && l.pace != Paused && now.Before(l.next)
}

// refuse makes the lane's pace that of an endpoint that has refused an attempt.
func (l *lane[J]) refuse(v Verdict, began, now time.Time) (pause time.Duration) {
	l.answered = now
	if l.pace == Paused && now.Before(l.next) {
		return l.next.Sub(now) // it follows its schedule: that the pause goes on is known
	}
	if l.good < enough { // otherwise the gap alone will do
		l.slots = max(1, min(l.slots, l.inFlight*3/4))
	}
	pause = l.limit.refuse(v, began, now, l.slots)
	switch {
	case pause >= parkFrom:
		l.pace, l.slots, l.until = Paused, 1, l.next
	case l.pace != Paused:
		l.pace = Slow
	}
	return pause
}

// accept lets the lane's pace recover, one step for each response. full is the number
// of slots of a healthy endpoint.
func (l *lane[J]) accept(began, now time.Time, full int) {
	took := now.Sub(began)
	least := time.Duration(0)
	if l.slots < full { // faster than its slots let it, and the next slot would come too fast
		least = took * 4 / 5 / time.Duration(l.slots)
	}
	if l.limit.accept(began, now, least) {
		l.slots = min(full, l.slots+1)
	}
	if l.slots == full && l.over(took, full) {
		l.unlimit()
	}
}

// unlimit forgets the limit.
func (l *lane[J]) unlimit() {
	if l.timer != nil {
		l.timer.Stop()
	}
	l.limit = limit{}
}

// arm looks at a limited lane again when its time has come.
func (s *Scheduler[J]) arm(l *lane[J]) {
	now := time.Now()
	if !s.open || !l.waits(now) {
		return
	}
	at := l.next
	switch {
	case len(l.queue) > 0:
	case l.backlog:
		if at = at.Add(-lookAhead); !at.After(now) {
			return // what is held ends first
		}
	default:
		return
	}
	if l.timer != nil {
		if !l.wake.After(at) {
			return
		}
		l.timer.Stop()
	}
	var t *time.Timer
	t = time.AfterFunc(at.Sub(now), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if l.timer != t || !s.open {
			return
		}
		l.timer = nil
		if l.backlog && l.room(time.Now()) > 0 {
			l.backlog = false
			s.cfg.Nudge(true)
		}
		s.enlist(l)
		s.dispatch()
		s.arm(l)
	})
	l.timer, l.wake = t, at
}
