package http1

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// errSpokeFirst ends an exchange on a new connection whose peer spoke before the
// request.
var errSpokeFirst = errors.New("http1: the peer spoke before it was asked")

// lateAnswer is the time for a response to a request that could not be written to
// its end. It is there already, if there is one.
const lateAnswer = time.Second

// Call is one request.
type Call struct {
	Key     Key
	Request *http.Request // the Pool's to change; GetBody must be set where there is a body
	// Dial makes a connection: the network's side, and what HTTP is spoken on.
	Dial func(context.Context) (*Wire, net.Conn, error)
	// Written, where it is not nil, says that writing can take time: the response is
	// read meanwhile. It is called when everything is written.
	Written func()
}

// Exchange is a response whose body has not been read.
type Exchange struct {
	*http.Response

	conn  *conn
	stop  func() bool // keeps the context from closing conn
	wrote chan error  // the end of writing, where it goes on beside
	ended bool        // the body was read to its end
}

// RoundTrip sends call on an idle connection, or on a new one, and returns the
// headers of its response. End must be called on the Exchange. When ctx ends,
// before End, the connection is closed.
//
// A request is written a second time, and to a new connection, if it was written to
// one that had been used before, and which its peer closed before a byte of the
// response. The peer may have read it, so requests need an id by which it can tell.
// Other connections that were found closed, before anything was written, do not count.
func (p *Pool) RoundTrip(ctx context.Context, call Call) (*Exchange, error) {
	for fresh := false; ; {
		c, err := p.connect(ctx, call, fresh)
		if err != nil {
			return nil, cause(ctx, err)
		}
		x := &Exchange{conn: c, stop: context.AfterFunc(ctx, c.close)}
		if err = x.run(call); err == nil {
			return x, nil
		}
		x.End()
		if ctx.Err() != nil || !c.reused || c.wire.wrote && !c.unheard(err) {
			return nil, cause(ctx, err)
		}
		fresh = c.wire.wrote
	}
}

// connect returns an idle connection, unless it must be fresh, or a new one.
func (p *Pool) connect(ctx context.Context, call Call, fresh bool) (*conn, error) {
	if !fresh {
		if c := p.take(call.Key); c != nil {
			return c, nil
		}
	}
	since := time.Now()
	wire, stream, err := call.Dial(ctx)
	if err != nil {
		return nil, err
	}
	c := p.newConn(call.Key, since, wire, stream)
	if c.spokeFirst() {
		c.close()
		return nil, errSpokeFirst
	}
	return c, nil
}

func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}

// run writes the request and reads the headers of the response.
func (x *Exchange) run(call Call) error {
	c := x.conn
	c.wire.wrote, c.wire.heard, c.heard, c.limit = false, false, false, c.pool.MaxHeader
	req := call.Request
	if c.pool.MaxIdle <= 0 {
		req.Close = true
	}
	if req.GetBody != nil {
		req.Body, _ = req.GetBody()
	}
	if call.Written == nil {
		if err := c.write(req); err != nil {
			return x.lateAnswer(req, err)
		}
		return x.read(req)
	}
	x.wrote = make(chan error, 1)
	go func() {
		err := c.write(req)
		if err == nil {
			call.Written()
		} else {
			_ = c.wire.Conn.SetReadDeadline(time.Now().Add(lateAnswer))
		}
		x.wrote <- err
	}()
	err := x.read(req)
	if isTimeout(err) {
		if failed := <-x.wrote; failed != nil {
			err = failed
		}
		x.wrote = nil
	}
	return err
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// lateAnswer looks for a response though writing has failed: that is what a server
// does which refuses a request.
func (x *Exchange) lateAnswer(req *http.Request, failed error) error {
	if !x.conn.wire.wrote {
		return failed
	}
	_ = x.conn.wire.Conn.SetReadDeadline(time.Now().Add(lateAnswer))
	err := x.read(req)
	if err == nil {
		x.Close = true
	}
	if isTimeout(err) {
		return failed
	}
	return err
}

var writers = sync.Pool{New: func() any { return bufio.NewWriter(nil) }}

func (c *conn) write(req *http.Request) error {
	bw := writers.Get().(*bufio.Writer)
	bw.Reset(c.stream)
	err := req.Write(bw)
	if err == nil {
		err = bw.Flush()
	}
	bw.Reset(nil)
	writers.Put(bw)
	return err
}

// read reads headers until those of the response proper.
func (x *Exchange) read(req *http.Request) error {
	for {
		if _, err := x.conn.br.Peek(1); err != nil { // ReadResponse calls the end unexpected
			return err
		}
		res, err := http.ReadResponse(x.conn.br, req)
		if err != nil {
			return err
		}
		if res.StatusCode < 100 || res.StatusCode > 199 || res.StatusCode == http.StatusSwitchingProtocols {
			x.Response, x.ended = res, res.Body == http.NoBody
			x.conn.limit = noLimit
			return nil
		}
	}
}

// ReadBody reads the body into buf until that is full, the body ends, or reading
// fails. It returns the number of bytes.
func (x *Exchange) ReadBody(buf []byte) (n int) {
	for n < len(buf) && !x.ended {
		m, err := x.Body.Read(buf[n:])
		n += m
		if err != nil {
			x.ended = err == io.EOF
			break
		}
	}
	return n
}

// End gives the connection back, or closes it where something speaks against
// keeping it.
func (x *Exchange) End() {
	c := x.conn
	if x.stop() && x.Response != nil && x.ended && !x.Close && x.StatusCode > 199 && x.written() {
		clean, surplus := c.drained()
		if clean {
			c.pool.put(c)
			return
		}
		if surplus {
			c.pool.talked(c.key)
		}
	}
	c.close()
	if x.wrote != nil {
		<-x.wrote
	}
}

// writeDelay is the time that the end of writing has after the response has come:
// the response can be faster than the goroutine that writes.
const writeDelay = 50 * time.Millisecond

// written reports whether the request was written to its end.
func (x *Exchange) written() bool {
	if x.wrote == nil {
		return true
	}
	t := time.NewTimer(writeDelay)
	defer t.Stop()
	select {
	case err := <-x.wrote:
		x.wrote = nil
		return err == nil
	case <-t.C:
		return false
	}
}
