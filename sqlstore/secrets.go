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
	"slices"

	"github.com/ringyo-ai/webhook"
)

// Key is a key that encrypts signing secrets at rest, with AES-256-GCM. The zero
// Key stands for none: in the first place of Options.Keys, secrets are stored as
// they are, while the other keys open what they sealed.
type Key struct {
	// ID names the key in the database, so that it can be replaced: 1 to 64
	// bytes.
	ID string
	// Bytes are the key: 32 random bytes.
	Bytes []byte
}

// SingleKey returns Options.Keys for somebody who has one key of 32 bytes.
func SingleKey(key []byte) []Key { return []Key{{ID: "1", Bytes: key}} }

// ErrKey means that a stored secret cannot be opened with the keys that were
// given: the right one is missing, or it is another under the same id. It concerns
// the endpoint alone whose secret that is; see [webhook.Target.Err].
var ErrKey = errors.New("the signing secret cannot be opened with Options.Keys")

var errNoSecret = errors.New("no secret is stored")

// noSecrets is the stored form of a deleted endpoint's secrets.
const noSecrets = "[]"

// keyring seals and opens secrets.
type keyring struct {
	first string
	byID  map[string]cipher.AEAD
}

func newKeyring(keys []Key) (keyring, error) {
	r := keyring{byID: make(map[string]cipher.AEAD, len(keys))}
	for i, k := range keys {
		if i == 0 && k.ID == "" && len(k.Bytes) == 0 {
			continue
		}
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

// open reads what seal made. Errors name no endpoint: the caller does.
func (r keyring) open(endpointID, stored string) ([]webhook.EndpointSecret, error) {
	var rows []storedSecret
	if err := json.Unmarshal([]byte(stored), &rows); err != nil {
		return nil, errors.New("not the stored form of secrets")
	}
	if len(rows) == 0 {
		return nil, errNoSecret
	}
	out := make([]webhook.EndpointSecret, len(rows))
	for i, row := range rows {
		text, err := r.text(endpointID, row)
		if err != nil {
			return nil, err
		}
		sec, err := webhook.RestoreSecret(text)
		if err != nil {
			return nil, err
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
		return "", fmt.Errorf("%w: it was sealed with the key %q, which is not among them", ErrKey, row.Key)
	}
	if n := aead.NonceSize(); len(row.Sealed) > n {
		if text, err := aead.Open(nil, row.Sealed[:n], row.Sealed[n:], []byte(endpointID)); err == nil {
			return string(text), nil
		}
	}
	return "", fmt.Errorf("%w: the key %q is another than the one that sealed it, or the row is damaged", ErrKey, row.Key)
}

// stale reports whether some of the secrets are not sealed with the first key, or
// are not in the form that tells.
func (r keyring) stale(stored string) bool {
	var rows []storedSecret
	if json.Unmarshal([]byte(stored), &rows) != nil || len(rows) == 0 {
		return true
	}
	return slices.ContainsFunc(rows, func(row storedSecret) bool { return row.Key != r.first })
}

// endpointsRead is how many endpoints ResealSecrets and Validate read at once.
const endpointsRead = 200

// ResealSecrets stores again, sealed with the first of Options.Keys, every secret
// that is stored under another key or none, and returns how many endpoints it
// changed. Endpoints whose secrets it cannot open stay as they are, and are listed
// in an [*UnreadableError] once all others are done. It can be repeated after any
// error, and runs beside everything else.
//
// To replace a key, in each step restart all processes before the next one:
//
//  1. Append the new key to Options.Keys: all processes can open what it seals.
//  2. Put it first: it seals from now on.
//  3. Call ResealSecrets, in any process, until it returns 0.
//  4. Remove the old key.
//
// A process that has not reached step 1 when another is at step 2 cannot open what
// that one stores: deliveries to the endpoint wait in it, see
// [webhook.Target.Err]. The first key of all is introduced in the same way, with
// the zero Key before it in step 1, and the last one removed likewise.
func (s *Store) ResealSecrets(ctx context.Context) (int, error) {
	changed := 0
	var bad UnreadableError
	for after := int64(0); ; {
		rows, err := s.endpointsAfter(ctx, after)
		if err != nil {
			return changed, s.failed("reseal secrets", err)
		}
		for _, ep := range rows {
			after = ep.num
			if !s.keys.stale(ep.row.secrets) {
				continue
			}
			if slices.Contains(ep.Unreadable, partSecrets) {
				bad.add(ep)
				continue
			}
			done, err := s.reseal(ctx, ep)
			if err != nil {
				return changed, s.failed("reseal secrets", err)
			}
			if done {
				changed++
			}
		}
		if len(rows) < endpointsRead {
			return changed, bad.orNil()
		}
	}
}

// endpointsAfter reads the endpoints of all accounts in the order of their numbers.
func (s *Store) endpointsAfter(ctx context.Context, num int64) (list []storedEndpoint, err error) {
	err = s.read(ctx, func(t *txn) error {
		list = list[:0]
		return t.query(ctx, s.sql.EndpointsAfter, func(r *sql.Rows) error {
			ep, err := s.scanEndpoint(r)
			list = append(list, ep)
			return err
		}, num, endpointsRead)
	})
	return list, err
}

// unreadable lists the endpoints of which something cannot be read.
func (s *Store) unreadable(ctx context.Context) error {
	var bad UnreadableError
	for after := int64(0); ; {
		rows, err := s.endpointsAfter(ctx, after)
		if err != nil {
			return s.failed("validate", err)
		}
		for _, ep := range rows {
			after = ep.num
			if ep.bad != nil {
				bad.add(ep)
			}
		}
		if len(rows) < endpointsRead {
			return bad.orNil()
		}
	}
}

// reseal changes one row, unless somebody changed its secrets since it was read:
// that one sealed them with a key of their own choice.
func (s *Store) reseal(ctx context.Context, ep storedEndpoint) (bool, error) {
	sealed, err := s.keys.seal(ep.ID, ep.Secrets)
	if err != nil {
		return false, err
	}
	done := false
	err = s.write(ctx, func(t *txn) error {
		var now string
		if err := t.row(ctx, s.sql.LockSecrets, ep.num).Scan(&now); err != nil {
			return err
		}
		if done = now == ep.row.secrets; !done {
			return nil
		}
		return t.exec(ctx, s.sql.SetSecrets, sealed, ep.num)
	})
	return done, err
}
