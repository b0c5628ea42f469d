package storetest

import (
	"context"
	"errors"

	"github.com/ringyo-ai/webhook"
)

func (f *faulty) BeginIdempotent(ctx context.Context, b webhook.IdempotencyBegin) (webhook.IdempotencyBegun, error) {
	if f.markIn != nil {
		f.markIn(&b)
	}
	begun, err := f.Store.BeginIdempotent(ctx, b)
	if f.markOut != nil {
		f.markOut(b, &begun, &err)
	}
	return begun, err
}

func (f *faulty) AbandonIdempotent(ctx context.Context, m webhook.IdempotencyMark) error {
	if f.abandonIn != nil {
		f.abandonIn(&m)
	}
	return f.Store.AbandonIdempotent(ctx, m)
}

var brokenIdempotency = []broken{
	{rule: "OneRequestHasAKey", fault: func(f *faulty) { // the fingerprint is not told apart
		f.markOut = func(_ webhook.IdempotencyBegin, _ *webhook.IdempotencyBegun, err *error) {
			if errors.Is(*err, webhook.ErrIdempotencyReused) {
				*err = webhook.ErrIdempotencyRunning
			}
		}
	}},
	{rule: "MarksEndAfterRunning", also: []string{"OneOfTwoRequestsAtOnceRuns", "WithoutItsMarkNothingChanges"}, fault: func(f *faulty) {
		f.markIn = func(b *webhook.IdempotencyBegin) { b.Running = b.Keep }
	}},
	{rule: "KeysAreFreeAfterKeep", fault: func(f *faulty) {
		f.markIn = func(b *webhook.IdempotencyBegin) { b.Keep *= 2 }
	}},
	{rule: "AbandonedKeysAreFree", fault: func(f *faulty) {
		f.abandonIn = func(m *webhook.IdempotencyMark) { m.Token = 0 }
	}},
	{rule: "OneOfTwoRequestsAtOnceRuns", fault: func(f *faulty) { // who comes second has the key too
		f.markOut = func(b webhook.IdempotencyBegin, begun *webhook.IdempotencyBegun, err *error) {
			if b.Key == "new" && *err != nil {
				begun.Token, *err = 1, nil
			}
		}
	}},
	{rule: "ResponsesAreStoredWithTheEndpoint", fault: func(f *faulty) { // it is made of what was given
		f.updateIn = func(u *webhook.EndpointUpdate) {
			if fin := u.Idempotency; fin != nil {
				given := u.Record
				u.Idempotency = &webhook.IdempotencyFinish{Mark: fin.Mark, Response: func(webhook.EndpointRecord) ([]byte, error) { return fin.Response(given) }}
			}
		}
	}},
	{rule: "AChangeThatFailsHasNoResponse", fault: func(f *faulty) { // what a response fails with is lost
		f.createIn = func(c *webhook.EndpointCreate) {
			if fin := c.Idempotency; fin != nil {
				c.Idempotency = &webhook.IdempotencyFinish{Mark: fin.Mark, Response: func(r webhook.EndpointRecord) ([]byte, error) {
					response, _ := fin.Response(r)
					return response, nil
				}}
			}
		}
	}},
	{rule: "WithoutItsMarkNothingChanges", fault: func(f *faulty) { // it is done all the same
		f.createOut = func(c webhook.EndpointCreate, r *webhook.EndpointRecord, err *error) {
			if errors.Is(*err, webhook.ErrIdempotencyRunning) {
				c.Idempotency = nil
				*r, *err = f.Store.CreateEndpoint(f.bg, c)
			}
		}
	}},
	{rule: "DeletingAnAccountRemovesItsKeys", fault: func(f *faulty) {
		f.accountOut = func(webhook.AccountDelete, *webhook.AccountDeleted, *error) { f.remember("deleted", true) }
		f.markOut = func(b webhook.IdempotencyBegin, begun *webhook.IdempotencyBegun, err *error) {
			if f.recall("deleted") != nil && b.AccountID == acct {
				*begun, *err = webhook.IdempotencyBegun{}, webhook.ErrIdempotencyReused
			}
		}
	}},
}
