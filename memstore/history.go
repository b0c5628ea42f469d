package memstore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sort"

	"github.com/ringyo-ai/webhook"
)

// entry is something with a place in a history.
type entry interface {
	comparable
	order() uint64 // grows with each entry
	gone() bool    // taken out
}

// history keeps entries in the order in which they came. Entries that are gone
// leave at once from the front, where most do; others stay until they are the
// greater half. So taking one out costs O(1), and finding a place a binary
// search.
type history[E entry] struct {
	items []E
	dead  int
}

func (h *history[E]) add(e E) { h.items = append(h.items, e) }

// drop notes that one entry is gone.
func (h *history[E]) drop() {
	h.dead++
	for len(h.items) > 0 && h.items[0].gone() {
		clear(h.items[:1])
		h.items = h.items[1:]
		h.dead--
	}
	if 2*h.dead <= len(h.items) {
		return
	}
	kept := make([]E, 0, len(h.items)-h.dead)
	for _, e := range h.items {
		if !e.gone() {
			kept = append(kept, e)
		}
	}
	h.items, h.dead = kept, 0
}

func (h *history[E]) len() int { return len(h.items) - h.dead }

// from returns the index of the first entry whose order is seq or more.
func (h *history[E]) from(seq uint64) int {
	return sort.Search(len(h.items), func(i int) bool { return h.items[i].order() >= seq })
}

// lookAt bounds the entries that one page looks at, so that a filter that matches
// little does not hold the store's lock for longer than milliseconds.
const lookAt = 200_000

// page lists, newest first, up to limit entries that are older than the cursor
// and wanted. It looks at no more than scan, if that is more than 0.
func page[E entry, T any](s *Store, h *history[E], cursor string, limit, scan int, want func(E) bool, public func(E) T) (webhook.Page[T], error) {
	var p webhook.Page[T]
	if limit < 1 {
		return p, fmt.Errorf("memstore: %w: Limit must be at least 1", webhook.ErrInvalidArgument)
	}
	i := len(h.items)
	if cursor != "" {
		seq, err := s.parseCursor(cursor)
		if err != nil {
			return p, err
		}
		i = h.from(seq)
	}
	look := limit + lookAt
	if scan > 0 {
		look = scan
	}
	for ; i > 0; look-- {
		if len(p.Items) == limit || look == 0 {
			p.Next = s.formatCursor(h.items[i].order())
			break
		}
		i--
		if e := h.items[i]; !e.gone() && want(e) {
			p.Items = append(p.Items, public(e))
		}
	}
	return p, nil
}

// A cursor is a number that the store alone can read: it says nothing about how much is
// stored, and one which the store did not return is refused.
func (s *Store) formatCursor(seq uint64) string {
	var b [aes.BlockSize]byte
	binary.BigEndian.PutUint64(b[8:], seq)
	s.cursors.Encrypt(b[:], b[:])
	return hex.EncodeToString(b[:])
}

func (s *Store) parseCursor(text string) (uint64, error) {
	var b [aes.BlockSize]byte
	if len(text) == hex.EncodedLen(len(b)) {
		if _, err := hex.Decode(b[:], []byte(text)); err == nil {
			s.cursors.Decrypt(b[:], b[:])
			if binary.BigEndian.Uint64(b[:]) == 0 {
				return binary.BigEndian.Uint64(b[8:]), nil
			}
		}
	}
	return 0, invalid("Cursor", "is not one that the store returned")
}

// newCursors makes the key of a store's cursors.
func newCursors() cipher.Block {
	var secret [16]byte
	_, _ = rand.Read(secret[:])          // it never fails
	block, _ := aes.NewCipher(secret[:]) // nor does this, with a key of 16 bytes
	return block
}
