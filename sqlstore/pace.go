package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"github.com/ringyo-ai/webhook"
)

// switched reports whether something changes that is remembered of the endpoint when
// events are emitted, see Store.touch, and that its deliveries have to follow.
func (h *health) switched() bool {
	return h.disabledNow != "" || h.enabledNow != nil || isPaused(h.status) != isPaused(h.read.status)
}

// told records what a result says of the endpoint's pace.
func (b *settling) told(h *health, it item) {
	paused := isPaused(h.status)
	switch {
	case it.Pace == webhook.PaceUnknown || h.status == endpointInactive || h.enabledNow != nil:
	case it.Pace != webhook.PacePaused:
		h.wanted = it.Pace
		if paused {
			h.status = unpaused(h.status)
			h.pauses, h.pausedUntil, h.probeAt, h.probeToken = 0, 0, 0, 0
			h.reprobe = false
		}
	case !paused || h.pausedUntil <= b.micros:
		if !paused {
			h.status += pausedBy
			h.probeAt, h.probeToken = 0, 0
		}
		h.pauses++
		h.pausedUntil = later(b.micros, pauseOf(h.pauses, it.Pause, it.MaxPause))
	}
}

// pauseOf returns the length of the n-th pause in a row: twice that of the one
// before, and at most longest.
func pauseOf(n int, first, longest time.Duration) time.Duration {
	d := max(0, min(first, longest))
	for ; n > 1 && d > 0 && d < longest; n-- {
		if d > longest/2 {
			return longest
		}
		d *= 2
	}
	return d
}

// probeNext asks when the next probe of a paused endpoint is due, after a result of
// one of its deliveries: not while a probe is under way that this was not.
func (b *settling) probeNext(h *health, it item) {
	underWay := h.probeToken != 0 && h.probeAt > b.micros
	if isPaused(h.status) && (!underWay || h.probeToken == int64(it.Token)) {
		h.reprobe, h.probeToken = true, 0
		h.probeAt = -1 // it changes: the endpoint is locked before it is found out
	}
}

// setPaces takes over the paces that the results told of: at once where none was
// known or a pause ends, and otherwise with the endpoint's times, which are not
// written with each result.
func (b *settling) setPaces() {
	for _, h := range b.health {
		lately := h.read.triggered != 0 && h.triggered == h.read.triggered
		if h.wanted != webhook.PaceUnknown && !isPaused(h.status) && (h.read.pace == webhook.PaceUnknown || isPaused(h.read.status) || !lately) {
			h.pace = h.wanted
		}
	}
}

// findProbes finds out when the next probes are due: at once if a delivery waits for
// it that was attempted before, or when the pause is over.
func (b *settling) findProbes(ctx context.Context, t *txn) error {
	var nums []number
	for num, h := range b.health {
		if h.reprobe {
			h.probeAt = h.pausedUntil
			nums = append(nums, number(num))
		}
	}
	return t.queryAll(ctx, b.s.sql.Begun.of(nums), func(r *sql.Rows) error {
		var num int64
		err := r.Scan(&num)
		if h := b.health[num]; h != nil && h.reprobe {
			h.probeAt = min(h.pausedUntil, b.micros)
		}
		return err
	})
}
