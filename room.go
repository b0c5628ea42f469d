package webhook

// fixedRoom is a [Room] of so many deliveries of each endpoint.
type fixedRoom struct {
	perEndpoint int
	free        map[string]int // of endpoints with another number
	taken       map[string]int
}

func newRoom(perEndpoint int) *fixedRoom {
	return &fixedRoom{perEndpoint: perEndpoint, free: make(map[string]int), taken: make(map[string]int)}
}

// Take implements [Room].
func (r *fixedRoom) Take(c Candidate, n int) int {
	free, named := r.free[c.EndpointID]
	if !named {
		free = r.perEndpoint
	}
	n = max(0, min(n, free-r.taken[c.EndpointID]))
	r.taken[c.EndpointID] += n
	return n
}

// Reset implements [Room].
func (r *fixedRoom) Reset() { clear(r.taken) }
