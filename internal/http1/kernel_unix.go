//go:build unix

package http1

import "syscall"

// kernel asks the operating system what it holds of a connection.
type kernel struct {
	conn syscall.RawConn
	peek func(fd uintptr)
	n    int
	err  error
}

// newKernel returns nil where c cannot be asked.
func newKernel(c any) *kernel {
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	conn, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	k := &kernel{conn: conn}
	var one [1]byte
	k.peek = func(fd uintptr) {
		k.n, _, k.err = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK) // Go's sockets do not block
	}
	return k
}

// look reports whether the connection can be used: it is open, and the kernel
// holds nothing received on it. spoke reports whether the kernel holds something.
func (k *kernel) look() (quiet, spoke bool) {
	if k == nil {
		return true, false
	}
	if err := k.conn.Control(k.peek); err != nil {
		return false, false
	}
	return k.err == syscall.EAGAIN, k.err == nil && k.n > 0
}
