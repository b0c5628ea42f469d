package receive

import (
	"container/list"
	"context"
	"sync"
)

// queue has the places of acknowledged events, and lets them run in turn.
type queue struct {
	mu      sync.Mutex
	places  share
	workers share
	waiting map[flow]*list.Element // in turns
	turns   list.List              // of *line; the first is next
}

// line is the events of one flow that wait for a worker.
type line struct {
	flow  flow
	ready list.List // of chan struct{}, closed for the event that may run
}

func newQueue(places, workers int) *queue {
	return &queue{places: newShare(places), workers: newShare(workers), waiting: make(map[flow]*list.Element)}
}

// enter takes a place for an event of f and reports whether there was one.
func (q *queue) enter(f flow) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.places.take(f)
}

func (q *queue) leave(f flow) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.places.put(f)
}

// begin waits until an event of f may run. end follows, unless there is an error.
func (q *queue) begin(ctx context.Context, f flow) error {
	ready := make(chan struct{})
	q.mu.Lock()
	at := q.lineOf(f).ready.PushBack(ready)
	q.assign()
	q.mu.Unlock()
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-ready: // at the same moment
		q.workers.put(f)
		q.assign()
	default:
		e := q.waiting[f]
		e.Value.(*line).ready.Remove(at)
		q.drop(e)
	}
	return errCutOff
}

func (q *queue) end(f flow) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.workers.put(f)
	q.assign()
}

// lineOf returns the line of f, behind all others if it is new.
func (q *queue) lineOf(f flow) *line {
	e, ok := q.waiting[f]
	if !ok {
		e = q.turns.PushBack(&line{flow: f})
		q.waiting[f] = e
	}
	return e.Value.(*line)
}

// drop removes a line that nobody stands in.
func (q *queue) drop(e *list.Element) {
	if l := e.Value.(*line); l.ready.Len() == 0 {
		q.turns.Remove(e)
		delete(q.waiting, l.flow)
	}
}

// assign gives free workers to the lines in turn, one to each.
func (q *queue) assign() {
	var next *list.Element
	for e := q.turns.Front(); e != nil && q.workers.free > 0; e = next {
		next = e.Next()
		l := e.Value.(*line)
		if !q.workers.take(l.flow) {
			continue
		}
		close(l.ready.Remove(l.ready.Front()).(chan struct{}))
		q.turns.MoveToBack(e)
		q.drop(e)
	}
}
