// Package id makes and checks the ids of events, endpoints, deliveries and
// attempts.
package id

import (
	"encoding/hex"

	"github.com/google/uuid"
)

// New makes a time-ordered id: prefix and a UUIDv7 without dashes, so that rows of
// one time lie together in a store's indexes.
func New(prefix string) string {
	u := uuid.Must(uuid.NewV7())
	b := make([]byte, 0, len(prefix)+32)
	b = append(b, prefix...)
	return string(hex.AppendEncode(b, u[:]))
}

// Valid reports whether s may be an id given by a caller: one that holds a dot
// could be shifted against the timestamp in the signed text.
func Valid(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
