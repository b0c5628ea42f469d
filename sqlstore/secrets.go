package sqlstore

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ringyo-ai/webhook"
)

// Key is a key that encrypts signing secrets at rest, with AES-256-GCM.
type Key struct {
	// ID names the key in the database, so that it can be replaced: 1 to 64
	// bytes.
	ID string
	// Bytes are the key: 32 random bytes.
	Bytes []byte
}

// SingleKey answers Options.Keys for somebody who has one key of 32 bytes.
func SingleKey(key []byte) []Key { return []Key{{ID: "1", Bytes: key}} }

// ErrKey means that a stored secret cannot be opened with the keys that were
// given: the right one is missing, or it is another under the same id.
var ErrKey = errors.New("sqlstore: a signing secret cannot be opened with Options.Keys")

// keyring seals and opens secrets.
type keyring struct {
	first string
	byID  map[string]cipher.AEAD
}

func newKeyring(keys []Key) (keyring, error) {
	r := keyring{byID: make(map[string]cipher.AEAD, len(keys))}
	for i, k := range keys {
		field := fmt.Sprintf("Options.Keys[%d]", i)
		if k.ID == "" || checkText(field, k.ID, maxID) != nil {
			return r, invalid(field+".ID", "must be 1 to 64 bytes of UTF-8")
		}
		if len(k.Bytes) != 32 {
			return r, invalid(field+".Bytes", "must be 32 bytes")
		}
		if r.byID[k.ID] != nil {
			return r, invalid(field+".ID", "is given twice")
		}
		block, err := aes.NewCipher(k.Bytes)
		if err != nil {
			return r, err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return r, err
		}
		r.byID[k.ID] = aead
	}
	if len(keys) > 0 {
		r.first = keys[0].ID
	}
	return r, nil
}

// storedSecret is one secret as stored. Its end is readable, so that rows can be
// looked through without a key.
type storedSecret struct {
	Key     string `json:"key,omitempty"`     // id of the key that sealed it
	Sealed  []byte `json:"sealed,omitempty"`  // nonce and ciphertext
	Plain   string `json:"plain,omitempty"`   // without a key
	Expires int64  `json:"expires,omitempty"` // microseconds; 0: never
}

// seal makes the stored form of an endpoint's secrets. A sealed secret is bound
// to its endpoint: copied into another row it does not open.
func (r keyring) seal(endpointID string, secrets []webhook.EndpointSecret) (string, error) {
	rows := make([]storedSecret, len(secrets))
	for i, sec := range secrets {
		rows[i].Expires = toMicros(sec.ExpiresAt)
		if r.first == "" {
			rows[i].Plain = sec.Secret.Reveal()
			continue
		}
		aead := r.byID[r.first]
		nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(sec.Secret.Reveal())+aead.Overhead())
		_, _ = rand.Read(nonce) // never fails since Go 1.24
		rows[i].Key = r.first
		rows[i].Sealed = aead.Seal(nonce, nonce, []byte(sec.Secret.Reveal()), []byte(endpointID))
	}
	text, err := json.Marshal(rows)
	return string(text), err
}

// open reads what seal made.
func (r keyring) open(endpointID, stored string) ([]webhook.EndpointSecret, error) {
	var rows []storedSecret
	if err := json.Unmarshal([]byte(stored), &rows); err != nil {
		return nil, fmt.Errorf("%w: endpoint %s: not the stored form of secrets", ErrKey, endpointID)
	}
	out := make([]webhook.EndpointSecret, len(rows))
	for i, row := range rows {
		text, err := r.text(endpointID, row)
		if err != nil {
			return nil, err
		}
		sec, err := webhook.RestoreSecret(text)
		if err != nil {
			return nil, fmt.Errorf("sqlstore: endpoint %s: %w", endpointID, err)
		}
		out[i] = webhook.EndpointSecret{Secret: sec, ExpiresAt: fromMicros(row.Expires)}
	}
	return out, nil
}

func (r keyring) text(endpointID string, row storedSecret) (string, error) {
	if row.Key == "" {
		return row.Plain, nil
	}
	aead := r.byID[row.Key]
	if aead == nil {
		return "", fmt.Errorf("%w: endpoint %s: it was sealed with the key %q, which is not among them", ErrKey, endpointID, row.Key)
	}
	if n := aead.NonceSize(); len(row.Sealed) > n {
		if text, err := aead.Open(nil, row.Sealed[:n], row.Sealed[n:], []byte(endpointID)); err == nil {
			return string(text), nil
		}
	}
	return "", fmt.Errorf("%w: endpoint %s: the key %q is another than the one that sealed it", ErrKey, endpointID, row.Key)
}

// stale reports whether some of the secrets are not sealed with the first key.
func (r keyring) stale(stored string) bool {
	var rows []storedSecret
	_ = json.Unmarshal([]byte(stored), &rows) // open has more to say about a malformed one
	for _, row := range rows {
		if row.Key != r.first {
			return true
		}
	}
	return false
}

// resealBatch is how many endpoints ResealSecrets reads at once.
const resealBatch = 200

// ResealSecrets encrypts again, with the first of Options.Keys, every secret
// that is stored under another key or none, and answers how many endpoints it
// changed. To replace a key, put the new one first and keep the old one, in all
// processes; call ResealSecrets; then drop the old one. It can be repeated after
// an error, and runs beside everything else.
func (s *Store) ResealSecrets(ctx context.Context) (int, error) {
	changed := 0
	for after := int64(0); ; {
		rows, err := s.secretsAfter(ctx, after)
		if err != nil {
			return changed, s.failed("reseal secrets", err)
		}
		for _, row := range rows {
			after = row.num
			if !s.keys.stale(row.stored) {
				continue
			}
			done, err := s.reseal(ctx, row)
			if err != nil {
				return changed, s.failed("reseal secrets", err)
			}
			if done {
				changed++
			}
		}
		if len(rows) < resealBatch {
			return changed, nil
		}
	}
}

type secretRow struct {
	num        int64
	id, stored string
}

func (s *Store) secretsAfter(ctx context.Context, num int64) ([]secretRow, error) {
	var rows []secretRow
	err := s.read(ctx, func(t *txn) error {
		rows = rows[:0]
		return t.query(ctx, s.sql.SecretsAfter, func(r *sql.Rows) error {
			var row secretRow
			err := r.Scan(&row.num, &row.id, &row.stored)
			rows = append(rows, row)
			return err
		}, num, resealBatch)
	})
	return rows, err
}

// reseal changes one row, unless somebody changed its secrets since it was read:
// that one sealed them with a key of their own choice.
func (s *Store) reseal(ctx context.Context, row secretRow) (bool, error) {
	secrets, err := s.keys.open(row.id, row.stored)
	if err != nil {
		return false, err
	}
	sealed, err := s.keys.seal(row.id, secrets)
	if err != nil {
		return false, err
	}
	done := false
	err = s.write(ctx, func(t *txn) error {
		var now string
		if err := t.row(ctx, s.sql.LockSecrets, row.num).Scan(&now); err != nil {
			return err
		}
		if done = now == row.stored; !done {
			return nil
		}
		return t.exec(ctx, s.sql.SetSecrets, sealed, row.num)
	})
	return done, err
}
