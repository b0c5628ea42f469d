package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/ringyo-ai/webhook"
)

// timesLag is how much an endpoint's times may lag behind, so that not every
// delivery writes its endpoint; see [webhook.Endpoint].
const timesLag = 10 * time.Second

// health is what Settle reads and writes of an endpoint.
type health struct {
	healthRow
	read healthRow // as it is in the database

	wanted      webhook.Pace // the latest that a result reported
	reprobe     bool         // when the next probe is due is to be found out
	last        *lastFailure // of this call, written with the rest but for no reason of its own
	added       int          // failures counted by this call
	disabledNow webhook.DisabledReason
	enabledNow  *webhook.EndpointEnabled
	listed      bool
}

type healthRow struct {
	num                         int64
	id, account                 string
	status                      int
	version, generation         int64
	reason                      string
	disabledAt                  int64
	failures                    int
	since                       int64
	triggered, success, failure int64

	pace                             webhook.Pace
	pauses                           int
	pausedUntil, probeAt, probeToken int64
}

// reset begins again from what was read.
func (h *health) reset() { *h = health{healthRow: h.read, read: h.read} }

// readHealth reads the endpoints of what was loaded, or those given.
func (b *settling) readHealth(ctx context.Context, t *txn, q *bulk[number], nums []number) error {
	if nums == nil {
		b.health = make(map[int64]*health)
		for _, d := range b.loaded {
			if b.health[d.endpoint] == nil {
				b.health[d.endpoint] = &health{}
				nums = append(nums, number(d.endpoint))
			}
		}
	}
	return t.queryAll(ctx, q.of(nums), func(r *sql.Rows) error {
		var h healthRow
		err := r.Scan(&h.num, &h.id, &h.account, &h.status, &h.version, &h.generation, &h.reason, &h.disabledAt,
			&h.failures, &h.since, &h.triggered, &h.success, &h.failure,
			&h.pace, &h.pauses, &h.pausedUntil, &h.probeAt, &h.probeToken)
		if err != nil {
			return errors.Join(errDamaged, err)
		}
		b.health[h.num] = &health{read: h}
		return nil
	})
}

// count applies a result to its endpoint, whose generation it is of.
func (b *settling) count(h *health, d *delivery, it item) {
	logged := it.Attempt != nil && it.Outcome != webhook.OutcomeReleased
	if logged {
		b.touch(&h.triggered, h.read.triggered)
	}
	if h.trying() {
		b.tried(h, it)
	}
	if it.Outcome == webhook.OutcomeDelivered {
		b.touch(&h.success, h.read.success)
		h.failures, h.since = 0, 0
		if unpaused(h.status) == endpointFailing {
			h.status += endpointActive - endpointFailing
		}
		return
	}
	if logged {
		b.touch(&h.failure, h.read.failure)
		h.last = lastFailureOf(d, it)
		if unpaused(h.status) == endpointActive {
			h.status += endpointFailing - endpointActive
		}
	}
	if it.Counts {
		b.countFailure(h, it)
	}
	if it.Outcome == webhook.OutcomeGone {
		b.disable(h, webhook.DisabledGone)
	}
}

// touch sets one of the times, unless it is recent enough.
func (b *settling) touch(at *int64, read int64) {
	if read == 0 || b.micros-read >= timesLag.Microseconds() {
		*at = b.micros
	}
}

// countFailure adds one to the consecutive failures, and disables the endpoint
// when that reaches the threshold.
func (b *settling) countFailure(h *health, it item) {
	if h.failures == 0 {
		h.since = b.micros
	}
	h.failures++
	h.added++
	b.list(h)
	// The first failure may be of a transaction that began after this one.
	failing := max(0, b.micros-h.since)
	if it.Outcome != webhook.OutcomeGone && it.DisableAfter > 0 && h.failures >= it.DisableAfter &&
		failing >= it.MinFailing.Microseconds() {
		if b.disable(h, webhook.DisabledFailing) {
			b.plan(h, it)
		}
	}
}

// disable disables the endpoint, and reports whether this changed it. By 410 it also ends
// the trials of one that is disabled.
func (b *settling) disable(h *health, why webhook.DisabledReason) bool {
	if h.status == endpointInactive && (why != webhook.DisabledGone || h.reason != string(webhook.DisabledFailing)) {
		return false
	}
	h.status, h.reason, h.disabledAt = endpointInactive, string(why), b.micros
	h.version = nextVersion(h.version)
	h.generation++
	h.pace, h.pauses, h.pausedUntil, h.probeAt, h.probeToken = webhook.PaceUnknown, 0, 0, 0, 0
	h.wanted, h.reprobe = webhook.PaceUnknown, false
	h.disabledNow = why
	b.list(h)
	return true
}

// touchAccounts gives the accounts of endpoints whose status or pace is to change, as
// far as it concerns what is emitted, a new version, those that have none yet. They are locked before their endpoints, unless others
// have counted failures since these were read.
func (b *settling) touchAccounts(ctx context.Context, t *txn, touched map[string]bool) error {
	var accounts []string
	for _, h := range b.health {
		if h.switched() && !touched[h.account] {
			touched[h.account] = true
			accounts = append(accounts, h.account)
		}
	}
	slices.Sort(accounts)
	for _, account := range accounts {
		if err := b.s.touch(ctx, t, account); err != nil {
			return err
		}
	}
	return nil
}

// list puts the endpoint into the result, once.
func (b *settling) list(h *health) {
	if !h.listed {
		h.listed = true
		b.failed = append(b.failed, h)
	}
}

// dirty returns the endpoints that change, in the order in which they are to be
// locked.
func (b *settling) dirty() []number {
	var nums []number
	for num, h := range b.health {
		if h.healthRow != h.read {
			nums = append(nums, number(num))
		}
	}
	slices.Sort(nums)
	return nums
}

func (b *settling) healthChanges() []healthChange {
	var rows []healthChange
	for _, num := range b.dirty() {
		h := b.health[int64(num)]
		rows = append(rows, healthChange{h, h.switched()})
	}
	return rows
}
