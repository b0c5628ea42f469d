package receive

import "github.com/ringyo-ai/webhook"

// flow is what a place is given to: the events of one type for one endpoint.
type flow struct {
	endpoint  string
	eventType webhook.EventType
}

func flowOf(e webhook.Event) flow { return flow{e.EndpointID, e.Type} }

// share divides a number of places so that somebody new always finds one. A type
// gets a place while it holds fewer than are free, so one type alone can have half
// of them, two a third each, and so on. That is the dynamic threshold of switches
// whose ports share a memory (Choudhury and Hahne, IEEE/ACM Transactions on
// Networking 6, 1998): it needs no list of types, and no type has a part of its own that lies idle.
//
// Once events of a second endpoint have come, the endpoints of a type divide what
// the type can have in the same way, so that one alone gets a third of all places;
// and all types of an endpoint together hold fewer than endpointFactor times what is
// free, so that one cannot take everything with types that it thinks up. A single
// endpoint has nobody to leave places to.
//
// A share is not safe for concurrent use.
type share struct {
	free      int
	types     map[webhook.EventType]int
	endpoints map[string]int
	flows     map[flow]int
	seen      *string // the first endpoint
	several   bool    // there was another one since
}

// endpointFactor leaves the other endpoints a quarter: of the default of 8 workers
// 2. A smaller one would stop an endpoint's good types sooner when some are bad.
const endpointFactor = 3

func newShare(places int) share {
	return share{
		free:  places,
		types: make(map[webhook.EventType]int), endpoints: make(map[string]int), flows: make(map[flow]int),
	}
}

// take takes a place for f and reports whether it could.
func (s *share) take(f flow) bool {
	if s.seen == nil {
		s.seen = &f.endpoint
	}
	s.several = s.several || f.endpoint != *s.seen
	if s.types[f.eventType] >= s.free {
		return false
	}
	if s.several && (s.flows[f] >= s.free-s.types[f.eventType] || s.endpoints[f.endpoint] >= endpointFactor*s.free) {
		return false
	}
	s.free--
	s.types[f.eventType]++
	s.endpoints[f.endpoint]++
	s.flows[f]++
	return true
}

// put gives back a place of f.
func (s *share) put(f flow) {
	s.free++
	less(s.types, f.eventType)
	less(s.endpoints, f.endpoint)
	less(s.flows, f)
}

// less counts down, and keeps no zeros: senders choose types and ids.
func less[K comparable](counts map[K]int, k K) {
	if counts[k]--; counts[k] == 0 {
		delete(counts, k)
	}
}
