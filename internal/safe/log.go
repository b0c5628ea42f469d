// Package safe keeps the faults of plugged-in code where they happen.
package safe

import (
	"context"
	"log/slog"
)

// Logger returns a logger like l whose handler cannot end the goroutine that logs:
// a record whose handler panics is lost.
func Logger(l *slog.Logger) *slog.Logger { return slog.New(handler{l.Handler()}) }

type handler struct{ h slog.Handler }

func (s handler) Enabled(ctx context.Context, l slog.Level) (enabled bool) {
	defer func() { _ = recover() }()
	return s.h.Enabled(ctx, l)
}

func (s handler) Handle(ctx context.Context, r slog.Record) error {
	defer func() { _ = recover() }()
	return s.h.Handle(ctx, r)
}

func (s handler) WithAttrs(a []slog.Attr) slog.Handler { return handler{s.h.WithAttrs(a)} }

func (s handler) WithGroup(name string) slog.Handler { return handler{s.h.WithGroup(name)} }
