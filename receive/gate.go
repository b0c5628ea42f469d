package receive

import (
	"context"
	"sync"
	"time"
)

// gate counts the events inside a Receiver, so that they can be waited for.
type gate struct {
	closing chan struct{} // closed by close
	empty   chan struct{} // closed when closed and nobody is inside

	mu      sync.Mutex
	inside  int
	running int           // of those, in a handler
	only    chan struct{} // closed when only these are left; nil: nobody asks
	closed  bool
}

func newGate() *gate {
	return &gate{closing: make(chan struct{}), empty: make(chan struct{})}
}

// enter lets an event in, unless the gate is closed.
func (g *gate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return errClosed
	}
	g.inside++
	return nil
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.closed && g.inside == 0 {
		close(g.empty)
	}
	g.tell()
}

// begin and end enclose a handler.
func (g *gate) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running++
	g.tell()
}

func (g *gate) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
}

// handlersOnly returns a channel that is closed once all events inside are in a
// handler.
func (g *gate) handlersOnly() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.only == nil {
		g.only = make(chan struct{})
	}
	only := g.only
	g.tell()
	return only
}

func (g *gate) tell() {
	if g.only != nil && g.running == g.inside {
		close(g.only)
		g.only = nil
	}
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	g.closed = true
	close(g.closing)
	if g.inside == 0 {
		close(g.empty)
	}
}

func (g *gate) isClosed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

// lostTime is how long Shutdown waits for reports of what is lost.
const lostTime = 5 * time.Second

// Shutdown refuses further requests with 503 and waits for the events that are
// being handled or queued. When ctx ends first it ends the handlers' contexts,
// reports what was still waiting as lost, for up to 5 seconds, and returns ctx's
// error; a second call then waits for handlers that have not returned yet. Call
// it after http.Server's Shutdown. A Receiver cannot be used again.
func (r *Receiver) Shutdown(ctx context.Context) error {
	r.gate.close()
	select {
	case <-r.gate.empty:
		r.stop()
		return nil
	case <-ctx.Done():
		r.stop()
	}
	t := time.NewTimer(lostTime)
	defer t.Stop()
	select {
	case <-r.gate.handlersOnly():
	case <-t.C:
	}
	return ctx.Err()
}
