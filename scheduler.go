package webhook

import (
	"sync"
	"time"
)

const (
	// ahead is for how long this process may hold what it has not sent, at the
	// pace of its latest attempts, but no fewer deliveries than leastAhead per
	// unit of Concurrency, and no more than mostAhead: what is handed off need not
	// be claimed, but what is held when the process dies waits for the end of its
	// lease.
	ahead      = 100 * time.Millisecond
	leastAhead = 4
	mostAhead  = 16
	// claimFactor is how many deliveries one claim asks for at most, per unit of
	// Concurrency.
	claimFactor = 8
	// slowFactor is how many slow attempts there may be besides, per unit of
	// Concurrency, and badFactor how many of these may be at endpoints that are
	// known to hang: the rest is for those that turn out to.
	slowFactor = 4
	badFactor  = 3
)

// job is a delivery that this process holds under a lease.
type job struct {
	Leased
	leaseEnd time.Time // by the local monotonic clock, counted from before the lease began
	test     bool      // of SendTest: not leased, not settled
}

// scheduler holds the leased deliveries that this process has not sent yet and
// decides which goes next: endpoints take turns, and none has more attempts in
// flight than its slots.
//
// An attempt that has been in flight for slowAfter is counted apart, and so is
// every attempt at an endpoint whose latest one timed out: endpoints that hang
// do not use up the concurrency of those that answer.
type scheduler struct {
	e           *Engine
	concurrency int
	perEndpoint int

	mu       sync.Mutex
	open     bool
	lanes    map[string]*lane
	ready    laneRing // lanes with something queued and a free slot, in turn
	readyBad laneRing // likewise, of endpoints that are known to hang
	queued   int      // jobs in lanes
	room     int      // how many there may be
	paced    int      // attempts that ended since paceFrom
	paceFrom time.Time
	reserved int // room promised to store calls under way
	workers  int // goroutines
	flying   int // attempts in flight
	quick    flightList
	slow     int         // of those in flight, counted apart
	tick     *time.Timer // looks for slow attempts while the limit is reached
	drained  chan struct{}
}

func (s *scheduler) init(e *Engine) {
	s.e, s.concurrency, s.perEndpoint = e, e.cfg.Concurrency, e.cfg.PerEndpoint
	s.lanes = map[string]*lane{}
	s.room = s.concurrency * leastAhead
}

func (s *scheduler) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = true
}

// handOff answers what this process can take on of new events, as claimable does.
// When others have waited in the store for long it leaves half of the room to
// these: they are older, and nobody would claim them as long as new ones fill what
// becomes free.
func (s *scheduler) handOff() (terms LeaseTerms, release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	room := s.room
	if s.e.feed.overdue() {
		room /= 2
	}
	return s.reserve(room)
}

// claimable answers what this process can take on and keeps a share of that room
// until release is called.
func (s *scheduler) claimable() (terms LeaseTerms, release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reserve(s.room)
}

func (s *scheduler) reserve(room int) (terms LeaseTerms, release func()) {
	free := room - s.queued - s.reserved
	if !s.open || free <= 0 {
		return LeaseTerms{}, func() {}
	}
	named := newRoom(s.perEndpoint)
	terms = LeaseTerms{Max: free, Lease: s.e.cfg.Lease, Room: named}
	for _, l := range s.lanes {
		if room := l.room(); room != s.perEndpoint && (l.held() > 0 || l.bad) {
			named.free[l.id] = room
		}
	}
	// Several calls may be under way; each keeps a share, since few fill theirs.
	share := max(1, free/4)
	s.reserved += share
	return terms, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.reserved -= share
		if s.roomy() {
			s.e.feed.nudge(false) // a claim may have waited for this room
		}
	}
}

// wants reports whether there is enough room to be worth a claim.
func (s *scheduler) wants() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.roomy()
}

// roomy leaves out what is reserved: stores under way that hand nothing off must
// not keep the claims from what is waiting.
func (s *scheduler) roomy() bool { return s.open && s.queued <= s.room/2 }

// pace learns from an attempt that ended how many deliveries to hold.
func (s *scheduler) pace(now time.Time) {
	s.paced++
	took := now.Sub(s.paceFrom)
	if took < ahead {
		return
	}
	enough := int(int64(s.paced) * int64(ahead) / int64(took))
	s.room = min(max(enough, s.concurrency*leastAhead), s.concurrency*mostAhead)
	s.paced, s.paceFrom = 0, now
}

// add takes on jobs. It answers those that it cannot take because it is closed.
func (s *scheduler) add(jobs []job) []job {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open {
		return jobs
	}
	for _, j := range jobs {
		l := s.lane(j.Target.EndpointID)
		l.queue = append(l.queue, j)
		s.queued++
		s.enlist(l)
	}
	s.hire()
	return nil
}

// note takes in what a claim told of the endpoints, before its deliveries are
// added: which of them may have more waiting in the store than they could be
// given.
func (s *scheduler) note(terms LeaseTerms, claimed []Leased, more bool) {
	got := make(map[string]int, len(claimed))
	for i := range claimed {
		got[claimed[i].Target.EndpointID]++
	}
	r := terms.Room.(*fixedRoom)
	free := r.free
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, n := range got {
		if _, named := free[id]; !named && n >= r.perEndpoint {
			s.lane(id)
		}
	}
	for id, l := range s.lanes {
		most, named := free[id]
		if !named {
			most = r.perEndpoint
		}
		switch {
		case got[id] >= most:
			l.backlog = true
		case !more:
			l.backlog = false
		}
		s.forget(l)
	}
}

// starving reports whether an endpoint has room again and the store may have
// something for it: attempts can end while a claim that left their endpoint out
// is under way, and nothing else would ask for it then.
func (s *scheduler) starving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lanes {
		if l.backlog && len(l.queue) <= l.slots && l.room() > 0 {
			return true
		}
	}
	return false
}

func (s *scheduler) lane(id string) *lane {
	l := s.lanes[id]
	if l == nil {
		l = &lane{id: id, slots: 1}
		s.lanes[id] = l
	}
	return l
}

// forget drops a lane that holds nothing once what it learned is old, or at once
// when there are many and it is healthy.
func (s *scheduler) forget(l *lane) {
	if l.held() > 0 || l.backlog {
		return
	}
	if time.Since(l.last) > laneMemory || !l.bad && len(s.lanes) > 2*s.concurrency {
		delete(s.lanes, l.id)
	}
}

func (s *scheduler) enlist(l *lane) {
	if l.inReady || len(l.queue) == 0 || l.inFlight >= l.slots {
		return
	}
	l.inReady = true
	if l.bad {
		s.readyBad.push(l)
	} else {
		s.ready.push(l)
	}
}

// startable answers how many attempts could begin now.
func (s *scheduler) startable() int {
	quick := min(s.ready.len, s.concurrency-s.quick.len)
	bad := min(s.readyBad.len, s.concurrency*badFactor-s.slow)
	return max(0, quick) + max(0, bad)
}

// hire starts a goroutine for each attempt that could begin and has none.
func (s *scheduler) hire() {
	for idle := s.workers - s.flying; idle < s.startable(); idle++ {
		s.workers++
		go s.e.work()
	}
	if s.ready.len > 0 && s.quick.len >= s.concurrency {
		s.watch()
	}
}

// next answers the job to attempt now, or false when its caller shall end.
func (s *scheduler) next() (job, *flight, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.quick.len >= s.concurrency {
		s.setAside()
	}
	f := s.turn()
	if f == nil {
		s.workers--
		s.ended()
		return job{}, nil, false
	}
	l := f.lane
	j := l.queue[0]
	l.queue[0] = job{}
	if l.queue = l.queue[1:]; len(l.queue) == 0 {
		l.queue = nil
	}
	s.queued--
	s.flying++
	l.inFlight++
	s.enlist(l)
	s.hire()
	return j, f, true
}

// turn begins an attempt at the endpoint whose turn it is, or answers nil.
func (s *scheduler) turn() *flight {
	f := &flight{began: time.Now()}
	if s.slow < s.concurrency*badFactor {
		if f.lane = s.readyBad.startable(); f.lane != nil {
			f.slow = true
			s.slow++
			return f
		}
	}
	if s.quick.len < s.concurrency {
		if f.lane = s.ready.startable(); f.lane != nil {
			s.quick.push(f)
			return f
		}
	}
	return nil
}

// setAside counts attempts that have been in flight for slowAfter apart.
func (s *scheduler) setAside() {
	limit := time.Now().Add(-slowAfter)
	for f := s.quick.first; f != nil && s.slow < s.concurrency*slowFactor && !f.began.After(limit); f = s.quick.first {
		s.quick.remove(f)
		f.slow, f.lane.quick = true, false
		s.slow++
	}
}

// watch looks again once the attempt that has been in flight longest is slow.
func (s *scheduler) watch() {
	if s.tick != nil || s.slow >= s.concurrency*slowFactor || s.quick.first == nil {
		return
	}
	s.tick = time.AfterFunc(slowAfter-time.Since(s.quick.first.began), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tick = nil
		if s.open {
			s.setAside()
			s.hire()
		}
	})
}

// done ends an attempt; v says what it tells of the endpoint.
func (s *scheduler) done(f *flight, v verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.slow {
		s.slow--
	} else {
		s.quick.remove(f)
	}
	s.flying--
	now := time.Now()
	s.pace(now)
	l := f.lane
	l.inFlight--
	l.learn(v, now.Sub(f.began), s.perEndpoint)
	s.enlist(l)
	if known := l.backlog && len(l.queue) <= l.slots; known || s.queued <= s.concurrency {
		s.e.feed.nudge(known)
	}
	s.forget(l)
	s.hire()
}

// evict takes back what waits behind attempts that hang, so that it is not in
// the way of others.
func (s *scheduler) evict() []job {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setAside()
	var out []job
	for _, l := range s.lanes {
		if l.quick || l.inFlight < l.slots || len(l.queue) == 0 || !l.bad && time.Since(l.last) < slowAfter {
			continue
		}
		out = append(out, l.queue...)
		s.queued -= len(l.queue)
		l.queue, l.backlog = nil, true
	}
	return out
}

// recall takes back what has not been sent to an endpoint that was changed: it
// was leased with the old URL and the old secrets.
func (s *scheduler) recall(endpointID string) []job {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[endpointID]
	if l == nil {
		return nil
	}
	out := l.queue
	s.queued -= len(out)
	l.queue = nil
	return out
}

// close empties the lanes and answers what was in them. From now on nothing is
// taken on.
func (s *scheduler) close() []job {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = false
	var rest []job
	for _, l := range s.lanes {
		rest = append(rest, l.queue...)
		l.queue = nil
	}
	s.ready, s.readyBad, s.queued = laneRing{}, laneRing{}, 0
	if s.tick != nil {
		s.tick.Stop()
	}
	s.drained = make(chan struct{})
	s.ended()
	return rest
}

// ended tells Stop when the last goroutine is gone; the caller holds the lock.
func (s *scheduler) ended() {
	if s.drained == nil || s.workers > 0 {
		return
	}
	select {
	case <-s.drained:
	default:
		close(s.drained)
	}
}

// inFlight is the number of attempts in flight.
func (s *scheduler) inFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flying
}
