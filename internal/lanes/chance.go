package lanes

import (
	"cmp"
	"slices"
	"time"
)

// Some endpoints refuse a part of what they get at random, whatever the rate: of several
// servers behind a balancer one is down, say. To slow down does not help them, and would
// go on without end, since each refusal looks like a rate that was too high.
const (
	// doubtful is the gap from which refusals must depend on the rate to make it longer.
	doubtful = 400 * time.Millisecond
	// noted is how many attempts are remembered, and leastNoted of how many something
	// can be said. So many of them must have been refused, in so many runs, and no more
	// than this share.
	noted        = 64
	leastNoted   = 24
	leastRefused = 4
	leastRuns    = 0.6
	mostRefused  = 0.6
	// longestRun is the longest run of refusals that can be chance: an endpoint that
	// takes so many in a minute refuses everything for the rest of it.
	longestRun = 6
)

// past is what became of the latest attempts at an endpoint that limits its rate.
type past struct {
	list [noted]attempt
	n    int       // all that were noted
	last time.Time // when the latest began
	run  int       // of refusals, the latest one
}

type attempt struct {
	after   time.Duration // since the one before began
	refused bool
}

// note takes in an attempt.
func (p *past) note(began time.Time, refused bool) {
	p.list[p.n%noted] = attempt{max(0, began.Sub(p.last)), refused}
	p.n++
	if began.After(p.last) {
		p.last = began
	}
	if p.run++; !refused {
		p.run = 0
	}
}

// byChance reports whether the refusals do not depend on the rate.
func (p *past) byChance() bool {
	var list []attempt // the latest first
	for run := 0; len(list) < min(p.n, noted); {
		a := p.list[(p.n-1-len(list))%noted]
		list = append(list, a)
		if run++; !a.refused {
			run = 0
		} else if run > longestRun {
			list = list[:len(list)-run]
			break
		}
	}
	if len(list) < leastNoted {
		return false
	}
	return chance(list[:leastNoted]) || chance(list)
}

// chance reports whether the refusals in a list are several, in several runs, and hardly
// fewer among those that waited longer than most.
func chance(list []attempt) bool {
	refused, runs := 0, 0
	for i, a := range list {
		if a.refused {
			refused++
			if i == 0 || !list[i-1].refused {
				runs++
			}
		}
	}
	if refused < leastRefused || float64(refused) > mostRefused*float64(len(list)) {
		return false
	}
	if expected := float64(refused) * float64(len(list)-refused) / float64(len(list)); float64(runs) < leastRuns*expected {
		return false
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b attempt) int { return cmp.Compare(a.after, b.after) })
	late := 0
	for _, a := range list[len(list)/2:] {
		if a.refused {
			late++
		}
	}
	return 3*late >= refused
}
