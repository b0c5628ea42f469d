package receive

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/safe"
)

// Answers of [Deduper.Begin], for errors.Is.
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
// sender of webhooks produces do no harm. Marks have two phases: Begin takes an
// event before it is handled, Commit says that it was, Abandon that it was not.
// Of any number of concurrent duplicates one gets the mark. A process that dies
// in between leaves a mark whose lease ends, and the sender's next retry gets
// in.
//
// The library ships [MemoryDeduper], for one process, and sqlstore's Inbox, for
// any number of them. All methods must be safe for concurrent use.
type Deduper interface {
	// Begin marks key as in progress for the time of the lease, or fails with
	// ErrDuplicate when it was committed inside the window, with ErrInProgress
	// while another mark's lease runs, and with anything else when it cannot
	// tell: the sender is then asked to try again.
	Begin(ctx context.Context, key DedupeKey, lease time.Duration) (Mark, error)

	// Commit remembers m.Key as handled for the whole window. It does so even
	// if the lease has ended and the key was begun again: the work is done.
	Commit(ctx context.Context, m Mark) error

	// Abandon forgets m, so that the next duplicate gets in. It changes nothing
	// when the key was committed or begun again in between.
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

// MarkFromContext answers the mark of the event whose handler got ctx, for a
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

// MemoryDeduperConfig configures a [MemoryDeduper]. The zero value is ready for
// use.
type MemoryDeduperConfig struct {
	// Window is how long a handled event is remembered. Defaults to 24 hours,
	// which outlives the sender's retries (12 min 36 s) by far.
	Window time.Duration

	// MaxEvents bounds what is remembered, at about 120 bytes an event.
	// Defaults to 250,000. When that is reached the oldest handled event is
	// forgotten before its window ends, and Logger hears of it: at 100 events
	// a second the default still remembers 40 minutes. Events in progress are
	// never forgotten; when there are that many, Begin fails with
	// [ErrDeduperFull].
	MaxEvents int

	// Logger hears, at most once a minute, that events were forgotten early.
	// Defaults to slog.Default().
	Logger *slog.Logger

	// Clock defaults to time.Now.
	Clock func() time.Time
}

// MemoryDeduper is a [Deduper] in the memory of one process. What it knows ends
// with the process: after a restart, an event that was handled before can be
// handled once more.
type MemoryDeduper struct {
	window time.Duration
	max    int
	logger *slog.Logger
	clock  func() time.Time
	start  time.Time // times are kept as durations since then

	mu      sync.Mutex
	marks   map[markID]memoryMark
	handled []handledMark // oldest first: those of marks that are committed
	token   int64
	early   int           // forgotten before their window ended, since the last warning
	warned  time.Duration // when that was said last
}

// markID is a digest of a DedupeKey, so that long ids cost no memory.
type markID [16]byte

type memoryMark struct {
	token   int64
	until   time.Duration // end of the lease
	handled bool
}

type handledMark struct {
	id markID
	at time.Duration
}

// NewMemoryDeduper makes an empty MemoryDeduper.
func NewMemoryDeduper(cfg MemoryDeduperConfig) (*MemoryDeduper, error) {
	var bad []webhook.FieldError
	if cfg.Window < 0 {
		bad = append(bad, webhook.FieldError{Field: "Window", Problem: "must not be negative"})
	}
	if cfg.MaxEvents < 0 {
		bad = append(bad, webhook.FieldError{Field: "MaxEvents", Problem: "must not be negative"})
	}
	if bad != nil {
		return nil, &webhook.ValidationError{Fields: bad}
	}
	d := &MemoryDeduper{
		window: cfg.Window, max: cfg.MaxEvents, logger: cfg.Logger, clock: cfg.Clock,
		marks: make(map[markID]memoryMark),
	}
	if d.window == 0 {
		d.window = 24 * time.Hour
	}
	if d.max == 0 {
		d.max = 250_000
	}
	if d.logger == nil {
		d.logger = slog.Default()
	}
	d.logger = safe.Logger(d.logger)
	if d.clock == nil {
		d.clock = time.Now
	}
	d.start = d.clock()
	d.warned = -warnEvery
	return d, nil
}

// warnEvery keeps a receiver that is past its bound from flooding its log.
const warnEvery = time.Minute

// Begin implements [Deduper].
func (d *MemoryDeduper) Begin(_ context.Context, key DedupeKey, lease time.Duration) (Mark, error) {
	id := key.id()
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.clock().Sub(d.start)
	d.expire(now)
	old, known := d.marks[id]
	switch {
	case known && old.handled:
		return Mark{}, ErrDuplicate
	case known && now < old.until:
		return Mark{}, ErrInProgress
	case !known && len(d.marks) >= d.max && !d.forget(now):
		return Mark{}, ErrDeduperFull
	}
	d.token++
	d.marks[id] = memoryMark{token: d.token, until: now + lease}
	return Mark{Key: key, Token: d.token}, nil
}

// Commit implements [Deduper].
func (d *MemoryDeduper) Commit(_ context.Context, m Mark) error {
	id := m.Key.id()
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.clock().Sub(d.start)
	d.expire(now)
	old, known := d.marks[id]
	if old.handled {
		return nil
	}
	if !known && len(d.marks) >= d.max && !d.forget(now) {
		return ErrDeduperFull
	}
	d.marks[id] = memoryMark{token: m.Token, handled: true}
	d.handled = append(d.handled, handledMark{id, now})
	return nil
}

// Abandon implements [Deduper].
func (d *MemoryDeduper) Abandon(_ context.Context, m Mark) error {
	id := m.Key.id()
	d.mu.Lock()
	defer d.mu.Unlock()
	if old := d.marks[id]; !old.handled && old.token == m.Token {
		delete(d.marks, id)
	}
	return nil
}

// Len answers how many events are remembered or in progress.
func (d *MemoryDeduper) Len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expire(d.clock().Sub(d.start))
	return len(d.marks)
}

// expire drops what was handled before the window.
func (d *MemoryDeduper) expire(now time.Duration) {
	n := 0
	for n < len(d.handled) && now-d.handled[n].at >= d.window {
		delete(d.marks, d.handled[n].id)
		n++
	}
	d.handled = d.handled[n:]
}

// forget makes room for one mark and reports whether it could.
func (d *MemoryDeduper) forget(now time.Duration) bool {
	if len(d.handled) == 0 {
		return d.sweep(now)
	}
	delete(d.marks, d.handled[0].id)
	oldest := now - d.handled[0].at
	d.handled = d.handled[1:]
	d.early++
	if now-d.warned >= warnEvery {
		d.logger.Warn("webhook: events forgotten before the end of the de-duplication window",
			"events", d.early, "remembered", oldest, "window", d.window, "max_events", d.max)
		d.early, d.warned = 0, now
	}
	return true
}

// sweep drops marks that nobody finished before their lease ended.
func (d *MemoryDeduper) sweep(now time.Duration) bool {
	before := len(d.marks)
	for id, m := range d.marks {
		if !m.handled && m.until <= now {
			delete(d.marks, id)
		}
	}
	return len(d.marks) < before
}

func (k DedupeKey) id() (id markID) {
	b := make([]byte, 0, 128)
	b = binary.AppendUvarint(b, uint64(len(k.EndpointID)))
	b = append(b, k.EndpointID...)
	b = append(b, k.EventID...)
	sum := sha256.Sum256(b)
	copy(id[:], sum[:])
	return id
}
