package webhook

import (
	"context"
	"log/slog"
)

// safeHandler keeps a panic of the caller's log handler from ending the
// goroutine that had something to say. What it was to say is lost.
type safeHandler struct{ h slog.Handler }

func (s safeHandler) Enabled(ctx context.Context, l slog.Level) (enabled bool) {
	defer func() { _ = recover() }()
	return s.h.Enabled(ctx, l)
}

func (s safeHandler) Handle(ctx context.Context, r slog.Record) error {
	defer func() { _ = recover() }()
	return s.h.Handle(ctx, r)
}

func (s safeHandler) WithAttrs(a []slog.Attr) slog.Handler { return safeHandler{s.h.WithAttrs(a)} }

func (s safeHandler) WithGroup(name string) slog.Handler { return safeHandler{s.h.WithGroup(name)} }
