package storetest

import (
	"context"
	"time"

	"github.com/ringyo-ai/webhook"
)

// Heartbeat implements [webhook.Heartbeater].
func (f *faulty) Heartbeat(ctx context.Context, h webhook.Heartbeat) (webhook.Heartbeaten, error) {
	if f.beatIn != nil {
		f.beatIn(&h)
	}
	b, err := f.mem.Heartbeat(ctx, h)
	if f.beatOut != nil && err == nil {
		f.beatOut(h, &b)
	}
	return b, err
}

var brokenHeartbeat = []broken{
	{rule: "LeasesEndWithTheirProcess", also: []string{"AProcessEndsItself", "TheProbeOfADeadProcess", "TheTrialOfADeadProcess"}, fault: func(f *faulty) {
		f.claimIn = func(r *webhook.ClaimRequest) { r.Process = 0 } // it is not noted
	}},
	{rule: "LeasesEndWithTheirProcess", fault: func(f *faulty) { // nor in a hand-off
		f.enqueueIn = func(r *webhook.EnqueueRequest) { r.Handoff.Process = 0 }
	}},
	{rule: "LeasesEndOnTimeAllTheSame", fault: func(f *faulty) { // they last as long as the process
		f.claimIn = func(r *webhook.ClaimRequest) {
			if r.Process != 0 {
				r.Lease *= 100
			}
		}
	}},
	{rule: "AQuietProcessLivesOn", also: []string{
		"AProcessEndsItself", "AnEndedProcessNeverComesBack", "LeasesEndWithTheirProcess", "TheProbeOfADeadProcess", "TheTrialOfADeadProcess",
	}, fault: func(f *faulty) { // it is ended by its own heartbeat
		until := map[webhook.ProcessID]time.Time{}
		f.beatIn = func(h *webhook.Heartbeat) {
			now, _ := f.Store.Now(f.bg)
			f.mu.Lock()
			defer f.mu.Unlock()
			if end, known := until[h.Process]; known && end.Before(now) {
				h.Process = 0
			}
		}
		f.beatOut = func(h webhook.Heartbeat, b *webhook.Heartbeaten) {
			f.mu.Lock()
			defer f.mu.Unlock()
			until[b.Process] = b.Now.Add(h.For)
		}
	}},
	{rule: "AQuietProcessLivesOn", fault: func(f *faulty) { // whoever is named is ended
		f.beatOut = func(h webhook.Heartbeat, b *webhook.Heartbeaten) {
			for _, d := range h.Dead {
				end, _ := f.mem.Heartbeat(f.bg, webhook.Heartbeat{Process: d.Process})
				b.Ended += end.Ended
			}
		}
	}},
	{rule: "AnEndedProcessNeverComesBack", fault: func(f *faulty) {
		ids, back := map[webhook.ProcessID]webhook.ProcessID{}, map[webhook.ProcessID]webhook.ProcessID{}
		f.beatIn = func(h *webhook.Heartbeat) {
			if id, ok := ids[h.Process]; ok {
				h.Process = id
			}
		}
		f.beatOut = func(h webhook.Heartbeat, b *webhook.Heartbeaten) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if h.Process != 0 && b.Process != 0 && b.Process != h.Process {
				ids[h.Process], back[b.Process] = b.Process, h.Process
			}
			if id, ok := back[b.Process]; ok {
				b.Process = id
			}
		}
	}},
	{rule: "AProcessEndsItself", fault: func(f *faulty) { // it only counts as quiet
		f.beatIn = func(h *webhook.Heartbeat) { h.For = max(h.For, time.Nanosecond) }
	}},
	{rule: "QuietNamesThoseWithLittleTimeLeft", also: []string{
		"AProcessEndsItself", "AQuietProcessLivesOn", "AnEndedProcessNeverComesBack", "LeasesEndWithTheirProcess", "TheProbeOfADeadProcess", "TheTrialOfADeadProcess",
	}, fault: func(f *faulty) { // and the caller
		f.beatOut = func(h webhook.Heartbeat, b *webhook.Heartbeaten) {
			b.Quiet = append(b.Quiet, webhook.QuietProcess{Process: b.Process, Until: b.Now.Add(h.For)})
		}
	}},
	{rule: "TheProbeOfADeadProcess", fault: func(f *faulty) { // its end is noted, and the probe is not
		var probe webhook.Leased
		f.claimOut = func(r webhook.ClaimRequest, c *webhook.Claimed) {
			if _, paused, _ := f.pausedNow("wh_1"); paused && r.Process != 0 && len(c.Deliveries) > 0 {
				probe = c.Deliveries[0]
			}
			if _, paused, _ := f.pausedNow("wh_1"); paused && r.Process == 0 && probe.DeliveryID != "" {
				_, _ = f.Store.Settle(f.bg, []webhook.Settlement{result(c.Deliveries[0], webhook.OutcomeReleased)})
				c.Deliveries = nil
			}
		}
	}},
	{rule: raceCase, also: []string{"AQuietProcessLivesOn"}, fault: func(f *faulty) { // each caller believes that it was the one
		ended := map[webhook.QuietProcess]int{}
		f.beatOut = func(h webhook.Heartbeat, b *webhook.Heartbeaten) {
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, d := range h.Dead {
				if ended[d]++; ended[d] > 1 {
					b.Ended = 1
				}
			}
		}
	}},
}
