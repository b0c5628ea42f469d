package webhookapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/ringyo-ai/webhook"
)

// idempotency is the Idempotency-Key of a request.
type idempotency struct {
	mark *webhook.Idempotency
	done bool // the response was stored in the transaction of what it stands for
}

// Times of an Idempotency-Key, by API.md's rule that a first response is repeated for 24
// hours, and that a mark left behind by a crash ends after a minute.
const (
	keepResponses = 24 * time.Hour
	longestRun    = time.Minute
)

// storedResponse is a response as it is repeated.
type storedResponse struct {
	Status int             `json:"status"`
	ETag   string          `json:"etag"`
	Body   json.RawMessage `json:"body"`
}

func store(out response) ([]byte, error) {
	body, err := encode(out.body)
	if err != nil {
		return nil, err
	}
	return encode(storedResponse{Status: out.status, ETag: out.etag, Body: bytes.TrimSuffix(body, []byte("\n"))})
}

// within returns what an engine call stores together with the change that it makes, so
// that a crash after the commit loses no response. It is nil without a key.
func (k *idempotency) within(f func(webhook.Endpoint, webhook.Secret) response) *webhook.Idempotency {
	if k == nil {
		return nil
	}
	k.done = true
	k.mark.Response = func(ep webhook.Endpoint, s webhook.Secret) ([]byte, error) { return store(f(ep, s)) }
	return k.mark
}

// once runs op, or repeats the response of the request that had its key first.
func (r *request) once(op operation) (response, error) {
	keys := r.Header.Values("Idempotency-Key")
	if len(keys) == 0 || r.Method != http.MethodPost {
		return op(r)
	}
	if len(keys) > 1 || keys[0] == "" || len(keys[0]) > 255 || !printable(keys[0]) {
		return response{}, refused("Idempotency-Key", "Idempotency-Key must be 1 to 255 printable ASCII characters, and given once")
	}
	sum := sha256.New()
	for _, part := range []string{r.Method, r.URL.Path, r.Header.Get("If-Match"), string(r.body)} {
		sum.Write([]byte(itoa(len(part)) + ":" + part))
	}
	mark, stored, err := r.h.engine.BeginIdempotent(r.ctx(), r.account(), webhook.IdempotencyParams{
		Key: keys[0], Fingerprint: hex.EncodeToString(sum.Sum(nil)), Running: longestRun, Keep: keepResponses,
	})
	if errors.Is(err, webhook.ErrUnreadable) { // of a response, and a fault of our own side
		r.h.log.ErrorContext(r.ctx(), "webhookapi: a stored response cannot be read", "error", err, "request_id", r.id)
		return response{}, errInternal
	}
	if err != nil {
		return response{}, err
	}
	if stored != nil {
		return repeated(stored)
	}
	r.key = &idempotency{mark: mark}
	out, err := op(r)
	switch {
	case err != nil && !errors.Is(err, webhook.ErrUnknownOutcome):
		r.forget() // nothing changed, and the next request may be better
	case err == nil && !r.key.done:
		r.remember(out)
	}
	return out, err
}

func repeated(stored []byte) (response, error) {
	var s storedResponse
	if err := json.Unmarshal(stored, &s); err != nil {
		return response{}, err
	}
	return response{status: s.Status, etag: s.ETag, raw: append(s.Body, '\n'), repeated: true}, nil
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// forget takes the mark away. Where that fails it ends by itself. A client that has hung
// up may ask again, so neither this nor remember ends with its request.
func (r *request) forget() {
	if err := r.h.engine.AbandonIdempotent(context.WithoutCancel(r.ctx()), r.account(), r.key.mark); err != nil {
		r.h.log.WarnContext(r.ctx(), "webhookapi: the mark of an Idempotency-Key stays for a minute", "error", err, "request_id", r.id)
	}
}

// remember stores a response whose operation could not store it.
func (r *request) remember(out response) {
	data, err := store(out)
	if err == nil {
		err = r.h.engine.FinishIdempotent(context.WithoutCancel(r.ctx()), r.account(), r.key.mark, data)
	}
	if err != nil {
		r.h.log.WarnContext(r.ctx(), "webhookapi: a response is not kept for its Idempotency-Key", "error", err, "request_id", r.id)
	}
}
