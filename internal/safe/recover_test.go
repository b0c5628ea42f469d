package safe_test

import (
	"bytes"
	"log/slog"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook/internal/safe"
)

// plugged calls f and returns its panic.
func plugged(f func()) (caught *safe.Panic) {
	defer safe.Recover(func(p *safe.Panic) { caught = p })
	f()
	return nil
}

func TestRecoverDistinguishesAPanicFromAReturn(t *testing.T) {
	t.Parallel()
	assert.Nil(t, plugged(func() {}))
	p := plugged(func() { panic("oh") })
	require.NotNil(t, p)
	assert.Equal(t, "oh", p.Value)
	assert.ErrorContains(t, p, "panic: oh\n")
	assert.ErrorContains(t, p, "recover_test.go", "the stack")
}

func TestRecoverLetsAGoroutineEnd(t *testing.T) {
	t.Parallel()
	ended := make(chan bool)
	go func() {
		returned, panicked := false, false
		defer func() { ended <- !returned && !panicked }()
		func() {
			defer safe.Recover(func(*safe.Panic) { panicked = true })
			runtime.Goexit()
		}()
		returned = true
	}()
	assert.True(t, <-ended)
}

func TestPanicIsLoggedWithItsStack(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	plugged(func() { panic("oh") }).Log(slog.New(slog.NewTextHandler(&out, nil)), "a hook")
	assert.Contains(t, out.String(), `level=ERROR msg="webhook: a hook panicked" panic=oh stack="`)
	assert.Contains(t, out.String(), "recover_test.go")
}
