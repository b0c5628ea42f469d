package webhook

import (
	"context"
	"time"

	"github.com/ringyo-ai/webhook/internal/lanes"
	"github.com/ringyo-ai/webhook/internal/safe"
)

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
	// An endpoint that does not answer in time is left alone for firstPause, and for
	// twice as long each time after that, up to longestProbePause.
	firstPause        = time.Second
	longestProbePause = 30 * time.Second
)

// job is a delivery that this process holds under a lease.
type job struct {
	Leased
	leaseEnd time.Time // by the local monotonic clock, counted from before the lease began
	test     bool      // of SendTest: not leased, not settled
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

// weight returns an account's weight, 1 if that cannot be told.
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
	return LeaseTerms{Max: most, MaxBytes: bytes, Lease: e.cfg.Lease, Room: laneRoom{r}}, r.Release
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
