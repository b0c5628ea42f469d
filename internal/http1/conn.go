package http1

import (
	"bufio"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"time"
)

const noLimit = math.MaxInt64

// errHeaderTooLong ends a response whose headers are longer than Pool.MaxHeader.
var errHeaderTooLong = errors.New("http1: the response's headers are too long")

// conn is one connection. While it is idle it belongs to the pool and to its
// watcher, otherwise to one exchange.
type conn struct {
	pool   *Pool
	key    Key
	wire   *Wire
	stream net.Conn // what HTTP is spoken on: wire, or TLS over it
	br     *bufio.Reader
	limit  int64 // bytes that may be read
	kernel *kernel
	since  time.Time // before it was dialled
	reused bool
	heard  bool // something of the current response was read

	watched chan struct{} // a value when the watcher has ended
	dead    bool          // written by the watcher: the connection is at its end
	spoke   bool          // written by the watcher: something was received

	// Guarded by pool.mu.
	idle         bool
	watching     bool // by a goroutine; whoever took c out reads it without the lock
	idleSince    time.Time
	below        *conn // the next idle one of the same key
	older, newer *conn // idle ones of all keys
}

func (p *Pool) newConn(key Key, since time.Time, wire *Wire, stream net.Conn) *conn {
	c := &conn{pool: p, key: key, wire: wire, stream: stream, kernel: newKernel(wire.Conn), since: since, watched: make(chan struct{}, 1)}
	c.br = bufio.NewReader(c)
	return c
}

// Read is what the parser reads from.
func (c *conn) Read(p []byte) (int, error) {
	if c.limit <= 0 {
		return 0, errHeaderTooLong
	}
	n, err := c.stream.Read(p[:min(int64(len(p)), c.limit)])
	c.limit -= int64(n)
	c.heard = c.heard || n > 0
	return n, err
}

// aged reports whether no further request may be sent on c.
func (c *conn) aged(now time.Time) bool {
	return c.pool.Lifetime > 0 && now.Sub(c.since) >= c.pool.Lifetime
}

// unheard reports whether an exchange failed, by err, because the peer closed the
// connection before it said anything: what a server does whose idle timeout ends
// while the request is on its way. A farewell of TLS is no response.
func (c *conn) unheard(err error) bool {
	return !c.heard && !isTimeout(err) && (!c.wire.heard || errors.Is(err, io.EOF))
}

// drained reports whether everything that was received is used up, and whether
// there was something that nobody asked for.
func (c *conn) drained() (clean, surplus bool) {
	err := c.dryPeek()
	whole := c.wire.whole()
	return err == error(errDry) && whole, err == nil || !whole
}

// spokeFirst reports whether a peer spoke on a new connection before it was asked.
func (c *conn) spokeFirst() bool {
	if c.wire.records != nil { // the kernel may hold a session ticket
		return c.dryPeek() == nil
	}
	_, spoke := c.kernel.look()
	return spoke
}

// dryPeek returns nil if something to read has been received.
func (c *conn) dryPeek() error {
	c.wire.dry, c.limit = true, noLimit
	_, err := c.br.Peek(1)
	c.wire.dry = false
	return err
}

// watch waits for whatever the idle connection receives. It reads below TLS: there
// is nothing that a peer has to say now (session tickets come before the first
// response), and a connection that is given up too often costs a handshake.
func (c *conn) watch() {
	var one [1]byte
	n, err := c.wire.Conn.Read(one[:])
	c.spoke = n > 0
	c.dead = n > 0 || !errors.Is(err, os.ErrDeadlineExceeded)
	c.pool.mu.Lock()
	expelled := c.dead && c.idle
	if expelled {
		c.pool.remove(c)
	}
	c.pool.mu.Unlock()
	if expelled {
		c.discard()
	}
	c.watched <- struct{}{}
}

// wake ends the watcher, if there is one, and reports whether c can be used.
func (c *conn) wake() bool {
	if c.watching {
		if c.wire.Conn.SetReadDeadline(time.Unix(1, 0)) != nil {
			c.close()
		}
		<-c.watched
		c.watching = false
		if c.dead || c.wire.Conn.SetReadDeadline(time.Time{}) != nil {
			return false
		}
	}
	quiet, spoke := c.kernel.look()
	c.spoke, c.reused = spoke, true
	return quiet
}

// discard closes a connection that received something, or its end, while idle.
func (c *conn) discard() {
	if c.spoke && time.Since(c.idleSince) < talkerDelay {
		c.pool.talked(c.key)
	}
	c.close()
}

// close ends the connection at once, without a farewell of TLS: a peer that does
// not read could hold up whoever closes it, for the sake of another owner perhaps.
func (c *conn) close() { _ = c.wire.Conn.Close() }
