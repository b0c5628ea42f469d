package webhooktest

import (
	"context"
	"sync"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
)

// Tx stands in for the database transaction of the code under test. Events
// that [Recorder.EmitTx] puts into it are recorded by Commit and dropped by
// Rollback. It is itself the argument of EmitTx, where code that runs on a
// database passes what sqlstore's (*Store).Tx makes of its transaction. It is safe
// for concurrent use.
type Tx struct {
	r     *Recorder
	inner *memstore.Tx

	mu     sync.Mutex
	groups [][]webhook.EventRecord
}

var _ webhook.Enqueuer = (*Tx)(nil)

// Begin starts a transaction.
func (r *Recorder) Begin() *Tx { return &Tx{r: r, inner: r.store.Begin()} }

// Enqueue implements [webhook.Enqueuer], for the Recorder.
func (tx *Tx) Enqueue(ctx context.Context, q webhook.EnqueueRequest) (webhook.Enqueued, error) {
	stored, err := tx.inner.Enqueue(ctx, q)
	tx.mu.Lock()
	defer tx.mu.Unlock()
	for i, group := range q.Groups {
		if err == nil && i < len(stored.Errs) && stored.Errs[i] == nil {
			tx.groups = append(tx.groups, group)
		}
	}
	return stored, err
}

// Commit records what was emitted. After a Commit or a Rollback it returns
// [memstore.ErrTxDone].
func (tx *Tx) Commit() error {
	if err := tx.inner.Commit(); err != nil {
		return err
	}
	tx.mu.Lock()
	defer tx.mu.Unlock()
	for _, group := range tx.groups {
		tx.r.record(group)
	}
	return nil
}

// Rollback drops what was emitted. After a Commit or a Rollback it returns
// [memstore.ErrTxDone] and does nothing, so that it can be deferred.
func (tx *Tx) Rollback() error { return tx.inner.Rollback() }
