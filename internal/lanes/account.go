package lanes

import "container/heap"

// account is what is held for the endpoints of one account.
type account[J any] struct {
	id      string
	weight  int
	lanes   int // that exist
	shares  [pools]share[J]
	bytes   int         // of what is held
	refused [pools]bool // a store had more than there was room for
}

// share is an account's part of one pool.
type share[J any] struct {
	used    int     // places
	waiting int     // work that is queued, or promised to stores that choose
	ready   ring[J] // lanes that could begin an attempt, in turn
	at      int     // index in the pool's list, while ready is not empty
	served  uint64  // when its latest turn was
}

// slow is what an account has in the slow pool.
func (a *account[J]) slow() int { return a.shares[slowPool].used + a.shares[badPool].used }

// queue lists the accounts that have something to begin in one pool. It is a heap:
// the account with the fewest places for its weight is the first, and among equals
// the one whose turn was longest ago.
type queue[J any] struct {
	pool     pool
	accounts []*account[J]
}

func (q *queue[J]) Len() int           { return len(q.accounts) }
func (q *queue[J]) Less(i, j int) bool { return q.before(q.accounts[i], q.accounts[j]) }

func (q *queue[J]) before(a, b *account[J]) bool {
	s, t := &a.shares[q.pool], &b.shares[q.pool]
	x, y := s.used*b.weight, t.used*a.weight
	return x < y || x == y && s.served < t.served
}

func (q *queue[J]) Swap(i, j int) {
	q.accounts[i], q.accounts[j] = q.accounts[j], q.accounts[i]
	q.accounts[i].shares[q.pool].at, q.accounts[j].shares[q.pool].at = i, j
}

// Push implements heap.Interface.
func (q *queue[J]) Push(x any) {
	a := x.(*account[J])
	a.shares[q.pool].at = len(q.accounts)
	q.accounts = append(q.accounts, a)
}

// Pop implements heap.Interface.
func (q *queue[J]) Pop() any {
	last := len(q.accounts) - 1
	a := q.accounts[last]
	q.accounts[last] = nil
	q.accounts = q.accounts[:last]
	return a
}

// enlist puts a lane behind the others of its account.
func (q *queue[J]) enlist(l *lane[J]) {
	s := &l.account.shares[q.pool]
	l.ready = true
	s.ready.push(l)
	if s.ready.len == 1 {
		heap.Push(q, l.account)
	}
}

// occupy changes an account's number of places.
func (q *queue[J]) occupy(a *account[J], n int) {
	s := &a.shares[q.pool]
	s.used += n
	if s.ready.len > 0 {
		heap.Fix(q, s.at)
	}
}

// take takes out the next lane of an account.
func (q *queue[J]) take(a *account[J], turn uint64) *lane[J] {
	s := &a.shares[q.pool]
	l := s.ready.pop()
	l.ready = false
	s.served = turn
	if s.ready.len == 0 {
		heap.Remove(q, s.at)
	} else {
		heap.Fix(q, s.at)
	}
	return l
}

// ring is a first-in-first-out queue of lanes.
type ring[J any] struct {
	items []*lane[J]
	head  int
	len   int
}

func (r *ring[J]) push(l *lane[J]) {
	if r.len == len(r.items) {
		grown := make([]*lane[J], max(4, 2*r.len))
		for i := range r.len {
			grown[i] = r.items[(r.head+i)%len(r.items)]
		}
		r.items, r.head = grown, 0
	}
	r.items[(r.head+r.len)%len(r.items)] = l
	r.len++
}

func (r *ring[J]) pop() *lane[J] {
	l := r.items[r.head]
	r.items[r.head] = nil
	r.head = (r.head + 1) % len(r.items)
	r.len--
	return l
}
