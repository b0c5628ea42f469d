package memstore

import (
	"bytes"
	"container/list"
	"context"
	"time"

	"github.com/ringyo-ai/webhook"
)

// mark is an idempotency key that is in use.
type mark struct {
	account, key, fingerprint string
	token                     webhook.IdempotencyToken
	done                      bool // it has a response
	response                  []byte
	running, expires          int64 // Unix nanoseconds: when its request, and when all of it is over
	place                     *list.Element
}

// BeginIdempotent implements [webhook.IdempotencyStore].
func (s *Store) BeginIdempotent(ctx context.Context, b webhook.IdempotencyBegin) (webhook.IdempotencyBegun, error) {
	at, err := s.begin(ctx)
	if err != nil {
		return webhook.IdempotencyBegun{}, err
	}
	defer s.mu.Unlock()
	now := at.UnixNano()
	old := s.marks[b.AccountID][b.Key]
	if old != nil && now < old.expires && (old.done || now < old.running) {
		switch {
		case old.fingerprint != b.Fingerprint:
			return webhook.IdempotencyBegun{}, webhook.ErrIdempotencyReused
		case !old.done:
			return webhook.IdempotencyBegun{}, webhook.ErrIdempotencyRunning
		}
		return webhook.IdempotencyBegun{Response: bytes.Clone(old.response)}, nil
	}
	if old != nil {
		s.unmark(old)
	}
	m := &mark{
		account: b.AccountID, key: b.Key, fingerprint: b.Fingerprint, token: webhook.IdempotencyToken(newToken()),
		running: later(now, b.Running), expires: later(now, b.Keep),
	}
	if s.marks[b.AccountID] == nil {
		s.marks[b.AccountID] = make(map[string]*mark)
	}
	s.marks[b.AccountID][b.Key] = m
	s.expiring(m)
	return webhook.IdempotencyBegun{Token: m.token}, nil
}

// expiring puts a mark in its place by the time when it is over: the end, if all are
// kept for the same time.
func (s *Store) expiring(m *mark) {
	for p := s.marksBy.Back(); p != nil; p = p.Prev() {
		if p.Value.(*mark).expires <= m.expires {
			m.place = s.marksBy.InsertAfter(m, p)
			return
		}
	}
	m.place = s.marksBy.PushFront(m)
}

func (s *Store) unmark(m *mark) {
	s.marksBy.Remove(m.place)
	of := s.marks[m.account]
	if delete(of, m.key); len(of) == 0 {
		delete(s.marks, m.account)
	}
}

func (s *Store) marked(m webhook.IdempotencyMark) *mark {
	if found := s.marks[m.AccountID][m.Key]; found != nil && found.token == m.Token {
		return found
	}
	return nil
}

// FinishIdempotent implements [webhook.IdempotencyStore].
func (s *Store) FinishIdempotent(ctx context.Context, m webhook.IdempotencyMark, response []byte) error {
	if _, err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	found := s.marked(m)
	switch {
	case found == nil:
		return webhook.ErrIdempotencyRunning
	case !found.done:
		found.done, found.response = true, bytes.Clone(response)
	}
	return nil
}

// AbandonIdempotent implements [webhook.IdempotencyStore].
func (s *Store) AbandonIdempotent(ctx context.Context, m webhook.IdempotencyMark) error {
	if _, err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if found := s.marked(m); found != nil && !found.done {
		s.unmark(found)
	}
	return nil
}

// finish stores the response to a change that makes of an endpoint what rec is. It is
// called once nothing else of the change can fail, and before anything of it is done.
func (s *Store) finish(f *webhook.IdempotencyFinish, rec webhook.EndpointRecord) error {
	if f == nil {
		return nil
	}
	found := s.marked(f.Mark)
	if found == nil || found.done {
		return webhook.ErrIdempotencyRunning
	}
	response, err := f.Response(cloneEndpoint(rec))
	if err == nil {
		found.done, found.response = true, bytes.Clone(response)
	}
	return err
}

// purgeMarks forgets the idempotency keys whose time is over.
func (s *Store) purgeMarks(m *webhook.Maintained, limit int, now time.Time) {
	for n := 0; s.marksBy.Len() > 0; n++ {
		f := s.marksBy.Front().Value.(*mark)
		switch {
		case now.UnixNano() < f.expires:
			return
		case n == limit:
			m.More = true
			return
		}
		s.unmark(f)
	}
}

// dropMarks forgets at most limit idempotency keys of an account, and reports whether
// that was all.
func (s *Store) dropMarks(account string, limit int) bool {
	n := 0
	for _, m := range s.marks[account] {
		if n == limit {
			return false
		}
		s.unmark(m)
		n++
	}
	return true
}
