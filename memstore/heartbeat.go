package memstore

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/ringyo-ai/webhook"
)

// Heartbeat implements [webhook.Heartbeater].
func (s *Store) Heartbeat(ctx context.Context, h webhook.Heartbeat) (webhook.Heartbeaten, error) {
	now, err := s.begin(ctx)
	if err != nil {
		return webhook.Heartbeaten{}, err
	}
	defer s.mu.Unlock()
	out := webhook.Heartbeaten{Now: now}
	if h.For <= 0 {
		if _, alive := s.processes[h.Process]; alive {
			out.Ended += s.endProcess(h.Process, now)
		}
	} else {
		if _, alive := s.processes[h.Process]; !alive {
			h.Process = webhook.ProcessID(newToken())
		}
		out.Process = h.Process
		s.processes[h.Process] = later(now.UnixNano(), h.For)
	}
	for _, d := range h.Dead {
		if until, alive := s.processes[d.Process]; alive && until == d.Until.UnixNano() && until <= now.UnixNano() {
			out.Ended += s.endProcess(d.Process, now)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.processes)) {
		if until := s.processes[id]; id != h.Process && until < later(now.UnixNano(), h.For/2) {
			out.Quiet = append(out.Quiet, webhook.QuietProcess{Process: id, Until: time.Unix(0, until).UTC()})
		}
	}
	return out, nil
}

// endProcess forgets a process and ends its leases.
func (s *Store) endProcess(id webhook.ProcessID, now time.Time) int {
	delete(s.processes, id)
	var ended []*delivery
	for _, d := range s.timers {
		if d.phase == leased && d.process == id && d.due > now.UnixNano() {
			ended = append(ended, d)
		}
	}
	for _, d := range ended {
		s.timers.remove(d)
		d.due = now.UnixNano()
		s.timers.push(d)
		if d.ep.probed == d {
			s.place(d.ep)
		}
	}
	return 1
}
