package webhook

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Tally counts what happened at one endpoint in one hour.
type Tally struct {
	Hour           time.Time `json:"hour"`            // when it began, in UTC, by the store's clock
	Delivered      int       `json:"delivered"`       // deliveries that succeeded
	FailedAttempts int       `json:"failed_attempts"` // attempts that did not
	Exhausted      int       `json:"exhausted"`       // deliveries that ended without success, but for cancelled ones

	// Latency counts the attempts, failed ones too, by how long they took: each in the
	// first of [LatencyBuckets] that it fits into, and in the last place those that took
	// longer than all of these.
	Latency [latencies]int `json:"latency"`
}

const latencies = 12

// latencyBuckets are what LatencyBuckets returns.
var latencyBuckets = [latencies - 1]time.Duration{
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond,
	500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// LatencyBuckets returns the upper bounds of the places of [Tally].Latency, without the
// last place, which has none: from 10 ms to 30 s, in ascending order.
func LatencyBuckets() []time.Duration { return slices.Clone(latencyBuckets[:]) }

// LatencyBucket returns the place in [Tally].Latency of an attempt that took d.
func LatencyBucket(d time.Duration) int {
	i, _ := slices.BinarySearch(latencyBuckets[:], d)
	return i
}

// Add adds what u counts to t, whose Hour stays: Tallies of several hours, or endpoints,
// make one whose Percentile is that of all.
func (t *Tally) Add(u Tally) {
	t.Delivered += u.Delivered
	t.FailedAttempts += u.FailedAttempts
	t.Exhausted += u.Exhausted
	for i, n := range u.Latency {
		t.Latency[i] += n
	}
}

// Percentile estimates how long the quickest attempts took at most, p being their share:
// 0.5 for the median, 0.99 for all but one of a hundred. Within a bucket it assumes that
// they are spread evenly; above the last bound it returns that bound. It reports false
// when there was no attempt, or p does not lie between 0 and 1.
func (t Tally) Percentile(p float64) (time.Duration, bool) {
	all := 0
	for _, n := range t.Latency {
		all += n
	}
	if all == 0 || !(p >= 0 && p <= 1) { // NaN is neither
		return 0, false
	}
	rank := math.Max(1, math.Ceil(p*float64(all)))
	low, before := time.Duration(0), 0
	for i, n := range t.Latency[:latencies-1] {
		high := latencyBuckets[i]
		if float64(before+n) >= rank {
			return low + time.Duration(float64(high-low)*(rank-float64(before))/float64(n)), true
		}
		low, before = high, before+n
	}
	return low, true
}

// TallyQuery selects tallies of endpoints of one account.
type TallyQuery struct {
	EndpointIDs []string  // up to 1,000
	From        time.Time // the hour in which it lies is the first one; zero: the beginning
	Until       time.Time // the last hour begins before it; zero: the end
}

// Tallies returns what happened at each endpoint, by the hour, oldest first. An hour in
// which nothing happened is left out, and so is an endpoint that does not exist. Tallies
// are kept for Config.Retention, also those of a deleted endpoint. The errors are those
// of the Store, [ErrInvalidArgument] for too many ids, and [errors.ErrUnsupported] unless
// Config.Tallies is set.
func (e *Engine) Tallies(ctx context.Context, accountID string, q TallyQuery) (map[string][]Tally, error) {
	tallier, able := e.store.Store.(Tallier)
	if !e.cfg.Tallies || !able {
		return nil, fmt.Errorf("webhook: Config.Tallies is off: %w", errors.ErrUnsupported)
	}
	if len(q.EndpointIDs) > 1000 {
		return nil, invalid("EndpointIDs", "must hold at most 1,000 ids")
	}
	if len(q.EndpointIDs) == 0 {
		return map[string][]Tally{}, nil
	}
	if !q.From.IsZero() {
		q.From = q.From.Truncate(time.Hour)
	}
	return call(ctx, e.store, func(ctx context.Context) (map[string][]Tally, error) {
		return tallier.Tallies(ctx, accountID, q)
	})
}

// Tallier is an optional ability of a [Store]: it counts, by endpoint and hour, the
// settlements that have [Settlement].Tally. It does so in Settle's own transaction, so
// that what is recorded is counted once, and what is stale is not. It keeps the counts
// for [MaintainRequest].Retention after the end of their hour, and for as long as
// there is something of the endpoint.
type Tallier interface {
	// Tallies returns, by the ids of endpoints, the tallies whose Hour is not before q.From
	// and is before q.Until, oldest first, without hours in which nothing was counted; a
	// zero time is no bound. Each endpoint of the account has an entry, be it an empty one.
	// Those that do not exist have none, and a deleted one need not have one when nothing
	// is counted of it any more.
	Tallies(ctx context.Context, accountID string, q TallyQuery) (map[string][]Tally, error)
}

// Tallied returns what a settlement that was applied adds to the tally of its hour, the
// Hour left out.
func (s *Settlement) Tallied() (t Tally) {
	switch s.Outcome {
	case OutcomeDelivered:
		t.Delivered = 1
	case OutcomeExhausted, OutcomeGone:
		t.Exhausted = 1
	}
	if s.Attempt == nil || s.Outcome == OutcomeReleased {
		return t
	}
	if s.Outcome != OutcomeDelivered {
		t.FailedAttempts = 1
	}
	t.Latency[LatencyBucket(s.Attempt.Duration)] = 1
	return t
}
