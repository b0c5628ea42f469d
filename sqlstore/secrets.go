package sqlstore

import (
	"cmp"
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

// Key is a key that encrypts signing secrets, the values of endpoints' own headers, and
// the responses under idempotency keys at rest, with AES-256-GCM. The zero Key stands for none: in the first place of
// Options.Keys, they are stored as they are, while the other keys open what they
// sealed.
type Key struct {
	// ID names the key in the database, so that it can be replaced: 1 to 64
	// bytes.
	ID string
	// Bytes are the key: 32 random bytes.
	Bytes []byte
}

// SingleKey returns Options.Keys for a single key of 32 bytes.
func SingleKey(key []byte) []Key { return []Key{{ID: "1", Bytes: key}} }

// ErrKey means that a stored secret or header cannot be opened with the keys that were
// given: the right one is missing, or it is another under the same id. It concerns
// the endpoint alone that it belongs to; see [webhook.Target.Err].
var ErrKey = errors.New("what is stored cannot be opened with Options.Keys")

var errNoSecret = errors.New("no secret is stored")

// noSecrets is the stored form of a deleted endpoint's secrets.
const noSecrets = "[]"

// keyring seals and opens what is secret of endpoints.
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

// sealed is a text as stored. Its end is readable, so that rows can be looked through
// without a key.
type sealed struct {
	Key    string `json:"key,omitempty"`    // id of the key that sealed it
	Sealed []byte `json:"sealed,omitempty"` // nonce and ciphertext
	Plain  string `json:"plain,omitempty"`  // without a key
}

// storedSecret is one secret as stored.
type storedSecret struct {
	sealed
	Expires int64 `json:"expires,omitempty"` // microseconds; 0: never
}

// What a sealed text is bound to, so that it does not open in the place of another
// one: a secret that was copied among the headers would be sent. An endpoint's id has
// no slash.
func secretOf(endpointID string) string       { return endpointID }
func urlOf(endpointID string) string          { return endpointID + "/url" }
func headerOf(endpointID, name string) string { return endpointID + "/header/" + name }

// seal makes the stored form of a text that belongs to the given place.
func (r keyring) seal(place, text string) sealed {
	if r.first == "" {
		return sealed{Plain: text}
	}
	aead := r.byID[r.first]
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(text)+aead.Overhead())
	_, _ = rand.Read(nonce) // never fails since Go 1.24
	return sealed{Key: r.first, Sealed: aead.Seal(nonce, nonce, []byte(text), []byte(place))}
}

// sealBytes is seal for bytes of any kind, and returns the id of the key apart from them.
func (r keyring) sealBytes(place string, plain []byte) (key string, stored []byte) {
	if r.first == "" {
		return "", append([]byte{}, plain...)
	}
	s := r.seal(place, string(plain))
	return s.Key, s.Sealed
}

// openBytes reads what sealBytes made; the result is not nil.
func (r keyring) openBytes(place, key string, stored []byte) ([]byte, error) {
	if key == "" {
		return append([]byte{}, stored...), nil
	}
	plain, err := r.open(place, sealed{Key: key, Sealed: stored})
	if err != nil {
		return nil, err
	}
	return []byte(plain), nil
}

// open reads what seal made. Errors name no endpoint: the caller does.
func (r keyring) open(place string, s sealed) (string, error) {
	if s.Key == "" {
		return s.Plain, nil
	}
	aead := r.byID[s.Key]
	if aead == nil {
		return "", fmt.Errorf("%w: it was sealed with the key %q, which is not among them", ErrKey, s.Key)
	}
	if n := aead.NonceSize(); len(s.Sealed) > n {
		if text, err := aead.Open(nil, s.Sealed[:n], s.Sealed[n:], []byte(place)); err == nil {
			return string(text), nil
		}
	}
	return "", fmt.Errorf("%w: the key %q is another than the one that sealed it, or the row is damaged", ErrKey, s.Key)
}

// sealSecrets makes the stored form of an endpoint's secrets.
func (r keyring) sealSecrets(endpointID string, secrets []webhook.EndpointSecret) string {
	rows := make([]storedSecret, len(secrets))
	for i, sec := range secrets {
		rows[i] = storedSecret{r.seal(secretOf(endpointID), sec.Secret.Reveal()), toMicros(sec.ExpiresAt)}
	}
	return toJSON(rows)
}

// openSecrets reads what sealSecrets made.
func (r keyring) openSecrets(endpointID, stored string) ([]webhook.EndpointSecret, error) {
	var rows []storedSecret
	if err := json.Unmarshal([]byte(stored), &rows); err != nil {
		return nil, errors.New("not the stored form of secrets")
	}
	if len(rows) == 0 {
		return nil, errNoSecret
	}
	out := make([]webhook.EndpointSecret, len(rows))
	for i, row := range rows {
		text, err := r.open(secretOf(endpointID), row.sealed)
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

// sealHeaders makes the stored form of an endpoint's headers. The names stay readable.
func (r keyring) sealHeaders(endpointID string, headers webhook.Headers) string {
	rows := make(map[string]sealed, len(headers))
	for name, value := range headers {
		rows[name] = r.seal(headerOf(endpointID, name), value)
	}
	return toJSON(rows)
}

// openHeaders reads what sealHeaders made: all values or none, and the names if they
// can be read at all.
func (r keyring) openHeaders(endpointID, stored string) (h webhook.Headers, names []string, err error) {
	var rows map[string]sealed
	if err := json.Unmarshal([]byte(stored), &rows); err != nil {
		return nil, nil, errors.New("not the stored form of headers")
	}
	h = make(webhook.Headers, len(rows))
	for name, row := range rows {
		value, bad := r.open(headerOf(endpointID, name), row)
		err = cmp.Or(err, bad)
		h[name] = value
	}
	if names = h.Names(); err != nil {
		return nil, names, err
	}
	return h, names, nil
}

// stale reports whether something of an endpoint is not sealed with the first key, or
// is not in the form that tells. What nobody can read is stale.
func (r keyring) stale(row endpointRow) bool {
	var secrets []storedSecret
	var headers map[string]sealed
	if json.Unmarshal([]byte(row.secrets), &secrets) != nil || len(secrets) == 0 || json.Unmarshal([]byte(row.headers), &headers) != nil {
		return true
	}
	for _, s := range secrets {
		if s.Key != r.first {
			return true
		}
	}
	for _, s := range headers {
		if s.Key != r.first {
			return true
		}
	}
	return false
}

// endpointsRead is how many endpoints ResealSecrets and Validate read at once.
const endpointsRead = 200

// ResealSecrets stores again, sealed with the first of Options.Keys, every secret and
// header, URL of an old revision and response under an idempotency key, that is stored
// under another key or none, and returns how many endpoints, revisions and responses it
// changed. An endpoint of which it cannot open everything stays as it is, and is
// listed in an [*UnreadableError] once all others are done. It can be repeated after
// any error, and runs beside everything else.
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
			if !s.keys.stale(ep.row) {
				continue
			}
			if slices.Contains(ep.Unreadable, partSecrets) || slices.Contains(ep.Unreadable, partHeaders) {
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
			break
		}
	}
	for _, others := range []func(context.Context) (int, error){s.resealRevisions, s.resealMarks} {
		n, err := others(ctx)
		if changed += n; err != nil {
			return changed, s.failed("reseal secrets", err)
		}
	}
	return changed, bad.orNil()
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

// reseal changes one row, unless somebody changed what is sealed in it since it was
// read: that one sealed it with a key of their own choice.
func (s *Store) reseal(ctx context.Context, ep storedEndpoint) (done bool, err error) {
	secrets, headers := s.keys.sealSecrets(ep.ID, ep.Secrets), s.keys.sealHeaders(ep.ID, ep.Headers)
	err = s.write(ctx, func(t *txn) error {
		var now endpointRow
		if err := t.row(ctx, s.sql.LockSealed, ep.num).Scan(&now.secrets, &now.headers); err != nil {
			return err
		}
		if done = now.secrets == ep.row.secrets && now.headers == ep.row.headers; !done {
			return nil
		}
		return t.exec(ctx, s.sql.SetSealed, secrets, headers, ep.num)
	})
	return done, err
}
