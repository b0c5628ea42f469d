package receive

import (
	"context"
	"errors"
	"time"
)

// Errors of [Deduper.Begin], for errors.Is.
var (
	// ErrDuplicate means that the event was handled before, inside the window.
	ErrDuplicate = errors.New("webhook: this event was handled before")
	// ErrInProgress means that the event is being handled at this moment.
	ErrInProgress = errors.New("webhook: this event is being handled at this moment")
	// ErrDeduperFull means that a bounded Deduper has no room for one more
	// event in progress.
	ErrDeduperFull = errors.New("webhook: too many events in progress")
)

// Deduper remembers which events were handled, so that the duplicates that every
// sender of webhooks produces do no harm. A mark has two phases: Begin sets it
// before the event is handled; then Commit says that it was handled, or Abandon
// that it was not. Of any number of concurrent duplicates one gets the mark. If a
// process dies in between, the lease of its mark ends, and the sender's next retry
// gets in.
//
// The library ships [MemoryDeduper], for one process, and sqlinbox's Inbox, for
// any number of them. All methods must be safe for concurrent use.
type Deduper interface {
	// Begin marks key as in progress for the time of the lease. It fails with
	// ErrDuplicate if key was committed inside the window, with ErrInProgress while
	// another mark's lease runs, and with any other error if it does not know: the
	// sender is then asked to try again.
	Begin(ctx context.Context, key DedupeKey, lease time.Duration) (Mark, error)

	// Commit remembers m.Key as handled for the whole window. It does so even
	// if the lease has ended and the key was begun again: the work is done.
	Commit(ctx context.Context, m Mark) error

	// Abandon forgets m, so that the next duplicate gets in. It changes nothing if
	// the key was committed, or begun again, since.
	Abandon(ctx context.Context, m Mark) error
}

// DedupeKey is what makes two requests the same event. The endpoint belongs to
// it: two endpoints of one receiver may each get the event.
type DedupeKey struct{ EndpointID, EventID string }

// Mark is an event in progress. It travels in the handler's context; see
// [MarkFromContext].
type Mark struct {
	Key   DedupeKey
	Token int64 // of this Begin: no other has the same
}

type markKey struct{}

// MarkFromContext returns the mark of the event whose handler got ctx, for a
// [Deduper] that commits it together with the handler's own work.
func MarkFromContext(ctx context.Context) (Mark, bool) {
	m, ok := ctx.Value(markKey{}).(Mark)
	return m, ok
}

// NoDedupe is a [Deduper] that lets everything through, for receivers that
// recognise duplicates by other means.
var NoDedupe Deduper = noDedupe{}

type noDedupe struct{}

func (noDedupe) Begin(_ context.Context, key DedupeKey, _ time.Duration) (Mark, error) {
	return Mark{Key: key}, nil
}
func (noDedupe) Commit(context.Context, Mark) error  { return nil }
func (noDedupe) Abandon(context.Context, Mark) error { return nil }
