package safe_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ringyo-ai/webhook/internal/safe"
)

func TestCallMakesAnErrorOfAPanic(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	assert.NoError(t, safe.Call(func() error { return nil }))
	assert.ErrorIs(t, safe.Call(func() error { return broken }), broken)
	err := safe.Call(func() error { panic("oh") })
	assert.ErrorContains(t, err, "panic: oh")
	assert.ErrorContains(t, err, "safe_test.go", "the stack")
}

// panicky is a log handler that panics once it has attributes or a group.
type panicky struct{ slog.Handler }

func (panicky) Handle(context.Context, slog.Record) error { panic("log") }
func (p panicky) WithAttrs([]slog.Attr) slog.Handler      { return p }
func (p panicky) WithGroup(string) slog.Handler           { return p }
func (panicky) Enabled(_ context.Context, l slog.Level) bool {
	if l == slog.LevelDebug {
		panic("enabled")
	}
	return true
}

func TestLoggerSurvivesItsHandler(t *testing.T) {
	t.Parallel()
	log := safe.Logger(slog.New(panicky{}))
	assert.NotPanics(t, func() {
		log.Info("one")
		log.Debug("two")
		log.With("a", 1).WithGroup("g").Info("three")
	})
	var out bytes.Buffer
	safe.Logger(slog.New(slog.NewTextHandler(&out, nil))).With("a", 1).WithGroup("g").Info("said", "b", 2)
	assert.Contains(t, out.String(), "msg=said a=1 g.b=2")
}
