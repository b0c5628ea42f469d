package httpsend

import "syscall"

// Winsock's numbers; the names of syscall without WSA are not what a socket
// returns (https://learn.microsoft.com/windows/win32/winsock/windows-sockets-error-codes-2).
const (
	errPipe        = syscall.ERROR_BROKEN_PIPE
	errConnAborted = syscall.WSAECONNABORTED
	errConnReset   = syscall.WSAECONNRESET
	errTimedOut    = syscall.Errno(10060)
	errConnRefused = syscall.Errno(10061)
	errHostUnreach = syscall.Errno(10065)
)
