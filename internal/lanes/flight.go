package lanes

import "time"

// Flight is one attempt in flight.
type Flight[J any] struct {
	lane       *lane[J]
	pool       pool
	size       int
	began      time.Time
	prev, next *Flight[J]
}

// Probe reports whether the attempt was made at an endpoint that had not responded
// in time before.
func (f *Flight[J]) Probe() bool { return f.pool == badPool }

// flights holds the attempts in the quick pool, the oldest first.
type flights[J any] struct{ first, last *Flight[J] }

func (a *flights[J]) push(f *Flight[J]) {
	f.prev = a.last
	if a.last != nil {
		a.last.next = f
	} else {
		a.first = f
	}
	a.last = f
}

func (a *flights[J]) remove(f *Flight[J]) {
	if f.prev != nil {
		f.prev.next = f.next
	} else {
		a.first = f.next
	}
	if f.next != nil {
		f.next.prev = f.prev
	} else {
		a.last = f.prev
	}
	f.prev, f.next = nil, nil
}
