package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ringyo-ai/webhook/internal/check"
)

// Errors of an idempotency key.
var (
	// ErrIdempotencyRunning is returned while another request has the key and has not
	// finished: HTTP status 409. A call that carries a mark returns it if somebody else
	// has taken the key since, or the call was made before: nothing changed.
	ErrIdempotencyRunning error = &codeError{codeIdempotency, "webhook: another request with this idempotency key has not finished", "another request with this Idempotency-Key is running"}
	// ErrIdempotencyReused is returned for a key that another request has, with another
	// fingerprint: HTTP status 422.
	ErrIdempotencyReused error = &codeError{codeIdempotency, "webhook: this idempotency key was used for another request", "this Idempotency-Key was used for another request"}
)

const codeIdempotency = "idempotency_conflict"

// Limits of an idempotency key, in bytes.
const (
	maxIdempotencyKey  = 255
	maxIdempotentReply = 1 << 20
)

// IdempotencyParams are the arguments of [Engine.BeginIdempotent].
type IdempotencyParams struct {
	Key string // what the client chose, such as the header Idempotency-Key: 1 to 255 bytes

	// Fingerprint is of the request, such as a hash of its method, path and body: 1 to
	// 255 bytes. A request with the same Key and another Fingerprint is refused.
	Fingerprint string

	// Running is how long the request may take: then the next one takes the key over,
	// so that a crash does not keep it for long. Defaults to a minute.
	Running time.Duration
	// Keep is how long the response is kept, from the beginning of the request on, at
	// least as long as Running. Then the key is free. Defaults to 24 hours.
	Keep time.Duration
}

// Idempotency is the mark of a request that has an idempotency key, from
// [Engine.BeginIdempotent]. [EndpointParams], [EndpointChange] and [RotateParams] carry it,
// so that the response is stored if and only if the change is. It is good for one
// request, and not safe for concurrent use.
type Idempotency struct {
	// Response makes the response that is kept, at most 1 MiB of any bytes, of the
	// endpoint as it is stored, and the new secret, the zero Secret if the call makes
	// none. Required where a call carries the mark. It is called while the store changes
	// the endpoint, perhaps in a transaction that has to be repeated: it returns quickly,
	// calls no Engine, and may be called more than once, of which the last call counts.
	// After an error of it nothing changes.
	Response func(Endpoint, Secret) ([]byte, error)

	mark IdempotencyMark
}

// BeginIdempotent marks an account's idempotency key as that of a request that runs
// now. It returns the mark, or what an earlier request with the same Key and Fingerprint
// stored, which is not nil then: repeat that. Otherwise the request goes on with the mark
// in one of three ways: a call that changes an endpoint carries it, see
// [Idempotency.Response]; FinishIdempotent stores the response of anything else; or
// AbandonIdempotent gives the key back, since nothing was done. Without any of them, as
// after a crash, the key is free after p.Running.
//
// Errors: [ErrIdempotencyRunning], [ErrIdempotencyReused], a [*ValidationError],
// [ErrUnreadable] if there is a response that cannot be read, and those of the Store. With
// any of them, the request must not be run.
func (e *Engine) BeginIdempotent(ctx context.Context, accountID string, p IdempotencyParams) (mark *Idempotency, stored []byte, err error) {
	var s check.Settings
	check.Positive(&s, "Running", &p.Running, time.Minute)
	check.Positive(&s, "Keep", &p.Keep, 24*time.Hour)
	var v ValidationError
	v.addAll(s)
	if len(p.Key) == 0 || len(p.Key) > maxIdempotencyKey {
		v.add("Key", fmt.Sprintf("must have 1 to %d bytes", maxIdempotencyKey))
	}
	if len(p.Fingerprint) == 0 || len(p.Fingerprint) > maxIdempotencyKey {
		v.add("Fingerprint", fmt.Sprintf("must have 1 to %d bytes", maxIdempotencyKey))
	}
	if p.Keep < p.Running {
		v.add("Keep", "must not be less than Running")
	}
	if err := v.orNil(); err != nil {
		return nil, nil, err
	}
	begun, err := call(ctx, e.store, func(ctx context.Context) (IdempotencyBegun, error) {
		return e.store.BeginIdempotent(ctx, IdempotencyBegin{
			AccountID: accountID, Key: p.Key, Fingerprint: p.Fingerprint, Running: p.Running, Keep: p.Keep,
		})
	})
	switch {
	case err != nil:
		return nil, nil, err
	case begun.Token == 0: // with a response of no bytes, perhaps
		return nil, append([]byte{}, begun.Response...), nil
	}
	return &Idempotency{mark: IdempotencyMark{AccountID: accountID, Key: p.Key, Token: begun.Token}}, nil, nil
}

// FinishIdempotent stores the response to a request that changed no endpoint, at most 1
// MiB, for its repetitions. If the request has stored one already, that stays. The error
// is [ErrIdempotencyRunning] if somebody else has taken the key since: then what the
// request did may be done twice.
func (e *Engine) FinishIdempotent(ctx context.Context, accountID string, mark *Idempotency, response []byte) error {
	if err := mark.check(accountID); err != nil {
		return err
	}
	if err := checkReply(response); err != nil {
		return err
	}
	return do(ctx, e.store, func(ctx context.Context) error { return e.store.FinishIdempotent(ctx, mark.mark, response) })
}

// AbandonIdempotent frees the key of a request that did nothing, so that it can be
// repeated at once. A response that was stored stays, and so does the mark of somebody
// who has taken the key since.
func (e *Engine) AbandonIdempotent(ctx context.Context, accountID string, mark *Idempotency) error {
	if err := mark.check(accountID); err != nil {
		return err
	}
	return do(ctx, e.store, func(ctx context.Context) error { return e.store.AbandonIdempotent(ctx, mark.mark) })
}

// check refuses what is no mark of that account.
func (i *Idempotency) check(accountID string) error {
	if i == nil || i.mark.Token == 0 || i.mark.AccountID != accountID {
		return invalid("Idempotency", "must be a mark of the same account, from BeginIdempotent")
	}
	return nil
}

func checkReply(response []byte) error {
	if len(response) > maxIdempotentReply {
		return invalid("Response", fmt.Sprintf("must have at most %d bytes", maxIdempotentReply))
	}
	return nil
}

// reply is the response of a call that changes an endpoint on its way to the store: nil
// for a call without a mark.
type reply struct {
	to     *Idempotency
	secret *Secret // that the call makes; nil: none
	make   func(EndpointRecord) ([]byte, error)
	err    error // of the latest call of make
}

// replyTo prepares the response of a call that carries mark, which may be nil.
func (e *Engine) replyTo(accountID string, mark *Idempotency, secret *Secret) (*reply, error) {
	if mark == nil {
		return nil, nil
	}
	if err := mark.check(accountID); err != nil {
		return nil, err
	}
	if mark.Response == nil {
		return nil, invalid("Idempotency.Response", "is required")
	}
	r := &reply{to: mark, secret: secret}
	r.make = func(stored EndpointRecord) (response []byte, err error) {
		var s Secret
		if r.secret != nil {
			s = *r.secret
		}
		r.err = e.guarded("Idempotency.Response", func() error {
			stored.SecretHints = hints(stored.Secrets, e.clock.Time()) // the store is busy: it is not asked for the time
			response, err = mark.Response(stored.Endpoint, s)
			return errors.Join(err, checkReply(response))
		})
		return response, r.err
	}
	return r, nil
}

// finish returns what goes to the store together with the change.
func (r *reply) finish() *IdempotencyFinish {
	if r == nil {
		return nil
	}
	return &IdempotencyFinish{Mark: r.to.mark, Response: r.make}
}

// blame returns the error of a call of the store, or that of the caller's function, if
// that one ended it.
func (r *reply) blame(err error) error {
	if r != nil && r.err != nil && errors.Is(err, r.err) {
		return r.err
	}
	return err
}

// unchanged stores the response of a call that had nothing to change.
func (r *reply) unchanged(ctx context.Context, e *Engine, stored EndpointRecord) error {
	if r == nil {
		return nil
	}
	response, err := r.make(stored)
	if err != nil {
		return err
	}
	return e.FinishIdempotent(ctx, r.to.mark.AccountID, r.to, response)
}

// IdempotencyStore keeps the responses to requests that have an idempotency key. A key
// is an account's own, any bytes, and so is a fingerprint.
type IdempotencyStore interface {
	// BeginIdempotent begins a request, with a new mark, unless the account has used the
	// key before, less than Keep ago. With a response it returns that, and the Token is 0.
	// Without one it fails with [ErrIdempotencyRunning] while the request may still run; then the mark is
	// replaced by a new one, whatever its fingerprint. In both cases it fails with
	// [ErrIdempotencyReused] if the fingerprint is another. Of two calls at once, one gets
	// the mark. It fails with [ErrUnreadable] if the response cannot be read.
	BeginIdempotent(ctx context.Context, b IdempotencyBegin) (IdempotencyBegun, error)

	// FinishIdempotent stores the response of a mark, which is nil or bytes of any kind, and fails
	// with [ErrIdempotencyRunning] when there is no such mark any more. One that has a
	// response keeps it, without an error.
	FinishIdempotent(ctx context.Context, m IdempotencyMark, response []byte) error

	// AbandonIdempotent removes a mark without a response, if it is there.
	AbandonIdempotent(ctx context.Context, m IdempotencyMark) error
}

// IdempotencyBegin is the argument of [IdempotencyStore.BeginIdempotent].
type IdempotencyBegin struct {
	AccountID, Key, Fingerprint string
	Running                     time.Duration // how long a mark lasts without a response
	Keep                        time.Duration // how long the key is remembered, from now on
}

// IdempotencyToken tells one mark of a key from those before and after it. A store
// chooses it at random; 0 is none.
type IdempotencyToken int64

// IdempotencyMark is a request that runs.
type IdempotencyMark struct {
	AccountID, Key string
	Token          IdempotencyToken
}

// IdempotencyBegun is the result of [IdempotencyStore.BeginIdempotent].
type IdempotencyBegun struct {
	Token    IdempotencyToken // of the new mark; 0: there is a Response
	Response []byte           // can hold a secret
}

// Format prints b without the bytes of its Response.
func (b IdempotencyBegun) Format(f fmt.State, verb rune) { format(f, verb, b.shown()) }

// LogValue returns what Format prints.
func (b IdempotencyBegun) LogValue() slog.Value { return slog.AnyValue(b.shown()) }

func (b IdempotencyBegun) shown() any {
	return struct {
		Token IdempotencyToken
		Bytes int
	}{b.Token, len(b.Response)}
}

// IdempotencyFinish stores a response together with a change of an endpoint: if the mark
// is not there any more, or has a response, the call fails with [ErrIdempotencyRunning],
// and nothing changes.
type IdempotencyFinish struct {
	Mark IdempotencyMark
	// Response is called with the endpoint as the call returns it, in the transaction, once
	// or more: the last one is stored. Its error is the call's, and nothing changes then.
	Response func(EndpointRecord) ([]byte, error)
}
