package memstore

import (
	"context"
	"errors"
	"sync"

	"github.com/ringyo-ai/webhook"
)

// ErrTxDone is returned by a use of a [Tx] that was committed or rolled back.
var ErrTxDone = errors.New("memstore: the transaction has already been committed or rolled back")

// Tx collects events until Commit: a stand-in, in tests, for the database
// transaction that a durable store would share with its caller. There is no
// transaction of the caller's to join here, so [Store.Begin] makes one, and it
// goes to [webhook.Dispatcher.EmitTx] as it is; with sqlstore, where the caller has
// one, (*Store).Tx makes the argument of it. It is safe for concurrent use.
type Tx struct {
	s *Store

	mu     sync.Mutex
	done   bool
	events []*event
	byID   map[eventKey]*event
}

type eventKey struct{ account, id string }

var _ webhook.Enqueuer = (*Tx)(nil)

// Begin starts a transaction. One that is neither committed nor rolled back
// costs nothing but its memory.
func (s *Store) Begin() *Tx { return &Tx{s: s, byID: make(map[eventKey]*event)} }

// Enqueue implements [webhook.Enqueuer]. Nothing is handed off; Ready and Held
// are what a Commit at this moment would make.
func (t *Tx) Enqueue(ctx context.Context, r webhook.EnqueueRequest) (webhook.Enqueued, error) {
	groups := copyGroups(r.Groups)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return webhook.Enqueued{}, ErrTxDone
	}
	now, err := t.s.begin(ctx)
	if err != nil {
		return webhook.Enqueued{}, err
	}
	defer t.s.mu.Unlock()
	out := webhook.Enqueued{Now: now, Errs: make([]error, len(groups))}
	for i, g := range groups {
		out.Errs[i] = t.group(g, &out)
	}
	return out, nil
}

// group keeps one group whole or not at all. The store is locked.
func (t *Tx) group(g []*event, out *webhook.Enqueued) error {
	var added []*event
	for _, ev := range g {
		key := eventKey{ev.rec.AccountID, ev.rec.ID}
		old := t.byID[key]
		if old == nil {
			old = t.s.findEvent(key.account, key.id)
		}
		switch {
		case old == nil:
			t.byID[key] = ev
			added = append(added, ev)
		case !old.same(&ev.rec):
			for _, a := range added {
				delete(t.byID, eventKey{a.rec.AccountID, a.rec.ID})
			}
			return webhook.ErrIDConflict
		}
	}
	t.events = append(t.events, added...)
	for _, ev := range added {
		t.s.foresee(ev, out)
	}
	return nil
}

// foresee counts the deliveries that the event would have now.
func (s *Store) foresee(ev *event, out *webhook.Enqueued) {
	acc := s.accounts[ev.rec.AccountID]
	if acc == nil {
		return
	}
	acc.match(s.patternsOf(ev.rec.Type), func(ep *endpoint) {
		if ep.active() {
			out.Ready++
		} else {
			out.Held++
		}
	})
}

// Commit stores everything, to the endpoints that are subscribed by now. It
// fails with [webhook.ErrIDConflict], and stores nothing, when somebody else
// used one of the ids for other content since Enqueue. The transaction is over
// either way.
func (t *Tx) Commit() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return ErrTxDone
	}
	t.done = true
	now, err := t.s.begin(context.Background())
	if err != nil {
		return err
	}
	defer t.s.mu.Unlock()
	in := intake{s: t.s, now: now}
	return in.group(t.events)
}

// Rollback drops everything. After a Commit it returns [ErrTxDone] and does
// nothing, so that it can be deferred.
func (t *Tx) Rollback() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return ErrTxDone
	}
	t.done = true
	t.events, t.byID = nil, nil
	return nil
}
