// Package pulse sends a signal soon after something has happened, but not for each thing
// that happens, and runs what listens for signals.
package pulse

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// failureGap is the pause after a signal that failed. It is not repeated.
const failureGap = time.Second

// Sender sends signals. Its goroutine exists only while there is something to send. It is
// safe for concurrent use.
type Sender struct {
	gap    time.Duration
	send   func() error
	failed func(error)

	off atomic.Bool // nothing is sent any more

	mu    sync.Mutex
	asked bool
	idle  chan struct{} // of the goroutine, closed when it ends; nil: there is none
	next  time.Time     // when the next signal may begin

	failing bool // of the goroutine alone
}

// NewSender makes a Sender whose signals begin at least gap apart. After one that
// failed the next comes a second later, and failed is called: with the first error, and
// with nil once a signal comes through again. A send that returns
// [errors.ErrUnsupported] is not called again.
func NewSender(gap time.Duration, send func() error, failed func(error)) *Sender {
	return &Sender{gap: gap, send: send, failed: failed}
}

// Ask has a signal sent that begins after this call. It does not wait for it.
func (s *Sender) Ask() {
	if s.off.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = true
	if s.idle == nil {
		s.idle = make(chan struct{})
		go s.run()
	}
}

func (s *Sender) run() {
	for {
		s.mu.Lock()
		if !s.asked || s.off.Load() {
			close(s.idle)
			s.idle = nil
			s.mu.Unlock()
			return
		}
		wait := time.Until(s.next)
		s.mu.Unlock()
		time.Sleep(wait)
		s.once()
	}
}

// once sends one signal, for all that asked before it began.
func (s *Sender) once() {
	s.mu.Lock()
	s.asked, s.next = false, time.Now().Add(s.gap)
	s.mu.Unlock()
	err := s.send()
	if errors.Is(err, errors.ErrUnsupported) {
		s.off.Store(true)
		return
	}
	if err != nil {
		s.mu.Lock()
		s.next = time.Now().Add(failureGap)
		s.mu.Unlock()
	}
	if s.failing != (err != nil) {
		s.failing = err != nil
		s.failed(err)
	}
}

// Wait returns once everything that was asked for has been sent, or with ctx's error.
func (s *Sender) Wait(ctx context.Context) error {
	s.mu.Lock()
	idle := s.idle
	s.mu.Unlock()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Listen calls listen until ctx ends, again after a pause when it returns before. wake
// is called whenever it returned, since signals may have been missed; ended is called
// with the reason.
func Listen(ctx context.Context, listen func(context.Context) error, pause func() time.Duration, wake func(), ended func(error)) {
	for ctx.Err() == nil {
		err := listen(ctx)
		if ctx.Err() != nil {
			return
		}
		ended(err)
		wake()
		timer := time.NewTimer(pause())
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}
