package safe

import (
	"fmt"
	"runtime/debug"
)

// Call calls f and makes an error of its panic, with the stack in its text.
func Call(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}
