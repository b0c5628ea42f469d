package http1

import "net"

// Wire is the network's side of a connection: below TLS, where there is TLS.
type Wire struct {
	net.Conn
	dry     bool     // Read returns errDry instead of asking the network
	wrote   bool     // something of the current request was written
	heard   bool     // something was read since
	records *records // nil without TLS
}

// NewWire wraps c. overTLS says that TLS records will be read from it.
func NewWire(c net.Conn, overTLS bool) *Wire {
	w := &Wire{Conn: c}
	if overTLS {
		w.records = new(records)
	}
	return w
}

// errDry is what a dry Wire returns. It is temporary, so that crypto/tls goes on
// after it.
var errDry net.Error = dryError{}

type dryError struct{}

func (dryError) Error() string   { return "http1: nothing has been received" }
func (dryError) Timeout() bool   { return true }
func (dryError) Temporary() bool { return true }

// Read implements [net.Conn].
func (w *Wire) Read(p []byte) (int, error) {
	if w.dry {
		return 0, errDry
	}
	n, err := w.Conn.Read(p)
	w.heard = w.heard || n > 0
	if w.records != nil {
		w.records.pass(p[:n])
	}
	return n, err
}

// Write implements [net.Conn].
func (w *Wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	if n > 0 {
		w.wrote = true
	}
	return n, err
}

// whole reports whether what was read ends at the end of a record.
func (w *Wire) whole() bool { return w.records == nil || w.records.whole() }

// records follows the boundaries of TLS records in a stream of bytes: five bytes
// of header, of which the last two are the length of what comes (RFC 8446, 5.1).
type records struct {
	header [5]byte
	have   int // bytes of header
	rest   int // bytes of the record that are still to come
}

func (r *records) pass(p []byte) {
	for len(p) > 0 {
		if r.rest > 0 {
			n := min(r.rest, len(p))
			r.rest -= n
			p = p[n:]
			continue
		}
		n := copy(r.header[r.have:], p)
		r.have += n
		p = p[n:]
		if r.have == len(r.header) {
			r.have, r.rest = 0, int(r.header[3])<<8|int(r.header[4])
		}
	}
}

func (r *records) whole() bool { return r.have == 0 && r.rest == 0 }
