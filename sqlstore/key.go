package sqlstore

import (
	"bytes"
	"database/sql/driver"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/ringyo-ai/webhook"
)

// key is a delivery's id as stored: the 16 bytes of its UUID.
type key [16]byte

const deliveryPrefix = "dlv_"

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

func (k key) id() string {
	b := make([]byte, len(deliveryPrefix), len(deliveryPrefix)+2*len(k))
	copy(b, deliveryPrefix)
	return string(hex.AppendEncode(b, k[:]))
}

func compareKeys(a, b key) int { return bytes.Compare(a[:], b[:]) }

// Value implements driver.Valuer, for databases that hold keys as bytes.
func (k key) Value() (driver.Value, error) { return k[:], nil }

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
		return fmt.Errorf("sqlstore: %T is not a delivery's key", src)
	}
	return nil
}
