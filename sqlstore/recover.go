package sqlstore

import (
	"context"
	"database/sql"

	"github.com/ringyo-ai/webhook"
)

// An endpoint that its failures disabled, and that is to recover by itself, has trials:
// probes of deliveries that are held. It shares with paused endpoints how they are found
// and leased, one at a time, and the columns for that: pauses is the number of the next
// trial, paused_until when that is due, and probe_at and probe_token are used as for a
// probe. A trial that finds nothing held leaves probe_at at 0, until a sweep finds
// something.

// trying reports whether the endpoint is disabled and has trials.
func (h *health) trying() bool { return h.status == endpointInactive && h.pauses > 0 }

// plan makes the first trial of an endpoint due, that its failures have just disabled.
func (b *settling) plan(h *health, it item) {
	if it.Recover > 0 {
		h.pauses = 1
		h.tryAt(later(b.micros, it.Recover))
	}
}

func (h *health) tryAt(at int64) { h.pausedUntil, h.probeAt, h.probeToken = at, at, 0 }

// tried takes in the result of a trial. Nothing else of this generation was leased, but
// what was being leased when the endpoint was disabled: that comes before the trial is
// due, and plans none.
func (b *settling) tried(h *health, it item) {
	switch due := h.pausedUntil <= b.micros; {
	case it.Recover <= 0:
		h.pauses = 0
		h.tryAt(0)
	case it.Outcome == webhook.OutcomeDelivered:
		h.enabledNow = &webhook.EndpointEnabled{
			EndpointID: h.id, AccountID: h.account, DisabledAt: fromMicros(h.disabledAt), Trials: h.pauses,
		}
		h.status, h.reason, h.disabledAt = endpointActive, "", 0
		h.version = nextVersion(h.version)
		h.pauses = 0
		h.tryAt(0)
	case !due:
	case it.Outcome == webhook.OutcomeReleased:
		h.tryAt(later(b.micros, it.Delay))
	default:
		h.pauses++
		h.tryAt(later(b.micros, pauseOf(h.pauses, it.Recover, it.MaxRecover)))
	}
}

// tryNext makes the trial due again whose result says nothing, since the endpoint has
// changed meanwhile.
func (b *settling) tryNext(h *health, it item) {
	if h.trying() && h.probeToken == int64(it.Token) && h.generation != it.Generation {
		h.tryAt(h.pausedUntil)
	}
}

// chooseTrials adds the oldest held row of each endpoint that is to have a trial.
func (c *claim) chooseTrials(ctx context.Context, t *txn, wanted []pausedEndpoint, oldest map[int64]claimed) error {
	for _, ep := range wanted {
		if ep.status != endpointInactive {
			continue
		}
		err := t.query(ctx, c.s.sql.HeldFirst, func(r *sql.Rows) error {
			row := claimed{endpoint: ep.num, state: stateHeld}
			err := r.Scan(&c.key, &row.due)
			if row.k = c.key.key; !c.key.junk {
				oldest[ep.num] = row
			}
			return err
		}, ep.num)
		if err != nil {
			return err
		}
	}
	return nil
}

// wakeTrial makes a trial due that had found nothing held.
func (m *upkeep) wakeTrial(ctx context.Context, num int64) error {
	return m.s.write(ctx, func(t *txn) error { return t.exec(ctx, m.s.sql.WakeTrial, m.micros, m.micros, num) })
}
