package storetest

import (
	"fmt"
	"sync/atomic"

	"github.com/ringyo-ai/webhook"
)

// slots are the free ones of one endpoint.
type slots struct {
	id   string
	free int
}

// room is a [webhook.Room] with so many slots for each endpoint, and a record of
// what it was asked since it was last reset.
type room struct {
	each  int
	free  map[string]int // of endpoints with another number
	whole int            // for all endpoints together; 0: no bound
	used  int
	taken map[string]int
	asked []webhook.Candidate
}

// Take implements [webhook.Room].
func (r *room) Take(c webhook.Candidate, n int) int {
	if n < 1 {
		panic("Room was asked to take less than 1")
	}
	free, named := r.free[c.EndpointID]
	if !named {
		free = r.each
	}
	r.asked = append(r.asked, c)
	n = max(0, min(n, free-r.taken[c.EndpointID]))
	if r.whole > 0 {
		n = min(n, r.whole-r.used)
	}
	r.taken[c.EndpointID] += n
	r.used += n
	return n
}

// Reset implements [webhook.Room].
func (r *room) Reset() { clear(r.taken); r.asked, r.used = nil, 0 }

// candidates returns the endpoints that it was asked about, each once.
func (r *room) candidates() map[string]webhook.Candidate {
	all := make(map[string]webhook.Candidate, len(r.asked))
	for _, c := range r.asked {
		all[c.EndpointID] = c
	}
	return all
}

// terms are lease terms of the given size, with room for so many deliveries of each
// endpoint, and another number for those that are named. They are good for one call.
func terms(n, each int, named ...slots) webhook.LeaseTerms {
	r := &room{each: each, free: map[string]int{}, taken: map[string]int{}}
	for _, s := range named {
		r.free[s.id] = s.free
	}
	return webhook.LeaseTerms{Max: n, Lease: lease, Room: r}
}

// roomOf returns the room of terms.
func roomOf(t webhook.LeaseTerms) *room { return t.Room.(*room) }

var roomRules = []rule{
	{
		name:     "RoomIsToldWhatIsKnown",
		sentence: "Room is asked about a Candidate: the endpoint, its account, how it responded lately, and in a hand-off the bytes of the event's data.",
		run: func(e *env) {
			e.endpoint("wh_1")
			e.endpointOf(other, "wh_2")
			first, second := event("evt_1"), event("evt_2")
			second.AccountID, second.Data = other, []byte(`"longer than the first one's data"`)
			pace := [2]webhook.Pace{}
			asked := func(what string, t webhook.LeaseTerms) {
				e.Helper()
				got := roomOf(t).candidates()
				for i, c := range []webhook.Candidate{
					{EndpointID: "wh_1", AccountID: acct, Pace: pace[0], Bytes: len(first.Data)},
					{EndpointID: "wh_2", AccountID: other, Pace: pace[1], Bytes: len(second.Data)},
				} {
					if known := got[c.EndpointID]; what == "claim" && known.Bytes == 0 {
						c.Bytes = 0
					}
					same(e, fmt.Sprintf("%s: candidate %d", what, i+1), got[c.EndpointID], c)
				}
				same(e, what+": candidates", len(got), 2)
			}
			t := terms(10, 0)
			r := e.groups(e.store, t, []webhook.EventRecord{first, second})
			same(e, "handed off without room", len(r.Leased), 0)
			asked("hand-off", t)
			pace = [2]webhook.Pace{}
			for range 2 {
				t = terms(10, 0)
				same(e, "claimed without room", len(e.claim(t).Deliveries), 0)
				asked("claim", t)
			}
			all := e.claimAll()
			if len(all) != 2 {
				e.Fatalf("claimed with room: got %d, want 2", len(all))
			}
			for _, l := range all {
				i := 0
				if l.Target.EndpointID == "wh_2" {
					i = 1
				}
				pace[i] = []webhook.Pace{webhook.PaceQuick, webhook.PaceSlow}[i]
				e.applied(paced(l, webhook.OutcomeDelivered, pace[i]))
			}
			first.ID, second.ID = "evt_3", "evt_4"
			t = terms(10, 0)
			e.groups(e.store, t, []webhook.EventRecord{first, second})
			asked("hand-off", t)
			t = terms(10, 1)
			same(e, "claimed", len(e.claim(t).Deliveries), 2)
			asked("claim", t)
		},
	},
	{
		name:     "RoomIsTakenForWhatIsLeased",
		sentence: "Take takes room, and no more is leased than there was room for; Reset, which gives all back, is called when a choice begins anew, and not after it.",
		run: func(e *env) {
			for i := range 3 {
				e.endpoint(fmt.Sprint("wh_", i))
			}
			check := func(what string, t webhook.LeaseTerms, all []webhook.Leased) {
				e.Helper()
				leased := map[string]int{}
				for _, l := range all {
					leased[l.Target.EndpointID]++
				}
				for id, n := range leased {
					taken := roomOf(t).taken[id]
					e.check(n <= taken, "%s: %d deliveries of %s, room was taken for %d", what, n, id, taken)
				}
			}
			t := terms(100, 3, slots{"wh_1", 5}, slots{"wh_2", 0})
			r := e.groups(e.store, t, events("evt", 20))
			same(e, "handed off", len(r.Leased), 8)
			check("hand-off", t, r.Leased)
			var claimed atomic.Int32
			parallel(racedRooms, func(int) {
				for cursor := ""; ; {
					t := terms(5, 2, slots{"wh_1", 1})
					c, err := e.store.Claim(e.ctx, webhook.ClaimRequest{LeaseTerms: t, Cursor: cursor})
					if err != nil {
						e.Errorf("Claim: %v", err)
						return
					}
					check("claim", t, c.Deliveries)
					claimed.Add(int32(len(c.Deliveries))) // #nosec G115 -- few
					if cursor = c.Cursor; len(c.Deliveries) == 0 {
						return
					}
				}
			})
			same(e, "claimed", int(claimed.Load())+len(e.claimAll()), 60-8)
		},
	},
	{
		name:     "BytesHaveABound",
		sentence: "MaxBytes bounds the bytes of the events' data, in a claim and in a hand-off, though one delivery always fits; 0 means any number.",
		run: func(e *env) {
			e.endpoint("wh_1")
			large := func(prefix string, n int) []webhook.EventRecord {
				all := events(prefix, n)
				for i := range all {
					all[i].Data = fmt.Appendf(nil, `"%098d"`, i)
				}
				return all
			}
			bounded := func(most int) webhook.LeaseTerms {
				t := terms(100, 100)
				t.MaxBytes = most
				return t
			}
			e.enqueue(large("evt", 10)...)
			for _, c := range []struct{ most, want int }{{250, 2}, {200, 2}, {199, 1}, {1, 1}, {0, 4}} {
				got := e.claim(bounded(c.most))
				same(e, fmt.Sprintf("claimed with MaxBytes %d and events of 100 bytes", c.most), len(got.Deliveries), c.want)
				same(e, "More", got.More, c.most > 0)
			}
			for _, c := range []struct{ most, want int }{{250, 2}, {200, 2}, {199, 1}, {1, 1}, {0, 4}} {
				r := e.groups(e.store, bounded(c.most), large(fmt.Sprint("evt_", c.most), 4))
				same(e, fmt.Sprintf("handed off with MaxBytes %d and events of 100 bytes", c.most), len(r.Leased), c.want)
				same(e, "Ready", r.Ready, 4-c.want)
			}
		},
	},
}
