package itest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// What the database refuses of a new endpoint is a conflict of ids only if there is
// one: a caller would look for the other endpoint.
func TestADataErrorOfANewEndpointIsNoConflictOfIDs(t *testing.T) {
	refuse := map[sqlstore.Dialect]string{
		sqlstore.SQLite:   "create trigger t before insert on webhook_endpoint begin select raise(abort, 'no'); end",
		sqlstore.Postgres: "alter table webhook_endpoint add constraint t check (length(url) < 3)",
		sqlstore.MySQL:    "alter table webhook_endpoint modify url varbinary(3) not null",
	}
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		s.exec(t, refuse[d.dialect])
		_, err := s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.Error(t, err)
		assert.NotErrorIs(t, err, webhook.ErrIDConflict)
		assert.Error(t, errors.Unwrap(err), "with the driver's error")
	})
}

func TestOfTwoEndpointsWithOneIDTheSecondIsAConflict(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		var created, conflicts atomic.Int32
		var wg sync.WaitGroup
		for i := range 8 {
			c := endpoint("wh_1")
			c.Record.AccountID = "acc_" + string(rune('a'+i)) // so that no account's lock lines them up
			wg.Go(func() {
				_, err := s.CreateEndpoint(ctx, c)
				switch {
				case err == nil:
					created.Add(1)
				case errors.Is(err, webhook.ErrIDConflict):
					conflicts.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		assert.EqualValues(t, 1, created.Load())
		assert.EqualValues(t, 7, conflicts.Load())
	})
}

// Each of some changes of one revision is made or refused, and none is undone by another.
func TestOfSomeChangesOfOneRevisionOneIsMade(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		e, err := newEngine(s.Store, nil)
		require.NoError(t, err)
		_, err = s.CreateEndpoint(ctx, endpoint("wh_1"))
		require.NoError(t, err)
		want := map[string]string{}
		for round := range 5 {
			read, err := e.GetEndpoint(ctx, "a", "wh_1")
			require.NoError(t, err)
			var mu sync.Mutex
			var refused []string
			var wg sync.WaitGroup
			for i := range 4 {
				key := fmt.Sprint(round, "-", i)
				wg.Go(func() {
					_, err := e.UpdateEndpoint(ctx, "a", "wh_1", webhook.EndpointChange{IfRevision: read.Revision, Metadata: webhook.MetadataChanges{key: &key}})
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						want[key] = key
					case errors.Is(err, webhook.ErrRevisionMismatch):
						refused = append(refused, key)
					default:
						t.Error(err)
					}
				})
			}
			wg.Wait()
			assert.Len(t, refused, 3)
			require.ErrorIs(t, e.DeleteEndpointIf(ctx, "a", "wh_1", read.Revision), webhook.ErrRevisionMismatch)
			for _, key := range refused[:2] { // of any revision, at once
				wg.Go(func() {
					_, err := e.UpdateEndpoint(ctx, "a", "wh_1", webhook.EndpointChange{Metadata: webhook.MetadataChanges{key: &key}})
					assert.NoError(t, err)
				})
				want[key] = key
			}
			wg.Wait()
			got, err := e.GetEndpoint(ctx, "a", "wh_1")
			require.NoError(t, err)
			assert.Equal(t, want, got.Metadata)
		}
		last, err := e.GetEndpoint(ctx, "a", "wh_1")
		require.NoError(t, err)
		require.NoError(t, e.DeleteEndpointIf(ctx, "a", "wh_1", last.Revision))
		require.ErrorIs(t, e.DeleteEndpointIf(ctx, "a", "wh_1", last.Revision), webhook.ErrNotFound)
	})
}
