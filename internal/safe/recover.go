package safe

import (
	"fmt"
	"log/slog"
	"runtime/debug"
)

// Panic is a recovered panic.
type Panic struct {
	Value any // what was given to panic
	Stack []byte
}

// Error holds the stack too.
func (p *Panic) Error() string { return fmt.Sprintf("panic: %v\n%s", p.Value, p.Stack) }

// Recover recovers from a panic and hands it to handle. It must be deferred itself,
// as in
//
//	defer safe.Recover(func(p *safe.Panic) { err = p })
//
// A goroutine that ends by runtime.Goexit is no panic: it ends all the same, and
// handle is not called.
func Recover(handle func(*Panic)) {
	if v := recover(); v != nil {
		handle(&Panic{Value: v, Stack: debug.Stack()})
	}
}

// Log writes p to log as an error. what names the code, as in "a hook".
func (p *Panic) Log(log *slog.Logger, what string) {
	log.Error("webhook: "+what+" panicked", "panic", p.Value, "stack", string(p.Stack))
}
