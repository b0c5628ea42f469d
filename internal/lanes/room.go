package lanes

import "time"

// How far an account may go, as a multiple of what is free for its weight. An
// account that is alone gets m/(m+1) of the whole.
const (
	placesPerFree  = 7 // of the quick pool, and of that for trials
	waitingPerFree = 4 // in memory, for the quick pool
	bytesPerFree   = 2
	// Of the slow pool an account gets one place for each slowShare that are free,
	// and one for each badShare at endpoints that did not respond in time.
	slowShare = 2
	badShare  = 4
)

// Room is what one call of a store may take on. It is not safe for concurrent use.
type Room[J any] struct {
	s      *Scheduler[J]
	most   int // work for the quick pool that may be held
	grants []grant[J]
}

type grant[J any] struct {
	lane *lane[J]
	n    int
	size int // of each, in bytes
}

// Candidate is an endpoint of which there is work.
type Candidate struct {
	Endpoint, Account string
	Pace              Pace
	Size              int // of one piece of work, in bytes; 0: not known
}

// Take takes room for at most n pieces of work of an endpoint and returns the
// number for which there is room.
func (r *Room[J]) Take(c Candidate, n int) int {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open {
		return 0
	}
	now := time.Now()
	l := s.lane(c.Endpoint, c.Account)
	s.repace(l, func() { l.expect(c.Pace, s.cfg.PerEndpoint) })
	got := min(n, l.room(now))
	if got > 0 {
		got = min(got, s.fits(r.most, l, c.Size))
	}
	s.promise(l, got, c.Size)
	l.backlog = got < n && (!l.idle() || l.waits(now))
	s.arm(l)
	if got == 0 {
		s.forget(l, now)
		return 0
	}
	r.grants = append(r.grants, grant[J]{l, got, c.Size})
	return got
}

// Reset gives back everything that was taken.
func (r *Room[J]) Reset() {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.reset()
}

func (r *Room[J]) reset() {
	now := time.Now()
	for _, g := range r.grants {
		r.s.promise(g.lane, -g.n, g.size)
		r.s.forget(g.lane, now)
	}
	r.grants = r.grants[:0]
}

// Release ends the use of r, of which so many pieces of work came. They are counted
// by [Scheduler.Add], so that comes before.
func (r *Room[J]) Release(came int) {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range r.grants {
		came -= g.n
	}
	r.reset()
	if came < 0 { // others may have been refused what this did not use
		s.cfg.Nudge(true)
	} else if s.roomy() {
		s.cfg.Nudge(false) // a claim may have waited for this room
	}
}

// Hold takes on nothing new for an endpoint for d, however it responds meanwhile.
// One of which nothing is remembered is left alone.
func (s *Scheduler[J]) Hold(endpoint string, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.lanes[endpoint]; l != nil {
		l.hold, l.withheld = time.Now().Add(d), false
	}
}

// promise counts n pieces of work that may come, or no longer.
func (s *Scheduler[J]) promise(l *lane[J], n, size int) {
	p := poolOf(l.pace)
	l.reserved += n
	l.account.shares[p].waiting += n
	s.waiting[p] += n
	l.account.bytes += n * size
	s.bytes += n * size
}

// fits returns for how much work of a lane there is room, and notes when there is
// too little. most is what may wait for the quick pool.
func (s *Scheduler[J]) fits(most int, l *lane[J], size int) int {
	a, p := l.account, poolOf(l.pace)
	sh := &a.shares[p]
	n := 0
	switch p {
	case quickPool:
		free := most - s.waiting[p]
		if limit := waitingPerFree * a.weight; free > 0 && sh.waiting < limit*free {
			n = max(1, (limit*free-sh.waiting)/(1+limit))
		}
		s.refused[p] = s.refused[p] || free <= 0
	case trialPool:
		free := s.sizes[trialPool] - s.used[p] - s.waiting[p]
		if free > 0 && sh.used+sh.waiting < placesPerFree*a.weight*free {
			n = 1
		}
		s.refused[p] = s.refused[p] || free <= 0
	default:
		n = s.fitsSlow(a, p)
	}
	if n = min(n, s.fitsBytes(a, size)); n <= 0 {
		a.refused[p] = true
	}
	return max(0, n)
}

// fitsSlow is fits for the slow pool: nothing is taken on that could not begin.
func (s *Scheduler[J]) fitsSlow(a *account[J], p pool) int {
	has := a.slow() + a.shares[slowPool].waiting + a.shares[badPool].waiting
	free := s.slowFree() - s.waiting[slowPool] - s.waiting[badPool]
	ok := free > 0 && has*slowShare < a.weight*free
	if p == badPool {
		bad := &a.shares[badPool]
		ok = ok && (bad.used+bad.waiting)*badShare < a.weight*free && s.used[badPool]+s.waiting[badPool] < s.sizes[badPool]
	}
	if !ok {
		s.refused[p] = s.refused[p] || free <= 0 || p == badPool
		return 0
	}
	return max(1, (a.weight*free-has*slowShare)/(slowShare+a.weight))
}

// fitsBytes returns how many pieces of a size an account may have further. Where
// nothing is held, one always fits.
func (s *Scheduler[J]) fitsBytes(a *account[J], size int) int {
	if s.cfg.Bytes <= 0 || s.bytes == 0 {
		return max(1, unlimited(s.cfg.Bytes, size))
	}
	free := s.cfg.Bytes - s.bytes
	switch {
	case free <= 0 || a.bytes > bytesPerFree*a.weight*free:
		s.crowded = true
		return 0
	case size == 0:
		return free // at least as many as there are bytes
	}
	return free / size
}

// unlimited returns how many pieces of a size fit into so many bytes, where 0 means
// no bound.
func unlimited(bytes, size int) int {
	if bytes <= 0 || size <= 0 {
		return 1 << 30
	}
	return bytes / size
}

// slowFree is how many places of the slow pool are free; less than 0 when attempts
// were moved there from the quick pool.
func (s *Scheduler[J]) slowFree() int { return s.sizes[slowPool] - s.used[slowPool] - s.used[badPool] }
