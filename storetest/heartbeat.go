package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/ringyo-ai/webhook"
)

// For so long a process counts as alive in these cases, less than a lease.
const alive = 20 * time.Minute

// beat calls Heartbeat, or skips the case of a store that is no Heartbeater.
func (e *env) beat(h webhook.Heartbeat) webhook.Heartbeaten {
	e.Helper()
	hb, ok := e.store.(webhook.Heartbeater)
	if !ok {
		e.Skip("skipped: the store is no webhook.Heartbeater")
	}
	b, err := hb.Heartbeat(e.ctx, h)
	e.must("Heartbeat", err)
	return b
}

// process begins a process.
func (e *env) process() webhook.ProcessID {
	e.Helper()
	b := e.beat(webhook.Heartbeat{For: alive})
	if b.Process == 0 {
		e.Fatalf("Heartbeat: got process 0 for a new one")
	}
	return b.Process
}

// lives sends a heartbeat of a process that must still be there.
func (e *env) lives(p webhook.ProcessID, dead ...webhook.QuietProcess) webhook.Heartbeaten {
	e.Helper()
	b := e.beat(webhook.Heartbeat{Process: p, For: alive, Dead: dead})
	if b.Process != p {
		e.Fatalf("Heartbeat: the process is another one than before")
	}
	return b
}

// quiet returns the quiet processes that a process p is told of, which must be n.
func (e *env) quiet(p webhook.ProcessID, n int) []webhook.QuietProcess {
	e.Helper()
	q := e.lives(p).Quiet
	if len(q) != n {
		e.Fatalf("Quiet: got %d processes, want %d", len(q), n)
	}
	return q
}

// of are terms for many deliveries, leased to a process.
func of(p webhook.ProcessID) webhook.LeaseTerms {
	t := terms(100, 100)
	t.Process = p
	return t
}

var heartbeatRules = []rule{
	{
		name:     "LeasesEndWithTheirProcess",
		sentence: "When a process is ended, Maintain makes ready what is leased by leases that name it, claimed and handed off, as after any lease; leases of others stay.",
		run: func(e *env) {
			e.endpoint("wh_1")
			watch, dies := e.process(), e.process()
			handed := e.groups(e.store, of(dies), []webhook.EventRecord{event("evt_1")}).Leased
			same(e, "handed off", len(handed), 1)
			e.enqueue(event("evt_2"))
			claimed := e.claim(of(dies)).Deliveries
			same(e, "claimed", len(claimed), 1)
			e.enqueue(event("evt_3"))
			other := e.claim(of(watch)).Deliveries
			e.enqueue(event("evt_4"))
			nobody := e.claim(terms(10, 10)).Deliveries
			e.h.Advance(e.TB, e.store, alive+time.Minute)
			q := e.quiet(watch, 1)
			same(e, "the quiet process", q[0].Process, dies)
			same(e, "Readied before it is ended", e.maintain().Readied, 0)
			same(e, "Ended", e.lives(watch, q...).Ended, 1)
			same(e, "Readied", e.maintain().Readied, 2)
			again := e.claim(of(watch)).Deliveries
			ids := eventIDs(again)
			slices.Sort(ids)
			same(e, "claimed again", ids, []string{"evt_1", "evt_2"})
			for _, l := range again {
				same(e, "Expired", l.Expired, 1)
			}
			e.stale("a delivery of the ended process", result(claimed[0], webhook.OutcomeRetry))
			e.deliver(other...)
			e.deliver(nobody...)
			e.deliver(again...)
		},
	},
	{
		name:     "LeasesEndOnTimeAllTheSame",
		sentence: "Leases that name a process end with it, and after Lease at the latest.",
		run: func(e *env) {
			e.endpoint("wh_1")
			p := e.process()
			e.enqueue(event("evt_1"))
			same(e, "claimed", len(e.claim(of(p)).Deliveries), 1)
			for range 3 {
				e.h.Advance(e.TB, e.store, lease/4)
				e.lives(p)
			}
			same(e, "Readied before the end of the lease", e.maintain().Readied, 0)
			same(e, "Readied after it", e.advance(lease/4+time.Minute).Readied, 1)
		},
	},
	{
		name:     "AQuietProcessLivesOn",
		sentence: "One whose time is over lives on, with its leases, when it sends a heartbeat before anybody has ended it; one that has sent a heartbeat since, or whose time is not over, is left alone.",
		run: func(e *env) {
			e.endpoint("wh_1")
			watch, p := e.process(), e.process()
			e.enqueue(event("evt_1"))
			l := e.claim(of(p)).Deliveries
			same(e, "claimed", len(l), 1)
			e.h.Advance(e.TB, e.store, alive-5*time.Minute)
			early := e.quiet(watch, 1)
			same(e, "Ended before its time is over", e.lives(watch, early...).Ended, 0)
			e.h.Advance(e.TB, e.store, 10*time.Minute)
			late := e.quiet(watch, 1)
			e.lives(p)
			same(e, "Ended after its heartbeat", e.lives(watch, append(early, late...)...).Ended, 0)
			same(e, "Readied", e.maintain().Readied, 0)
			e.lives(p)
			e.deliver(l...)
		},
	},
	{
		name:     "AnEndedProcessNeverComesBack",
		sentence: "One that was ended never comes back: the caller is another process from then on.",
		run: func(e *env) {
			watch, p := e.process(), e.process()
			e.check(watch != p, "two new processes are the same")
			e.h.Advance(e.TB, e.store, alive+time.Minute)
			same(e, "Ended", e.lives(watch, e.quiet(watch, 1)...).Ended, 1)
			b := e.beat(webhook.Heartbeat{Process: p, For: alive})
			e.check(b.Process != p && b.Process != 0, "the ended process came back")
			e.lives(b.Process)
			e.quiet(watch, 0)
		},
	},
	{
		name:     "AProcessEndsItself",
		sentence: "For 0 ends the caller: what is leased by its leases is made ready, and nobody is told of it any more.",
		run: func(e *env) {
			e.endpoint("wh_1")
			watch, p := e.process(), e.process()
			e.enqueue(event("evt_1"))
			same(e, "claimed", len(e.claim(of(p)).Deliveries), 1)
			b := e.beat(webhook.Heartbeat{Process: p})
			same(e, "Process", b.Process, 0)
			same(e, "Ended", b.Ended, 1)
			same(e, "Readied", e.maintain().Readied, 1)
			e.one()
			same(e, "Ended once more", e.beat(webhook.Heartbeat{Process: p}).Ended, 0)
			e.h.Advance(e.TB, e.store, alive+time.Minute)
			e.quiet(watch, 0)
		},
	},
	{
		name:     "QuietNamesThoseWithLittleTimeLeft",
		sentence: "Quiet are other processes that have less than half of For left, with the end of their time by the store's clock.",
		run: func(e *env) {
			watch, p := e.process(), e.process()
			e.quiet(watch, 0)
			e.h.Advance(e.TB, e.store, alive/2-5*time.Minute)
			e.quiet(watch, 0)
			e.h.Advance(e.TB, e.store, 6*time.Minute)
			q := e.quiet(watch, 1)
			same(e, "Process", q[0].Process, p)
			b := e.lives(watch)
			near(e, "Now", b.Now, e.now())
			same(e, "location of Now", b.Now.Location(), time.UTC)
			left := q[0].Until.Sub(b.Now)
			e.check(left > alive/2-2*time.Minute && left < alive/2, "Until: it has %v left, want a little less than %v", left, alive/2)
			e.lives(p)
			e.quiet(watch, 0)
		},
	},
	{
		name:     "TheProbeOfADeadProcess",
		sentence: "When the process that has the probe of a paused endpoint is ended, the next probe is leased.",
		run: func(e *env) {
			watch, dies := e.process(), e.process()
			e.paused(3)
			e.advance(firstPause + time.Minute)
			dies = e.beat(webhook.Heartbeat{Process: dies, For: alive}).Process
			same(e, "probes", len(e.claim(of(dies)).Deliveries), 1)
			e.none("a probe is leased")
			e.h.Advance(e.TB, e.store, alive+time.Minute)
			same(e, "Ended", e.lives(watch, e.quiet(watch, 1)...).Ended, 1)
			same(e, "Readied", e.maintain().Readied, 1)
			e.one()
			e.none("another probe is leased")
		},
	},
	{
		name:     "AProcessEndsOnceInARace",
		sentence: "Its row and its leases end in one step: a heartbeat that meets its end either keeps both or comes too late for both.",
		run: func(e *env) {
			e.endpoint("wh_1")
			for i := range racedEnds {
				p := e.process()
				e.enqueue(event(fmt.Sprint("evt_", i)))
				l := e.claim(of(p)).Deliveries
				same(e, "claimed", len(l), 1)
				e.h.Advance(e.TB, e.store, alive+time.Minute)
				watch := e.process()
				var dead []webhook.QuietProcess
				for _, q := range e.lives(watch).Quiet {
					if q.Process == p {
						dead = append(dead, q)
					}
				}
				same(e, "quiet", len(dead), 1)
				got := make([]webhook.Heartbeaten, 3)
				parallel(len(got), func(i int) {
					h := webhook.Heartbeat{Process: p, For: alive}
					if i > 0 {
						h = webhook.Heartbeat{For: alive, Dead: dead}
					}
					b, err := e.store.(webhook.Heartbeater).Heartbeat(e.ctx, h)
					if err != nil {
						e.Errorf("Heartbeat: %v", err)
					}
					got[i] = b
				})
				want := 1
				if got[0].Process == p {
					want = 0
				}
				same(e, "Ended in all", got[0].Ended+got[1].Ended+got[2].Ended, want)
				same(e, "Readied", e.maintain().Readied, want)
				if want == 1 {
					l = []webhook.Leased{e.one()}
				}
				e.deliver(l...)
			}
		},
	},
}

// racedEnds is how often AProcessEndsOnceInARace is tried.
const racedEnds = 5
