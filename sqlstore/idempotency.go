package sqlstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/ringyo-ai/webhook"
)

// A mark is a row of the table of idempotency keys: running_until is 0 once it has its
// response. Who locks one locks nothing else after it.

// purgeMarksEvery is how often a process looks for keys whose time is over, without
// finding the most that it may take.
const purgeMarksEvery = int64(time.Minute / time.Microsecond)

// marksMissed is how often BeginIdempotent may meet a mark that is gone when it is read.
const marksMissed = 10

// markKey returns how a key, or a fingerprint, is stored: any bytes, and whether there is
// a response to what a client sent, in a form of one length.
func markKey(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// responseOf is the place of a response, see seal. No endpoint's id begins with a slash,
// and what stands before the account has one length.
func responseOf(account, key string) string { return "/idempotency/" + key + account }

// storedMark is a row as read.
type storedMark struct {
	account, key, fingerprint string
	token, running, expires   int64
	sealedBy                  string
	response                  []byte
}

// BeginIdempotent implements [webhook.IdempotencyStore].
func (s *Store) BeginIdempotent(ctx context.Context, b webhook.IdempotencyBegin) (begun webhook.IdempotencyBegun, err error) {
	if err := checkText("AccountID", b.AccountID, maxAccount); err != nil {
		return begun, err
	}
	err = s.write(ctx, func(t *txn) (err error) {
		for range marksMissed {
			if begun, err = s.beginMark(ctx, t, b); !errors.Is(err, errNoMark) {
				break
			}
		}
		return err
	})
	return found(s, "begin an idempotent request", begun, err)
}

func (s *Store) beginMark(ctx context.Context, t *txn, b webhook.IdempotencyBegin) (webhook.IdempotencyBegun, error) {
	now, err := t.clock(ctx)
	if err != nil {
		return webhook.IdempotencyBegun{}, err
	}
	next := storedMark{
		account: b.AccountID, key: markKey(b.Key), fingerprint: markKey(b.Fingerprint),
		token:   1 + rand.Int64N(math.MaxInt64), // #nosec G404 -- no secret
		running: later(now, b.Running), expires: later(now, b.Keep),
	}
	begun := webhook.IdempotencyBegun{Token: webhook.IdempotencyToken(next.token)}
	err = t.exec(ctx, s.sql.InsertMark, next.account, next.key, next.fingerprint, next.token, next.running, next.expires)
	if err != nil {
		return begun, err
	}
	old, err := s.lockMark(ctx, t, next.account, next.key)
	switch {
	case err != nil:
		return webhook.IdempotencyBegun{}, err
	case old.token == next.token:
		return begun, nil
	case now >= old.expires, old.running != 0 && now >= old.running:
		return begun, t.exec(ctx, s.sql.RenewMark, next.fingerprint, next.token, next.running, next.expires, next.account, next.key)
	case old.fingerprint != next.fingerprint:
		return webhook.IdempotencyBegun{}, webhook.ErrIdempotencyReused
	case old.running != 0:
		return webhook.IdempotencyBegun{}, webhook.ErrIdempotencyRunning
	}
	response, err := s.keys.openBytes(responseOf(old.account, old.key), old.sealedBy, old.response)
	if err != nil {
		err = fmt.Errorf("%w: the response to a request: %w", webhook.ErrUnreadable, err)
	}
	return webhook.IdempotencyBegun{Response: response}, err
}

// lockMark reads a mark and locks it.
func (s *Store) lockMark(ctx context.Context, t *txn, account, key string) (storedMark, error) {
	m := storedMark{account: account, key: key}
	err := t.row(ctx, s.sql.LockMark, account, key).Scan(&m.fingerprint, &m.token, &m.running, &m.expires, &m.sealedBy, &m.response)
	if errors.Is(err, sql.ErrNoRows) {
		err = errNoMark
	}
	return m, err
}

// errNoMark is [webhook.ErrIdempotencyRunning] in a transaction that needs the mark, and
// before one begins that somebody has removed between two statements.
var errNoMark = fmt.Errorf("%w: the mark is gone", webhook.ErrIdempotencyRunning)

// FinishIdempotent implements [webhook.IdempotencyStore].
func (s *Store) FinishIdempotent(ctx context.Context, m webhook.IdempotencyMark, response []byte) error {
	return s.failed("store the response to a request", s.write(ctx, func(t *txn) error {
		_, err := s.finishMark(ctx, t, m, func() ([]byte, error) { return response, nil })
		return err
	}))
}

// finish stores the response to the change of an endpoint that is part of the same
// transaction, as its last step.
func (s *Store) finish(ctx context.Context, t *txn, f *webhook.IdempotencyFinish, rec webhook.EndpointRecord) error {
	if f == nil {
		return nil
	}
	done, err := s.finishMark(ctx, t, f.Mark, func() ([]byte, error) { return f.Response(rec) })
	if err == nil && !done {
		return webhook.ErrIdempotencyRunning
	}
	return err
}

// finishMark reports whether it stored the response: false if there was one already.
func (s *Store) finishMark(ctx context.Context, t *txn, m webhook.IdempotencyMark, make func() ([]byte, error)) (bool, error) {
	key := markKey(m.Key)
	if checkText("", m.AccountID, maxAccount) != nil {
		return false, webhook.ErrIdempotencyRunning // nothing has such an account
	}
	old, err := s.lockMark(ctx, t, m.AccountID, key)
	switch {
	case err != nil:
		return false, err
	case old.token != int64(m.Token):
		return false, webhook.ErrIdempotencyRunning
	case old.running == 0:
		return false, nil
	}
	response, err := make()
	if err != nil {
		return false, err
	}
	sealedBy, sealed := s.keys.sealBytes(responseOf(m.AccountID, key), response)
	return true, t.exec(ctx, s.sql.FinishMark, sealedBy, sealed, m.AccountID, key)
}

// AbandonIdempotent implements [webhook.IdempotencyStore].
func (s *Store) AbandonIdempotent(ctx context.Context, m webhook.IdempotencyMark) error {
	if checkText("", m.AccountID, maxAccount) != nil {
		return nil
	}
	return s.failed("abandon an idempotent request", s.write(ctx, func(t *txn) error {
		return t.exec(ctx, s.sql.AbandonMark, m.AccountID, markKey(m.Key), int64(m.Token))
	}))
}

// purgeMarks forgets the keys whose time is over, once a minute and while there are more
// than one call takes.
func (m *upkeep) purgeMarks(ctx context.Context) error {
	if !timeFor(&m.s.marksAt, m.micros, purgeMarksEvery) {
		return nil
	}
	more := false
	err := m.s.write(ctx, func(t *txn) (err error) {
		more, err = t.dropUpTo(ctx, m.s.sql.MarkExpiring, m.s.sql.ExpireMarks, m.micros, m.limit)
		return err
	})
	if err == nil && more {
		m.s.marksAt.Store(0)
		m.out.More = true
	}
	return err
}

// dropMarksOf removes about limit keys of an account, and reports whether there may be
// more.
func (s *Store) dropMarksOf(ctx context.Context, t *txn, account string, limit int) (more bool, err error) {
	last := "~" // behind every hexadecimal number
	switch err := t.row(ctx, s.sql.MarkAt, account, limit-1).Scan(&last); {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return false, err
	default:
		more = true
	}
	return more, t.exec(ctx, s.sql.DropMarks, account, last)
}

// resealMarks seals the responses with the first key, those that it can open, and
// returns how many. The others are purged in time.
func (s *Store) resealMarks(ctx context.Context) (changed int, err error) {
	for after := (storedMark{}); ; {
		var list []storedMark
		err := s.read(ctx, func(t *txn) error {
			list = list[:0]
			return t.query(ctx, s.sql.MarksAfter, func(r *sql.Rows) error {
				var m storedMark
				err := r.Scan(&m.account, &m.key, &m.token, &m.sealedBy, &m.response)
				list = append(list, m)
				return err
			}, after.account, after.account, after.key, s.keys.first, marksRead)
		})
		if err != nil {
			return changed, err
		}
		for _, m := range list {
			after = m
			place := responseOf(m.account, m.key)
			response, err := s.keys.openBytes(place, m.sealedBy, m.response)
			if err != nil {
				continue
			}
			sealedBy, sealed := s.keys.sealBytes(place, response)
			err = s.write(ctx, func(t *txn) error {
				return t.exec(ctx, s.sql.SetMark, sealedBy, sealed, m.account, m.key, m.token, m.sealedBy)
			})
			if err != nil {
				return changed, err
			}
			changed++
		}
		if len(list) < marksRead {
			return changed, nil
		}
	}
}

// marksRead is how many responses, of up to 1 MiB, ResealSecrets reads at once.
const marksRead = 20

// idempotent does, in a trial, what a request with an idempotency key needs.
func (l *life) idempotent(ctx context.Context) error {
	b := webhook.IdempotencyBegin{AccountID: l.account, Key: "1", Fingerprint: "1", Keep: time.Hour}
	for range 2 { // the first mark is over at once, the second one takes its place
		begun, err := l.s.BeginIdempotent(ctx, b)
		if err != nil {
			return err
		}
		m := webhook.IdempotencyMark{AccountID: b.AccountID, Key: b.Key, Token: begun.Token}
		if b.Running == 0 {
			b.Running = time.Minute
			continue
		}
		if err := l.s.FinishIdempotent(ctx, m, []byte("ok")); err != nil {
			return err
		}
		if err := l.s.AbandonIdempotent(ctx, m); err != nil { // which leaves a response alone
			return err
		}
	}
	begun, err := l.s.BeginIdempotent(ctx, b)
	if err != nil {
		return err
	}
	return l.s.write(ctx, func(t *txn) error {
		if _, err := t.dropUpTo(ctx, l.s.sql.MarkExpiring, l.s.sql.ExpireMarks, 0, 1); err != nil {
			return err
		}
		_, err := l.s.dropMarksOf(ctx, t, l.account, l.m.limit)
		return cmp.Or(err, expect(string(begun.Response) == "ok"))
	})
}
