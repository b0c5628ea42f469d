package webhooktest

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

// Recorder is a [webhook.Dispatcher] that keeps what is emitted and delivers
// nothing. It checks events as an Engine with a default Config does and returns
// the same errors; an event id that was emitted before is likewise recorded
// once. Make one with [NewRecorder].
type Recorder struct {
	t      testing.TB
	engine *webhook.Engine
	store  *memstore.Store

	mu      sync.Mutex
	events  []webhook.Event
	seen    map[eventKey]bool
	fail    []error
	started bool
	stopped bool
}

type eventKey struct{ account, id string }

var _ webhook.Dispatcher = (*Recorder)(nil)

// NewRecorder makes a Recorder whose assertions report to t. It starts nothing
// and needs no closing.
func NewRecorder(t testing.TB) *Recorder {
	t.Helper()
	r := &Recorder{t: t, store: memstore.NewWith(memstore.Options{History: -1}), seen: map[eventKey]bool{}}
	r.engine = newEngine(t, webhook.Config{Store: recordingStore{r.store, r}, Transport: &capture{}})
	return r
}

// Emit implements [webhook.Dispatcher].
func (r *Recorder) Emit(ctx context.Context, events ...webhook.Event) error {
	if err := r.scripted(); err != nil {
		return err
	}
	return r.engine.Emit(ctx, events...)
}

// EmitTx implements [webhook.Dispatcher]. With a [Tx] the events are recorded
// by its Commit. An Enqueuer of another kind is called as an Engine would call
// it, and the events are recorded at once: whether it commits cannot be seen
// from here.
func (r *Recorder) EmitTx(ctx context.Context, tx webhook.Enqueuer, events ...webhook.Event) error {
	if err := r.scripted(); err != nil {
		return err
	}
	if _, own := tx.(*Tx); !own && tx != nil {
		tx = recordingEnqueuer{tx, r}
	}
	return r.engine.EmitTx(ctx, tx, events...)
}

// Start implements [webhook.Dispatcher]: it does nothing but return the error that an Engine
// returns when called in the wrong order.
func (r *Recorder) Start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.stopped:
		return webhook.ErrStopped
	case r.started:
		return webhook.ErrStarted
	case ctx.Err() != nil:
		return ctx.Err()
	}
	r.started = true
	return nil
}

// Stop implements [webhook.Dispatcher]: it does nothing.
func (r *Recorder) Stop(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = r.stopped || r.started
	return nil
}

// Events returns what was emitted, in order, as receivers would get it: Data as
// it decodes from JSON, Raw the bytes.
func (r *Recorder) Events() []webhook.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// Reset forgets what was emitted so far. Ids stay used.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = nil
}

// FailNext makes the next calls of Emit and EmitTx return errs, one each; those
// events are not recorded. A nil among them lets one call through.
func (r *Recorder) FailNext(errs ...error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = append(r.fail, errs...)
}

func (r *Recorder) scripted() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.fail) == 0 {
		return nil
	}
	err := r.fail[0]
	r.fail = r.fail[1:]
	return err
}

// AssertEmitted reports an error to the test unless the events of the account
// are exactly of these types, in this order; without types, unless there are
// none. It reports whether they are.
func (r *Recorder) AssertEmitted(accountID string, types ...webhook.EventType) bool {
	r.t.Helper()
	var got []webhook.EventType
	for _, e := range r.Events() {
		if e.AccountID == accountID {
			got = append(got, e.Type)
		}
	}
	if !slices.Equal(got, types) {
		r.t.Errorf("emitted for account %q: %v, want %v", accountID, got, types)
		return false
	}
	return true
}

// All returns the payloads of type P that were emitted for the account, in
// order.
func All[P webhook.Payload](r *Recorder, accountID string) []P {
	var all []P
	for _, e := range r.Events() {
		if p, ok := e.Data.(P); ok && e.AccountID == accountID {
			all = append(all, p)
		}
	}
	return all
}

// One returns the payload of type P that was emitted for the account. It ends
// the test unless there is exactly one.
func One[P webhook.Payload](r *Recorder, accountID string) P {
	r.t.Helper()
	all := All[P](r, accountID)
	if len(all) != 1 {
		var p P
		r.t.Fatalf("emitted for account %q: %d events of type %s, want 1", accountID, len(all), p.EventType())
		return p
	}
	return all[0]
}

// record keeps events that were stored.
func (r *Recorder) record(records []webhook.EventRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range records {
		key := eventKey{records[i].AccountID, records[i].ID}
		if !r.seen[key] {
			r.seen[key] = true
			r.events = append(r.events, received(r.t, &records[i]))
		}
	}
}

// recordingStore is what the Recorder's Engine writes to.
type recordingStore struct {
	*memstore.Store
	r *Recorder
}

// Enqueue implements [webhook.Enqueuer].
func (s recordingStore) Enqueue(ctx context.Context, q webhook.EnqueueRequest) (webhook.Enqueued, error) {
	return recordingEnqueuer{s.Store, s.r}.Enqueue(ctx, q)
}

// recordingEnqueuer records what an Enqueuer accepts.
type recordingEnqueuer struct {
	to webhook.Enqueuer
	r  *Recorder
}

func (e recordingEnqueuer) Enqueue(ctx context.Context, q webhook.EnqueueRequest) (webhook.Enqueued, error) {
	stored, err := e.to.Enqueue(ctx, q)
	for i, group := range q.Groups {
		if err == nil && i < len(stored.Errs) && stored.Errs[i] == nil {
			e.r.record(group)
		}
	}
	return stored, err
}
