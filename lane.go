package webhook

import "time"

const (
	// laneFactor is how many deliveries of an endpoint that answers quickly this
	// process may hold for each of its slots, those in flight included: enough to
	// bridge a claim, few enough that none outlives its lease while it waits.
	laneFactor = 4
	// slowAfter is when an attempt stops counting against Concurrency, and its
	// endpoint as one that answers quickly.
	slowAfter = 100 * time.Millisecond
	// laneMemory is how long what was learned of an endpoint is kept.
	laneMemory = time.Minute
)

// lane is what this process knows of one endpoint, and holds for it.
//
// An endpoint that nothing is known of gets one attempt, and all its slots once
// that is answered: were a tenth of all endpoints dead, their first attempts
// would otherwise take up everything. One that times out loses half its slots
// each time and wins one back for each round of answers.
type lane struct {
	id       string
	queue    []job
	inFlight int
	slots    int       // attempts allowed in flight
	proven   bool      // it has answered
	quick    bool      // its latest answer took less than slowAfter
	bad      bool      // its latest attempt timed out
	good     int       // answers in a row since slots were lost
	backlog  bool      // the store may have more than this process could take
	last     time.Time // end of the latest attempt
	inReady  bool
}

func (l *lane) held() int { return l.inFlight + len(l.queue) }

// room is how many further deliveries the lane may hold. Only an endpoint that
// answers quickly has a queue: behind one that hangs it would just be in the way
// of others.
func (l *lane) room() int {
	most := l.slots
	if l.quick {
		most *= laneFactor
	}
	return max(0, most-l.held())
}

// verdict is what one attempt tells of its endpoint.
type verdict int

const (
	verdictNone     verdict = iota // nothing: our own fault, or not sent
	verdictAnswered                // in time, whatever the answer
	verdictTimeout
)

// learn takes in one attempt; full is the number of slots of a healthy endpoint.
func (l *lane) learn(v verdict, took time.Duration, full int) {
	l.last = time.Now()
	switch v {
	case verdictTimeout:
		l.slots, l.good = max(1, l.slots/2), 0
		l.proven, l.quick, l.bad = true, false, true
	case verdictAnswered:
		l.quick = took < slowAfter
		l.bad = false
		if !l.proven {
			l.proven, l.slots = true, full
		}
		if l.good++; l.slots < full && l.good >= l.slots {
			l.slots, l.good = l.slots+1, 0
		}
	}
}

// flight is one attempt in flight.
type flight struct {
	lane       *lane
	began      time.Time
	slow       bool // counted apart
	prev, next *flight
}

// flightList holds the attempts in flight that count against Concurrency, the
// oldest first.
type flightList struct {
	first, last *flight
	len         int
}

func (a *flightList) push(f *flight) {
	f.prev = a.last
	if a.last != nil {
		a.last.next = f
	} else {
		a.first = f
	}
	a.last = f
	a.len++
}

func (a *flightList) remove(f *flight) {
	if f.prev != nil {
		f.prev.next = f.next
	} else {
		a.first = f.next
	}
	if f.next != nil {
		f.next.prev = f.prev
	} else {
		a.last = f.prev
	}
	f.prev, f.next = nil, nil
	a.len--
}

// laneRing is a first-in-first-out queue of lanes.
type laneRing struct {
	items []*lane
	head  int
	len   int
}

func (r *laneRing) push(l *lane) {
	if r.len == len(r.items) {
		grown := make([]*lane, max(16, 2*r.len))
		for i := range r.len {
			grown[i] = r.items[(r.head+i)%len(r.items)]
		}
		r.items, r.head = grown, 0
	}
	r.items[(r.head+r.len)%len(r.items)] = l
	r.len++
}

// startable takes out the first lane that can start an attempt. Since a lane was
// put in, what it had queued may have been taken back, or its slots lost.
func (r *laneRing) startable() *lane {
	for r.len > 0 {
		l := r.pop()
		l.inReady = false
		if len(l.queue) > 0 && l.inFlight < l.slots {
			return l
		}
	}
	return nil
}

func (r *laneRing) pop() *lane {
	if r.len == 0 {
		return nil
	}
	l := r.items[r.head]
	r.items[r.head] = nil
	r.head = (r.head + 1) % len(r.items)
	r.len--
	return l
}
