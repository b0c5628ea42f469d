package webhook

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ringyo-ai/webhook/internal/safe"
)

// storeConcurrency answers how many Enqueue calls, and as many Settle calls, to
// have under way at once.
func storeConcurrency(s Store) int {
	if h, ok := s.(ConcurrencyHinter); ok {
		return max(1, h.ConcurrencyHint())
	}
	return 4
}

// safeStore bounds every call of a Store in time, turns a panic into an error,
// and marks errors as the store's.
type safeStore struct {
	Store
	timeout time.Duration
}

// call runs f with a context that ends after the timeout.
func call[T any](ctx context.Context, s safeStore, f func(context.Context) (T, error)) (v T, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	defer safe.Recover(storePanic(&err))
	v, err = f(ctx)
	return v, storeError(err)
}

// storePanic makes an error of the store of a panic.
func storePanic(err *error) func(*safe.Panic) {
	return func(p *safe.Panic) { *err = fmt.Errorf("%w: %w", ErrStore, p) }
}

// do is call for methods that answer nothing.
func do(ctx context.Context, s safeStore, f func(context.Context) error) error {
	_, err := call(ctx, s, func(ctx context.Context) (struct{}, error) { return struct{}{}, f(ctx) })
	return err
}

var (
	errResultCount = errors.New("settle answered another number of results than it was given")
	errRefused     = errors.New("settle answered that it failed, without a reason")
)

// storeError marks an error as the store's, unless it is an answer: one of the
// sentinels of the Store contract.
func storeError(err error) error {
	if err == nil || errors.Is(err, ErrStore) {
		return err
	}
	for _, answer := range []error{ErrNotFound, ErrIDConflict, ErrVersionConflict, ErrEndpointLimit, ErrInvalidArgument} {
		if errors.Is(err, answer) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrStore, err)
}
