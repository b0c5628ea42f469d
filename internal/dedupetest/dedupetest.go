// Package dedupetest is the conformance suite of this library's Dedupers.
package dedupetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringyo-ai/webhook/receive"
)

// Harness makes the Deduper under test, with a window of 24 hours, and moves its
// time on.
type Harness struct {
	New func(t *testing.T) (d receive.Deduper, advance func(time.Duration))
}

const lease = time.Minute

var key = receive.DedupeKey{EndpointID: "wh_a", EventID: "evt_1"}

// Run proves every sentence of receive.Deduper.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d, advance := h.New(t)
			c.run(&suite{T: t, d: d, advance: advance})
		})
	}
}

var cases = []struct {
	name string
	run  func(s *suite)
}{
	{"a committed event is a duplicate inside the window (H12)", func(s *suite) {
		s.commit(s.begin(key))
		s.refused(key, receive.ErrDuplicate)
		s.advance(23 * time.Hour)
		s.refused(key, receive.ErrDuplicate)
	}},
	{"after the window it is new", func(s *suite) {
		s.commit(s.begin(key))
		s.advance(25 * time.Hour)
		s.begin(key)
	}},
	{"a duplicate of one in progress fails with ErrInProgress", func(s *suite) {
		s.begin(key)
		s.refused(key, receive.ErrInProgress)
	}},
	{"an abandoned event gets in again (H22)", func(s *suite) {
		s.abandon(s.begin(key))
		s.commit(s.begin(key))
	}},
	{"a crash between mark and work lets the retry in when the lease is over (H23)", func(s *suite) {
		s.begin(key)
		s.advance(lease - time.Second)
		s.refused(key, receive.ErrInProgress)
		s.advance(2 * time.Second)
		s.commit(s.begin(key))
	}},
	{"endpoints do not share marks (H27)", func(s *suite) {
		s.commit(s.begin(key))
		s.commit(s.begin(receive.DedupeKey{EndpointID: "wh_b", EventID: key.EventID}))
		s.commit(s.begin(receive.DedupeKey{EndpointID: "wh_aevt", EventID: "_1"}))
	}},
	{"a commit after the lease counts, and the second holder cannot undo it", func(s *suite) {
		first := s.begin(key)
		s.advance(lease + time.Second)
		second := s.begin(key)
		s.commit(first)
		s.abandon(second)
		s.refused(key, receive.ErrDuplicate)
	}},
	{"an abandon after the lease leaves the second holder alone", func(s *suite) {
		first := s.begin(key)
		s.advance(lease + time.Second)
		s.begin(key)
		s.abandon(first)
		s.refused(key, receive.ErrInProgress)
	}},
	{"commit and abandon can be repeated", func(s *suite) {
		m := s.begin(key)
		s.commit(m)
		s.commit(m)
		s.abandon(m)
		s.refused(key, receive.ErrDuplicate)
	}},
	{"of 50 concurrent duplicates one gets the mark", concurrentDuplicates},
}

func concurrentDuplicates(s *suite) {
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			m, err := s.d.Begin(context.Background(), key, lease)
			switch {
			case err == nil:
				won.Add(1)
				if err := s.d.Commit(context.Background(), m); err != nil {
					s.Errorf("Commit: %v", err)
				}
			case !errors.Is(err, receive.ErrInProgress) && !errors.Is(err, receive.ErrDuplicate):
				s.Errorf("Begin: %v", err)
			}
		})
	}
	wg.Wait()
	if n := won.Load(); n != 1 {
		s.Errorf("%d of 50 duplicates got the mark", n)
	}
}

type suite struct {
	*testing.T
	d       receive.Deduper
	advance func(time.Duration)
}

func (s *suite) begin(key receive.DedupeKey) receive.Mark {
	s.Helper()
	m, err := s.d.Begin(s.Context(), key, lease)
	if err != nil {
		s.Fatalf("Begin: %v", err)
	}
	if m.Key != key {
		s.Fatalf("Begin returned the mark of %v", m.Key)
	}
	return m
}

func (s *suite) refused(key receive.DedupeKey, want error) {
	s.Helper()
	if _, err := s.d.Begin(s.Context(), key, lease); !errors.Is(err, want) {
		s.Fatalf("Begin returned %v, want %v", err, want)
	}
}

func (s *suite) commit(m receive.Mark) {
	s.Helper()
	if err := s.d.Commit(s.Context(), m); err != nil {
		s.Fatalf("Commit: %v", err)
	}
}

func (s *suite) abandon(m receive.Mark) {
	s.Helper()
	if err := s.d.Abandon(s.Context(), m); err != nil {
		s.Fatalf("Abandon: %v", err)
	}
}
