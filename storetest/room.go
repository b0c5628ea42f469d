package storetest

import "github.com/ringyo-ai/webhook"

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
	r.taken[c.EndpointID] += n
	return n
}

// Reset implements [webhook.Room].
func (r *room) Reset() { clear(r.taken); r.asked = nil }

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
