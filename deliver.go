package webhook

import (
	"context"
	"slices"
	"time"

	"github.com/ringyo-ai/webhook/internal/lanes"
	"github.com/ringyo-ai/webhook/internal/safe"
)

// poisonLeases is how many leases in a row may end without a result before they
// cost the delivery an attempt: one that kills the process must end.
const poisonLeases = 3

// work attempts a delivery, and then others until there is none for it.
func (e *Engine) work(j job, f *lanes.Flight[job]) {
	defer func() {
		if f != nil { // ended by the Transport: another goroutine takes its place
			go func() { e.work(e.sched.Next(f)) }()
		}
	}()
	for f != nil {
		e.attemptThen(e.life.ctx, j, func(r result) {
			p, pause := e.sched.Learn(f, r.lane)
			if p != lanes.Paused || !f.Probe() || j.Attempts == 0 { // what follows its schedule makes no pause longer
				r.setPace(p, pause)
			}
			if r.lane.Kind == lanes.Refused && r.settlement.Outcome == OutcomeRetry && p == lanes.Paused {
				r.settlement.Delay = max(r.settlement.Delay, pause) // an attempt before would be wasted
			}
			e.record(r)
		})
		j, f = e.sched.Next(f)
	}
}

// attemptThen hands the result of an attempt to then, though the Transport ends
// the goroutine, as testing's FailNow does.
func (e *Engine) attemptThen(ctx context.Context, j job, then func(result)) {
	begin, returned := time.Now(), false
	r := result{job: j}
	defer func() {
		if !returned {
			e.log.Error("webhook: the Transport ended its goroutine")
			r.finding = e.judge(nil, &TransportError{Kind: FailureInternal, Detail: "the sender failed"}, time.Since(begin))
			r.err = nil // there is no cause to report
			e.conclude(&r, begin)
		}
		then(r)
	}()
	r = e.attempt(ctx, j)
	returned = true
}

// take hands leased deliveries to the scheduler, or gives them back when it is
// closed.
func (e *Engine) take(leased []Leased, h hold, release func(came int)) {
	came := len(leased)
	defer func() { release(came) }()
	if came == 0 {
		return
	}
	leased = e.isolate(leased, h)
	jobs := make([]lanes.Job[job], len(leased))
	for i := range leased {
		jobs[i] = lanes.Job[job]{
			Endpoint: leased[i].Target.EndpointID,
			Account:  leased[i].Target.AccountID,
			Size:     len(leased[i].Event.Data),
			Value:    job{Leased: leased[i], hold: h},
		}
	}
	if rest := e.sched.Add(jobs); len(rest) > 0 {
		// Stopped meanwhile. One try: a caller of Emit is waiting, and the leases
		// expire in any case.
		once, cancel := context.WithCancel(context.Background())
		cancel()
		back := make([]job, len(rest))
		for i := range rest {
			back[i] = rest[i].Value
		}
		e.giveBack(once, back)
	}
}

// suspectPause is the time between two suspects that were claimed together, and
// suspectPauses the number of them that are told apart.
const (
	suspectPause  = time.Second
	suspectPauses = 60
)

// isolate lets one suspect go on at a time: a delivery whose next unsettled lease
// costs it an attempt. One that ends the process takes all that is in flight with
// it, so that their leases end in step, or one or two apart, and its innocent company
// would be given up with it. So nothing goes with a suspect that was in flight when a
// process ended: it comes back later, the other suspects one by one, with nothing
// against it, and that is recorded before the suspect goes on.
func (e *Engine) isolate(leased []Leased, h hold) []Leased {
	suspect := func(l Leased) bool { return l.Expired == poisonLeases-1 }
	if !slices.ContainsFunc(leased, suspect) {
		return leased
	}
	kept := make([]Leased, 0, len(leased))
	var back []result
	suspects := 0
	for _, l := range leased {
		if suspect(l) {
			suspects++
		}
		first := suspect(l) && suspects == 1
		if first || l.Expired == 0 || l.Expired >= poisonLeases { // which is not sent
			kept = append(kept, l)
			continue
		}
		j := job{Leased: l, hold: h}
		r := result{job: j, settlement: j.settlement(OutcomeReleased)}
		r.settlement.Delay = suspectPause * time.Duration(min(max(suspects-1, 1), suspectPauses))
		back = append(back, r)
	}
	e.settleOrLeave(back)
	return kept
}

// settleOrLeave tries once to record results, since somebody waits. If that fails
// their leases end by themselves.
func (e *Engine) settleOrLeave(back []result) {
	if len(back) > 0 {
		once, cancel := context.WithCancel(context.Background())
		cancel()
		_ = e.settle(once, back, nil) // logged
	}
}

// giveBack releases what was leased but not attempted, at no cost; it tries at
// least once, and again until ctx ends.
func (e *Engine) giveBack(ctx context.Context, jobs []job) {
	if len(jobs) == 0 {
		return
	}
	batch := make([]result, len(jobs))
	for i, j := range jobs {
		batch[i] = result{job: j, settlement: j.settlement(OutcomeReleased)}
	}
	_ = e.settle(ctx, batch, e.results.Refuse) // logged; the leases expire
}

func (j *job) settlement(o Outcome) Settlement {
	return Settlement{
		DeliveryID: j.DeliveryID,
		Token:      j.Token,
		EndpointID: j.Target.EndpointID,
		Generation: j.Target.Generation,
		Outcome:    o,
	}
}

const (
	// claimFactor is how many deliveries one claim asks for at most, per unit of
	// Concurrency.
	claimFactor = 8
	// slowFactor is how many slow attempts there may be besides, per unit of
	// Concurrency.
	slowFactor = 4
	// trialFactor is how many attempts at endpoints that nothing is known of there
	// may be besides, per unit of Concurrency: with the default, 1,344 for one
	// account, so that the good ones among 1,000 new endpoints are found at once
	// though the others hang.
	trialFactor = 24
	// mostWeight is the largest weight of an account, so that sums stay small.
	mostWeight = 1000
	// An endpoint that does not respond in time is left alone for firstPause, and for
	// twice as long each time after that, up to longestProbePause.
	firstPause        = time.Second
	longestProbePause = 30 * time.Second
)

// job is a delivery that this process holds under a lease.
type job struct {
	Leased
	hold
	test *TestRequest // of SendTest, which is not leased and not settled
}

// hold is how long this process may keep what it leased: until leaseEnd, and only
// while its process lives.
type hold struct {
	leaseEnd time.Time // by the local monotonic clock, counted from before the lease began
	process  ProcessID
}

// from returns the hold of what was leased on these terms by a call that began at
// begin.
func (t *LeaseTerms) from(begin time.Time) hold { return hold{begin.Add(t.Lease), t.Process} }

// covers reports whether an attempt that begins now ends before anybody else can
// make one. It may take an AttemptTimeout.
func (e *Engine) covers(h hold, now time.Time) bool {
	return h.leaseEnd.Sub(now) >= e.cfg.AttemptTimeout && e.beats.Lives(int64(h.process), now, e.cfg.AttemptTimeout)
}

// newScheduler makes the engine's scheduler.
func (e *Engine) newScheduler() *lanes.Scheduler[job] {
	return lanes.New(lanes.Config[job]{
		Quick:       e.cfg.Concurrency,
		Slow:        e.cfg.Concurrency * slowFactor,
		Trials:      e.cfg.Concurrency * trialFactor,
		PerEndpoint: e.cfg.PerEndpoint,
		Bytes:       max(0, e.cfg.MaxInMemory),
		Weight:      e.weight,
		Work:        e.work,
		Overdue:     func(jobs []job) { e.giveBack(context.Background(), jobs) },
		Nudge:       e.feed.Nudge,
	})
}

// weight returns an account's weight, 1 if that is not known.
func (e *Engine) weight(account string) (w int) {
	if e.cfg.AccountWeight == nil {
		return 1
	}
	defer safe.Recover(func(p *safe.Panic) {
		p.Log(e.log, "AccountWeight")
		w = 1
	})
	return min(max(e.cfg.AccountWeight(account), 1), mostWeight)
}

// laneRoom is the [Room] that the scheduler has.
type laneRoom struct{ *lanes.Room[job] }

// Take implements [Room].
func (r laneRoom) Take(c Candidate, n int) int {
	return r.Room.Take(lanes.Candidate{Endpoint: c.EndpointID, Account: c.AccountID, Pace: lanes.Pace(c.Pace), Size: c.Bytes}, n)
}

// terms returns what this process can take on. What came is released with its
// number once it was added.
func (e *Engine) terms(half bool) (t LeaseTerms, release func(came int)) {
	r, most, bytes := e.sched.Room(half)
	if !e.beats.Began() {
		most = 0 // for a moment: its leases would last too long if it were killed now
	}
	t = LeaseTerms{Max: most, MaxBytes: bytes, Lease: e.cfg.Lease, Room: laneRoom{r}}
	// While the heartbeat fails, leases name no process, and last as long as they say.
	t.Process = ProcessID(e.beats.Process(e.cfg.AttemptTimeout))
	return t, r.Release
}

// fixedRoom is a [Room] of so many deliveries of each endpoint.
type fixedRoom struct {
	perEndpoint int
	taken       map[string]int
}

// Take implements [Room].
func (r *fixedRoom) Take(c Candidate, n int) int {
	n = max(0, min(n, r.perEndpoint-r.taken[c.EndpointID]))
	r.taken[c.EndpointID] += n
	return n
}

// Reset implements [Room].
func (r *fixedRoom) Reset() { clear(r.taken) }
