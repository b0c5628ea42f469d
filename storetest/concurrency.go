package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/ringyo-ai/webhook"
)

// The races of these and other cases have so many callers, and values that no other
// case has: by them a store with a fault tells a race, and lets all callers in.
const (
	racedCallers, racedLimit     = 12, 5                              // EndpointLimitHoldsInARace
	racedMaintainers, racedBatch = 6, 7                               // MaintainMayBeCalledByMany
	racedThreshold               = 8                                  // DisablingHappensOnceInARace
	racedEmitters, racedType     = 4, webhook.EventType("raced.emit") // LiveLeasesAreNotShared
	racedTwins, racedTwin        = 6, webhook.EventType("raced.twin") // SameEventFromManyIsStoredOnce
	racedRooms                   = 4                                  // RoomIsTakenForWhatIsLeased
)

var concurrencyRules = []rule{
	{
		name:     "LiveLeasesAreNotShared", // D12
		sentence: "A method is safe for concurrent use: no delivery is in two live leases, none is lost and none is delivered twice.",
		run: func(e *env) {
			const claimers, endpoints, each = 4, 3, 30
			for i := range endpoints {
				e.endpoint(fmt.Sprint("wh_", i))
			}
			w := &witness{held: map[string]bool{}, done: map[string]bool{}}
			var left atomic.Int32
			left.Store(racedEmitters)
			parallel(racedEmitters+claimers, func(i int) {
				if i < racedEmitters {
					defer left.Add(-1)
					for n := range each {
						ev := event(fmt.Sprintf("evt_%d_%d", i, n))
						ev.Type = racedType
						w.handedOff(e, e.emit(ev, n%2))
					}
					return
				}
				for cursor := ""; ; {
					last := left.Load() == 0 // before the claim, so that one more follows the last emit
					c, err := e.store.Claim(e.ctx, webhook.ClaimRequest{LeaseTerms: terms(10, 3), Cursor: cursor})
					if err != nil {
						e.Errorf("Claim: %v", err)
						return
					}
					cursor = c.Cursor
					w.handedOff(e, c.Deliveries)
					if last && len(c.Deliveries) == 0 {
						return
					}
				}
			})
			w.handedOff(e, e.claimAll())
			same(e, "delivered", len(w.done), endpoints*racedEmitters*each)
			same(e, "unfinished deliveries", e.stats(""), webhook.QueueStats{})
		},
	},
	{
		name:     "SameEventFromManyIsStoredOnce", // E4, E9
		sentence: "One event emitted by many at once has one fan-out and no error; of different contents under one id one wins.",
		run: func(e *env) {
			e.endpoint("wh_1")
			for n := range 5 {
				var ready, stored atomic.Int32
				parallel(racedTwins, func(i int) {
					a, b := event(fmt.Sprint("evt_same_", n)), event(fmt.Sprint("evt_other_", n))
					a.Type = racedTwin
					b.Data = fmt.Appendf(nil, `{"n":%d}`, i)
					r, err := e.store.Enqueue(e.ctx, webhook.EnqueueRequest{Groups: [][]webhook.EventRecord{{a}, {b}}})
					if err != nil || r.Errs[0] != nil {
						e.Errorf("Enqueue: got %v, %v", r.Errs, err)
						return
					}
					ready.Add(int32(r.Ready))
					switch {
					case r.Errs[1] == nil:
						stored.Add(1)
					case !errors.Is(r.Errs[1], webhook.ErrIDConflict):
						e.Errorf("Enqueue: got error %v, want ErrIDConflict", r.Errs[1])
					}
				})
				same(e, "Ready in all", ready.Load(), 2)
				same(e, "contents stored under one id", stored.Load(), 1)
				same(e, "deliveries", len(e.claimAll()), 2)
			}
		},
	},
}

// emit enqueues one event with room for some deliveries, from any goroutine.
func (e *env) emit(ev webhook.EventRecord, room int) []webhook.Leased {
	r, err := e.store.Enqueue(e.ctx, webhook.EnqueueRequest{Groups: [][]webhook.EventRecord{{ev}}, Handoff: terms(room, room)})
	if err != nil || r.Errs[0] != nil {
		e.Errorf("Enqueue: got %v, %v", r.Errs, err)
	}
	return r.Leased
}

// witness knows who holds what, and what was delivered.
type witness struct {
	mu         sync.Mutex
	held, done map[string]bool
}

// handedOff checks that nobody else holds the deliveries, and delivers them.
func (w *witness) handedOff(e *env, all []webhook.Leased) {
	batch := make([]webhook.Settlement, len(all))
	w.mu.Lock()
	for i, l := range all {
		e.check(!w.held[l.DeliveryID], "a delivery is in two live leases")
		e.check(!w.done[l.DeliveryID], "a delivered delivery was leased again")
		w.held[l.DeliveryID] = true
		batch[i] = result(l, webhook.OutcomeDelivered)
	}
	w.mu.Unlock()
	if len(batch) == 0 {
		return
	}
	w.mu.Lock()
	for _, l := range all {
		w.done[l.DeliveryID] = true
	}
	w.mu.Unlock()
	r, err := e.store.Settle(e.ctx, batch)
	if err != nil {
		e.Errorf("Settle: %v", err)
		return
	}
	for _, res := range r.Results {
		e.check(res.Status == webhook.SettleApplied, "Settle: got status %d (%v), want applied", res.Status, res.Err)
	}
}
