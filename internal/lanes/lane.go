package lanes

import "time"

const (
	// SlowAfter is how long a quick attempt takes at most.
	SlowAfter = 100 * time.Millisecond
	// queueFactor is how much of a quick endpoint may be held for each of its slots,
	// that in flight included: enough to bridge a claim, little enough that none
	// outlives its lease while it waits.
	queueFactor = 4
	// memory is how long what was learned of an endpoint is kept.
	memory = time.Minute
)

// Pace is how an endpoint responded lately.
type Pace int

const (
	// Unknown means that it was never tried.
	Unknown Pace = iota
	// Quick means that it responds within SlowAfter.
	Quick
	// Slow means that it responds, but takes longer.
	Slow
	// Paused means that it did not respond in time, or refuses what is sent for long.
	Paused
)

// Kind is what an attempt shows of its endpoint.
type Kind int

const (
	// Nothing is the Kind of an attempt that was not made, or that failed on our
	// side.
	Nothing Kind = iota
	// Answered means that a response came in time, whatever its status, unless it is
	// Refused.
	Answered
	// Refused means that the endpoint responded that it takes no more at the moment.
	Refused
	// TimedOut means that no response came in time.
	TimedOut
	// Withheld means that the attempt was not made, since nothing can be sent to the
	// endpoint for the time being.
	Withheld
)

// Verdict is what became of an attempt.
type Verdict struct {
	Kind Kind
	// Pause is how long nothing new is taken on for the endpoint, if the attempt was
	// withheld, or if neither it nor anything that was sent meanwhile got a response.
	// If it was refused, Pause is what the endpoint asked for, 0 for nothing.
	Pause time.Duration
	// Vague says that a refusal does not name the rate as its reason.
	Vague bool
}

// pool is one of the kinds of places that attempts need.
type pool int

const (
	quickPool pool = iota
	slowPool
	badPool // part of the slow pool
	trialPool
	pools
)

// poolOf returns the pool of endpoints of a pace.
func poolOf(p Pace) pool {
	switch p {
	case Quick:
		return quickPool
	case Paused:
		return badPool
	case Unknown:
		return trialPool
	}
	return slowPool
}

// lane is what is known of one endpoint, and what is held for it.
type lane[J any] struct {
	id       string
	account  *account[J]
	queue    []Job[J]
	reserved int // promised to stores that choose
	inFlight int
	slots    int // attempts allowed in flight
	pace     Pace
	until    time.Time // nothing new before, since it did not respond in time
	hold     time.Time // nothing new before, since it cannot be sent, or not be recorded
	withheld bool      // hold is since it cannot be sent
	backlog  bool      // a store had more for this endpoint than there was room for: room is worth a nudge
	answered time.Time // latest response
	last     time.Time // end of the latest attempt
	ready    bool      // in a ring of its account

	limit
}

// held is what this process has of the endpoint, or may get.
func (l *lane[J]) held() int { return l.inFlight + len(l.queue) + l.reserved }

func (l *lane[J]) idle() bool { return l.held() == 0 }

// expect takes over what the store knows of the endpoint, where that is newer.
// full is the number of slots of a healthy endpoint.
func (l *lane[J]) expect(p Pace, full int) {
	switch {
	case p == Paused:
		l.pace, l.slots, l.until = Paused, 1, time.Time{}
	case l.pace == Paused: // somebody else had a response
		l.pace, l.slots = Slow, 1
	case l.last.IsZero() && l.idle():
		l.pace, l.slots = p, full
		if p == Unknown {
			l.slots = 1
		}
	}
}

// room is how much more may be held. Only an endpoint that responds quickly has a
// queue: behind one that does not, work would just take up memory.
func (l *lane[J]) room(now time.Time) int {
	most := l.slots
	switch {
	case now.Before(l.until), now.Before(l.hold):
		return 0
	case l.waits(now.Add(lookAhead)):
		return 0
	case l.gap > 0 && l.pace != Paused:
		most = min(most*queueFactor, most+int(lookAhead/l.gap))
	case l.pace == Quick:
		most *= queueFactor
	}
	return max(0, most-l.held())
}

// startable reports whether an attempt could begin, if there is a place for it.
func (l *lane[J]) startable() bool {
	return len(l.queue) > 0 && l.inFlight < l.slots && (l.gap == 0 || !l.waits(time.Now()))
}

// learn takes in an attempt that began at the given time and has ended now. It
// returns the pause that begins with it.
func (l *lane[J]) learn(v Verdict, began, now time.Time, full int) (pause time.Duration) {
	l.last = now
	switch v.Kind {
	case Answered:
		l.sendable()
		switch {
		case l.gap > 0:
			l.accept(began, now, full)
		case l.pace == Unknown:
			l.slots = full
		case l.slots < full:
			l.slots = min(full, 2*l.slots)
		}
		l.pace, l.until, l.answered = Slow, time.Time{}, now
		if now.Sub(began) < SlowAfter && l.gap == 0 {
			l.pace = Quick
		}
	case Refused:
		l.sendable()
		return l.refuse(v, began, now)
	case Withheld:
		l.hold, l.withheld = now.Add(v.Pause), true
	case TimedOut:
		if l.answered.After(began) { // it lives
			l.pace, l.slots = Slow, max(1, l.slots/2)
			return 0
		}
		l.pace, l.slots, l.until = Paused, 1, now.Add(v.Pause)
		return v.Pause
	}
	return 0
}

// sendable ends the time for which nothing could be sent, if that is why nothing new
// was taken on.
func (l *lane[J]) sendable() {
	if l.withheld {
		l.hold, l.withheld = time.Time{}, false
	}
}
