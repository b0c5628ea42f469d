package receive

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"sync"
	"time"

	"github.com/ringyo-ai/webhook/internal/check"
	"github.com/ringyo-ai/webhook/internal/safe"
)

// MemoryDeduperConfig configures a [MemoryDeduper]. The zero value is ready for
// use.
type MemoryDeduperConfig struct {
	// Window is how long a handled event is remembered. Defaults to 24 hours, far
	// longer than the sender's retries take (12 min 36 s).
	Window time.Duration

	// MaxEvents bounds what is remembered, at about 120 bytes an event. Defaults to
	// 250,000. Beyond it the oldest handled event is forgotten before its window
	// ends, which is logged: at 100 events a second the default still remembers 40
	// minutes. Events in progress are never forgotten; if there are that many,
	// Begin fails with [ErrDeduperFull].
	MaxEvents int

	// Logger gets a warning, at most once a minute, if events were forgotten early.
	// Defaults to slog.Default().
	Logger *slog.Logger

	// Clock defaults to time.Now.
	Clock func() time.Time
}

// MemoryDeduper is a [Deduper] in the memory of one process. It forgets everything
// when the process ends: after a restart, an event that was handled before can be
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
	warned  time.Duration // time of that warning
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

// NewMemoryDeduper makes an empty MemoryDeduper. All mistakes in cfg come back in
// one [*webhook.ValidationError].
func NewMemoryDeduper(cfg MemoryDeduperConfig) (*MemoryDeduper, error) {
	var s check.Settings
	check.Positive(&s, "Window", &cfg.Window, 24*time.Hour)
	check.Positive(&s, "MaxEvents", &cfg.MaxEvents, 250_000)
	if len(s) > 0 {
		return nil, invalid(nil, s)
	}
	d := &MemoryDeduper{
		window: cfg.Window, max: cfg.MaxEvents, clock: cfg.Clock,
		logger: safe.Logger(cmp.Or(cfg.Logger, slog.Default())),
		marks:  make(map[markID]memoryMark),
	}
	if d.clock == nil {
		d.clock = time.Now
	}
	d.start = d.clock()
	d.warned = -warnEvery
	return d, nil
}

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

// Len returns how many events are remembered or in progress.
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
