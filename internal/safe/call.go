package safe

// Call calls f and makes an error of its panic, with the stack in its text.
func Call(f func() error) (err error) {
	defer Recover(func(p *Panic) { err = p })
	return f()
}
