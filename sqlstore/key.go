package sqlstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/ringyo-ai/webhook"
)

// key is a delivery's id as stored, the 16 bytes of its UUID, or an event's key.
type key [16]byte

const (
	deliveryPrefix = "dlv_"
	eventPrefix    = "evt_"
)

// eventKey is what finds an event: a hash of its account and id, behind the time
// that an id of the library's own form begins with. So one index serves both
// uniqueness and references, and new events go to its end, whatever the number
// of accounts; ids of another form go to random places. Whoever reads an event
// by its key compares account and id.
func eventKey(account, id string) (k key) {
	buf := make([]byte, 0, 128)
	buf = append(append(append(buf, account...), 0), id...)
	sum := sha256.Sum256(buf)
	copy(k[:], sum[:])
	if text, ok := strings.CutPrefix(id, eventPrefix); ok && len(text) == 2*len(k) {
		var u key
		if _, err := hex.Decode(u[:], []byte(text)); err == nil {
			copy(k[:], u[:6]) // milliseconds
			copy(k[6:], sum[:])
		}
	}
	return k
}

// parseKey reads a delivery's id; ok is false for one that this store cannot
// have made.
func parseKey(id string) (k key, ok bool) {
	text, ok := strings.CutPrefix(id, deliveryPrefix)
	if !ok || len(text) != 2*len(k) || strings.ToLower(text) != text {
		return k, false
	}
	_, err := hex.Decode(k[:], []byte(text))
	return k, err == nil
}

// newKey makes the key of a new delivery.
func newKey() key {
	k, _ := parseKey(webhook.NewDeliveryID())
	return k
}

// firstKeyAt returns the least key of version 7 of a time, in microseconds.
func firstKeyAt(micros int64) (k key) {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(max(0, micros/1000))) // #nosec G115 -- not negative
	copy(k[:], ms[2:])
	return k
}

func (k key) id() string {
	b := make([]byte, len(deliveryPrefix), len(deliveryPrefix)+2*len(k))
	copy(b, deliveryPrefix)
	return string(hex.AppendEncode(b, k[:]))
}

// keyBytes returns a key as a parameter of bytes.
func keyBytes(k key) any { return k[:] }

// keyHex returns a key as a parameter of hexadecimal text, which is that of a UUID
// too.
func keyHex(k key) any { return hex.EncodeToString(k[:]) }

func compareKeys(a, b key) int { return bytes.Compare(a[:], b[:]) }

// Scan implements sql.Scanner, for 16 bytes and for the text of a UUID.
func (k *key) Scan(src any) error {
	var text string
	switch v := src.(type) {
	case []byte:
		if len(v) == len(k) {
			copy(k[:], v)
			return nil
		}
		text = string(v)
	case string:
		text = v
	case [16]byte:
		*k = v
		return nil
	}
	if n, err := hex.Decode(k[:], []byte(strings.ReplaceAll(text, "-", ""))); err != nil || n != len(k) {
		return fmt.Errorf("sqlstore: %T is not a key", src)
	}
	return nil
}

// queueKey scans the key of a row of the queue. SQLite keeps whatever it is given:
// what is no key there is junk, which nothing finds by its key.
type queueKey struct {
	key
	bytes bool // nothing but 16 bytes is a key
	junk  bool // the latest was none
	any   bool // some was none
}

func (s *Store) queueKey() queueKey { return queueKey{bytes: s.dialect.byteKeys} }

// Scan implements sql.Scanner.
func (k *queueKey) Scan(src any) error {
	if k.bytes {
		b, isBytes := src.([]byte)
		if k.junk = !isBytes || len(b) != len(k.key); k.junk {
			k.any = true
			return nil
		}
	}
	return k.key.Scan(src)
}

// dropJunk drops the rows of the queue that have no key, which would hide those that
// are behind them, and returns how many.
func (t *txn) dropJunk(ctx context.Context) (n int, err error) {
	err = t.query(ctx, t.s.sql.DropJunk, func(*sql.Rows) error {
		n++
		return nil
	})
	return n, err
}
