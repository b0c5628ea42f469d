//go:build !windows

package httpsend

import "syscall"

const (
	errPipe        = syscall.EPIPE
	errConnAborted = syscall.ECONNABORTED
	errConnReset   = syscall.ECONNRESET
	errTimedOut    = syscall.ETIMEDOUT
	errConnRefused = syscall.ECONNREFUSED
	errHostUnreach = syscall.EHOSTUNREACH
)
