package lanes

import (
	"sync"
	"time"
)

const (
	// ahead is for how long what is held for the quick pool should last at the pace
	// of the latest attempts. It is between leastAhead and mostAhead for each place
	// of the pool: what is taken on at once need not be claimed, but what is held
	// when the process dies waits for the end of its lease.
	ahead      = 100 * time.Millisecond
	leastAhead = 4
	mostAhead  = 16
	// mostIdle is of how many endpoints something is remembered at most while
	// nothing is held for them.
	mostIdle = 1024
)

// Config configures a [Scheduler]. Every field but Weight is required.
type Config[J any] struct {
	Quick       int // places of the quick pool
	Slow        int // places of the slow pool
	Trials      int // attempts in flight at endpoints that nothing is known of
	PerEndpoint int // attempts in flight at an endpoint
	Bytes       int // that are held, unsent and in flight; 0: any number

	// Weight returns the weight of an account, at least 1; nil means 1 for all.
	Weight func(account string) int

	// Work makes an attempt, in a goroutine of its own that goes on with what
	// [Scheduler.Next] returns, and ends when that returns false.
	Work func(value J, f *Flight[J])

	// Overdue takes back work that was not begun, so that it is not in the way. It
	// is called in a goroutine of its own.
	Overdue func(values []J)

	// Nudge is called when there is room again; known says that there is work for
	// it. It is called under a lock, and must be quick and call nothing of the
	// Scheduler.
	Nudge func(known bool)
}

// Job is one piece of work.
type Job[J any] struct {
	Endpoint, Account string
	Size              int // in bytes
	Value             J
}

// Scheduler holds the work that has not begun and says what is next. Nothing
// happens before Start and after Close.
type Scheduler[J any] struct {
	cfg Config[J]

	mu       sync.Mutex
	open     bool
	lanes    map[string]*lane[J]
	accounts map[string]*account[J]
	queues   [pools]queue[J]
	sizes    [pools]int
	used     [pools]int // places
	waiting  [pools]int // queued or promised
	refused  [pools]bool
	bytes    int
	crowded  bool // work was refused since there are too many bytes
	turn     uint64

	quick    flights[J]
	tick     *time.Timer // looks for attempts that became slow
	idle     []idling[J] // lanes without work, those idle for longest first
	room     int         // what may wait for the quick pool
	paced    int         // attempts that ended since paceFrom
	paceFrom time.Time
	workers  int // goroutines
	flying   int // attempts in flight
	drained  chan struct{}
}

// idling is a lane that had nothing to do at a time.
type idling[J any] struct {
	lane *lane[J]
	last time.Time
}

// New makes a Scheduler.
func New[J any](cfg Config[J]) *Scheduler[J] {
	s := &Scheduler[J]{
		cfg:      cfg,
		lanes:    make(map[string]*lane[J]),
		accounts: make(map[string]*account[J]),
		room:     cfg.Quick * leastAhead,
		sizes:    [pools]int{quickPool: cfg.Quick, slowPool: cfg.Slow, badPool: cfg.Slow / 2, trialPool: cfg.Trials},
	}
	for p := range s.queues {
		s.queues[p].pool = pool(p)
	}
	return s
}

// Start lets work begin.
func (s *Scheduler[J]) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = true
}

// Room returns what can be taken on. half leaves half of what may wait for the
// quick pool to others. The second result is the number of pieces in all, 0 when
// there is no room, and the third their bytes, 0 when there is no bound.
func (s *Scheduler[J]) Room(half bool) (r *Room[J], most, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r = &Room[J]{s: s, most: s.room}
	if half {
		r.most /= 2
	}
	if !s.open {
		return r, 0, 0
	}
	most = max(0, r.most-s.waiting[quickPool]) + max(0, s.slowFree()-s.waiting[slowPool]-s.waiting[badPool]) +
		max(0, s.sizes[trialPool]-s.used[trialPool]-s.waiting[trialPool])
	if s.cfg.Bytes > 0 {
		if bytes = s.cfg.Bytes - s.bytes; bytes <= 0 && s.bytes > 0 {
			s.crowded = true
			return r, 0, 0
		}
	}
	return r, most, max(0, bytes)
}

// Wants reports whether there is enough room to be worth a claim.
func (s *Scheduler[J]) Wants() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.roomy()
}

func (s *Scheduler[J]) roomy() bool {
	return s.open && s.waiting[quickPool] <= s.room/2 && s.waiting[slowPool]+s.waiting[badPool] < s.cfg.Slow
}

// Add takes on work. It returns that which it cannot take on because it is closed.
func (s *Scheduler[J]) Add(jobs []Job[J]) []Job[J] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open {
		return jobs
	}
	for i := range jobs {
		l := s.lane(jobs[i].Endpoint, jobs[i].Account)
		l.queue = append(l.queue, jobs[i])
		s.count(l, 1, jobs[i].Size)
		s.enlist(l)
	}
	s.dispatch()
	return nil
}

// count counts work that was put into a lane's queue, or taken out.
func (s *Scheduler[J]) count(l *lane[J], n, size int) {
	p := poolOf(l.pace)
	l.account.shares[p].waiting += n
	s.waiting[p] += n
	l.account.bytes += n * size
	s.bytes += n * size
}

// lane returns what is known of an endpoint.
func (s *Scheduler[J]) lane(endpoint, acc string) *lane[J] {
	l := s.lanes[endpoint]
	if l != nil {
		return l
	}
	a := s.accounts[acc]
	if a == nil {
		a = &account[J]{id: acc, weight: 1}
		if s.cfg.Weight != nil {
			a.weight = max(1, s.cfg.Weight(acc))
		}
		s.accounts[acc] = a
	}
	a.lanes++
	l = &lane[J]{id: endpoint, account: a, slots: 1}
	s.lanes[endpoint] = l
	return l
}

// forget drops a lane that holds nothing, at once when nothing was learned of its
// endpoint.
func (s *Scheduler[J]) forget(l *lane[J], now time.Time) {
	if !l.idle() || l.ready || s.lanes[l.id] != l {
		return
	}
	if l.last.IsZero() {
		s.drop(l)
		return
	}
	if n := len(s.idle); n == 0 || s.idle[n-1] != (idling[J]{l, l.last}) {
		s.idle = append(s.idle, idling[J]{l, l.last})
	}
	for len(s.idle) > mostIdle || len(s.idle) > 0 && now.Sub(s.idle[0].last) > memory {
		old := s.idle[0]
		s.idle[0] = idling[J]{}
		s.idle = s.idle[1:]
		if old.lane.idle() && !old.lane.ready && old.lane.last.Equal(old.last) && s.lanes[old.lane.id] == old.lane {
			s.drop(old.lane)
		}
	}
}

func (s *Scheduler[J]) drop(l *lane[J]) {
	l.unlimit()
	delete(s.lanes, l.id)
	if l.account.lanes--; l.account.lanes == 0 {
		delete(s.accounts, l.account.id)
	}
}

// repace lets f change the pace of a lane, and counts what waits in it for the
// pool that it then needs.
func (s *Scheduler[J]) repace(l *lane[J], f func()) {
	before := poolOf(l.pace)
	f()
	after := poolOf(l.pace)
	if before == after {
		return
	}
	n := len(l.queue) + l.reserved
	l.account.shares[before].waiting -= n
	l.account.shares[after].waiting += n
	s.waiting[before] -= n
	s.waiting[after] += n
}

// enlist lets a lane wait for its turn, if it has something to begin. One that
// waits in the queue of another pool is put right when its turn comes.
func (s *Scheduler[J]) enlist(l *lane[J]) {
	if !l.ready && l.startable() {
		s.queues[poolOf(l.pace)].enlist(l)
	}
	s.arm(l)
}

// dispatch begins what can begin, each in a goroutine of its own.
func (s *Scheduler[J]) dispatch() {
	for f, value := s.begin(); f != nil; f, value = s.begin() {
		s.workers++
		go s.cfg.Work(value, f)
	}
}

// begin begins an attempt at the endpoint whose turn it is.
func (s *Scheduler[J]) begin() (f *Flight[J], value J) {
	if !s.open {
		return nil, value
	}
	for p := range pools {
		l := s.next(p)
		if l == nil {
			continue
		}
		j := l.queue[0]
		l.queue[0] = Job[J]{}
		if l.queue = l.queue[1:]; len(l.queue) == 0 {
			l.queue = nil
		}
		l.account.shares[p].waiting--
		s.waiting[p]--
		f = &Flight[J]{lane: l, pool: p, size: j.Size, began: time.Now()}
		s.occupy(l.account, p, 1)
		s.flying++
		l.inFlight++
		if l.gap > 0 {
			l.next = f.began.Add(l.gap)
		}
		if p == quickPool {
			s.quick.push(f)
			s.watch()
		}
		s.enlist(l)
		return f, j.Value
	}
	return nil, value
}

// next takes out the lane whose turn it is in a pool, or returns nil.
func (s *Scheduler[J]) next(p pool) *lane[J] {
	q := &s.queues[p]
	for {
		a := s.first(p)
		if a == nil {
			return nil
		}
		s.turn++
		l := q.take(a, s.turn)
		if l.startable() && poolOf(l.pace) == p {
			return l
		}
		s.enlist(l) // its pace changed, or its work was taken back
		s.forget(l, time.Now())
	}
}

// first returns the account whose turn it is in a pool, if there is a place for it.
func (s *Scheduler[J]) first(p pool) *account[J] {
	accounts := s.queues[p].accounts
	if len(accounts) == 0 {
		return nil
	}
	if size := s.sizes[p]; p == quickPool || p == trialPool {
		a := accounts[0] // if there is none for the first, there is none for the others
		if free := size - s.used[p]; free > 0 && a.shares[p].used < placesPerFree*a.weight*free {
			return a
		}
		return nil
	}
	free := s.slowFree()
	if free <= 0 || p == badPool && s.used[badPool] >= s.sizes[badPool] {
		return nil
	}
	var first *account[J]
	for _, a := range accounts {
		if a.slow()*slowShare < a.weight*free && (first == nil || s.queues[p].before(a, first)) &&
			(p == slowPool || a.shares[badPool].used*badShare < a.weight*free) {
			first = a
		}
	}
	return first
}

func (s *Scheduler[J]) occupy(a *account[J], p pool, n int) {
	s.used[p] += n
	s.queues[p].occupy(a, n)
}
