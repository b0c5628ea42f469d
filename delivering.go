package webhook

import (
	"context"
	"slices"
	"time"

	"github.com/ringyo-ai/webhook/internal/lanes"
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
			p := e.sched.Learn(f, r.lane)
			if p != lanes.Paused || !f.Probe() || j.Attempts == 0 { // what follows its schedule makes no pause longer
				r.setPace(p)
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
			r.err = nil // there is no cause to tell
			e.conclude(&r, begin)
		}
		then(r)
	}()
	r = e.attempt(ctx, j)
	returned = true
}

// take hands leased deliveries to the scheduler, or gives them back when it is
// closed.
func (e *Engine) take(leased []Leased, leaseEnd time.Time, release func(came int)) {
	came := len(leased)
	defer func() { release(came) }()
	if came == 0 {
		return
	}
	leased = e.isolate(leased, leaseEnd)
	jobs := make([]lanes.Job[job], len(leased))
	for i := range leased {
		jobs[i] = lanes.Job[job]{
			Endpoint: leased[i].Target.EndpointID,
			Account:  leased[i].Target.AccountID,
			Size:     len(leased[i].Event.Data),
			Value:    job{Leased: leased[i], leaseEnd: leaseEnd},
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
// it, so that their leases end in step and its innocent company would be given up
// with it. The others come back one by one, with nothing against them, and that
// is recorded before the first goes on.
func (e *Engine) isolate(leased []Leased, leaseEnd time.Time) []Leased {
	suspect := func(l Leased) bool { return l.Expired == poisonLeases-1 }
	if !slices.ContainsFunc(leased, suspect) {
		return leased
	}
	kept := make([]Leased, 0, len(leased))
	var back []result
	suspects := 0
	for _, l := range leased {
		if suspect(l) {
			if suspects++; suspects > 1 {
				j := job{Leased: l, leaseEnd: leaseEnd}
				r := result{job: j, settlement: j.settlement(OutcomeReleased)}
				r.settlement.Delay = suspectPause * time.Duration(min(suspects-1, suspectPauses))
				back = append(back, r)
				continue
			}
		}
		kept = append(kept, l)
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
